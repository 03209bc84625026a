"""A general variation with its reference, its distribution and its redraw written out, and stuck-at faults."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mho.errors import WrongSetting
from mho.hardware.definition import Definition
from mho.hardware.spec import Spec

Reference = Literal["ideal", "gmax", "range", "level", "weight_std", "weight_max"]

MEANING: dict[str, str] = {
    "ideal": "the cell's own ideal conductance (NeuroSim's 'vari')",
    "gmax": "the largest conductance",
    "range": "the span g_max - g_min",
    "level": "the distance of two neighbouring levels",
    "weight_std": "the standard deviation of the layer's weights",
    "weight_max": "the largest weight of the layer",
}


class Variation(Spec):
    """Random deviation of each cell (or weight, for the weight_* references) from what it should be."""

    sigma: float = Field(ge=0)
    """Standard deviation as a fraction of the reference."""
    relative_to: Reference
    """What sigma is a fraction of."""
    distribution: Literal["normal", "uniform", "lognormal"] = "normal"
    """Shape; uniform spans ±sqrt(3) sigma, lognormal is exp(sigma N) times the ideal value."""
    redraw: Literal["program", "read", "mvm", "conversion"] = "program"
    """program: frozen per chip; read: new at each evaluation; mvm: new for each product; conversion: new for each conversion of
    a batch, that is for each bit of the inputs where they come bit by bit, and shared by the batch (what DNN+NeuroSim does, whose
    independent draws average over the bits as errors of real cells do not)."""
    clip: Literal["none", "positive", "range"] = "positive"
    """Where the resulting conductance is cut off. A variation of weights, or of single products, cuts nothing off: none."""

    @model_validator(mode="before")
    @classmethod
    def _without_cells(cls, data: object) -> object:
        """`clip` is of conductances: nothing else has any."""
        if not isinstance(data, dict):
            return data
        what = "of weights" if str(data.get("relative_to")).startswith("weight") else ""
        drawn = {"mvm": "drawn per product", "conversion": "drawn per conversion"}
        what = drawn.get(str(data.get("redraw")), what)
        if what and data.get("clip", "none") != "none":
            raise WrongSetting(
                f"clip '{data['clip']}' has no effect on a variation {what}", "leave it out, or say clip: none"
            )
        return {**data, "clip": "none"} if what else data

    @model_validator(mode="after")
    def _possible(self) -> Variation:
        if self.redraw in ("mvm", "conversion") and self.distribution != "normal":
            raise WrongSetting(
                f"a {self.distribution} variation cannot be drawn per {'product' if self.redraw == 'mvm' else 'conversion'}",
                "noise per product is applied at the output, which is exact for normal ones only: redraw 'read'",
            )
        if self.distribution == "lognormal" and self.relative_to != "ideal":
            raise WrongSetting(
                f"a lognormal variation relative to '{self.relative_to}' has no meaning", "use relative_to: ideal"
            )
        return self

    @property
    def on_weights(self) -> bool:
        """True when it acts on whole weights, not on single cells."""
        return self.relative_to.startswith("weight")

    def definition(self) -> Definition:
        """Its meaning in words."""
        what = "weight" if self.on_weights else "cell conductance"
        cut = {"none": "", "positive": ", cut at 0", "range": ", cut at g_min and g_max"}[self.clip]
        return Definition(what, f"{self.sigma:g}", MEANING[self.relative_to], f"{self.distribution}{cut}", self.redraw)


class Faults(Spec):
    """Cells that do not answer to programming, drawn once per chip; they stay through every age."""

    stuck_low: float = Field(default=0.0, ge=0, le=1)
    """Share of cells stuck at g_min."""
    stuck_high: float = Field(default=0.0, ge=0, le=1)
    """Share of cells stuck at g_max."""

    @model_validator(mode="after")
    def _possible(self) -> Faults:
        if self.stuck_low + self.stuck_high > 1:
            raise WrongSetting(
                f"stuck_low + stuck_high = {self.stuck_low + self.stuck_high:g} > 1",
                "shares of cells add up to at most 1",
            )
        return self

    def __bool__(self) -> bool:
        return self.stuck_low + self.stuck_high > 0
