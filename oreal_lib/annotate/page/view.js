/* A view: what a person sees and does in one place of the page. */

import { heat, palette } from "./colors.js";
import { actStore, sending } from "./acts.js";
import { build, taste } from "./elements.js";
import { classes } from "./classes.js";
import { strip } from "./strip.js";
import { tools } from "./tools.js";
import { words } from "./words.js";
import { commandsOf, keys } from "./keys.js";
import { moving } from "./moving.js";
import { labeling } from "./labeling.js";
import { pointer } from "./pointer.js";
import { painting } from "./painting.js";
import { receiving } from "./receiving.js";

/** What a person sees and does in one place of the page; the model is Python's side. `end` takes it away. */
export class View {
  constructor({ model, el }) {
    this.model = model;
    this.ui = build((key) => this.run(key));
    el.append(this.ui.root);
    this.alone = document.body.matches(".jp-Notebook"); // a page of Voila, without cells
    this.ui.root.classList.toggle("oreal-page", this.alone);
    this.ui.go.checked = taste.get("auto-next", false);
    this.ui.radius.value = taste.get("radius", 8);
    this.showTheme();

    this.state = null; // the last "state" of Python
    this.session = model.get("session_name") ?? "";
    this.store = actStore(this.session);
    this.pictures = new Map(); // by index, the least recently used first
    this.places = new Map(); // name of a picture -> index
    this.asked = new Set(); // pictures on their way
    this.shown = null; // the picture on the canvases
    this.wanted = -1; // the picture that should be there
    this.goal = false; // show the current suggestion as soon as its picture is there
    this.early = []; // keys that were pressed before the picture they mean was there, [key, event]

    this.query = []; // open suggestions [picture, superpixel], best first
    this.current = null; // the suggestion we are at
    this.place = 0; // and where it was in the query

    this.chosen = 0; // the current class, or VOID
    this.hover = -1; // superpixel under the pointer
    this.cursor = -1; // superpixel of the keyboard
    this.anchor = [0, 0]; // a pixel of it, from which the arrow keys go on
    this.tool = "click";
    this.drawn = null; // what the brush paints
    this.region = null; // what is dragged, from and to
    this.previewed = null; // where the class is shown that a click would give
    this.tiling = 0; // the timer that asks for a sharp part
    this.thumbs = []; // buttons with small pictures
    this.doubtful = false; // those with the best suggestions come first
    this.closed = false; // another page has taken the session over
    this.stroke = null; // what the pressed pointer has painted
    this.pan = null; // where the pointer that pans was last
    this.space = false; // whether the space bar is pressed

    this.bare = false; // all layers hidden
    this.colors = palette([]);
    this.heatmap = heat();
    this.paint = null; // pixels of the label canvas
    this.bordered = {}; // the part of a picture whose borders are drawn as lines
    this.view = { x: 0, y: 0, scale: 1, fitted: true }; // where the picture lies
    this.hovers = 0;

    this.started = performance.now();
    this.lastAct = this.started;
    this.lastSend = this.started; // of an act
    this.sentAt = new Map(); // act -> time
    this.retry = 10; // seconds until acts without an answer are sent again
    this.held = false; // Python could not write: send nothing until all can be sent in order
    this.statusAt = 0;
    this.poll = 0; // the timer that asks how the training goes
    this.training = 0; // when Python last said that it runs
    this.queue = Promise.resolve(); // pictures take a while to unpack; what came later waits for them

    this.commands = commandsOf(this);
    this.off = new AbortController(); // ends every listener at once
    this.receive = this.receive.bind(this);
    this.listenToKeys();
    this.listenToPointer();
    this.listenToControls();
    this.listenToClasses();
    this.take("click");
    this.channel = new BroadcastChannel("oreal");
    this.on(this.channel, "message", (event) => this.heardOf(event));
    this.channel.postMessage({ opened: this.session });
    const ask = ({ isIntersecting, target }) => isIntersecting && this.askForThumb(target);
    this.sights = new IntersectionObserver((entries) => entries.forEach(ask), { root: this.ui.thumbs, rootMargin: "200px" });
    this.resized = new ResizeObserver(() => this.shown && (this.view.fitted ? this.fit() : this.moveTo(this.view)));
    this.resized.observe(this.ui.view);
    this.timer = setInterval(() => this.tick(), 1000);
    model.on("msg:custom", this.receive);
    this.showSaved();
    this.send({ kind: "hello", pending: this.store.all(), now: Date.now() });
  }

  end() {
    this.endStroke();
    this.off.abort();
    this.resized.disconnect();
    this.sights.disconnect();
    this.channel.close();
    clearTimeout(this.tiling);
    clearInterval(this.timer);
    clearTimeout(this.poll);
    this.model.off("msg:custom", this.receive);
    this.ui.root.remove();
  }

  on(target, name, listener, options = {}) {
    target.addEventListener(name, listener, { signal: this.off.signal, ...options });
  }
}

Object.assign(View.prototype, sending, receiving, painting, moving, labeling, tools, classes, keys, pointer, strip, words);
