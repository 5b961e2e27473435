"""docs/extending.md is followed word by word in a copy of the repository: whoever does the same has what it promises."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_docstrings import faults
from trees import saved, scene

from oreal_lib.lessons.contract import CLAUSES
from oreal_lib.models import check_model
from oreal_lib.storage.paths import home

PAGE = (home() / "docs" / "extending.md").read_text(encoding="utf-8")
# title -> the way that leaves the library as it is, and the way that adds to it
SECTIONS = {part.split("\n")[0]: part.split("**For good**") for part in re.split(r"^## ", PAGE, flags=re.M)[1:]}
FORMS = {  # the last words of the line before a code block -> what is to be done with the block
    "edit": r"In `(?P<file>[^`]+)`, (?P<where>before|after) the line (?P<tick>`+) ?(?P<anchor>.+?) ?(?P=tick):$",
    "new": r"New file `(?P<file>[^`]+)`:$",
    "then": r"Then\b[^:]*(\([^)]*\))?:$",
}
SMALL = """height: 32, width: 32, superpixel_method: grid, superpixel_count: 16, superpixel_levels: 2, val_images: 2, train_images: 4,
query_share: null, query_size: 8, steps: 2, max_epochs: 1, batch_size: 2, weights: none, device: cpu, workers: 1"""  # seconds
OF_DATA = {"toy": ", data_options: {train: 8, test: 3}", "folder": ", model: small_unet, superpixel_at: working"}
NAMES = [f"north_{i:04d}" for i in range(9)]


def steps(text):
    """(form, its match, block) of each code block, in order; ValueError for a block that no form stands before."""
    lines, said = iter(text.split("\n")), ""
    for line in lines:
        fence = re.fullmatch(r"( *)(`{3,})(\w*)", line)
        if not fence:
            said = line or said
            continue
        indent, ticks, _ = fence.groups()
        block = "".join(inner.removeprefix(indent) + "\n" for inner in iter(lambda: next(lines), indent + ticks))
        found = [(form, match) for form, rule in FORMS.items() if (match := re.search(rule, said))]
        if len(found) != 1:
            raise ValueError(f"nothing says what to do with the block after {said!r}; write one of the forms before it")
        yield *found[0], block


def follow(text, place, run):
    """Do what a section says below `place`, `run(line)` its commands; the files it wrote. ValueError if an edit's line is not unique."""
    written = []
    for form, match, block in steps(text):
        if form == "then":
            for line in block.splitlines():
                run(line)
            continue
        path = place / match["file"]
        written.append(match["file"])
        if form == "new":
            assert not path.exists() and path.parent.parent.exists()
            path.parent.mkdir(exist_ok=True)
            path.write_text(block, encoding="utf-8")
            continue
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        at = [i for i, line in enumerate(lines) if line.strip() == match["anchor"]]
        if len(at) != 1:
            raise ValueError(f"{match['file']} has the line {match['anchor']!r} {len(at)} times, but an edit needs it once")
        lines.insert(at[0] + (match["where"] == "after"), block)
        path.write_text("".join(lines), encoding="utf-8")
    return written


