"""The book: pages that need nothing from elsewhere, and faults that are told instead of printed."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from oreal_lib.__main__ import main
from oreal_lib.reports import book
from oreal_lib.reports.pages import write_pages
from oreal_lib.storage.paths import home

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A function that writes a small project and its pages; (problems, folder of the pages)."""

    def make(readme, cells=(), files=None):
        root = tmp_path / "project"
        for name, text in ({"README.md": readme, "docs/book.css": "body {}"} | (files or {})).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        (root / "notebooks").mkdir(exist_ok=True)
        state = {"widgets": {"application/vnd.jupyter.widget-state+json": {"state": {}, "version_major": 2, "version_minor": 0}}}
        nbformat.write(new_notebook(cells=list(cells), metadata=state), root / "notebooks" / "00.ipynb")
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
        ('<video poster="//example.org/a.png"></video>', "video loads //example.org/a.png from elsewhere"),
        ('<object data="https://example.org/a.svg"></object>', "object loads https://example.org/a.svg from elsewhere"),
        ("![a](docs)", "docs leads nowhere"),
        ("# Dup\n\n## Dup\n\n[a](#dup-2)", "README.md#dup-2 is no heading there"),
    ],
)
def test_faults_are_told(project, text, sentence):
    problems, _ = project(f"# Start\n\n{text}")
    assert len(problems) == 1 and sentence in problems[0]


def test_what_is_no_text_is_copied_as_it_is(project):
    files = {"a.zip": b"PK\xff", "b.bin": b"a\0b", "c.jpeg": b"\xff\xd8", "D.PNG": b"\x89PNG", "e.pdf": b"%PDF"}
    problems, out = project("# Start\n\n" + "".join(f"[a]({name}) " for name in files), files=files)
    assert problems == [] and {name: (out / name).read_bytes() for name in files} == files
    assert [a["href"] for a in page(out / "index.html").find_all("a")][1:] == list(files)


def test_headings_of_one_name_are_told_apart_as_on_github(project):
    text = "# Dup\n\n## Dup\n\n## Dup!\n\n## Dup 1\n\n<a id='own'></a>\n\n## Own\n\n## ?"
    problems, out = project(text + "".join(f"\n\n[a](#{a})" for a in ("dup", "dup-1", "dup-2", "dup-1-1", "own", "top")))
    ids = [tag["id"] for tag in page(out / "index.html").find_all(id=True)]
    assert problems == [] and ids == ["dup", "dup-1", "dup-2", "dup-1-1", "own"]


def test_addresses_are_read_as_a_browser_reads_them(project):
    files = {
        "docs/b.md": "# B\n\n<a name='here'></a>",
        "docs/h#x.md": "# H",
        "docs/100%.md": "# W\n\n[b](/docs/b.md)",
        "docs/p.png": "p",
    }
    links = "[a](docs/b.md?plain=1#here) [a](docs/h%23x.md) [a](docs/100%25.md)"
    problems, out = project(f"# Start\n\n{links} ![p](docs/p.png)", files=files)
    start = page(out / "index.html")
    assert problems == [] and (out / "docs" / "100%.html").is_file() and (out / "docs" / "p.png").is_file()
    assert [a["href"] for a in start.find_all("a")][1:] == ["docs/b.html#here", "docs/h%23x.html", "docs/100%25.html"]
    assert page(out / "docs" / "100%.html").find_all("a")[-1]["href"] == "../docs/b.html"


def test_two_files_that_would_become_one_page_are_told_and_the_first_is_kept(project):
    files = {"docs/a.md": "# One", "docs/a": "two", "b.txt": "three", "B.txt.md": "# Four", "index.md": "# Five"}
    problems, out = project("# Start\n\n" + "".join(f"[a]({name}) " for name in files), files=files)
    assert problems == [
        "docs/a and docs/a.md would both become docs/a.html; rename one of them",
        "B.txt.md and b.txt would both become B.txt.html; rename one of them",
        "index.md and README.md would both become index.html; rename one of them",
    ]
    assert page(out / "index.html").h1.get_text() == "Start" and page(out / "docs" / "a.html").h1.get_text() == "One"


