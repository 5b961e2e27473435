"""Every public docstring says what comes back, its shapes, units, errors and source. Read with ast: nothing is imported."""

import ast
import builtins
import re
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "oreal_lib"
KINDS = vars(builtins) | {"ConfigError": ValueError}  # what an exception's name means; ours, too

ARRAY = r"(?<!dict\[str, )(?<!dict\[str, torch\.)\b(ndarray|NDArray|Tensor|Pictures|Ragged)\b"  # a state dict has no one shape
LENGTH = r"(?:\d+|[A-Za-z]'?|[a-z]+_[a-z]+|height|width|\.\.\.|len\(.+?\)|\(.+?\))(?: ?[-+*/] ?[\w']+| [a-z]\b| \(.+?\))*"
SHAPE = rf"\({LENGTH},(?: {LENGTH},?)*\)|\bscalar|\ba number\b|\bof one shape\b"
DTYPE = r"\b(u?int|float)(8|16|32|64)?\b|\bbool\b|\binteger|\bdtype|\bAxes\b|\bin [\[(]?[+-]?\d|\d\.\.|\+-\d|>= 0"
UNIT = (
    r"%|percent|\bpoints?\b|\d\.\.\d|in [\[(]\d, |\b0 = \w|\b(second|minute|hour|byte|pixel|click|share|fraction|nat)s?\b"
    r"|\b[kmg]iB\b|IoU\b|probabilit|\bratio\b|\bp-value|learning rate"
)
SOURCE = (
    r"OREAL|[A-Z]\w+( and [A-Z]\w+)? et al\.,? \(?(19|20)\d\d|MulActSeg|CBAL|OpenCV|scikit-image|skimage|timm\b|torchvision"
    r"|VainF|rstrudel|Pascal VOC|[Oo]ur (choice|measure)|not in the paper"
)
ALONE = r"(scores|balance|select|strategies|metrics)\.py"  # where each function names its own source
REBUILT = rf"{ALONE}|(aggregate|oracle|train|data/label_cost)\.py|(superpixels|models|weak)/"  # the module's docstring may name it
MADE = ("__init__", "__post_init__", "__call__")  # the class's docstring speaks for these, as for class methods
RULES = ("sentence", "shapes", "units", "errors", "source")


def spelled(node):
    return ast.unparse(node) if node else ""


def public(file, text):
    """(name, node, own docstring, with those it refers to, with those around it, what makes errors) of all that is public."""
    tree = ast.parse(text)
    known = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    makers = {name: spelled(getattr(n, "returns", None)) for name, n in known.items()}
    for outer in tree.body:
        if not isinstance(outer, ast.FunctionDef | ast.ClassDef) or outer.name.startswith("_"):
            continue
        methods = [n for n in outer.body if isinstance(n, ast.FunctionDef)] if isinstance(outer, ast.ClassDef) else []
        for node in [outer, *(n for n in methods if n.name in MADE or not n.name.startswith("_"))]:
            around = [ast.get_docstring(n) or "" for n in ((tree,) if node is outer else (outer, tree))]
            made = node is not outer and (node.name in MADE or "classmethod" in map(spelled, node.decorator_list))
            own = (ast.get_docstring(node) or "") + (around[0] if made else "")
            named = re.findall(r"(?:^|\b[Aa]s |\b[Oo]f |\bby |\bsee )`(\w+)`", own)  # "arguments as `f`"
            full = " ".join([own, *(ast.get_docstring(known[n]) or "" for n in named if n in known)])
            yield (
                f"{file}:{node.lineno} {outer.name + '.' if node is not outer else ''}{node.name}",
                node,
                own,
                full,
                around,
                makers,
            )


def raised(node, makers, caught=()):
    """Names of the exceptions that leave a node: neither what a try around them handles nor what nested functions raise."""
    if isinstance(node, ast.Raise) and node.exc:
        name = spelled(getattr(node.exc, "func", node.exc)).split(".")[-1]
        name = name if name[0].isupper() else makers.get(name, "")  # raise _damaged(...): what that function returns
        if name and name not in caught and not issubclass(KINDS.get(name, object), tuple(KINDS[c] for c in caught if c in KINDS)):
            yield name
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            handlers = node.handlers if isinstance(node, ast.Try) and child in node.body else []
            handled = re.findall(r"\w+", " ".join(spelled(h.type) or "BaseException" for h in handlers))
            yield from raised(child, makers, (*caught, *handled))


