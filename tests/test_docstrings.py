"""Every public docstring says what comes back, its shapes, units, errors and source. Read with ast: nothing is imported."""

import ast
import builtins
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "oreal_lib"
TEXTS = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
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
ALONE = "scores balance select strategies metrics".split()  # modules where each function names its own source
REBUILT = [*ALONE, *"aggregate oracle superpixels weak_labels label_cost losses pseudo models train".split()]
MADE = ("__init__", "__post_init__", "__call__")  # the class's docstring speaks for these, as for class methods


def spelled(node):
    return ast.unparse(node) if node else ""


class Public:
    """A public function, method or class, and what may speak for it: its own docstring, those it refers to, those around it."""

    def __init__(self, file, tree, node, owner=None):
        self.node, self.module = node, file.removesuffix(".py").split("/")[0]
        self.name = f"{file}:{node.lineno} {owner.name + '.' if owner else ''}{node.name}"
        self.around = " ".join(ast.get_docstring(n) or "" for n in (tree, owner) if n)
        made = node.name in MADE or "classmethod" in map(spelled, node.decorator_list)
        self.own = (ast.get_docstring(node) or "") + (ast.get_docstring(owner) or "" if owner and made else "")
        known = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        named = re.findall(r"(?:^|\b[Aa]s |\b[Oo]f |\bby |\bsee )`(\w+)`", self.own)  # "arguments as `f`"
        self.full = " ".join([self.own, *(ast.get_docstring(known[n]) or "" for n in named if n in known)])
        self.makers = {name: spelled(getattr(n, "returns", None)) for name, n in known.items()}


def public(file, text):
    tree = ast.parse(text)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield Public(file, tree, node)
            for method in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(method, ast.FunctionDef) and (method.name in MADE or not method.name.startswith("_")):
                    yield Public(file, tree, method, node)


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


def missing(p, text):
    """(rule, what the docstring does not say)."""
    function = isinstance(p.node, ast.FunctionDef)
    if p.node.name not in MADE and not any(re.search(r"[.?]\)?$", part) for part in (p.own, p.own.split("\n\n")[0])):
        yield "sentence", "a docstring whose first sentence ends with a period"
    fields = [] if function else [n for n in p.node.body if isinstance(n, ast.AnnAssign)]
    for field in (n for n in fields if re.search(ARRAY, spelled(n.annotation))):
        comment, name = text.split("\n")[field.end_lineno - 1].partition("#")[2], spelled(field.target)
        if not re.search(SHAPE, comment) and not re.search(rf"\b{name}\b:?(?:(?!(?:\n|  )\w+: ).)*?(?:{SHAPE})", p.own, re.S):
            yield "shapes", f"the shape of its field {name}"
    arguments = [*p.node.args.args, *p.node.args.kwonlyargs] if function else []
    taken = [a.arg for a in arguments if re.search(ARRAY, spelled(a.annotation))]
    back = spelled(p.node.returns) if function else ""
    if (taken or re.search(ARRAY, back)) and not re.search(SHAPE, p.full, re.I):
        yield "shapes", f"the shape of {', '.join(taken) or 'what it returns'}"
    if re.search(ARRAY, back) and not re.search(DTYPE, p.full):
        yield "shapes", "the dtype or the range of what it returns"
    if "float" in back and not re.search(UNIT, p.full, re.I):
        yield "units", f"the unit or the range of the {back} it returns"
    for name in sorted(set(raised(p.node, p.makers))) if function else ():
        if not re.search(rf"\b{name}\b", p.own):
            yield "errors", f"that it raises {name}"
    if p.module in REBUILT and p.node.name not in MADE and not re.search(SOURCE, p.own + p.around * (p.module not in ALONE)):
        yield "source", "its source: the paper's section, authors and year, a project, or 'our choice'"


def faults(rule, file, text):
    return [f"oreal_lib/{p.name} lacks {fault}" for p in public(file, text) for broken, fault in missing(p, text) if broken == rule]


RULES = ("sentence", "shapes", "units", "errors", "source")


@pytest.mark.parametrize("rule", RULES)
def test_every_public_docstring_says_its(rule):
    assert sum(len(list(public(*pair))) for pair in TEXTS.items()) > 500
    found = [line for pair in TEXTS.items() for line in faults(rule, *pair)]
    assert not found, "\n".join(["mend these docstrings:", *found])


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
    assert faults(rule, "scores.py", GOOD) == [] and said in GOOD
    found = faults(rule, "scores.py", GOOD.replace(said, mute))
    assert len(found) == 1 and found[0].startswith(f"oreal_lib/{fault}")
