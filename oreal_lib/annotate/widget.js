/* The annotation widget: one ES module for anywidget, and for a plain page with a stub model (tests/browser).

Reading order: pure functions on pixels, colors, places in the view, acts and words; the elements; and the class `View`.
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

/** Borders as pixels (32 bit each, zeros at first): a light line with a dark one beside it, visible on any picture; each is
 * `thick` pixels wide, because the browser loses fine lines where it shrinks a large picture. */
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

/** For each code 0..255 two pixels: stripes for VOID, nothing for NONE, the color of the class twice. */
export function palette(classes) {
  const pixels = new Uint32Array(512);
  classes.forEach(({ color }, c) => pixels.fill(pixelOf(color), 2 * c, 2 * c + 2));
  pixels[2 * VOID] = pixelOf("#d0d0d0");
  pixels[2 * VOID + 1] = pixelOf("#606060");
  return pixels;
}

/** For each uncertainty 0 (sure) .. 255 a pixel: from transparent over violet and orange to light yellow. */
export function heat() {
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

// ---------------------------------------------------------------------------------------------- places in the view

/** The superpixel at a point of the picture, -1 outside of it. */
export function superpixelAt({ ids, width, height }, x, y) {
  return x >= 0 && y >= 0 && x < width && y < height ? ids[Math.floor(y) * width + Math.floor(x)] : -1;
}

/** The superpixels on the straight line between two points, each once, so that a fast drag leaves none out. */
export function superpixelsBetween(picture, [x, y], [u, v]) {
  const found = new Set();
  const steps = Math.max(1, Math.ceil(2 * Math.max(Math.abs(u - x), Math.abs(v - y))));
  for (let i = 1; i <= steps; i++) found.add(superpixelAt(picture, x + ((u - x) * i) / steps, y + ((v - y) * i) / steps));
  found.delete(-1);
  return [...found];
}

/** Where the arrow keys go on in superpixel k, entered at (x, y): the middle of the part of its row (or column) that lies in it. */
export function drift(picture, k, x, y, dx) {
  const [sx, sy] = dx ? [1, 0] : [0, 1];
  let [low, high] = [0, 0];
  while (superpixelAt(picture, x + (low - 1) * sx, y + (low - 1) * sy) === k) low--;
  while (superpixelAt(picture, x + (high + 1) * sx, y + (high + 1) * sy) === k) high++;
  const half = Math.round((low + high) / 2);
  return [x + half * sx, y + half * sy];
}

/** The scale at which a picture just fits into a view of w x h pixels. */
export function fitScale({ width, height }, w, h) {
  return Math.min(w / width, h / height) || 1;
}

/** A place {x, y, scale} of the picture such that some of it (60 pixels) stays in a view of w x h pixels. */
export function keptInView({ width, height }, { x, y, scale }, w, h) {
  const near = (at, size, room) => {
    const some = Math.min(60, room / 2);
    return Math.min(Math.max(at, some - size), room - some);
  };
  return { x: near(x, width * scale, w), y: near(y, height * scale, h), scale };
}

/** The place after zooming by a factor so that the point (x, y) of the view stays where it is. */
export function zoomed(place, factor, x, y, fit) {
  const scale = Math.min(Math.max(place.scale * factor, Math.min(fit, 1) / 2), Math.max(40, fit));
  return { x: x - ((x - place.x) * scale) / place.scale, y: y - ((y - place.y) * scale) / place.scale, scale };
}

/** The place that shows superpixel k with its surroundings, which tell what it is; null where that is the whole picture. */
export function closeUp({ box, width, height }, k, w, h) {
  const [left, top, right, bottom] = box.subarray(4 * k, 4 * k + 4);
  const fit = fitScale({ width, height }, w, h);
  const room = (low, high, size) => Math.max(5 * (high - low + 1), Math.min(64, size), 0.4 * size);
  const wanted = Math.min(w / room(left, right, width), h / room(top, bottom, height));
  const scale = Math.min(Math.max(wanted, fit), 24);
  if (scale === fit) return null;
  const start = (room, low, high, size) => {
    const least = room - size * scale; // at the picture's edge: more of the picture rather than emptiness
    return least > 0 ? least / 2 : Math.min(0, Math.max(least, room / 2 - ((low + high + 1) / 2) * scale));
  };
  return { x: start(w, left, right, width), y: start(h, top, bottom, height), scale };
}

/** The area [left, top, right, bottom] of the picture, on a grid of half views, in which the view stays while it moves a little. */
export function areaAround({ x, y, scale }, w, h) {
  const [half, high] = [w / scale / 2, h / scale / 2];
  const [column, row] = [Math.floor(-x / scale / half), Math.floor(-y / scale / high)];
  return [column * half, row * high, (column + 3) * half, (row + 3) * high];
}

/** The superpixels whose boxes reach into an area of the picture. */
export function superpixelsIn({ box, count }, [left, top, right, bottom]) {
  const touches = (b) => box[b] <= right && box[b + 2] >= left && box[b + 1] <= bottom && box[b + 3] >= top;
  return Array.from({ length: count }, (_, k) => k).filter((k) => touches(4 * k));
}

// ---------------------------------------------------------------------------------------------- acts not yet on disk

/** The acts of a session that Python has not put on disk yet, oldest first: kept by the browser, shared by all views. */
export function actStore(session) {
  const key = "oreal:" + session;
  let memory = null; // where the browser forbids localStorage, or it is full
  const all = () => {
    if (memory) return memory;
    try {
      return JSON.parse(localStorage.getItem(key) ?? "[]");
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

/** Labels `labels` of picture `index` as they will be when these acts are done. */
export function applyActs(acts, index, labels) {
  for (const act of acts) {
    if (act.picture !== index || !["label", "accept"].includes(act.do)) continue;
    for (const k of act.superpixels) if (k < labels.length) labels[k] = act.to; // others are of a split that was undone
  }
}

/** The suggestions [picture, superpixel] without those that these acts answer. */
export function openSuggestions(query, acts) {
  const key = ([picture, k]) => picture + ":" + k;
  const gone = new Set();
  for (const act of acts) {
    if (!["label", "accept", "skip"].includes(act.do)) continue;
    for (const k of act.superpixels) gone[act.to === NONE ? "delete" : "add"](key([act.picture, k]));
  }
  return query.filter((pair) => !gone.has(key(pair)));
}

const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");

/** A measure that a benchmark can read with `performance.getEntriesByName`. */
const measure = (name, start, end = performance.now()) => performance.measure("oreal:" + name, { start, end });

// ---------------------------------------------------------------------------------------------- words

export const duration = (seconds) => (seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`);
export const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

/** What the line of counters says, a text each. */
export function facts(counters, live) {
  const texts = [
    ...(live ? [] : [`round ${counters.round}`, `${counters.answered} of ${counters.asked} suggestions answered`]),
    plural(counters.clicks, "click"),
    `${counters.labeled} of ${counters.superpixels} superpixels labeled`,
    `${Math.round(counters.minutes)} min`,
  ];
  const [right, total] = counters.foreseen ?? [0, 0];
  if (total) texts.push(`the network had foreseen ${right} of ${plural(total, "click")} since it was trained`);
  return texts;
}

/** What the save indicator says, [text, kind], of so many acts, the oldest waiting for so many milliseconds. */
export function savedText(acts, waited, held) {
  if (!acts) return ["✓ saved", "good"];
  const kind = waited > 5000 || held ? "bad" : waited < 300 ? "soft" : "amber";
  return [waited < 300 ? "saving" : `${acts} not saved yet`, kind];
}

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

const isModified = (event) => (event.ctrlKey || event.metaKey || event.altKey) && !event.getModifierState("AltGraph");
const isOurs = (event) => !isModified(event) && !["Tab", "Escape"].includes(event.key);

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
  ["prediction", 0.5, true],
  ["uncertainty", 0.8, false],
];
const CANVASES = ["image", "prediction", "uncertainty", "labels", "borders"];

/** All elements of one view; `run` is called with the key of a command. */
function build(run) {
  const ui = {};
  const button = (key, text, label) =>
    h("button", { type: "button", title: `${label} (${key})`, "aria-label": label, "data-key": key, click: () => run(key) }, text);
  const word = (key, text) => {
    const [, name, help] = COMMANDS.find(([k]) => k === key);
    return button(key, text ?? name, `${name}: ${help}`);
  };
  const bar = buildBar(ui, button, word);
  const main = h("div.main", {}, buildPicture(ui, button, word), buildSide(ui, word));
  const low = buildTraining(ui);
  ui.counters = h("div.counters");
  ui.status = h("div.status", { role: "status" });
  ui.late = h("div.bad", { role: "alert", hidden: "" });
  ui.help = h("div.help", { hidden: "", role: "dialog", "aria-label": "Keys" });
  const about = { tabindex: 0, role: "application", "aria-label": "Label superpixels; press ? for the keys" };
  ui.root = h("div.root", about, bar, ui.late, main, low, ui.counters, ui.status, ui.help);
  return ui;
}

/** The row above the picture: pictures, suggestions, history, the save indicator. */
function buildBar(ui, button, word) {
  ui.picture = h("select.picture", { "aria-label": "Picture", title: "Picture" });
  ui.left = h("span.left", { title: "Suggestions answered in this round" });
  ui.go = h("input", { type: "checkbox" });
  try {
    ui.go.checked = localStorage.getItem("oreal:auto-next") === "yes";
    ui.go.addEventListener("change", () => localStorage.setItem("oreal:auto-next", ui.go.checked ? "yes" : "no"));
  } catch {} // a browser that keeps nothing
  ui.saved = h("span.saved");
  ui.again = h("button", { type: "button", hidden: "", text: "Try again" });
  return h(
    "div.bar",
    { role: "toolbar", "aria-label": "Pictures, suggestions and history" },
    h("span.group", {}, button("[", "◂", "Previous picture"), ui.picture, button("]", "▸", "Next picture")),
    h("span.group", {}, button("p", "◂", "Previous suggestion"), ui.left, button("n", "Next ▸", "Next suggestion")),
    h("span.group", {}, word("a"), word("s"), word("x")),
    h("label.check", { title: "After a suggestion is answered, go to the next one" }, ui.go, "auto-next"),
    h("span.group", {}, word("u", "↶"), word("r", "↷")),
    h("span.push", {}, ui.saved, ui.again, button("?", "?", "Help: all keys"))
  );
}

/** The picture with its layers and lines, and what stands below it. */
function buildPicture(ui, button, word) {
  const canvas = (name) => (ui[name] = h("canvas." + name, { "aria-hidden": "true" }));
  const line = (name) => (ui[name + "Line"] = svg("g", { class: "oreal-line oreal-line-" + name }, svg("path"), svg("path")));
  ui.stage = h("div.stage", {}, ...CANVASES.map(canvas));
  ui.lines = svg("g", {}, ...["borders", "suggestions", "hover", "cursor", "current"].map(line));
  ui.bordersLine.removeChild(ui.bordersLine.firstChild);
  ui.wait = h("div.wait", { text: "Waiting for the kernel ..." });
  ui.view = h("div.view", {}, ui.stage, svg("svg", { "aria-hidden": "true" }, ui.lines), ui.wait);
  ui.info = h("div.info");
  const zooms = h("span.group", {}, button("-", "−", "Zoom out"), button("+", "+", "Zoom in"), word("f"));
  return h("div.middle", {}, ui.view, h("div.under", {}, ui.info, zooms));
}

/** The column beside the picture: classes and layers. */
function buildSide(ui, word) {
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
  return h("div.side", {}, heads[0], ui.classes, heads[1], ...layers);
}

/** The row below: what orders the suggestions, training, export. */
function buildTraining(ui) {
  ui.strategy = h("select", { "aria-label": "Strategy", title: "What orders the suggestions of the next round" });
  ui.aggregate = h("select", { "aria-label": "Aggregate", title: "How the scores of its pixels make the score of a superpixel" });
  ui.train = h("button.primary", { type: "button", title: "Train on what is labeled, then suggest anew" }, "Train and ask again");
  ui.live = h("input", { type: "checkbox" });
  const live = h("label.check", { title: "Learn after every click" }, ui.live, "live");
  ui.note = h("span.training", { "aria-live": "polite" });
  ui.stop = h("button", { type: "button", title: "Stop the training", hidden: "", text: "Stop" });
  ui.progress = h("progress", { max: 1, value: 0, hidden: "", "aria-label": "Training" });
  ui.training = h("span.training");
  ui.export = h("button", { type: "button", title: "Write masks, clicks and weights to disk", text: "Export" });
  const asking = [h("label.check", {}, "ask by", ui.strategy), h("label.check", {}, "over", ui.aggregate)];
  return h("div.bar", {}, live, ...asking, ui.train, ui.stop, ui.progress, ui.training, ui.note, h("span.push", {}, ui.export));
}

/** The button of a class, or of VOID. */
function classButton(code, name, key, color, choose) {
  const style = color ? `background:${color}` : "";
  const title = key ? `${name} (${key})` : name;
  const about = { type: "button", "data-code": code, title, "aria-label": title, click: () => choose(code) };
  const words = [h("span.swatch", { style }), h("span.name", {}, name), h("span.count"), h("kbd", {}, key)];
  const bar = h("span.debt", {}, h("span.have", { style }), h("span.owed"));
  return h("button.class", about, ...words, ...(code === VOID ? [] : [bar]));
}

/** The content of the help. */
function helpText(close) {
  const rows = [
    ["click", "label a superpixel with the current class; click again: clear it"],
    ["drag", "paint all superpixels crossed"],
    ["1-9, letters", "choose a class (the key is on its button)"],
    ["wheel, + -", "zoom (click the picture first); with space, the middle or the right button: pan by dragging"],
    ["arrows", "from superpixel to superpixel; with Shift in small steps"],
    ...COMMANDS.map(([key, , text]) => [key, text]),
    ["Escape", "give the keys back to the page"],
  ];
  return [
    h("div.head", { text: "Keys" }),
    h("dl", {}, ...rows.flatMap(([key, text]) => [h("dt", {}, h("kbd", { text: key })), h("dd", { text })])),
    h("button", { type: "button", text: "Close", click: close }),
  ];
}

const setLine = (group, path) => group.childNodes.forEach((node) => node.setAttribute("d", path));
const setOptions = (select, names, value, titles = {}) => {
  select.replaceChildren(...names.map((name) => h("option", { value: name, text: titles[name] ?? name })));
  select.value = value;
};

// ---------------------------------------------------------------------------------------------- the view

const RECEIVERS = {
  state: "receiveState",
  picture: "receivePicture",
  done: "receiveDone",
  refused: "receiveRefused",
  failed: "receiveFailed",
  again: "receiveAgain",
  live: "receiveLive",
  training: "receiveTraining",
  exported: "receiveExported",
  error: "receiveError",
};
const AT_ONCE = new Set(["[", "]", "h", "?"]);
const REPEATABLE = new Set(["n", "p", "u", "r", "[", "]", "+", "-", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]);

/** What a person sees and does in one place of the page; the model is Python's side. `end` takes it away. */
export class View {
  constructor({ model, el }) {
    this.model = model;
    this.ui = build((key) => this.run(key));
    el.append(this.ui.root);

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
    clearInterval(this.timer);
    clearTimeout(this.poll);
    this.model.off("msg:custom", this.receive);
    this.ui.root.remove();
  }

  on(target, name, listener, options = {}) {
    target.addEventListener(name, listener, { signal: this.off.signal, ...options });
  }

  // ------------------------------------------------------------------ messages out

  send(message) {
    try {
      this.model.send(message);
    } catch {
      if (message.kind !== "act") this.say("The kernel does not answer.", "bad"); // an act stays pending: the save indicator says so
    }
  }

  act(what, more = {}) {
    const now = performance.now();
    const seconds = Math.round(Math.min((now - this.lastAct) / 1000, 600) * 1000) / 1000;
    this.lastAct = now;
    const message = { id: newId(), do: what, seconds, clicked: Date.now(), ...more };
    if (more.picture !== undefined) message.name = this.state.pictures[more.picture].name; // an index may mean another picture tomorrow
    const after = this.store.all().at(-1)?.id;
    this.store.add(message);
    this.sentAt.set(message.id, now);
    this.lastSend = now;
    if (!this.held) this.send({ kind: "act", ...message, after, now: message.clicked });
    this.showSaved();
    setTimeout(() => this.showSaved(), 350); // most acts are on disk by then: no alarm
    if (now - this.statusAt > 8000) this.say("");
  }

  sendAgain() {
    this.held = false;
    this.lastSend = performance.now();
    let after;
    for (const message of this.store.all()) {
      this.send({ kind: "act", ...message, after, now: Date.now() });
      after = message.id;
    }
  }

  /** The acts on their way, with the places that their pictures have now. */
  pending() {
    return this.store.all().map((act) => (act.name === undefined ? act : { ...act, picture: this.places.get(act.name) ?? -1 }));
  }

  request(index, prefetch = false) {
    if (this.asked.has(index) && prefetch) return;
    this.asked.add(index);
    this.send({ kind: "show", picture: index, prefetch });
  }

  // ------------------------------------------------------------------ messages in

  receive(message, buffers = []) {
    const [name, arrived] = [RECEIVERS[message?.kind], performance.now()];
    if (!name) return;
    this.queue = this.queue.then(() => this[name](message, buffers, arrived)).catch((error) => this.say(String(error), "bad"));
  }

  receiveState(message) {
    const { ui } = this;
    const newRound = this.state !== null && (this.state.round !== message.round || this.state.live !== message.live);
    const state = (this.state = message);
    this.places = new Map(state.pictures.map(({ name }, i) => [name, i]));
    ui.wait.hidden = true;
    if (message.session !== this.session) this.store = actStore((this.session = message.session));
    this.colors = palette(state.classes);
    if (this.chosen !== VOID && this.chosen >= state.classes.length) this.chosen = 0;
    this.buildClasses();
    ui.help.replaceChildren(...helpText(() => this.toggleHelp()));
    ui.live.checked = state.live;
    ui.train.textContent = state.live ? "Train the network" : "Train and ask again";
    ui.note.textContent = state.text ?? "";
    setOptions(ui.strategy, state.strategies, state.strategy, state.titles);
    setOptions(ui.aggregate, state.aggregates, state.aggregate);
    ui.picture.replaceChildren(...state.pictures.map((_, i) => h("option", { value: i })));
    state.pictures.forEach((_, i) => this.showShare(i));
    for (const index of this.pictures.keys()) if (newRound && index !== this.wanted) this.pictures.delete(index); // old predictions
    if (newRound) [this.current, this.place] = [null, 0];
    this.refreshQuery();
    this.showCounters(state.counters);
    if (state.training?.state) this.receiveTraining(state.training);
    if (this.wanted < 0) this.wanted = state.picture;
    else if (newRound && this.wanted !== state.picture) this.request(this.wanted); // Python sends only state.picture by itself
    if (newRound && !state.live) this.say(`Round ${state.round}: ${plural(this.query.length, "new suggestion")}, press n.`, "good");
    else if (!state.counters.labeled) {
      this.say("What is inside the yellow outlines? Press n to go to one, a number key for its class, and Enter or a click to label it.");
    }
    if (document.body.matches(".jp-Notebook")) ui.root.focus({ preventScroll: true }); // a page of Voila: keys work at once
  }

  async receivePicture(message, buffers, arrived) {
    const { picture: index, width, height, count } = message;
    const old = this.pictures.get(index);
    const part = Object.fromEntries(message.layers.map((name, i) => [name, bytesOf(buffers[i])]));
    this.asked.delete(index);
    if (!part.image && !old) return this.request(index);
    const image = part.image ? createImageBitmap(new Blob([part.image])) : old.bitmap;
    const [bitmap, bytes] = await Promise.all([image, inflate(part.ids)]);
    const ids = new Uint16Array(bytes.buffer); // little-endian, as all browsers run on
    const labels = part.labels.slice(); // a copy: the message is not ours
    const { predicted, prediction, uncertainty } = part; // the latter two still packed
    const layers = { labels, predicted, prediction, uncertainty };
    const picture = { index, width, height, count, bitmap, ids, ...sortPixels(ids, width, count), ...layers, outlines: [] };
    this.applyPending(picture);
    this.pictures.delete(index);
    this.pictures.set(index, picture);
    for (const other of [...this.pictures.keys()].slice(0, -KEPT)) if (other !== this.shown?.index) this.pictures.delete(other);
    if (index === this.wanted) {
      this.display(picture);
      measure("setup", arrived);
    }
  }

  receiveDone(message, _, arrived) {
    const { id, changes, counters, to_see: seen } = message;
    const mine = this.sentAt.has(id); // otherwise another view's, or of an earlier page
    if (mine) {
      const sent = this.sentAt.get(id);
      measure("answer", sent, arrived);
      if (message.written) measure("disk", sent, Math.max(sent, message.written - performance.timeOrigin)); // one computer, one clock
    }
    this.sentAt.delete(id);
    const lost = !changes.length && this.store.all().some((act) => act.id === id); // done before; the answer did not arrive
    this.store.remove(id);
    this.retry = 10;
    if (lost) for (const index of this.pictures.keys()) if (!this.asked.has(index)) this.request(index);
    for (const change of changes) this.applyChange(change);
    this.showSaved();
    if (!this.state) return; // an act of an earlier page, answered before we were
    this.takeQuery(message.query);
    this.showCounters(counters);
    this.ui.note.textContent = message.text ?? "";
    const allAnswered = !this.state.live && counters.asked && counters.answered === counters.asked && !this.query.length;
    if (mine && allAnswered && !this.ui.train.disabled) {
      this.say("All suggestions are answered: train and ask again, or label wherever you like.");
    }
    if (!mine || typeof seen !== "number") return;
    if (seen !== this.shown?.index) this.show(seen);
    else this.reveal(changes[0]?.superpixels[0] ?? -1);
  }

  /** What was learned: other suggestions, what to know about it, and what is predicted for a picture. */
  receiveLive({ picture: index, text, learned, query, counters, layers }, buffers) {
    if (!this.state) return;
    this.takeQuery(query);
    this.showCounters(counters);
    this.ui.note.textContent = text;
    const part = Object.fromEntries(layers.map((name, i) => [name, bytesOf(buffers[i])]));
    const none = { prediction: undefined, uncertainty: undefined, predicted: undefined };
    for (const picture of this.pictures.values()) {
      if (!learned) Object.assign(picture, none);
      else if (picture.index === index) Object.assign(picture, part);
      else continue;
      if (picture !== this.shown) continue;
      this.ui.prediction.drawn = this.ui.uncertainty.drawn = false;
      this.showLayers();
      this.showHover();
    }
  }

  /** Suggestions of Python; live, the one that we are at stays, though others are better by now. */
  takeQuery(query) {
    const same = ([picture, k]) => picture === this.current[0] && k === this.current[1];
    const stays = this.state.live && this.current && this.query.some(same) && !query.some(same);
    this.state.query = stays ? [this.current, ...query] : query;
    if (this.state.live && !this.current) this.place = 0;
    this.refreshQuery();
  }

  /** Labels that Python has changed, and over them those on their way, also from another view. */
  applyChange({ picture: index, superpixels, labels }) {
    const picture = this.pictures.get(index);
    if (!picture) return;
    const before = picture.labels.slice();
    superpixels.forEach((k, i) => (picture.labels[k] = labels[i]));
    this.applyPending(picture);
    if (picture === this.shown) this.paintLabels([...before.keys()].filter((k) => picture.labels[k] !== before[k]));
  }

  receiveRefused({ id, text }) {
    const index = this.pending().find((act) => act.id === id)?.picture ?? this.shown?.index;
    this.store.remove(id);
    this.say(text, "bad");
    if (index >= 0) this.request(index); // its labels as they are
    this.refreshQuery();
    this.showSaved();
  }

  receiveFailed({ text }) {
    this.held = true;
    this.say(text, "bad");
    this.showSaved();
  }

  /** An act came before the one it follows, which did not arrive; each such act says so. */
  receiveAgain() {
    if (this.held) return; // the one before it could not be written
    const late = () => performance.now() - this.lastSend > 200;
    if (late()) this.sendAgain();
    else setTimeout(() => late() && this.store.all().length && this.sendAgain(), 250);
  }

  receiveExported({ text }) {
    this.say(text, "good");
  }

  receiveError({ text }) {
    this.asked.clear(); // a picture that could not be read may be asked for again
    this.early = [];
    this.ui.train.disabled = false;
    this.say(text, "bad");
  }

  receiveTraining(message) {
    const { ui } = this;
    const running = message.state === "running";
    clearTimeout(this.poll);
    this.training = running ? performance.now() : 0;
    if (running) this.poll = setTimeout(() => this.send({ kind: "poll" }), 1000);
    if (running && !ui.train.disabled) this.say("");
    ui.train.disabled = running;
    ui.stop.hidden = ui.progress.hidden = !running;
    ui.progress.value = message.share ?? 0;
    const left = running && message.seconds_left != null ? `about ${duration(message.seconds_left)} left` : "";
    ui.training.textContent = running ? [message.text, left].filter(Boolean).join(", ") : "";
    if (message.state === "failed") this.say(message.text, "bad");
    else if (message.state !== "none" && !running && message.text) this.say(message.text);
  }

  /** What an undo changed comes into view. */
  reveal(k) {
    if (k < 0 || k >= this.shown.count) return;
    const [x, y] = this.inView(middle(this.shown, k));
    if (x < 0 || y < 0 || x > this.ui.view.clientWidth || y > this.ui.view.clientHeight) this.visit(k);
  }

  /** Labels a picture as it will be when all acts on their way are done. */
  applyPending(picture) {
    const now = this.stroke ? [{ do: "label", ...this.stroke }] : [];
    applyActs([...this.pending(), ...now], picture.index, picture.labels);
  }

  /** The open suggestions, and where the current one is among them. */
  refreshQuery() {
    this.query = openSuggestions(this.state?.query ?? [], this.pending());
    if (this.current) {
      const at = this.query.findIndex(([picture, k]) => picture === this.current[0] && k === this.current[1]);
      if (at >= 0) this.place = at;
      else this.current = null;
    }
    this.showLines();
    this.prefetch();
  }

  /** The next suggestion's picture is fetched while this one is looked at. */
  prefetch() {
    if (!this.shown || !this.query.length) return;
    const [index] = this.query[(this.place + (this.current ? 1 : 0)) % this.query.length];
    if (!this.pictures.has(index)) this.request(index, true);
  }

  // ------------------------------------------------------------------ painting

  show(index) {
    if (index < 0 || index >= this.state.pictures.length) return;
    this.endStroke();
    this.wanted = index;
    this.ui.picture.value = this.shown?.index ?? index; // the name of what is drawn; a dead kernel sends no other
    if (this.pictures.has(index)) return this.display(this.pictures.get(index));
    this.cursor = -1; // what a key would mean is not there yet
    this.showLines();
    this.request(index);
  }

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
    this.prefetch();
    if (this.state.live) this.send({ kind: "look", picture: index });
    while (this.early.length && this.shown.index === this.wanted) this.run(...this.early.shift());
  }

  fill(k) {
    const { start, order, width, labels } = this.shown;
    const [a, b] = this.colors.subarray(2 * labels[k], 2 * labels[k] + 2);
    for (let j = start[k]; j < start[k + 1]; j++) {
      const i = order[j];
      this.paint.pixels[i] = a !== b && stripe(i % width, Math.floor(i / width)) ? b : a;
    }
  }

  /** Only the boxes of the superpixels that changed go to the canvas. */
  paintLabels(superpixels) {
    const context = this.ui.labels.getContext("2d");
    for (const k of superpixels) {
      const [left, top, right, bottom] = this.shown.box.subarray(4 * k, 4 * k + 4);
      this.fill(k);
      context.putImageData(this.paint.image, 0, 0, left, top, right - left + 1, bottom - top + 1);
    }
  }

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
      ui[name].style.opacity = slider.value;
      if (seen && shown && !ui[name].drawn && !ui[name].hidden) this.drawLayer(name, shown);
    }
    ui.bordersLine.style.opacity = ui.layers.borders.slider.value;
    this.showBorders();
  }

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
  }

  outlineOf(k) {
    return (this.shown.outlines[k] ??= outline(this.shown, k));
  }

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
  }

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
  }

  showHover() {
    const { ui, shown, hover, cursor } = this;
    setLine(ui.hoverLine, hover >= 0 ? this.outlineOf(hover) : "");
    const k = hover >= 0 ? hover : cursor;
    if (k < 0) return void (ui.info.textContent = "");
    const name = (code) => (code === VOID ? "void" : this.state.classes[code]?.name);
    const label = shown.labels[k] === NONE ? "not labeled" : "labeled " + name(shown.labels[k]);
    const predicted = shown.predicted ? ` · predicted ${name(shown.predicted[k]) ?? "nothing"}` : "";
    ui.info.textContent = `superpixel ${k} · ${label}${predicted}`;
  }

  // ------------------------------------------------------------------ zoom and pan

  fitScale() {
    return fitScale(this.shown, this.ui.view.clientWidth, this.ui.view.clientHeight);
  }

  fit() {
    const [scale, { clientWidth, clientHeight }] = [this.fitScale(), this.ui.view];
    const { width, height } = this.shown;
    this.moveTo({ x: (clientWidth - width * scale) / 2, y: (clientHeight - height * scale) / 2, scale }, true);
  }

  moveTo(place, fitted = false) {
    const { ui } = this;
    const { x, y, scale } = keptInView(this.shown, place, ui.view.clientWidth, ui.view.clientHeight);
    this.view = { x, y, scale, fitted };
    ui.stage.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    ui.lines.setAttribute("transform", `translate(${x} ${y}) scale(${scale})`);
    ui.stage.classList.toggle("oreal-far-in", scale * devicePixelRatio >= 4);
    this.showLayers();
  }

  zoom(factor, x = this.ui.view.clientWidth / 2, y = this.ui.view.clientHeight / 2) {
    this.moveTo(zoomed(this.view, factor, x, y, this.fitScale()));
  }

  /** Pans and zooms to superpixel k with its surroundings, and puts the keyboard's cursor there. */
  visit(k) {
    this.setCursor(k);
    const place = closeUp(this.shown, k, this.ui.view.clientWidth, this.ui.view.clientHeight);
    if (place) this.moveTo(place);
    else this.fit();
  }

  /** The point of the view at a point of the picture. */
  inView([x, y]) {
    return [this.view.x + x * this.view.scale, this.view.y + y * this.view.scale];
  }

  // ------------------------------------------------------------------ labeling

  setCursor(k, at = middle(this.shown, k)) {
    this.cursor = k;
    this.anchor = at;
    this.hover = -1; // the keyboard took over; the next move of the pointer takes it back
  }

  /** The superpixel a key means: under the pointer, otherwise the keyboard's. */
  target() {
    return this.hover >= 0 ? this.hover : this.cursor;
  }

  recolor(superpixels, to) {
    for (const k of superpixels) this.shown.labels[k] = to;
    this.paintLabels(superpixels);
  }

  /** Labels the keyboard's superpixel, or clears it where it has the current class. */
  labelCursor() {
    const k = this.cursor;
    if (k < 0) return;
    const to = this.shown.labels[k] === this.chosen ? NONE : this.chosen;
    this.recolor([k], to);
    this.answer("label", [k], { to, how: "key" });
  }

  /** Sends an act on superpixels of a picture; where it answers the current suggestion, goes to the next one if that is wished. */
  answer(what, superpixels, more = {}, picture = this.shown.index) {
    const { current } = this;
    const answers = what !== "split" && more.to !== NONE && current?.[0] === picture && superpixels.includes(current[1]);
    this.act(what, { picture, superpixels, ...more });
    this.refreshQuery();
    this.showShare(picture);
    if (answers && (this.ui.go.checked || what === "skip")) this.step(0);
  }

  accept(k) {
    const code = this.shown?.predicted?.[k];
    if (k < 0 || code === undefined || code === NONE) {
      return this.say("There is no prediction to accept here: train first, then point at a superpixel.");
    }
    this.recolor([k], code);
    this.answer("accept", [k], { to: code, how: "key" }); // what was seen, though a round may end meanwhile
  }

  skip() {
    if (this.current) this.answer("skip", [this.current[1]], { how: "key" }, this.current[0]);
    else this.say("Go to a suggestion first (n), then skip it.");
  }

  split() {
    if (this.target() >= 0) this.answer("split", [this.target()], { how: "key" });
    else this.say("Point at the superpixel to split, or go there with the arrow keys.");
  }

  /** Goes to the suggestion `by` places on; the one answered last has left the query, so that 0 is then the next. */
  step(by) {
    const n = this.query.length;
    if (!n) return this.say(this.state.round && !this.state.live ? "There is no open suggestion: train and ask again." : "There is no open suggestion.");
    const gone = !this.current && by > 0 ? 1 : 0;
    this.place = (((this.place + by - gone) % n) + n) % n;
    this.current = this.query[this.place];
    if (this.current[0] === this.shown?.index) {
      this.visit(this.current[1]);
      this.showLines();
      this.prefetch();
    } else {
      this.goal = true;
      this.show(this.current[0]);
    }
  }

  /** Only Python knows what to undo, and nothing is seen until it has: a second one meanwhile would take back too much. */
  takeBack(what) {
    const late = ({ id }) => performance.now() - (this.sentAt.get(id) ?? 0) > 1000;
    if (this.store.all().some((act) => act.do === what && late(act))) this.say(`The ${what} before this one is still on its way.`);
    else this.act(what);
  }

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
  }

  // ------------------------------------------------------------------ commands and keys

  choose(code) {
    this.chosen = code;
    for (const button of this.ui.classes.children) button.setAttribute("aria-pressed", Number(button.dataset.code) === code);
  }

  /** Does what a key means; one that is quicker than its picture waits for it, with those after it. */
  run(key, event = {}) {
    const waits = !this.shown || this.shown.index !== this.wanted;
    if (event.repeat && (waits || !REPEATABLE.has(key))) return;
    if (waits && !(this.state && AT_ONCE.has(key))) return void this.early.push([key, event]);
    const code = CLASS_KEYS.indexOf(key);
    if (code >= 0 && code < this.state.classes.length) this.choose(code);
    else this.commands[key]?.(event);
  }

  /** Every plain key stays in the widget, or a stray x would cut the notebook's cell; Ctrl+S must reach the notebook. */
  onKey(event) {
    const [means, key] = meaning(event, !this.ui.help.hidden, this.commands);
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
  }

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
    const toPicture = (event) => byMouse && event.target.matches("button, select, input") && root.focus({ preventScroll: true });
    this.on(root, "click", (event) => event.target.matches("select") || toPicture(event));
    this.on(root, "change", toPicture);
  }

  // ------------------------------------------------------------------ pointer

  toPoint(event, moved = event) {
    return [
      (event.offsetX + moved.clientX - event.clientX - this.view.x) / this.view.scale,
      (event.offsetY + moved.clientY - event.clientY - this.view.y) / this.view.scale,
    ];
  }

  onDown(event) {
    this.ui.root.focus({ preventScroll: true });
    if (!this.shown || this.stroke || this.pan) return;
    this.ui.view.setPointerCapture(event.pointerId);
    if (event.button > 0 || this.space) this.pan = { x: event.clientX, y: event.clientY };
    else this.startStroke(this.toPoint(event));
  }

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
  }

  cross(k) {
    const { stroke } = this;
    if (stroke.seen.has(k)) return;
    stroke.seen.add(k);
    if (this.shown.labels[k] === stroke.to) return;
    stroke.superpixels.push(k);
    this.recolor([k], stroke.to);
  }

  drag(to) {
    for (const k of superpixelsBetween(this.shown, this.stroke.at, to)) this.cross(k);
    this.stroke.crossed ||= this.stroke.seen.size > 1;
    this.stroke.at = to;
  }

  endStroke() {
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
  }

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
    const k = superpixelAt(this.shown, ...this.toPoint(event));
    if (k === this.hover) return;
    this.hover = k;
    this.showHover();
    if (++this.hovers % 10000 === 0) performance.clearMeasures("oreal:hover"); // they must not pile up in a long session
    measure("hover", began);
  }

  onWheel(event) {
    if (!this.shown || (!event.ctrlKey && !this.ui.root.matches(":focus-within"))) return; // let the page scroll
    event.preventDefault();
    event.stopPropagation();
    const pixels = event.deltaY * [1, 16, 400][event.deltaMode]; // from pixels, lines or pages
    const power = Math.min(Math.max(pixels * (event.ctrlKey ? 0.006 : 0.002), -0.7), 0.7); // fingers on a touchpad send Ctrl
    this.zoom(Math.exp(-power), event.offsetX, event.offsetY);
  }

  listenToPointer() {
    const { view } = this.ui;
    const up = () => {
      this.pan = null;
      this.endStroke();
    };
    const leave = () => {
      if (this.stroke) return;
      this.hover = -1;
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
  }

  // ------------------------------------------------------------------ words around the picture

  say(text, kind = "") {
    this.ui.status.textContent = text;
    this.ui.status.className = `oreal-status oreal-${kind}`;
    this.statusAt = performance.now();
  }

  showShare(index) {
    const picture = this.state.pictures[index];
    const held = this.pictures.get(index);
    if (held) Object.assign(picture, { labeled: held.labels.filter((code) => code !== NONE).length, superpixels: held.count });
    const option = this.ui.picture.options[index];
    if (option) option.textContent = `${picture.name} · ${picture.labeled} labeled`;
  }

  buildClasses() {
    const one = (code, name, key, color) => classButton(code, name, key, color, (code) => this.choose(code));
    const classes = this.state.classes.map(({ name, color }, c) => one(c, name, CLASS_KEYS[c] ?? "", color));
    this.ui.classes.replaceChildren(...classes, one(VOID, "void / unsure", "0"));
    this.choose(this.chosen);
  }

  showCounters(counters) {
    const { ui, state } = this;
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
    ui.left.textContent = state.live ? `${this.query.length} suggested` : `${counters.answered} of ${counters.asked} done`;
    ui.counters.replaceChildren(...facts(counters, state.live).map((text) => h("span", { text })));
  }

  showSaved() {
    const { ui, held } = this;
    const acts = this.store.all();
    const waited = acts.length ? performance.now() - (this.sentAt.get(acts[0].id) ?? this.started) : 0;
    const late = waited > 5000;
    const [text, kind] = savedText(acts.length, waited, held);
    ui.saved.textContent = text;
    ui.saved.className = `oreal-saved oreal-${kind}`;
    ui.late.textContent = late
      ? "The kernel does not answer; your clicks are kept in this browser. Run the cell again (or reload the page): then they are sent."
      : "";
    ui.late.hidden = !late || held; // while it cannot write, it does answer
    ui.again.hidden = !late && !(held && acts.length);
  }

  /** Once a second: the save indicator, and acts without an answer once more, at longer and longer intervals. */
  tick() {
    const now = performance.now();
    if (!this.state && now - this.started > 5000) this.ui.wait.textContent = "The kernel does not answer. Run the cell again.";
    if (this.training && now - this.training > 10_000) {
      this.training = now; // the answer to a poll did not arrive
      this.send({ kind: "poll" });
    }
    this.showSaved(); // what we sent may have been saved through another view
    if (!this.store.all().length || !this.state || now - this.lastSend < this.retry * 1000) return;
    this.retry = Math.min(2 * this.retry, 300);
    this.sendAgain();
  }

  toggleHelp() {
    this.ui.help.hidden = !this.ui.help.hidden;
    this.ui.root.focus({ preventScroll: true });
  }

  hideLayers() {
    this.bare = !this.bare;
    this.ui.root.querySelector("[data-key=h]").setAttribute("aria-pressed", this.bare);
    this.showLayers();
  }

  listenToControls() {
    const { ui } = this;
    for (const { toggle, slider } of Object.values(ui.layers)) {
      this.on(toggle, "click", () => {
        toggle.setAttribute("aria-pressed", toggle.getAttribute("aria-pressed") !== "true");
        if (this.bare) this.hideLayers();
        this.showLayers();
      });
      this.on(slider, "input", () => this.showLayers());
    }
    this.on(ui.picture, "change", () => this.show(Number(ui.picture.value)));
    for (const select of [ui.strategy, ui.aggregate]) {
      this.on(select, "change", () => this.send({ kind: "set", strategy: ui.strategy.value, aggregate: ui.aggregate.value }));
    }
    this.on(ui.live, "change", () => this.send({ kind: "live", on: ui.live.checked }));
    this.on(ui.train, "click", () => {
      ui.train.disabled = true;
      ui.training.textContent = "starting ...";
      this.send({ kind: "train" });
    });
    this.on(ui.stop, "click", () => this.send({ kind: "stop" }));
    this.on(ui.export, "click", () => {
      this.say("Exporting ...");
      this.send({ kind: "export" });
    });
    this.on(ui.again, "click", () => this.sendAgain());
  }
}

/** What each key does. */
function commandsOf(view) {
  return {
    n: () => view.step(1),
    p: () => view.step(-1),
    Enter: () => view.labelCursor(),
    a: () => view.accept(view.target()),
    s: () => view.skip(),
    x: () => view.split(),
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

/** What anywidget calls for each place in which the widget is shown; what it returns takes it away. */
function render({ model, el }) {
  const view = new View({ model, el });
  return () => view.end();
}

export default { render };
