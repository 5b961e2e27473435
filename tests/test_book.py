"""The book: pages that need nothing from elsewhere, and faults that are told instead of printed."""

import json
import re

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from oreal_lib import book
from oreal_lib.pages import write_pages
from oreal_lib.paths import home

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A function that writes a small project and its pages; (problems, folder of the pages)."""

    def make(readme, cells=(), files=None):
        root = tmp_path / "project"
        for name, text in ({"README.md": readme, "docs/book.css": "body {}"} | (files or {})).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        (root / "notebooks").mkdir(exist_ok=True)
        nbformat.write(new_notebook(cells=list(cells)), root / "notebooks" / "00.ipynb")
        monkeypatch.setenv("OREAL_HOME", str(root))
        out = tmp_path / "out"
        out.mkdir()
        return write_pages({"notebooks/00.ipynb": root / "notebooks" / "00.ipynb"}, out), out

    return make


def page(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def test_links_between_pages_lead_to_the_pages(project):
    readme = (
        "# Start\n\n[one](notebooks/00.ipynb) [values](params/a.yaml) [far](docs/b.md#the-second-part) [out](https://example.org)"
    )
    files = {
        "params/a.yaml": "x: 1",
        "docs/b.md": "# B\n\n## The second part\n\n[back](../README.md) ![p](p.png)",
        "docs/p.png": "p",
    }
    problems, out = project(readme, [new_markdown_cell("# Zero\n\n[home](../README.md)")], files)
    assert problems == []
    links = [a["href"] for a in page(out / "index.html").find_all("a")]
    assert links[-4:] == ["notebooks/00.html", "params/a.yaml.html", "docs/b.html#the-second-part", "https://example.org"]
    assert page(out / "docs" / "b.html").find("img")["src"] == "../docs/p.png" and (out / "docs" / "p.png").is_file()
    assert [a["href"] for a in page(out / "notebooks" / "00.html").find_all("a")] == ["../index.html", "../index.html"]


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("[a](nowhere.md)", "README.md: nowhere.md leads nowhere"),
        ("[a](../../etc/passwd)", "../../etc/passwd leads nowhere"),
        ("![a](figures/no.png)", "figures/no.png leads nowhere"),
        ("[a](#missing)", "README.md#missing is no heading there"),
        ("![a](https://example.org/a.png)", "img loads https://example.org/a.png from elsewhere"),
        ('<script src="https://example.org/a.js"></script>', "script loads https://example.org/a.js from elsewhere"),
        ("so that $H = -\\sum_c p_c$ is", "a formula between dollars"),
    ],
)
def test_faults_are_told(project, text, sentence):
    problems, _ = project(f"# Start\n\n{text}")
    assert len(problems) == 1 and sentence in problems[0]


def test_a_notebook_shows_its_pictures_and_solutions_and_no_widget(project):
    outputs = [
        new_output("display_data", {"image/png": PNG}),
        new_output("display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "a widget"}),
        new_output("stream", name="stderr", text="a warning"),
    ]
    solution = "<details><summary>Solution</summary>\n\n```python\nx = 1\n```\n\n</details>"
    problems, out = project(
        "# Start\n\n[a](notebooks/00.ipynb)", [new_code_cell("x", outputs=outputs), new_markdown_cell(solution)]
    )
    shown = page(out / "notebooks" / "00.html")
    assert problems == [] and shown.find("img")["src"].startswith("data:image/png;base64,")
    assert "a widget" not in shown.get_text() and "a warning" not in shown.get_text()
    assert shown.find("details").find("pre").get_text().strip() == "x = 1"


def test_the_stored_notebooks_and_every_page_of_the_project_make_a_book_without_faults(tmp_path):
    stored = {f"notebooks/{path.name}": path for path in sorted((home() / "notebooks").glob("*.ipynb"))}
    assert write_pages(stored, tmp_path) == []
    for name in stored:
        assert page((tmp_path / name).with_suffix(".html")).find("h1")
    for path in tmp_path.rglob("*.html"):
        html = path.read_text(encoding="utf-8")
        assert "<script" not in html and not re.search(r'src="(?!data:)[a-z]*:|<link[^>]*href="[a-z]*:|url\(', html), path


def test_the_book_executes_every_notebook_there_is():
    assert {item["notebook"] for item in book.plan() if "notebook" in item} == {
        p.stem for p in (home() / "notebooks").glob("*.ipynb")
    }


def test_the_tables_of_notebooks_are_those_measured_last():
    times = json.loads((home() / "docs" / "notebooks.json").read_text(encoding="utf-8"))
    readme = (home() / "README.md").read_text(encoding="utf-8")
    assert book.between(book.between(readme, "notebooks", book.table(times, "notebooks/")), "table1", book.table1()) == readme
    first = nbformat.read(home() / "notebooks" / "00_start_here.ipynb", as_version=4)
    assert any(book.table(times, "") in cell.source for cell in first.cells)


def test_no_lesson_took_three_minutes_when_it_was_measured_last():
    times = json.loads((home() / "docs" / "notebooks.json").read_text(encoding="utf-8"))["notebooks"]
    lessons = {name: about["seconds"] for name, about in times.items() if name.startswith("0")}
    assert len(lessons) >= 8 and max(lessons.values()) < 180, lessons


def test_a_tiny_book_is_executed_timed_and_written(tmp_path, monkeypatch, capsys):
    place = tmp_path / "home"
    for name in ("notebooks", "params", "docs", "figures"):
        (place / name).mkdir(parents=True)
    cells = [new_markdown_cell("# What is one and one?\n\n<!-- notebooks -->\n<!-- /notebooks -->")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells += [new_code_cell("a = 1", metadata={"tags": ["parameters"]}), new_code_cell("print(a + 1)")]
    nbformat.write(new_notebook(cells=cells, metadata=kernel), place / "notebooks" / "00_start_here.ipynb")
    (place / "docs" / "book.yaml").write_text("- {notebook: 00_start_here, parameters: {a: 4}}")
    (place / "docs" / "book.css").write_text("body {}")
    (place / "README.md").write_text("# Start\n\n<!-- notebooks --><!-- /notebooks -->\n\n<!-- table1 --><!-- /table1 -->\n")
    (place / "figures" / "table1_toy_table1.md").write_text("**toy**\n\n*the setting*\n\n| a |\n|---|\n| 1 |\n\nnotes\n")
    monkeypatch.setenv("OREAL_HOME", str(place))
    assert book.main(["--jobs", "1"]) == 0, capsys.readouterr().err
    times = json.loads((place / "docs" / "notebooks.json").read_text())
    assert times["notebooks"]["00_start_here"]["parameters"] == {"a": 4} and times["notebooks"]["00_start_here"]["seconds"] > 0
    assert "[`00_start_here`](notebooks/00_start_here.ipynb) | What is one and one? |" in (place / "README.md").read_text()
    assert "5" in page(place / "book" / "notebooks" / "00_start_here.html").find(class_="output").get_text()
    assert "<!-- table1 -->\n*the setting*\n\n| a |\n|---|\n| 1 |\n<!-- /table1 -->" in (place / "README.md").read_text()
    (place / "README.md").write_text("# Start\n\n[a](nowhere.md)\n")
    assert book.main(["html"]) == 1 and "nowhere.md leads nowhere" in capsys.readouterr().err
