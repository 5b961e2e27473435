"""`make label`, live: what is predicted follows every click, without a button."""

import os
import signal
from pathlib import Path

import pytest
from lab import until
from test_label_page import clicked, served  # noqa: F401

from oreal_lib.storage.lock import holder

pytestmark = pytest.mark.browser

PIXELS = """(() => { const c = document.querySelector('.oreal-prediction');
  return c.hidden ? '' : c.getContext('2d').getImageData(0, 0, c.width, c.height).data.reduce((a, v, i) => (a * 31 + v) >>> 0, 7) })()"""
NOTE = "document.querySelector('.oreal-training[aria-live]')?.textContent"


@pytest.mark.parametrize("served", ["table,dish,coffee"], indirect=True)
def test_prediction_follows_every_click_and_comes_back_after_a_kill(browser, served, screenshot):  # noqa: F811
    _, address, log = served
    page = browser.new_context(viewport={"width": 1300, "height": 850}).new_page()
    page.set_default_navigation_timeout(90_000)  # a kernel starts
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.wait_for_selector(".oreal-view canvas", timeout=90_000)
    page.wait_for_function(
        f"{NOTE}?.startsWith('No label yet: table, dish, coffee. Click one of each by hand; two classes are needed.')"
    )
    page.select_option(".oreal-picture", index=2)
    page.wait_for_function("document.querySelector('.oreal-thumb[data-index=\"2\"]')?.getAttribute('aria-current') === 'true'")
    box = page.locator(".oreal-image").bounding_box()

    def click(key, x, y):
        known = len(clicked(log))
        page.keyboard.press(key)
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
        until(lambda: len(clicked(log)) > known, 20, "the click")

    click("1", 0.88, 0.62)
    page.wait_for_function(f"{NOTE}?.startsWith('No label yet: dish, coffee.')")
    click("2", 0.22, 0.57)
    page.wait_for_function(f"{PIXELS} !== ''", timeout=60_000)
    seen = page.evaluate(PIXELS)
    for key, x, y in [("3", 0.48, 0.37), ("1", 0.1, 0.3), ("2", 0.5, 0.57)]:
        click(key, x, y)
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
