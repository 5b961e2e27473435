"""The site: README, pages, executed notebooks and the paper's fifteen files, as web pages that need no network.

sphinx-build -c docs . book/html                            # what `make book` does
sphinx-build -c docs . book/html -D nb_execution_mode=off   # with the outputs that are stored in the notebooks; a minute
"""

import hashlib
import os
import posixpath
import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import typst
from docutils import nodes
from sphinx import addnodes
from sphinx.errors import ExtensionError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]

project = "OREAL"
html_title = "OREAL"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "notebooks/*.md", "notebooks/*.ipynb", "benchmarks/results/*.md", "figures/*.md"]
exclude_patterns = [".*", "book", "data", "runs", "figures/runs", "**/.ipynb_checkpoints"]
html_theme = "furo"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
templates_path = []
myst_heading_anchors = 4
nb_execution_mode = "cache"
nb_execution_timeout = -1
nb_execution_raise_on_error = True
nb_output_stderr = "remove"
nb_merge_streams = True
nb_render_markdown_format = "myst"  # that of pages: it has tables
nb_ipywidgets_js = {}  # nothing is loaded from elsewhere
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}

CORE = re.findall(r"automodule:: (\S+)", (HERE / "api.md").read_text(encoding="utf-8"))
WIDGET = "application/vnd.jupyter.widget-view+json"
FIRST = """Play: [where mean and max ask](docs/play_mean_or_max.md), [class debts](docs/play_debts.md), [learning curves](docs/play_curves.md).
In five minutes: [what max does](notebooks/03_mean_or_max.ipynb), [whether it pays](docs/results.md),
[how that can be checked](docs/reproducibility.md). At length: <a href="article.pdf">the article as PDF</a>.
"""
CONTENTS = """
```{toctree}
:hidden:
:glob:
:caption: %s

%s
```
"""
PARTS = {
    "Play": ["docs/play_mean_or_max", "docs/play_debts", "docs/play_curves"],
    "Answers": ["docs/results", "docs/plan", "docs/reproducibility", "docs/questions", "docs/choices"],
    "Lessons": ["notebooks/README", "notebooks/0*"],
    "Runs": ["notebooks/1*"],
    "Reports": ["notebooks/2*", "notebooks/3*"],
    "Use it": ["docs/labeling", "docs/extending", "docs/reproduce", "docs/data_cards", "docs/model_card"],
    "Teach": ["docs/teaching", "docs/answers"],
    "The library": ["docs/api", "CONTRIBUTING", "docs/guarantees", "docs/determinism", "docs/speed", "benchmarks/results/*"],
    "Tables": ["figures/*"],
}


