/* Colors of labels, predictions and uncertainty. A label is a code: a class, VOID or NONE. */

export const VOID = 255; // no class, or unsure
export const NONE = 254; // not labeled


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
export const stripe = (x, y) => ((x + y) >> 2) & 1;
