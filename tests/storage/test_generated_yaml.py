"""Whatever stands in a parameter file: it means what PyYAML says, or one sentence tells what is wrong, and where."""

import math
from contextlib import suppress

import yaml
from generated import LEAVES, NUMBERS, VALUES, every, refusal
from hypothesis import strategies as st

from oreal_lib.config import RunConfig
from oreal_lib.experiments.grid import read_grid
from oreal_lib.storage.yaml_file import parse_yaml, read_yaml

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


WRITTEN = st.builds(yaml.safe_dump, PLAIN, default_flow_style=st.booleans(), allow_unicode=st.booleans())


@every(text=PIECES | WRITTEN, encoded=st.booleans())
def test_any_text_means_what_pyyaml_says_or_is_refused_with_its_place(text, encoded):
    found, theirs, text = [], [], text.encode() if encoded else text
    said = refusal(lambda: found.append(parse_yaml(text, "x.yaml")))
    with suppress(yaml.YAMLError, ValueError):
        theirs.append(yaml.safe_load(text))
    assert said is None or said.startswith("x.yaml is not valid YAML")
    assert same(found, theirs) or "stands there twice; keep one" in said


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
        assert config.run_id.startswith(f"{config.dataset}-{config.model}-")
        assert RunConfig.make(config.values()).run_id == config.run_id
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


@every(grid=GRIDS, place=PLACES)
def test_a_grid_file_is_runs_that_can_be_made_or_refused(tmp_path_factory, grid, place):
    file = tmp_path_factory.getbasetemp() / "grid.yaml"
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