def _fingerprint() -> str:
    """Of all that the outputs of a notebook depend on, but for its own cells, which the cache compares."""
    files = [p for part in ("oreal_lib", "params", "figures/runs") for p in sorted((ROOT / part).rglob("*")) if p.is_file()]
    whole = hashlib.sha256()
    for path in files:
        if path.suffix != ".pyc":
            whole.update(f"{path.relative_to(ROOT)}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:12]


nb_execution_cache_path = str(ROOT / "book" / "cache" / _fingerprint())


def execute(app) -> None:
    """Execute the notebooks that are not in the cache, one per core at a time, in a home of their own, `book/home`: no figure of
    the project is touched. The runs that the lessons share come first; what was computed there before is found again."""
    if app.config.nb_execution_mode != "cache":
        return
    from jupyter_cache import get_cache
    from jupyter_cache.executors import load_executor

    place, cache = ROOT / "book" / "home", get_cache(app.config.nb_execution_cache_path)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cache.add_nb_to_project(str(path))
    if not cache.list_unexecuted():
        return
    for old in Path(app.config.nb_execution_cache_path).parent.iterdir():
        if old != Path(app.config.nb_execution_cache_path):
            shutil.rmtree(old)
    for name in ("notebooks", "params", "figures", "workflow"):
        shutil.rmtree(place / name, ignore_errors=True)
        shutil.copytree(ROOT / name, place / name)
    with patch.dict(os.environ, {"OREAL_HOME": str(place), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}):
        subprocess.run([sys.executable, "-m", "oreal_lib", "run", "lessons"], check=True)
        done = load_executor("local-parallel", cache).run_and_cache(timeout=-1)
    if failed := [*done.excepted, *done.errored]:
        raise ExtensionError("\n".join(f"{p}: {cache.get_project_record(p).traceback}" for p in failed))
    timed(cache)


def parts(app, name: str, source: list[str]) -> None:
    """Give the first page the table of contents, and a page without a heading its name as one."""
    if name == root_doc:
        heading, rest = source[0].split("\n", 1)
        source[0] = f"{heading}\n\n{FIRST}\n{rest}"
        source[0] += "".join(CONTENTS % (caption, "\n".join(pages)) for caption, pages in PARTS.items())
    elif not source[0].startswith("# ") and Path(app.env.doc2path(name)).suffix == ".md":
        source[0] = f"# {posixpath.basename(name)}\n\n{source[0]}"


def mend(app, tree) -> None:
    """Drop widgets, which need a kernel; say in words what a picture shows; lead to the API page of a file that has one."""
    for bundle in list(tree.findall(lambda n: n.get("nb_element") == "mime_bundle" if isinstance(n, nodes.Element) else False)):
        if any(child.get("mime_type") == WIDGET for child in bundle.children):
            bundle.parent.remove(bundle)
    about = ""
    for node in tree.findall(lambda n: isinstance(n, (nodes.paragraph, nodes.image))):
        if isinstance(node, nodes.paragraph):  # what stands before a picture says what it shows
            about = node.astext().rpartition("\n")[2] or about
        else:
            node.setdefault("alt", f"Figure. {about}")
    for link in [*tree.findall(addnodes.download_reference), *tree.findall(addnodes.pending_xref)]:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(app.env.docname), link["reftarget"]))
        module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if (ROOT / path).is_dir():  # no page: text
            link.replace_self(link.children)
        elif module in CORE and link.get("reftype") != "mod":
            about = {"refdomain": "py", "reftype": "mod", "reftarget": module, "refexplicit": True, "refdoc": app.env.docname}
            link.replace_self(addnodes.pending_xref("", *link.children, **about))


def plain(app, what, name, thing, options, lines: list[str]) -> None:
    """A docstring, which is plain text: a new line for each sentence that begins one and for each `name: what it is`."""
    kept: list[str] = []
    for line in lines:
        code = line.split("`")
        text = "".join(f"``{c}``" if i % 2 and c else re.sub(r"([\\*_|<>\[\]])", r"\\\1", c) for i, c in enumerate(code))
        begins = re.match(r"\s*[\w, ]+: |\s*[A-Z(]", line) and (not kept or kept[-1].rstrip()[-1:] in ".:|")
        if kept and kept[-1] != "|" and line.strip() and not begins:
            kept[-1] += f" {text.strip()}"
        else:
            kept.append(f"| {text}".rstrip())
    lines[:] = [*kept, ""]


def described(app, what, name, thing, skip, options) -> bool | None:
    """Whether a member is left out: the fields of a named tuple, which stand in its docstring."""
    return True if str(thing.__doc__).startswith("Alias for field number") else None


def timed(cache) -> None:
    """Write the seconds of every notebook into docs/notebooks.json, and the table made of them onto its pages."""
    import tables

    from oreal_lib.storage import atomic, provenance
    from oreal_lib.storage.devices import choose_device

    seconds = {Path(r.uri).stem: round(r.data["execution_seconds"], 1) for r in cache.list_cache_records()}
    about = {
        "device": provenance.device_name(choose_device("cpu")),
        "commit": provenance.commit(),
        "versions": provenance.versions(),
    }
    atomic.write_json(ROOT / "docs" / "notebooks.json", about | {"seconds": dict(sorted(seconds.items()))})
    tables.fill()


def finish(app, failed) -> None:
    """The address of the site's folder is that of its first page; the article lies beside that."""
    if not failed and app.builder.name == "html":
        typst.compile(str(HERE / "article" / "article.typ"), root=str(ROOT), output=str(Path(app.outdir) / "article.pdf"))
        to = f'<meta charset="utf-8"><title>{project}</title><meta http-equiv="refresh" content="0; url={root_doc}.html">'
        (Path(app.outdir) / "index.html").write_text(to, encoding="utf-8")


def setup(app) -> None:
    import play

    app.add_directive("explorer", play.Explorer)
    app.connect("builder-inited", execute)
    app.connect("source-read", parts)
    app.connect("doctree-read", mend)
    app.connect("autodoc-process-docstring", plain)
    app.connect("autodoc-skip-member", described)
    app.connect("build-finished", finish)
