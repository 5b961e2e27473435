"""A Chromium and a small web server of this repository, for the tests that need a browser."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest
from lab import NAMES, find_chromium
from PIL import Image

ROOT = Path(__file__).parents[2]


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a line on stderr for each, and never from the browser's cache."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".js": "text/javascript"}

    def log_message(self, *args: object) -> None:
        pass

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium or Chrome; the test is skipped where there is none."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed; see `make test-browser`")
    found = find_chromium()
    if found is None:
        pytest.skip(f"none of {', '.join(NAMES)} is installed; `make test-browser` says how to get one")
    return found


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[object]:
    """A headless browser of playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """The address of a server of the repository's files."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(ROOT))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def screenshot():
    """screenshot(page, name): writes name.png into the folder OREAL_SCREENSHOTS, if that is set."""

    def write(page: object, name: str) -> None:
        if folder := os.environ.get("OREAL_SCREENSHOTS"):
            page.screenshot(path=Path(folder) / f"{name}.png")

    return write


@pytest.fixture
def film(request):
    """film(locator): one more picture of a film that is written as <test>.webp into the folder OREAL_SCREENSHOTS, if that is set."""
    frames, folder = [], os.environ.get("OREAL_SCREENSHOTS")

    def shoot(locator: object) -> None:
        if folder:
            frames.append(Image.open(BytesIO(locator.screenshot())).convert("RGB"))

    yield shoot
    if frames:
        small = [frame.resize((800, round(frame.height * 800 / frame.width)), Image.Resampling.LANCZOS) for frame in frames]
        size = small[0].size
        same = [frame.crop((0, 0, *size)) for frame in small]
        same[0].save(
            Path(folder) / "annotate.webp", save_all=True, append_images=same[1:], duration=500, loop=0, quality=60, method=6
        )
