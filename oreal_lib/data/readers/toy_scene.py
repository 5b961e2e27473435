"""What a toy scene is painted with: noise, wet tissue, and the things a surgeon brings in.

Coordinates are pixels of the canvas, (h, w) = twice the final size. `k` is one unit of a 256 pixel high canvas; `z` is
`k` times the zoom of the scene and scales whatever lies on the tissue. Colors are float32 RGB, 0..1 before clipping.
"""

from typing import NamedTuple

import numpy as np
import scipy.fft
from scipy import ndimage

CLASSES = ("tissue", "organ", "shaft", "wrist", "jaw", "suction", "clip", "thread")
TISSUE, ORGAN, SHAFT, WRIST, JAW, SUCTION, CLIP, THREAD = range(len(CLASSES))

CLIP_COLORS = np.float32([(0.48, 0.20, 0.68), (0.20, 0.58, 0.60), (0.86, 0.86, 0.84)])
THREAD_COLORS = np.float32([(0.34, 0.12, 0.52), (0.12, 0.20, 0.55), (0.08, 0.42, 0.30)])
BLOOD = np.float32((0.36, 0.03, 0.03))


class Part(NamedTuple):
    """One thing to lay over the scene: color (h, w, 3), label (h, w) uint8 (0 where the thing is not), tip (x, y)."""

    color: np.ndarray
    label: np.ndarray
    tip: tuple[float, float]


