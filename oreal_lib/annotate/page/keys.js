/* Keys and commands. */

import { VOID } from "./colors.js";

export const COMMANDS = [
  // key, short name, what the help says
  ["n", "Next", "next suggestion: pan and zoom there"],
  ["p", "Previous", "previous suggestion"],
  ["Enter", "Label", "label the outlined superpixel (of the suggestion or the arrow keys) with the current class"],
  ["a", "Accept", "accept the predicted class of the superpixel under the pointer, else of the outlined one"],
  ["s", "Skip", "do not suggest this superpixel again in this round"],
  ["x", "Split", "split the superpixel under the pointer into smaller ones, where one label would be wrong"],
  ["c", "Click", "click superpixels, or drag across them"],
  ["b", "Brush", "paint pixels with the current class, where a superpixel is wrong; again: back to clicks"],
  ["e", "Eraser", "take pixels out of what is labeled"],
  ["g", "Region", "drag a region: label or accept it, or cut it into finer or coarser superpixels"],
  ["fill", "Fill holes", "label what the current class encloses in this picture"],
  ["all", "Accept all", "accept what is predicted, for the whole picture or where it is sure"],
  ["theme", "Light or dark", "the look of the page"],
  ["u", "Undo", "undo, as does Ctrl+Z"],
  ["r", "Redo", "redo, as do Ctrl+Y and Ctrl+Shift+Z"],
  ["0", "Void", "make void (no class, or unsure) the current class"],
  ["f", "Fit", "show the whole picture"],
  ["h", "Hide all", "hide or show all layers, to see the bare picture"],
  ["[", "Previous picture", "previous picture"],
  ["]", "Next picture", "next picture"],
  ["?", "Help", "this help"],
];
export const LETTERS = [..."abcdefghijklmnopqrstuvwxyz"].filter((letter) => !COMMANDS.some(([key]) => key === letter));
export const CLASS_KEYS = [..."123456789", ...LETTERS]; // classes beyond these are chosen by mouse or Tab

export const AT_ONCE = new Set(["[", "]", "h", "?", "theme"]);
export const REPEATABLE = new Set(["n", "p", "u", "r", "[", "]", "+", "-", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]);

/** What a key means: [meaning, key], the meaning being "pass" (not for us), "help", "blur", "typed" (the element needs it) or "run". */
export function meaning(event, helpShown, commands) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const typed = event.target.matches("input, select");
  if (event.isComposing || key === "Tab") return ["pass", key];
  if (key === "Escape") return [helpShown ? "help" : "blur", key];
  if (isModified(event)) {
    const undo = { z: event.shiftKey ? "r" : "u", y: "r" }[key];
    return !undo || event.altKey || typed ? ["pass", key] : ["run", undo];
  }
  if (typed || (event.target.matches("button") && ["Enter", " "].includes(key))) return ["typed", key];
  const onShift = /^Digit\d$/.test(event.code) && !(key in commands); // on keyboards that have their digits there
  return ["run", onShift ? event.code.slice(5) : key];
}

export const isModified = (event) => (event.ctrlKey || event.metaKey || event.altKey) && !event.getModifierState("AltGraph");
export const isOurs = (event) => !isModified(event) && !["Tab", "Escape"].includes(event.key);

/** What each key does. */
export function commandsOf(view) {
  return {
    n: () => view.step(1),
    p: () => view.step(-1),
    Enter: () => view.labelCursor(),
    a: () => view.accept(view.target()),
    s: () => view.skip(),
    x: () => view.split(),
    c: () => view.take("click"),
    b: () => view.take("brush"),
    e: () => view.take("erase"),
    g: () => view.take("region"),
    fill: () => view.fillHoles(),
    all: () => view.acceptMenu(),
    theme: () => view.showTheme(true),
    u: () => view.takeBack("undo"),
    r: () => view.takeBack("redo"),
    0: () => view.choose(VOID),
    f: () => view.fit(),
    h: () => view.hideLayers(),
    "[": () => view.show(view.wanted - 1),
    "]": () => view.show(view.wanted + 1),
    "?": () => view.toggleHelp(),
    ArrowLeft: (event) => view.walk(-1, 0, event.shiftKey),
    ArrowRight: (event) => view.walk(1, 0, event.shiftKey),
    ArrowUp: (event) => view.walk(0, -1, event.shiftKey),
    ArrowDown: (event) => view.walk(0, 1, event.shiftKey),
    "+": () => view.zoom(1.4),
    "-": () => view.zoom(1 / 1.4),
  };
}

/** What keys do. */
export const keys = {
  /** Does what a key means; one that is quicker than its picture waits for it, with those after it. */
  run(key, event = {}) {
    const waits = !this.shown || this.shown.index !== this.wanted;
    if (event.repeat && (waits || !REPEATABLE.has(key))) return;
    if (waits && !(this.state && AT_ONCE.has(key))) return void this.early.push([key, event]);
    const place = CLASS_KEYS.indexOf(key);
    if (place >= 0 && place < this.state.order.length) this.choose(this.state.order[place]);
    else this.commands[key]?.(event);
  },

  /** Every plain key stays in the widget, or a stray x would cut the notebook's cell; Ctrl+S must reach the notebook. */
  onKey(event) {
    const [means, key] = meaning(event, !this.ui.dialog.hidden || !this.ui.menu.hidden, this.commands);
    if (means === "pass") return;
    if (means === "blur") return event.target.blur();
    event.stopPropagation();
    if (means === "help") return this.toggleHelp();
    if (means === "typed") return;
    event.preventDefault();
    if (isModified(event)) return this.run(key, event);
    if (key === " ") this.space = true;
    this.ui.view.classList.toggle("oreal-grab", this.space);
    this.run(key, event);
  },

  listenToKeys() {
    const { root, view } = this.ui;
    const release = () => view.classList.toggle("oreal-grab", (this.space = false));
    this.on(root, "keydown", (event) => this.onKey(event));
    this.on(root, "keyup", (event) => {
      if (event.key === " ") release();
      if (isOurs(event)) event.stopPropagation();
    });
    this.on(root, "keypress", (event) => isModified(event) || event.stopPropagation());
    this.on(root, "focusout", release);
    // Where a notebook listens before us (JupyterLab 4.0), this attribute tells it to leave plain keys alone.
    const plain = (event) => root.toggleAttribute("data-lm-suppress-shortcuts", isOurs(event));
    this.on(window, "keydown", plain, { capture: true });
    // After a click on a button or a choice by mouse the keys mean the picture again.
    let byMouse = false;
    this.on(root, "pointerdown", () => (byMouse = true), { capture: true });
    this.on(root, "keydown", () => (byMouse = false), { capture: true });
    const toPicture = (event) => byMouse && event.target.closest("button, select, input[type=range], input[type=checkbox]") && root.focus({ preventScroll: true });
    this.on(root, "click", (event) => event.target.matches("select") || toPicture(event));
    this.on(root, "change", toPicture);
  },
};
