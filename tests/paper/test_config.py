"""A run is fully described by its config: what is refused, in which words, and what makes a run another run."""

import nbformat
import pytest
import yaml
from click.testing import CliRunner
from papermill.cli import papermill

from oreal_lib.config import RunConfig
from oreal_lib.data import READERS
from oreal_lib.storage.paths import params_root
from oreal_lib.storage.yaml_file import ConfigError, parse_yaml, read_yaml
from oreal_lib.strategies import STRATEGIES


@pytest.mark.parametrize("name", READERS)
def test_every_value_stands_in_the_file(name):
    """Learning rates and epochs are configuration, never code: a data set's file names every field."""
    assert set(read_yaml(name)) == set(RunConfig.model_fields) - {"live"}  # which only labeling uses
    assert RunConfig.from_yaml(name).dataset == name


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"strateggy": "oreal"}, "unknown parameter 'strateggy' = 'oreal'; did you mean 'strategy'?"),
        ({"learning_rate": "1e-4"}, "write it without quotes, 1e-4 as 1.0e-4; with papermill -y 'learning_rate: 1e-4'"),
        ({"seed": "zero"}, "seed is 'zero' (str), but: input should be a valid integer"),
        ({"ema_warmup": 1}, "ema_warmup is 1 (int)"),
        ({"strategy": "orael"}, "strategy is 'orael'"),
        ({"aggregate": "median"}, "choose mean, max, sum, top_"),
        ({"aggregate": "vote"}, "which counts classes"),
        ({"query_size": 5000}, "query_size is 5000 and query_share 0.02, but exactly one decides how much is asked per step"),
        ({"val_share": 1.0}, "less than 1"),
        ({"augment_scale_min": 2.0}, "swap them"),
        ({"drop_contradicted": 0.25, "labeling": "weak"}, "weak labels say for no pixel what it is"),
        ({"learning_rate": float("inf")}, "finite number"),
        ({"seed": 2**64}, "less than 18446744073709551616"),
        ({"width": None}, "height is 96, width is None; give both"),
        ({"superpixel_levels": 99}, "superpixel_levels is 99 (int), but: input should be less than or equal to 12"),
        ({"model": "../x"}, "model is '../x', but a name has only letters"),
        ({"strategy_options": {"nu": float("nan")}}, "strategy_options is nan (float), but: input should be a finite number"),
        (
            {"labeling": "weak", "supervision": "full_dominant"},
            "'full_dominant', which buys no weak labels; write labeling: dom",
        ),
        ({"stage": 2, "supervision": "full_masks"}, "stage is 2, but supervision is 'full_masks', which asks nothing"),
        ({"loss_single": 0.0, "loss_merged": 0.0, "loss_prototypical": 0.0}, "are all 0, so nothing is learned; raise one"),
        ({"pseudo_scales": []}, "pseudo_scales is [] (list), but: list should have at least 1 item"),
        ({"head_factor": 10.0}, "head_factor is 10.0, but small_unet has no backbone to learn slower; write 1.0"),
        ({"temperature": 0.0}, "greater than 0"),
        (
            {"classifier": "cosine", "model": "segmenter_small"},
            "segmenter_small compares unit vectors already; write classifier",
        ),
        (
            {"pseudo_scales": 1.0},
            "pseudo_scales is 1.0 (float), but: input should be a valid list; write [1.0] (in the runs or grid of a grid file, [[1.0]])",
        ),
        ({"val_images": "null"}, "with papermill -y 'val_images: null'"),
        ({"warm_start": "true"}, "with papermill -y 'warm_start: true'"),
        ({"data_options": "{test_share: 0.3}"}, "with papermill -y 'data_options: {test_share: 0.3}'"),
        (
            {"data_root": 7},
            "data_root is 7 (int), but: input should be a valid string; put the text in quotes; with papermill write -r",
        ),
        ({"steps": 32_768}, "steps is 32768 (int), but: input should be less than or equal to 32767"),
    ],
)
def test_a_wrong_value_is_told_with_its_rule_and_remedy(change, sentence):
    with pytest.raises(ConfigError) as error:
        RunConfig.from_yaml("toy", **change)
    assert sentence in str(error.value)


def test_papermill_takes_the_values_as_the_sentences_write_them(tmp_path):
    cell = nbformat.v4.new_code_cell("val_images = 3", metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"language_info": {"name": "python"}}), tmp_path / "a.ipynb")
    values = ["-p", "val_images", "None", "-p", "warm_start", "True", "-y", "pseudo_scales: [1.0, 0.5]"]
    values += ["-y", "data_options: {test_share: 0.3}", "-r", "data_root", "007"]
    arguments = [str(tmp_path / "a.ipynb"), str(tmp_path / "b.ipynb"), "--prepare-only", "-k", "python3", *values]
    said = CliRunner().invoke(papermill, arguments)
    assert said.exit_code == 0, said.output
    exec(nbformat.read(tmp_path / "b.ipynb", 4).cells[1].source, given := {"base": "toy"})
    config = RunConfig.from_notebook({name: value for name, value in given.items() if name != "__builtins__"})
    assert (config.val_images, config.warm_start, config.pseudo_scales) == (None, True, [1.0, 0.5])
    assert (config.data_options, config.data_root) == ({"test_share": 0.3}, "007")


def test_all_mistakes_are_told_at_once():
    with pytest.raises(ConfigError, match=r"seed.*; .*strateggy|strateggy.*; .*seed"):
        RunConfig.from_yaml("toy", seed=-1, strateggy="x")


