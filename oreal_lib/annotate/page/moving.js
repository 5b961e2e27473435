/* Zoom, pan and the keyboard's way from superpixel to superpixel. */

import { bytesOf } from "./pixels.js";
import { closeUp, drift, fitScale, keptInView, superpixelAt, zoomed } from "./places.js";

/** Where the picture lies in the view. */
export const moving = {
  fitScale() {
    return fitScale(this.shown, this.ui.view.clientWidth, this.ui.view.clientHeight);
  },

  fit() {
    const [scale, { clientWidth, clientHeight }] = [this.fitScale(), this.ui.view];
    const { width, height } = this.shown;
    this.moveTo({ x: (clientWidth - width * scale) / 2, y: (clientHeight - height * scale) / 2, scale }, true);
  },

  moveTo(place, fitted = false) {
    const { ui } = this;
    const { x, y, scale } = keptInView(this.shown, place, ui.view.clientWidth, ui.view.clientHeight);
    this.view = { x, y, scale, fitted };
    ui.stage.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    ui.lines.setAttribute("transform", `translate(${x} ${y}) scale(${scale})`);
    ui.stage.classList.toggle("oreal-far-in", scale * devicePixelRatio >= 4);
    this.showLayers();
    this.askForTile();
  },

  /** Where the picture's file holds more detail than is shown, what is seen comes sharp as soon as the view rests. */
  askForTile() {
    clearTimeout(this.tiling);
    const { index, width, height } = this.shown;
    const { x, y, scale } = this.view;
    if (!this.state.pictures[index].finer || scale * devicePixelRatio <= 1.1) return this.hideTile();
    const [w, high] = [this.ui.view.clientWidth, this.ui.view.clientHeight];
    const cut = (v, most) => Math.min(Math.max(v, 0), most);
    const box = [cut(-x / scale, width), cut(-y / scale, height), cut((w - x) / scale, width), cut((high - y) / scale, height)];
    const size = [w, high].map((v) => Math.ceil(v * devicePixelRatio));
    this.tiling = setTimeout(() => this.send({ kind: "tile", picture: index, box: box.map(Math.round), size }), 200);
  },

  hideTile() {
    clearTimeout(this.tiling);
    this.ui.tile.hidden = true;
  },

  async receiveTile({ picture, box: [left, top, right, bottom] }, [buffer]) {
    const { tile } = this.ui;
    URL.revokeObjectURL(tile.src);
    tile.src = URL.createObjectURL(new Blob([bytesOf(buffer)]));
    await tile.decode();
    if (picture !== this.shown.index) return;
    Object.assign(tile.style, { left: `${left}px`, top: `${top}px`, width: `${right - left}px`, height: `${bottom - top}px` });
    tile.hidden = this.view.scale * devicePixelRatio <= 1.1;
  },

  zoom(factor, x = this.ui.view.clientWidth / 2, y = this.ui.view.clientHeight / 2) {
    this.moveTo(zoomed(this.view, factor, x, y, this.fitScale()));
  },

  /** Pans and zooms to superpixel k with its surroundings, and puts the keyboard's cursor there. */
  visit(k) {
    this.setCursor(k);
    const place = closeUp(this.shown, k, this.ui.view.clientWidth, this.ui.view.clientHeight);
    if (place) this.moveTo(place);
    else this.fit();
  },

  /** The point of the view at a point of the picture. */
  inView([x, y]) {
    return [this.view.x + x * this.view.scale, this.view.y + y * this.view.scale];
  },

  /** From the cursor straight on until another superpixel begins; with Shift a few pixels only, to reach tiny ones. */
  walk(dx, dy, fine) {
    const { shown, view } = this;
    const [w, high] = [this.ui.view.clientWidth, this.ui.view.clientHeight];
    if (this.hover >= 0) this.setCursor(this.hover); // the keyboard goes on where the pointer is
    else if (this.cursor < 0) {
      const clip = (v, size) => Math.min(Math.max(Math.floor(v), 0), size - 1); // the middle of the view, moved into the picture
      const [x, y] = [clip((w / 2 - view.x) / view.scale, shown.width), clip((high / 2 - view.y) / view.scale, shown.height)];
      this.setCursor(superpixelAt(shown, x, y));
    } else {
      let [x, y] = this.anchor;
      for (let steps = 0; fine ? steps < 2 : superpixelAt(shown, x, y) === this.cursor; steps++) [x, y] = [x + dx, y + dy];
      const k = superpixelAt(shown, x, y);
      if (k >= 0) this.setCursor(k, fine || k === this.cursor ? [x, y] : drift(shown, k, x, y, dx));
    }
    const [x, y] = this.inView(this.anchor);
    const outside = x < 30 || y < 30 || x > w - 30 || y > high - 30;
    if (outside) this.moveTo({ x: view.x + w / 2 - x, y: view.y + high / 2 - y, scale: view.scale });
    this.showLines();
  },
};
