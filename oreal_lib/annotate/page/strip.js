/* Around the work: small pictures beside the large one, dialogs, the look of the page, other tabs. */

import { bytesOf } from "./pixels.js";
import { h, taste } from "./elements.js";
import { helpText } from "./side.js";
import { plural } from "./words.js";

export const strip = {
  /** A small picture is asked for when it comes into sight. */
  buildStrip() {
    const { ui, state } = this;
    if (this.thumbs.length === state.pictures.length) return;
    this.sights.disconnect();
    this.thumbs = state.pictures.map((_, i) => {
      const parts = [h("img", { alt: "" }), h("span.badge"), h("span.share", {}, h("span"))];
      return h("button.thumb", { type: "button", "data-index": i, click: () => this.show(i) }, ...parts);
    });
    const left = state.problems.length;
    const why = () => this.dialog("Left out", state.problems.map((text) => h("p", { text })));
    const rest = left ? [h("button.bad", { type: "button", title: "Why", click: why, text: `${left} left out` })] : [];
    ui.thumbs.replaceChildren(...this.thumbs, ...rest);
    for (const thumb of this.thumbs) this.sights.observe(thumb);
    this.sortStrip();
  },

  askForThumb(thumb) {
    this.sights.unobserve(thumb);
    this.send({ kind: "thumb", picture: Number(thumb.dataset.index) });
  },

  receiveThumb({ picture }, [buffer]) {
    const image = this.thumbs[picture]?.firstChild;
    if (image) image.src = URL.createObjectURL(new Blob([bytesOf(buffer)]));
  },

  /** What is labeled of a picture, and how many suggestions wait there. */
  showThumb(i) {
    const [{ name, labeled, superpixels }, thumb] = [this.state.pictures[i], this.thumbs[i]];
    const open = this.query.filter(([picture]) => picture === i).length;
    thumb.children[1].textContent = open || "";
    thumb.children[2].firstChild.style.width = `${(100 * labeled) / superpixels}%`;
    thumb.title = `${name}: ${labeled} of ${superpixels} labeled, ${plural(open, "suggestion")}`;
    thumb.setAttribute("aria-label", thumb.title);
    thumb.setAttribute("aria-current", i === this.shown?.index);
  },

  showThumbs() {
    this.thumbs.forEach((_, i) => this.showThumb(i));
    if (this.doubtful) this.sortStrip();
  },

  /** Scrolls the strip, and nothing around it. */
  showInStrip(index) {
    const [{ thumbs }, { offsetTop, offsetHeight }] = [this.ui, this.thumbs[index] ?? {}];
    const hidden = offsetTop < thumbs.scrollTop || offsetTop + offsetHeight > thumbs.scrollTop + thumbs.clientHeight;
    if (hidden) thumbs.scrollTop = offsetTop - thumbs.clientHeight / 2;
  },

  /** By name, or the pictures first in which the best suggestions lie. */
  sortStrip() {
    const best = this.thumbs.map(() => Infinity);
    this.query.forEach(([picture], rank) => (best[picture] = Math.min(best[picture], rank)));
    this.thumbs.forEach((thumb, i) => (thumb.style.order = this.doubtful && best[i] < Infinity ? best[i] - this.query.length : 0));
  },

  // ------------------------------------------------------------------ dialogs

  dialog(title, nodes) {
    const { dialog } = this.ui;
    const close = h("button", { type: "button", text: "Close", click: () => this.closeDialog() });
    dialog.setAttribute("aria-label", title);
    dialog.replaceChildren(h("div.head", { text: title }), ...nodes, close);
    dialog.hidden = false;
  },

  closeDialog() {
    this.ui.dialog.hidden = true;
    this.hideMenu();
    this.ui.root.focus({ preventScroll: true });
  },

  toggleHelp() {
    if (!this.ui.dialog.hidden || !this.ui.menu.hidden) return this.closeDialog();
    this.dialog("Keys", helpText());
    this.ui.root.focus({ preventScroll: true });
  },

  /** What was done in this session, when it ends. */
  receiveFinished({ text, again, counters, shares }) {
    const { classes, order } = this.state;
    const { clicks, minutes, labeled, superpixels } = counters;
    const done = [`${plural(clicks, "click")} in ${Math.round(minutes)} min`, `${labeled} of ${superpixels} superpixels labeled`];
    if (this.quality?.agreement != null) done.push(`${Math.round(100 * this.quality.agreement)} % of the clicks were foretold from other pictures`);
    const have = order.map((c) => h("li", {}, h("span.swatch", { style: `background:${classes[c].color}` }), `${classes[c].name}: ${plural(counters.per_class[c], "superpixel")}`));
    const said = [done.join(", "), `Pixels: ${shares}.`, ...this.unlabeled(counters.per_class)].map((text) => h("p", { text }));
    const goOn = "Go on at any time, here or by this command, and finish again: the files are then replaced.";
    this.dialog("Done for today", [...said, h("ul.have", {}, ...have), h("p", { text }), h("p", { text: goOn }), h("pre", { text: again })]);
    this.say("The files are written.", "good");
  },

  /** Which classes and pictures have no label, a sentence each. */
  unlabeled(perClass) {
    const { classes, order, pictures } = this.state;
    const names = (all) => all.slice(0, 5).join(", ") + (all.length > 5 ? ` and ${all.length - 5} more` : "") + ".";
    const never = order.filter((c) => !perClass[c]).map((c) => classes[c].name);
    const bare = pictures.filter(({ labeled }) => !labeled).map(({ name }) => name);
    return [
      ...(never.length ? [`No label yet: ${names(never)}`] : []),
      ...(bare.length ? [`Pictures without a label, whose masks hold only what is predicted: ${names(bare)}`] : []),
    ];
  },

  // ------------------------------------------------------------------ light and dark

  /** JupyterLab has a theme; elsewhere it is that of the computer, until somebody chooses. */
  showTheme(flip = false) {
    const { root } = this.ui;
    const outside = this.alone || document.body.dataset.jpThemeLight === undefined;
    const computer = outside ? matchMedia("(prefers-color-scheme: dark)").matches : document.body.dataset.jpThemeLight === "false";
    const dark = taste.get("dark", computer) !== flip;
    if (flip) taste.set("dark", dark);
    if (outside || taste.get("dark") !== null) root.dataset.dark = dark ? "yes" : "no";
  },

  /** What a control does is said when it is pressed, or reached by the keyboard, for the first time. */
  explain(event) {
    const button = event.target.closest(":is(button, input, select, summary)[title]:not(.oreal-class, .oreal-thumb)");
    const known = taste.get("explained", []);
    const name = button?.dataset.key ?? button?.getAttribute("aria-label") ?? button?.textContent;
    if (!button || known.includes(name)) return;
    taste.set("explained", [...known, name]);
    if (!this.ui.status.matches(".oreal-bad")) this.say(button.title);
  },

  // ------------------------------------------------------------------ other tabs

  receiveClosed() {
    if (this.closed) return;
    this.closed = true;
    this.endStroke();
    const text = "This session was opened in another tab or page, so here it can only be looked at. All clicks are kept. To go on here, ";
    this.ui.late.textContent = text + (this.alone ? "reload this page." : "run the cell again.");
    this.ui.late.hidden = false;
    this.ui.root.classList.add("oreal-closed");
    this.channel.postMessage({ closed: this.session });
  },

  /** A tab that was opened asks, and one that is closed because of that answers. */
  heardOf({ data }) {
    if (data.opened === this.session && this.closed) this.channel.postMessage({ closed: this.session });
    if (data.closed !== this.session || this.closed) return;
    this.say("This session was open in another tab, which can only look at it now.");
  },
};
