/* Acts: what is clicked stays in the browser until Python has it on disk. */

import { NONE } from "./colors.js";

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
    if (act.picture !== index || !["label", "accept", "all"].includes(act.do)) continue;
    act.superpixels.forEach((k, i) => {
      if (k < labels.length) labels[k] = act.do === "all" ? act.to[i] : act.to; // others are of a split that was undone
    });
  }
}

/** The suggestions [picture, superpixel] without those that these acts answer. */
export function openSuggestions(query, acts) {
  const key = ([picture, k]) => picture + ":" + k;
  const gone = new Set();
  for (const act of acts) {
    if (!["label", "accept", "all", "skip"].includes(act.do)) continue;
    for (const k of act.superpixels) gone[act.to === NONE ? "delete" : "add"](key([act.picture, k]));
  }
  return query.filter((pair) => !gone.has(key(pair)));
}

export const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");

/** A measure that a benchmark can read with `performance.getEntriesByName`. */
export const measure = (name, start, end = performance.now()) => performance.measure("oreal:" + name, { start, end });


/** Messages to Python. */
export const sending = {
  send(message) {
    try {
      this.model.send(message);
    } catch {
      if (message.kind !== "act") this.say("Nothing answers.", "bad"); // an act stays pending: the save indicator says so
    }
  },

  act(what, more = {}) {
    if (this.closed) return;
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
    if (now - this.statusAt > 8000 || this.ui.status.matches(".oreal-turned")) this.say("");
  },

  sendAgain() {
    this.held = false;
    this.lastSend = performance.now();
    let after;
    for (const message of this.store.all()) {
      this.send({ kind: "act", ...message, after, now: Date.now() });
      after = message.id;
    }
  },

  /** The acts on their way, with the places that their pictures have now. */
  pending() {
    return this.store.all().map((act) => (act.name === undefined ? act : { ...act, picture: this.places.get(act.name) ?? -1 }));
  },

  request(index, prefetch = false) {
    if (this.asked.has(index) && prefetch) return;
    this.asked.add(index);
    this.send({ kind: "show", picture: index, prefetch });
  },
};
