"""How strong an injection is over the course of training."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from mho.errors import WrongSetting
from mho.hardware.spec import Spec


class Schedule(Spec):
    """A ramp from 0 to 1 over the first `warmup` share of the steps, then from 1 to `end`.

    Attributes:
        warmup: Share of the steps, in [0, 1].
        end: Strength at the last step.
        shape: How it goes there: linear or half a cosine.
    """

    warmup: float = Field(default=0.0, ge=0, le=1)
    """Share of the steps over which the strength grows from 0 to 1."""
    end: float = Field(default=1.0, ge=0)
    """Strength at the last step."""
    shape: Literal["linear", "cosine"] = "linear"
    """From 1 to `end`: a line, or half a cosine."""

    @model_validator(mode="after")
    def _possible(self) -> Schedule:
        if self.warmup == 1 and self.end != 1:
            raise WrongSetting("warmup = 1 leaves no step for 'end'", "give warmup < 1, or leave end = 1", path="end")
        return self

    @property
    def constant(self) -> bool:
        """Whether every step has the strength 1, however many there are."""
        return self.warmup == 0 and self.end == 1

    def strength(self, done: float) -> float:
        """The strength after a share `done` in [0, 1] of the steps."""
        if done < self.warmup:
            return done / self.warmup
        rest = 1.0 if self.warmup == 1 else (done - self.warmup) / (1 - self.warmup)
        rest = rest if self.shape == "linear" else (1 - math.cos(math.pi * rest)) / 2
        return 1 + (self.end - 1) * rest
