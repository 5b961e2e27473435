/* Tools beside the click: brush, eraser and region, and what is done to many superpixels at once. */

import { measure } from "./acts.js";
import { NONE, VOID } from "./colors.js";
import { h, setLine } from "./elements.js";
import { inflate } from "./pixels.js";
import { superpixelsWithin } from "./places.js";
import { plural } from "./words.js";

const SURE = (255 * 0.05) / 0.95; // the second class against the best one, at most: 5 % to 95 %

export const tools = {
  /** Pressing the key of a tool again goes back to clicks. */
  take(tool) {
    this.tool = tool === this.tool ? "click" : tool;
    for (const button of this.ui.tools) button.setAttribute("aria-pressed", button.tool === this.tool);
    this.ui.size.hidden = !this.brushes();
    this.ui.ring.setAttribute("r", 0);
    this.hideMenu();
    this.showHover();
  },

  brushes() {
    return this.tool === "brush" || this.tool === "erase";
  },

  showRing([x, y]) {
    for (const [name, value] of Object.entries({ cx: x, cy: y, r: this.ui.radius.value })) this.ui.ring.setAttribute(name, value);
  },

  // ------------------------------------------------------------------ pixels

  startBrush(at) {
    const to = this.tool === "erase" ? NONE : this.chosen;
    this.drawn = { picture: this.shown.index, to, radius: Number(this.ui.radius.value), points: [] };
    this.showPreview(-1);
    this.brush(at);
  },

  brush(at) {
    const { points, radius, to } = this.drawn;
    const [x, y] = (points.length ? points.at(-1) : at).map((v) => v + 1e-3); // a point alone is painted, too
    const context = this.ui.preview.getContext("2d");
    context.strokeStyle = to === NONE ? "#fff" : to === VOID ? "#909090" : this.state.classes[to].color;
    context.lineWidth = 2 * radius;
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(...at);
    context.stroke();
    if (!points.length || Math.hypot(at[0] - x, at[1] - y) >= 1) points.push(at.map((v) => Math.round(10 * v) / 10));
  },

  /** What was painted stays in sight until Python sends the superpixels it made. */
  endBrush() {
    if (!this.drawn) return;
    const { picture, ...more } = this.drawn;
    this.drawn = null;
    this.answer("paint", [], { ...more, how: "brush" }, picture);
  },

  // ------------------------------------------------------------------ regions and menus

  drawRegion(at) {
    this.region.to = at;
    const [[x, y], [u, v]] = [this.region.from, at];
    setLine(this.ui.regionLine, `M${x} ${y}H${u}V${v}H${x}Z`);
  },

  endRegion(event) {
    const { from, to } = this.region;
    this.region = null;
    const some = superpixelsWithin(this.shown, from, to);
    setLine(this.ui.regionLine, some.map((k) => this.outlineOf(k)).join(""));
    if (!some.length) return;
    const items = [
      ["Label all", "Gives all of them the current class.", () => this.labelAll(some)],
      ["Accept what is predicted", "Gives those without a label the class that is predicted.", () => this.acceptAll(false, some)],
      ["Finer superpixels", "Cuts each of them into about four.", () => this.answer("split", some, { factor: 4, how: "region" })],
      ["Coarser superpixels", "Makes about one out of four.", () => this.answer("split", some, { factor: 0.25, how: "region" })],
      ["Clear", "Takes their labels away.", () => this.labelAll(some, NONE)],
    ];
    this.showMenu(event.clientX, event.clientY, `${plural(some.length, "superpixel")}:`, items);
  },

  showMenu(x, y, title, items) {
    const { menu, root } = this.ui;
    const one = ([text, about, act]) => {
      const click = () => (this.hideMenu(), act());
      return h("button", { type: "button", role: "menuitem", title: about, click }, text, h("span.soft", { text: about }));
    };
    menu.replaceChildren(h("div.head", { text: title }), ...items.map(one));
    menu.hidden = false;
    const { left, top, width, height } = root.getBoundingClientRect();
    menu.style.left = `${Math.max(4, Math.min(x - left, width - menu.offsetWidth - 8))}px`;
    menu.style.top = `${Math.max(4, Math.min(y - top, height - menu.offsetHeight - 8))}px`;
    if (document.activeElement.matches("button:focus-visible")) menu.querySelector("button").focus(); // opened by the keyboard
  },

  hideMenu() {
    this.ui.menu.hidden = true;
    setLine(this.ui.regionLine, "");
  },

  // ------------------------------------------------------------------ many at once

  labelAll(superpixels, to = this.chosen) {
    const some = superpixels.filter((k) => this.shown.labels[k] !== to);
    if (!some.length) return;
    this.recolor(some, to);
    this.answer("label", some, { to, how: "drag" });
  },

  acceptMenu() {
    const { left, bottom } = this.ui.root.querySelector("[data-key=all]").getBoundingClientRect();
    this.showMenu(left, bottom + 4, "What is predicted in this picture, where it has no label:", [
      ["Everything", "Gives each superpixel the class that is predicted.", () => this.acceptAll(false)],
      ["All above 95 %", "Only where the best class has 95 % against the second, on average.", () => this.acceptAll(true)],
    ]);
  },

  /** Accepts the prediction of all (or these) superpixels without a label; only where it is sure, if that is wished. */
  async acceptAll(sure, among = [...this.shown.labels.keys()]) {
    const { shown } = this;
    if (!shown.predicted) return this.say("There is no prediction to accept here yet: label two classes first, or train.");
    const doubt = new Float64Array(shown.count);
    if (sure) (await inflate(shown.uncertainty)).forEach((value, i) => (doubt[shown.ids[i]] += value));
    if (shown !== this.shown) return;
    const { start, labels, predicted } = shown;
    const fits = (k) => labels[k] === NONE && predicted[k] !== NONE && doubt[k] <= SURE * (start[k + 1] - start[k]);
    const some = among.filter(fits);
    if (!some.length) return this.say(sure ? "Nothing here is that sure." : "All of this has a label.");
    const began = performance.now();
    const to = some.map((k) => predicted[k]);
    some.forEach((k, i) => (labels[k] = to[i]));
    this.paintLabels(some);
    measure("paint", began);
    this.answer("all", some, { to, how: "all" });
    this.say(`Accepted ${plural(some.length, "superpixel")}; one undo takes them all back.`, "good");
  },

  fillHoles() {
    this.answer("fill", [], { to: this.chosen, how: "fill" });
  },
};
