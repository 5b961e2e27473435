"""HTML pages from notebooks, markdown and code, with everything they link to, checked: no dead link, no missing picture, nothing
that a page would fetch from elsewhere."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from html import escape
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import nbformat
from bs4 import BeautifulSoup
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import guess_lexer_for_filename
from pygments.util import ClassNotFound

from . import atomic
from .paths import home

PICTURES = {".png", ".svg", ".webp", ".jpg", ".gif"}
COPIED = {".csv", ".tex", ".json", ".jsonl"}  # data: as they are
WIDGET = "application/vnd.jupyter.widget-view+json"


def write_pages(notebooks: Mapping[str, Path], out: Path, first: str = "README.md") -> list[str]:
    """Write a page for `first`, for each notebook, and for every file of the project that these link to, into `out`.

    notebooks: path in the project, such as "notebooks/00_start_here.ipynb" -> the executed notebook.
    Returns what is wrong, a sentence each: links that lead nowhere, pictures that are not there, formulas that would need a
    script, and anything a page would load from a server. `first` becomes index.html.
    """
    root, order = home(), list(notebooks)
    problems: list[str] = []
    anchors: dict[str, set[str]] = {}
    wanted: list[tuple[str, str, str]] = []  # page, target page, anchor
    queue, seen = [first, *order], {first, *order}
    shutil.copyfile(root / "docs" / "book.css", out / "book.css")
    while queue:
        name = queue.pop(0)
        soup = BeautifulSoup(_body(name, notebooks.get(name, root / name)), "html.parser")
        anchors[name] = _name_headings(soup)
        if _has_formula(soup):
            problems.append(f"{name}: a formula between dollars would need a script to be read; write it as plain text")
        for tag, key in [(t, k) for k in ("href", "src") for t in soup.find_all(attrs={k: True})]:
            url = tag[key]
            if urlsplit(url).scheme or url.startswith("//"):
                if tag.name != "a" and not url.startswith("data:"):
                    problems.append(f"{name}: {tag.name} loads {url[:80]} from elsewhere")
                continue
            target, _, anchor = unquote(url).partition("#")
            at = _resolve(name, target) if target else name
            if at is None or not (root / at).exists():
                problems.append(f"{name}: {url} leads nowhere")
            elif (root / at).is_dir():
                tag.unwrap()  # a folder is no page
            else:
                if anchor:
                    wanted.append((name, at, anchor))
                if at not in seen:
                    seen.add(at)
                    queue.append(at) if _is_page(at) else _copy(root / at, out / at)
                depth = len(PurePosixPath(_page(name, first)).parts) - 1
                tag[key] = "../" * depth + _page(at, first) + (f"#{anchor}" if anchor else "")
        page = out / _page(name, first)
        page.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(page, _whole(name, soup, order, first).encode())
    problems += [f"{page}: {at}#{a} is no heading there" for page, at, a in wanted if at in anchors and a not in anchors[at]]
    return problems


def _body(name: str, path: Path) -> str:
    if path.suffix == ".ipynb":
        book = nbformat.read(path, as_version=4)
        about = ""
        for cell in book.cells:
            if cell.cell_type == "markdown":  # what stands before a picture says what it shows
                about = re.sub(r"[*`#|]|\[|\]\([^)]*\)", "", cell.source.strip().splitlines()[-1]).strip()
                continue
            shown = [o for o in cell.get("outputs", []) if WIDGET not in o.get("data", {}) and o.get("name") != "stderr"]
            for output in shown:
                if "image/png" in output.get("data", {}):
                    output.metadata["image/png"] = {**output.metadata.get("image/png", {}), "alt": f"Figure. {about}"}
            cell.outputs = shown
        return HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True).from_notebook_node(book)[
            0
        ]
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return markdown2html(text)
    try:
        lexer = guess_lexer_for_filename(path.name, text)
    except ClassNotFound:
        return f"<h1>{escape(name)}</h1><pre>{escape(text)}</pre>"
    return f"<h1>{escape(name)}</h1>{highlight(text, lexer, HtmlFormatter())}"


def _name_headings(soup: BeautifulSoup) -> set[str]:
    """Give every heading the id that GitHub gives it; all ids of the page."""
    for link in soup.find_all("a", class_="anchor-link"):
        link.decompose()
    for heading in soup.find_all(re.compile("^h[1-6]$")):
        heading["id"] = re.sub(r"[^\w\- ]", "", heading.get_text().strip().lower()).replace(" ", "-")
    return {tag["id"] for tag in soup.find_all(id=True)}


def _has_formula(soup: BeautifulSoup) -> bool:
    text = "".join(s for s in soup.find_all(string=True) if not s.find_parent(["pre", "code", "style"]))
    return re.search(r"\$[^$\n]*[\\_^{][^$\n]*\$", text) is not None


def _resolve(page: str, target: str) -> str | None:
    """The path in the project that a link on a page means; None if it is outside."""
    parts: list[str] = []
    for part in (PurePosixPath(page).parent / target).parts:
        if part != "..":
            parts.append(part)
        elif not parts:
            return None
        else:
            parts.pop()
    return "/".join(parts) or "."


def _is_page(name: str) -> bool:
    return PurePosixPath(name).suffix not in PICTURES | COPIED


def _page(name: str, first: str) -> str:
    if name == first:
        return "index.html"
    return f"{PurePosixPath(name).with_suffix('') if name.endswith(('.ipynb', '.md')) else name}.html" if _is_page(name) else name


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _whole(name: str, soup: BeautifulSoup, order: list[str], first: str) -> str:
    up = "../" * (len(PurePosixPath(_page(name, first)).parts) - 1)
    heading = soup.find("h1")
    place = order.index(name) if name in order else None
    links = [f'<a href="{up}index.html">Contents</a>']
    for step, word in ((-1, "← {}"), (1, "{} →")):
        if place is not None and 0 <= place + step < len(order):
            other = order[place + step]
            links.append(f'<a href="{up}{_page(other, first)}">{word.format(PurePosixPath(other).stem)}</a>')
    style = HtmlFormatter().get_style_defs(".highlight")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(heading.get_text().strip() if heading else name)}</title>"
        f'<link rel="stylesheet" href="{up}book.css"><style>{style}</style></head>\n'
        f"<body><nav>{''.join(links)}</nav>\n{soup}\n</body></html>\n"
    )
