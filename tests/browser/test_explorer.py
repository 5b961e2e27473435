"""The explorers in a browser: what they compute is what Python computes, and a page of the site and a kernel show the right numbers."""

import base64
import json

import numpy as np
import pytest
import torch

from oreal_lib.aggregate import by_superpixel
from oreal_lib.balance import class_debt
from oreal_lib.experiments.grid import read_grid
from oreal_lib.explore.widget import HERE, RunExplorer
from oreal_lib.reports.frames import load
from oreal_lib.reports.table import with_sd

pytestmark = pytest.mark.browser
HOWS = ("mean", "max", "top_0.3", "top_0.01", "power_1.5", "power_200", "quantile_0.5", "quantile_0.98")


@pytest.fixture
def opened(browser, book):
    """A function: a page of the site with an explorer, opened as a file without a network; its data as `page.data`."""
    contexts = []

    def open_page(name, width=1024):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, offline=True))
        page = contexts[-1].new_page()
        page.failed = []
        page.on("pageerror", lambda error: page.failed.append(str(error)))
        page.goto((book / "docs" / f"play_{name}.html").as_uri())
        page.data = json.loads(page.locator("#data").inner_text())
        page.locator("#explorer p:not(:empty)").wait_for()
        return page

    yield open_page
    for context in contexts:
        assert all(page.failed == [] for page in context.pages)
        context.close()


def control(page, name):
    return page.get_by_label(name, exact=True)


def text(page):
    return page.locator("#explorer p").inner_text()


def by_python(picture, how):
    """(n,) float32 of a picture in a page."""
    ids, unsure = (np.frombuffer(base64.b64decode(picture[key]), "<u2").astype(np.int64) for key in ("ids", "unsure"))
    score = torch.from_numpy(unsure * picture["scale"]).float()
    return by_superpixel(score[None, None], torch.from_numpy(ids)[None], picture["count"], how)[:, 0].numpy()


def test_class_debts_and_aggregates_are_those_of_python(browser, site):
    rng, page = np.random.default_rng(0), browser.new_page()
    page.goto(f"{site}/tests/browser/page.html")
    cases = [(rng.integers(0, top, rng.integers(1, 12)), int(rng.integers(0, 60))) for top in (1, 4, 100) for _ in range(100)]
    found = page.evaluate(
        "async (cases) => { const {classDebt} = await import('/oreal_lib/explore/explorer.js'); return cases.map((c) => classDebt(...c)); }",
        [[counts.tolist(), budget] for counts, budget in cases],
    )
    assert found == [class_debt(counts, budget).tolist() for counts, budget in cases]
    for n in (1, 3, 40):
        ids = np.r_[np.arange(n), rng.integers(0, n, 300)]
        score = rng.random(len(ids)) ** 4
        score[:2] = 0.0
        found = page.evaluate(
            """async ([score, ids, n, hows]) => { const {bySuperpixel, aggregate} = await import('/oreal_lib/explore/explorer.js');
            const parts = bySuperpixel(score, ids, n); return hows.map((how) => aggregate(parts, how)); }""",
            [score.tolist(), ids.tolist(), n, HOWS],
        )
        for how, mine in zip(HOWS, found, strict=True):
            theirs = by_superpixel(torch.tensor(score).float()[None, None], torch.tensor(ids)[None], n, how)[:, 0]
            assert np.allclose(mine, theirs, rtol=1e-5, atol=1e-9), how
    page.close()


@pytest.mark.parametrize("width", [390, 1024])
def test_a_slider_pays_class_debts(opened, width):
    page = opened("debts", width)
    names, rows = page.data["names"], page.data["rows"]

    def owed(counts, budget, whose):
        return f"Of {budget} clicks, owed to: {', '.join(f'{n} {d}' for n, d in zip(names, class_debt(counts, budget), strict=True) if d)}. The counts are {whose}."

    assert text(page) == owed(rows[0], page.data["budget"], "those after step 1 of the run")
    control(page, "counts after step").focus()
    page.keyboard.press("End")
    control(page, "budget").fill("100")
    control(page, f"{names[1]}, as a number").fill("7")
    counts = [rows[-1][0], 7, *rows[-1][2:]]
    assert text(page) == owed(counts, 100, "your own")
    assert page.get_by_text(f"poorest class afterwards: {(counts + class_debt(counts, 100)).min()}").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_slider_from_mean_to_max_asks_what_python_would_ask(opened):
    page = opened("mean_or_max")
    for i, picture in enumerate(page.data["pictures"]):
        control(page, "picture").select_option(index=i)
        for kind, place in (("top", 3), ("power", 5), ("quantile", 6), ("quantile", 0)):
            how = page.data["ladders"][kind][place]
            control(page, "between mean and max").select_option(label=dict(page.data["kinds"])[kind])
            control(page, "from mean to max").fill(str(place))
            asked = [int(v) for v in page.locator("#explorer canvas").get_attribute("data-asked").split()]
            score = by_python(picture, how)
            assert len(set(asked)) == 20 and np.allclose(np.sort(score[asked]), np.sort(score)[-20:], atol=1e-6), how
            words = {"top": "mean of the most unsure 40 %", "power": "power mean, p = 64", "quantile": "quantile 95 %"}[kind]
            words = words if place else "mean"
            assert text(page).startswith(f"Asked by {words}: 20 of {picture['count']} superpixels; ")
    assert "; 20 of them are asked by the mean" not in text(page) or how == "mean"
    control(page, "superpixels to ask").focus()
    page.keyboard.press("ArrowRight")
    control(page, "what lies under").select_option("superpixel score")
    assert text(page).startswith("Asked by mean: 21 of ")


