"""What a person does with tools, classes and many pictures, in a browser; a real session answers, without Jupyter between them.

Pictures are 96 x 128 pixels, their superpixels squares of 16 x 16, numbered in rows of eight.
"""

from __future__ import annotations

import base64
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oreal_lib.annotate.board import UNLABELED
from oreal_lib.annotate.events import read_whole
from oreal_lib.annotate.session import open_session
from oreal_lib.annotate.widget import Annotator
from oreal_lib.data.readers.toy import draw_scene

pytestmark = pytest.mark.browser
GRID = {"superpixel_method": "grid", "superpixel_count": 48, "query_size": 6, "device": "cpu", "live": False, "side": 128}


class AtWork:
    """A person at a page that a session answers."""

    def __init__(self, page, folder, classes, how):
        self.page, self.folder, self.how, self.sent = page, folder, how, []
        self.session = open_session(folder, classes, **GRID | how)
        self.annotator = Annotator(self.session)
        page.expose_function("python", self._answer)
        page.route("**/*", self._serve)

    def _serve(self, route):
        kind = route.request.url.removeprefix("http://localhost")
        html = Path(__file__).with_name("session.html").read_text(encoding="utf-8")
        found = {
            "/": (html, "text/html"),
            "/widget.js": (Annotator._esm, "text/javascript"),
            "/widget.css": (Annotator._css, "text/css"),
        }
        if kind in found:
            route.fulfill(body=found[kind][0], headers={"Content-Type": found[kind][1]})
        else:
            route.abort()

    def _answer(self, message):
        self.sent.append(message)
        replies = []
        self.annotator.send = lambda content, buffers=None: replies.append(
            (content, [base64.b64encode(b).decode() for b in buffers or []])
        )
        self.annotator._answer(None, message, [])
        return replies

    def open(self):
        self.page.goto("http://localhost/")
        self.page.wait_for_function("performance.getEntriesByName('oreal:setup').length > 0")
        self.page.focus(".oreal-root")
        return self

    @property
    def shown(self):
        return int(self.page.evaluate("document.querySelector('.oreal-picture').value"))

    @property
    def board(self):
        return self.session.board

    def labels(self):
        return self.board.labels(self.shown)

    def at(self, x, y):
        """Where on the screen a point of the picture is."""
        box = self.page.evaluate(
            "(() => { const r = document.querySelector('.oreal-image').getBoundingClientRect(); return [r.x, r.y, r.width] })()"
        )
        return box[0] + x * box[2] / 128, box[1] + y * box[2] / 128

    def middle(self, k):
        return self.at(16 * (k % 8) + 8, 16 * (k // 8) + 8)

    def drag(self, *points):
        self.page.mouse.move(*self.at(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(*point), steps=4)
        self.page.mouse.up()

    def settled(self):
        self.page.wait_for_function(
            "!localStorage.getItem('oreal:' + Object.keys(localStorage).find((k) => k.includes('-me'))?.slice(6))", timeout=5000
        )
        self.page.wait_for_function("document.querySelector('.oreal-saved').textContent.includes('✓')", timeout=5000)
        self.page.wait_for_timeout(60)

    def labeled(self):
        """What the picker, the strip and its bar say is labeled of the picture in sight."""
        picked = self.page.evaluate("document.querySelector('.oreal-picture').selectedOptions[0].textContent").split(" · ")[1]
        thumb = f".oreal-thumb[data-index='{self.shown}']"
        told = self.page.get_attribute(thumb, "title").split(": ")[1].split(",")[0]
        return picked, told, self.page.get_attribute(f"{thumb} .oreal-share > span", "style")

    def events(self, what):
        return [e for e in read_whole(self.session.log.path) if e.what == what]

    def predict(self, classes, doubt):
        """Gives the picture in sight a prediction."""
        view, shown, before = (np.asarray(classes, np.uint8), np.asarray(doubt, np.uint8)), self.shown, self.session.view
        self.session.view = lambda i: view if i == shown else before(i)
        self.session._predicted.clear()
        seen = self.page.evaluate("performance.getEntriesByName('oreal:setup').length")
        for reply in self._answer({"kind": "show", "picture": self.shown}):
            self.page.evaluate("([content, texts]) => hear(content, texts)", list(reply))
        self.page.wait_for_function(f"performance.getEntriesByName('oreal:setup').length > {seen}")


@pytest.fixture
def work(browser, tmp_path):
    """work(classes, pictures=3, **how): a page at work."""
    contexts, errors = [], []

    def begin(classes=("tissue", "organ", "tool"), pictures=3, size=(96, 128), **how):
        folder = tmp_path / "photos"
        if not folder.exists():
            folder.mkdir()
            for i in range(pictures):
                Image.fromarray(draw_scene(np.random.default_rng(i), *size)[0]).save(folder / f"scene {i}.png")
        contexts.append(browser.new_context(viewport={"width": 1366, "height": 768}))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        return AtWork(page, folder, list(classes), how).open()

    yield begin
    for context in contexts:
        context.close()
    assert errors == []


def test_the_picture_has_60_percent_of_the_screen(work):
    me = work()
    for width, height in ((1366, 768), (1920, 1080)):
        me.page.set_viewport_size({"width": width, "height": height})
        me.page.evaluate(
            "document.body.className = 'jp-Notebook'; document.querySelector('.oreal-root').classList.add('oreal-page')"
        )
        me.page.wait_for_timeout(100)
        box = me.page.evaluate(
            "(() => { const r = document.querySelector('.oreal-image').getBoundingClientRect(); return r.width * r.height })()"
        )
        assert box > 0.6 * width * height  # of 4 : 3, the worst that is common


def test_classes_are_renamed_colored_added_ordered_and_merged_in_the_page(work, screenshot):
    me = work()
    me.page.keyboard.press("3")
    me.page.mouse.click(*me.middle(9))
    me.page.click("text=edit")
    name = me.page.get_by_label("Name of tissue")
    name.fill("flesh")
    name.press("Enter")
    me.page.wait_for_selector("[aria-label='Name of flesh']")
    me.page.get_by_label("Color of organ").evaluate("(e) => { e.value = '#00ff88'; e.dispatchEvent(new Event('change')) }")
    me.page.get_by_label("A new class").fill("bone")
    me.page.click("text=Add")
    me.page.wait_for_selector("[aria-label='Name of bone']")
    me.page.click("[aria-label='Move bone up']")
    me.page.wait_for_function(
        "[...document.querySelectorAll('.oreal-row input:nth-child(2)')].map((e) => e.value).join() === 'flesh,organ,bone,tool'"
    )
    me.page.get_by_label("Class to merge").select_option(label="tool")
    assert me.page.get_by_role("button", name="Merge", exact=True).is_enabled()
    me.page.get_by_label("Merge into").select_option(label="tool")
    assert me.page.get_by_role("button", name="Merge", exact=True).is_disabled()
    me.page.get_by_label("Merge into").select_option(label="organ")
    me.page.get_by_role("button", name="Merge", exact=True).click()
    me.page.wait_for_selector("[aria-label='Name of tool']", state="detached")
    screenshot(me.page, "edit_classes")
    me.page.click("text=done")
    me.settled()
    named = me.board.named
    assert named.names == ("flesh", "organ", "tool", "bone") and named.shown == (0, 1, 3) and named.colors[1] == "#00ff88"
    assert me.labels()[9] == 1 and len(me.events("classes")) == 5
    me.page.keyboard.press("3")  # the keys follow the order
    me.page.mouse.click(*me.middle(20))
    me.settled()
    assert me.labels()[20] == 3
    seen = me.labels().tolist()
    again = open_session(me.folder, ["tissue", "organ", "tool"], **GRID)  # as the first time
    assert again.board.named == named and again.board.labels(me.shown).tolist() == seen
    for k, name in ((9, "tool"), (9, "organ")):  # undone one by one: the label, then the merge
        again.act("undo")
        assert again.classes[again.board.labels(me.shown)[k]] == ("organ" if name == "tool" else "tool")


def test_a_class_that_cannot_be_is_refused_and_the_page_shows_what_there_is(work):
    me = work()
    me.page.click("text=edit")
    me.page.get_by_label("Name of tissue").fill("organ")
    me.page.get_by_label("Name of tissue").press("Enter")
    me.page.wait_for_selector("text=is named twice")
    assert me.page.get_by_label("Name of tissue").input_value() == "tissue" and me.events("classes") == []
    me.page.get_by_label("Name of tissue").fill("flesh")
    me.page.get_by_label("Name of tissue").press("Enter")
    me.page.wait_for_selector("[aria-label='Name of flesh']")
    assert me.page.inner_text(".oreal-status") == ""  # what was wrong is over
    me.page.click("text=Add")
    assert me.page.inner_text(".oreal-status") == "A class needs a name: type one."
    me.page.get_by_label("Name of flesh").fill(" ")
    me.page.get_by_label("Name of flesh").press("Enter")
    assert me.page.get_by_label("Name of flesh").input_value() == "flesh" and len(me.events("classes")) == 1


def test_the_brush_labels_pixels_and_the_eraser_takes_some_away(work, screenshot):
    me = work()
    me.page.keyboard.press("b")
    me.page.get_by_label("Size of the brush").fill("4")
    me.page.focus(".oreal-root")
    me.page.keyboard.press("2")
    me.drag((20, 24), (70, 24))
    me.settled()
    painted = me.board.paint(me.shown)
    assert painted[24, 30] == painted[24, 66] == 1 and painted[35, 30] == 255 and me.board.is_split(me.shown)
    assert abs(int((painted == 1).sum()) - (50 * 8 + 50)) < 40  # a line 8 pixels wide with round ends
    me.page.wait_for_function("document.querySelector('.oreal-labels').getContext('2d').getImageData(40, 24, 1, 1).data[3] > 0")
    screenshot(me.page, "brush")
    me.page.keyboard.press("e")
    me.drag((40, 24), (41, 24))
    me.settled()
    assert me.board.paint(me.shown)[24, 40] == 255 and me.board.paint(me.shown)[24, 60] == 1
    me.page.keyboard.press("u")
    me.page.keyboard.press("c")
    me.settled()
    assert me.board.paint(me.shown)[24, 40] == 1
    assert me.page.inner_text(".oreal-status") == f'Undone: pixels of "{me.session.pictures[me.shown].name}" erased.'
    assert [e.to for e in me.events("paint")] == ["organ", ""]


@pytest.mark.parametrize("words, factor", [("Finer superpixels", 1.5), ("Coarser superpixels", 0.9)])
def test_a_dragged_region_is_cut_anew(work, words, factor, screenshot):
    me = work()
    before = len(me.labels())
    me.page.keyboard.press("g")
    me.drag((1, 1), (63, 63))
    me.page.wait_for_selector("text=16 superpixels:")
    screenshot(me.page, "region")
    me.page.click(f"text={words}")
    me.settled()
    now = len(me.labels())
    assert (now > factor * before) if factor > 1 else (now < factor * before)
    assert set(np.unique(me.board.ids(me.shown))) == set(range(now))
    me.page.keyboard.press("g")
    me.page.keyboard.press("1")
    me.page.mouse.click(*me.at(100, 80))
    me.settled()
    assert me.board.paint(me.shown)[80, 100] == 0  # what is clicked is what was under the pointer, whatever its number
    me.page.keyboard.press("u")
    me.page.keyboard.press("u")
    me.settled()
    assert len(me.labels()) == before


def test_all_that_is_predicted_is_accepted_at_once_or_where_it_is_sure_and_one_undo_takes_it_back(work):
    me = work()
    classes = np.zeros((96, 128), np.uint8)
    classes[:, 64:] = 2
    doubt = np.full((96, 128), 200, np.uint8)
    doubt[:16] = 5  # the first row is sure
    me.predict(classes, doubt)
    me.page.keyboard.press("2")
    me.page.mouse.click(*me.middle(0))
    me.settled()
    me.page.click("[data-key=all]")
    me.page.click("text=All above 95 %")
    me.settled()
    assert me.labels()[:8].tolist() == [1, 0, 0, 0, 2, 2, 2, 2] and (me.labels()[8:] == UNLABELED).all()
    me.page.click("[data-key=all]")
    me.page.click("text=Everything")
    me.settled()
    assert me.page.inner_text(".oreal-status").startswith("Accepted 40 superpixels")  # though all is pressed for the first time
    assert (me.labels() != UNLABELED).all() and me.labels()[0] == 1
    assert me.labeled() == ("48 labeled", "48 of 48 labeled", "width: 100%;")
    me.page.keyboard.press("u")
    me.settled()
    assert me.labeled() == ("8 labeled", "8 of 48 labeled", "width: 16.6667%;")
    assert me.page.inner_text(".oreal-status").startswith("Undone")
    me.page.mouse.click(*me.middle(0))
    assert me.page.inner_text(".oreal-status") == ""
    me.page.keyboard.press("u")
    me.settled()
    assert (me.labels()[8:] == UNLABELED).all() and me.labels()[1] == 0
    assert me.session.counters()["clicks"] == 1


def test_holes_are_filled(work):
    me = work()
    for k in (0, 1, 2, 8, 10, 16, 17, 18):
        me.page.mouse.click(*me.middle(k))
    me.page.click("[data-key=fill]")
    me.settled()
    assert me.labels()[9] == 0 and (me.labels() != UNLABELED).sum() == 9


def test_small_pictures_show_what_is_done_and_what_waits_and_lead_there(work):
    me = work(pictures=4)
    me.page.wait_for_function("[...document.querySelectorAll('.oreal-thumb img')].every((image) => image.naturalWidth > 0)")
    waits = [int(text or 0) for text in me.page.locator(".oreal-badge").all_inner_texts()]
    assert waits == [sum(i == j for j, _ in me.session.query()) for i in range(4)]
    me.page.click(".oreal-thumb[data-index='3']")
    me.page.wait_for_function("document.querySelector('.oreal-thumb[data-index=\"3\"]').getAttribute('aria-current') === 'true'")
    me.drag((8, 8), (120, 8))
    me.settled()
    assert me.page.get_attribute(".oreal-thumb[data-index='3'] .oreal-share > span", "style") == f"width: {100 * 8 / 48:.4f}%;"
    assert me.page.inner_text(".oreal-order") == "Unsure first"  # what it will do
    me.page.click(".oreal-order")
    assert me.page.inner_text(".oreal-order") == "Sort A–Z"
    first = min(
        range(4), key=lambda i: int(me.page.evaluate(f"document.querySelector('.oreal-thumb[data-index=\"{i}\"]').style.order"))
    )
    assert first == me.session.query()[0][0]


def test_hovering_shows_what_a_click_would_label(work):
    me = work()
    pixel = "[...document.querySelector('.oreal-preview').getContext('2d').getImageData({}, 24, 1, 1).data]".format
    me.page.keyboard.press("2")
    me.page.mouse.move(*me.middle(9))
    color = me.board.named.palette()[1].tolist()
    assert me.page.evaluate(pixel(24)) == [*color, 255]
    me.page.mouse.move(*me.middle(11))
    assert me.page.evaluate(pixel(24))[3] == 0 and me.page.evaluate(pixel(56)) == [*color, 255]
    me.page.mouse.click(*me.middle(11))
    me.page.mouse.move(*me.middle(12))
    me.page.mouse.move(*me.middle(11))
    assert me.page.evaluate(pixel(56))[3] == 0  # it has that label


def test_150_classes_have_full_names_colors_that_differ_and_a_search(work, screenshot):
    names = [f"a class with a rather long name, number {i}" for i in range(150)]
    me = work(names)
    assert len(set(me.board.named.colors)) == 150
    shown = me.page.locator(".oreal-class .oreal-name")
    assert shown.all_inner_texts()[:150] == names
    cut = me.page.evaluate("[...document.querySelectorAll('.oreal-name')].filter((e) => e.scrollWidth > e.clientWidth + 1).length")
    assert cut == 0
    me.page.get_by_label("Find a class").fill("number 137")
    screenshot(me.page, "many_classes")
    assert me.page.locator(".oreal-class:visible").count() == 1
    me.page.keyboard.press("Enter")
    me.page.mouse.click(*me.middle(9))
    me.settled()
    assert me.labels()[9] == 137


def test_what_is_zoomed_into_is_sharp_where_the_file_holds_more(work):
    me = work(size=(768, 1024))
    assert (
        me.page.is_hidden(".oreal-tile")
        or me.page.evaluate("document.querySelector('.oreal-image').getBoundingClientRect().width") > 140
    )
    me.page.keyboard.press("+")
    me.page.wait_for_function(
        "document.querySelector('.oreal-tile').naturalWidth > 0 && !document.querySelector('.oreal-tile').hidden"
    )
    picture = me.session.pictures[me.shown]
    ((left, top, right, bottom),) = [m["box"] for m in me.sent if m["kind"] == "tile"][-1:]
    size = me.page.evaluate(
        "[document.querySelector('.oreal-tile').naturalWidth, document.querySelector('.oreal-tile').naturalHeight]"
    )
    assert size[0] > 1.5 * (right - left) and picture.native == (768, 1024)
    assert size[0] / size[1] == pytest.approx((right - left) / (bottom - top), rel=0.05)


def test_suggestions_are_chosen_in_plain_words_and_by_name_under_advanced(work):
    me = work()
    assert me.page.get_by_label("Suggestions", exact=True).input_value() == "where it is most unsure"
    me.page.get_by_label("Suggestions", exact=True).select_option("balance the classes")
    me.page.wait_for_timeout(100)
    assert (me.session.config.strategy, me.session.config.aggregate) == ("oreal", "max")
    me.page.click("text=advanced")
    assert me.page.get_by_label("Strategy", exact=True).input_value() == "oreal"
    me.page.get_by_label("Strategy", exact=True).select_option("cbal")
    me.page.wait_for_timeout(100)
    assert (
        me.session.config.strategy == "cbal" and me.page.get_by_label("Suggestions", exact=True).input_value() == "as chosen below"
    )
    assert len(me.page.inner_text(".oreal-asking p")) > 20


def test_dark_is_kept_and_each_button_is_explained_once(work):
    me = work()
    paper = "getComputedStyle(document.querySelector('.oreal-root')).backgroundColor"
    assert me.page.evaluate(paper) == "rgb(255, 255, 255)"
    me.page.click("[data-key=theme]")
    assert me.page.evaluate(paper) == "rgb(27, 29, 33)"
    assert me.page.inner_text(".oreal-status").startswith("Light or dark")
    me.page.reload()
    me.page.wait_for_selector(".oreal-thumb")
    assert me.page.evaluate(paper) == "rgb(27, 29, 33)"
    me.page.click("[data-key=f]")
    assert me.page.inner_text(".oreal-status").startswith("Fit")
    me.page.keyboard.press("n")
    me.page.click("[data-key=f]")
    assert not me.page.inner_text(".oreal-status").startswith("Light")


def test_what_a_button_does_is_said_when_the_keyboard_reaches_it_and_a_menu_opens_at_its_first_line(work):
    me = work()
    me.page.keyboard.press("Tab")
    assert me.page.inner_text(".oreal-status") == "Previous picture ([)"
    me.page.focus("[data-key=all]")
    me.page.keyboard.press("Enter")
    assert me.page.evaluate("document.activeElement.textContent").startswith("Everything")
    assert me.page.inner_text(".oreal-status") == "Gives each superpixel the class that is predicted."


def test_a_reload_keeps_picture_and_class(work):
    me = work()
    me.page.keyboard.press("]" if me.shown < 2 else "[")
    me.page.keyboard.press("2")
    me.page.wait_for_timeout(300)
    was = me.shown
    assert was != me.session.query()[0][0]  # which is shown at first
    me.page.reload()
    me.page.wait_for_function(
        f"document.querySelector('.oreal-thumb[data-index=\"{was}\"]')?.getAttribute('aria-current') === 'true'"
    )
    assert me.page.get_attribute(".oreal-class[data-code='1']", "aria-pressed") == "true"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width, height", [(1366, 768), (1920, 1080)])
def test_the_bar_has_one_row_and_what_is_said_is_not_cut_off(work, width, height, dark):
    me = work([f"a class with a rather long name, number {i}" for i in range(150)])
    me.page.set_viewport_size({"width": width, "height": height})
    me.page.evaluate("document.querySelector('.oreal-root').classList.add('oreal-page')")
    if dark:
        me.page.click("[data-key=theme]")
    me.page.keyboard.press("n")
    me.page.click("[data-key=all]")
    me.page.wait_for_timeout(100)
    cut = "(() => { const e = document.querySelector('.oreal-status'); return [e.textContent.length, e.scrollWidth > e.clientWidth] })()"
    length, is_cut = me.page.evaluate(cut)
    assert length > 20 and not is_cut
    bar, picture = (me.page.locator(f".oreal-{name}").bounding_box() for name in ("bar", "picture"))
    assert bar["height"] < 32 and picture["width"] > 200


def test_finishing_writes_the_masks_and_says_what_was_done_and_how_to_go_on(work, screenshot):
    me = work()
    me.page.mouse.click(*me.middle(9))
    me.settled()
    me.page.click("text=Finish")
    me.page.wait_for_selector(".oreal-help:not([hidden])", timeout=20_000)
    text = me.page.inner_text(".oreal-help")
    assert "1 click in" in text and "tissue: 1 superpixel" in text and "3 masks, the clicks and what was learned are in" in text
    assert "No label yet: organ, tool." in text and "Pictures without a label, whose masks hold only what is predicted: " in text
    assert me.session.pictures[me.shown].name not in text.split("only what is predicted: ")[1].split("\n")[0]
    assert "256 clicked (1%), 0 accepted (0%), 0 only predicted (0%), 36,608 without a class (99%)" in text
    assert f"make label FOLDER='{me.folder}'" in text or f"make label FOLDER={me.folder}" in text
    assert len(list((me.session.work / "export" / "me" / "masks").glob("*.png"))) == 3
    screenshot(me.page, "finished")


def test_the_first_of_two_tabs_can_only_be_looked_at_and_says_so(work):
    me = work()
    told = []
    me.annotator.send = lambda content, buffers=None: told.append(content["kind"])
    open_session(me.folder, **GRID)  # another page opens it
    assert told == ["closed"]
    me.page.evaluate("hear({kind: 'closed'})")
    me.page.wait_for_selector("text=was opened in another tab or page")
    assert "cell" not in me.page.inner_text("[role=alert]") or not me.page.evaluate("document.body.matches('.jp-Notebook')")
    me.page.mouse.click(*me.middle(9))
    me.page.keyboard.press("n")
    me.page.keyboard.press("Enter")
    me.page.wait_for_timeout(100)
    assert [m["kind"] for m in me.sent if m["kind"] == "act"] == []


def test_n_digit_and_enter_within_50_ms_lose_nothing(work):
    me = work(pictures=4)
    suggested = me.session.query()
    for n in range(6):
        for key in ("n", str(1 + n % 3), "Enter"):
            me.page.keyboard.press(key)  # a few ms each
    me.page.wait_for_timeout(300)
    me.settled()
    assert [me.board.labels(i)[s] for i, s in suggested] == [n % 3 for n in range(6)]


def test_an_idle_page_uses_less_than_a_hundredth_of_a_core(work):
    me = work()
    me.page.keyboard.press("n")
    me.page.wait_for_timeout(1500)
    client = me.page.context.new_cdp_session(me.page)
    client.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent():
        return next(m["value"] for m in client.send("Performance.getMetrics")["metrics"] if m["name"] == "TaskDuration")

    began, before = time.monotonic(), spent()
    me.page.wait_for_timeout(5000)
    assert spent() - before < 0.01 * (time.monotonic() - began)
