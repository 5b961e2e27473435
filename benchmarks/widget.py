"""How fast the annotation widget is on a large picture, beside plain ways of doing the same.

    python benchmarks/widget.py               # a picture of 1024 x 2048 pixels and 2048 superpixels; a few minutes
    python benchmarks/widget.py --tiny --out FOLDER

payload: bytes of a picture as `oreal_lib.annotate.widget` sends it; plain: as PNG, with its superpixel ids as a list in JSON.
set-up: from the arrival of that message to the picture on the canvas, each time in a new page.  hover: from the pointer over another
superpixel to its outline.  paint: from the press of the button to the label on the canvas; plain: all pixels of the picture get their
colors again.  These three in a headless Chromium, with a stub for Python; what the browser does then to show the canvas is not in them.
disk: in JupyterLab with a real kernel, from a click to its line being on disk (fsync); answer: until the page knows it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from oreal_lib.annotate import widget
from oreal_lib.annotate.pictures import key
from oreal_lib.annotate.rounds import folder_of, write_query
from oreal_lib.annotate.session import Session, open_session
from oreal_lib.data.readers.toy import CLASSES, draw_scene
from oreal_lib.scores import bvsb
from oreal_lib.storage import atomic, provenance
from oreal_lib.types import Query

HERE = Path(__file__).resolve().parent
BROWSER_TESTS = HERE.parent / "tests" / "browser"
GOAL = {"payload_mb": 0.5, "setup_ms": 200, "hover_ms": 2, "paint_ms": 10, "disk_ms": 60}  # times: the 95th percentile
PACKAGES = ("anywidget", "jupyterlab", "playwright", "pillow", "opencv-contrib-python-headless")
CELL = """from oreal_lib.annotate.widget import annotate
annotate({folder!r}, side={side}, superpixel_count={count})"""
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}  # for exact clocks
SEED = 6


@dataclass(frozen=True)
class Plan:
    """A picture, how many superpixels are asked, and how often each thing is done; the first two of each do not count."""

    height: int = 1024
    width: int = 2048
    superpixels: int = 2048
    setups: int = 15
    moves: int = 400
    clicks: int = 300


TINY = Plan(64, 128, 32, 3, 8, 6)


def open_folder(folder: Path, plan: Plan, truth: np.ndarray | None = None) -> Session:
    """The session of the folder; with a truth, also a second round: what a network sees that knows it but for its borders."""
    session = open_session(folder, list(CLASSES), side=max(plan.height, plan.width), superpixel_count=plan.superpixels)
    if truth is None:
        return session
    classes = F.one_hot(torch.from_numpy(truth).long(), len(CLASSES)).permute(2, 0, 1)[None].float()
    coarse = F.avg_pool2d(F.avg_pool2d(classes, 8), 3, 1, 1) + 0.01
    p = F.interpolate(coarse, size=truth.shape, mode="bilinear").softmax(dim=1) ** 8  # sharper, as trained networks are
    unsure = (255 * bvsb(p)[0, 0]).round().to(torch.uint8).numpy()
    buffer = BytesIO()
    np.savez_compressed(buffer, predicted=p[0].argmax(dim=0).to(torch.uint8).numpy(), unsure=unsure)
    ids = np.random.default_rng(SEED).permutation(session.pictures[0].count)[:20]
    round_2 = folder_of(session.home, 2)
    atomic.write_bytes(round_2 / "views" / f"{key(session.pictures[0].name)}.npz", buffer.getvalue())
    write_query(
        session.home, 2, session.board, Query(ids.astype(np.int64), np.zeros(len(ids), np.float32)), len(session.log.events)
    )
    atomic.write_json(round_2 / "done.json", {"round": 2})
    session.refresh()
    return session


def sent(session: Session) -> list[tuple[dict, list[bytes]]]:
    """What the widget answers to a new page: the messages "state" and "picture", each with its buffers."""
    annotator, messages = widget.Annotator(session), []
    annotator.send = lambda content, buffers=None: messages.append((content, list(buffers or [])))
    annotator._answer(annotator, {"kind": "hello", "pending": []}, [])
    return messages


def measure_payload(session: Session, message: dict, buffers: list[bytes]) -> dict[str, Any]:
    """Bytes of each layer, of what a first look needs ("bytes"), of everything, and of the plain way."""
    layers = dict(zip(message["layers"], map(len, buffers), strict=True))
    needed = sum(layers[name] for name in ("image", "ids", "labels"))
    png = BytesIO()
    Image.fromarray(np.asarray(session.pictures[0].image())).save(png, "PNG")
    plain = len(png.getvalue()) + len(json.dumps(session.board.ids(0).tolist(), separators=(",", ":"))) + layers["labels"]
    total = sum(layers.values())
    return {"layers": layers, "bytes": needed, "with_all_layers": total, "plain": plain, "ratio": round(plain / needed, 1)}


def spread(milliseconds: list[float], skip: int = 2) -> dict[str, float]:
    """Number, median and 95th percentile, to three digits, without the first ones."""
    values = np.array(milliseconds[skip:])
    found = {"n": len(values)}
    return found | {f"p{q}": float(f"{np.percentile(values, q):.3g}") for q in (50, 95)}


def entries(page: Any, name: str) -> list[float]:
    """Milliseconds of all measures of the widget of that name, the oldest first."""
    return page.evaluate("(name) => performance.getEntriesByName('oreal:' + name).map(({duration}) => duration)", name)


def await_entries(page: Any, name: str, count: int) -> None:
    page.wait_for_function(f"performance.getEntriesByName('oreal:{name}').length >= {count}", timeout=30_000)


def places(page: Any, ids: np.ndarray, count: int, rng: np.random.Generator) -> Iterator[tuple[int, float, float]]:
    """Superpixels in any order, none twice in a row, and for each a pixel of it: where that is in the page."""
    box = page.locator(".oreal-stage canvas").first.bounding_box()
    order = [k for _ in range(-(-count // (int(ids.max()) + 1))) for k in rng.permutation(int(ids.max()) + 1)][:count]
    pixels = np.argsort(ids, axis=None, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(ids.ravel()))])
    for k in order:
        y, x = divmod(int(pixels[(start[k] + start[k + 1]) // 2]), ids.shape[1])
        scale = box["width"] / ids.shape[1]
        yield int(k), box["x"] + (x + 0.5) * scale, box["y"] + (y + 0.5) * scale


@contextmanager
def served(browser: Any, messages: list[tuple[dict, list[bytes]]]) -> Iterator[Any]:
    """A browser context in which http://localhost/ is the page with the widget, and nothing else can be reached."""
    files = {f"/buffer/{i}/{j}": b for i, (_, buffers) in enumerate(messages) for j, b in enumerate(buffers)}
    about = [{"content": c, "files": [f"/buffer/{i}/{j}" for j in range(len(b))]} for i, (c, b) in enumerate(messages)]
    code = Path(widget.__file__).parent
    kinds = {"/": (HERE / "widget_page.html", "text/html"), "/widget.js": (code / "widget.js", "text/javascript")}
    kinds["/widget.css"] = (code / "widget.css", "text/css")
    texts = {path: (file.read_bytes(), kind) for path, (file, kind) in kinds.items()}
    texts["/messages.json"] = (json.dumps(about).encode(), "application/json")

    def answer(route: Any) -> None:
        path = route.request.url.removeprefix("http://localhost")
        body, kind = texts.get(path) or (files.get(path), "application/octet-stream")
        if body is None:
            return route.abort()
        route.fulfill(body=body, headers=ISOLATED | {"Content-Type": kind})

    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.route("**/*", answer)
    yield context
    context.close()


