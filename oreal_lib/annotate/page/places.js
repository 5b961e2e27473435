/* Places in the picture and in the view. */

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
  const room = (low, high, size) => Math.max(5 * (high - low + 1), Math.min(64, size), 0.58 * size); // 0.58 squared: a third of the picture
  const wanted = Math.min(w / room(left, right, width), h / room(top, bottom, height));
  const scale = Math.max(Math.min(wanted, 4), fit); // larger, nothing is recognized
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

/** The superpixels of which at least half of the pixels lie in the rectangle between two points of the picture. */
export function superpixelsWithin({ ids, width, height, start, count }, [x, y], [u, v]) {
  const inside = new Uint32Array(count);
  const clip = (a, b, size) => [Math.max(0, Math.floor(Math.min(a, b))), Math.min(size, Math.ceil(Math.max(a, b)))];
  const [[left, right], [top, bottom]] = [clip(x, u, width), clip(y, v, height)];
  for (let row = top; row < bottom; row++) for (let i = row * width + left; i < row * width + right; i++) inside[ids[i]]++;
  return [...inside.keys()].filter((k) => inside[k] && 2 * inside[k] >= start[k + 1] - start[k]);
}

/** The superpixels whose boxes reach into an area of the picture. */
export function superpixelsIn({ box, count }, [left, top, right, bottom]) {
  const touches = (b) => box[b] <= right && box[b + 2] >= left && box[b + 1] <= bottom && box[b + 3] >= top;
  return Array.from({ length: count }, (_, k) => k).filter((k) => touches(4 * k));
}
