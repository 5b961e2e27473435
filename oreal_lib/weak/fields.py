"""The values of a run that only weak labels need (OREAL Table 4, MulActSeg); explained in `params/*.yaml`."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from ..storage.yaml_file import Positive, Weight


class WeakFields(BaseModel):
    """Used only with weak labels: not part of the run id of other runs. ValueError where all weights of the loss are 0."""

    label_trim: int = Field(default=3, ge=0)
    undefined: Literal["drop", "keep"] = "drop"
    click_cut: Literal["class", "order"] = "class"
    loss_single: Weight = 16.0
    loss_merged: Weight = 8.0
    loss_prototypical: Weight = 1.0

    @model_validator(mode="after")
    def _learns(self) -> "WeakFields":
        if self.loss_single + self.loss_merged + self.loss_prototypical == 0:
            raise ValueError("loss_single, loss_merged and loss_prototypical are all 0, so nothing is learned; raise one")
        return self


class StageTwoFields(BaseModel):
    """Used only in stage two: not part of the run id of other runs."""

    stage: Literal[1, 2] = 1
    stage_two_learning_rate: Positive | None = None
    pseudo_scales: Annotated[list[Positive], Field(min_length=1)] = [1.0]
    pseudo_flip: bool = False
