"""`make label`, live: what is predicted follows every click, without a button."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from lab import until
from PIL import Image
from test_label_page import clicked, served  # noqa: F401

from oreal_lib.data.readers.toy import draw_scene
from oreal_lib.storage.lock import holder

pytestmark = pytest.mark.browser

PIXELS = """(() => { const c = document.querySelector('.oreal-prediction');
  return c.hidden ? '' : c.getContext('2d').getImageData(0, 0, c.width, c.height).data.reduce((a, v, i) => (a * 31 + v) >>> 0, 7) })()"""
NOTE = "document.querySelector('.oreal-training[aria-live]')?.textContent"


def test_prediction_follows_every_click_and_comes_back_after_a_kill(browser, served, screenshot):  # noqa: F811
    _, address, log = served
    for i in range(3):  # of the same size as the noise: cut when the page's session is opened anew below
        Image.fromarray(draw_scene(np.random.default_rng(i), 120, 160)[0]).save(log.parents[2] / "photos" / f"scene {i}.png")
    page = browser.new_context(viewport={"width": 1300, "height": 850}).new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.wait_for_selector(".oreal-view canvas", timeout=90_000)
    page.wait_for_function(f"{NOTE}?.startsWith('No label yet: road, sky. Click one of each by hand; two classes are needed.')")
    box = page.locator(".oreal-view").bounding_box()

    def click(key, x, y):
        known = len(clicked(log))
        page.keyboard.press(key)
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
        until(lambda: len(clicked(log)) > known, 20, "the click")

    click("1", 0.4, 0.3)
    page.wait_for_function(f"{NOTE}?.startsWith('No label yet: sky.')")
    click("2", 0.6, 0.7)
    page.wait_for_function(f"{PIXELS} !== ''", timeout=60_000)
    seen = page.evaluate(PIXELS)
    for n, (x, y) in enumerate([(0.5, 0.5), (0.3, 0.8), (0.7, 0.2)]):
        click("12"[n % 2], x, y)
        page.wait_for_function(f"{PIXELS} !== {seen}", timeout=20_000)
        seen = page.evaluate(PIXELS)
    screenshot(page, "live")
    page.wait_for_function(f"{NOTE} === ''", timeout=60_000)
    page.keyboard.press("n")
    page.wait_for_function("document.querySelector('.oreal-info').textContent.includes('predicted')")

    os.kill(int(holder(Path(f"{log}.lock")).split()[1]), signal.SIGKILL)
    page.wait_for_timeout(2000)
    page.goto(address)
    page.wait_for_function("document.querySelector('.oreal-counters')?.textContent.includes('5 clicks')", timeout=90_000)
    page.wait_for_function(f"{PIXELS} !== ''", timeout=60_000)
    page.get_by_label("live", exact=True).uncheck()
    page.get_by_role("button", name="Train and ask again").wait_for()
    page.wait_for_function(f"{PIXELS} === ''")
    assert errors == []
