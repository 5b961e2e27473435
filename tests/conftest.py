"""The smallest data on which a whole run can be watched: 16 toy scenes of 32x32 pixels in 16 squares each, three steps.

And how tests by generation (`generated.every`) are run: few cases, always the same, or with OREAL_EXAMPLES=3000 that many new ones
each, of which OREAL_SEED repeats those of an earlier run. OREAL_CASES_FILE names a file for {test: cases that held}.
"""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import pytest
from tiny import TINY, TOY

from oreal_lib.config import RunConfig
from oreal_lib.data import load_dataset, open_store
from oreal_lib.experiments.grid import read_grid
from oreal_lib.experiments.run import run
from oreal_lib.superpixels import SuperpixelRecipe

EXAMPLES = os.environ.get("OREAL_EXAMPLES", "")
SEED = os.environ.setdefault("OREAL_SEED", str(secrets.randbelow(2**32)) if EXAMPLES else "0")  # the processes of xdist inherit it
if not (EXAMPLES.isdecimal() or not EXAMPLES) or not SEED.isdecimal():
    raise pytest.UsageError(
        f"OREAL_EXAMPLES is {EXAMPLES!r} and OREAL_SEED {SEED!r}, but they are whole numbers; fix or unset them"
    )
COMMON = {"deadline": None, "database": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("default", derandomize=True, max_examples=25, **COMMON)
hypothesis.settings.register_profile("torture", max_examples=int(EXAMPLES or 1), **COMMON)
hypothesis.settings.load_profile("torture" if EXAMPLES else "default")
CASES: dict[str, int] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Notes how many generated cases of a test held; a report carries the note from a process of xdist to the one that writes."""
    try:
        return (yield)
    finally:
        if counted := sys.modules.get("generated"):
            item.user_properties.append(("cases", counted.HELD.pop(item.nodeid.partition("[")[0].split("::")[-1], 0)))


def pytest_runtest_logreport(report):
    """Adds the cases of a test to those of its file."""
    if report.when == "call" and (cases := dict(report.user_properties).get("cases")):
        CASES[report.nodeid] = cases


def pytest_terminal_summary(terminalreporter):
    """Says how to repeat what was generated."""
    if CASES and EXAMPLES:
        terminalreporter.write_line(
            f"{sum(CASES.values()):,} generated cases held; OREAL_EXAMPLES={EXAMPLES} OREAL_SEED={SEED} repeats them"
        )


def pytest_sessionfinish(session):
    """Writes the number of cases of each test, where a file for it is named."""
    if (file := os.environ.get("OREAL_CASES_FILE")) and not hasattr(session.config, "workerinput"):
        Path(file).write_text(json.dumps(CASES, indent=1) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def tiny_config():
    """A function: the tiny config with some values changed. Its pool is 6 images of 16 superpixels, 8 asked per step."""
    return lambda **changes: RunConfig.from_yaml(TOY, **(TINY | changes))


@pytest.fixture(scope="session")
def tiny_store(tiny_config, tmp_path_factory):
    """The folder of the tiny config's prepared data."""
    config, root = tiny_config(), tmp_path_factory.mktemp("prepared")
    recipe = SuperpixelRecipe(**config.superpixel_recipe)
    load_dataset("toy", height=32, width=32, recipe=recipe, options=config.data_options, store_root=root, workers=1)
    return next(path for path in root.iterdir() if path.is_dir())


@pytest.fixture
def tiny(tiny_store):
    """The tiny config's Dataset."""
    return open_store(tiny_store)


@pytest.fixture(scope="session")
def tiny_grid(tiny_config, tiny_store, tmp_path_factory):
    """A home with six finished runs of 32 x 32 pixels that kept their networks: home, file (their grid), runs_dir, configs.

    Read only. Full supervision A and B, random, BvSB by mean and by max, OREAL by max. Set OREAL_HOME to `home` to read their data.
    """
    home = tmp_path_factory.mktemp("tiny_grid")
    (home / "data").mkdir()
    (home / "data" / "prepared").symlink_to(tiny_store.parent)
    for name in ("params", "notebooks"):
        (home / name).symlink_to(TOY.parents[1] / name)
    entries = [{"supervision": ["full_dominant", "full_masks"]}, {"strategy": "random"}]
    entries += [{"strategy": "bvsb", "aggregate": ["mean", "max"]}, {"strategy": "oreal", "aggregate": "max"}]
    grid = {"base": str(TOY), "set": TINY | {"keep_weights": "all"}, "runs": entries}
    (home / "tiny.yaml").write_text(json.dumps(grid), encoding="utf-8")
    configs = read_grid(home / "tiny.yaml").configs
    for config in configs:
        list(run(config, home / "runs", open_store(tiny_store)))
    return SimpleNamespace(home=home, file=home / "tiny.yaml", runs_dir=home / "runs", configs=configs)


@pytest.fixture(scope="session")
def book(tmp_path_factory):
    """The folder of the site, with the outputs that are stored in the notebooks."""
    root, out = Path(__file__).resolve().parent.parent, tmp_path_factory.mktemp("book") / "html"
    words = ["-q", "-W", "--keep-going", "-D", "nb_execution_mode=off", "-c", root / "docs", root, out]
    done = subprocess.run([sys.executable, "-m", "sphinx", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out
