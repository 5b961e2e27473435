/* The classes beside the picture: choosing, finding and editing them. */

import { VOID } from "./colors.js";
import { h, place, setOptions } from "./elements.js";
import { CLASS_KEYS } from "./keys.js";
import { classButton } from "./side.js";

export const classes = {
  buildClasses() {
    const { state, ui } = this;
    const one = (code, name, key, color) => classButton(code, name, key, color, (code) => this.choose(code));
    const buttons = state.order.map((c, i) => one(c, state.classes[c].name, CLASS_KEYS[i] ?? "", state.classes[c].color));
    ui.classes.replaceChildren(...buttons, one(VOID, "void / unsure", "0"));
    ui.search.hidden = state.order.length <= 12;
    this.find();
    this.choose(this.chosen);
    this.buildEditor();
  },

  choose(code) {
    this.chosen = code;
    for (const button of this.ui.classes.children) button.setAttribute("aria-pressed", Number(button.dataset.code) === code);
    this.showPreview(this.hover);
    this.remember();
  },

  /** Picture and class are there again after a reload. */
  remember() {
    if (this.shown) place.leave(this.session, { picture: this.state.pictures[this.shown.index].name, chosen: this.chosen });
  },

  /** Only the classes that hold what is typed; returns them. */
  find() {
    const text = this.ui.search.value.trim().toLowerCase();
    const fits = (button) => button.querySelector(".oreal-name").textContent.toLowerCase().includes(text);
    for (const button of this.ui.classes.children) button.hidden = !fits(button);
    return [...this.ui.classes.children].filter(fits);
  },

  /** A row for each class; what is being typed elsewhere keeps its place. */
  buildEditor() {
    const { editor, edit } = this.ui;
    if (edit.getAttribute("aria-pressed") !== "true") return;
    const inputs = () => [...editor.querySelectorAll("input, button, select")];
    const [place, typed] = [inputs().indexOf(document.activeElement), editor.querySelector(".oreal-new")?.value ?? ""];
    const { order } = this.state;
    const add = h("input.new", { placeholder: "a new class", "aria-label": "A new class", value: typed });
    const send = () => add.value.trim() && this.editClasses([...this.table(), [null, add.value.trim(), null]]) & (add.value = "");
    const check = () => add.value.trim() || this.sayNameless();
    add.addEventListener("change", send);
    add.addEventListener("keydown", ({ key }) => key === "Enter" && check());
    const rows = order.map((code, i) => this.classRow(code, i));
    const adding = h("div.group", {}, add, h("button", { type: "button", text: "Add", mousedown: check }));
    editor.replaceChildren(adding, ...(order.length > 1 ? this.mergeRows() : []), h("div.head", { text: "Names, colors, order" }), ...rows);
    inputs()[place]?.focus();
  },

  classRow(code, i) {
    const { classes, order } = this.state;
    const { name, color } = classes[code];
    const changed = (field, value) => this.table().map((row) => (row[0] === code ? row.with(field, value) : row));
    const hue = h("input", { type: "color", value: color, "aria-label": `Color of ${name}` });
    const text = h("input", { value: name, "aria-label": `Name of ${name}` });
    hue.addEventListener("change", () => this.editClasses(changed(2, hue.value)));
    text.addEventListener("change", () => {
      if (text.value.trim()) return this.editClasses(changed(1, text.value.trim()));
      text.value = name;
      this.sayNameless();
    });
    const up = () => this.editClasses(this.table().toSpliced(i, 1).toSpliced(i - 1, 0, this.table()[i]));
    const move = h("button", { type: "button", "aria-label": `Move ${name} up`, title: "Move up", click: up, text: "▴" });
    move.disabled = i === 0;
    return h("div.row", {}, hue, text, move);
  },

  /** Two menus and a button: all labels of the one class become labels of the other. */
  mergeRows() {
    const { classes, order } = this.state;
    const names = Object.fromEntries(order.map((c) => [c, classes[c].name]));
    const menus = ["Class to merge", "Merge into"].map((label) => h("select", { "aria-label": label }));
    const [gone, into] = menus;
    setOptions(gone, order, order.at(-1), names);
    setOptions(into, order, order[0], names);
    const merge = () => this.editClasses(this.table().filter(([c]) => c !== Number(gone.value)), [[Number(gone.value), Number(into.value)]]);
    const button = h("button", { type: "button", title: "Merge: labels of the first class become labels of the second; undo takes it back", click: merge, text: "Merge" });
    const ready = () => (button.disabled = gone.value === into.value);
    menus.forEach((menu) => menu.addEventListener("change", ready));
    return [h("div.head", { text: "Merge classes" }), gone, h("div.group", {}, "into", into, button)];
  },

  sayNameless() {
    this.say("A class needs a name: type one.", "bad");
  },

  table() {
    return this.state.order.map((c) => [c, this.state.classes[c].name, this.state.classes[c].color]);
  },

  /** Python answers with a new state, or says why not. */
  editClasses(table, into = []) {
    this.act("classes", { classes: table, into });
  },

  listenToClasses() {
    const { edit, editor, classes, search } = this.ui;
    this.on(edit, "click", () => {
      const on = edit.getAttribute("aria-pressed") !== "true";
      edit.setAttribute("aria-pressed", on);
      edit.textContent = on ? "done" : "edit";
      [editor.hidden, classes.hidden] = [!on, on];
      this.buildEditor();
    });
    this.on(search, "input", () => this.find());
    this.on(search, "keydown", (event) => {
      if (event.key !== "Enter") return;
      this.choose(Number(this.find()[0]?.dataset.code ?? this.chosen));
      search.value = "";
      this.find();
      this.ui.root.focus({ preventScroll: true });
    });
  },
};
