/* Class debts, learning curves, and what is asked where: one front end for notebooks (a widget of anywidget) and for pages of the site,
   where `page` plays the model. `data` says what can be shown, `chosen` what the controls say. Where a kernel answers, `shown` is the
   picture that it sends, and `said` its words. */

/** Superpixels to ask for per class, as balance.class_debt: the poorest rise to one level (OREAL Eq. 3). */
export function classDebt(counts, budget) {
  const order = [...counts.keys()].sort((a, b) => counts[a] - counts[b]);
  const debt = counts.map(() => 0);
  for (let k = order.length; k > 0; k--) {
    const poorest = order.slice(0, k);
    const water = poorest.reduce((sum, c) => sum + counts[c], budget);
    const level = Math.floor(water / k);
    if (level < counts[poorest[k - 1]]) continue;
    poorest.forEach((c, i) => (debt[c] = level - counts[c] + (i < water % k ? 1 : 0)));
    break;
  }
  return debt;
}

/** The pixel scores of each of n superpixels, lowest first. */
export function bySuperpixel(score, ids, n) {
  const parts = Array.from({ length: n }, () => []);
  ids.forEach((id, i) => parts[id].push(score[i]));
  return parts.map((part) => Float64Array.from(part).sort());
}

/** One number for each superpixel, as aggregate.by_superpixel. parts: of bySuperpixel. how: mean, max, top_, power_ or quantile_. */
export function aggregate(parts, how) {
  const [kind, text] = how.split("_");
  const value = Number(text ?? 1);
  const mean = (part, f) => part.reduce((sum, s) => sum + f(s), 0) / part.length;
  return parts.map((part) => {
    const n = part.length;
    const most = part[n - 1];
    if (n === 0) return -Infinity;
    if (kind === "max") return most;
    if (kind === "quantile") return part[Math.floor((n - 1) * value + 1e-9)];
    if (kind === "top") return mean(part.subarray(n - Math.max(1, Math.ceil(n * value - 1e-9))), (s) => s);
    return most > 0 ? most * mean(part, (s) => (s / most) ** value) ** (1 / value) : 0; // in parts of the largest: 0.05^256 is 0
  });
}

/** The ids of the k highest scores, best first. */
export const highest = (score, k) => [...score.keys()].sort((a, b) => score[b] - score[a]).slice(0, k);

/** Mean, sample standard deviation and number of the values that are known. */
export function spread(values) {
  const known = values.filter((v) => v !== null && v !== undefined);
  const n = known.length;
  const mean = known.reduce((sum, v) => sum + v, 0) / n;
  return { n, mean, sd: n > 1 ? Math.sqrt(known.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (n - 1)) : 0 };
}

const inWords = ({ n, mean, sd }) => (n ? `${mean.toFixed(1)}${n > 1 ? ` ± ${sd.toFixed(1)}` : ""} (n = ${n})` : "not there yet");

const SVG = "svg g path line rect text circle pattern defs".split(" ");