def measure_browser(browser: Any, messages: list, ids: np.ndarray, plan: Plan) -> dict[str, Any]:
    """Set-up, hover and paint in a plain page, and the plain way of painting, which takes turns with ours."""
    rng, setups = np.random.default_rng(SEED), []
    with served(browser, messages) as context:
        for i in range(plan.setups):
            page = context.new_page()
            page.goto("http://localhost/")
            await_entries(page, "setup", 1)
            setups += entries(page, "setup")
            if i + 1 < plan.setups:
                page.close()
        places_in_ids = (np.arange(ids.size, dtype=np.uint64).reshape(ids.shape) * ids).sum() % 2**32
        if page.evaluate("idsSum") != int(places_in_ids):
            raise RuntimeError("the browser has other superpixel ids than Python sent; mend `widget.Annotator._show` or `inflate`")
        for _, x, y in places(page, ids, plan.moves, rng):
            page.mouse.move(x, y)
        hovers, plain = entries(page, "hover"), []
        for k, x, y in places(page, ids, plan.clicks, rng):
            page.mouse.click(x, y)
            plain.append(page.evaluate("(k) => paintAll(k)", k))
        await_entries(page, "paint", plan.clicks)
        paints = entries(page, "paint")
    found = {"setup": spread(setups), "hover": spread(hovers), "paint": spread(paints), "paint_plain": spread(plain)}
    return found | {"paint_ratio": round(found["paint_plain"]["p50"] / max(found["paint"]["p50"], 1e-3), 1)}


