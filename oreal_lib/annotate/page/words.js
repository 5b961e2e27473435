/* Words around the picture, and the controls there. */

import { NONE } from "./colors.js";
import { h, setOptions, taste } from "./elements.js";
import { curveOf } from "./side.js";

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
  if (total) texts.push(`${right} of the last ${plural(total, "answer")} foreseen`);
  return texts;
}

/** What the save indicator says, [text, kind], of so many acts, the oldest waiting for so many milliseconds. */
export function savedText(acts, waited, held) {
  if (!acts) return ["✓ saved", "good"];
  const kind = waited > 5000 || held ? "bad" : waited < 300 ? "soft" : "amber";
  return [waited < 300 ? "saving" : `${acts} not saved yet`, kind];
}

/** What the page says, and its controls. */
export const words = {
  say(text, kind = "") {
    this.ui.status.textContent = this.ui.status.title = text;
    this.ui.status.className = `oreal-status oreal-${kind}`;
    this.statusAt = performance.now();
  },

  showShare(index) {
    const picture = this.state.pictures[index];
    const held = this.pictures.get(index);
    if (held) Object.assign(picture, { labeled: held.labels.filter((code) => code !== NONE).length, superpixels: held.count });
    const option = this.ui.picture.options[index];
    if (option) option.textContent = `${picture.name} · ${picture.labeled} labeled`;
    if (this.thumbs[index]) this.showThumb(index);
  },

  showCounters(counters) {
    const { ui, state } = this;
    const { per_class: have, debt } = counters;
    const most = Math.max(1, ...state.classes.map((_, c) => have[c] + (debt[c] ?? 0)));
    [...ui.classes.children].forEach((button) => {
      const c = Math.min(button.dataset.code, have.length - 1); // void comes last
      const owed = debt[c] ?? 0;
      const name = state.classes[c]?.name ?? "void";
      const about = `${plural(have[c], "superpixel")} labeled` + (owed ? `; +${owed} (hatched): how many of it the next query asks for when it balances the classes` : "");
      const count = button.querySelector(".oreal-count");
      count.textContent = have[c] + (owed ? ` +${owed}` : "");
      for (const part of [count, button.querySelector(".oreal-debt")]) if (part) part.title = about;
      button.setAttribute("aria-label", `${name}: ${have[c]} labeled${owed ? `, ${owed} owed in the next query` : ""}`);
      const [a, b] = button.querySelectorAll(".oreal-debt > span");
      if (a) a.style.width = `${(100 * have[c]) / most}%`;
      if (b) b.style.width = `${(100 * owed) / most}%`;
    });
    ui.left.textContent = state.live ? `${this.query.length} suggested` : `${counters.answered} of ${counters.asked} done`;
    ui.counters.replaceChildren(...facts(counters, state.live).map((text) => h("span", { text })));
  },

  /** How good what is learned is, where that is known: a line and its course. */
  showQuality(quality = this.quality) {
    const { agreement } = this.ui;
    this.quality = quality;
    agreement.hidden = quality?.agreement == null;
    if (agreement.hidden) return;
    const text = `agreement ${Math.round(100 * quality.agreement)} % (${plural(quality.n, "click")})`;
    const classes = quality.per_class.flatMap(([right, n], c) => (n ? `${this.state.classes[c]?.name}: ${right} of ${n}` : []));
    const about = "Clicks foretold from those in other pictures. Suggestions are the hardest questions: more of all pixels is right.";
    agreement.replaceChildren(h("span", { text, title: [about, ...classes].join("\n") }), curveOf(quality.curve));
  },

  showSaved() {
    const { ui, held } = this;
    const acts = this.store.all();
    const waited = acts.length ? performance.now() - (this.sentAt.get(acts[0].id) ?? this.started) : 0;
    const late = waited > 5000;
    const [text, kind] = savedText(acts.length, waited, held);
    if (ui.saved.textContent !== text) ui.saved.textContent = text;
    ui.saved.className = `oreal-saved oreal-${kind}`;
    if (this.closed) return;
    const again = this.alone
      ? "Reload the page; if that fails, start it again by the same command, and open the address it prints"
      : "Run the cell again (or reload the page)";
    ui.late.textContent = late ? `Nothing answers; your clicks are kept in this browser. ${again}: then they are sent.` : "";
    ui.late.hidden = !late || held; // while it cannot write, it does answer
    ui.again.hidden = !late && !(held && acts.length);
  },

  /** Once a second: the save indicator, and acts without an answer once more, at longer and longer intervals. */
  tick() {
    const now = performance.now();
    if (!this.state && now - this.started > 5000) this.ui.wait.textContent = `Nothing answers. ${this.alone ? "Reload the page" : "Run the cell again"}.`;
    if (this.training && now - this.training > 10_000) {
      this.training = now; // the answer to a poll did not arrive
      this.send({ kind: "poll" });
    }
    this.showSaved(); // what we sent may have been saved through another view
    if (this.lastAct > this.started && now - this.statusAt > 20_000) this.say(""); // the counters are seen again
    if (!this.store.all().length || !this.state || now - this.lastSend < this.retry * 1000) return;
    this.retry = Math.min(2 * this.retry, 300);
    this.sendAgain();
  },

  /** The choice in plain words that strategy and aggregate make, and a sentence on it. */
  showAsking() {
    const { ui, state } = this;
    const asks = Object.entries(state.asks);
    const words = asks.find(([, [strategy, how]]) => strategy === ui.strategy.value && how === ui.aggregate.value)?.[0];
    setOptions(ui.ask, [...asks.map(([text]) => text), ...(words ? [] : ["as chosen below"])], words ?? "as chosen below");
    ui.ask.title = words ? state.asks[words][2] : "A strategy by its name";
    ui.sentence.textContent = state.sentences[ui.strategy.value] ?? "";
  },

  chooseAsking(strategy, aggregate) {
    [this.ui.strategy.value, this.ui.aggregate.value] = [strategy, aggregate];
    this.showAsking();
    this.send({ kind: "set", strategy, aggregate });
  },

  showLight() {
    const filter = this.ui.light.map(({ name, value }) => `${name}(${value})`).join(" ");
    for (const image of [this.ui.image, this.ui.tile]) image.style.filter = filter === "brightness(1) contrast(1)" ? "" : filter;
  },

  hideLayers() {
    this.bare = !this.bare;
    this.ui.root.querySelector("[data-key=h]").setAttribute("aria-pressed", this.bare);
    this.showLayers();
  },

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
      this.on(select, "change", () => this.chooseAsking(ui.strategy.value, ui.aggregate.value));
    }
    this.on(ui.ask, "change", () => this.chooseAsking(...this.state.asks[ui.ask.value].slice(0, 2)));
    for (const input of ui.light) {
      this.on(input, "input", () => this.showLight());
      this.on(input, "dblclick", () => this.showLight((input.value = 1)));
    }
    this.on(ui.radius, "input", () => taste.set("radius", ui.radius.value));
    this.on(ui.go, "change", () => taste.set("auto-next", ui.go.checked));
    this.on(ui.order, "click", () => {
      this.doubtful = !this.doubtful;
      ui.order.textContent = this.doubtful ? "Sort A–Z" : "Unsure first";
      this.sortStrip();
    });
    this.on(ui.root, "click", (event) => this.explain(event), { capture: true }); // before what it does says how that went
    this.on(ui.root, "focusin", (event) => event.target.matches(":focus-visible") && this.explain(event));
    this.on(ui.finish, "click", () => {
      this.say("Writing the masks ...");
      this.send({ kind: "finish" });
    });
    this.on(ui.live, "change", () => this.send({ kind: "live", on: ui.live.checked }));
    this.on(ui.train, "click", () => {
      ui.train.disabled = true;
      ui.training.textContent = "starting ...";
      this.send({ kind: "train" });
    });
    this.on(ui.stop, "click", () => this.send({ kind: "stop" }));
    this.on(ui.again, "click", () => this.sendAgain());
  },
};
