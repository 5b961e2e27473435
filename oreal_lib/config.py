"""One run, fully described: every value that decides a result, typed, frozen, refused when it is not understood."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .aggregate import parse_how
from .paths import params_root

PROTOCOL = 1  # raise it when the same values would give other results: run ids change and nothing old is reused

# Where and how a run is computed, not what it computes: left out of the run id.
MACHINE_FIELDS = ("data_root", "device", "threads", "workers", "keep_weights", "checkpoint_seconds")


class ConfigError(ValueError):
    """A parameter that is unknown, missing or of the wrong type, with the rule and the remedy."""


class RunConfig(BaseModel):
    """All values of one run. They come from `params/*.yaml`, where each is explained with its unit and source."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    # data
    dataset: str
    data_root: str | None = None
    data_options: dict[str, Any] = {}
    height: int | None = Field(ge=16)
    width: int | None = Field(ge=16)
    val_share: float = Field(gt=0, lt=1)
    val_images: int | None = Field(default=None, ge=1)
    val_by: Literal["image", "block", "sequence"]
    train_images: int | None = Field(default=None, ge=1)
    # superpixels and oracle
    superpixel_method: Literal["seeds", "slic", "grid"]
    superpixel_count: int = Field(ge=1)
    superpixel_levels: int | Literal["auto"] = 5
    superpixel_prior: int = 3
    superpixel_bins: int = 10
    superpixel_double_step: bool = True
    superpixel_iterations: int = 10
    superpixel_equalize: Literal["joint", "value", "none"] = "joint"
    superpixel_hue: Literal["official", "scaled"] = "official"
    superpixel_connectivity: Literal["official", "largest"] = "official"
    superpixel_compactness: float = 10.0
    labeling: Literal["dominant"]
    void: Literal["vote", "exclude"]
    # the question
    supervision: Literal["active", "full_masks", "full_dominant"] = "active"
    strategy: Literal["random", "bvsb", "revisiting_sp", "pixelbal", "cbal", "oreal"]
    aggregate: str
    strategy_options: dict[str, Any] = {}
    steps: int = Field(ge=1)
    query_size: int | None = Field(default=None, ge=1)
    query_share: float | None = Field(default=None, gt=0, le=1)
    seed: int = Field(ge=0)
    # model and training
    model: str
    weights: str
    warm_start: bool
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    batch_size: int = Field(ge=1)
    ema: float = Field(ge=0, lt=1)
    ema_warmup: bool
    max_epochs: int = Field(ge=1)
    patience: int = Field(ge=1)
    full_min_epochs: int = Field(ge=1)
    full_max_epochs: int = Field(ge=1)
    augment_hflip: float = Field(ge=0, le=1)
    augment_vflip: float = Field(ge=0, le=1)
    augment_scale_min: float = Field(gt=0)
    augment_scale_max: float = Field(gt=0)
    augment_gain: float = Field(ge=0, lt=1)
    augment_brightness: float = Field(ge=0, lt=1)
    eval_batch_size: int = Field(ge=1)
    boundary_width: int = Field(ge=1)
    # machine
    device: str = "auto"
    threads: int = Field(default=1, ge=1)
    workers: int | None = Field(default=None, ge=1)
    keep_weights: Literal["last", "all"] = "last"
    checkpoint_seconds: float = Field(default=60.0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _one_name_per_run(cls, values: Any) -> Any:
        """Fields that a run does not use get one fixed value, so that the same run has one id."""
        if isinstance(values, dict):
            values = dict(values)
            if values.get("supervision", "active") != "active":
                values["strategy"] = "random"
            if values.get("strategy") == "random":
                values |= {"aggregate": "mean", "strategy_options": {}}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        if parse_how(self.aggregate)[0] == "vote":
            raise ValueError("aggregate is 'vote', which counts classes; choose mean, max, top_*, quantile_* or power_*")
        if (self.query_size is None) == (self.query_share is None):
            raise ValueError(
                "give exactly one of query_size (superpixels per step) and query_share (share of the pool), the other null"
            )
        if self.augment_scale_min > self.augment_scale_max:
            raise ValueError(
                f"augment_scale_min {self.augment_scale_min} is above augment_scale_max {self.augment_scale_max}; swap them"
            )
        if self.full_min_epochs > self.full_max_epochs:
            raise ValueError(
                f"full_min_epochs {self.full_min_epochs} is above full_max_epochs {self.full_max_epochs}; raise the latter"
            )
        return self

    @classmethod
    def make(cls, values: Mapping[str, Any]) -> RunConfig:
        """A config from plain values; ConfigError names every key that is wrong, its value, the rule and the remedy."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise ConfigError("; ".join(_explain(e, cls) for e in error.errors())) from None

    @classmethod
    def from_yaml(cls, path: str | Path, **changes: Any) -> RunConfig:
        """The config in a YAML file (a bare name means `params/<name>.yaml`), with some values changed."""
        return cls.make(read_yaml(path) | changes)

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, Any]) -> RunConfig:
        """The config in a notebook's variables: `base` names a YAML file, every other parameter changes one value of it.

        papermill only warns about parameters it does not know, so any other plain value is refused here as a typo.
        """
        hidden = {"In", "Out", "base", "runs_dir", "interactive"}
        given = {
            name: value
            for name, value in namespace.items()
            if not name.startswith("_")
            and name not in hidden
            and isinstance(value, (str, int, float, bool, dict, list, type(None)))
        }
        return cls.from_yaml(namespace["base"], **given)

    def values(self) -> dict[str, Any]:
        """Plain values, ready for JSON or papermill."""
        return self.model_dump()

    @property
    def superpixel_recipe(self) -> dict[str, Any]:
        """The superpixel_* values without their prefix: arguments of `superpixels.SuperpixelRecipe`."""
        return {k.removeprefix("superpixel_"): v for k, v in self.values().items() if k.startswith("superpixel_")}

    @property
    def column(self) -> str:
        """The strategy as a table names it: "random", "oreal max", "full_masks"."""
        if self.supervision != "active":
            return self.supervision
        return "random" if self.strategy == "random" else f"{self.strategy} {self.aggregate}"

    @property
    def run_id(self) -> str:
        """Such as `toy-small_unet-oreal-max-dominant-s0-3f2a91`; the last part is a hash of all values and the protocol.

        Values equal to a field's default are left out, so that a field added later leaves the ids of older runs as they are.
        """
        values = self.model_dump(exclude=set(MACHINE_FIELDS), exclude_defaults=True)
        text = json.dumps([PROTOCOL, values], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:6]
        return f"{self.dataset}-{self.model}-{self.column.replace(' ', '-')}-{self.labeling}-s{self.seed}-{digest}"


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; a name without a folder or suffix is looked up in `params/`."""
    path = Path(path)
    if path.suffix == "" and path.parent == Path():
        path = params_root() / f"{path}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in params_root().glob("*.yaml"))
        raise ConfigError(f"no parameter file {path}; give a path, or one of: {', '.join(known)}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds {type(values).__name__}, but must hold `key: value` lines")
    return values


def _explain(error: Any, cls: type[BaseModel]) -> str:
    """One sentence for one pydantic error: value, rule, remedy."""
    key = str(error["loc"][0]) if error["loc"] else ""
    value, kind = error["input"], error["type"]
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(key, cls.model_fields, n=1)
        return f"unknown parameter {key!r} = {value!r}" + (f"; did you mean {close[0]!r}?" if close else "; remove it")
    if kind == "missing":
        return f"parameter {key!r} is missing; add it, for example from params/toy.yaml"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    text = f"{key} is {value!r} ({type(value).__name__}), but: {error['msg'][0].lower()}{error['msg'][1:]}"
    if isinstance(value, str) and kind in ("float_type", "int_type"):
        try:
            text += (
                f"; YAML reads {value} as text, write {float(value):.1e} without quotes"
                if "e" in value.lower()
                else "; remove the quotes"
            )
            float(value)
        except ValueError:
            text += "; write a number"
    return text