/** An element. Properties that are functions become listeners. */
function h(tag, props = {}, ...children) {
  const element = SVG.includes(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

const swatch = (color, ...more) => h("span", { class: `swatch ${more.join(" ")}`, style: `--own: ${color}` });
const legend = (...entries) => h("div", { class: "legend" }, ...entries.map((parts) => h("span", {}, ...parts)));

/* A control: {name, label, kind, options: [[value, text]] or a function of what is chosen, also: what else a choice changes, off}. */
function control(field, pick) {
  const { name, label, kind, max, min = 0, color } = field;
  if (kind === "button") return { element: h("button", { type: "button", click: () => pick(field.act) }, label), sync() {} };
  let chosen = {};
  const clamped = (value) => Math.round(Math.min(Math.max(value, min), max));
  const options = () => (typeof field.options === "function" ? field.options(chosen) : field.options);
  if (kind === "many") return many(field, options, pick, (now) => (chosen = now));
  const bounded = kind === "range" && !field.options; // then a number can be typed, too
  const output = bounded ? h("input", { type: "number", "aria-label": `${label}, as a number`, min, max }) : h("output");
  if (bounded) output.addEventListener("input", () => output.value !== "" && pick({ [name]: clamped(Number(output.value)), ...field.also?.(clamped(Number(output.value)), chosen) }));
  const input = kind === "choice" ? h("select", { "aria-label": label }) : h("input", { type: kind, "aria-label": label });
  input.addEventListener("input", () => {
    const value = kind === "checkbox" ? input.checked : options() ? options()[input.value][0] : Number(input.value);
    pick({ [name]: value, ...field.also?.(value, chosen) });
  });
  const sync = (now) => {
    chosen = now;
    const list = options();
    const texts = list?.map(([, text]) => text) ?? [];
    if (kind === "choice" && input.dataset.texts !== texts.join("\n")) {
      input.replaceChildren(...texts.map((text, value) => h("option", { value }, text)));
      input.dataset.texts = texts.join("\n");
    }
    if (kind === "range") Object.assign(input, { min, max: list ? list.length - 1 : max });
    if (kind === "checkbox") input.checked = now[name];
    else input.value = list ? list.findIndex(([value]) => value === now[name]) : now[name];
    input.disabled = Boolean(field.off?.(now));
    if (kind !== "range") return;
    if (bounded && (output.value === "" || Number(output.value) !== now[name])) output.value = now[name];
    if (bounded) return;
    output.textContent = texts[input.value];
    input.setAttribute("aria-valuetext", output.textContent);
  };
  return { element: h("label", {}, h("span", {}, ...(color ? [swatch(color)] : []), label), input, output), sync };
}

/* Some of several, each with the color and the dashes of its line. */
function many({ name, label }, options, pick, heard) {
  const element = h("fieldset", {}, h("legend", {}, label));
  const boxes = h("div");
  element.append(boxes);
  const sync = (chosen) => {
    heard(chosen);
    const list = options();
    if (boxes.dataset.of !== JSON.stringify(list)) {
      const change = () => pick({ [name]: options().flatMap(([value], i) => (boxes.querySelectorAll("input")[i].checked ? [value] : [])) });
      boxes.replaceChildren(
        ...list.map(([, text, color, dash]) => h("label", {}, h("input", { type: "checkbox", input: change }), line(color, dash), text)),
      );
      boxes.dataset.of = JSON.stringify(list);
    }
    list.forEach(([value], i) => (boxes.querySelectorAll("input")[i].checked = chosen[name].includes(value)));
  };
  return { element, sync };
}

const line = (color, dash) =>
  h("svg", { width: 26, height: 10, "aria-hidden": "true" }, h("line", { x1: 0, x2: 26, y1: 5, y2: 5, class: "own", style: `--own: ${color}`, "stroke-dasharray": dash }));

/* Eq. 3 as water filling. data: names, colors, rows (after each step, what each class has), budget. */
function debts({ names, colors, rows, budget }) {
  const max = 2 * Math.max(10, budget, ...rows.flat());
  const of = (row) => Object.fromEntries(row.map((count, c) => [`class ${c}`, count]));
  const step = { name: "step", label: "counts after step", kind: "range", min: 1, max: rows.length, also: (t) => of(rows[t - 1]) };
  const fields = [{ name: "budget", label: "budget", kind: "range", max }, ...(rows.length > 1 ? [step] : [])];
  fields.push(...names.map((label, c) => ({ name: `class ${c}`, label, kind: "range", max, color: colors[c] })));
  const draw = (box, chosen) => {
    const counts = names.map((_, c) => chosen[`class ${c}`]);
    const debt = classDebt(counts, chosen.budget);
    const after = counts.map((count, c) => count + debt[c]);
    const level = Math.min(...after);
    const [width, height, foot] = [box.clientWidth || 640, 300, 64];
    const tilted = width < 90 * names.length;
    const left = tilted ? 30 : 20;
    const slot = (width - left) / names.length;
    const y = (value) => (height - foot) * (1 - value / (1.12 * Math.max(1, ...after)));
    const bar = (c, from, to, props) => h("rect", { x: left + (c + 0.1) * slot, width: 0.8 * slot, y: y(to), height: y(from) - y(to), ...props });
    const picture = h("svg", { width, height, role: "img", "aria-label": "A bar for each class: what it has, and on it what it is owed" });
    picture.append(h("defs", {}, h("pattern", { id: "oreal-water", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, h("rect", { width: 6, height: 6, fill: "#88c5ee" }), h("line", { y2: 6, stroke: "#fff", "stroke-width": 2 }))));
    names.forEach((name, c) => {
      const middle = left + (c + 0.5) * slot;
      picture.append(bar(c, 0, counts[c], { fill: colors[c] }), bar(c, counts[c], after[c], { fill: "url(#oreal-water)" }));
      picture.append(h("text", { x: middle, y: height - foot - 5, "text-anchor": "middle", class: "count" }, `${counts[c]}`));
      picture.append(h("text", { x: middle, y: y(after[c]) - 4, "text-anchor": "middle", ...(debt[c] ? { class: "strong" } : {}) }, `+${debt[c]}`));
      const place = tilted ? { transform: `translate(${middle + 6} ${height - foot + 16}) rotate(-35)`, "text-anchor": "end" } : { x: middle, y: height - foot + 16, "text-anchor": "middle" };
      picture.append(h("text", place, name.length > 14 ? `${name.slice(0, 13)}…` : name));
    });
    picture.append(ordinate("labeled superpixels", (height - foot) / 2));
    picture.append(h("line", { x1: left, x2: width, y1: y(level), y2: y(level), class: "level" }));
    box.replaceChildren(legend([swatch(`linear-gradient(90deg, ${colors.slice(0, 4)})`), "labeled so far: number at the foot"], [swatch("#88c5ee", "water"), "owed (class debt): + above"], [swatch("#4593c8", "level"), `poorest class afterwards: ${level}`]), picture);
    const owed = names.flatMap((name, c) => (debt[c] ? [`${name} ${debt[c]}`] : []));
    const whose = counts.every((count, c) => count === rows[chosen.step - 1][c]) ? `those after step ${chosen.step} of the run` : "your own";
    return `Of ${chosen.budget} clicks, owed to: ${owed.join(", ") || "none"}.${rows.length > 1 ? ` The counts are ${whose}.` : ""}`;
  };
  return { fields, start: { budget, step: 1, ...of(rows[0]) }, draw };
}

const ABSCISSAS = [["clicks", "clicks"], ["labeled_pixels", "labeled pixels (%)"], ["labeled_fraction", "labeled superpixels (%)"]];

/* Full supervision, in words. */
const FULL = { "true masks (A)": "network A, trained on all true masks", "all dominant labels (B)": "network B, trained on the label of every superpixel" };

/* The title of an upright axis. */
const ordinate = (text, middle) => h("text", { transform: `translate(14 ${middle}) rotate(-90)`, "text-anchor": "middle" }, text);

/* Round numbers from low to high, about n of them. */
function ticks(low, high, n) {
  const power = 10 ** Math.floor(Math.log10((high - low) / n));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power * n >= high - low);
  return Array.from({ length: Math.floor(high / step) - Math.ceil(low / step) + 1 }, (_, i) => (Math.ceil(low / step) + i) * step);
}

/* Learning curves. data: sets, each with name, classes, full (name -> miou and IoUs) and columns: column, title, color, dash, and runs with
   a value after each step. */
function curves({ sets, columns }) {
  const mine = (chosen) => sets[chosen.set];
  const options = (chosen) => mine(chosen).columns.map(({ column, title, color, dash }) => [column, title, color, dash]);
  const fields = [
    ...(sets.length > 1 ? [{ name: "set", label: "data set", kind: "choice", options: sets.map(({ name }, i) => [i, name]), also: () => ({ of_class: -1 }) }] : []),
    { name: "x", label: "over", kind: "choice", options: ABSCISSAS },
    { name: "of_class", label: "IoU of", kind: "choice", options: (chosen) => [[-1, "all classes (mIoU)"], ...mine(chosen).classes.map((name, c) => [c, name])] },
    { name: "columns", label: "strategies", kind: "many", options },
  ];
  const value = (run, t, c) => (c < 0 ? run.miou[t] : run.class_iou[t][c]);
  const points = ({ runs, ...about }, { x, of_class }) =>
    Array.from({ length: Math.max(...runs.map((run) => run.miou.length)) }, (_, t) => {
      const there = runs.filter((run) => t < run.miou.length);
      return { ...about, step: t + 1, x: spread(there.map((run) => run[x][t])).mean, ...spread(there.map((run) => value(run, t, of_class))) };
    }).filter(({ n }) => n);
  const draw = (box, chosen) => {
    const set = mine(chosen);
    const all = set.columns.filter(({ column }) => chosen.columns.includes(column)).map((one) => points(one, chosen)).filter(({ length }) => length);
    if (!all.length) return box.replaceChildren() ?? "Nothing is chosen; choose a strategy.";
    const full = Object.entries(set.full).map(([name, of]) => [name, chosen.of_class < 0 ? of.miou : of.class_iou[chosen.of_class]]).filter(([, v]) => v !== null);
    const [width, height, left, foot, head] = [box.clientWidth || 640, 340, 58, 44, 10];
    const ends = all.flat().flatMap(({ mean, sd }) => [mean - sd, mean + sd]).concat(full.map(([, v]) => v));
    const [low, high, far] = [Math.max(0, Math.min(...ends) - 2), Math.max(...ends) + 2, 1.03 * Math.max(...all.flat().map((p) => p.x))];
    const at = (p) => left + ((width - left - 8) * p) / far;
    const up = (v) => head + (height - foot - head) * (1 - (v - low) / (high - low));
    const picture = h("svg", { width, height, tabindex: 0, role: "img", "aria-label": "Learning curves; the arrow keys go from point to point" });
    for (const v of ticks(low, high, 6)) picture.append(h("line", { x1: left, x2: width, y1: up(v), y2: up(v), class: "grid" }), h("text", { x: left - 6, y: up(v) + 4, "text-anchor": "end" }, +v.toFixed(6)));
    for (const v of ticks(0, far, width < 500 ? 4 : 8)) picture.append(h("text", { x: at(v), y: height - foot + 18, "text-anchor": "middle" }, +v.toFixed(6)));
    picture.append(h("text", { x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, ABSCISSAS.find(([x]) => x === chosen.x)[1]));
    const name = chosen.of_class < 0 ? "mIoU" : `IoU of ${set.classes[chosen.of_class]}`;
    picture.append(ordinate(`${name} (%)`, (height - foot) / 2));
    full.forEach(([name, v], i) => picture.append(h("line", { x1: left, x2: width, y1: up(v), y2: up(v), class: "full", "stroke-dasharray": ["2 3", "8 3 2 3"][i] }), h("text", { x: left + 4, y: up(v) - 4 }, `${FULL[name] ?? name}: ${v.toFixed(1)}`)));
    for (const curve of all) {
      const path = (f) => curve.map((p) => `${at(p.x)} ${up(f(p))}`);
      const look = { class: "own", style: `--own: ${curve[0].color}` };
      picture.append(h("path", { ...look, class: "own band", d: `M${[...path((p) => p.mean + p.sd), ...path((p) => p.mean - p.sd).reverse()].join("L")}Z` }));
      picture.append(h("path", { ...look, d: `M${path((p) => p.mean).join("L")}`, "stroke-dasharray": curve[0].dash }));
      picture.append(...curve.map((p) => h("circle", { ...look, class: "own dot", cx: at(p.x), cy: up(p.mean), r: 3 })));
    }
    const [mark, tip] = [h("circle", { r: 7, class: "mark", visibility: "hidden" }), h("div", { class: "tip", role: "status" })];
    picture.append(mark);
    let [i, t] = [0, -1];
    const show = () => {
      const p = all[i][t];
      for (const [key, v] of Object.entries({ cx: at(p.x), cy: up(p.mean), visibility: "visible" })) mark.setAttribute(key, v);
      tip.textContent = `${p.title}, step ${p.step}: ${inWords(p)} at ${+p.x.toFixed(2)} ${ABSCISSAS.find(([x]) => x === chosen.x)[1]}`;
      tip.style = `left: ${Math.min(at(p.x), width - 190)}px; top: ${up(p.mean) + 14}px`;
    };
    picture.addEventListener("pointermove", ({ offsetX, offsetY }) => {
      const away = (p) => Math.hypot(at(p.x) - offsetX, up(p.mean) - offsetY);
      const [near] = all.flatMap((curve, a) => curve.map((p, b) => [away(p), a, b])).sort((a, b) => a[0] - b[0]);
      [, i, t] = near;
      show();
    });
    picture.addEventListener("keydown", (event) => {
      const [over, along] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [];
      if (over === undefined) return;
      event.preventDefault();
      event.stopPropagation(); // a notebook would go to another cell
      i = (i + over + all.length) % all.length;
      t = Math.min(Math.max(t + along, 0), all[i].length - 1);
      show();
    });
    box.replaceChildren(picture, tip);
    return `${name} on the test images, in percent, mean ± standard deviation of n runs, after the last step: ${all.map((curve) => `${curve[0].title} ${inWords(curve.at(-1))}`).join("; ")}.`;
  };
  return { fields, start: { set: 0, x: "clicks", of_class: -1, columns }, draw };
}

const ASKED = ["#ffe000", "#00c8ff"]; // by A, by B

function rgb(hex) {
  return [-6, -4, -2].map((i) => parseInt(hex.slice(i, i + 2 || undefined), 16));
}

const packed = ([red, green, blue]) => (255 << 24) | (blue << 16) | (green << 8) | red;

/* 256 colors from the first to the last of some. */
const shades = (stops) =>
  Array.from({ length: 256 }, (_, level) => {
    const at = (level / 255) * (stops.length - 1);
    const i = Math.min(Math.floor(at), stops.length - 2);
    return packed(stops[i].map((from, k) => from + (stops[i + 1][k] - from) * (at - i)));
  });

const MAGMA = shades(["000004", "1d1147", "51127c", "832681", "b73779", "e75263", "fc8961", "fec488", "fcfdbf"].map(rgb));
const PURPLES = shades(["f4f1f8", "54278f"].map(rgb));

/* What the least and the largest value of a painted map look like. */
function scaleBar({ low, high, colors }) {
  const shown = [0, 32, 64, 96, 128, 160, 192, 224, 255].map((i) => `rgb(${colors[i] & 255} ${(colors[i] >> 8) & 255} ${(colors[i] >> 16) & 255})`);
  const ends = [low, high].map((v) => +v.toFixed(2));
  return h("div", { class: "scale" }, `${ends[0]}`, h("span", { style: `background: linear-gradient(90deg, ${shown})` }), `${ends[1]}`);
}

/* The bytes of a DataView from a kernel, or of base64 text in a page. */
function buffer(bytes) {
  if (typeof bytes === "string") return Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0)).buffer;
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
}

/* The sides of the pixels where a superpixel that is `marked` ends. */
function outline(ids, width, marked, scale) {
  const path = new Path2D();
  const side = (x, y, dx, dy) => (path.moveTo(x * scale, y * scale), path.lineTo((x + dx) * scale, (y + dy) * scale));
  ids.forEach((id, i) => {
    if (!marked[id]) return;
    const x = i % width;
    const y = (i - x) / width;
    if (ids[i - width] !== id) side(x, y, 1, 0);
    if (ids[i + width] !== id) side(x, y + 1, 1, 0);
    if (x === 0 || ids[i - 1] !== id) side(x, y, 0, 1);
    if (x === width - 1 || ids[i + 1] !== id) side(x + 1, y, 0, 1);
  });
  return path;
}

/* "power_8" in a sentence, and beside a slider whose kind stands above it. */
const HOW = { top: (v) => `mean of the most unsure ${percent(v)}`, power: (v) => `power mean, p = ${v}`, quantile: (v) => `quantile ${percent(v)}` };
const percent = (share) => `${+(100 * share).toFixed(1)} %`;

function called(how, short = false) {
  const [kind, value] = how.split("_");
  if (!value) return how === "max" ? "maximum" : how;
  if (!short) return HOW[kind](value);
  return kind === "power" ? `p = ${value}` : percent(value);
}

/* One picture with what A and B ask of it. A page has `pictures` and computes A by the slider, against the mean; a kernel answers with a
   view of a run. */
function asked(data, model) {
  const { kinds, ladders, pictures } = data;
  const named = (list) => list.map((how) => [how, called(how, true)]);
  const between = { name: "kind", label: "between mean and max", kind: "choice", options: kinds };
  between.also = (kind, now) => Object.fromEntries(["how", "how_A", "how_B"].map((how) => [how, ladders[kind].includes(now[how]) ? now[how] : "max"]));
  const ladder = (name, label, of) => ({ name, label, kind: "range", options: (now) => named(ladders[now.kind]), off: (now) => data.by_lot?.includes(now[of]) });
  const under = { name: "under", label: "what lies under", kind: "choice", options: data.under };
  const borders = { name: "borders", label: "borders of all", kind: "checkbox" };
  const again = { label: "look for new steps", kind: "button", act: "again" };
  let fields = [again];
  if (pictures) fields = [
    { name: "picture", label: "picture", kind: "choice", options: pictures.map(({ name }, i) => [i, name]) },
    between, ladder("how", "from mean to max"), { name: "ask", label: "superpixels to ask", kind: "range", min: 1, max: 60 }, under, borders,
  ];
  else if (data.steps.length) fields = [
    { name: "step", label: "step", kind: "choice", options: data.steps }, { name: "image", label: "image", kind: "range", max: data.images - 1 },
    ...["A", "B"].flatMap((side) => [{ name: side, label: `${side} asks by`, kind: "choice", options: data.strategies }, ladder(`how_${side}`, `aggregation ${side}`, side)]),
    between, { name: "score", label: "pixel score", kind: "choice", options: data.scores },
    { name: "of_class", label: "class", kind: "choice", options: data.classes.map((name, c) => [c, name]), off: (now) => now.score !== "ovr_entropy" },
    under, borders, { label: "where A and B differ most", kind: "button", act: "most" }, again,
  ];
  const local = ({ picture: i, how, ask }) => {
    const picture = pictures[i];
    picture.pixels ??= { ids: new Uint16Array(buffer(picture.ids)), unsure: Float64Array.from(new Uint16Array(buffer(picture.unsure)), (v) => v * picture.scale) };
    picture.parts ??= bySuperpixel(picture.pixels.unsure, picture.pixels.ids, picture.count);
    const [a, b] = [[how, "the slider"], ["mean", "the mean"]].map(([by, title]) => {
      const score = ((picture.scores ??= {})[by] ??= aggregate(picture.parts, by));
      return { title, score, asked: highest(score, ask) };
    });
    const both = a.asked.filter((id) => b.asked.includes(id)).length;
    const text = `Asked by ${called(how)}: ${a.asked.length} of ${picture.count} superpixels; ${both} of them are asked by the mean, too. ${picture.about}`;
    return { ...picture, ...picture.pixels, sides: [a, b], text };
  };
  const received = () => {
    const view = model.get("shown");
    return view.width && { ...view, ids: new Uint16Array(buffer(view.ids)), unsure: Float64Array.from(new Uint16Array(buffer(view.unsure)), (v) => v * view.scale) };
  };
  const [image, canvas, heads, hover] = [h("img", { alt: "" }), h("canvas", { role: "img" }), h("div"), h("div", { class: "hover" })];
  const stage = h("div", { class: "stage" }, image, canvas);
  let [view, source] = [null, null];
  canvas.addEventListener("pointermove", ({ offsetX, offsetY }) => {
    const { ids, width, height, sides } = view;
    const id = ids[Math.floor((offsetY / canvas.clientHeight) * height) * width + Math.floor((offsetX / canvas.clientWidth) * width)];
    if (id === undefined) return;
    const of = ({ title, score, rank }) => `${title} ${score[id] === null ? "-" : score[id].toFixed(3)}${rank?.[id] ? ` (place ${rank[id]})` : ""}`;
    hover.textContent = `superpixel ${id}: ${sides.map(of).join(", ")}`;
  });
  const colors = (chosen) => {
    const painted = (values, of, colors = MAGMA) => {
      const known = values.filter(Number.isFinite);
      const [low, high] = known.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
      const colored = Array.from(values, (v) => colors[Math.round((255 * Math.max(0, v - low)) / (high - low || 1)) || 0]);
      return Object.assign((i) => colored[of(i)], { low, high, colors });
    };
    const { ids, unsure, sides } = view;
    const classes = (bytes) => {
      const mask = new Uint8Array(buffer(bytes));
      const palette = data.colors.map((color) => packed(rgb(color)));
      return (i) => (mask[i] < palette.length ? palette[mask[i]] : 0xffffffff);
    };
    return {
      unsure: () => painted(unsure, (i) => i),
      A: () => painted(sides[0].score, (i) => ids[i]),
      B: () => painted(sides[1].score, (i) => ids[i]),
      prediction: () => classes(view.prediction),
      truth: () => classes(view.truth),
      asked_in: () => painted(view.asked_in, (i) => ids[i], PURPLES),
    }[chosen.under]?.();
  };
  const draw = (box, chosen) => {
    view = pictures ? local(chosen) : received();
    if (!view) return "";
    const { width, height, ids, sides } = view;
    const scale = Math.max(1, Math.round(900 / Math.max(width, height)));
    if (source !== view.image) {
      URL.revokeObjectURL(image.src);
      image.src = URL.createObjectURL(new Blob([buffer(view.image)]));
      source = view.image;
    }
    stage.style.setProperty("--ratio", width / height);
    Object.assign(canvas, { width: width * scale, height: height * scale });
    const pen = canvas.getContext("2d");
    const color = colors(chosen);
    if (color) {
      const small = Object.assign(document.createElement("canvas"), { width, height });
      const pixels = new ImageData(width, height);
      new Uint32Array(pixels.data.buffer).forEach((_, i, all) => (all[i] = color(i)));
      small.getContext("2d").putImageData(pixels, 0, 0);
      pen.imageSmoothingEnabled = false;
      pen.drawImage(small, 0, 0, width * scale, height * scale);
    }
    pen.lineCap = "square";
    const stroke = (path, style, wide) => (Object.assign(pen, { strokeStyle: style, lineWidth: wide }), pen.stroke(path));
    if (chosen.borders) stroke(outline(ids, width, new Array(view.count).fill(true), scale), "#ffffff70", 1);
    const paths = sides.map((side) => outline(ids, width, side.asked.reduce((marked, id) => ((marked[id] = true), marked), []), scale));
    stroke(paths[1], "#000000b0", 10);
    stroke(paths[1], ASKED[1], 8);
    stroke(paths[0], "#000000b0", 3.5);
    stroke(paths[0], ASKED[0], 2.5);
    canvas.dataset.asked = sides[0].asked.join(" ");
    canvas.setAttribute("aria-label", `${view.name}: ${sides.map(({ title, asked }) => `${title} asks ${asked.length} here`).join(", ")}`);
    const about = sides.map(({ title, asked, more = "" }, i) => [swatch(ASKED[i]), `${title}: ${asked.length} asked here${more}`]);
    const both = sides[0].asked.filter((id) => sides[1].asked.includes(id)).length;
    heads.replaceChildren(legend(...about, [swatch(ASKED[0], "both"), `both: ${both}`]));
    if (color?.colors) heads.append(scaleBar(color));
    if (["prediction", "truth"].includes(chosen.under)) heads.append(legend(...data.classes.map((name, c) => [swatch(data.colors[c]), name])));
    if (stage.parentNode !== box) box.replaceChildren(heads, stage, hover);
    return view.text;
  };
  return { fields, start: { picture: 0, kind: kinds[0][0], how: "mean", ask: 20, under: data.under[0][0], borders: false }, draw };
}

const EXPLORERS = { debts, curves, asked };

function render({ model, el }) {
  const [message, panel, box, text] = [h("div", { role: "status" }), h("div", { class: "panel" }), h("div", { class: "box" }), h("p", { role: "status" })];
  el.append(h("div", { class: "oreal-explorer" }, message, panel, box, text));
  let [explorer, controls] = [null, []];
  const pick = (change) => {
    if (typeof change === "string") return model.send({ do: change });
    model.set("chosen", { ...explorer.start, ...model.get("chosen"), ...change });
    model.save_changes();
  };
  const draw = () => {
    const chosen = { ...explorer.start, ...model.get("chosen") };
    for (const { sync } of controls) sync(chosen);
    text.textContent = explorer.draw(box, chosen);
  };
  const say = () => {
    const { text: words = "", wrong = false } = model.get("said") ?? {};
    message.textContent = words;
    message.className = wrong ? "wrong" : "";
  };
  const build = () => {
    const data = model.get("data");
    explorer = EXPLORERS[data.kind](data, model);
    controls = explorer.fields.map((field) => control(field, pick));
    panel.replaceChildren(...controls.map(({ element }) => element));
    draw();
  };
  const heard = { "change:data": build, "change:chosen": draw, "change:shown": draw, "change:said": say };
  for (const [event, act] of Object.entries(heard)) model.on(event, act);
  build();
  say();
  let width = box.clientWidth;
  const watch = new ResizeObserver(() => box.clientWidth !== width && ((width = box.clientWidth), draw()));
  watch.observe(box);
  return () => {
    watch.disconnect();
    for (const [event, act] of Object.entries(heard)) model.off(event, act);
  };
}

/** The explorer of `data` in an element of a page without a kernel. */
export function page(el, data) {
  const [state, heard] = [{ data, chosen: {} }, {}];
  const set = (key, value) => ((state[key] = value), heard[`change:${key}`]());
  render({ el, model: { get: (key) => state[key], set, save_changes() {}, on: (event, act) => (heard[event] = act) } });
}

export default { render };
