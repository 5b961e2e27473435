import json
from pathlib import Path

import pytest
from PIL import Image

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def growth():
    """The benchmark's module, found as it is when it is started from the command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import growth

        yield growth


@pytest.fixture(scope="module")
def results(growth, tmp_path_factory):
    """What the tiny benchmark returned, and the folder it wrote to."""
    out = tmp_path_factory.mktemp("results")
    return growth.main(["--tiny", "--out", str(out)]), out


def test_every_axis_has_a_point_for_each_value_and_each_way(results):
    points = [(r["grows"], r["value"], r["pixels"], r["classes"]) for r in results[0]["rows"] if r["what"] == "oreal max"]
    assert points == [
        ("images", 1, 1024, 3),
        ("images", 2, 2048, 3),
        ("classes", 2, 1024, 2),
        ("classes", 4, 1024, 4),
        ("superpixels", 16, 1024, 3),
        ("superpixels", 64, 1024, 3),
    ]
    assert len(results[0]["rows"]) == 6 * 6


def test_the_cost_is_of_a_pixel_when_asking_and_of_a_superpixel_when_selecting(results):
    for row in results[0]["rows"]:
        parts = row["superpixels"] if row["what"].startswith("select.") else row["pixels"]
        assert row["ns"]["median"] == pytest.approx(1e9 * row["seconds"]["median"] / parts, rel=1e-3)
        assert row["ns_per_class"]["median"] == pytest.approx(row["ns"]["median"] / row["classes"], rel=1e-3)


def test_flat_is_the_last_cost_over_the_first_and_per_class_where_classes_grow(growth):
    rows = [
        {"grows": "classes", "value": c, "what": what, "ns": {"least": ns}, "ns_per_class": {"least": ns / c}}
        for what in ("oreal max", "select.top")
        for c, ns in ((2, 10.0), (4, 20.0))
    ]
    assert growth.flatness(rows) == {"classes": {"oreal max": 1.0, "select.top": 2.0}}


def test_the_files_hold_what_was_returned(results):
    assert json.loads((results[1] / "growth_cpu.json").read_text(encoding="utf-8")) == json.loads(json.dumps(results[0]))
    with Image.open(results[1] / "growth_cpu.png") as picture:
        assert picture.width > 600


@pytest.mark.parametrize("wrong", [["--tiny"], ["--repeats", "0"]])
def test_a_wrong_command_is_refused_before_it_measures(growth, wrong, capsys):
    with pytest.raises(SystemExit):
        growth.main(wrong)
    assert wrong[0] in capsys.readouterr().err
