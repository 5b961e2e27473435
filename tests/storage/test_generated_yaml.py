"""Whatever stands in a parameter file: it means what PyYAML says, or one sentence tells what is wrong, and where."""

import math

import pytest
import yaml
from generated import FLOATS, LEAVES, NUMBERS, VALUES, every, refusal
from hypothesis import strategies as st

from oreal_lib.config import RunConfig
from oreal_lib.data.readers.folder import read_classes
from oreal_lib.experiments.grid import read_grid
from oreal_lib.storage.yaml_file import parse_yaml, read_yaml
from oreal_lib.types import IGNORE

WORD = st.sampled_from(
    "a b c 1 1.0 0x1 -0 ~ null yes No 1e-4 1.5e+3 .inf -.NaN 0b1 0b_ 1:30 2024-01-02 2024-13-45 2001-12-14t21:59:43.10-05:00 << "
    "'q' \"q\" &a &b *a *b [ ] { } , : - ? | > # --- ... %YAML @ ` \t é \x00 \ufeff \U0001f600".split(" ")
)
PIECES = st.lists(WORD | st.sampled_from([" ", "\n", "\n  ", ": ", "- ", "\r\n"]), max_size=14).map("".join)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=6) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def same(a, b):
    """Equal, NaN included."""
    if isinstance(a, dict) and isinstance(b, dict):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a.items(), b.items(), strict=True))
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


@every(text=PIECES)
def test_any_text_means_what_pyyaml_says_or_is_refused_with_its_place(text):
    found, theirs = [], []
    said = refusal(lambda: found.append(parse_yaml(text, "x.yaml")))
    try:
        theirs.append(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError):
        pass
    assert said is None or said.startswith("x.yaml is not valid YAML")
    assert same(found, theirs) or "stands there twice; keep one" in said


@pytest.mark.parametrize("twice", ["a: 1\na: 2", "{b: {a: 1, a: 1}}", "1: a\n1.0: b", "- a: 1\n  'a': 2"])
def test_a_key_that_stands_twice_is_refused(twice):
    assert "stands there twice; keep one" in refusal(lambda: parse_yaml(twice, "x.yaml"))


@every(value=PLAIN, flow=st.booleans(), unicode=st.booleans())
def test_what_pyyaml_writes_is_read_back(value, flow, unicode):
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=unicode)
    assert same(parse_yaml(text, "x.yaml"), yaml.safe_load(text)) and same(
        parse_yaml(text.encode(), "x.yaml"), yaml.safe_load(text)
    )


# ---- parameters


TOY = read_yaml("toy")
FIELDS = st.sampled_from(sorted(RunConfig.model_fields)) | st.sampled_from(["", "self", "cls", "seeed", "é", "x" * 300])


@every(changes=st.dictionaries(FIELDS, LEAVES | VALUES, min_size=1, max_size=3))
def test_a_config_takes_what_fits_and_names_every_parameter_that_does_not(changes):
    found = []
    said = refusal(lambda: found.append(RunConfig.make(TOY | changes)))
    if said:
        assert any(name in said or repr(name)[:20] in said for name in changes) and len(said) < 4000
    else:
        (config,) = found
        assert (
            config.run_id.startswith(f"{config.dataset}-{config.model}-")
            and RunConfig.make(config.values()).run_id == config.run_id
        )
        assert set(changes) <= set(RunConfig.model_fields)


RUN_VALUES = st.sampled_from([0, 1, "oreal", "random", "mean", "max", ["mean", "max"], [0, 1, 2], [], None, {}, {"a": 1}]) | VALUES
AXES = st.dictionaries(st.sampled_from(["seed", "strategy", "aggregate", "steps", "x"]) | NUMBERS, RUN_VALUES, max_size=3)
GRIDS = st.fixed_dictionaries(
    {},
    optional={
        "base": st.sampled_from(["toy", "table1", "nothing", "", "x" * 300, "a\x00b", "a\nb", "../x"]) | VALUES,
        "runs": st.lists(AXES | LEAVES, max_size=2) | VALUES,
        "grid": AXES | st.lists(AXES, max_size=2) | VALUES,
        "set": AXES | VALUES,
        "only": AXES | VALUES,
        "options": st.dictionaries(st.sampled_from(["oreal", "random", "x"]) | NUMBERS, VALUES, max_size=2) | VALUES,
        "reports": VALUES,
        "data": st.dictionaries(st.sampled_from(["toy", "", "a"]) | NUMBERS, AXES | VALUES, max_size=2) | VALUES,
        "x": VALUES,
    },
)
PLACES = st.sampled_from(["", "@toy", "@a", "@", "\n", "@toy@toy"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("yaml")


@every(grid=GRIDS, place=PLACES)
def test_a_grid_file_is_runs_that_can_be_made_or_refused(folder, grid, place):
    file = folder / "grid.yaml"
    try:
        file.write_text(yaml.safe_dump(grid), encoding="utf-8")
    except ValueError:  # numbers of more digits than Python writes
        return
    found = []
    said = refusal(lambda: found.append(read_grid(f"{file}{place}")))
    if found:
        assert found[0].configs and len({config.run_id for config in found[0].configs}) == len(found[0].configs)
        assert all(config.run_id in {c.run_id for c in found[0].all_runs} for config in found[0].configs)
    else:
        assert said


COLORS = st.lists(st.integers(-1, 256) | FLOATS, min_size=2, max_size=4) | st.just([1, 2, 3]) | LEAVES
ENTRIES = (
    st.text(max_size=3) | st.fixed_dictionaries({"name": st.text(max_size=3)}, optional={"color": COLORS, "x": LEAVES}) | VALUES
)
CLASSES = (
    st.lists(ENTRIES, max_size=4)
    | st.dictionaries(st.text(max_size=3) | NUMBERS, COLORS, max_size=3)
    | st.fixed_dictionaries({"classes": st.lists(ENTRIES, max_size=3) | VALUES}, optional={"void": COLORS | NUMBERS, "x": LEAVES})
    | VALUES
)


@every(given=CLASSES, written=st.booleans())
def test_classes_are_names_with_a_void_that_is_none_of_them_or_refused(folder, given, written):
    home = folder / ("with" if written else "without")
    home.mkdir(exist_ok=True)
    if written:
        try:
            (home / "classes.yaml").write_text(yaml.safe_dump(given, allow_unicode=True), encoding="utf-8")
        except ValueError:  # numbers of more digits than Python writes, halves of characters
            return
        given = None
    elif given is None:
        return
    found = []
    said = refusal(lambda: found.append(read_classes(home, given)))
    if found:
        names, colors, void = found[0]
        assert 1 <= len(set(names)) == len(names) <= 255 and all(isinstance(n, str) and n.strip() for n in names)
        assert void == IGNORE or len(names) <= void <= 65_535
        assert colors is None or sorted(v for v in colors.values() if v != IGNORE) == list(range(len(names)))
    else:
        assert "class" in said
