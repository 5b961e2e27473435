/* Mouse, pen and wheel. */

import { NONE } from "./colors.js";
import { superpixelAt, superpixelsBetween } from "./places.js";
import { measure } from "./acts.js";

/** What the pointer does. */
export const pointer = {
  toPoint(event, moved = event) {
    return [
      (event.offsetX + moved.clientX - event.clientX - this.view.x) / this.view.scale,
      (event.offsetY + moved.clientY - event.clientY - this.view.y) / this.view.scale,
    ];
  },

  onDown(event) {
    this.ui.root.focus({ preventScroll: true });
    this.hideMenu();
    if (!this.shown || this.stroke || this.pan || this.drawn || this.region) return;
    this.ui.view.setPointerCapture(event.pointerId);
    const at = this.toPoint(event);
    if (event.button > 0 || this.space || this.closed) this.pan = { x: event.clientX, y: event.clientY };
    else if (this.brushes()) this.startBrush(at);
    else if (this.tool === "region") this.region = { from: at, to: at };
    else this.startStroke(at);
  },

  startStroke(at) {
    const began = performance.now();
    const k = superpixelAt(this.shown, ...at);
    if (k < 0) return;
    const [to, clear] = [this.chosen, this.shown.labels[k] === this.chosen]; // a click on it clears; a drag never does
    this.stroke = { picture: this.shown.index, to, superpixels: [], seen: new Set(), first: k, clear, crossed: false, at };
    this.cross(k);
    this.hover = k;
    this.showHover();
    if (!clear) measure("paint", began);
  },

  cross(k) {
    const { stroke } = this;
    if (stroke.seen.has(k)) return;
    stroke.seen.add(k);
    if (this.shown.labels[k] === stroke.to) return;
    stroke.superpixels.push(k);
    this.recolor([k], stroke.to);
  },

  drag(to) {
    for (const k of superpixelsBetween(this.shown, this.stroke.at, to)) this.cross(k);
    this.stroke.crossed ||= this.stroke.seen.size > 1;
    this.stroke.at = to;
  },

  endStroke() {
    this.endBrush();
    if (!this.stroke) return;
    const began = performance.now();
    const { superpixels, to, crossed, clear, first } = this.stroke;
    this.stroke = null;
    if (clear && !crossed) {
      this.recolor([first], NONE);
      measure("paint", began);
      this.answer("label", [first], { to: NONE, how: "click" });
    } else if (superpixels.length) this.answer("label", superpixels, { to, how: crossed ? "drag" : "click" });
    this.showLines();
  },

  onMove(event) {
    if (!this.shown) return;
    const began = performance.now();
    if (this.pan) {
      const { x, y, scale } = this.view;
      this.moveTo({ x: x + event.clientX - this.pan.x, y: y + event.clientY - this.pan.y, scale });
      this.pan = { x: event.clientX, y: event.clientY };
      return;
    }
    if (this.stroke) for (const one of event.getCoalescedEvents?.() ?? [event]) this.drag(this.toPoint(event, one));
    const at = this.toPoint(event);
    if (this.brushes()) this.showRing(at);
    if (this.drawn) for (const one of event.getCoalescedEvents?.() ?? [event]) this.brush(this.toPoint(event, one));
    if (this.region) this.drawRegion(at);
    const k = superpixelAt(this.shown, ...at);
    if (k === this.hover) return;
    this.hover = k;
    this.showHover();
    if (++this.hovers % 10000 === 0) performance.clearMeasures("oreal:hover"); // they must not pile up in a long session
    measure("hover", began);
  },

  onWheel(event) {
    if (!this.shown || (!event.ctrlKey && !this.ui.root.matches(":focus-within"))) return; // let the page scroll
    event.preventDefault();
    event.stopPropagation();
    const pixels = event.deltaY * [1, 16, 400][event.deltaMode]; // from pixels, lines or pages
    const power = Math.min(Math.max(pixels * (event.ctrlKey ? 0.006 : 0.002), -0.7), 0.7); // fingers on a touchpad send Ctrl
    this.zoom(Math.exp(-power), event.offsetX, event.offsetY);
  },

  listenToPointer() {
    const { view } = this.ui;
    const up = (event) => {
      this.pan = null;
      this.endStroke();
      if (this.region) this.endRegion(event);
    };
    const leave = () => {
      if (this.stroke) return;
      this.hover = -1;
      this.ui.ring.setAttribute("r", 0);
      if (this.shown) this.showHover();
    };
    this.on(view, "pointerdown", (event) => this.onDown(event));
    this.on(view, "pointermove", (event) => this.onMove(event));
    this.on(view, "pointerup", up);
    this.on(view, "pointercancel", up);
    this.on(view, "pointerleave", leave);
    this.on(view, "mousedown", (event) => event.preventDefault()); // neither text selection nor scrolling by the middle button
    this.on(view, "contextmenu", (event) => (event.preventDefault(), event.stopPropagation()));
    this.on(view, "wheel", (event) => this.onWheel(event), { passive: false });
  },
};
