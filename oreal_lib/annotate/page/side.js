/* The column beside the picture: classes, layers, and what orders the suggestions. */

import { VOID } from "./colors.js";
import { h, LAYERS, svg } from "./elements.js";
import { COMMANDS } from "./keys.js";

/** All of it. */
export function buildSide(ui, word) {
  ui.search = h("input", { type: "search", placeholder: "find a class", "aria-label": "Find a class", hidden: "" });
  ui.edit = h("button", { type: "button", title: "Rename, add, color, order and merge classes", "aria-pressed": "false", text: "edit" });
  ui.classes = h("div.classes", { role: "group", "aria-label": "Classes" });
  ui.editor = h("div.editor", { hidden: "" });
  ui.agreement = h("div.agreement", { hidden: "" });
  const head = h("div.head", {}, "Classes", ui.edit);
  const layers = h("details", { open: "" }, h("summary", {}, "Layers", word("h", "hide all")), ...buildLayers(ui));
  return h("div.side", {}, head, ui.search, ui.classes, ui.editor, ui.agreement, layers, buildAsking(ui));
}

function buildLayers(ui) {
  ui.layers = {};
  const slider = (label, value, more) => h("input", { type: "range", min: 0, max: 1, step: 0.05, value, "aria-label": label, ...more });
  const layers = LAYERS.map(([name, opacity, on]) => {
    const about = { prediction: ": what the network sees", uncertainty: ": light where the network is unsure" }[name] ?? "";
    const title = `Show or hide ${name}${about}`;
    const toggle = h("button.layer", { type: "button", "aria-pressed": on, "aria-label": "Layer " + name, title, text: name });
    ui.layers[name] = { toggle, slider: slider(`Opacity of ${name}`, opacity) };
    return h("div.layers-row", {}, toggle, ui.layers[name].slider);
  });
  ui.light = ["brightness", "contrast"].map((name) => Object.assign(slider(name, 1, { min: 0.3, max: 2.5, title: "Double click: as it was" }), { name }));
  return [...layers, ...ui.light.map((input) => h("div.layers-row", {}, h("span.soft", { text: input.name }), input))];
}

/** What orders the suggestions, training, export. */
function buildAsking(ui) {
  ui.ask = h("select", { "aria-label": "Suggestions", title: "What is suggested next" });
  ui.strategy = h("select", { "aria-label": "Strategy", title: "What orders the suggestions" });
  ui.aggregate = h("select", { "aria-label": "Aggregate", title: "How the scores of its pixels make the score of a superpixel" });
  ui.sentence = h("p.soft");
  ui.train = h("button", { type: "button", title: "Train on what is labeled, then suggest anew" }, "Train and ask again");
  ui.live = h("input", { type: "checkbox" });
  ui.stop = h("button", { type: "button", title: "Stop the training", hidden: "", text: "Stop" });
  ui.progress = h("progress", { max: 1, value: 0, hidden: "", "aria-label": "Training" });
  ui.training = h("span.training");
  const advanced = [h("label.check", {}, "by", ui.strategy), h("label.check", {}, "over", ui.aggregate), ui.sentence];
  return h(
    "div.asking",
    {},
    h("div.head", {}, "Suggest", h("label.check", { title: "Learn after every click" }, ui.live, "live")),
    ui.ask,
    h("details", {}, h("summary", { title: "The strategies of the paper, by name" }, "advanced"), ...advanced),
    h("div.group", {}, ui.train, ui.stop),
    ui.progress,
    ui.training
  );
}

/** A small curve of the agreement [clicks, minutes, agreement] with the clicks to come. */
export function curveOf(points) {
  const most = points.at(-1)?.[0] || 1;
  const at = ([clicks, , share]) => `${((188 * clicks) / most).toFixed(1)} ${(32 - 30 * share).toFixed(1)}`;
  return svg("svg", { class: "oreal-curve", viewBox: "0 0 190 34" }, svg("path", { d: "M" + points.map(at).join("L") }));
}

/** The button of a class, or of VOID. */
export function classButton(code, name, key, color, choose) {
  const style = color ? `background:${color}` : "";
  const title = key ? `${name} (${key})` : name;
  const about = { type: "button", "data-code": code, title, "aria-label": title, click: () => choose(code) };
  const words = [h("span.swatch", { style }), h("span.name", {}, name), h("span.count"), h("kbd", {}, key)];
  const bar = h("span.debt", {}, h("span.have", { style }), h("span.owed"));
  return h("button.class", about, ...words, ...(code === VOID ? [] : [bar]));
}

/** The content of the help. */
export function helpText() {
  const rows = [
    ["click", "label a superpixel with the current class; click again: clear it"],
    ["drag", "paint all superpixels crossed; with the brush or eraser: pixels; with the region tool: a menu of what to do there"],
    ["1-9, letters", "choose a class (the key is on its button)"],
    ["wheel, + -", "zoom (click the picture first); with space, the middle or the right button: pan by dragging"],
    ["arrows", "from superpixel to superpixel; with Shift in small steps"],
    ...COMMANDS.filter(([key]) => key.length === 1 || key === "Enter").map(([key, , text]) => [key, text]),
    ["Escape", "give the keys back to the page"],
  ];
  return [h("dl", {}, ...rows.flatMap(([key, text]) => [h("dt", {}, h("kbd", { text: key })), h("dd", { text })]))];
}
