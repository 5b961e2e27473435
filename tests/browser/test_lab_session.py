"""A whole session in real JupyterLab: a person with a folder of photos, three classes, mouse and keyboard, and what must survive."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from lab import jupyterlab, open_notebook, run_first_cell, until
from PIL import Image
from scipy import ndimage

from oreal_lib.annotate.events import read_whole
from oreal_lib.annotate.rounds import folder_of, read_query
from oreal_lib.annotate.saved import read_board
from oreal_lib.data.readers.toy import draw_scene
from oreal_lib.data.resize import nearest
from oreal_lib.metrics import border_superpixels
from oreal_lib.oracle import class_votes
from oreal_lib.storage.lock import holder

pytestmark = pytest.mark.browser
PHOTOS = 20
CLASSES = ["tissue", "organ", "tool"]
CELL = """from oreal_lib.annotate.widget import annotate
annotate({folder!r}, {classes!r}, query_size=20, side=400, superpixel_count=150, height=128, width=128, max_epochs=20, live=False, strategy='oreal', aggregate='max')"""


def three(mask):
    """The toy's eight classes as three: tissue, organ, and whatever is not of the body."""
    return np.select([mask == 0, mask == 1], [0, 1], 2).astype(np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder with 20 pictures larger than they are worked at, and name -> true classes at full size."""
    folder = tmp_path_factory.mktemp("lab") / "my photos"
    folder.mkdir()
    truth = {}
    for i in range(PHOTOS):
        image, mask = draw_scene(np.random.default_rng(i), 384, 512)
        Image.fromarray(image).save(folder / f"photo {i:02d}.jpg", quality=95)
        truth[f"photo {i:02d}"] = three(mask)
    return folder, truth


@pytest.fixture(scope="module")
def lab(photos):
    """The address of a notebook in a JupyterLab that only this computer reaches."""
    cells = [CELL.format(folder=str(photos[0]), classes=CLASSES), "1 + 1"]
    with jupyterlab(photos[0].parent, cells) as address:
        yield address


class Person:
    """Looks at the page, knows what is in the pictures, and clicks."""

    def __init__(self, page, url, folder, truth, film):
        self.page, self.url, self.folder, self.truth, self.film = page, url, folder, truth, film
        self.home = folder.with_name(f"{folder.name}-labels")
        self.log = self.home / "me" / "clicks.jsonl"

    def open(self):
        open_notebook(self.page, self.url)

    def run(self):
        run_first_cell(self.page)

    def lab(self, expression):
        return self.page.evaluate(f"(() => {{ const notebook = jupyterapp.shell.currentWidget; return {expression}; }})()")

    def acts(self):
        return [e for e in read_whole(self.log) if e.what != "open"]

    def saved(self):
        self.page.wait_for_function(
            "document.querySelector('.oreal-saved').textContent.includes('saved') && "
            "!document.querySelector('.oreal-saved').textContent.includes('not')"
        )

    def board(self):
        return read_board(self.folder, self.home, "me")[0]

    def answer(self, board, name, superpixel):
        """The class that a person would see in a superpixel, and a pixel (x, y) well inside it."""
        ids = board.ids(board.place(name))
        truth = nearest(self.truth[name], ids.shape)
        votes = class_votes(truth, ids, int(ids.max()) + 1, len(CLASSES))
        depth = ndimage.distance_transform_edt(np.pad(ids == superpixel, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(depth.argmax(), depth.shape)
        return int(votes[superpixel].argmax()), (int(x), int(y))

    def at(self, x, y):
        """Where on the screen a pixel of the picture is."""
        box = self.page.locator(".oreal-view canvas").first.bounding_box()
        width = self.page.evaluate("document.querySelector('.oreal-view canvas').width")
        return box["x"] + (x + 0.5) * box["width"] / width, box["y"] + (y + 0.5) * box["width"] / width

    def answer_suggestions(self, number, by_mouse):
        """Answers all that a round asks, as long as it asks: by mouse, or by the keyboard alone."""
        for name, superpixel in read_query(self.home / "me", number)["query"]:
            label, (x, y) = self.answer(self.board(), name, superpixel)
            known = len(self.acts())
            self.page.keyboard.press(str(label + 1))
            self.page.keyboard.press("n")
            seen = f"document.querySelector('.oreal-picture').selectedOptions[0].textContent.includes({name!r}) && "
            self.page.wait_for_function(
                f"{seen} document.querySelector('.oreal-info').textContent.startsWith('superpixel {superpixel} ')"
            )
            if by_mouse:
                self.page.wait_for_timeout(400)  # the view glides there
                self.page.mouse.click(*self.at(x, y))
            else:
                self.page.keyboard.press("Enter")
            until(lambda known=known: len(self.acts()) > known, 20, f"the click on {name}")
            assert (self.acts()[-1].image, self.acts()[-1].superpixels, self.acts()[-1].to) == (name, (superpixel,), CLASSES[label])
            self.film(self.page.locator(".oreal-root"))


def test_a_folder_of_photos_becomes_masks(browser, lab, photos, screenshot, film):
    folder, truth = photos
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    me = Person(page, lab, folder, truth, film)
    me.open()
    me.run()
    page.locator(".oreal-root").focus()

    # round 1, by mouse
    me.answer_suggestions(1, by_mouse=True)
    assert {e.how for e in me.acts()} == {"click"} and {e.round for e in me.acts()} == {1}
    screenshot(page, "lab_round_1")

    # keys stay in the widget, except those with Ctrl
    cells = me.lab("notebook.content.widgets.length")
    page.keyboard.press("x")
    until(lambda: me.acts()[-1].what == "split", 10, "the split")
    assert me.lab("notebook.content.widgets.length") == cells
    page.keyboard.press("u")
    until(lambda: me.acts()[-1].what == "undo", 10, "the undo")
    page.keyboard.press("Control+s")
    page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty", timeout=10_000)

    # train, and go on clicking meanwhile
    page.get_by_role("button", name="Train").click()
    until(lambda: (folder_of(me.home / "me", 2) / "request.json").exists(), 20, "the start of the training")
    page.locator(".oreal-root").focus()
    known = len(me.acts())
    page.keyboard.press("f")
    page.mouse.click(*me.at(128, 96))
    until(lambda: len(me.acts()) > known, 10, "a click while it trains")
    assert not (folder_of(me.home / "me", 2) / "done.json").exists()
    page.wait_for_function("document.querySelector('.oreal-counters').textContent.includes('round 2')", timeout=120_000)
    screenshot(page, "lab_round_2")

    # round 2, by the keyboard alone, with the prediction in sight
    page.locator(".oreal-root").focus()
    me.answer_suggestions(2, by_mouse=False)
    assert me.acts()[-1].how == "key" and me.acts()[-1].round == 2

    # trained again, now on what was asked at borders; then the page is reloaded: everything is there
    page.get_by_role("button", name="Train").click()
    page.wait_for_function("document.querySelector('.oreal-counters').textContent.includes('round 3')", timeout=120_000)
    me.saved()
    labeled = me.board().as_labels().clicks
    me.open()
    me.run()
    assert f"{labeled} of" in page.locator(".oreal-counters").inner_text()

    # the kernel is killed between clicks, and while a click is under way
    kernel = int(holder(Path(f"{me.log}.lock")).split()[1])
    page.locator(".oreal-root").focus()
    os.kill(kernel, signal.SIGKILL)
    page.mouse.click(*me.at(40, 40))
    page.mouse.click(*me.at(200, 150))
    page.wait_for_function("document.querySelector('.oreal-saved').textContent.includes('not saved')")
    screenshot(page, "lab_kernel_killed")
    before = len(me.acts())
    page.locator(".jp-Dialog .jp-mod-accept").click(timeout=60_000)  # "the kernel appears to have died"
    page.wait_for_function("jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'", timeout=60_000)
    me.run()
    until(lambda: len(me.acts()) == before + 2, 20, "the two clicks that the dead kernel did not get")
    me.saved()

    # masks at full size
    page.get_by_role("button", name="Finish").click()
    page.wait_for_selector("text=masks, the clicks and what was learned are in", timeout=60_000)
    masks = sorted((me.home / "export" / "me" / "masks").glob("*.png"))
    assert [m.stem for m in masks] == sorted(truth)
    right = []
    for mask in masks:
        with Image.open(mask) as picture:
            assert picture.mode == "P"
            right.append(np.mean(np.asarray(picture) == truth[mask.stem]))
    assert np.mean(right) > 0.6  # 41 clicks; half of the pixels are of the most frequent class
    assert errors == []
    screenshot(page, "lab_exported")

    # what the network asked lies at borders more often than a superpixel by chance
    board = me.board()
    touched = {p.name: border_superpixels(nearest(truth[p.name], p.size), p.ids(), p.count, 0) for p in board.pictures}
    asked = [touched[name][s] for name, s in read_query(me.home / "me", 2)["query"] if s < len(touched[name])]
    assert np.mean(asked) > np.concatenate(list(touched.values())).mean()
    print(
        f"right {np.mean(right):.3f}, asked at borders {np.mean(asked):.2f}, by chance {np.concatenate(list(touched.values())).mean():.2f}"
    )
    page.close()