def test_a_missing_key_is_named():
    values = read_yaml("toy")
    del values["patience"]
    with pytest.raises(ConfigError, match=r"parameters are missing: patience \(1 in all\); add"):
        RunConfig.make(values)


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("a: [1", "not valid YAML"),
        ("- 1", "must hold `key: value` lines"),
        ("# nothing", "holds nothing, but must hold"),
        ("a:\n\tb: 1", "line 2, column 1: .* indent with spaces, not with tabs"),
        ("a: \xe4", "<byte string>.*; save it as UTF-8"),
        ("a: 2024-13-45", "not valid YAML: month must be in 1..12"),
        ("1: a\n1.0: b\n", "line 2, column 1: '1.0' stands there twice; keep one"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, sentence):
    (tmp_path / "bad.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=rf"bad.yaml .*{sentence}") as error:
        read_yaml(tmp_path / "bad.yaml")
    assert "\n" not in str(error.value)


def test_a_notebook_without_a_base_is_told_so():
    with pytest.raises(ConfigError, match="no `base`, which names the file with the other values; write base = 'toy'"):
        RunConfig.from_notebook({"seed": 3})


def test_a_merged_mapping_may_be_overridden():
    assert parse_yaml("a: &a {b: 1, c: 2}\nd: {<<: *a, b: 3}", "here")["d"] == {"b": 3, "c": 2}


def test_a_missing_file_lists_what_there_is():
    with pytest.raises(ConfigError, match=r"no parameter file .*camvid.*toy"):
        read_yaml("tooy")


def test_run_ids_tell_runs_apart_and_machines_do_not_matter():
    toy = RunConfig.from_yaml("toy")
    assert toy.run_id.startswith("toy-small_unet-oreal-max-dominant-s0-")
    assert toy.run_id == RunConfig.from_yaml("toy", threads=2, device="cpu", data_root="/x", checkpoint_seconds=0.0).run_id
    others = [{"seed": 1}, {"aggregate": "mean"}, {"learning_rate": 0.003}, {"data_options": {"scene": "small_tools"}}]
    assert len({RunConfig.from_yaml("toy", **o).run_id for o in others} | {toy.run_id}) == 5


def test_random_has_one_id_whatever_the_aggregation():
    a, b = (RunConfig.from_yaml("toy", strategy="random", aggregate=how) for how in ("mean", "max"))
    assert a.run_id == b.run_id and "random-dominant" in a.run_id
    assert len({RunConfig.from_yaml("toy", strategy=s).step_one.run_id for s in STRATEGIES}) == 1  # the first query is the seed's
    assert RunConfig.from_yaml("toy", supervision="full_masks", strategy="oreal").run_id.startswith("toy-small_unet-full_masks-")


def test_what_a_run_does_not_use_is_not_in_its_id():
    def ids(base, *changes):
        return [RunConfig.from_yaml("toy", **base | change).run_id for change in ({}, *changes)]

    weak = ({"label_trim": 0}, {"undefined": "keep"}, {"loss_merged": 1.0})
    two = ({"stage_two_learning_rate": 0.1}, {"pseudo_scales": [0.5, 1.0]}, {"pseudo_flip": True})
    cut, temperature = {"click_cut": "order"}, {"temperature": 1.0}
    assert len(set(ids({}, {"stage": 2}))) == 2 and len(set(ids({"stage": 2}, *weak, cut))) == 1
    assert len(set(ids({}, *weak, *two, cut, temperature))) == 1  # dominant labels, a linear classifier
    assert len(set(ids({"labeling": "weak"}, *two, temperature))) == 1
    assert len(set(ids({"labeling": "weak"}, *weak, cut, {"stage": 2}, {"classifier": "cosine"}))) == 7
    assert len(set(ids({"labeling": "weak", "strategy": "bvsb"}, cut))) == 1  # only OREAL asks by class
    assert len(set(ids({"labeling": "weak", "stage": 2, "classifier": "cosine"}, *weak, *two, cut, temperature))) == 9


def test_stage_two_knows_its_stage_one():
    weak = {"labeling": "weak", "classifier": "cosine", "keep_weights": "last"}
    two = RunConfig.from_yaml("toy", **weak, stage=2, pseudo_flip=True, stage_two_learning_rate=0.1)
    assert two.stage_one.run_id == RunConfig.from_yaml("toy", **weak).run_id != two.run_id
    assert "-oreal-max-weak-s0-" in two.stage_one.run_id and "-oreal-max-weak2-s0-" in two.run_id
    assert two.stage_one.keep_weights == "all"


def test_a_config_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        RunConfig.from_yaml("toy").seed = 3


def test_a_notebook_overrides_its_base_file_and_a_typo_stops():
    namespace = {"base": "toy", "strategy": "bvsb", "seed": 4, "In": [], "Out": {}, "_i": "x", "runs_dir": None, "np": yaml}
    config = RunConfig.from_notebook(namespace)
    assert (config.strategy, config.seed, config.aggregate) == ("bvsb", 4, "max")
    with pytest.raises(ConfigError, match="did you mean 'strategy'"):
        RunConfig.from_notebook(namespace | {"stratgy": "oreal"})


def test_a_recipe_has_no_prefix():
    assert RunConfig.from_yaml("toy").superpixel_recipe["count"] == 200 and params_root().is_dir()
