/* The annotation widget: one ES module for anywidget, and for a plain page with a stub model (tests/browser).

Reading order: pure functions on pixels, colors, the acts that are not yet on disk, the elements, and `render`, the view.
A superpixel is a number 0..count-1 of its picture. Labels are codes: a class, VOID (no class, or unsure) or NONE.
Python owns the truth. What is clicked here is painted at once, kept in localStorage until Python says that it is on
disk, and painted over by what Python answers. Messages: see the head of `widget.py`.
*/

const VOID = 255;
const NONE = 254;
const KEPT = 4; // pictures held in memory: the one shown, the next suggestion's, and two to go back to
const COMMANDS = [
  // key, short name, what the help says
  ["n", "Next", "next suggestion: pan and zoom there"],
  ["p", "Previous", "previous suggestion"],
  ["Enter", "Label", "label the outlined superpixel (of the suggestion or the arrow keys) with the current class"],
  ["a", "Accept", "accept the predicted class of the superpixel under the pointer, else of the outlined one"],
  ["s", "Skip", "do not suggest this superpixel again in this round"],
  ["x", "Split", "split the superpixel under the pointer into smaller ones, where one label would be wrong"],
  ["u", "Undo", "undo, as does Ctrl+Z"],
  ["r", "Redo", "redo, as do Ctrl+Y and Ctrl+Shift+Z"],
  ["0", "Void", "make void (no class, or unsure) the current class"],
  ["f", "Fit", "show the whole picture"],
  ["h", "Hide all", "hide or show all layers, to see the bare picture"],
  ["[", "Previous picture", "previous picture"],
  ["]", "Next picture", "next picture"],
  ["?", "Help", "this help"],
];
const LETTERS = [..."abcdefghijklmnopqrstuvwxyz"].filter((letter) => !COMMANDS.some(([key]) => key === letter));
const CLASS_KEYS = [..."123456789", ...LETTERS]; // classes beyond these are chosen by mouse or Tab

// ---------------------------------------------------------------------------------------------- pixels

/** The bytes of a buffer of a message, an ArrayBuffer or a view of one. */
export function bytesOf(buffer) {
  return ArrayBuffer.isView(buffer) ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength) : new Uint8Array(buffer);
}

/** The bytes that were packed by zlib. */
export async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Pixels by superpixel, by a counting sort: superpixel k has the pixels order[start[k]] .. order[start[k + 1] - 1], in
 * raster order, and the bounding box box[4 k ..]: left, top, right, bottom, all inside. */
export function sortPixels(ids, width, count) {
  const start = new Uint32Array(count + 1);
  for (let i = 0; i < ids.length; i++) start[ids[i] + 1]++;
  for (let k = 0; k < count; k++) start[k + 1] += start[k];
  const order = new Uint32Array(ids.length);
  const next = start.slice();
  const box = new Int32Array(4 * count);
  for (let k = 0; k < count; k++) box[4 * k] = box[4 * k + 1] = ids.length;
  for (let i = 0, y = 0; i < ids.length; y++) {
    for (let x = 0; x < width; x++, i++) {
      const k = ids[i];
      const b = 4 * k;
      order[next[k]++] = i;
      if (x < box[b]) box[b] = x;
      if (y < box[b + 1]) box[b + 1] = y;
      if (x > box[b + 2]) box[b + 2] = x;
      box[b + 3] = y; // rows only grow
    }
  }
  return { start, order, box };
}

/** Borders as pixels (32 bit each, zeros at first): a light line with a dark one beside it, seen on any picture; each is
 * `thick` pixels wide, because the browser leaves fine lines out where it makes a large picture small. */
export function borders(ids, width, pixels, thick = 1) {
  const light = 0xd8ffffff | 0; // alpha, blue, green, red; | 0 as small integers are much faster
  const dark = 0x90000000 | 0;
  const mark = (i, step) => {
    for (let d = 0; d < thick; d++) {
      pixels[i - d * step] = light;
      pixels[i + (d + 1) * step] ||= dark;
    }
  };
  for (let i = 0; i < ids.length; i++) {
    if (ids[i] !== ids[i + 1] && (i + 1) % width) mark(i, 1);
    if (i + width < ids.length && ids[i] !== ids[i + width]) mark(i, width);
  }
}

/** The outline of superpixel k as an SVG path of straight runs along the sides of its pixels. */
export function outline({ ids, width, start, order, box }, k) {
  const path = [];
  const left = box[4 * k];
  const wide = box[4 * k + 2] - left + 1;
  const run = { above: [0, 0, -1], below: [0, 0, -1] }; // a horizontal run: from x, up to x, y
  const from = new Int32Array(2 * wide); // vertical runs of each column, at its left and at its right
  const upto = new Int32Array(2 * wide).fill(-1);
  const horizontal = (now, x, y) => {
    if (now[2] === y && now[1] === x) return void now[1]++;
    if (now[2] >= 0) path.push(`M${now[0]} ${now[2]}H${now[1]}`);
    [now[0], now[1], now[2]] = [x, x + 1, y];
  };
  const vertical = (column, x, y) => {
    if (upto[column] === y) return void upto[column]++;
    if (upto[column] >= 0) path.push(`M${x} ${from[column]}V${upto[column]}`);
    [from[column], upto[column]] = [y, y + 1];
  };
  for (let j = start[k]; j < start[k + 1]; j++) {
    const i = order[j];
    const y = Math.floor(i / width);
    const x = i - y * width;
    if (i < width || ids[i - width] !== k) horizontal(run.above, x, y);
    if (i + width >= ids.length || ids[i + width] !== k) horizontal(run.below, x, y + 1);
    if (x === 0 || ids[i - 1] !== k) vertical(2 * (x - left), x, y);
    if (x + 1 === width || ids[i + 1] !== k) vertical(2 * (x - left) + 1, x + 1, y);
  }
  for (const now of [run.above, run.below]) if (now[2] >= 0) path.push(`M${now[0]} ${now[2]}H${now[1]}`);
  for (let c = 0; c < 2 * wide; c++) if (upto[c] >= 0) path.push(`M${left + ((c + 1) >> 1)} ${from[c]}V${upto[c]}`);
  return path.join("");
}

/** A pixel of superpixel k near its middle: where the pointer would be if it pointed at it. */
export function middle({ width, start, order, box }, k) {
  const [x, y] = [(box[4 * k] + box[4 * k + 2]) / 2, (box[4 * k + 1] + box[4 * k + 3]) / 2];
  let best = order[start[k]];
  let least = Infinity;
  for (let j = start[k]; j < start[k + 1]; j++) {
    const far = (order[j] % width - x) ** 2 + (Math.floor(order[j] / width) - y) ** 2;
    if (far < least) [least, best] = [far, order[j]];
  }
  return [best % width, Math.floor(best / width)];
}

// ---------------------------------------------------------------------------------------------- colors

