"""HTML pages from notebooks, markdown and code, with everything they link to, checked: no dead link, no missing picture, nothing
that a page would fetch from elsewhere."""

import posixpath
import re
import shutil
from collections.abc import Mapping
from html import escape
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit

import nbformat
from bs4 import BeautifulSoup
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import guess_lexer_for_filename
from pygments.util import ClassNotFound

from ..storage import atomic
from ..storage.paths import home

COPIED = {".png", ".svg", ".webp", ".jpg", ".gif", ".csv", ".tex", ".json", ".jsonl", ".pdf"}  # pictures and data: as they are
LINKS = ("href", "src", "poster", "data")  # attributes that hold an address
WIDGET = "application/vnd.jupyter.widget-view+json"


def write_pages(notebooks: Mapping[str, Path], out: Path, first: str = "README.md") -> list[str]:
    """Write a page for `first`, for each notebook, and for every file of the project that these link to, into `out`.

    notebooks: path in the project, such as "notebooks/00_start_here.ipynb" -> the executed notebook.
    Returns what is wrong, a sentence each: links that lead nowhere, pictures that are not there, two files that would become one
    page, and anything a page would load from a server. `first` becomes index.html. What is not text is copied as it is.
    """
    css = (home() / "docs" / "book.css").read_text(encoding="utf-8")
    atomic.write_bytes(out / "book.css", css.encode())
    pages = _Pages(notebooks, out, first)
    while pages.queue:
        pages.write(pages.queue.pop(0))
    known, wanted = pages.anchors, pages.wanted
    return pages.problems + [f"{page}: {at}#{a} is no heading there" for page, at, a in wanted if a not in known.get(at, {a})]


class _Pages:
    """Pages while they are written. places: file of the project -> where it stands in the book.  queue: files that become pages still.
    problems: what is wrong.  anchors: of each page.  wanted: (page, target page, anchor) that a link needs."""

    def __init__(self, notebooks: Mapping[str, Path], out: Path, first: str) -> None:
        self.root, self.out, self.notebooks = home(), out, notebooks
        self.places = {first: "index.html"} | {name: _place(name, path) for name, path in notebooks.items()}
        self.owners = {place.casefold(): name for name, place in self.places.items()}  # some file systems do not tell A from a
        self.queue, self.problems = list(self.places), []
        self.anchors: dict[str, set[str]] = {}
        self.wanted: list[tuple[str, str, str]] = []

    def write(self, name: str) -> None:
        soup = BeautifulSoup(_body(name, self.notebooks.get(name, self.root / name)), "html.parser")
        self.anchors[name] = _name_headings(soup)
        for tag, key in [(t, k) for k in LINKS for t in soup.find_all(attrs={k: True})]:
            address = self.follow(name, tag.name, tag[key])
            if address is None:
                tag.unwrap()
            else:
                tag[key] = address
        page = self.out / self.places[name]
        page.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(page, _whole(name, soup, list(self.notebooks), self.places).encode())

    def follow(self, name: str, tag: str, url: str) -> str | None:
        """Note what an address on a page needs; the address in the book, or None for a folder, which is no page."""
        link = tag in ("a", "area")
        parts = urlsplit(url.strip())
        if parts.scheme or parts.netloc:
            if not link and parts.scheme != "data":
                self.problems.append(f"{name}: {tag} loads {url[:80]} from elsewhere")
            return url
        at = posixpath.join(posixpath.dirname(name), unquote(parts.path)).lstrip("/")  # a first / is the project
        at = posixpath.normpath(at) if parts.path else name
        if f"{at}/".startswith("../") or not (self.root / at).exists() or ((self.root / at).is_dir() and not link):
            self.problems.append(f"{name}: {url} leads nowhere")
            return url
        if (self.root / at).is_dir():
            return None
        if parts.fragment:
            self.wanted.append((name, at, unquote(parts.fragment)))
        if at not in self.places:
            self.add(at)
        if not parts.path:
            return url
        return _up(self.places[name]) + quote(self.places[at]) + (f"#{quote(unquote(parts.fragment))}" if parts.fragment else "")

    def add(self, at: str) -> None:
        """A file of the project that a page links to: it becomes a page, or is copied."""
        self.places[at] = _place(at, self.root / at)
        other = self.owners.setdefault(self.places[at].casefold(), at)
        if other != at:
            self.problems.append(f"{at} and {other} would both become {self.places[at]}; rename one of them")
        elif self.places[at] == at:
            (self.out / at).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.root / at, self.out / at)
        else:
            self.queue.append(at)


