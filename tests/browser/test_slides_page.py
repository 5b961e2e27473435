"""The slides in a browser: keys turn them, answers wait for a key, and each fits its window."""

import nbformat
import pytest
import slides

from oreal_lib.storage.paths import home

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("size", [(1280, 720), (1024, 768), (390, 844)])
def test_every_slide_fits_and_the_right_key_shows_all_of_them(browser, tmp_path, size):
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    file = tmp_path / "slides.html"
    file.write_text(slides.slides(nbformat.read(p, as_version=4) for p in sorted((home() / "notebooks").glob("0*.ipynb"))))
    page.goto(file.as_uri())
    n, parts = (page.locator(of).count() for of in ("section", ".fragment"))
    for at in range(n + parts):
        box = page.locator("section.now").bounding_box()
        assert box["width"] <= size[0] + 1 and box["height"] <= size[1] + 1, at
        page.keyboard.press("ArrowRight")
    assert page.locator("#place").inner_text() == f"{n} / {n}" and page.locator(".fragment:not(.seen)").count() == 0
    page.keyboard.press("Home")
    page.mouse.click(5, 5)
    assert page.locator("#place").inner_text() == f"2 / {n}" and page.locator("#how").is_hidden()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#place").inner_text() == f"{n - 1} / {n}"
    page.close()