/** "#rrggbb" as a 32 bit pixel of a canvas. */
export function pixelOf(color, alpha = 255) {
  const rgb = parseInt(color.slice(1), 16);
  return ((alpha << 24) | ((rgb & 255) << 16) | (rgb & 0xff00) | (rgb >> 16)) >>> 0;
}

/** Of each code 0..255 two pixels: stripes for VOID, nothing for NONE, the color of the class twice. */
function palette(classes) {
  const pixels = new Uint32Array(512);
  classes.forEach(({ color }, c) => pixels.fill(pixelOf(color), 2 * c, 2 * c + 2));
  pixels[2 * VOID] = pixelOf("#d0d0d0");
  pixels[2 * VOID + 1] = pixelOf("#606060");
  return pixels;
}

/** Of each uncertainty 0 (sure) .. 255 a pixel: from clear over violet and orange to light yellow. */
function heat() {
  const stops = [[40, 10, 80, 0], [120, 28, 109, 130], [221, 81, 58, 200], [252, 165, 10, 235], [252, 255, 164, 255]];
  return Uint32Array.from({ length: 256 }, (_, value) => {
    const at = (value / 255) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    const [r, g, b, a] = stops[low].map((v, i) => Math.round(v + (stops[low + 1][i] - v) * (at - low)));
    return ((a << 24) | (b << 16) | (g << 8) | r) >>> 0;
  });
}

/** Which of the two pixels of the palette: stripes 4 pixels wide from the upper right to the lower left. */
const stripe = (x, y) => ((x + y) >> 2) & 1;

// ---------------------------------------------------------------------------------------------- acts not yet on disk

/** The acts of a session that Python has not put on disk yet, oldest first: kept by the browser, shared by all views. */
function actStore(session) {
  const key = "oreal:" + session;
  let memory = null; // where the browser forbids localStorage, or it is full
  const all = () => {
    if (memory) return memory;
    try {
      const list = JSON.parse(localStorage.getItem(key) ?? "[]");
      return Array.isArray(list) ? list.filter((act) => typeof act?.id === "string" && (act.superpixels ?? []) instanceof Array) : [];
    } catch {
      return [];
    }
  };
  const write = (list) => {
    try {
      if (list.length) localStorage.setItem(key, JSON.stringify(list));
      else localStorage.removeItem(key);
      memory = null;
    } catch {
      memory = list;
    }
  };
  return { all, add: (act) => write([...all(), act]), remove: (id) => write(all().filter((act) => act.id !== id)) };
}

const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");

/** A measure that a benchmark can read with `performance.getEntriesByName`. */
const measure = (name, start, end = performance.now()) => performance.measure("oreal:" + name, { start, end });

// ---------------------------------------------------------------------------------------------- elements

