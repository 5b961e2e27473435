"""The site: complete, without a dead link, and with nothing from elsewhere; and the tables on pages are those of the files."""

import json
import re
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import conf
import manifest
import nbformat
import pytest
import tables
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_notebook
from sphinx.errors import ExtensionError

from oreal_lib.experiments.grid import read_grid
from oreal_lib.storage.paths import home

NOTEBOOKS = sorted(path.stem for path in (home() / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
def test_every_page_has_a_heading_and_every_link_and_picture_leads_somewhere(book):
    pages = {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in book.rglob("*.html")}
    assert {f"notebooks/{name}.html" for name in NOTEBOOKS} < {path.relative_to(book).as_posix() for path in pages}
    anchors = {path: {tag["id"] for tag in page.find_all(id=True)} for path, page in pages.items()}
    dead = []
    for path, page in pages.items():
        assert page.find("h1") or path.name in ("index.html", "search.html"), path
        for tag in page.find_all(["a", "img", "script", "link", "source", "video", "iframe"]):
            address = urlsplit(tag.get("href") or tag.get("src") or "")
            if tag.name == "a" and address.scheme:
                continue
            at = (path.parent / unquote(address.path)).resolve() if address.path else path
            whole = address.scheme in ("", "data") and not address.netloc and (address.scheme or at.is_file())
            if not whole or (address.fragment and at in anchors and unquote(address.fragment) not in anchors[at]):
                dead.append(f"{path.relative_to(book)}: {tag.name} {address.geturl()[:80]}")
        for tag in page.find_all(["code", "pre", "dt", "script", "style"]):
            tag.decompose()
        assert "|---" not in page.get_text(), path  # a table that was not made one
        assert not re.search(r"\$[^$\n]*[\\_^{][^$\n]*\$", page.get_text()), path  # a formula, which would need a script to be read
    assert not dead


@pytest.mark.slow
def test_the_fifteen_files_have_their_place_on_the_page_of_the_library(book):
    page = BeautifulSoup((book / "docs" / "api.html").read_text(encoding="utf-8"), "html.parser")
    readme = BeautifulSoup((book / "README.html").read_text(encoding="utf-8"), "html.parser")
    assert len(conf.CORE) == 15 and "OREAL Eq. 3" in page.find(id="oreal_lib.balance.class_debt").parent.get_text()
    for module in conf.CORE:
        assert page.find(id=f"module-{module}") and readme.find("a", href=f"docs/api.html#module-{module}"), module
    assert "Alias for field" not in page.get_text()


def test_a_notebook_is_executed_in_the_home_of_the_site_and_not_again(tmp_path, monkeypatch):
    for name in ("notebooks", "params", "figures", "workflow"):
        (tmp_path / name).mkdir()
    code = "import os, pathlib; f = pathlib.Path(os.environ['OREAL_HOME'], 'told'); f.write_text(f.read_text() + '1' if f.exists() else '1')"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=[new_code_cell(code)], metadata=kernel), tmp_path / "notebooks" / "one.ipynb")
    began, timed = [], []
    monkeypatch.setattr(conf, "ROOT", tmp_path)
    monkeypatch.setattr(conf, "timed", lambda cache: timed.extend(r.data["execution_seconds"] for r in cache.list_cache_records()))
    monkeypatch.setattr(conf.subprocess, "run", lambda words, **how: began.append(words[-1]))
    app = SimpleNamespace(
        config=SimpleNamespace(nb_execution_mode="cache", nb_execution_cache_path=str(tmp_path / "book" / "cache" / "a"))
    )
    (tmp_path / "book" / "cache" / "of another library").mkdir(parents=True)
    for _ in range(2):
        conf.execute(app)
    assert (tmp_path / "book" / "home" / "told").read_text() == "1" and began == ["lessons"] and len(timed) == 1 and timed[0] > 0
    assert [path.name for path in (tmp_path / "book" / "cache").iterdir()] == ["a"]
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")], metadata=kernel), tmp_path / "notebooks" / "two.ipynb")
    with pytest.raises(ExtensionError, match=r"(?s)two.ipynb.*ZeroDivisionError"):
        conf.execute(app)


def test_what_the_notebooks_show_belongs_to_this_library(tmp_path, monkeypatch):
    monkeypatch.setattr(conf, "ROOT", tmp_path)
    (tmp_path / "oreal_lib").mkdir()
    seen = set()
    for text in ("a = 1", "a = 2"):
        (tmp_path / "oreal_lib" / "a.py").write_text(text)
        seen |= {conf._fingerprint(), conf._fingerprint()}
    assert len(seen) == 2


def test_a_docstring_keeps_its_lines_and_its_stars():
    lines = ["What *it* is.", "", "a: (N,) int, of `b*`", "    and more.", "b: 2_x"]
    conf.plain(None, "function", "f", None, None, lines)
    assert lines == [r"| What \*it\* is.", "|", r"| a: (N,) int, of ``b*`` and more.", r"| b: 2\_x", ""]


def test_the_tables_on_pages_are_those_of_the_files():
    for page, name, table in tables.tables(json.loads((home() / "docs" / "notebooks.json").read_text(encoding="utf-8"))):
        assert tables.filled(page, name, table) == (home() / page).read_text(encoding="utf-8"), page
    with pytest.raises(ValueError, match="the page has no <!-- x -->"):
        tables.between("", "x", "")


def test_every_file_of_figures_has_its_command_in_the_manifest():
    found = manifest.entries()
    assert json.loads((home() / "docs" / "manifest.json").read_text(encoding="utf-8")) == found, "run python docs/tables.py"
    files = {p.name for p in (home() / "figures").iterdir() if p.is_file() and p.suffix != ".json"}
    assert {name for entry in found.values() for name in entry["files"]} == files
    for entry in found.values():
        assert entry["notebook"] in (grid := read_grid(entry["grid"])).reports, entry
        assert 0 < entry["runs"] <= len(grid.all_runs), entry


def test_no_lesson_took_three_minutes_when_it_was_measured_last():
    seconds = json.loads((home() / "docs" / "notebooks.json").read_text(encoding="utf-8"))["seconds"]
    assert {name for name in NOTEBOOKS if name.startswith("0")} <= set(seconds)
    assert max(value for name, value in seconds.items() if name.startswith("0")) < 180
