"""The functions of the page, called one by one: pixels, places in the view, acts on their way, words."""

import pytest

from oreal_lib.annotate.widget import PARTS

pytestmark = pytest.mark.browser

# Two superpixels of 4 x 3 pixels:   0 0 1 1
#                                    0 1 1 1
#                                    0 0 1 1
PICTURE = """
const ids = Uint16Array.of(0, 0, 1, 1, 0, 1, 1, 1, 0, 0, 1, 1);
const picture = {ids, width: 4, height: 3, count: 2, ...w.sortPixels(ids, 4, 2)};
"""


@pytest.fixture(scope="module")
def page(browser, site):
    page = browser.new_page()
    page.goto(f"{site}/tests/browser/page.html")
    yield page
    page.close()


def value(page, expression):
    """What the expression gives; it sees all modules as `w`, and `picture`."""
    script = f"""async (parts) => {{ const w = Object.assign({{}},
        ...await Promise.all(parts.map((part) => import(`/oreal_lib/annotate/page/${{part}}.js`)))); {PICTURE} return {expression}; }}"""
    return page.evaluate(script, PARTS)


@pytest.mark.parametrize(
    "expression, expected",
    [
        # pixels
        ("[...picture.start]", [0, 5, 12]),
        ("[...picture.order]", [0, 1, 4, 8, 9, 2, 3, 5, 6, 7, 10, 11]),
        ("[...picture.box]", [0, 0, 1, 2, 1, 0, 3, 2]),  # left, top, right, bottom
        ("w.outline({ids: Uint16Array.of(0), width: 1, ...w.sortPixels(Uint16Array.of(0), 1, 1)}, 0)", "M0 0H1M0 1H1M0 0V1M1 0V1"),
        ("w.middle(picture, 0)", [0, 1]),
        ("(() => { const p = new Uint32Array(12); w.borders(ids, 4, p); return [...p].map((v) => +(v !== 0)); })()",
         [0, 1, 1, 0, 1, 1, 0, 0, 0, 1, 1, 0]),
        ("[...w.bytesOf(new DataView(Uint8Array.of(7, 8, 9).buffer, 1, 2))]", [8, 9]),
        ("w.pixelOf('#010203').toString(16)", "ff030201"),
        ("[...w.palette([{color: '#010203'}]).subarray(0, 2)].map((v) => v.toString(16))", ["ff030201"] * 2),
        ("[w.heat()[0] >>> 24, w.heat()[255].toString(16)]", [0, "ffa4fffc"]),
        # places in the view
        ("[w.superpixelAt(picture, 1, 1), w.superpixelAt(picture, 3.9, 2.9), w.superpixelAt(picture, -0.1, 0), w.superpixelAt(picture, 4, 0)]",
         [1, 1, -1, -1]),
        ("w.superpixelsBetween(picture, [0, 0], [3, 0])", [0, 1]),
        ("w.superpixelsBetween(picture, [3, 0], [9, 0])", [1]),
        ("w.drift(picture, 1, 3, 0, 0)", [3, 1]),  # came from above: the middle of column 3
        ("w.drift(picture, 1, 1, 1, 1)", [2, 1]),  # came from the left: the middle of row 1
        ("w.fitScale(picture, 40, 60)", 10),
        ("w.keptInView(picture, {x: -500, y: 1000, scale: 10}, 200, 200)", {"x": 20, "y": 140, "scale": 10}),
        ("w.zoomed({x: 10, y: 20, scale: 2}, 2, 30, 40, 1)", {"x": -10, "y": 0, "scale": 4}),
        ("w.zoomed({x: 0, y: 0, scale: 30}, 9, 0, 0, 1).scale", 40),
        ("w.zoomed({x: 0, y: 0, scale: 1}, 0.01, 0, 0, 3).scale", 0.5),
        ("w.closeUp(picture, 0, 40, 30)", None),  # nothing is larger than the whole picture
        ("w.closeUp({box: Int32Array.of(40, 40, 49, 49), width: 1000, height: 1000}, 0, 580, 580).scale", 1),  # a third of it
        ("w.closeUp({box: Int32Array.of(40, 40, 49, 49), width: 300, height: 200}, 0, 1000, 720).scale", 4),
        ("w.closeUp({box: Int32Array.of(40, 40, 49, 49), width: 100, height: 100}, 0, 500, 500)", None),  # it is larger as it is
        ("w.areaAround({x: 0, y: 0, scale: 2}, 40, 20)", [0, 0, 30, 15]),
        ("w.superpixelsIn(picture, [2, 0, 3, 3])", [1]),
        # acts on their way
        ("(() => { const labels = Uint8Array.of(254, 254); w.applyActs([{do: 'label', picture: 0, superpixels: [1, 5], to: 2},"
         " {do: 'label', picture: 1, superpixels: [0], to: 2}, {do: 'skip', picture: 0, superpixels: [0]}], 0, labels);"
         " return [...labels]; })()", [254, 2]),
        ("w.openSuggestions([[0, 1], [0, 2], [1, 1]], [{do: 'label', picture: 0, superpixels: [1], to: 2},"
         " {do: 'skip', picture: 1, superpixels: [1]}])", [[0, 2]]),
        ("w.openSuggestions([[0, 1]], [{do: 'label', picture: 0, superpixels: [1], to: 2},"
         " {do: 'label', picture: 0, superpixels: [1], to: 254}])", [[0, 1]]),  # labeled, then cleared
        ("(() => { const store = w.actStore('unit'); store.add({id: 'a'}); store.add({id: 'b'}); store.remove('a');"
         " const left = w.actStore('unit').all(); store.remove('b'); return [left, localStorage.getItem('oreal:unit')]; })()",
         [[{"id": "b"}], None]),
        # words
        ("[w.duration(89.4), w.duration(90), w.plural(1, 'click'), w.plural(0, 'click')]", ["89 s", "2 min", "1 click", "0 clicks"]),
        ("w.facts({round: 2, answered: 1, asked: 3, clicks: 1, labeled: 4, superpixels: 24, minutes: 1.6, foreseen: [1, 2]})",
         ["round 2", "1 of 3 suggestions answered", "1 click", "4 of 24 superpixels labeled", "2 min",
          "1 of the last 2 answers foreseen"]),
        ("[w.savedText(0, 0, false), w.savedText(1, 100, false), w.savedText(2, 900, false), w.savedText(2, 9000, false)]",
         [["✓ saved", "good"], ["saving", "soft"], ["2 not saved yet", "amber"], ["2 not saved yet", "bad"]]),
    ],
)  # fmt: skip
def test_a_function_gives(page, expression, expected):
    assert value(page, expression) == expected


KEY = "{key: %r, code: %r, target: {matches: (what) => %s}, getModifierState: () => false, ctrlKey: %s, shiftKey: false}"


@pytest.mark.parametrize(
    "key, code, where, ctrl, meaning",
    [
        ("N", "KeyN", "false", False, ["run", "n"]),
        ("Tab", "Tab", "false", False, ["pass", "Tab"]),
        ("Escape", "Escape", "false", False, ["blur", "Escape"]),
        ("z", "KeyZ", "false", True, ["run", "u"]),
        ("z", "KeyZ", "true", True, ["pass", "z"]),  # in an input
        ("s", "KeyS", "false", True, ["pass", "s"]),
        ("Enter", "Enter", "what === 'button'", False, ["typed", "Enter"]),
        ("&", "Digit1", "false", False, ["run", "1"]),  # a French keyboard
    ],
)
def test_a_key_means(page, key, code, where, ctrl, meaning):
    event = KEY % (key, code, where, str(ctrl).lower())
    assert value(page, f"w.meaning({event}, false, {{n: 1}})") == meaning