/** An element: h("button.wide", {title}, children). Properties that are functions become listeners. */
function h(tag, props = {}, ...children) {
  const [name, ...names] = tag.split(".");
  const element = document.createElement(name);
  element.className = names.map((n) => "oreal-" + n).join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (key === "text") element.textContent = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function svg(tag, props = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(props)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const LAYERS = [
  // name, opacity at the start, shown at the start
  ["borders", 0.6, true],
  ["labels", 0.6, true],
  ["prediction", 0.5, false],
  ["uncertainty", 0.8, false],
];

/** All elements of one view; `run` is called with the key of a command. */
function build(run) {
  const button = (key, text, label) =>
    h("button", { type: "button", title: `${label} (${key})`, "aria-label": label, "data-key": key, click: () => run(key) }, text);
  const word = (key, text) => {
    const [, name, help] = COMMANDS.find(([k]) => k === key);
    return button(key, text ?? name, `${name}: ${help}`);
  };
  const ui = {};
  const canvas = (name) => (ui[name] = h("canvas." + name, { "aria-hidden": "true" }));
  const line = (name) => (ui[name + "Line"] = svg("g", { class: "oreal-line oreal-line-" + name }, svg("path"), svg("path")));

  ui.stage = h("div.stage", {}, ...["image", "prediction", "uncertainty", "labels", "borders"].map(canvas));
  ui.lines = svg("g", {}, ...["borders", "suggestions", "hover", "cursor", "current"].map(line));
  ui.bordersLine.removeChild(ui.bordersLine.firstChild);
  ui.view = h("div.view", {}, ui.stage, svg("svg", { "aria-hidden": "true" }, ui.lines));
  ui.wait = h("div.wait", { text: "Waiting for the kernel ..." });
  ui.help = h("div.help", { hidden: "", role: "dialog", "aria-label": "Keys" });
  ui.info = h("div.info");
  ui.view.append(ui.wait);

  ui.picture = h("select.picture", { "aria-label": "Picture", title: "Picture" });
  ui.left = h("span.left", { title: "Suggestions answered in this round" });
  ui.go = h("input", { type: "checkbox" });
  try {
    ui.go.checked = localStorage.getItem("oreal:auto-next") === "yes";
    ui.go.addEventListener("change", () => localStorage.setItem("oreal:auto-next", ui.go.checked ? "yes" : "no"));
  } catch {} // a browser that keeps nothing
  ui.saved = h("span.saved");
  ui.late = h("div.bad", { role: "alert", hidden: "" });
  ui.again = h("button", { type: "button", hidden: "", text: "Try again" });
  const bar = h(
    "div.bar",
    { role: "toolbar", "aria-label": "Pictures, suggestions and history" },
    h("span.group", {}, button("[", "◂", "Previous picture"), ui.picture, button("]", "▸", "Next picture")),
    h("span.group", {}, button("p", "◂", "Previous suggestion"), ui.left, button("n", "Next ▸", "Next suggestion")),
    h("span.group", {}, word("a"), word("s"), word("x")),
    h("label.check", { title: "After a suggestion was answered, go to the next one" }, ui.go, "auto-next"),
    h("span.group", {}, word("u", "↶"), word("r", "↷")),
    h("span.push", {}, ui.saved, ui.again, button("?", "?", "Help: all keys"))
  );

  const zooms = h("span.group", {}, button("-", "−", "Zoom out"), button("+", "+", "Zoom in"), word("f"));
  ui.classes = h("div.classes", { role: "group", "aria-label": "Classes" });
  ui.layers = {};
  const layers = LAYERS.map(([name, opacity, on]) => {
    const about = { prediction: ": what the network sees", uncertainty: ": light where the network is unsure" }[name] ?? "";
    const title = `Show or hide ${name}${about}`;
    const toggle = h("button.layer", { type: "button", "aria-pressed": on, "aria-label": "Layer " + name, title, text: name });
    const slider = h("input", { type: "range", min: 0, max: 1, step: 0.05, value: opacity, "aria-label": `Opacity of ${name}` });
    ui.layers[name] = { toggle, slider };
    return h("div.layers-row", {}, toggle, slider);
  });
  const heads = [h("div.head", {}, "Classes"), h("div.head", {}, "Layers", word("h", "hide all"))];
  const side = h("div.side", {}, heads[0], ui.classes, heads[1], ...layers);

  ui.strategy = h("select", { "aria-label": "Strategy", title: "What orders the suggestions of the next round" });
  ui.aggregate = h("select", { "aria-label": "Aggregate", title: "How the scores of the pixels make that of a superpixel" });
  ui.train = h("button.primary", { type: "button", title: "Train on what is labeled, then suggest anew" }, "Train and ask again");
  ui.stop = h("button", { type: "button", title: "Stop the training", hidden: "", text: "Stop" });
  ui.progress = h("progress", { max: 1, value: 0, hidden: "", "aria-label": "Training" });
  ui.training = h("span.training");
  ui.export = h("button", { type: "button", title: "Write masks, clicks and weights to disk", text: "Export" });
  const asking = [h("label.check", {}, "ask by", ui.strategy), h("label.check", {}, "over", ui.aggregate)];
  const low = h("div.bar", {}, ...asking, ui.train, ui.stop, ui.progress, ui.training, h("span.push", {}, ui.export));
  ui.counters = h("div.counters");
  ui.status = h("div.status", { role: "status" });
  const main = h("div.main", {}, h("div.middle", {}, ui.view, h("div.under", {}, ui.info, zooms)), side);
  const about = { tabindex: 0, role: "application", "aria-label": "Label superpixels; press ? for the keys" };
  ui.root = h("div.root", about, bar, ui.late, main, low, ui.counters, ui.status, ui.help);
  return ui;
}

// ---------------------------------------------------------------------------------------------- the view

function render({ model, el }) {
  const ui = build((key) => run(key));
  const off = new AbortController(); // ends every listener at once
  const on = (target, name, listener, options = {}) => target.addEventListener(name, listener, { signal: off.signal, ...options });
  el.append(ui.root);

  let state = null; // the last "state" of Python
  let session = model.get("session_name") ?? "";
  let store = actStore(session);
  let shown = null; // the picture on the canvases
  let wanted = -1; // the picture that should be there
  let goal = false; // show the current suggestion as soon as its picture is there
  let query = []; // open suggestions [picture, superpixel], best first
  let current = null; // the suggestion we are at
  let place = 0; // and where it was in the query
  let chosen = 0; // the current class, or VOID
  let hover = -1; // superpixel under the pointer
  let cursor = -1; // superpixel of the keyboard
  let anchor = [0, 0]; // a pixel of it, from which the arrow keys go on
  let stroke = null; // what the pressed pointer has painted
  let pan = null;
  let space = false;
  let bare = false; // all layers hidden
  let colors = palette([]);
  let paint = null; // pixels of the label canvas
  let bordered = {}; // of which part of which picture the borders are drawn as lines
  let view = { x: 0, y: 0, scale: 1, fitted: true };
  let hovers = 0;
  const started = performance.now();
  let lastAct = started;
  let lastSend = started; // of an act
  let retry = 10; // seconds until acts without an answer are sent again
  let held = false; // Python could not write: send nothing until all can be sent in order
  let statusAt = 0;
  let poll = 0;
  let training = 0; // when Python last said that it runs
  const pictures = new Map(); // by index, the least recently used first
  const asked = new Set(); // pictures on their way
  const sentAt = new Map(); // act -> time
  let places = new Map(); // name of a picture -> index
  const heatmap = heat();

  // ------------------------------------------------------------------ messages out

  function send(message) {
    try {
      model.send(message);
    } catch {
      if (message.kind !== "act") say("The kernel does not answer.", "bad"); // an act stays pending, which the save indicator tells
    }
  }

  function act(what, more = {}) {
    const now = performance.now();
    const seconds = Math.round(Math.min((now - lastAct) / 1000, 600) * 1000) / 1000;
    lastAct = now;
    const message = { id: newId(), do: what, seconds, clicked: Date.now(), ...more };
    if (more.picture !== undefined) message.name = state.pictures[more.picture].name; // an index may mean another picture tomorrow
    const after = store.all().at(-1)?.id;
    store.add(message);
    sentAt.set(message.id, now);
    lastSend = now;
    if (!held) send({ kind: "act", ...message, after, now: message.clicked });
    showSaved();
    setTimeout(showSaved, 350); // most acts are on disk by then: no alarm
    if (now - statusAt > 8000) say("");
  }

  function sendAgain() {
    held = false;
    lastSend = performance.now();
    let after;
    for (const message of store.all()) {
      send({ kind: "act", ...message, after, now: Date.now() });
      after = message.id;
    }
  }

  /** The acts on their way, with the places that their pictures have now. */
  function pending() {
    return store.all().map((act) => (act.name === undefined ? act : { ...act, picture: places.get(act.name) ?? -1 }));
  }

  function request(index, prefetch = false) {
    if (asked.has(index) && prefetch) return;
    asked.add(index);
    send({ kind: "show", picture: index, prefetch });
  }

  // ------------------------------------------------------------------ messages in

  const receivers = {
    state: receiveState,
    picture: receivePicture,
    done: receiveDone,
    training: receiveTraining,
    refused(message) {
      const index = pending().find((act) => act.id === message.id)?.picture ?? shown?.index;
      store.remove(message.id);
      say(message.text, "bad");
      if (index >= 0) request(index); // its labels as they are
      refreshQuery();
      showSaved();
    },
    failed(message) {
      held = true;
      say(message.text, "bad");
      showSaved();
    },
    again() {
      if (held) return; // the one before it could not be written
      if (performance.now() - lastSend > 200) sendAgain(); // one before it did not arrive: each act that came too early says so
      else setTimeout(() => performance.now() - lastSend > 200 && store.all().length && sendAgain(), 250);
    },
    exported: (message) => say(message.text, "good"),
    error(message) {
      asked.clear(); // a picture that could not be read may be asked for again
      ui.train.disabled = false;
      say(message.text, "bad");
    },
  };
  let queue = Promise.resolve(); // pictures take a while to unpack; what came later waits for them
  const receive = (message, buffers = []) => {
    const arrived = performance.now();
    queue = queue.then(() => receivers[message?.kind]?.(message, buffers, arrived)).catch((error) => say(String(error), "bad"));
  };

  function receiveState(message) {
    const newRound = state !== null && state.round !== message.round;
    state = message;
    places = new Map(state.pictures.map(({ name }, i) => [name, i]));
    ui.wait.hidden = true;
    if (message.session !== session) store = actStore((session = message.session));
    colors = palette(state.classes);
    if (chosen !== VOID && chosen >= state.classes.length) chosen = 0;
    buildClasses();
    buildHelp();
    options(ui.strategy, state.strategies, state.strategy, state.titles);
    options(ui.aggregate, state.aggregates, state.aggregate);
    ui.picture.replaceChildren(...state.pictures.map((_, i) => h("option", { value: i })));
    state.pictures.forEach((_, i) => showShare(i));
    for (const index of pictures.keys()) if (newRound && index !== wanted) pictures.delete(index); // old predictions
    if (newRound) [current, place] = [null, 0];
    refreshQuery();
    showCounters(state.counters);
    if (state.training?.state) receiveTraining(state.training);
    if (wanted < 0) wanted = state.picture;
    else if (newRound && wanted !== state.picture) request(wanted); // Python sends only state.picture by itself
    if (newRound) say(`Round ${state.round}: ${plural(query.length, "new suggestion")}, press n.`, "good");
    else if (!state.counters.labeled) {
      say("What is inside the yellow outlines? Press n to go to one, a number key for its class, and Enter or a click to label it.");
    }
    if (document.body.matches(".jp-Notebook")) ui.root.focus({ preventScroll: true }); // a page of Voila: keys work at once
  }

  async function receivePicture(message, buffers, arrived) {
    const index = message.picture;
    const old = pictures.get(index);
    const part = Object.fromEntries(message.layers.map((name, i) => [name, bytesOf(buffers[i])]));
    asked.delete(index);
    if (!part.image && !old) return request(index);
    const image = part.image ? createImageBitmap(new Blob([part.image])) : old.bitmap;
    const [bitmap, bytes] = await Promise.all([image, inflate(part.ids)]);
    const { width, height, count } = message;
    const ids = new Uint16Array(bytes.buffer); // little-endian, as all browsers run on
    const labels = part.labels.slice(); // a copy: the message is not ours
    const { predicted, prediction, uncertainty } = part; // the latter two still packed
    const layers = { labels, predicted, prediction, uncertainty };
    const picture = { index, width, height, count, bitmap, ids, ...sortPixels(ids, width, count), ...layers, outlines: [] };
    applyPending(picture);
    pictures.delete(index);
    pictures.set(index, picture);
    for (const other of [...pictures.keys()].slice(0, -KEPT)) if (other !== shown?.index) pictures.delete(other);
    if (index === wanted) {
      display(picture);
      measure("setup", arrived);
    }
  }

  function receiveDone(message, _, arrived) {
    const mine = sentAt.has(message.id); // else another view's, or of an earlier page
    if (mine) {
      const sent = sentAt.get(message.id);
      measure("answer", sent, arrived);
      if (message.written) measure("disk", sent, Math.max(sent, message.written - performance.timeOrigin)); // one computer, one clock
    }
    sentAt.delete(message.id);
    const lost = !message.changes.length && store.all().some((act) => act.id === message.id); // done before; the answer did not arrive
    store.remove(message.id);
    retry = 10;
    if (lost) for (const index of pictures.keys()) if (!asked.has(index)) request(index);
    for (const { picture: index, superpixels, labels } of message.changes) {
      const picture = pictures.get(index);
      if (!picture) continue;
      const before = picture.labels.slice();
      superpixels.forEach((k, i) => (picture.labels[k] = labels[i]));
      applyPending(picture);
      if (picture !== shown) continue; // what is on its way from another view is painted now, too, not only what this act changed
      paintLabels([...before.keys()].filter((k) => picture.labels[k] !== before[k]));
    }
    showSaved();
    if (!state) return; // an act of an earlier page, answered before we were
    state.query = message.query;
    refreshQuery();
    showCounters(message.counters);
    if (mine && message.counters.asked && message.counters.answered === message.counters.asked && !query.length && !ui.train.disabled) {
      say("All suggestions are answered: train and ask again, or label on wherever you like.");
    }
    if (!mine || typeof message.to_see !== "number") return;
    if (message.to_see !== shown?.index) show(message.to_see);
    else reveal(message.changes[0]?.superpixels[0] ?? -1);
  }

  /** What an undo changed comes into view. */
  function reveal(k) {
    if (k < 0 || k >= shown.count) return;
    const [x, y] = middle(shown, k);
    const [left, top] = [view.x + x * view.scale, view.y + y * view.scale];
    if (left < 0 || top < 0 || left > ui.view.clientWidth || top > ui.view.clientHeight) visit(k);
  }

  /** Label a picture as it will be when all acts on their way are done. */
  function applyPending(picture) {
    const now = stroke && [{ do: "label", picture: stroke.picture, superpixels: stroke.superpixels, to: stroke.to }];
    for (const act of [...pending(), ...(now ?? [])]) {
      if (act.picture !== picture.index) continue;
      for (const k of act.superpixels) {
        if (k >= picture.count) continue; // of a split that was undone
        if (act.do === "label" || act.do === "accept") picture.labels[k] = act.to;
      }
    }
  }

  /** The suggestions without those that an act on its way answers. */
  function refreshQuery() {
    const key = ([picture, k]) => picture + ":" + k;
    const gone = new Set();
    for (const act of pending()) {
      if (!["label", "accept", "skip"].includes(act.do)) continue;
      for (const k of act.superpixels) gone[act.to === NONE ? "delete" : "add"](key([act.picture, k]));
    }
    query = (state?.query ?? []).filter((pair) => !gone.has(key(pair)));
    const at = current ? findCurrent() : -1;
    if (at >= 0) place = at;
    else if (current) current = null;
    showLines();
    prefetch();
  }

  const findCurrent = () => query.findIndex(([picture, k]) => picture === current[0] && k === current[1]);

  /** The next suggestion's picture is fetched while this one is looked at. */
  function prefetch() {
    if (!shown || !query.length) return;
    const [index] = query[(place + (current ? 1 : 0)) % query.length];
    if (!pictures.has(index)) request(index, true);
  }

  function receiveTraining(message) {
    const running = message.state === "running";
    clearTimeout(poll);
    training = running ? performance.now() : 0;
    if (running) poll = setTimeout(() => send({ kind: "poll" }), 1000);
    if (running && !ui.train.disabled) say("");
    ui.train.disabled = running;
    ui.stop.hidden = ui.progress.hidden = !running;
    ui.progress.value = message.share ?? 0;
    const left = running && message.seconds_left != null ? `about ${duration(message.seconds_left)} left` : "";
    ui.training.textContent = running ? [message.text, left].filter(Boolean).join(", ") : "";
    if (message.state === "failed") say(message.text, "bad");
    else if (message.state !== "none" && !running && message.text) say(message.text);
  }

  // ------------------------------------------------------------------ painting

  function show(index) {
    if (index < 0 || index >= state.pictures.length) return;
    endStroke();
    wanted = index;
    ui.picture.value = shown?.index ?? index; // the name of what is drawn; a dead kernel sends no other
    if (pictures.has(index)) return display(pictures.get(index));
    cursor = -1; // what a key would mean is not there yet
    showLines();
    request(index);
  }

  function display(picture) {
    const same = shown?.index === picture.index && shown.width === picture.width && shown.height === picture.height;
    if (!same) endStroke();
    shown = picture;
    pictures.delete(picture.index); // the most recently used comes last
    pictures.set(picture.index, picture);
    const { width, height } = picture;
    for (const name of ["image", "prediction", "uncertainty", "labels", "borders"]) {
      if (ui[name].width !== width || ui[name].height !== height) Object.assign(ui[name], { width, height });
      ui[name].drawn = false;
    }
    ui.image.getContext("2d").drawImage(picture.bitmap, 0, 0, width, height);
    const image = new ImageData(width, height);
    paint = { image, pixels: new Uint32Array(image.data.buffer) };
    for (let k = 0; k < picture.count; k++) if (picture.labels[k] !== NONE) fill(k);
    ui.labels.getContext("2d").putImageData(image, 0, 0);
    if (!same || cursor >= picture.count) cursor = -1;
    hover = -1;
    ui.picture.value = picture.index;
    ui.info.textContent = "";
    if (!same) fit();
    showLayers();
    if (goal && current?.[0] === picture.index) visit(current[1]);
    goal = false;
    showLines();
    showShare(picture.index);
    prefetch();
  }

  function fill(k) {
    const { start, order, width } = shown;
    const code = shown.labels[k];
    const [a, b] = [colors[2 * code], colors[2 * code + 1]];
    for (let j = start[k]; j < start[k + 1]; j++) {
      const i = order[j];
      paint.pixels[i] = a !== b && stripe(i % width, Math.floor(i / width)) ? b : a;
    }
  }

  /** Only the boxes of the superpixels that changed go to the canvas. */
  function paintLabels(superpixels) {
    const context = ui.labels.getContext("2d");
    for (const k of superpixels) {
      const [left, top, right, bottom] = shown.box.subarray(4 * k, 4 * k + 4);
      fill(k);
      context.putImageData(paint.image, 0, 0, left, top, right - left + 1, bottom - top + 1);
    }
  }

  /** Prediction, uncertainty and borders are unpacked and painted when they are first shown. */
  function showLayers() {
    const near = view.scale >= 2; // few superpixels in view: their borders are drawn as fine lines instead
    for (const [name] of LAYERS) {
      const { toggle, slider } = ui.layers[name];
      const there = name === "labels" || name === "borders" || Boolean(shown?.[name]);
      const seen = there && !bare && toggle.getAttribute("aria-pressed") === "true";
      toggle.disabled = slider.disabled = !there;
      ui[name].hidden = !seen || (name === "borders" && near);
      ui[name].style.opacity = slider.value;
      if (seen && shown && !ui[name].drawn && !ui[name].hidden) drawLayer(name, shown);
    }
    ui.bordersLine.style.opacity = ui.layers.borders.slider.value;
    showBorders();
  }

  async function drawLayer(name, picture) {
    if (name === "labels") return;
    ui[name].drawn = true;
    const image = new ImageData(picture.width, picture.height);
    const pixels = new Uint32Array(image.data.buffer);
    if (name === "borders") borders(picture.ids, picture.width, pixels, Math.max(1, Math.round(0.8 / fitScale())));
    else {
      const values = await inflate(picture[name]);
      for (let i = 0; i < values.length; i++) pixels[i] = name === "prediction" ? colors[2 * values[i]] : heatmap[values[i]];
    }
    if (picture === shown) ui[name].getContext("2d").putImageData(image, 0, 0);
  }

  const outlineOf = (k) => (shown.outlines[k] ??= outline(shown, k));
  const setLine = (group, path) => group.childNodes.forEach((node) => node.setAttribute("d", path));

  function showBorders() {
    const seen = shown && !bare && view.scale >= 2 && ui.layers.borders.toggle.getAttribute("aria-pressed") === "true";
    if (!seen) {
      if (bordered.picture) setLine(ui.bordersLine, "");
      return void (bordered = {});
    }
    const { box, count } = shown;
    const [w, h_] = [ui.view.clientWidth / view.scale / 2, ui.view.clientHeight / view.scale / 2];
    const [column, row] = [Math.floor(-view.x / view.scale / w), Math.floor(-view.y / view.scale / h_)];
    const area = [column * w, row * h_, (column + 3) * w, (row + 3) * h_]; // the view lies inside while it moves a little
    if (area.every((v, i) => v === bordered.area?.[i]) && bordered.picture === shown) return;
    bordered = { picture: shown, area };
    const near = (b) => box[b] <= area[2] && box[b + 2] >= area[0] && box[b + 1] <= area[3] && box[b + 3] >= area[1];
    const parts = [];
    for (let k = 0; k < count; k++) if (near(4 * k)) parts.push(outlineOf(k));
    setLine(ui.bordersLine, parts.join(""));
  }

  /** Outlines of the suggestions, the current one, the keyboard's superpixel and the one under the pointer. */
  function showLines() {
    if (!shown) return;
    const here = current?.[0] === shown.index ? current[1] : -1;
    const open = query.filter(([picture, k]) => picture === shown.index && k !== here && k < shown.count);
    setLine(ui.suggestionsLine, open.map(([, k]) => outlineOf(k)).join(""));
    setLine(ui.currentLine, here >= 0 && here < shown.count ? outlineOf(here) : "");
    setLine(ui.cursorLine, cursor >= 0 && cursor !== here ? outlineOf(cursor) : "");
    showHover();
  }

  function showHover() {
    setLine(ui.hoverLine, hover >= 0 ? outlineOf(hover) : "");
    const k = hover >= 0 ? hover : cursor;
    if (k < 0) return void (ui.info.textContent = "");
    const name = (code) => (code === VOID ? "void" : state.classes[code]?.name);
    const label = shown.labels[k] === NONE ? "not labeled" : "labeled " + name(shown.labels[k]);
    const predicted = shown.predicted ? ` · predicted ${name(shown.predicted[k]) ?? "nothing"}` : "";
    ui.info.textContent = `superpixel ${k} · ${label}${predicted}`;
  }

  // ------------------------------------------------------------------ zoom and pan

  function fitScale() {
    return Math.min(ui.view.clientWidth / shown.width, ui.view.clientHeight / shown.height) || 1;
  }

  function fit() {
    const scale = fitScale();
    move((ui.view.clientWidth - shown.width * scale) / 2, (ui.view.clientHeight - shown.height * scale) / 2, scale, true);
  }

  function move(x, y, scale, fitted = false) {
    const near = (at, size, room) => {
      const some = Math.min(60, room / 2); // pixels of the picture that always stay in view
      return Math.min(Math.max(at, some - size), room - some);
    };
    x = near(x, shown.width * scale, ui.view.clientWidth);
    y = near(y, shown.height * scale, ui.view.clientHeight);
    view = { x, y, scale, fitted };
    ui.stage.style.transform = `translate(${view.x}px, ${view.y}px) scale(${scale})`;
    ui.lines.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${scale})`);
    ui.stage.classList.toggle("oreal-far-in", scale * devicePixelRatio >= 4);
    showLayers();
  }

  /** Zoom by a factor so that the point (x, y) of the view stays where it is. */
  function zoom(factor, x, y) {
    const scale = Math.min(Math.max(view.scale * factor, Math.min(fitScale(), 1) / 2), Math.max(40, fitScale()));
    move(x - ((x - view.x) * scale) / view.scale, y - ((y - view.y) * scale) / view.scale, scale);
  }

  /** Pan and zoom to superpixel k with its surroundings, and put the keyboard's cursor there. */
  function visit(k) {
    const [left, top, right, bottom] = shown.box.subarray(4 * k, 4 * k + 4);
    const [w, h_] = [ui.view.clientWidth, ui.view.clientHeight];
    const room = (low, high, size) => Math.max(5 * (high - low + 1), Math.min(64, size), 0.4 * size); // surroundings tell what it is
    const across = w / room(left, right, shown.width);
    const scale = Math.min(Math.max(Math.min(across, h_ / room(top, bottom, shown.height)), fitScale()), 24);
    setCursor(k);
    if (scale === fitScale()) fit();
    else {
      const place = (room, low, high, size) => {
        const least = room - size * scale; // at the picture's edge rather more of the picture than emptiness
        return least > 0 ? least / 2 : Math.min(0, Math.max(least, room / 2 - ((low + high + 1) / 2) * scale));
      };
      move(place(w, left, right, shown.width), place(h_, top, bottom, shown.height), scale);
    }
  }

  // ------------------------------------------------------------------ labeling

  function setCursor(k, at = middle(shown, k)) {
    cursor = k;
    anchor = at;
    hover = -1; // the keyboard took over; the next move of the pointer takes it back
  }

  /** The superpixel a key means: under the pointer, else the keyboard's. */
  const target = () => (hover >= 0 ? hover : cursor);

  function recolor(superpixels, to) {
    for (const k of superpixels) shown.labels[k] = to;
    paintLabels(superpixels);
  }

  function label(superpixels, to, how) {
    recolor(superpixels, to);
    answer("label", superpixels, { to, how });
  }

  /** Send an act on superpixels of this picture; where it answers the current suggestion, go on if that is wished. */
  function answer(what, superpixels, more = {}, picture = shown.index) {
    const answers = what !== "split" && more.to !== NONE && current?.[0] === picture && superpixels.includes(current[1]);
    act(what, { picture, superpixels, ...more });
    refreshQuery();
    showShare(picture);
    if (answers && (ui.go.checked || what === "skip")) step(0);
  }

  function accept(k) {
    const code = shown?.predicted?.[k];
    if (k < 0 || code === undefined || code === NONE) {
      return say("There is no prediction to accept here: train first, then point at a superpixel.");
    }
    recolor([k], code);
    answer("accept", [k], { to: code, how: "key" }); // what was seen, though a round may end meanwhile
  }

  /** Go to the suggestion `by` places on; the one answered last has left the query, so that 0 is then the next. */
  function step(by) {
    if (!query.length) return say(state.round ? "No suggestion is open: train and ask again." : "No suggestion is open.");
    const gone = !current && by > 0 ? 1 : 0;
    place = (((place + by - gone) % query.length) + query.length) % query.length;
    current = query[place];
    if (current[0] === shown?.index) {
      visit(current[1]);
      showLines();
      prefetch();
    } else {
      goal = true;
      show(current[0]);
    }
  }

  /** Only Python knows what to undo, and nothing is seen until it has: a second one meanwhile would take back too much. */
  function takeBack(what) {
    const waits = store.all().some((pending) => pending.do === what && performance.now() - (sentAt.get(pending.id) ?? 0) > 1000);
    if (waits) say(`The ${what} before this one is still on its way.`);
    else act(what);
  }

  const superpixelAt = (x, y) => {
    const { ids, width, height } = shown;
    return x >= 0 && y >= 0 && x < width && y < height ? ids[Math.floor(y) * width + Math.floor(x)] : -1;
  };

  /** From the cursor straight on until another superpixel begins; with Shift a few pixels only, to reach tiny ones. */
  function walk(dx, dy, fine) {
    if (hover >= 0) setCursor(hover); // the keyboard goes on where the pointer is
    else if (cursor < 0) setCursor(superpixelAt(...inside(ui.view.clientWidth / 2, ui.view.clientHeight / 2)));
    else {
      let [x, y] = anchor;
      for (let steps = 0; fine ? steps < 2 : superpixelAt(x, y) === cursor; steps++) [x, y] = [x + dx, y + dy];
      const k = superpixelAt(x, y);
      if (k >= 0) setCursor(k, fine || k === cursor ? [x, y] : drift(k, x, y, dx));
    }
    const [x, y] = [view.x + anchor[0] * view.scale, view.y + anchor[1] * view.scale];
    const [w, h_] = [ui.view.clientWidth, ui.view.clientHeight];
    if (x < 30 || y < 30 || x > w - 30 || y > h_ - 30) move(view.x + w / 2 - x, view.y + h_ / 2 - y, view.scale);
    showLines();
  }

  /** Go on from the row (or column) we came along, from the middle of the part of superpixel k that lies on it. */
  function drift(k, x, y, dx) {
    const [sx, sy] = dx ? [1, 0] : [0, 1];
    let [low, high] = [0, 0];
    while (superpixelAt(x + (low - 1) * sx, y + (low - 1) * sy) === k) low--;
    while (superpixelAt(x + (high + 1) * sx, y + (high + 1) * sy) === k) high++;
    const half = Math.round((low + high) / 2);
    return [x + half * sx, y + half * sy];
  }

  /** The point of the picture at a point of the view, moved into the picture. */
  function inside(x, y) {
    const clip = (v, size) => Math.min(Math.max(Math.floor(v), 0), size - 1);
    return [clip((x - view.x) / view.scale, shown.width), clip((y - view.y) / view.scale, shown.height)];
  }

  const toggled = (k) => (shown.labels[k] === chosen ? NONE : chosen);

  // ------------------------------------------------------------------ commands and keys

  function choose(code) {
    chosen = code;
    for (const button of ui.classes.children) button.setAttribute("aria-pressed", Number(button.dataset.code) === code);
  }

  const commands = {
    n: () => step(1),
    p: () => step(-1),
    Enter: () => cursor >= 0 && label([cursor], toggled(cursor), "key"),
    a: () => accept(target()),
    s() {
      if (current) answer("skip", [current[1]], { how: "key" }, current[0]);
      else say("Go to a suggestion first (n), then skip it.");
    },
    x() {
      if (target() >= 0) answer("split", [target()], { how: "key" });
      else say("Point at the superpixel to split, or go there with the arrow keys.");
    },
    u: () => takeBack("undo"),
    r: () => takeBack("redo"),
    0: () => choose(VOID),
    f: fit,
    h() {
      bare = !bare;
      ui.root.querySelector("[data-key=h]").setAttribute("aria-pressed", bare);
      showLayers();
    },
    "[": () => show(wanted - 1),
    "]": () => show(wanted + 1),
    "?": () => toggleHelp(),
    ArrowLeft: (event) => walk(-1, 0, event.shiftKey),
    ArrowRight: (event) => walk(1, 0, event.shiftKey),
    ArrowUp: (event) => walk(0, -1, event.shiftKey),
    ArrowDown: (event) => walk(0, 1, event.shiftKey),
    "+": () => zoom(1.4, ui.view.clientWidth / 2, ui.view.clientHeight / 2),
    "-": () => zoom(1 / 1.4, ui.view.clientWidth / 2, ui.view.clientHeight / 2),
  };
  const MAY_REPEAT = new Set(["n", "p", "u", "r", "[", "]", "+", "-", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]);

  function run(key, event = {}) {
    if (!shown || (event.repeat && !MAY_REPEAT.has(key))) return;
    const code = CLASS_KEYS.indexOf(key);
    if (code >= 0 && code < state.classes.length) choose(code);
    else commands[key]?.(event);
  }

  const isOurs = (event) => !isModified(event) && !["Tab", "Escape"].includes(event.key);
  const isModified = (event) => (event.ctrlKey || event.metaKey || event.altKey) && !event.getModifierState("AltGraph");

  /** Every plain key stays in the widget, or a stray x would cut the notebook's cell; Ctrl+S must reach the notebook. */
  function onKey(event) {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.isComposing || key === "Tab") return;
    if (key === "Escape") {
      if (ui.help.hidden) return event.target.blur();
      event.stopPropagation();
      return toggleHelp();
    }
    const typed = event.target.matches("input, select");
    if (isModified(event)) {
      const undo = { z: event.shiftKey ? "r" : "u", y: "r" }[key];
      if (!undo || event.altKey || typed) return;
      event.stopPropagation();
      event.preventDefault();
      return run(undo, event);
    }
    event.stopPropagation();
    if (typed || (event.target.matches("button") && ["Enter", " "].includes(key))) return; // they need the key themselves
    event.preventDefault();
    if (key === " ") space = true;
    ui.view.classList.toggle("oreal-grab", space);
    const onShift = /^Digit\d$/.test(event.code) && !(key in commands); // keyboards that have digits there
    run(onShift ? event.code.slice(5) : key, event);
  }

  function onKeyUp(event) {
    if (event.key === " ") ui.view.classList.toggle("oreal-grab", (space = false));
    if (isOurs(event)) event.stopPropagation();
  }

  on(ui.root, "keydown", onKey);
  on(ui.root, "keyup", onKeyUp);
  on(ui.root, "keypress", (event) => isModified(event) || event.stopPropagation());
  on(ui.root, "focusout", () => ui.view.classList.toggle("oreal-grab", (space = false)));
  // Where a notebook listens before us (JupyterLab 4.0), this attribute tells it to leave plain keys alone.
  const plain = (event) => ui.root.toggleAttribute("data-lm-suppress-shortcuts", isOurs(event));
  on(window, "keydown", plain, { capture: true });
  // After a click on a button or a choice by mouse the keys mean the picture again.
  let byMouse = false;
  on(ui.root, "pointerdown", () => (byMouse = true), { capture: true });
  on(ui.root, "keydown", () => (byMouse = false), { capture: true });
  const toPicture = (event) => byMouse && event.target.matches("button, select, input") && ui.root.focus({ preventScroll: true });
  on(ui.root, "click", (event) => event.target.matches("select") || toPicture(event));
  on(ui.root, "change", toPicture);

  // ------------------------------------------------------------------ pointer

  const toPoint = (event, move = event) => [
    (event.offsetX + move.clientX - event.clientX - view.x) / view.scale,
    (event.offsetY + move.clientY - event.clientY - view.y) / view.scale,
  ];

  function onDown(event) {
    ui.root.focus({ preventScroll: true });
    if (!shown || stroke || pan) return;
    ui.view.setPointerCapture(event.pointerId);
    if (event.button > 0 || space) pan = { x: event.clientX, y: event.clientY };
    else startStroke(event);
  }

  function startStroke(event) {
    const began = performance.now();
    const at = toPoint(event);
    const k = superpixelAt(...at);
    if (k < 0) return;
    const clear = shown.labels[k] === chosen; // a click on it clears; a drag never does
    stroke = { picture: shown.index, to: chosen, superpixels: [], seen: new Set(), first: k, clear, crossed: false, at };
    cross(k);
    hover = k;
    showHover();
    if (!clear) measure("paint", began);
  }

  function cross(k) {
    if (k < 0 || stroke.seen.has(k)) return;
    stroke.seen.add(k);
    if (shown.labels[k] === stroke.to) return;
    stroke.superpixels.push(k);
    recolor([k], stroke.to);
  }

  /** All superpixels on the straight line from the last point, so that a fast drag leaves none out. */
  function drag(to) {
    const [[x, y], [u, v]] = [stroke.at, to];
    const steps = Math.max(1, Math.ceil(2 * Math.max(Math.abs(u - x), Math.abs(v - y))));
    for (let i = 1; i <= steps; i++) cross(superpixelAt(x + ((u - x) * i) / steps, y + ((v - y) * i) / steps));
    stroke.crossed ||= stroke.seen.size > 1;
    stroke.at = to;
  }

  function endStroke() {
    if (!stroke) return;
    const began = performance.now();
    const { superpixels, to, crossed, clear, first } = stroke;
    stroke = null;
    if (clear && !crossed) {
      recolor([first], NONE);
      measure("paint", began);
      answer("label", [first], { to: NONE, how: "click" });
    } else if (superpixels.length) answer("label", superpixels, { to, how: crossed ? "drag" : "click" });
    showLines();
  }

  function onMove(event) {
    if (!shown) return;
    const began = performance.now();
    if (pan) {
      move(view.x + event.clientX - pan.x, view.y + event.clientY - pan.y, view.scale);
      pan = { x: event.clientX, y: event.clientY };
      return;
    }
    if (stroke) for (const one of event.getCoalescedEvents?.() ?? [event]) drag(toPoint(event, one));
    const k = superpixelAt(...toPoint(event));
    if (k === hover) return;
    hover = k;
    showHover();
    if (++hovers % 10000 === 0) performance.clearMeasures("oreal:hover"); // a long session does not pile them up
    measure("hover", began);
  }

  function onUp() {
    pan = null;
    endStroke();
  }

  function onWheel(event) {
    if (!shown || (!event.ctrlKey && !ui.root.matches(":focus-within"))) return; // let the page scroll
    event.preventDefault();
    event.stopPropagation();
    const pixels = event.deltaY * [1, 16, 400][event.deltaMode]; // from pixels, lines or pages
    const power = Math.min(Math.max(pixels * (event.ctrlKey ? 0.006 : 0.002), -0.7), 0.7); // fingers on a touchpad send Ctrl
    zoom(Math.exp(-power), event.offsetX, event.offsetY);
  }

  on(ui.view, "pointerdown", onDown);
  on(ui.view, "pointermove", onMove);
  on(ui.view, "pointerup", onUp);
  on(ui.view, "pointercancel", onUp);
  on(ui.view, "pointerleave", () => stroke || ((hover = -1), shown && showHover()));
  on(ui.view, "mousedown", (event) => event.preventDefault()); // neither text selection nor scrolling by the middle button
  on(ui.view, "contextmenu", (event) => (event.preventDefault(), event.stopPropagation()));
  on(ui.view, "wheel", onWheel, { passive: false });

  // ------------------------------------------------------------------ words around the picture

  const duration = (seconds) => (seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`);
  const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
  const options = (select, names, value, titles = {}) => {
    select.replaceChildren(...names.map((name) => h("option", { value: name, text: titles[name] ?? name })));
    select.value = value;
  };

  function say(text, kind = "") {
    ui.status.textContent = text;
    ui.status.className = `oreal-status oreal-${kind}`;
    statusAt = performance.now();
  }

  function showShare(index) {
    const picture = state.pictures[index];
    const held = pictures.get(index);
    if (held) Object.assign(picture, { labeled: held.labels.reduce((n, code) => n + (code !== NONE), 0), superpixels: held.count });
    if (ui.picture.options[index]) ui.picture.options[index].textContent = `${picture.name} · ${picture.labeled} labeled`;
  }

  function buildClasses() {
    const one = (code, name, key, color) => {
      const style = color ? `background:${color}` : "";
      const title = key ? `${name} (${key})` : name;
      const about = { type: "button", "data-code": code, title, "aria-label": title, click: () => choose(code) };
      const words = [h("span.swatch", { style }), h("span.name", {}, name), h("span.count"), h("kbd", {}, key)];
      const bar = h("span.debt", {}, h("span.have", { style }), h("span.owed"));
      return h("button.class", about, ...words, ...(code === VOID ? [] : [bar]));
    };
    const classes = state.classes.map(({ name, color }, c) => one(c, name, CLASS_KEYS[c] ?? "", color));
    ui.classes.replaceChildren(...classes, one(VOID, "void / unsure", "0"));
    choose(chosen);
  }

  function showCounters(counters) {
    const { per_class: have, debt } = counters;
    const most = Math.max(1, ...state.classes.map((_, c) => have[c] + (debt[c] ?? 0)));
    [...ui.classes.children].forEach((button, c) => {
      const owed = c < state.classes.length ? (debt[c] ?? 0) : 0;
      const name = state.classes[c]?.name ?? "void";
      button.querySelector(".oreal-count").textContent = have[c] + (owed ? ` +${owed}` : "");
      button.setAttribute("aria-label", `${name}: ${have[c]} labeled${owed ? `, ${owed} owed in the next query` : ""}`);
      const [a, b] = button.querySelectorAll(".oreal-debt > span");
      if (a) a.style.width = `${(100 * have[c]) / most}%`;
      if (b) b.style.width = `${(100 * owed) / most}%`;
    });
    ui.left.textContent = `${counters.answered} of ${counters.asked} done`;
    const facts = [
      `round ${counters.round}`,
      `${counters.answered} of ${counters.asked} suggestions answered`,
      plural(counters.clicks, "click"),
      `${counters.labeled} of ${counters.superpixels} superpixels labeled`,
      `${Math.round(counters.minutes)} min`,
    ];
    const [right, total] = counters.foreseen ?? [0, 0];
    if (total) facts.push(`the network had foreseen ${right} of ${plural(total, "click")} since it was trained`);
    ui.counters.replaceChildren(...facts.map((text) => h("span", { text })));
  }

  function showSaved() {
    const acts = store.all();
    const waited = acts.length ? performance.now() - (sentAt.get(acts[0].id) ?? started) : 0;
    const late = waited > 5000;
    const [text, kind] = waited < 300 ? ["saving", "soft"] : [`${acts.length} not saved yet`, "amber"];
    ui.saved.textContent = acts.length ? text : "✓ saved";
    ui.saved.className = `oreal-saved oreal-${!acts.length ? "good" : late || held ? "bad" : kind}`;
    ui.late.textContent = late ? "The kernel does not answer; your clicks are kept in this browser. Run the cell again (or load the page anew): they are sent then." : "";
    ui.late.hidden = !late || held; // while it cannot write, it does answer
    ui.again.hidden = !late && !(held && acts.length);
  }

  /** Once a second: the save indicator, and acts without an answer once more, at longer and longer intervals. */
  function tick() {
    const now = performance.now();
    if (!state && now - started > 5000) ui.wait.textContent = "The kernel does not answer. Run the cell again.";
    if (training && now - training > 10_000) {
      training = now; // the answer to a poll did not arrive
      send({ kind: "poll" });
    }
    showSaved(); // what we sent may have been saved by way of another view
    if (!store.all().length) return;
    if (!state || now - lastSend < retry * 1000) return;
    retry = Math.min(2 * retry, 300);
    sendAgain();
  }

  function buildHelp() {
    const rows = [
      ["click", "label a superpixel with the current class; click again: clear it"],
      ["drag", "paint all superpixels crossed"],
      ["1-9, letters", "choose a class (the key is on its button)"],
      ["wheel, + -", "zoom (click the picture first); with space, the middle or the right button: pan by dragging"],
      ["arrows", "from superpixel to superpixel; with Shift in small steps"],
      ...COMMANDS.map(([key, , text]) => [key, text]),
      ["Escape", "give the keys back to the page"],
    ];
    ui.help.replaceChildren(
      h("div.head", { text: "Keys" }),
      h("dl", {}, ...rows.flatMap(([key, text]) => [h("dt", {}, h("kbd", { text: key })), h("dd", { text })])),
      h("button", { type: "button", text: "Close", click: () => toggleHelp() })
    );
  }

  function toggleHelp() {
    ui.help.hidden = !ui.help.hidden;
    ui.root.focus({ preventScroll: true });
  }

  for (const [name] of LAYERS) {
    const { toggle, slider } = ui.layers[name];
    on(toggle, "click", () => {
      toggle.setAttribute("aria-pressed", toggle.getAttribute("aria-pressed") !== "true");
      if (bare) run("h");
      showLayers();
    });
    on(slider, "input", showLayers);
  }
  on(ui.picture, "change", () => show(Number(ui.picture.value)));
  for (const select of [ui.strategy, ui.aggregate]) {
    on(select, "change", () => send({ kind: "set", strategy: ui.strategy.value, aggregate: ui.aggregate.value }));
  }
  on(ui.train, "click", () => {
    ui.train.disabled = true;
    ui.training.textContent = "starting ...";
    send({ kind: "train" });
  });
  on(ui.stop, "click", () => send({ kind: "stop" }));
  on(ui.export, "click", () => (say("Exporting ..."), send({ kind: "export" })));
  on(ui.again, "click", sendAgain);

  // ------------------------------------------------------------------ start and end

  const resized = new ResizeObserver(() => shown && (view.fitted ? fit() : move(view.x, view.y, view.scale)));
  resized.observe(ui.view);
  const timer = setInterval(tick, 1000);
  model.on("msg:custom", receive);
  showSaved();
  send({ kind: "hello", pending: store.all(), now: Date.now() });

  return () => {
    endStroke();
    off.abort();
    resized.disconnect();
    clearInterval(timer);
    clearTimeout(poll);
    model.off("msg:custom", receive);
    ui.root.remove();
  };
}

export default { render };
