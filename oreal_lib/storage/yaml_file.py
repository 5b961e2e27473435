"""YAML as people write it: a mapping of plain values, or one sentence that says what is wrong with it."""

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field

from .paths import params_root

Count = Annotated[int, Field(ge=1, le=2**31 - 1)]  # what every library below takes
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]


class ConfigError(ValueError):
    """A parameter that is unknown, missing or of the wrong type, with the rule and the remedy."""


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; a name without a folder or suffix is looked up in `params/`.

    ConfigError if there is no such file, or it holds anything else.
    """
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(f"a parameter file is {shown(path)}, but must be a name or a path, such as toy")
    path = Path(path)
    if path.suffix == "" and path.parent == Path():
        path = params_root() / f"{path}.yaml"
    try:
        text = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        known = sorted(p.stem for p in params_root().glob("*.yaml"))
        raise ConfigError(f"no parameter file {str(path)!r}; give a path, or one of: {', '.join(known)}") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise ConfigError(f"the parameter file {shown(str(path))} cannot be read ({error}); give another path") from error
    values = parse_yaml(text, str(path))
    if not isinstance(values, dict):
        what = "nothing" if values is None else shown(values)
        raise ConfigError(f"{path} holds {what}, but must hold `key: value` lines; write some, for example from params/toy.yaml")
    return values


class _Loader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error; PyYAML would silently take the last."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node, seen = super().compose_mapping_node(anchor), set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and not key.tag.endswith(":merge"):
                value = self.construct_object(key)  # 1, 1.0 and 0x1 are one key
                if value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands there twice", key.start_mark)
                seen.add(value)
        return node


REMEDIES = {"twice": "keep one", "'\\t'": "indent with spaces, not with tabs", '"<byte string>"': "save it as UTF-8"}


def parse_yaml(text: str | bytes, where: str) -> Any:
    """The plain value that YAML text means; ConfigError with `where`, the line and the remedy if it is not YAML."""
    try:
        return _Loader(text).get_single_data()
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2024-13-01
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = " ".join((getattr(error, "problem", None) or str(error)).split())
    remedy = next((remedy for sign, remedy in REMEDIES.items() if sign in problem), "fix it there or just before")
    raise ConfigError(f"{where} is not valid YAML{place}: {problem}; {remedy}")


def shown(value: object) -> str:
    """A value as an error shows it: its repr, in at most 200 characters."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def explain(error: Mapping[str, Any], known: Iterable[str]) -> str:
    """One sentence for one error of a pydantic model whose fields are `known`: value, rule, remedy."""
    key = str(error["loc"][0]) if error["loc"] else ""
    value, kind, said = error["input"], error["type"], shown(error["input"])
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(key, known, n=1)
        return f"unknown parameter {key!r} = {said}" + (f"; did you mean {close[0]!r}?" if close else "; remove it")
    if kind == "invalid_key":
        return f"unknown parameter {said}; remove it"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "string_pattern_mismatch":
        return f"{key} is {said}, but a name has only letters, digits, '_', '-' and '.'; choose one that exists"
    remedy = "change it"
    if kind == "list_type":
        remedy = f"write [{said}] (in the runs or grid of a grid file, [[{said}]])"
    elif kind == "string_type":
        remedy = f"put the text in quotes; with papermill write -r {key} and the text"
    elif kind.endswith("_type") and isinstance(value, str):
        remedy = f"write it without quotes, 1e-4 as 1.0e-4; with papermill -y '{key}: {said[1:-1]}'"
    return f"{key} is {said} ({type(value).__name__}), but: {error['msg'][0].lower()}{error['msg'][1:]}; {remedy}"


def explain_all(errors: Iterable[Mapping[str, Any]], known: Iterable[str]) -> str:
    """All errors of a pydantic model in one line, as `explain` says each; parameters that are missing are named together."""
    texts = [explain(error, known) for error in errors if error["type"] != "missing"]
    if missing := [str(error["loc"][0]) for error in errors if error["type"] == "missing"]:
        named = ", ".join(missing[:3]) + ", ..." * (len(missing) > 3)
        texts.append(f"parameters are missing: {named} ({len(missing)} in all); add them, for example from params/toy.yaml")
    return "; ".join(texts)


def values_of_notebook(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The values in the parameter file that a notebook's variable `base` names, changed by its other plain variables.

    Whatever has a plain value is taken for a parameter, so that a typo is found: papermill only warns. ConfigError without a `base`.
    """
    hidden, plain = ("In", "Out", "base", "runs_dir", "interactive"), (str, int, float, bool, dict, list, type(None))
    if "base" not in namespace:
        raise ConfigError("the notebook has no `base`, which names the file with the other values; write base = 'toy'")
    given = {k: v for k, v in namespace.items() if not k.startswith("_") and k not in hidden and isinstance(v, plain)}
    return read_yaml(namespace["base"]) | given


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
