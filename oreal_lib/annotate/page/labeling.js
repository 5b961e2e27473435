/* Acts on superpixels. */

import { middle } from "./pixels.js";
import { NONE } from "./colors.js";

/** What labels, accepts, skips and splits. */
export const labeling = {
  setCursor(k, at = middle(this.shown, k)) {
    this.cursor = k;
    this.anchor = at;
    this.hover = -1; // the keyboard took over; the next move of the pointer takes it back
  },

  /** The superpixel a key means: under the pointer, otherwise the keyboard's. */
  target() {
    return this.hover >= 0 ? this.hover : this.cursor;
  },

  recolor(superpixels, to) {
    for (const k of superpixels) this.shown.labels[k] = to;
    this.paintLabels(superpixels);
  },

  /** Labels the keyboard's superpixel, or clears it where it has the current class. */
  labelCursor() {
    const k = this.cursor;
    if (k < 0) return;
    const to = this.shown.labels[k] === this.chosen ? NONE : this.chosen;
    this.recolor([k], to);
    this.answer("label", [k], { to, how: "key" });
  },

  /** Sends an act on superpixels of a picture; where it answers the current suggestion, goes to the next one if that is wished. */
  answer(what, superpixels, more = {}, picture = this.shown.index) {
    const { current } = this;
    const answers = what !== "split" && more.to !== NONE && current?.[0] === picture && superpixels.includes(current[1]);
    this.act(what, { picture, superpixels, numbering: this.pictures.get(picture)?.numbering, ...more });
    this.refreshQuery();
    this.showShare(picture);
    if (answers && (this.ui.go.checked || what === "skip")) this.step(0);
  },

  accept(k) {
    const code = this.shown?.predicted?.[k];
    if (k < 0 || code === undefined || code === NONE) {
      return this.say("There is no prediction to accept here: train first, then point at a superpixel.");
    }
    this.recolor([k], code);
    this.answer("accept", [k], { to: code, how: "key" }); // what was seen, though a round may end meanwhile
  },

  skip() {
    if (this.current) this.answer("skip", [this.current[1]], { how: "key" }, this.current[0]);
    else this.say("Go to a suggestion first (n), then skip it.");
  },

  split() {
    if (this.target() >= 0) this.answer("split", [this.target()], { how: "key" });
    else this.say("Point at the superpixel to split, or go there with the arrow keys.");
  },

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
  },

  /** Only Python knows what to undo, and nothing is seen until it has: a second one meanwhile would take back too much. */
  takeBack(what) {
    const late = ({ id }) => performance.now() - (this.sentAt.get(id) ?? 0) > 1000;
    if (this.store.all().some((act) => act.do === what && late(act))) this.say(`The ${what} before this one is still on its way.`);
    else this.act(what);
  },
};
