"""One run, fully described: every value that decides a result, typed and frozen; unknown names and wrong values are refused."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator

from .aggregate import parse_how
from .storage.devices import MachineFields
from .storage.yaml_file import ConfigError, Count, Positive, Share, Weight, explain_all, read_yaml, values_of_notebook
from .strategies import STRATEGIES
from .superpixels import MOST_SUPERPIXELS, Levels
from .types import MOST_STEPS
from .weak.fields import StageTwoFields, WeakFields

PROTOCOL = 1  # raised when the same values would give other results: run ids change, so no old run is reused

WITHOUT_SCORES = ("random", "stratified_random")  # strategies without scores to aggregate

# what is done to pictures before a network sees them, and what needs an encoder in training
NOT_FOR_FEATURES = dict.fromkeys(("augment_vflip", "augment_gain", "augment_brightness", "augment_jitter"), 0.0)
NOT_FOR_FEATURES |= dict.fromkeys(("augment_scale_min", "augment_scale_max", "head_factor"), 1.0)

NAME = r"^[\w.-]+$"  # a part of the run id, which names a folder


class RunConfig(StageTwoFields, WeakFields, MachineFields):
    """All values of one run. They come from `params/*.yaml`, where each is explained with its unit and source.

    The fields below are those of every run; those of weak labels and of stage two are in `weak.fields`, those that say where and how
    a run is computed in `storage.devices`.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    # data
    dataset: str = Field(pattern=NAME)
    data_options: dict[str, JsonValue] = Field(default={})
    height: int | None = Field(ge=16)
    width: int | None = Field(ge=16)
    resize: Literal["square", "crop"] = "square"
    evaluate_at: Literal["working", "native"] = "working"
    val_share: float = Field(gt=0, lt=1)
    val_images: Count | None = None
    val_by: Literal["image", "block", "sequence"]
    train_images: Count | None = None
    # superpixels and oracle
    superpixel_method: Literal["seeds", "slic", "grid"]
    superpixel_count: int = Field(ge=1, le=MOST_SUPERPIXELS)
    superpixel_levels: Levels = 5
    superpixel_prior: int = Field(default=3, ge=0, le=5)
    superpixel_bins: int = Field(default=10, ge=1, le=100)
    superpixel_double_step: bool = True
    superpixel_iterations: int = Field(default=10, ge=1, le=1000)
    superpixel_equalize: Literal["joint", "value", "none"] = "joint"
    superpixel_hue: Literal["official", "scaled"] = "official"
    superpixel_connectivity: Literal["official", "largest"] = "official"
    superpixel_compactness: Positive = 10.0
    superpixel_at: Literal["working", "native"] = "working"
    labeling: Literal["dominant", "weak", "exact"]
    void: Literal["vote", "exclude"]
    # the question
    supervision: Literal["active", "full_masks", "full_dominant"] = "active"
    first: Literal["random", "features"] = "random"
    strategy: str
    aggregate: str
    strategy_options: dict[str, JsonValue] = Field(default={})
    steps: int = Field(ge=1, le=MOST_STEPS)
    query_size: Count | None = None
    query_share: float | None = Field(default=None, gt=0, le=1)
    seed: int = Field(ge=0, lt=2**64)  # what torch takes
    # model and training
    model: str = Field(pattern=NAME)
    weights: str
    encoder: Literal["trained", "frozen"] = "trained"
    classifier: Literal["linear", "cosine"] = "linear"
    temperature: Positive = 0.1
    drop_contradicted: float = Field(default=0.0, ge=0, lt=1)
    warm_start: bool
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: Positive
    schedule: Literal["constant", "poly"] = "constant"
    head_factor: Positive = 1.0
    weight_decay: Weight
    batch_size: Count
    ema: float = Field(ge=0, lt=1)
    ema_warmup: bool
    max_epochs: Count
    epoch_batches: Count | None = None
    patience: Count
    full_min_epochs: Count
    full_max_epochs: Count
    augment_hflip: Share
    augment_vflip: Share
    augment_scale_min: Positive
    augment_scale_max: Positive
    augment_gain: float = Field(ge=0, lt=1)
    augment_brightness: float = Field(ge=0, lt=1)
    augment_jitter: float = Field(default=0.0, ge=0, lt=1)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    eval_batch_size: Count
    boundary_width: Count
    border_gap: int = Field(default=0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _one_name_per_run(cls, values: Any) -> Any:
        """Fields that a run does not use get a fixed value, so that equal runs have equal ids."""
        if isinstance(values, dict):
            values = dict(values)
            if values.get("supervision", "active") != "active":
                values |= {"strategy": "random", "drop_contradicted": 0.0}
            if values.get("strategy") in WITHOUT_SCORES:
                values |= {"aggregate": "mean", "strategy_options": {}}
            if values.get("encoder") == "frozen":
                values |= NOT_FOR_FEATURES
        return values

    @field_validator("strategy")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in STRATEGIES:  # looked up now, so that a strategy of your own can be among them
            raise ValueError(f"strategy is {value!r}, but must be one of {', '.join(STRATEGIES)}; change it")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "RunConfig":
        if parse_how(self.aggregate)[0] == "vote":
            raise ValueError("aggregate is 'vote', which counts classes; choose mean, max, sum, top_*, quantile_* or power_*")
        if (self.query_size is None) == (self.query_share is None):
            raise ValueError(
                f"query_size is {self.query_size} and query_share {self.query_share}, but exactly one decides how much is asked per "
                "step (superpixels, with weak labels clicks; or their share of the pool's superpixels); set the other to null"
            )
        if (self.height is None) != (self.width is None):
            raise ValueError(f"height is {self.height}, width is {self.width}; give both, or null for both (the native size)")
        if self.resize == "crop" and self.height is None:
            raise ValueError("resize is 'crop', but there is no size to crop to; give height and width, such as 513")
        if self.supervision != "active" and self.labeling != "dominant":
            raise ValueError(f"supervision is {self.supervision!r}, which buys no {self.labeling} labels; write labeling: dominant")
        if self.supervision != "active" and self.stage == 2:
            raise ValueError(f"stage is 2, but supervision is {self.supervision!r}, which asks nothing; write stage: 1")
        if self.classifier == "cosine" and self.model.startswith("segmenter"):
            raise ValueError(f"classifier is 'cosine', but {self.model} compares unit vectors already; write classifier: linear")
        if self.drop_contradicted and self.labeling == "weak":
            raise ValueError(
                f"drop_contradicted is {self.drop_contradicted}, but weak labels say for no pixel what it is; write 0.0"
            )
        if self.head_factor != 1 and self.model == "small_unet":
            raise ValueError(f"head_factor is {self.head_factor}, but small_unet has no backbone to learn slower; write 1.0")
        if self.encoder == "frozen":
            whole = self.pseudo_scales == [1.0] and not self.pseudo_flip
            fits = {
                "model": (self.model.startswith(("linear_", "mlp_")), "linear_<backbone> or mlp_<backbone>"),
                "weights": (self.weights != "none", "imagenet or a file"),
                "resize": (self.resize == "square", "square"),
                "epoch_batches": (self.epoch_batches is not None, "a number, such as 25"),
                "pseudo_scales": (whole, "[1.0], with pseudo_flip: false"),
            }
            if wrong := [f"{name} is {getattr(self, name)}, but must be {rule}" for name, (ok, rule) in fits.items() if not ok]:
                raise ValueError(f"encoder is 'frozen': {'; '.join(wrong)}; change that, or write encoder: trained")
        elif self.first == "features":
            raise ValueError("first is 'features', but only a frozen encoder has them; write encoder: frozen or first: random")
        for low, high in (("augment_scale_min", "augment_scale_max"), ("full_min_epochs", "full_max_epochs")):
            if (a := getattr(self, low)) > (b := getattr(self, high)):
                raise ValueError(f"{low} {a} is above {high} {b}; swap them")
        return self

    @classmethod
    def make(cls, values: Mapping[str, Any]) -> "RunConfig":
        """A config from plain values; ConfigError names every wrong key with its value, the rule and the remedy."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigError(explain_all(error.errors(), cls.model_fields)) from None

    @classmethod
    def from_yaml(cls, path: str | Path, **changes: Any) -> "RunConfig":
        """The config in a YAML file (a bare name means `params/<name>.yaml`), with some values changed."""
        return cls.make(read_yaml(path) | changes)

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, Any]) -> "RunConfig":
        """The config in a notebook's variables: `base` names a YAML file, every other parameter changes one value of it."""
        return cls.make(values_of_notebook(namespace))

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
        return self.strategy if self.strategy in WITHOUT_SCORES else f"{self.strategy} {self.aggregate}"

    @property
    def run_id(self) -> str:
        """Such as `toy-small_unet-oreal-max-dominant-s0-3f2a91`; the last part is a hash of all values and the protocol.

        Values equal to a field's default are left out, so that a field added later leaves the ids of older runs as they are.
        """
        values = self.model_dump(exclude=self._unused(), exclude_defaults=True)
        text = json.dumps([self.protocol, values], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:6]
        return f"{self.dataset}-{self.model}-{self.column.replace(' ', '-')}-{self.labeling}{'2' * (self.stage == 2)}-s{self.seed}-{digest}"

    @property
    def protocol(self) -> int:
        """PROTOCOL, or 2 for OREAL by max or a quantile, which under protocol 1 ranked entropies that float32 rounds to ties."""
        exact = self.supervision == "active" and self.strategy == "oreal" and self.aggregate.startswith(("max", "quantile"))
        return max(PROTOCOL, 2) if exact else PROTOCOL

    def _unused(self) -> set[str]:
        """Fields that have no effect on the results of this run."""
        unused = set(MachineFields.model_fields)
        if self.stage == 1:
            unused |= set(StageTwoFields.model_fields)
        if self.labeling != "weak":
            unused |= set(WeakFields.model_fields)
        if self.strategy != "oreal":
            unused.add("click_cut")
        if self.classifier == "linear":
            unused.add("temperature")
        return unused

    @property
    def stage_one(self) -> "RunConfig":
        """The run that a run of stage two continues. It keeps the weights of every step, since each makes pseudo labels."""
        return self.model_copy(update={"stage": 1, "keep_weights": "all"})

    @property
    def step_one(self) -> "RunConfig | None":
        """The run of one step that all strategies of a seed share: step 1 is random (our choice). None for that run itself, and under
        full supervision."""
        if self.supervision != "active" or (self.strategy == "random" and self.steps == 1):
            return None
        return self.model_copy(update={"strategy": "random", "aggregate": "mean", "strategy_options": {}, "steps": 1})

    @property
    def needs(self) -> "list[RunConfig]":
        """The runs that must be finished before this one."""
        return [c for c in (self.stage_one if self.stage == 2 else None, self.step_one) if c is not None]

    @property
    def rounds(self) -> int:
        """How often the network is trained: after each query; under full supervision once."""
        return self.steps if self.supervision == "active" else 1

    @property
    def epochs(self) -> tuple[int, int]:
        """The fewest and the most epochs of one training; in between, `patience` decides."""
        return (1, self.max_epochs) if self.supervision == "active" else (self.full_min_epochs, self.full_max_epochs)

    @property
    def keeps_undefined(self) -> bool:
        """Whether the network has one more output than there are classes, the last one for void."""
        return self.labeling == "weak" and self.undefined == "keep"
