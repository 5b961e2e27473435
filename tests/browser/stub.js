/* A model for the annotation widget in a plain page: it plays Python's part, on two hand-made pictures of 64 x 48 pixels.

Each picture has 12 superpixels of 16 x 16 pixels, numbered row by row:  0  1  2  3
                                                                         4  5  6  7
                                                                         8  9 10 11
A test looks at `sent`, sets `hold` (answers wait until `release()`) or `mood` ("refused", "failed"), or calls `reply`.
*/

const NONE = 254;
const WIDTH = 64;
const HEIGHT = 48;

async function deflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** A picture whose superpixels have different greys, packed as the browser can read it. */
async function gridPicture(name) {
  const ids = Uint16Array.from({ length: WIDTH * HEIGHT }, (_, i) => 4 * Math.floor(i / WIDTH / 16) + Math.floor((i % WIDTH) / 16));
  const canvas = new OffscreenCanvas(WIDTH, HEIGHT);
  const context = canvas.getContext("2d");
  for (let k = 0; k < 12; k++) {
    context.fillStyle = `hsl(${30 * k} 25% ${35 + 3 * k}%)`;
    context.fillRect(16 * (k % 4), 16 * Math.floor(k / 4), 16, 16);
  }
  const image = new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer());
  const predicted = new Uint8Array(12).fill(1);
  const prediction = await deflate(new Uint8Array(WIDTH * HEIGHT).fill(1));
  const uncertainty = await deflate(Uint8Array.from({ length: WIDTH * HEIGHT }, (_, i) => 4 * (i % WIDTH)));
  const packed = await deflate(ids);
  return { name, width: WIDTH, height: HEIGHT, count: 12, image, ids: packed, predicted, prediction, uncertainty };
}

const CLASSES = [
  { name: "sky", color: "#56b4e9" },
  { name: "tree", color: "#009e73" },
  { name: "road", color: "#e69f00" },
];

export class StubModel {
  constructor({ pictures, classes = CLASSES, query, counters = {} } = {}) {
    Object.assign(this, { classes, given: counters });
    this.pictures = pictures ?? Promise.all(["first", "second"].map(gridPicture));
    this.query = query ?? [6, 9, 14].map((k) => [Math.floor(k / 12), k % 12]); // 6 and 9 of the first, 2 of the second
    this.listeners = new Set();
    this.sent = []; // every message of the widget
    this.hold = false;
    this.held = [];
    this.mood = "done";
    this.done = []; // acts, each with what the labels were before
    this.undone = [];
  }

  // What anywidget's model has.
  get(name) {
    return name === "session_name" ? "test" : undefined;
  }
  set() {}
  save_changes() {}
  on(name, listener) {
    this.listeners.add(listener);
  }
  off(name, listener) {
    this.listeners.delete(listener);
  }
  send(message) {
    this.sent.push(structuredClone(message));
    if (this.hold) this.held.push(message);
    else this.queue = (this.queue ?? Promise.resolve()).then(() => this.receive(message));
  }

  /** What a test asks for. */
  release() {
    this.hold = false;
    for (const message of this.held.splice(0)) this.queue = (this.queue ?? Promise.resolve()).then(() => this.receive(message));
  }
  acts() {
    return this.sent.filter(({ kind }) => kind === "act");
  }
  reply(message, buffers = []) {
    for (const listener of this.listeners) listener(message, buffers);
  }

  // Python's part.
  async receive(message) {
    this.known ??= await this.pictures;
    this.labels ??= this.known.map(({ count, labels }) => labels ?? new Uint8Array(count).fill(NONE));
    const answer = {
      hello: () => {
        for (const act of message.pending) this.act(act);
        this.reply(this.state());
        this.picture(0);
      },
      act: () => this.act(message),
      show: () => this.picture(message.picture),
      train: () => this.reply({ kind: "training", state: "running", share: 0.4, text: "epoch 4 of 10", seconds_left: 42 }),
      stop: () => this.reply({ kind: "training", state: "stopped", share: 0.4, text: "stopped", seconds_left: null }),
    }[message.kind];
    answer?.();
  }

  state() {
    const about = ({ name, width, height, count }, i) => ({ name, width, height, superpixels: count, labeled: this.labeled(i) });
    const pictures = this.known.map(about);
    const strategies = ["oreal", "bvsb", "random"];
    const aggregates = ["max", "mean"];
    const asks = { "where it is most unsure": ["bvsb", "mean", "close"], "balance the classes": ["oreal", "max", "rare"] };
    const order = this.order ?? [...this.classes.keys()];
    const more = { asks, order, sentences: { oreal: "Class by class." }, problems: this.problems ?? [] };
    const common = { ...more, kind: "state", session: "test", classes: this.classes, pictures, picture: 0, round: this.given.round ?? 1 };
    const choice = { strategies, aggregates, strategy: "oreal", aggregate: "max", training: { state: "none" } };
    return { ...common, query: this.open(), ...choice, counters: this.counters() };
  }
  labeled(i) {
    return this.labels[i].filter((code) => code !== NONE).length;
  }
  open() {
    return this.query.filter(([picture, k]) => this.labels[picture][k] === NONE);
  }
  counters() {
    const all = this.labels.flatMap((labels) => [...labels]);
    const per_class = [...this.classes.keys(), 255].map((c) => all.filter((code) => code === c).length);
    const labeled = all.filter((code) => code !== NONE).length;
    const answered = this.query.length - this.open().length;
    const debt = this.classes.map(() => 1);
    const more = { round: 1, asked: this.query.length, answered, debt, agreement: null, minutes: 1 };
    return { clicks: this.done.length, labeled, superpixels: all.length, per_class, ...more, ...this.given };
  }
  picture(index, keep = false) {
    const { width, height, count, ...parts } = this.known[index];
    parts.labels = this.labels[index];
    const names = ["image", "ids", "labels", "prediction", "uncertainty", "predicted"].slice(keep ? 1 : 0);
    const layers = names.filter((name) => parts[name]);
    const buffers = layers.map((name) => new DataView(parts[name].slice().buffer));
    this.reply({ kind: "picture", picture: index, width, height, count, keep, layers }, buffers);
  }
  act(act) {
    if (this.mood !== "done") return this.reply({ kind: this.mood, id: act.id, text: `${this.mood}: no room` });
    const history = { undo: this.done, redo: this.undone }[act.do];
    const last = history?.pop();
    const { picture, superpixels } = last ?? act;
    const changes = [];
    if (!history || last) {
      const labels = this.labels[picture];
      const before = superpixels.map((k) => labels[k]);
      superpixels.forEach((k, i) => {
        if (last) labels[k] = last.before[i];
        if (act.do === "label") labels[k] = act.to;
        if (act.do === "accept") labels[k] = this.known[picture].predicted[k];
      });
      if (act.do === "skip") this.query = this.query.filter(([p, k]) => p !== picture || !superpixels.includes(k));
      (act.do === "undo" ? this.undone : this.done).push({ picture, superpixels, before });
      changes.push({ picture, superpixels, labels: superpixels.map((k) => labels[k]) });
    }
    const to_see = last ? picture : null;
    this.reply({ kind: "done", id: act.id, changes, query: this.open(), counters: this.counters(), to_see });
  }
}