def _body(name: str, path: Path) -> str:
    if path.suffix.lower() == ".ipynb":
        book = nbformat.read(path, as_version=4)
        book.metadata.pop("widgets", None)  # their state would need scripts
        about = ""
        for cell in book.cells:
            if cell.cell_type == "markdown":  # what stands before a picture says what it shows
                about = re.sub(r"[*`#|]|\[|\]\([^)]*\)", "", cell.source.strip().rpartition("\n")[2]).strip() or about
                continue
            shown = [o for o in cell.get("outputs", []) if WIDGET not in o.get("data", {}) and o.get("name") != "stderr"]
            for output in shown:
                if "image/png" in output.get("data", {}):
                    output.metadata["image/png"] = {**output.metadata.get("image/png", {}), "alt": f"Figure. {about}"}
            cell.outputs = shown
        exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
        return exporter.from_notebook_node(book)[0]
    text = path.read_text(encoding="utf-8")
    if path.suffix.lower() == ".md":
        return markdown2html(text)
    try:
        lexer = guess_lexer_for_filename(path.name, text)
    except ClassNotFound:
        return f"<h1>{escape(name)}</h1><pre>{escape(text)}</pre>"
    return f"<h1>{escape(name)}</h1>{highlight(text, lexer, HtmlFormatter())}"


def _name_headings(soup: BeautifulSoup) -> set[str]:
    """Give every heading the id that GitHub gives it, the second of one name with -1; every anchor of the page."""
    for link in soup.find_all("a", class_="anchor-link"):
        link.decompose()
    headings = soup.find_all(re.compile("^h[1-6]$"))
    for heading in headings:
        del heading["id"]
    own = {tag[key] for key in ("id", "name") for tag in soup.find_all(attrs={key: True}) if key == "id" or tag.name == "a"}
    count: dict[str, int] = {}
    for heading in headings:
        slug = plain = re.sub(r"[^\w\- ]", "", heading.get_text().strip().lower()).replace(" ", "-")
        while slug in count:
            count[plain] += 1
            slug = f"{plain}-{count[plain]}"
        count[slug] = 0
        if slug and slug not in own:  # an id stands once on a page
            heading["id"] = slug
    return own | set(count) | {"top"}


def _place(name: str, path: Path) -> str:
    """Where a file stands in the book: text as a page of its own, anything else under its own name."""
    suffix = PurePosixPath(name).suffix.lower()
    try:
        if suffix in COPIED or "\0" in path.read_text(encoding="utf-8"):
            return name
    except UnicodeDecodeError:
        return name
    return f"{PurePosixPath(name).with_suffix('') if suffix in ('.ipynb', '.md') else name}.html"


def _up(place: str) -> str:
    return "../" * place.count("/")


def _whole(name: str, soup: BeautifulSoup, order: list[str], places: Mapping[str, str]) -> str:
    up = _up(places[name])
    heading = soup.find("h1")
    place = order.index(name) if name in order else None
    links = [f'<a href="{up}index.html">Contents</a>']
    for step, word in ((-1, "← {}"), (1, "{} →")):
        if place is not None and 0 <= place + step < len(order):
            other = order[place + step]
            links.append(f'<a href="{up}{quote(places[other])}">{word.format(PurePosixPath(other).stem)}</a>')
    style = HtmlFormatter().get_style_defs(".highlight")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(heading.get_text().strip() if heading else name)}</title>"
        f'<link rel="stylesheet" href="{up}book.css"><style>{style}</style></head>\n'
        f"<body><nav>{''.join(links)}</nav>\n{soup}\n</body></html>\n"
    )
