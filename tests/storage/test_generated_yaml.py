"""Whatever stands in a parameter file: it means what PyYAML says, or one sentence tells what is wrong, and where."""

import math

import pytest
import yaml
from generated import FLOATS, LEAVES, NUMBERS, SEEDS, VALUES, WORDS, every, refusal
from hypothesis import strategies as st

from oreal_lib.config import RunConfig
from oreal_lib.data.readers.folder import read_classes
from oreal_lib.experiments.grid import read_grid
from oreal_lib.storage.yaml_file import MOST_DEPTH, ConfigError, parse_yaml, read_yaml
from oreal_lib.types import IGNORE

WORD = st.sampled_from(
    "a b c 1 1.0 0x1 -0 ~ null yes No 1e-4 1.5e+3 .inf -.NaN 0b1 0b_ 0x_ 1:30 2024-01-02 2024-13-45 2001-12-14t21:59:43.10-05:00 << = "
    '\'q\' "q" "\\ud800" "\\UFFFFFFFF" !!int !!bool !!float !!str !!binary !!set !!timestamp !!python/object:os.system !x !!map '
    "&a &b *a *b [ ] { } , : - ? | > # --- ... %YAML @ ` \t é \x00 \x07 \ufeff \U0001f600".split(" ")
)
PIECES = st.lists(WORD | st.sampled_from([" ", "\n", "\n  ", ": ", "- ", "\r\n", "\u2028"]), max_size=14).map("".join)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=6) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


class Pairs(yaml.SafeLoader):
    """PyYAML as it is, that also says whether a mapping has a key twice."""

    twice = False

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        keys = []
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                special = key.tag.endswith((":merge", ":value"))
                keys.append((key.value,) if special else self.construct_object(key, deep=True))
        self.twice |= len(set(keys)) < len(keys)
        return node


def as_pyyaml(text):
    """What PyYAML makes of a text and whether a key stands there twice; None where it fails, in whatever way."""
    try:
        loader = Pairs(text)
        return loader.get_single_data(), loader.twice
    except Exception:
        return None


def same(a, b):
    """Equal, NaN included."""
    if isinstance(a, dict) and isinstance(b, dict):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a.items(), b.items(), strict=True))
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


def judged(text):
    """What we make of a text, as `as_pyyaml`; the refusal is a ConfigError that names the place."""
    found = []
    said = refusal(lambda: found.append(parse_yaml(text, "x.yaml")))
    if said:
        assert said.startswith("x.yaml ")
        assert "x.yaml is not valid YAML in line " in said or "is no UTF-8 text" in said or "holds the character" in said
        with pytest.raises(ConfigError):
            parse_yaml(text, "x.yaml")
    return found, said


@every(text=PIECES | st.text(max_size=12) | st.binary(max_size=12))
def test_any_text_means_what_pyyaml_says_or_is_refused_with_its_place(text):
    (found, said), theirs = judged(text), as_pyyaml(text)
    if found:
        assert theirs is not None and same(found[0], theirs[0]) and not theirs[1]
    elif theirs is not None:  # only what no person means to write: see `_Loader`
        words = ("twice", "holds the character", "alias", "deep", "digits", "is no str", "no UTF-8")
        assert ("twice" in said) == theirs[1] or any(word in said for word in words[1:])
        assert any(word in said for word in words), said


@every(value=PLAIN, flow=st.booleans(), unicode=st.booleans())
def test_what_pyyaml_writes_is_read_back(value, flow, unicode):
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=unicode)
    assert same(parse_yaml(text, "x.yaml"), yaml.safe_load(text)) and same(
        parse_yaml(text.encode(), "x.yaml"), yaml.safe_load(text)
    )