def test_an_empty_markdown_cell_is_no_obstacle(project):
    problems, out = project("# Start", [new_markdown_cell("# Zero"), new_markdown_cell("")])
    assert problems == [] and page(out / "notebooks" / "00.html").h1.get_text() == "Zero"


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


@pytest.mark.slow
def test_the_stored_notebooks_and_every_page_of_the_project_make_a_book_without_faults(tmp_path):
    stored = {f"notebooks/{path.name}": path for path in sorted((home() / "notebooks").glob("*.ipynb"))}
    assert write_pages(stored, tmp_path) == []
    for name in stored:
        assert page((tmp_path / name).with_suffix(".html")).find("h1")
    for path in tmp_path.rglob("*.html"):
        html = path.read_text(encoding="utf-8")
        assert not re.search(r'<script|<iframe|\bon\w+="|srcset=|@import|url\(|src="(?!data:)[a-z]*:|<link[^>]*href="[a-z]*:', html)
        text = re.sub(r"(?s)<(pre|code|style)\b.*?</\1>", "", html)
        assert not re.search(r"\$[^$\n]*[\\_^{][^$\n]*\$", text), path  # a formula, which would need a script to be read


def test_the_book_executes_every_notebook_there_is():
    assert {item["notebook"] for item in book.plan() if "notebook" in item} == {
        p.stem for p in (home() / "notebooks").glob("*.ipynb")
    }


def test_the_tables_of_notebooks_are_those_measured_last():
    times = json.loads((home() / "docs" / "notebooks.json").read_text(encoding="utf-8"))
    for page, name, table in book.tables(times):
        text = (home() / page).read_text(encoding="utf-8")
        assert book.between(text, name, table) == text
    first = nbformat.read(home() / "notebooks" / "00_start_here.ipynb", as_version=4)
    assert any(book.table_of_notebooks(times) in cell.source for cell in first.cells)


