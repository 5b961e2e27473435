"""What Python packs, the browser unpacks."""

import base64

import numpy as np
import pytest

from oreal_lib.annotate.packing import pack_ids

pytestmark = pytest.mark.browser
RNG = np.random.default_rng(0)
MAPS = {
    "one pixel": np.array([[65_534]]),
    "one row": RNG.integers(0, 3, (1, 9)),
    "one column": RNG.integers(0, 3, (9, 1)),
    "blocks": np.kron(np.arange(12).reshape(3, 4), np.ones((5, 7), int)),
    "blocks from right to left": np.kron(np.arange(12)[::-1].reshape(3, 4), np.ones((5, 7), int)),
    "a few ids anywhere": RNG.integers(0, 4, (13, 11)),
    "all ids anywhere": RNG.integers(0, 65_535, (13, 11)),
}


@pytest.mark.parametrize("name", MAPS)
def test_the_browser_gets_the_ids_that_python_has(browser, site, name):
    ids = MAPS[name].astype(np.uint16)
    page = browser.new_page()
    page.goto(f"{site}/tests/browser/page.html")
    found = page.evaluate(
        """async ([packed, width, height]) => {
        const {inflate, unpackIds} = await import('/oreal_lib/annotate/widget.js');
        const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
        return [...unpackIds(await inflate(bytes), width, height)]; }""",
        [base64.b64encode(pack_ids(ids)).decode(), ids.shape[1], ids.shape[0]],
    )
    assert found == ids.ravel().tolist()
    page.close()
