"""What the README says must be so."""

import os
import re
import subprocess
import sys

import pytest
import yaml
from test_end_to_end import TINY

from oreal_lib.config import RunConfig
from oreal_lib.data import READERS
from oreal_lib.storage.paths import home
from oreal_lib.storage.yaml_file import read_yaml

README = (home() / "README.md").read_text(encoding="utf-8")


def test_the_loop_in_the_readme_runs_as_printed(tmp_path):
    """Only the data set's name is exchanged, for one that is small."""
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", README, re.S) if "fit(" in block)
    assert 'from_yaml("toy")' in code
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(read_yaml("toy") | TINY))
    (tmp_path / "loop.py").write_text(code.replace('"toy"', repr(str(tmp_path / "tiny.yaml"))))
    environment = os.environ | {"OREAL_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "loop.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    steps = [line.split() for line in done.stdout.splitlines() if re.fullmatch(r"\d+ \d+ 0\.\d+", line)]
    assert [s[0] for s in steps] == ["1", "2"] and int(steps[1][1]) == 2 * int(steps[0][1])


PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((home() / "docs").glob("*.md")))]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    links = set(re.findall(r"\]\((?!http|#)([^)#]+)", (home() / page).read_text(encoding="utf-8")))
    assert links and not [link for link in links if not ((home() / page).parent / link).exists()]


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_left_to_be_filled_in(page):
    assert not re.search(r"\{[A-Z]{3,}\}|\bXX", (home() / page).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", READERS)
def test_every_data_set_has_its_card_and_its_parameters(name):
    cards = (home() / "docs" / "data_cards.md").read_text(encoding="utf-8")
    assert f"[`{name}`](#" in cards and f"oreal_lib data check {name}" in cards and f"-f params/{name}.yaml" in cards
    assert RunConfig.from_yaml(name).dataset == name and f"`{name}`" in README