def test_no_lesson_took_three_minutes_when_it_was_measured_last():
    times = json.loads((home() / "docs" / "notebooks.json").read_text(encoding="utf-8"))["notebooks"]
    lessons = {name: about["seconds"] for name, about in times.items() if name.startswith("0")}
    assert len(lessons) >= 8 and max(lessons.values()) < 180, lessons


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A home with a tiny book of two notebooks; each runs what the parameter `code` says."""
    place = tmp_path / "home"
    for name in ("notebooks", "params", "docs", "figures"):
        (place / name).mkdir(parents=True)
    cells = [new_markdown_cell("# What is one and one?\n\n<!-- notebooks -->\n<!-- /notebooks -->")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells += [new_code_cell("code = 'print(1 + 1)'", metadata={"tags": ["parameters"]}), new_code_cell("exec(code)")]
    for name in ("00_start_here", "01_next"):
        nbformat.write(new_notebook(cells=cells, metadata=kernel), place / "notebooks" / f"{name}.ipynb")
    plan_of(place, "print(4 + 1)")
    (place / "docs" / "book.css").write_text("body {}")
    (place / "README.md").write_text("# Start\n\n<!-- headline --><!-- /headline -->\n")
    blocks = "".join(f"\n<!-- {name} --><!-- /{name} -->\n" for name in ("across", "planned", "table1", "small_tools"))
    (place / "docs" / "results.md").write_text(f"# Results\n{blocks}")
    (place / "notebooks" / "README.md").write_text("# Notebooks\n\n<!-- notebooks --><!-- /notebooks -->\n")
    for name in ("table1_toy_table1", "table1_toy_small_tools_table1", "across_planned"):
        text = "**toy**\n\n*the setting*\n\n| a |\n|---|\n| 1 |\n| OREAL |\n\nnotes\n\n| another |\n|---|\n| table |\n"
        (place / "figures" / f"{name}.md").write_text(text)
    (place / "figures" / "across_gains.md").write_text(
        "| a | b |\n|---|---|\n| x | average of the five |\n| x | OREAL |\n| x | CBAL |\n"
    )
    monkeypatch.setenv("OREAL_HOME", str(place))
    return place


def plan_of(place, code):
    plan = [{"notebook": "00_start_here", "parameters": {"code": code}}, {"notebook": "01_next"}]
    (place / "docs" / "book.yaml").write_text(json.dumps(plan))


@pytest.mark.slow
def test_a_tiny_book_is_executed_timed_and_written(place, capsys):
    assert main(["book", "--jobs", "2"]) == 0, capsys.readouterr().err
    times = json.loads((place / "docs" / "notebooks.json").read_text())["notebooks"]
    assert times["00_start_here"]["parameters"] == {"code": "print(4 + 1)"} and times["00_start_here"]["seconds"] > 0
    assert "[`00_start_here`](00_start_here.ipynb) | What is one and one? |" in (place / "notebooks" / "README.md").read_text()
    assert "5" in page(place / "book" / "notebooks" / "00_start_here.html").find(class_="output").get_text()
    assert "2" in page(place / "book" / "notebooks" / "01_next.html").find(class_="output").get_text()
    assert (
        "<!-- headline -->\n| a | b |\n|---|---|\n| x | average of the five |\n<!-- /headline -->"
        in (place / "README.md").read_text()
    )
    results = (place / "docs" / "results.md").read_text()
    assert "<!-- table1 -->\n*the setting*\n\n| a |\n|---|\n| 1 |\n| OREAL |\n<!-- /table1 -->" in results
    assert "| a |\n|---|\n| OREAL |\n<!-- /small_tools -->" in results and "| x | OREAL |\n<!-- /across -->" in results
    (place / "README.md").write_text("# Start\n\n[a](nowhere.md)\n")
    assert main(["book", "html"]) == 1 and "nowhere.md leads nowhere" in capsys.readouterr().err


@pytest.mark.slow
def test_a_notebook_that_failed_is_told_and_becomes_no_page(place, capsys):
    plan_of(place, "1 / 0")
    assert main(["book", "--jobs", "2"]) == 1
    said = capsys.readouterr().err
    assert "00_start_here: ZeroDivisionError: division by zero" in said and "01_next" not in said
    assert main(["book", "html"]) == 1 and "00_start_here was not executed to its end yet" in capsys.readouterr().err


def test_what_cannot_be_done_is_told_in_a_sentence(place, capsys):
    assert main(["book", "tables"]) == 1 and "run python -m oreal_lib book first" in capsys.readouterr().err
    assert main(["book", "--jobs", "0"]) == 2 and "--jobs is 0" in capsys.readouterr().err


def left(place):
    """Processes of a home: the book, papermill, and kernels."""
    return [
        p for p in psutil.process_iter(["cmdline", "environ"]) if str(place) in str((p.info["environ"] or {}).get("OREAL_HOME"))
    ]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals to one process are of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_book_starts_nothing_more_and_leaves_no_process(place, number):
    begun = place / "begun"
    plan_of(place, f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(600)")
    process = subprocess.Popen(
        [sys.executable, "-m", "oreal_lib", "book", "--jobs", "1"],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a test run in the background ignores it
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        while not begun.exists():
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        assert len(left(place)) == 3
        process.send_signal(number)
        said = process.communicate(timeout=60)[0]
        assert process.returncode == 130 and "stopped; start the same command again" in said and "Traceback" not in said
        assert not [p for p in left(place) if "papermill" in " ".join(p.info["cmdline"] or [])]
        assert sorted(path.name for path in (place / "book" / ".home" / "executed").glob("*.ipynb")) == [
            "00_start_here.unfinished.ipynb"
        ]
        _, alive = psutil.wait_procs(left(place), timeout=30)  # the kernel ends when it has lost papermill
        assert not alive
    finally:
        for other in left(place):
            other.kill()