def fractal(rng, shape, beta, low=0.0):
    """(h, w) float32 noise with power spectrum r^-beta, mean 0, sd 1; below `low` cycles per height it fades out."""
    h, w = shape
    r = np.hypot(np.fft.fftfreq(h, 1 / h)[:, None], np.fft.rfftfreq(w, 1 / w)[None] * (h / w)).astype(np.float32)
    r[0, 0] = np.inf  # no constant term
    gain = r ** (-beta / 2) / (1 + (low / r) ** 4)
    wave = rng.standard_normal((*r.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    field = scipy.fft.irfft2(wave * gain, s=shape)
    return (field - field.mean()) / field.std()


def sigmoid(x):
    """1 / (1 + e^-x) of each value of an array, in [0, 1]; x is limited to +-30, so that nothing overflows."""
    return 1 / (1 + np.exp(-np.clip(x, -30, 30)))


def mix(a, b, share):
    """Color a where share (h, w) is 0, b where it is 1."""
    return a + (b - a) * share[..., None]


def frame(shape, origin, angle, bend=0.0):
    """(along, across), each (h, w) float32: pixels seen from origin (x, y) along `angle`; bend curls the axis."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    x, y = np.float32(x - origin[0]), np.float32(y - origin[1])
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along = x * c + y * s
    return along, y * c - x * s - np.float32(bend) * along * along


def point(origin, angle, distance):
    """The point (x, y) at a distance from origin."""
    return origin[0] + distance * np.cos(angle), origin[1] + distance * np.sin(angle)


def strokes(shape, xy, radius):
    """Distance (h, w) to the nearest of the points xy (n, 2), the radius there and the index of that point."""
    col, row = np.round(xy).astype(int).T
    inside = (col >= 0) & (col < shape[1]) & (row >= 0) & (row < shape[0])
    if not inside.any():
        return np.full(shape, np.inf, np.float32), np.zeros(shape, np.float32), np.zeros(shape, int)
    owner = np.full(shape, -1)
    owner[row[inside], col[inside]] = np.flatnonzero(inside)
    distance, (i, j) = ndimage.distance_transform_edt(owner < 0, return_indices=True)
    index = owner[i, j]
    return distance.astype(np.float32), radius[index], index


def vessels(rng, shape, k, trunks, size):
    """(h, w) in 0..1: branching vessels seen through the surface, `trunks` trees of starting radius about `size`."""
    h, w = shape
    roots = rng.uniform((0, 0, 0, 0.6 * size), (w, h, 2 * np.pi, 1.2 * size), (trunks, 4))
    todo = [tuple(root) for root in roots]  # x, y, angle, radius of segments still to grow
    points, radii = [], []
    while todo:
        x, y, angle, radius = todo.pop()
        n = int(rng.uniform(20, 46) * (0.6 + radius / size))
        angles = angle + np.cumsum(ndimage.gaussian_filter1d(rng.normal(0, 0.22, n), 3.0))
        points.append(np.stack([x + 1.4 * k * np.cumsum(np.cos(angles)), y + 1.4 * k * np.cumsum(np.sin(angles))], 1))
        radii.append(np.linspace(radius, 0.82 * radius, n))
        if radius > 0.28 * size:
            fork = rng.uniform(0.2, 0.9)
            todo.append((*points[-1][-1], angles[-1] - 0.4 * fork, 0.82 * radius))
            todo.append((*points[-1][-1], angles[-1] + fork, rng.uniform(0.45, 0.75) * radius))
    distance, radius, _ = strokes(shape, np.concatenate(points), np.concatenate(radii).astype(np.float32))
    soft = np.clip(radius - distance + 0.5, 0, 1) * np.clip(radius / (0.9 * k), 0.25, 1)
    return ndimage.gaussian_filter(soft, 0.6 * k)


def relief(rng, color, height, k):
    """The surface under a lamp beside the lens: soft shading, red shadows and wet highlights.

    The fine bumps bend only the highlights. In the shading they would turn tissue into rock.
    """
    gy, gx = np.gradient(height)
    scale = 0.5 / np.sqrt(np.mean(gx * gx + gy * gy))
    turn = rng.uniform(0, 2 * np.pi)
    tilt = scale * (gx * np.cos(turn) + gy * np.sin(turn))
    slope = scale * scale * (gx * gx + gy * gy)
    shade = (1 - 0.30 * tilt) / np.sqrt(1 + 0.40 * slope)
    hollow = ndimage.gaussian_filter(height, 20 * k, truncate=2.5) - height
    shade = np.clip(shade * (1 - 0.25 * np.clip(hollow, -0.4, 1)), 0.15, 1.5)
    # Light that enters flesh comes back red, so shadows keep their red longest.
    color = color * shade[..., None] ** np.float32((0.85, 1.2, 1.2))
    by, bx = np.gradient(fractal(rng, color.shape[:2], 2.8, 7))
    bump = rng.uniform(0.04, 0.18) / np.sqrt(np.mean(bx * bx + by * by))
    lean = rng.uniform(0.05, 0.5)
    off = (scale * gx + bump * bx + lean * np.cos(turn)) ** 2 + (scale * gy + bump * by + lean * np.sin(turn)) ** 2
    shine = np.exp(-off / rng.uniform(0.006, 0.022)) * rng.uniform(0.5, 1.1)
    gloss = 0.10 * np.exp(-off / 0.12)
    shine = ndimage.gaussian_filter(shine, 0.7 * k)
    return mix(color, np.float32((1, 0.96, 0.93)), np.clip(shine + gloss, 0, 1))


def rod(across, tone, light, shine):
    """Color (h, w, 3) of a round rod: across is -1..1 from edge to edge, light -1..1 the side the lamp is on."""
    s = np.clip(across, -1, 1)
    body = 0.35 + 0.75 * np.clip(s * light + np.sqrt(1 - s * s) * np.sqrt(1 - light * light), 0, 1)
    streak = shine * np.exp(-(((s - 0.6 * light) / 0.14) ** 2))
    return body[..., None] * tone + streak[..., None]


def tool(rng, shape, k, z):
    """A shaft from the border, a wrist and two jaws."""
    h, w = shape
    end = (rng.uniform(0.25, 0.75) * w, rng.uniform(0.25, 0.75) * h)
    side, place = rng.integers(4), rng.uniform(0.0, 1.0)
    entry = [(0, place * h), (w, place * h), (place * w, 0), (place * w, h)][side]
    angle = np.arctan2(end[1] - entry[1], end[0] - entry[0])
    half, light = rng.uniform(14, 24) * z, rng.uniform(-0.7, 0.7)
    grey = rng.uniform(0.16, 0.34) if rng.random() < 0.55 else rng.uniform(0.38, 0.6)

    back, across = frame(shape, end, angle + np.pi)
    wide = half * (1 + rng.uniform(0, 0.12) * np.clip(back, 0, None) / h)
    on_shaft = (back > 0) & (np.abs(across) < wide)
    shaft = rod(across / wide, np.float32((1, 1, 1.03)) * grey, -light, rng.uniform(0.05, 0.3))
    for ring in range(rng.integers(1, 3)):
        near = np.abs(back - (6 + 11 * ring) * z) < 2.6 * z
        shaft = np.where(near[..., None], 0.55 * shaft + rod(across / wide, np.float32(0.36), -light, 0.3), shaft)
    shaft = shaft * (1 - 0.45 * np.exp(-np.clip(back, 0, None) / (2.5 * z)))[..., None]

    heading = angle + rng.uniform(-0.5, 0.5)
    reach, thick = rng.uniform(28, 48) * z, half * rng.uniform(0.75, 0.95)
    along, across = frame(shape, end, heading)
    wide = thick * (1 - 0.22 * np.clip(along / reach, 0, 1))
    on_wrist = (along > -0.45 * half) & (along < reach) & (np.abs(across) < wide)
    wrist = rod(across / wide, np.float32((1.10, 1.0, 0.80)) * rng.uniform(0.42, 0.68), light, 0.25)
    groove = np.sin(along * (2 * np.pi / (11 * z))) > 0.55
    wrist = wrist * (1 - 0.35 * (groove & (along < 0.5 * reach)))[..., None]
    fork = (np.abs(across) < 0.12 * wide) & (along > 0.62 * reach)  # the slot the jaws turn in
    pin = np.hypot(along - 0.68 * reach, across) / (0.34 * thick)
    wrist = wrist * (1 - 0.5 * fork - 0.55 * (pin < 1) * (pin > 0.72) - 0.25 * (pin <= 0.72))[..., None]

    tip = point(end, heading, 0.86 * reach)
    long, open_by, metal = rng.uniform(50, 86) * z, rng.uniform(0.05, 0.55), rng.uniform(0.52, 0.80)
    curve, blade = rng.uniform(-0.0025, 0.0025) / z, thick * rng.uniform(0.66, 0.90)
    label, color = np.zeros(shape, np.uint8), np.zeros((*shape, 3), np.float32)
    for way in (-1, 1):
        along, across = frame(shape, tip, heading + way * open_by / 2, curve)
        t, across = np.clip(along / long, 0, 1), way * across
        wide = blade * (1 - 0.58 * t) * np.sqrt(np.clip(np.minimum(1, (1 - t) * 9), 0.05, 1))
        on = (along > 0) & (along < long) & (across > -0.08 * blade) & (across < wide)
        prong = rod(2 * across / wide - 1, np.float32((0.95, 1.0, 1.06)) * metal, way * light, 0.4)
        teeth = (across < 0.30 * wide) & (t > 0.3) & (np.sin(along * (2 * np.pi / (6.5 * z))) > 0)
        prong = prong * (1 - 0.42 * teeth - 0.30 * (across < 0.10 * wide))[..., None]
        color, label = np.where(on[..., None], prong, color), np.where(on, JAW, label)
    for on, part, name in ((on_wrist, wrist, WRIST), (on_shaft, shaft, SHAFT)):
        color, label = np.where(on[..., None], part, color), np.where(on, name, label)
    return Part(color, label.astype(np.uint8), point(tip, heading, 0.5 * long))


def suction(rng, shape, k, z):
    """A slightly curved tube from the border with dark holes near its open end."""
    h, w = shape
    end = (rng.uniform(0.2, 0.8) * w, rng.uniform(0.2, 0.8) * h)
    half, light = rng.uniform(6.5, 10) * z, rng.uniform(-0.6, 0.6)
    along, across = frame(shape, end, rng.uniform(0, 2 * np.pi), rng.uniform(-0.0022, 0.0022) / k)
    on = (along > -0.5 * half * np.sqrt(np.clip(1 - (across / half) ** 2, 0, 1))) & (np.abs(across) < half)
    clear = rng.random() < 0.5
    tone = np.float32((0.66, 0.74, 0.84) if clear else (0.60, 0.61, 0.64)) * rng.uniform(0.85, 1.1)
    color = rod(across / half, tone, light, 0.45)
    if clear:  # the wall of a clear tube is brighter than its middle
        color = color * (0.72 + 0.38 * np.abs(across / half) ** 3)[..., None]
    gap = 9 * z
    hole = np.hypot((along % gap) - gap / 2, 0.9 * across) < 0.34 * half
    color = color * (1 - 0.75 * (hole & (along > 0.3 * gap) & (along < 4.3 * gap)))[..., None]
    color = color * (1 - 0.5 * (along < 1.5 * z))[..., None]
    return Part(color, np.where(on, SUCTION, 0).astype(np.uint8), end)


def clip(rng, shape, k, z):
    """A U-shaped ligation clip."""
    h, w = shape
    at = (rng.uniform(0.1, 0.9) * w, rng.uniform(0.1, 0.9) * h)
    along, across = frame(shape, at, rng.uniform(0, 2 * np.pi))
    a, b = rng.uniform(13, 21) * z, rng.uniform(6.5, 10) * z
    inset = np.minimum(a - np.abs(along), b - np.abs(across))  # > 0 inside the block
    corner = np.hypot(np.clip(along - a + 0.6 * b, 0, None), np.clip(np.abs(across) - 0.4 * b, 0, None)) < 0.6 * b
    slot = (np.abs(across) < 0.26 * b) & (along < 0.45 * a)
    on = (inset > 0) & corner & ~slot
    tone = CLIP_COLORS[rng.integers(len(CLIP_COLORS))] * rng.uniform(0.85, 1.1)
    limb = (np.abs(across) - 0.63 * b) / (0.37 * b)
    color = rod(np.where(along < 0.45 * a, limb, across / (1.3 * b)), tone, rng.uniform(-0.5, 0.5), 0.35)
    color = color * (1 - 0.35 * (np.abs(along + 0.75 * a) < 1.5 * z))[..., None]
    return Part(color, np.where(on, CLIP, 0).astype(np.uint8), at)


def thread(rng, shape, k, z):
    """A braided suture along a cubic Bezier curve."""
    h, w = shape
    start = rng.uniform(0.2, 0.8, 2) * (w, h)
    knots = start + np.cumsum(np.vstack([np.zeros(2), rng.normal(0, 0.46 * h, (3, 2))]), 0)
    t = np.linspace(0, 1, 10 * h)[:, None]
    xy = (1 - t) ** 3 * knots[0] + 3 * t * (1 - t) ** 2 * knots[1] + 3 * t * t * (1 - t) * knots[2] + t**3 * knots[3]
    half = max(rng.uniform(3.0, 4.4) * z, 1.2)  # thinner would fall apart in the mask
    distance, _, index = strokes(shape, xy, np.zeros(len(xy), np.float32))
    tone = THREAD_COLORS[rng.integers(len(THREAD_COLORS))] * rng.uniform(0.9, 1.3)
    run = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(xy, axis=0).T))])[index]
    braid = 0.88 + 0.12 * np.sin(run * (2 * np.pi / (5 * z)))
    color = rod(distance / half, tone, 0.0, 0.22) * braid[..., None]
    return Part(color.astype(np.float32), np.where(distance < half, THREAD, 0).astype(np.uint8), tuple(xy[-1]))
