"""YAML as people write it: a mapping of plain values, or one sentence that says what is wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from .paths import params_root


class ConfigError(ValueError):
    """A parameter that is unknown, missing or of the wrong type, with the rule and the remedy."""


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; a name without a folder or suffix is looked up in `params/`.

    ConfigError if it is not there, is no YAML, or holds no mapping.
    """
    path = Path(path)
    if path.suffix == "" and path.parent == Path():
        path = params_root() / f"{path}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in params_root().glob("*.yaml"))
        raise ConfigError(f"no parameter file {path}; give a path, or one of: {', '.join(known)}")
    values = parse_yaml(path.read_bytes(), str(path))
    if not isinstance(values, dict):
        what = "nothing" if values is None else repr(values)[:80]
        raise ConfigError(f"{path} holds {what}, but must hold `key: value` lines; write some, for example from params/toy.yaml")
    return values


class _Loader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error; PyYAML would silently take the last."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node, seen = super().compose_mapping_node(anchor), set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands there twice", key.start_mark)
                seen.add(key.value)
        return node


def parse_yaml(text: str | bytes, where: str) -> Any:
    """The plain value that YAML text means; ConfigError with `where`, the line and the remedy if it is none."""
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        if isinstance(error, yaml.reader.ReaderError):
            raise ConfigError(f"{where} is no UTF-8 text ({error.reason}); save it as UTF-8") from None
        mark, problem, remedy = error.problem_mark, error.problem, "mend it there or just before"
        if "twice" in problem:
            remedy = "keep one"
        elif "'\\t'" in problem:
            remedy = "indent with spaces, not with tabs"
        raise ConfigError(
            f"{where} is not valid YAML in line {mark.line + 1}, column {mark.column + 1}: {problem}; {remedy}"
        ) from None


def explain(error: Mapping[str, Any], known: Iterable[str]) -> str:
    """One sentence for one error of a pydantic model whose fields are `known`: value, rule, remedy."""
    key = str(error["loc"][0]) if error["loc"] else ""
    value, kind = error["input"], error["type"]
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(key, known, n=1)
        return f"unknown parameter {key!r} = {value!r}" + (f"; did you mean {close[0]!r}?" if close else "; remove it")
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "string_pattern_mismatch":
        return f"{key} is {value!r}, but a name has only letters, digits, '_', '-' and '.'; choose one that exists"
    if kind == "list_type":
        return f"{key} is {value!r}, but must be a list; write [{value}] (in the runs or grid of a grid file, [[{value}]])"
    text = f"{key} is {value!r} ({type(value).__name__}), but: {error['msg'][0].lower()}{error['msg'][1:]}"
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
