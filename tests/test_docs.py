"""What the pages say must be so."""

import re

import pytest
import yaml
from tiny import TINY

from oreal_lib.config import RunConfig
from oreal_lib.data import READERS
from oreal_lib.storage.paths import home
from oreal_lib.storage.yaml_file import read_yaml

PAGES = {
    p.relative_to(home()).as_posix(): p.read_text(encoding="utf-8")
    for folder in ("", "docs/", "notebooks/")
    for p in home().glob(folder + "*.md")
}
README = PAGES["README.md"]


def test_the_loop_in_the_readme_runs_as_printed(tmp_path, monkeypatch, capsys):
    """Only the data set's name is exchanged, for one that is small."""
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", README, re.S) if 'from_yaml("toy"' in block)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(read_yaml("toy") | TINY | {"steps": 2}))
    monkeypatch.setenv("OREAL_HOME", str(tmp_path))
    exec(code.replace('"toy"', repr(str(tmp_path / "tiny.yaml"))), {"__name__": "__main__"})
    steps = re.findall(r"^(\d+) (\d+) 0\.\d+$", capsys.readouterr().out, re.M)
    assert steps == [("1", "8"), ("2", "16")]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    links = set(re.findall(r"\]\((?!http|#)([^)#]+)", PAGES[page]))
    assert not [link for link in links if not ((home() / page).parent / link).exists()]


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_left_to_be_filled_in(page):
    assert not re.search(r"\{[A-Z]{3,}\}|\bXX", PAGES[page])


@pytest.mark.parametrize("name", READERS)
def test_every_data_set_has_its_card_and_its_parameters(name):
    cards = PAGES["docs/data_cards.md"]
    assert f"[`{name}`](#" in cards and f"oreal_lib data check {name}" in cards and f"-f params/{name}.yaml" in cards
    assert RunConfig.from_yaml(name).dataset == name and f"`{name}`" in PAGES["docs/reproduce.md"]
