/* Messages from Python. */

import { bytesOf, inflate, middle, sortPixels } from "./pixels.js";
import { VOID, palette } from "./colors.js";
import { actStore, applyActs, measure, openSuggestions } from "./acts.js";
import { h, place, setOptions } from "./elements.js";
import { duration, plural } from "./words.js";

export const KEPT = 4; // pictures held in memory: the one shown, the next suggestion's, and two to go back to

export const RECEIVERS = {
  state: "receiveState",
  picture: "receivePicture",
  done: "receiveDone",
  refused: "receiveRefused",
  failed: "receiveFailed",
  again: "receiveAgain",
  live: "receiveLive",
  training: "receiveTraining",
  finished: "receiveFinished",
  closed: "receiveClosed",
  thumb: "receiveThumb",
  tile: "receiveTile",
  error: "receiveError",
};

/** What Python answers. */
export const receiving = {
  receive(message, buffers = []) {
    const [name, arrived] = [RECEIVERS[message?.kind], performance.now()];
    if (!name) return;
    this.queue = this.queue.then(() => this[name](message, buffers, arrived)).catch((error) => this.say(String(error), "bad"));
  },

  receiveState(message) {
    const { ui } = this;
    const first = this.state === null;
    const newRound = !first && (this.state.round !== message.round || this.state.live !== message.live);
    const state = (this.state = message);
    this.places = new Map(state.pictures.map(({ name }, i) => [name, i]));
    ui.wait.hidden = true;
    if (message.session !== this.session) this.store = actStore((this.session = message.session));
    this.colors = palette(state.classes);
    const before = first ? place.recall(this.session) : {};
    this.chosen = before.chosen ?? this.chosen;
    if (this.chosen !== VOID && !state.order.includes(this.chosen)) this.chosen = state.order[0];
    this.buildClasses();
    this.buildStrip();
    ui.live.checked = state.live;
    ui.train.textContent = state.live ? "Train the network" : "Train and ask again";
    for (const [button, primary] of [[ui.train, !state.live], [ui.next, Boolean(state.live)]]) button.classList.toggle("oreal-primary", primary);
    ui.note.textContent = state.text ?? "";
    setOptions(ui.strategy, state.strategies, state.strategy, state.titles);
    setOptions(ui.aggregate, state.aggregates, state.aggregate);
    this.showAsking();
    ui.picture.replaceChildren(...state.pictures.map((_, i) => h("option", { value: i })));
    state.pictures.forEach((_, i) => this.showShare(i));
    for (const index of this.pictures.keys()) if (newRound && index !== this.wanted) this.pictures.delete(index); // old predictions
    if (newRound) [this.current, this.place] = [null, 0];
    this.refreshQuery();
    this.showCounters(state.counters);
    this.showQuality(state.quality);
    if (this.shown && !newRound) this.display(this.shown); // colors may be others
    const news = first || state.training?.state === "running"; // how it ended was said when it did
    if (state.training?.state) this.receiveTraining(news ? state.training : { ...state.training, text: "" });
    if (this.wanted < 0) {
      this.wanted = this.places.get(before.picture) ?? state.picture;
      if (this.wanted !== state.picture) this.request(this.wanted);
    } else if (newRound && this.wanted !== state.picture) this.request(this.wanted); // Python sends only state.picture by itself
    if (newRound && !state.live) this.say(`Round ${state.round}: ${plural(this.query.length, "new suggestion")}, press n.`, "good");
    else if (first && !state.counters.labeled) {
      this.say("What is inside the yellow outlines? Press n to go to one, a number key for its class, and Enter or a click to label it.");
    }
    if (this.alone) ui.root.focus({ preventScroll: true }); // a page of Voila: keys work at once
  },

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
    const picture = { index, width, height, count, numbering: message.numbering, bitmap, ids, ...sortPixels(ids, width, count), ...layers, outlines: [] };
    this.applyPending(picture);
    this.pictures.delete(index);
    this.pictures.set(index, picture);
    for (const other of [...this.pictures.keys()].slice(0, -KEPT)) if (other !== this.shown?.index) this.pictures.delete(other);
    if (index === this.wanted) {
      this.display(picture);
      measure("setup", arrived);
    }
  },

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
    if (mine && this.lastSend > this.statusAt && this.ui.status.matches(".oreal-bad")) this.say(""); // what was wrong is over
    if (mine && message.turned) this.say(message.turned, "turned");
    const allAnswered = !this.state.live && counters.asked && counters.answered === counters.asked && !this.query.length;
    if (mine && allAnswered && !this.ui.train.disabled) {
      this.say("All suggestions are answered: train and ask again, or label wherever you like.");
    }
    if (!mine || typeof seen !== "number") return;
    if (seen !== this.shown?.index) this.show(seen);
    else this.reveal(changes[0]?.superpixels[0] ?? -1);
  },

  /** What was learned: other suggestions, what to know about it, and what is predicted for a picture. */
  receiveLive({ picture: index, text, learned, query, counters, quality, layers }, buffers) {
    if (!this.state) return;
    this.takeQuery(query);
    this.showCounters(counters);
    this.showQuality(quality);
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
  },

  /** Suggestions of Python; live, the one that we are at stays, though others are better by now. */
  takeQuery(query) {
    const same = ([picture, k]) => picture === this.current[0] && k === this.current[1];
    const stays = this.state.live && this.current && this.query.some(same) && !query.some(same);
    this.state.query = stays ? [this.current, ...query] : query;
    if (this.state.live && !this.current) this.place = 0;
    this.refreshQuery();
  },

  /** Labels that Python has changed, and over them those on their way, also from another view. */
  applyChange({ picture: index, superpixels, labels }) {
    const picture = this.pictures.get(index);
    if (!picture) return;
    const before = picture.labels.slice();
    superpixels.forEach((k, i) => (picture.labels[k] = labels[i]));
    this.applyPending(picture);
    this.showShare(index);
    if (picture === this.shown) this.paintLabels([...before.keys()].filter((k) => picture.labels[k] !== before[k]));
  },

  receiveRefused({ id, text }) {
    const index = this.pending().find((act) => act.id === id)?.picture ?? this.shown?.index;
    this.store.remove(id);
    this.say(text, "bad");
    if (index >= 0) this.request(index); // its labels as they are
    this.refreshQuery();
    this.showSaved();
  },

  receiveFailed({ text }) {
    this.held = true;
    this.say(text, "bad");
    this.showSaved();
  },

  /** An act came before the one it follows, which did not arrive; each such act says so. */
  receiveAgain() {
    if (this.held) return; // the one before it could not be written
    const late = () => performance.now() - this.lastSend > 200;
    if (late()) this.sendAgain();
    else setTimeout(() => late() && this.store.all().length && this.sendAgain(), 250);
  },

  receiveError({ text }) {
    this.asked.clear(); // a picture that could not be read may be asked for again
    this.early = [];
    this.ui.train.disabled = false;
    this.say(text, "bad");
  },

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
    if (message.state !== "none" && !running && message.text) this.say(message.text, message.state === "failed" ? "bad" : "");
  },

  /** What an undo changed comes into view. */
  reveal(k) {
    if (k < 0 || k >= this.shown.count) return;
    const [x, y] = this.inView(middle(this.shown, k));
    if (x < 0 || y < 0 || x > this.ui.view.clientWidth || y > this.ui.view.clientHeight) this.visit(k);
  },

  /** Labels a picture as it will be when all acts on their way are done. */
  applyPending(picture) {
    const now = this.stroke ? [{ do: "label", ...this.stroke }] : [];
    applyActs([...this.pending(), ...now], picture.index, picture.labels);
  },

  /** The open suggestions, and where the current one is among them. */
  refreshQuery() {
    this.query = openSuggestions(this.state?.query ?? [], this.pending());
    if (this.current) {
      const at = this.query.findIndex(([picture, k]) => picture === this.current[0] && k === this.current[1]);
      if (at >= 0) this.place = at;
      else this.current = null;
    }
    this.showLines();
    this.showThumbs();
    this.prefetch();
  },

  /** The next suggestion's picture is fetched while this one is looked at. */
  prefetch() {
    if (!this.shown || !this.query.length) return;
    const [index] = this.query[(this.place + (this.current ? 1 : 0)) % this.query.length];
    if (!this.pictures.has(index)) this.request(index, true);
  },
};
