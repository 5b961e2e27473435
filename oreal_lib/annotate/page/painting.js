/* The canvases and the lines on them. */

import { borders, inflate, outline } from "./pixels.js";
import { NONE, VOID, stripe } from "./colors.js";
import { areaAround, superpixelsIn } from "./places.js";
import { CANVASES, LAYERS, setLine } from "./elements.js";

/** Shows a picture and what lies on it. */
export const painting = {
  show(index) {
    if (index < 0 || index >= this.state.pictures.length) return;
    this.endStroke();
    this.wanted = index;
    this.ui.picture.value = this.shown?.index ?? index; // the name of what is drawn; a dead kernel sends no other
    if (this.pictures.has(index)) return this.display(this.pictures.get(index));
    this.cursor = -1; // what a key would mean is not there yet
    this.showLines();
    this.request(index);
  },

  display(picture) {
    const { ui, shown } = this;
    const { index, width, height, count } = picture;
    const same = shown?.index === index && shown.width === width && shown.height === height;
    if (!same) this.endStroke();
    this.shown = picture;
    this.pictures.delete(index); // the most recently used comes last
    this.pictures.set(index, picture);
    for (const name of CANVASES) {
      if (ui[name].width !== width || ui[name].height !== height) Object.assign(ui[name], { width, height });
      ui[name].drawn = false;
    }
    ui.image.getContext("2d").drawImage(picture.bitmap, 0, 0, width, height);
    const image = new ImageData(width, height);
    this.paint = { image, pixels: new Uint32Array(image.data.buffer) };
    for (let k = 0; k < count; k++) if (picture.labels[k] !== NONE) this.fill(k);
    ui.labels.getContext("2d").putImageData(image, 0, 0);
    ui.preview.getContext("2d").clearRect(0, 0, width, height);
    this.previewed = null;
    if (!same) this.hideTile();
    if (!same || this.cursor >= count) this.cursor = -1;
    this.hover = -1;
    ui.picture.value = index;
    ui.info.textContent = "";
    if (!same) this.fit();
    this.showLayers();
    if (this.goal && this.current?.[0] === index) this.visit(this.current[1]);
    this.goal = false;
    this.showLines();
    this.showShare(index);
    if (shown && shown.index !== index && this.thumbs[shown.index]) this.showThumb(shown.index);
    this.showInStrip(index);
    this.remember();
    this.prefetch();
    if (this.state.live) this.send({ kind: "look", picture: index });
    while (this.early.length && this.shown.index === this.wanted) this.run(...this.early.shift());
  },

  fill(k) {
    const { start, order, width, labels } = this.shown;
    const [a, b] = this.colors.subarray(2 * labels[k], 2 * labels[k] + 2);
    for (let j = start[k]; j < start[k + 1]; j++) {
      const i = order[j];
      this.paint.pixels[i] = a !== b && stripe(i % width, Math.floor(i / width)) ? b : a;
    }
  },

  /** Only the boxes of the superpixels that changed go to the canvas. */
  paintLabels(superpixels) {
    const context = this.ui.labels.getContext("2d");
    for (const k of superpixels) {
      const [left, top, right, bottom] = this.shown.box.subarray(4 * k, 4 * k + 4);
      this.fill(k);
      context.putImageData(this.paint.image, 0, 0, left, top, right - left + 1, bottom - top + 1);
    }
  },

  /** Prediction, uncertainty and borders are unpacked and painted when they are first shown. */
  showLayers() {
    const { ui, shown } = this;
    const near = this.view.scale >= 2; // few superpixels in view: their borders are drawn as fine lines instead
    for (const [name] of LAYERS) {
      const { toggle, slider } = ui.layers[name];
      const there = name === "labels" || name === "borders" || Boolean(shown?.[name]);
      const seen = there && !this.bare && toggle.getAttribute("aria-pressed") === "true";
      toggle.disabled = slider.disabled = !there;
      ui[name].hidden = !seen || (name === "borders" && near);
      if (ui[name].style.opacity !== slider.value) ui[name].style.opacity = slider.value;
      if (seen && shown && !ui[name].drawn && !ui[name].hidden) this.drawLayer(name, shown);
    }
    ui.bordersLine.style.opacity = ui.layers.borders.slider.value;
    this.showBorders();
  },

  async drawLayer(name, picture) {
    if (name === "labels") return;
    this.ui[name].drawn = true;
    const image = new ImageData(picture.width, picture.height);
    const pixels = new Uint32Array(image.data.buffer);
    if (name === "borders") borders(picture.ids, picture.width, pixels, Math.max(1, Math.round(0.8 / this.fitScale())));
    else {
      const values = await inflate(picture[name]);
      const of = name === "prediction" ? (value) => this.colors[2 * value] : (value) => this.heatmap[value];
      for (let i = 0; i < values.length; i++) pixels[i] = of(values[i]);
    }
    if (picture === this.shown) this.ui[name].getContext("2d").putImageData(image, 0, 0);
  },

  /** What a click on superpixel k would label. */
  showPreview(k) {
    const { shown, previewed, ui } = this;
    if (!shown || this.drawn) return;
    const context = ui.preview.getContext("2d");
    if (previewed) context.clearRect(...previewed);
    this.previewed = null;
    if (k < 0 || k >= shown.count || this.tool !== "click" || this.stroke || shown.labels[k] === this.chosen) return;
    const [left, top, right, bottom] = shown.box.subarray(4 * k, 4 * k + 4);
    const image = context.createImageData(right - left + 1, bottom - top + 1);
    const [pixels, color] = [new Uint32Array(image.data.buffer), this.colors[2 * this.chosen]];
    for (let j = shown.start[k]; j < shown.start[k + 1]; j++) {
      const y = Math.floor(shown.order[j] / shown.width);
      pixels[(y - top) * image.width + (shown.order[j] - y * shown.width) - left] = color;
    }
    context.putImageData(image, left, top);
    this.previewed = [left, top, image.width, image.height];
  },

  outlineOf(k) {
    return (this.shown.outlines[k] ??= outline(this.shown, k));
  },

  showBorders() {
    const { ui, shown, view } = this;
    const seen = shown && !this.bare && view.scale >= 2 && ui.layers.borders.toggle.getAttribute("aria-pressed") === "true";
    if (!seen) {
      if (this.bordered.picture) setLine(ui.bordersLine, "");
      return void (this.bordered = {});
    }
    const area = areaAround(view, ui.view.clientWidth, ui.view.clientHeight);
    if (area.every((v, i) => v === this.bordered.area?.[i]) && this.bordered.picture === shown) return;
    this.bordered = { picture: shown, area };
    setLine(ui.bordersLine, superpixelsIn(shown, area).map((k) => this.outlineOf(k)).join(""));
  },

  /** Outlines of the suggestions, the current one, the keyboard's superpixel and the one under the pointer. */
  showLines() {
    const { ui, shown, cursor } = this;
    if (!shown) return;
    const here = this.current?.[0] === shown.index ? this.current[1] : -1;
    const open = this.query.filter(([picture, k]) => picture === shown.index && k !== here && k < shown.count);
    setLine(ui.suggestionsLine, open.map(([, k]) => this.outlineOf(k)).join(""));
    setLine(ui.currentLine, here >= 0 && here < shown.count ? this.outlineOf(here) : "");
    setLine(ui.cursorLine, cursor >= 0 && cursor !== here ? this.outlineOf(cursor) : "");
    this.showHover();
  },

  showHover() {
    const { ui, shown, hover, cursor } = this;
    setLine(ui.hoverLine, hover >= 0 && !this.brushes() ? this.outlineOf(hover) : "");
    this.showPreview(hover);
    const k = hover >= 0 ? hover : cursor;
    if (k < 0) return void (ui.info.textContent = "");
    const name = (code) => (code === VOID ? "void" : this.state.classes[code]?.name);
    const label = shown.labels[k] === NONE ? "not labeled" : "labeled " + name(shown.labels[k]);
    const predicted = shown.predicted ? ` · predicted ${name(shown.predicted[k]) ?? "nothing"}` : "";
    ui.info.textContent = `superpixel ${k} · ${label}${predicted}`;
  },
};
