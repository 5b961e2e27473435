"""The labeling page with a large picture in a headless Chromium: a real session answers, without Jupyter between them."""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from oreal_lib.annotate import widget
from oreal_lib.annotate.events import to_line
from oreal_lib.annotate.session import Session, open_session
from oreal_lib.data.readers.toy import CLASSES, draw_scene
from oreal_lib.storage.progress import lines_to

from .bench import SEED, equal, row

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FILES = {
    "/": (Path(__file__).with_name("widget_page.html").read_text(encoding="utf-8"), "text/html"),
    "/widget.js": (widget.Annotator._esm, "text/javascript"),
    "/widget.css": (widget.Annotator._css, "text/css"),
}
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}  # for exact clocks


@contextmanager
def one_picture(height: int, width: int, count: int) -> Iterator[Session]:
    """A session with one picture, whose files are gone afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root, lines_to(lambda line: None):
        folder = Path(root) / "pictures"
        folder.mkdir()
        Image.fromarray(draw_scene(np.random.default_rng(SEED), height, width)[0]).save(folder / "scene.png")
        session = open_session(folder, list(CLASSES), side=max(height, width), superpixel_count=count)
        yield session
        session.close()


def replies(annotator: widget.Annotator, message: dict) -> list[tuple[dict, list[bytes]]]:
    """What Python answers to a message of the page, each with its buffers."""
    found: list[tuple[dict, list[bytes]]] = []
    annotator.send = lambda content, buffers=None: found.append((content, list(buffers or [])))
    annotator._answer(annotator, message, [])
    return found


@contextmanager
def page_of(annotator: widget.Annotator) -> Iterator[Any]:
    """The page in a browser that reaches nothing else; it shows the picture already."""
    from playwright.sync_api import sync_playwright

    def answer(message: dict) -> list:
        return [(content, [base64.b64encode(b).decode() for b in buffers]) for content, buffers in replies(annotator, message)]

    def serve(route: Any) -> None:
        text, kind = FILES.get(route.request.url.removeprefix("http://localhost"), (None, ""))
        route.fulfill(body=text, headers=ISOLATED | {"Content-Type": kind}) if text else route.abort()

    with sync_playwright() as play:
        executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
        browser = play.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.route("**/*", serve)
        page.expose_function("python", answer)
        page.goto("http://localhost/")
        measures(page, "setup", 1)
        yield page
        browser.close()


def measures(page: Any, name: str, count: int) -> list[float]:
    """Milliseconds of all measures of the widget of that name, the oldest first, as soon as there are so many."""
    page.wait_for_function(f"performance.getEntriesByName('oreal:{name}').length >= {count}", timeout=30_000)
    return page.evaluate("(name) => performance.getEntriesByName('oreal:' + name).map(({duration}) => duration)", name)


def write_line(file: Any, line: bytes) -> float:
    """Milliseconds of a bare write and fsync."""
    mark = time.perf_counter()
    file.write(line)
    os.fsync(file.fileno())
    return 1000 * (time.perf_counter() - mark)


def payload(session: Session) -> dict[str, Any]:
    """The row of what the browser needs before a person can click."""
    _, (message, buffers) = replies(widget.Annotator(session), {"kind": "hello"})
    ids, png = session.board.ids(0), BytesIO()
    Image.fromarray(session.pictures[0].image()).save(png, "PNG")
    ours = sum(map(len, buffers)) / 1e6
    plain = (png.tell() + len(json.dumps(ids.tolist(), separators=(",", ":")))) / 1e6
    sent = np.frombuffer(zlib.decompress(buffers[message["layers"].index("ids")]), ids.dtype)
    same = f"superpixels {equal(sent.reshape(ids.shape), ids)}, the picture as JPEG"
    return row("payload of a picture", "PNG, superpixel ids as a JSON list", [ours], [plain], same, "MB")


def clicks(session: Session, count: int) -> Iterator[dict[str, Any]]:
    """The rows of painting a click and of keeping it, from one click on each of so many superpixels; the first does not count."""
    ids, plain, bare = session.board.ids(0), [], []
    some = np.random.default_rng(SEED).permutation(session.pictures[0].count)[: count + 1]
    with page_of(widget.Annotator(session)) as page, open(session.work / "bare.jsonl", "ab", buffering=0) as file:
        page.evaluate("(ids) => plainWay(ids)", base64.b64encode(ids.tobytes()).decode())
        box = page.locator(".oreal-stage canvas").first.bounding_box()
        scale = box["width"] / ids.shape[1]
        for turn, superpixel in enumerate(some.tolist(), 1):
            pixels = np.argwhere(ids == superpixel)
            y, x = pixels[len(pixels) // 2].tolist()
            page.mouse.click(box["x"] + (x + 0.5) * scale, box["y"] + (y + 0.5) * scale)
            measures(page, "answer", turn)
            plain.append(page.evaluate("(k) => paintAll(k)", superpixel))
            bare.append(write_line(file, to_line(session.log.events[-1])))
        paint, disk = (measures(page, name, turn)[1:] for name in ("paint", "disk"))
        same = "identical" if page.evaluate("painted() === plainPainted()") else "DIFFERENT"
    yield row("from press to label on the canvas", "all pixels get their colors again", paint, plain[1:], same, "ms")
    same = f"{len(session.log.events) - 1} clicks in the log"
    yield row("from click to disk", "a bare write and fsync of the line", disk, bare[1:], same, "ms")


def rows(tiny: bool) -> Iterator[dict[str, Any]]:
    """A row each for the payload of a picture, painting a click, and writing it to disk."""
    with one_picture(*((64, 128, 32) if tiny else (1024, 2048, 2048))) as session:
        yield payload(session)
        yield from clicks(session, 5 if tiny else 300)