def measure_disk(browser: Any, folder: Path, ids: np.ndarray, plan: Plan) -> dict[str, dict]:
    """Click to disk in JupyterLab, and click to "saved" in the page; the next click comes when the last one is answered."""
    from lab import jupyterlab, open_notebook, run_first_cell

    cell = CELL.format(folder=str(folder), side=max(plan.height, plan.width), count=plan.superpixels)
    with jupyterlab(folder.parent, [cell]) as address:
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        open_notebook(page, address)
        run_first_cell(page)
        await_entries(page, "setup", 1)
        for i, (_, x, y) in enumerate(places(page, ids, plan.clicks, np.random.default_rng(SEED + 1)), 1):
            page.mouse.click(x, y)
            await_entries(page, "answer", i)
        found = {name: spread(entries(page, name)) for name in ("disk", "answer")}
        page.close()
    return found


def judged(results: dict) -> list[dict]:
    """A row for each goal: what was measured, the goal, whether it is met, and the plain way where there is one."""
    payload, times = results["payload"], results["times"]
    rows = [("payload", "MB", payload["bytes"] / 1e6, None, payload["plain"] / 1e6, payload["ratio"])]
    for name in ("setup", "hover", "paint", "disk", "answer"):
        plain = times.get(f"{name}_plain")
        rows.append((name, "ms", times[name]["p95"], times[name]["p50"], plain and plain["p50"], times.get(f"{name}_ratio")))
    names = ("what", "unit", "value", "median", "plain", "ratio")
    rows = [dict(zip(names, row, strict=True)) | {"goal": GOAL.get(f"{row[0]}_{row[1].lower()}")} for row in rows]
    return [row | {"goal_met": None if row["goal"] is None else bool(row["value"] <= row["goal"])} for row in rows]


def table(results: dict, goals: bool) -> str:
    """The rows as text."""
    lines = [f"{'':8s} {'p95':>9s} {'median':>9s} {'goal':>9s}  {'':8s} {'plain':>9s} {'ratio':>6s}"]
    for row in judged(results):
        held = goals and row["goal"] is not None
        met = ("ok" if row["goal_met"] else "missed") if held else ""
        goal = f"{row['goal']:g} {row['unit']}" if held else ""
        median, plain = (f"{v:.3g} {row['unit']}" if v else "-" for v in (row["median"], row["plain"]))
        ratio = f"{row['ratio']:g}" if row["ratio"] else "-"
        lines.append(
            f"{row['what']:8s} {row['value']:6.3g} {row['unit']} {median:>9s} {goal:>9s}  {met:8s} {plain:>9s} {ratio:>6s}"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> dict:
    """The command line; returns what it writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="seconds, to see that it works; measures nothing; needs --out")
    parser.add_argument("--out", type=Path, help="a folder; benchmarks/results if not given")
    given = parser.parse_args(arguments)
    if given.tiny and given.out is None:
        parser.error("--tiny measures nothing that should stand in benchmarks/results; give another folder by --out")
    if str(BROWSER_TESTS) not in sys.path:
        sys.path.append(str(BROWSER_TESTS))
    from lab import find_chromium
    from playwright.sync_api import sync_playwright

    plan = TINY if given.tiny else Plan()
    load = [round(v, 2) for v in os.getloadavg()] if hasattr(os, "getloadavg") else None
    print(f"drawing a picture of {plan.height} x {plan.width} ...", flush=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root, sync_playwright() as play:
        folder = Path(root) / "pictures"
        folder.mkdir()
        image, truth = draw_scene(np.random.default_rng(SEED), plan.height, plan.width)
        Image.fromarray(image).save(folder / "scene.png")
        session = open_folder(folder, plan, truth)
        ids, messages = session.board.ids(0), sent(session)
        results: dict[str, Any] = {
            "device": provenance.device_name(torch.device("cpu")),
            "versions": provenance.versions() | {name: version(name) for name in PACKAGES},
            "commit": provenance.commit(),
            "load_average": load,
            "picture": {"height": plan.height, "width": plan.width, "superpixels": session.pictures[0].count},
            "payload": measure_payload(session, *messages[1]),
        }
        session.close()
        browser = play.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        results["browser"] = f"Chromium {browser.version}, headless"
        print("measuring in the browser ...", flush=True)
        results["times"] = measure_browser(browser, messages, ids, plan)
        print("measuring in JupyterLab ...", flush=True)
        results["times"] |= measure_disk(browser, folder, ids, plan)
        browser.close()
    if not given.tiny:
        results["goals"] = {
            row["what"]: {"goal": row["goal"], "met": row["goal_met"]} for row in judged(results) if row["goal"] is not None
        }
    print(f"{results['device']}; {results['browser']}; load average at the start {load}")
    print(table(results, goals=not given.tiny))
    path = (given.out or HERE / "results") / "widget_cpu.json"
    atomic.write_json(path, results)
    print(f"written: {path.name}")
    return results


if __name__ == "__main__":
    main()
