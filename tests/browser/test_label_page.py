"""`make label`: the page without a notebook, left and come back to as pages are."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from lab import until
from PIL import Image
from skimage import data

from oreal_lib.annotate.events import read_whole
from oreal_lib.storage.lock import holder

pytestmark = pytest.mark.browser


def start(folder, said, *more):
    """The process of `serve` and the address of its page."""
    command = [sys.executable, "-m", "oreal_lib", "annotate", "serve", str(folder), "--no-browser", *more]
    with open(said, "w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    return process, until(lambda: re.search(r"http://127\.0\.0\.1\S+token=\w+", said.read_text()), 150, "the address")[0]


@pytest.fixture
def served(tmp_path, request):
    """(process, address, log of clicks) of a page for three gray pictures, or with classes as parameter for photographs."""
    (tmp_path / "photos").mkdir()
    classes = getattr(request, "param", "road,sky")
    noise = {str(i): np.random.default_rng(i).integers(0, 255, (120, 160, 3), np.uint8) for i in range(3)}
    photos = {name: getattr(data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")}
    for name, image in (photos if hasattr(request, "param") else noise).items():
        Image.fromarray(image).save(tmp_path / "photos" / f"{name}.png")
    process, address = start(tmp_path / "photos", tmp_path / "said.txt", "--classes", classes)
    yield process, address, tmp_path / "photos-labels" / "me" / "clicks.jsonl"
    process.kill()


def clicked(log):
    return [e for e in read_whole(log) if e.what == "label"]


def test_a_page_that_is_left_or_opened_twice_goes_on_where_it_was(browser, served, screenshot):
    process, address, log = served
    context = browser.new_context(viewport={"width": 1300, "height": 850})
    context.set_default_navigation_timeout(90_000)  # a kernel starts
    page, asked = context.new_page(), []
    page.on("requestfinished", lambda request: asked.append(request.url))
    for n in range(1, 3):  # the second time the page is reloaded, while what answered the first one may live on
        page.goto(address)
        page.wait_for_selector(".oreal-view canvas", timeout=90_000)
        page.wait_for_function("document.querySelector('.oreal-counters').textContent.includes('superpixels labeled')")
        page.keyboard.press("n")  # without a click into it first: it is alone on its page
        page.wait_for_function("document.querySelector('.oreal-info').textContent.startsWith('superpixel')")
        page.keyboard.press("Enter")
        until(lambda n=n: len(clicked(log)) == n, 20, "the click")
    screenshot(page, "label_page")
    second = context.new_page()
    second.goto(address)
    second.wait_for_function("document.querySelector('.oreal-counters')?.textContent.includes('2 clicks')", timeout=90_000)
    page.wait_for_selector("text=was opened in another tab or page", timeout=30_000)  # and here nothing can be clicked any more
    assert "reload this page" in page.inner_text("[role=alert]")
    second.wait_for_function("document.querySelector('.oreal-status').textContent.includes('was open in another tab')")
    assert [
        url for url in asked if not url.startswith((address.partition("?")[0], "data:", "blob:"))
    ] == []  # none left the computer
    context.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) is not None
    until(lambda: not holder(Path(f"{log}.lock")), 20, "the end of what answered the page")


def test_a_kill_leaves_nothing_and_what_is_clicked_meanwhile_is_done_when_the_same_command_runs_again(browser, served):
    process, address, log = served
    context = browser.new_context(viewport={"width": 1300, "height": 850})
    context.set_default_navigation_timeout(150_000)  # a kernel starts
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(".oreal-view canvas", timeout=90_000)
    page.wait_for_function("document.querySelector('.oreal-counters').textContent.includes('superpixels labeled')", timeout=90_000)
    assert holder(Path(f"{log}.lock")) != "" and psutil.Process(process.pid).memory_info().rss < 300e6
    page.keyboard.press("n")
    page.wait_for_function("document.querySelector('.oreal-info').textContent.startsWith('superpixel')")  # the picture is there
    process.kill()
    until(lambda: not holder(Path(f"{log}.lock")), 60, "the end of what answered the page")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=1 not saved yet")
    again, address = start(log.parents[2] / "photos", log.parents[2] / "again.txt")
    page.goto(address)
    until(lambda: len(clicked(log)) == 1, 150, "the click")
    context.close()
    again.kill()
