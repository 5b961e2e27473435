"""The article: every number in it is looked up in a file, and every figure and table says where it comes from."""

import json
import re
import shutil

import pandas as pd
import pytest
import typst

from oreal_lib.storage.paths import home

TEXT = "docs/article/article.typ"
LOOKUPS = r"value|gain|says|text-of|setting|seeds|counted|picture|import"


def without_lookups(text):
    """The words of the article alone: no comments, formulas, references, or calls that look a number up."""
    text = re.sub(r"//.*|\$[^$]*\$|@[\w-]+|<[\w-]+>", "", text)
    kept, at = "", 0
    for call in re.finditer(rf"#({LOOKUPS})\(", text):
        if call.start() < at:
            continue
        depth, end = 1, call.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        said = " ".join(re.findall(r"\[([^\]]*)\]", text[call.end() : end]))  # content among the arguments is text
        kept, at = f"{kept}{text[at : call.start()]} {said} ", end
    return kept + text[at:]


def typed(text):
    """The numbers that are typed in a text: digits that no letter stands before. An interval's 95 % is a name."""
    return re.findall(r"(?<![A-Za-z\d])\d[\d.,]*", without_lookups(text).replace("95 %", ""))


def queried(root, label):
    return [found["value"] for found in json.loads(typst.query(str(root / TEXT), f"<{label}>", root=str(root)))]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A copy of all that the article is made from."""
    root = tmp_path_factory.mktemp("article")
    for folder in ("docs", "params"):
        shutil.copytree(home() / folder, root / folder)
    shutil.copytree(home() / "figures", root / "figures", ignore=shutil.ignore_patterns("runs"))
    return root


def test_no_number_is_typed():
    assert typed((home() / TEXT).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    ["gains 1.6 points", "#strong[3]", '#value("a", (b: "1"), "c") and 4', "on 5 seeds $x_1$", '#says("a", (:), [by 7], [], [])'],
)
def test_a_typed_number_is_found(text):
    assert len(typed(text)) == 1


def test_it_compiles_to_six_to_eight_pages(place):
    typst.compile(str(place / TEXT), root=str(place), output=str(place / "{p}.png"), format="png", ppi=20)
    assert 6 <= len(list(place.glob("*.png"))) <= 8


def test_what_is_printed_is_what_the_file_has(place):
    found = queried(place, "from-file")
    assert len(found) > 60
    for about in found:
        assert (home() / about["file"]).is_file()
        if isinstance(about["shown"], str) and about["file"].endswith(".csv") and re.fullmatch(r"[−+]?[\d.]+", about["shown"]):
            table = pd.read_csv(home() / about["file"], dtype=str, keep_default_na=False)
            rows = table[(table[list(about["where"])] == pd.Series(about["where"])).all(axis=1)]
            value = len(rows) if about["column"] == "rows" else float(rows[about["column"]].item())
            assert abs(float(about["shown"].replace("−", "-")) - value) <= 0.05 + 1e-9, about


def test_another_number_in_the_file_is_another_in_the_article(place):
    file = place / "figures" / "table1_toy_table1.csv"
    before, text = queried(place, "from-file"), file.read_text(encoding="utf-8")
    table = pd.read_csv(file, dtype=str)
    table.loc[(table.strategy == "oreal") & (table.aggregation == "max"), "value"] = "12.34"
    table.to_csv(file, index=False)
    after = queried(place, "from-file")
    file.write_text(text, encoding="utf-8")
    changed = [new["shown"] for old, new in zip(before, after, strict=True) if old != new]
    assert changed == ["12.3"]


def test_every_figure_and_table_names_notebook_grid_and_commit(place):
    manifest = json.loads((home() / "docs" / "manifest.json").read_text(encoding="utf-8"))
    figures = json.loads(typst.query(str(place / TEXT), "figure", root=str(place)))
    sources = queried(place, "source")
    assert len(figures) >= 8 and len(sources) >= len(figures)
    for source in sources:
        about = manifest[source]
        assert (home() / "notebooks" / f"{about['notebook']}.ipynb").is_file() and about["commits"] and about["runs"]
        assert (home() / "params" / f"{about['grid'].partition('@')[0]}.yaml").is_file()
