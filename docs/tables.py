"""Fill the tables that stand on pages from the files they are made from, and docs/manifest.json:  python docs/tables.py

A table stands between two comments, such as <!-- headline --> and <!-- /headline -->.
"""

import json
import re
from collections.abc import Mapping
from itertools import dropwhile, takewhile

import manifest
import nbformat

from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.reports.table import markdown
from oreal_lib.storage import atomic
from oreal_lib.storage.paths import home


def notebooks(times: Mapping) -> str:
    """The table of all notebooks in markdown: name, question, and the seconds in docs/notebooks.json. Links are from beside them."""
    rows = []
    for path in sorted((home() / "notebooks").glob("*.ipynb")):
        question = nbformat.read(path, as_version=4).cells[0].source.splitlines()[0].removeprefix("# ")
        seconds = times["seconds"].get(path.stem)
        took = "-" if seconds is None else f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
        rows.append([f"[`{path.stem}`]({path.name})", question, took])
    return markdown(["notebook", "question", f"measured on {times['device']}"], rows, left=(0, 1))


def outputs() -> str:
    """The table of all outputs in markdown: a grid, what its runs took, and the notebooks that make files of them."""
    by_grid: dict[str, list[dict]] = {}
    for entry in manifest.entries().values():
        by_grid.setdefault(entry["grid"], []).append(entry)
    rows = []
    for grid, made in sorted(by_grid.items()):
        most = max(made, key=lambda entry: entry["runs"])
        took = "-" if most["minutes"] is None else f"{most['minutes']:.0f}"
        reports = ", ".join(sorted({f"`{entry['notebook'][:2]}`" for entry in made}))
        files = str(sum(len(entry["files"]) for entry in made))
        rows.append([f"`{grid}`", str(most["runs"]), took, "; ".join(most["device"]), reports, files, ", ".join(most["commits"])])
    return markdown(["grid", "runs", "minutes", "hardware", "notebooks", "files", "commits"], rows, left=(0, 3, 4, 6))


def released() -> str:
    """The table of the released networks in markdown: the last step of their record, and of the published one of the same run."""
    rows, classes = [], []
    for path in sorted((home() / "docs" / "weights").iterdir()):
        for folder, what in ((RunFolder(path), "released"), (RunFolder(home() / "figures" / "runs" / path.name), "published")):
            last, classes = folder.steps()[-1], folder.done["classes"]
            values = [last.miou, last.boundary_miou, *last.class_iou]
            rows.append([what, folder.done["device"], str(last.clicks), *(f"{100 * v:.1f}" for v in values)])
    return markdown(["record", "processor", "clicks", "mIoU", "near borders", *classes], rows, left=(0, 1))


def hub(students: int = 30) -> str:
    """In markdown, what so many kernels at once need, from the kernels that were measured."""
    found = json.loads((home() / "benchmarks" / "results" / "kernels.json").read_text(encoding="utf-8"))
    memory, start = found["rows"]
    each = memory["ours"]["median"]
    return (
        f"Measured with {memory['n']} kernels that each hold lesson `03`: {each:.0f} MiB each (one alone: {memory['other']['median']:.0f}), so "
        f"{students} need {students * each / 1024:.0f} GiB. From start to all imports {start['ours']['median']:.0f} s, one alone "
        f"{start['other']['median']:.0f} s, while other work kept the cores busy (load average {found['load_average'][0]:.0f}; "
        f"{found['device']}; [kernels](speed.md#a-class-on-one-machine))."
    )


def tables(times: Mapping) -> list[tuple[str, str, str]]:
    """(page, name of the table on it, the table): the first table of files in figures/, or some of its rows, without their notes."""

    def rows(file: str, *starts: str) -> str:
        lines = (home() / "figures" / file).read_text(encoding="utf-8").splitlines()
        setting = [line for line in lines if re.match(r"\*[^*]", line)][:1]
        first = list(takewhile(lambda line: line.startswith("|"), dropwhile(lambda line: not line.startswith("|"), lines)))
        kept = [row for row in first[2:] if not starts or any(start in row for start in starts)]
        return "\n".join([*setting, *[""] * len(setting), *first[:2], *kept])

    return [
        ("README.md", "headline", rows("across_gains.md", "| CamVid", "| LabelMe", "| drawn scenes, 2")),
        ("docs/results.md", "across", rows("across_gains.md")),
        ("docs/results.md", "planned", rows("across_planned.md")),
        ("docs/results.md", "table1", rows("table1_toy_table1.md")),
        ("docs/reproducibility.md", "outputs", outputs()),
        ("docs/model_card.md", "released", released()),
        ("docs/teaching.md", "hub", hub()),
        ("notebooks/README.md", "notebooks", notebooks(times)),
        ("notebooks/00_start_here.ipynb", "notebooks", notebooks(times)),
    ]


def between(text: str, name: str, content: str) -> str:
    """The text with `content` between its comments <!-- name --> and <!-- /name -->; ValueError if they are not there."""
    before, begin, rest = text.partition(f"<!-- {name} -->")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    if not end:
        raise ValueError(f"the page has no <!-- {name} --> ... <!-- /{name} -->, between which a table stands; put it back")
    return f"{before}{begin}\n{content}\n{end}{after}"


def filled(page: str, name: str, content: str) -> str:
    """The text of a page, or of a notebook, with this table on it."""
    text = (home() / page).read_text(encoding="utf-8")
    if not page.endswith(".ipynb"):
        return between(text, name, content)
    lesson = nbformat.reads(text, as_version=4)
    (cell,) = (cell for cell in lesson.cells if f"<!-- {name} -->" in cell.source)
    cell.source = between(cell.source, name, content)
    return nbformat.writes(lesson) + "\n"


def fill() -> None:
    """Write docs/manifest.json, and every table of `tables` onto its page."""
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in manifest.entries().items())
    atomic.write_bytes(home() / "docs" / "manifest.json", f"{{\n{lines}\n}}\n".encode())
    for page, name, content in tables(json.loads((home() / "docs" / "notebooks.json").read_text(encoding="utf-8"))):
        atomic.write_bytes(home() / page, filled(page, name, content).encode())


if __name__ == "__main__":
    fill()