def test_a_point_of_a_curve_tells_its_value_its_spread_and_its_n(opened):
    page = opened("curves")
    frame = load(read_grid("table1@camvid").configs)
    control(page, "data set").select_option("camvid")
    control(page, "over").select_option("labeled pixels (%)")
    for box in page.locator("fieldset input").all():
        box.uncheck()
    assert text(page) == "Nothing is chosen; choose a strategy."
    control(page, "OREAL max").check()
    mine = frame[frame["column"] == "oreal max"]
    for of_class in (None, 3):
        control(page, "IoU of").select_option(index=0 if of_class is None else of_class + 1)
        page.locator("svg[tabindex]").focus()
        for key in ("ArrowRight", "ArrowRight", "ArrowRight"):
            page.keyboard.press(key)
        now = mine[mine["step"] == 3]
        iou = 100 * (now["miou"] if of_class is None else now["class_iou"].str[of_class].astype(float))
        at = 100 * now["labeled_pixels"].mean()
        expected = f"OREAL max, step 3: {with_sd(iou.mean(), iou.std(ddof=1))} (n = {len(now)}) at {at:.2f}"
        assert page.locator(".tip").inner_text().startswith(expected)
    page.locator("circle.dot").last.hover()
    assert page.locator(".tip").inner_text().startswith("OREAL max, step 6: ")


def test_in_a_notebook_the_kernel_answers(browser, site, tiny_grid, monkeypatch, screenshot):
    monkeypatch.setenv("OREAL_HOME", str(tiny_grid.home))
    explorer = RunExplorer(next(c for c in tiny_grid.configs if c.column == "oreal max"), tiny_grid.runs_dir)

    def state():
        traits = {name: getattr(explorer, name) for name in ("data", "chosen", "shown", "said")}
        return json.loads(json.dumps(traits, default=lambda v: base64.b64encode(v).decode(), allow_nan=False))

    def told(chosen):
        explorer.chosen = chosen
        return state()

    page = browser.new_page()
    page.expose_function("told", told)
    page.goto(f"{site}/tests/browser/page.html")
    page.add_style_tag(content=(HERE / "explorer.css").read_text(encoding="utf-8"))
    page.evaluate(
        """async (state) => {
            const {default: explorer} = await import('/oreal_lib/explore/explorer.js');
            const heard = {}, get = (key) => state[key];
            const hear = (keys) => keys.forEach((key) => heard['change:' + key]());
            const set = (key, value) => { state[key] = value; hear([key]); };
            const save_changes = async () => { state = await told(state.chosen); hear(['shown', 'said']); };
            document.body.replaceChildren();
            explorer.render({el: document.body, model: {get, set, save_changes, on: (name, act) => (heard[name] = act), off() {}}});
        }""",
        state(),
    )
    assert page.locator("canvas").get_attribute("data-asked").split() == [str(i) for i in explorer.shown["sides"][0]["asked"]]
    mine = explorer._question().listed["bvsb", "mean"].ids
    image = int(explorer.run.setting.superpixels.image[mine[0]])
    control(page, "image").fill(str(image))
    control(page, "A asks by").select_option("BvSB")
    control(page, "aggregation A").fill("0")
    control(page, "what lies under").select_option("prediction")
    page.wait_for_function("document.querySelector('canvas').getAttribute('aria-label').includes('A: BvSB mean asks')")
    asked = np.flatnonzero(explorer.view["sides"][0]["asked"])
    assert (
        page.locator("canvas").get_attribute("data-asked").split() == [str(i) for i in asked]
        and explorer.chosen["image"] == image
        and len(asked)
    )
    assert page.get_by_text(f"A: BvSB mean: {len(asked)} asked here").is_visible() and control(page, "class").is_enabled()
    control(page, "pixel score").select_option("BvSB")
    assert control(page, "class").is_disabled()
    screenshot(page, "explorer")
    page.close()
