/* The elements of the page. */

import { COMMANDS } from "./keys.js";
import { buildSide } from "./side.js";

/** An element: h("button.wide", {title}, children). Properties that are functions become listeners. */
export function h(tag, props = {}, ...children) {
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

export function svg(tag, props = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(props)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export const LAYERS = [
  // name, opacity at the start, shown at the start
  ["borders", 0.6, true],
  ["labels", 0.5, true],
  ["prediction", 0.25, true],
  ["uncertainty", 0.8, false],
];
export const TOOLS = [
  // tool, key, what its button says
  ["click", "c", "Click"],
  ["brush", "b", "Brush"],
  ["erase", "e", "Eraser"],
  ["region", "g", "Region"],
];
export const CANVASES = ["image", "prediction", "uncertainty", "labels", "preview", "borders"];

/** All elements of one view; `run` is called with the key of a command. */
export function build(run) {
  const ui = {};
  const button = (key, text, label) => {
    const title = key.length === 1 ? `${label} (${key})` : label;
    return h("button", { type: "button", title, "aria-label": label, "data-key": key, click: () => run(key) }, text);
  };
  const word = (key, text) => {
    const [, name, help] = COMMANDS.find(([k]) => k === key);
    return button(key, text ?? name, `${name}: ${help}`);
  };
  ui.late = h("div.bad.alert", { role: "alert", hidden: "" });
  ui.dialog = h("div.help", { hidden: "", role: "dialog" });
  ui.menu = h("div.menu", { hidden: "", role: "menu" });
  ui.order = h("button.order", { type: "button", title: "Sort the pictures: those with the most doubtful suggestions first, or by name" }, "Unsure first");
  ui.thumbs = h("div.thumbs", {});
  ui.strip = h("div.strip", { role: "group", "aria-label": "Pictures" }, ui.order, ui.thumbs);
  const main = h("div.main", {}, ui.strip, buildPicture(ui, button, word), buildSide(ui, word));
  const about = { tabindex: 0, role: "application", "aria-label": "Label superpixels; press ? for the keys" };
  ui.root = h("div.root", about, buildBar(ui, button, word), ui.late, main, ui.menu, ui.dialog);
  return ui;
}

/** The row above the picture: pictures, suggestions, tools, history, the save indicator. */
export function buildBar(ui, button, word) {
  ui.picture = h("select.picture", { "aria-label": "Picture", title: "The picture that is shown" });
  ui.left = h("span.left", { title: "Suggestions answered in this round" });
  ui.go = h("input", { type: "checkbox" });
  ui.saved = h("span.saved");
  ui.again = h("button", { type: "button", hidden: "", text: "Try again" });
  const files = "Finish: write the masks of all pictures and the clicks as files, and see what was done. You can go on afterwards.";
  ui.finish = h("button.primary", { type: "button", title: files, text: "Finish" });
  ui.next = button("n", "Next ▸", "Next suggestion");
  ui.tools = TOOLS.map(([tool, key, name]) => Object.assign(word(key, name), { tool }));
  return h(
    "div.bar",
    { role: "toolbar", "aria-label": "Pictures, suggestions and history" },
    h("span.group", {}, button("[", "◂", "Previous picture"), ui.picture, button("]", "▸", "Next picture")),
    h("span.group", {}, button("p", "◂", "Previous suggestion"), ui.left, ui.next),
    h("label.check", { title: "After a suggestion is answered, go to the next one" }, ui.go, "auto"),
    h("span.group", {}, word("a"), word("s"), word("x")),
    h("span.group.tools", {}, ...ui.tools),
    h("span.group", {}, word("fill"), word("all", "Accept all ▾")),
    h("span.group", {}, word("u", "↶"), word("r", "↷")),
    h("span.push", {}, ui.saved, ui.again, word("theme", "◐"), button("?", "?", "Help: all keys"), ui.finish)
  );
}

/** The picture with its layers and lines, and what stands below it. */
export function buildPicture(ui, button, word) {
  const canvas = (name) => (ui[name] = h("canvas." + name, { "aria-hidden": "true" }));
  const line = (name) => (ui[name + "Line"] = svg("g", { class: "oreal-line oreal-line-" + name }, svg("path"), svg("path")));
  ui.tile = h("img.tile", { alt: "", hidden: "" });
  ui.stage = h("div.stage", {}, ...CANVASES.map(canvas));
  ui.image.after(ui.tile);
  ui.ring = svg("circle", { class: "oreal-ring", r: 0 });
  ui.lines = svg("g", {}, ...["borders", "suggestions", "hover", "cursor", "current", "region"].map(line), ui.ring);
  ui.bordersLine.removeChild(ui.bordersLine.firstChild);
  ui.wait = h("div.wait", { text: "Opening the session ..." });
  ui.view = h("div.view", {}, ui.stage, svg("svg", { "aria-hidden": "true" }, ui.lines), ui.wait);
  ui.info = h("span.info");
  ui.counters = h("span.counters");
  ui.status = h("div.status", { role: "status" });
  ui.note = h("span.training", { "aria-live": "polite" });
  ui.radius = h("input", { type: "range", min: 1, max: 60, value: 8, "aria-label": "Size of the brush" });
  ui.size = h("label.check.size", { hidden: "" }, "size", ui.radius);
  const zooms = h("span.group", {}, ui.size, button("-", "−", "Zoom out"), button("+", "+", "Zoom in"), word("f"));
  return h("div.middle", {}, ui.view, h("div.under", {}, ui.info, ui.status, ui.note, ui.counters, zooms));
}

export const setLine = (group, path) => group.childNodes.forEach((node) => node.setAttribute("d", path));
/** What the browser keeps of a person's taste, under a name; `fallback` where there is nothing. In cookies: each session has a port of
 * its own, and these are for all ports. */
export const taste = {
  get(name, fallback = null) {
    const found = document.cookie.split("; ").find((cookie) => cookie.startsWith(`oreal-${name}=`));
    return found ? JSON.parse(decodeURIComponent(found.slice(name.length + 7))) : fallback;
  },
  set(name, value) {
    document.cookie = `oreal-${name}=${encodeURIComponent(JSON.stringify(value))}; max-age=31536000; path=/; samesite=strict`;
  },
};

/** Where a tab is in a session, {picture, chosen}, which outlives a reload. */
export const place = {
  recall(session) {
    try {
      return JSON.parse(sessionStorage.getItem("oreal:" + session)) ?? {};
    } catch {
      return {};
    }
  },
  leave(session, value) {
    try {
      sessionStorage.setItem("oreal:" + session, JSON.stringify(value));
    } catch {} // a browser that keeps nothing
  },
};

export const setOptions = (select, names, value, titles = {}) => {
  select.replaceChildren(...names.map((name) => h("option", { value: name, text: titles[name] ?? name })));
  select.value = value;
};