@every(
    depth=st.integers(1, 100) | st.sampled_from([400, 3000]),
    parts=st.sampled_from([("[", "]"), ("{a: ", "}"), ("[{b: ", "}]"), ("- ", ""), ("? ", ""), ("a:\n", "")]),
)
def test_lists_in_lists_are_read_to_a_depth_and_refused_below_it(depth, parts):
    if parts[0] == "a:\n":
        text = "".join(" " * i + parts[0] for i in range(min(depth, 400)))
    else:
        text = parts[0] * depth + "1" + parts[1] * depth
    found, said = judged(text)
    assert found or "deep" in said or "not valid" in said
    assert bool(found) <= (depth <= MOST_DEPTH)


@every(width=st.integers(1, 12), levels=st.integers(1, 12), merge=st.booleans())
def test_aliases_of_aliases_are_read_up_to_a_size_and_refused_above_it(width, levels, merge):
    text = "a0: &a0 {x: 1}\n"
    for i in range(levels):
        again = ", ".join([f"*a{i}"] * width)
        text += f"a{i + 1}: &a{i + 1} {{'<<': 0, <<: [{again}], y{i}: 2}}\n" if merge else f"a{i + 1}: &a{i + 1} [{again}]\n"
    text = text.replace("'<<': 0, ", "")
    found, said = judged(text)
    if width**levels < 1000:
        assert same(found[0], yaml.safe_load(text))
    elif not merge and width**levels > 200_000:
        assert "aliases stand for more than 100,000 values" in said


@every(
    kind=st.sampled_from(["int", "float", "bool", "timestamp", "binary", "null", "str", "set", "omap", "merge", "x"]),
    text=st.text(max_size=6) | WORDS,
)
def test_a_value_that_is_not_of_its_tag_is_refused(kind, text):
    quoted = yaml.safe_dump(text, default_style='"', allow_unicode=False).strip()
    (found, _), theirs = judged(f"a: !!{kind} {quoted}"), as_pyyaml(f"a: !!{kind} {quoted}")
    assert not found or same(found[0], theirs[0])


@every(digits=st.integers(1, 6000), kind=st.sampled_from(["9", "0xf", "0b1", "017", "1:", "-9", "9.", "1_"]))
def test_numbers_of_thousands_of_digits_are_refused_and_those_of_a_few_are_read(digits, kind):
    text = kind[:2].rstrip("9f1:_") + kind[-1] * digits + "1"
    text = kind * digits + "0" if kind in ("1:", "1_") else text
    (found, said), theirs = judged(text), None
    if found:
        theirs = yaml.safe_load(text)
        assert same(found[0], theirs) and (len(text) < 400 or isinstance(theirs, str))
    else:
        assert "digits" in said


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


@every(changes=st.dictionaries(FIELDS | NUMBERS | FLOATS | st.none() | st.booleans(), st.just(1), min_size=1, max_size=2))
def test_a_key_that_is_no_name_is_refused(changes):
    said = refusal(lambda: RunConfig.make(TOY | changes))
    if any(not isinstance(key, str) for key in changes):
        assert said and "but parameters have names" in said


@every(
    name=st.sampled_from(["data_options", "strategy_options", "pseudo_scales", "seed"]),
    depth=st.sampled_from([1, 40, 100_000]),
    loop=st.booleans(),
)
def test_a_value_without_a_bottom_is_refused(name, depth, loop):
    inner = value = []
    for _ in range(depth):
        value = [value]
    if loop:
        inner.append(value)
    value = {"a": value} if "options" in name else value
    said = refusal(lambda: RunConfig.make(TOY | {name: value}))
    assert said is None or (name in said and len(said) < 1000)
    assert said or ((depth == 40 or depth == 1) and not loop)


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


@every(text=PIECES | st.binary(max_size=10), seed=SEEDS)
def test_a_classes_file_of_any_text_is_read_or_refused_by_its_name(folder, text, seed):
    home = folder / "text"
    home.mkdir(exist_ok=True)
    (home / "classes.yaml").write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    said = refusal(lambda: read_classes(home))
    assert said is None or "classes.yaml" in said
