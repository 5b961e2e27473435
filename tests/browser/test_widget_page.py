"""The annotation widget in a plain page; `stub.js` plays Python's part.

Both pictures have superpixels 0..11 of 16 x 16 pixels, in rows of four. The classes are sky (key 1), tree (2) and road (3),
suggested are 6 and 9 of the first picture and 2 of the second, and the network says tree everywhere.
"""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser
SKY, TREE, ROAD, VOID, NONE = 0, 1, 2, 255, 254
COLOR = {SKY: [86, 180, 233, 255], TREE: [0, 158, 115, 255], ROAD: [230, 159, 0, 255], NONE: [0, 0, 0, 0]}


class Widget:
    """What a person does and sees."""

    def __init__(self, page):
        self.page = page
        self.mouse, self.press = page.mouse, page.keyboard.press

    def ready(self):
        self.page.wait_for_function("performance.getEntriesByName('oreal:setup').length > 0")
        return self

    def place(self):
        """Left, top and scale of the picture in the page."""
        return self.page.evaluate(
            """() => {
            const {left, top} = document.querySelector('.oreal-view').getBoundingClientRect();
            const {e, f, a} = new DOMMatrix(getComputedStyle(document.querySelector('.oreal-stage')).transform);
            return [left + e, top + f, a]; }"""
        )

    def at(self, k):
        """The middle of superpixel k in the page."""
        left, top, scale = self.place()
        return left + (16 * (k % 4) + 8) * scale, top + (16 * (k // 4) + 8) * scale

    def click(self, k):
        self.mouse.click(*self.at(k))

    def zoom_into(self, k):
        """By the wheel, as far as it goes."""
        self.page.focus(".oreal-root")
        self.mouse.move(*self.at(k))
        before = self.place()[2]
        for _ in range(6):
            self.mouse.wheel(0, -300)
        self.page.wait_for_function(f"new DOMMatrix(document.querySelector('.oreal-stage').style.transform).a > {2.9 * before}")

    def in_view(self, k):
        """Whether all of superpixel k is in the view."""
        (x, y), half = self.at(k), 8 * self.place()[2]
        box = self.page.locator(".oreal-view").bounding_box()
        across = box["x"] - 1 <= x - half < x + half <= box["x"] + box["width"] + 1
        return across and box["y"] - 1 <= y - half < y + half <= box["y"] + box["height"] + 1

    def color(self, k):
        """The pixel of the label canvas in the middle of superpixel k."""
        script = "([x, y]) => [...document.querySelector('.oreal-labels').getContext('2d').getImageData(x, y, 1, 1).data]"
        return self.page.evaluate(script, [16 * (k % 4) + 8, 16 * (k // 4) + 8])

    def colors(self, *superpixels):
        return [self.color(k) for k in superpixels]

    def until(self, k, label):
        """Waits until superpixel k has the color of a label."""
        self.page.wait_for_function(
            """([x, y, color]) => String([...document.querySelector('.oreal-labels').getContext('2d')
            .getImageData(x, y, 1, 1).data]) === String(color)""",
            arg=[16 * (k % 4) + 8, 16 * (k // 4) + 8, COLOR[label]],
            timeout=3000,
        )

    def acts(self, *fields):
        """The acts sent so far, each with these fields."""
        fields = fields or ("do", "superpixels", "to")
        return [tuple(act.get(field) for field in fields) for act in self.page.evaluate("stub.acts()")]

    def kept(self):
        """The acts that localStorage holds."""
        return self.page.evaluate("JSON.parse(localStorage.getItem('oreal:test') ?? '[]')")

    def settled(self):
        """Waits until Python has answered everything."""
        self.page.wait_for_function("!localStorage.getItem('oreal:test')", timeout=3000)
        self.page.wait_for_timeout(20)


@pytest.fixture
def widget(browser, site):
    context = browser.new_context(viewport={"width": 900, "height": 800})
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(error))
    page.goto(f"{site}/tests/browser/page.html")
    yield Widget(page).ready()
    context.close()
    assert errors == []


def test_a_click_labels_and_sends_one_act(widget, screenshot):
    widget.click(5)
    assert widget.colors(5, 4) == [COLOR[SKY], COLOR[NONE]]
    widget.settled()
    assert widget.acts() == [("label", [5], SKY)]
    assert widget.acts("picture", "how") == [(0, "click")]
    assert widget.page.text_content(".oreal-class[data-code='0'] .oreal-count") == "1 +1"
    screenshot(widget.page, "plain_page")


def test_a_drag_paints_each_superpixel_once_clears_none_and_sends_one_act(widget):
    widget.click(2)
    widget.mouse.move(*widget.at(0))
    widget.mouse.down()
    for k in (2, 1, 3):
        widget.mouse.move(*widget.at(k))
    assert widget.colors(0, 1, 2, 3) == [COLOR[SKY]] * 4
    assert len(widget.acts()) == 1
    widget.mouse.up()
    assert widget.colors(0, 1, 2, 3) == [COLOR[SKY]] * 4
    assert widget.acts("superpixels", "how")[1:] == [([0, 1, 3], "drag")]


def test_digits_choose_the_class_0_is_void_and_a_second_click_clears(widget):
    widget.click(5)
    widget.click(5)  # with the same class again: clears
    assert widget.acts() == [("label", [5], SKY), ("label", [5], NONE)]
    widget.click(0)
    for key, k in (("3", 1), ("0", 2)):
        widget.press(key)
        widget.click(k)
    assert widget.acts("superpixels", "to")[2:] == [([0], SKY), ([1], ROAD), ([2], VOID)]
    assert widget.color(1) == COLOR[ROAD]
    red, green, blue, alpha = widget.color(2)
    assert red == green == blue
    assert alpha == 255
    assert widget.page.get_attribute(".oreal-class[data-code='255']", "aria-pressed") == "true"


def test_undo_and_redo_ask_python_and_paint_what_comes_back(widget):
    widget.click(5)
    widget.settled()
    widget.page.evaluate("stub.hold = true")
    widget.press("u")
    assert widget.color(5) == COLOR[SKY]  # Python knows what to undo, the widget does not
    widget.page.evaluate("stub.release()")
    widget.until(5, NONE)
    widget.press("Control+Shift+Z")
    widget.until(5, SKY)
    assert widget.acts("do") == [("label",), ("undo",), ("redo",)]


def test_clicks_without_an_answer_survive_a_reload_and_are_sent_again_in_order(widget):
    widget.click(0)
    widget.settled()
    widget.page.evaluate("stub.hold = true")
    widget.click(1)
    widget.click(6)
    before = widget.acts("id", "superpixels")
    assert [act["id"] for act in widget.kept()] == [before[1][0], before[2][0]]
    widget.page.reload()
    widget.ready()
    hello = widget.page.evaluate("stub.sent[0]")
    assert hello["kind"] == "hello"
    assert [(act["id"], act["superpixels"]) for act in hello["pending"]] == before[1:]
    widget.settled()
    assert widget.colors(1, 6) == [COLOR[SKY]] * 2


def test_n_goes_to_the_next_suggestion_and_brings_all_of_it_into_view(widget):
    widget.zoom_into(8)
    assert not widget.in_view(6)
    widget.press("n")
    assert widget.in_view(6)
    assert widget.page.text_content(".oreal-info") == "superpixel 6 · not labeled · predicted tree"
    widget.press("Enter")
    assert widget.acts() == [("label", [6], SKY)]
    widget.press("n")
    widget.press("a")
    assert widget.acts()[1:] == [("accept", [9], TREE)]
    assert widget.color(9) == COLOR[TREE]


def test_suggestions_are_outlined_along_the_sides_of_their_pixels(widget):
    six, nine = "M32 16H48M32 32H48M32 16V32M48 16V32", "M16 32H32M16 48H32M16 32V48M32 32V48"
    assert widget.page.get_attribute(".oreal-line-suggestions path", "d") == six + nine


def test_the_prediction_is_shown_where_there_is_one_and_uncertainty_is_painted_when_it_is_first_shown(widget):
    pixel = "[...document.querySelector('.oreal-{}').getContext('2d').getImageData(63, 8, 1, 1).data]".format
    widget.page.wait_for_function(f"String({pixel('prediction')}) === '{','.join(map(str, COLOR[TREE]))}'")
    assert widget.page.evaluate(pixel("uncertainty")) == COLOR[NONE]
    widget.page.click("[aria-label='Layer uncertainty']")
    widget.page.wait_for_function(f"{pixel('uncertainty')}[3] > 200")


def test_a_suggestion_on_another_picture_shows_that_picture(widget):
    widget.page.focus(".oreal-root")
    widget.press("p")
    widget.page.wait_for_function("document.querySelector('.oreal-info').textContent.startsWith('superpixel 2 ')")
    widget.press("s")
    assert widget.acts("do", "picture", "superpixels") == [("skip", 1, [2])]


def test_keys_that_are_quicker_than_the_picture_they_mean_wait_for_it(widget):
    widget.page.focus(".oreal-root")
    widget.page.evaluate("stub.hold = true; stub.sent.length = 0")
    for key in ("p", "2", "Enter", "n", "3", "Enter"):  # 2 of the second picture, then back to 6 of the first
        widget.press(key)
    assert widget.acts() == []
    widget.page.evaluate("stub.release()")
    widget.settled()
    assert widget.acts("picture", "superpixels", "to") == [(1, [2], TREE), (0, [6], ROAD)]


def test_keys_typed_in_the_widget_stay_there_but_ctrl_s_does_not(widget):
    widget.page.focus(".oreal-root")
    for key in ("x", "a", "Enter", "d", "Control+s", "ArrowDown"):
        widget.press(key)
    widget.page.focus("input[type=range]")
    widget.press("x")
    assert widget.page.evaluate("keysSeen.filter((key) => key !== 'Ctrl+Control')") == ["Ctrl+s"]
    widget.press("Escape")
    widget.press("x")
    assert widget.page.evaluate("keysSeen.slice(-2)") == ["Escape", "x"]


def test_the_wheel_zooms_about_the_pointer_only_while_the_widget_has_the_focus(widget):
    x, y = widget.at(5)
    widget.mouse.move(x, y)
    before = widget.place()
    widget.mouse.wheel(0, -200)
    widget.page.wait_for_timeout(50)
    assert widget.place() == before
    widget.page.focus(".oreal-root")
    widget.mouse.wheel(0, -200)
    widget.page.wait_for_function(f"new DOMMatrix(document.querySelector('.oreal-stage').style.transform).a > {before[2]}")
    assert widget.at(5) == pytest.approx((x, y), abs=0.5)


@pytest.mark.parametrize("button", ["middle", "right"])
def test_dragging_with_another_button_pans_and_labels_nothing(widget, button):
    x, y = widget.at(5)
    widget.mouse.move(x, y)
    widget.mouse.down(button=button)
    widget.mouse.move(x + 40, y - 30)
    widget.mouse.up(button=button)
    assert widget.at(5) == pytest.approx((x + 40, y - 30), abs=0.5)
    assert widget.acts() == []


def test_an_undo_brings_what_it_changed_into_view(widget):
    widget.click(0)
    widget.settled()
    widget.zoom_into(11)
    assert not widget.in_view(0)
    widget.press("u")
    widget.until(0, NONE)
    assert widget.in_view(0)


def test_a_refused_act_is_painted_back_and_forgotten(widget):
    widget.page.evaluate("stub.mood = 'refused'")
    widget.click(5)
    widget.until(5, NONE)
    assert "refused: no room" in widget.page.text_content("[role=status]")
    assert widget.kept() == []


def test_after_a_failed_act_all_wait_and_try_again_sends_them_in_order(widget):
    widget.page.evaluate("stub.mood = 'failed'")
    widget.click(5)
    widget.page.wait_for_selector("text=failed: no room")
    widget.click(7)
    assert len(widget.acts()) == 1
    assert widget.colors(5, 7) == [COLOR[SKY]] * 2
    widget.page.evaluate("stub.mood = 'done'")
    widget.page.click("text=Try again")
    widget.settled()
    assert widget.acts("superpixels") == [([5],), ([5],), ([7],)]


def test_a_label_on_its_way_stays_visible_when_an_undo_is_answered(widget):
    widget.click(5)
    widget.settled()
    widget.page.evaluate("stub.hold = true")
    widget.press("u")
    widget.press("3")
    widget.click(5)
    widget.page.evaluate("stub.receive(stub.held.shift())")  # the undo: superpixel 5 is not labeled
    widget.page.wait_for_function("JSON.parse(localStorage.getItem('oreal:test')).length === 1")
    widget.page.wait_for_timeout(50)
    assert widget.color(5) == COLOR[ROAD]


def test_the_keyboard_alone_labels_a_superpixel(widget):
    widget.press("Tab")
    assert widget.page.evaluate("document.activeElement.className") == "oreal-root"
    widget.press("ArrowRight")  # the first shows where we are: the middle of the view, superpixel 6
    for key in ("ArrowUp", "ArrowLeft", "2", "Enter"):
        widget.press(key)
    assert widget.acts("superpixels", "to", "how") == [([1], TREE, "key")]
    assert widget.color(1) == COLOR[TREE]


def test_two_views_of_one_model_show_the_same(widget):
    widget.page.evaluate(
        """async () => {
        const {default: widget} = await import('/oreal_lib/annotate/page/main.js');
        const second = document.createElement('div');
        document.body.append(second);
        const seen = performance.getEntriesByName('oreal:setup').length;
        window.end = widget.render({model: stub, el: second});
        while (performance.getEntriesByName('oreal:setup').length < seen + 2) await new Promise((go) => setTimeout(go, 10)); }"""
    )
    widget.click(5)
    widget.settled()
    script = """() => [...document.querySelectorAll('.oreal-labels')]
        .map((canvas) => [...canvas.getContext('2d').getImageData(24, 24, 1, 1).data])"""
    assert widget.page.evaluate(script) == [COLOR[SKY]] * 2
    widget.page.evaluate("end()")
    assert widget.page.evaluate("[document.querySelectorAll('.oreal-root').length, stub.listeners.size]") == [1, 1]


def test_the_training_is_asked_about_until_it_ends(widget):
    widget.page.click("text=Train and ask again")
    widget.page.wait_for_selector("text=about 42 s left")
    widget.page.wait_for_function("stub.sent.some(({kind}) => kind === 'poll')", timeout=3000)
    widget.page.click("text=Stop")
    widget.page.wait_for_selector("progress", state="hidden")
    assert widget.page.is_enabled("text=Train and ask again")


def test_agreement_is_drawn_where_it_is_known_and_left_out_pictures_are_named_with_their_reason(widget):
    assert not widget.page.is_visible(".oreal-agreement")
    widget.page.evaluate("""stub.reply({...stub.state(),
        quality: {agreement: 0.8, n: 5, per_class: [[1, 2], [0, 0], [3, 3]], curve: [[2, 1, 0.5], [4, 2, 0.8]]}})""")
    widget.page.wait_for_selector("text=agreement 80 % (5 clicks)")
    title = widget.page.get_attribute(".oreal-agreement span", "title")
    assert title.splitlines()[1:] == ["sky: 1 of 2", "road: 3 of 3"]
    assert widget.page.get_attribute(".oreal-curve path", "d") == "M94.0 17.0L188.0 8.0"
    widget.page.evaluate(
        "stub.problems = ['third.png is cut off; copy it again']; stub.reply({...stub.state(), pictures: stub.state().pictures.slice(1)})"
    )
    widget.page.click("text=1 left out")
    widget.page.wait_for_selector("text=third.png is cut off; copy it again")


def test_how_a_training_ended_is_said_once_and_hides_no_later_word(widget):
    widget.page.evaluate("stub.reply({kind: 'training', state: 'stopped', text: 'stopped; train again'})")
    widget.page.wait_for_selector("text=stopped; train again")
    widget.page.evaluate("""stub.reply({kind: 'error', text: 'the class is named twice'});
        stub.reply({...stub.state(), training: {state: 'stopped', text: 'stopped; train again', share: 0}})""")
    widget.page.wait_for_selector("text=the class is named twice")
    widget.page.wait_for_timeout(100)
    assert widget.page.text_content(".oreal-status") == "the class is named twice"