@pytest.fixture
def place(tmp_path):
    """A copy of the repository, as far as it is edited or run, whose parameter files make small runs."""
    for name in ("oreal_lib", "params", "notebooks", "tests", "docs"):
        shutil.copytree(home() / name, tmp_path / name, ignore=shutil.ignore_patterns("pictures", "browser", "__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(home() / name, tmp_path)
    for name, more in OF_DATA.items():
        path = tmp_path / "params" / f"{name}.yaml"
        text = path.read_text(encoding="utf-8")
        for key, value in re.findall(r"(\w+): ({.*}|[^,\n]+)", SMALL + more):
            text, n = re.subn(rf"^{key}: .*", f"{key}: {value}", text, flags=re.M)
            assert n == 1, key
        path.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def typed(place):
    """Runs a command in the copy's folder, with its library, as a user types it; it must succeed. `typed.said`: what they said."""

    def run(line):
        paths = [place, place / "tests", place / "tests" / "data", place / "tests" / "models"]
        mine = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "OREAL_HOME": str(place),
            "OMP_NUM_THREADS": "1",
            "PYTEST_ADDOPTS": "-rA",
        }
        done = subprocess.run(line, shell=True, cwd=place, env=os.environ | mine, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        run.said += done.stdout

    run.said = ""
    return run


@pytest.mark.skipif(sys.platform == "win32", reason="sed is POSIX")
def test_every_file_line_and_name_of_the_page_is_there(place, typed):
    """All edits are made, linted and imported, and the files that commands name are looked up; nothing is trained."""

    def there(line):
        words = line.split()
        if words[0] == "sed":
            typed(line)
        assert words[0] in ("python", "papermill", "sed"), line
        for word in words:
            assert not re.fullmatch(r"(tests|params|notebooks)/\S+|\w+\.py", word) or (place / word).exists(), line

    written = {name for section in SECTIONS.values() for way in section for name in follow(way, place, there)}
    code = sorted(name for name in written if name.endswith(".py"))
    for command in ("check", "format --check"):
        typed(f"python -m ruff {command} {' '.join(code)}")
    modules = [re.sub(r"^tests/\w+/", "", name).removesuffix(".py").replace("/", ".") for name in code]
    typed(f"python -c 'import {', '.join(modules)}'")
    for name in (name.removeprefix("oreal_lib/") for name in code if name.startswith("oreal_lib/")):
        assert faults(name, (place / "oreal_lib" / name).read_text(encoding="utf-8")) == []


def run_ids(place):
    """Of finished runs, without the hash."""
    return {done.parent.name.rpartition("-")[0] for done in (place / "runs").glob("*/done.json")}


def tree(folder, images, masks, names, first=0):
    """Pictures and masks of 3 classes, numbered from `first` on; void is 255, or 0 where that is free."""
    rng = np.random.default_rng(0)
    for name in names:
        image, truth = scene(rng, (40, 48), 3)
        saved(folder / images, image, f"{name}.jpg", quality=95)
        saved(folder / masks, np.where(truth == 255, 0, truth + 1).astype(np.uint8) if first else truth, f"{name}.png")


@pytest.mark.slow
def test_a_strategy_of_ones_own_is_judged_and_raced(place, typed):
    follow(SECTIONS["A strategy"][0], place, typed)
    steps_of = re.findall(r"^(\w+), step \d: (\d+) clicks, mIoU (\S+) %$", typed.said, re.M)
    assert [step[:2] for step in steps_of] == [("oreal", "8"), ("oreal", "16"), ("mine", "8"), ("mine", "16")]
    assert "it keeps the contract" in typed.said and steps_of[0][2] == steps_of[2][2], "step 1 is the same for both"


@pytest.mark.slow
def test_a_strategy_is_added_for_good(place, typed):
    follow(SECTIONS["A strategy"][1], place, typed)
    judged = "PASSED tests/paper/test_strategies.py::test_every_strategy_keeps_the_contract[entropy_owed-"
    assert typed.said.count(judged) == len(CLAUSES) * 5 and "toy-small_unet-entropy_owed-max-dominant-s0" in run_ids(place)


@pytest.mark.slow
def test_a_folder_of_ones_own_is_checked_and_run(place, typed):
    tree(place / "photos", "images", "masks", NAMES)
    follow(SECTIONS["A data set"][0], place, typed)
    assert "folder: 9 images, 3 classes" in typed.said and "folder-small_unet-oreal-max-dominant-s0" in run_ids(place)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sed is POSIX")
def test_a_data_set_is_added_for_good(place, typed):
    for split, part in (("train", NAMES[:7]), ("test", NAMES[7:])):
        tree(place / "survey" / split, "rgb", "label", part, first=1)
    follow(SECTIONS["A data set"][1], place, typed)
    for test in ("data/test_survey.py::", "test_docs.py::test_every_data_set_has_its_card_and_its_parameters[survey]"):
        assert f"PASSED tests/{test}" in typed.said
    assert "survey: 9 images, 3 classes" in typed.said and "survey-small_unet-oreal-max-dominant-s0" in run_ids(place)
    values = (place / "params" / "survey.yaml").read_text(encoding="utf-8")
    assert not re.search(r"params/folder|describe folder|own images", values)


@pytest.mark.slow
def test_a_backbone_of_timm_needs_its_name_only(place, typed):
    follow(SECTIONS["A backbone"][0], place, typed)
    assert "toy-deeplabv3plus_mobilenetv3_small_050-oreal-max-dominant-s0" in run_ids(place)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    "resnext50_32x4d seresnet50 res2net50_14w_8s resnest14d regnety_002 repvgg_a0 efficientnet_b0 mobilenetv2_050 "
    "mobilenetv4_conv_small convnext_atto xception41 mobilevit_xxs".split(),
)
def test_the_kinds_of_backbones_that_the_page_names_can_be_dilated(name):
    check_model(f"deeplabv3plus_{name}", "none")


@pytest.mark.slow
def test_a_network_is_added_for_good(place, typed):
    follow(SECTIONS["A backbone"][1], place, typed)
    assert (
        "PASSED tests/models/test_hypercolumns.py" in typed.said
        and "toy-hypercolumns_pvt_v2_b0-oreal-max-dominant-s0" in run_ids(place)
    )