def missing(file, text, node, own, full, around, makers):
    """(rule, what the docstring does not say)."""
    function = isinstance(node, ast.FunctionDef)
    if node.name not in MADE and not any(re.search(r"[.?]\)?$", part) for part in (own, own.split("\n\n")[0])):
        yield "sentence", "a docstring whose first sentence ends with a period"
    fields = [] if function else [n for n in node.body if isinstance(n, ast.AnnAssign)]
    for field in (n for n in fields if re.search(ARRAY, spelled(n.annotation))):
        comment, name = text.split("\n")[field.end_lineno - 1].partition("#")[2], spelled(field.target)
        if not re.search(SHAPE, comment) and not re.search(rf"\b{name}\b:?(?:(?!(?:\n|  )\w+: ).)*?(?:{SHAPE})", own, re.S):
            yield "shapes", f"the shape of its field {name}"
    arguments = [*node.args.args, *node.args.kwonlyargs] if function else []
    taken = [a.arg for a in arguments if re.search(ARRAY, spelled(a.annotation))]
    back = spelled(node.returns) if function else ""
    if (taken or re.search(ARRAY, back)) and not re.search(SHAPE, full, re.I):
        yield "shapes", f"the shape of {', '.join(taken) or 'what it returns'}"
    if re.search(ARRAY, back) and not re.search(DTYPE, full):
        yield "shapes", "the dtype or the range of what it returns"
    if "float" in back and not re.search(UNIT, full, re.I):
        yield "units", f"the unit or the range of the {back} it returns"
    for name in sorted(set(raised(node, makers))) if function else ():
        if not re.search(rf"\b{name}\b", own):
            yield "errors", f"that it raises {name}"
    said = own if re.match(ALONE, file) else " ".join([own, *around])
    if re.match(REBUILT, file) and node.name not in MADE and not re.search(SOURCE, said):
        yield "source", "its source: the paper's section, authors and year, a project, or 'our choice'"


def faults(file, text):
    """(rule, sentence) for all that the docstrings of a file below oreal_lib/ do not say."""
    return [(rule, f"oreal_lib/{name} lacks {f}") for name, *rest in public(file, text) for rule, f in missing(file, text, *rest)]


@cache
def library():
    texts = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
    assert sum(len(list(public(*pair))) for pair in texts.items()) > 400
    return [fault for pair in texts.items() for fault in faults(*pair)]


@pytest.mark.parametrize("rule", RULES)
def test_every_public_docstring_says_its(rule):
    assert not (found := [line for broken, line in library() if broken == rule]), "\n".join(["fix these docstrings:", *found])


GOOD = '''class Box:
    """What is found, our choice. Raises ValueError for another kind."""
    part: np.ndarray  # (N, 2) float32
    def __post_init__(self):
        raise ValueError
def score(p: Tensor, to: Tensor) -> Tensor:
    """(B, 1, H, W) float32, the share of the best (OREAL Eq. 1); ValueError if empty."""
    try:
        raise KeyError
    except LookupError:
        raise ValueError("p is empty")
def share(p: Tensor) -> float:
    """Share of p (N,) above 0; our choice."""
'''


@pytest.mark.parametrize(
    ("rule", "said", "mute", "fault"),
    [
        ("sentence", "; our choice.", "", "scores.py:12 share lacks a docstring whose first sentence"),
        ("shapes", "(N, 2) float32", "a table", "scores.py:1 Box lacks the shape of its field part"),
        ("shapes", "(B, 1, H, W) ", "", "scores.py:6 score lacks the shape of p, to"),
        ("shapes", "float32, ", "", "scores.py:6 score lacks the dtype or the range of what it returns"),
        ("units", "Share of", "How much of", "scores.py:12 share lacks the unit or the range of the float it returns"),
        ("errors", "; ValueError if empty", "", "scores.py:6 score lacks that it raises ValueError"),
        ("errors", "Raises ValueError for", "Not for", "scores.py:4 Box.__post_init__ lacks that it raises ValueError"),
        ("errors", "except LookupError", "except OSError", "scores.py:6 score lacks that it raises KeyError"),
        ("source", "OREAL Eq. 1", "well known", "scores.py:6 score lacks its source"),
    ],
)
def test_what_a_docstring_does_not_say_is_found(rule, said, mute, fault):
    assert faults("scores.py", GOOD) == [] and said in GOOD
    found = [line for broken, line in faults("scores.py", GOOD.replace(said, mute)) if broken == rule]
    assert len(found) == 1 and found[0].startswith(f"oreal_lib/{fault}")
