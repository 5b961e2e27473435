/* Pixels: a picture's superpixels, their borders and outlines. */

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
