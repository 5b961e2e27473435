"""YAML as people write it: a mapping of plain values, or one sentence that says what is wrong with it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from .paths import params_root

MOST_DEPTH = 50  # of lists and mappings in one another
MOST_VALUES = 100_000
MOST_DIGITS = 300  # of the largest float there are 309


class ConfigError(ValueError):
    """A parameter that is unknown, missing or of the wrong type, with the rule and the remedy."""


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; a name without a folder or suffix is looked up in `params/`.

    ConfigError if it is not there, is no YAML, or holds no mapping.
    """
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(f"a parameter file is {shown(path)}, but must be a name or a path, such as toy")
    path = Path(path)
    if path.suffix == "" and path.parent == Path():
        path = params_root() / f"{path}.yaml"
    try:
        text = path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise ConfigError(f"the parameter file {shown(str(path))} cannot be read ({error.strerror}); give another path") from error
    if text is None:
        known = sorted(p.stem for p in params_root().glob("*.yaml"))
        raise ConfigError(f"no parameter file {shown(str(path))[1:-1]}; give a path, or one of: {', '.join(known)}")
    values = parse_yaml(text, str(path))
    if not isinstance(values, dict):
        what = "nothing" if values is None else shown(values)[:80]
        raise ConfigError(f"{path} holds {what}, but must hold `key: value` lines; write some, for example from params/toy.yaml")
    return values


class _Loader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error; PyYAML would silently take the last. So is what no person writes: lists in
    lists in lists, aliases that unfold to millions of values or hold themselves, numbers of thousands of digits."""

    def __init__(self, text: str | bytes) -> None:
        self._size: dict[yaml.Node, int] = {}  # of each finished node, with all that the aliases in it stand for
        self._depth = 0
        super().__init__(text)

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node:
        place = self.peek_event().start_mark
        if self._depth == MOST_DEPTH:
            raise _refused(f"values lie in one another more than {MOST_DEPTH} deep", place)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node not in self._size:
            parts = node.value if isinstance(node, yaml.CollectionNode) else ()
            parts = [part for pair in parts for part in pair] if isinstance(node, yaml.MappingNode) else parts
            if any(part not in self._size for part in parts) or not node.end_mark:
                raise _refused("an alias stands inside of what it repeats", place)
            self._size[node] = 1 + sum(self._size[part] for part in parts)
        if self._size[node] > MOST_VALUES:
            raise _refused(f"its aliases stand for more than {MOST_VALUES:,} values", place)
        return node

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node, seen = super().compose_mapping_node(anchor), set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                special = key.tag.endswith((":merge", ":value"))  # << and =, which stand for no value of their own
                value = (key.value,) if special else self.construct_object(key, deep=True)  # 1, 1.0 and 0x1 are one key
                if value in seen:
                    raise _refused(f"{key.value!r} stands there twice", key.start_mark)
                seen.add(value)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        kind = node.tag.rpartition(":")[2]
        if not isinstance(node, yaml.ScalarNode):
            return super().construct_object(node, deep)
        if kind in ("int", "float") and len(node.value) > MOST_DIGITS:
            raise _refused(f"{node.value[:20]}... has {len(node.value)} digits, more than any parameter needs", node.start_mark)
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, str):
                value.encode()  # half a character, such as "\ud800", can be written nowhere
        except (ValueError, LookupError, AttributeError) as error:  # of a date such as 2024-13-01, or of !!bool 7
            raise _refused(f"{node.value!r:.80} is no {kind} ({error})", node.start_mark) from error
        return value


def _refused(problem: str, place: yaml.Mark) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, place)


def parse_yaml(text: str | bytes, where: str) -> Any:
    """The plain value that YAML text means; ConfigError with `where`, the line and the remedy if it is none."""
    loader = None
    try:
        loader = _Loader(text)
        return loader.get_single_data()
    except yaml.reader.ReaderError as error:
        if error.encoding == "unicode":
            strange = f"the character {chr(error.character)!r} at place {error.position + 1}, which text cannot have; remove it"
            raise ConfigError(f"{where} holds {strange}") from None
        raise ConfigError(f"{where} is no UTF-8 text ({error.reason}); save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark, problem, remedy = error.problem_mark, " ".join(error.problem.split())[:300], "mend it there or just before"
        if "twice" in problem:
            remedy = "keep one"
        elif "'\\t'" in problem:
            remedy = "indent with spaces, not with tabs"
    except (ValueError, OverflowError) as error:  # of an escape such as "\UFFFFFFFF", of which PyYAML says nothing
        mark, problem, remedy = loader.get_mark(), str(error), "mend it there or just before"
    finally:
        if loader:
            loader.dispose()
    raise ConfigError(f"{where} is not valid YAML in line {mark.line + 1}, column {mark.column + 1}: {problem}; {remedy}")


def shown(value: object) -> str:
    """A value as an error shows it: its repr, on one line and of at most 200 characters, whatever it is."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # lists that lie too deep; numbers of thousands of digits
        text = f"<{type(value).__name__} that is too large to show>"
    return text if len(text) <= 200 else f"{text[:197]}..."


def explain(error: Mapping[str, Any], known: Iterable[str]) -> str:
    """One sentence for one error of a pydantic model whose fields are `known`: value, rule, remedy."""
    key = str(error["loc"][0]) if error["loc"] else ""
    value, kind = error["input"], error["type"]
    said = shown(value)
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(key, known, n=1)
        return f"unknown parameter {key!r} = {said}" + (f"; did you mean {close[0]!r}?" if close else "; remove it")
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "string_pattern_mismatch":
        return f"{key} is {said}, but a name has only letters, digits, '_', '-' and '.'; choose one that exists"
    if kind == "list_type":
        return f"{key} is {said}, but must be a list; write [{said}] (in the runs or grid of a grid file, [[{said}]])"
    text = f"{key} is {said} ({type(value).__name__}), but: {error['msg'][0].lower()}{error['msg'][1:]}"
    if not isinstance(value, str) or kind not in ("float_type", "int_type"):
        return f"{text}; change it"
    try:
        number = float(value)
        whole = str(int(number))  # infinity and NaN are no numbers to suggest
    except (ValueError, OverflowError):
        return f"{text}; write a number"
    if "e" not in value.lower():
        return f"{text}; remove the quotes"
    exact = next(t for digits in range(1, 17) if float(t := f"{number:.{digits}e}") == number)
    return f"{text}; YAML reads {value} as text, write {exact if kind == 'float_type' else whole} without quotes"


def parse_changes(texts: list[str]) -> dict[str, Any]:
    """["seed=3", "data_root=/x"] as a mapping of plain values; ConfigError for a text without "=" or a key given twice."""
    changes: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise ConfigError(f"--set {text!r} changes nothing; write KEY=VALUE, such as --set seed=3")
        if key in changes:
            raise ConfigError(f"--set gives {key} twice, {changes[key]!r} and {value!r}; keep one")
        changes[key] = parse_yaml(value, f"--set {text!r}")
    return changes


def parse_options(texts: list[str], root: str | None = None) -> tuple[list[str], dict[str, Any]]:
    """What `--set KEY=VALUE` (several) and `--root DIR` ask for: as texts of `--set` alone, and as `parse_changes` reads them.

    root: a folder's name, whatever is in it: as a text of `--set` it is quoted, or YAML would take "2012" for a number and end
    "a #b" at the a.
    """
    quoted = [] if root is None else ["data_root=" + yaml.safe_dump(root, default_style='"', width=float("inf")).strip()]
    return [*texts, *quoted], parse_changes([*texts, *quoted])
