"""`RecalibrateOutput`: a shift of the last outputs, so that on average they are the digital network's. No labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from mho.errors import BadInput, WrongSetting
from mho.recalibration.base import Recalibration
from mho.recalibration.digital import natively, outputs, reference
from mho.recalibration.shift import Scale, Shift, check_scale, class_shifts, single, to_logits


@dataclass(frozen=True, eq=False, repr=False)
class RecalibrateOutput(Recalibration):
    """One number a class that is added to the logits, from inputs without labels.

    "mean": the mean of each logit over the batches becomes the digital network's. "rate": each class is predicted as
    often as the digital network predicts it (`class_shifts`), for two classes or more.

    Args:
        batches: Inputs without labels.
        digital_net: The digital network, or what `to_analog` returned; only its outputs on the batches are kept.
        match: "mean" or "rate".
        scale: What the network answers with: "logits", or "probabilities" after a softmax or sigmoid.
    """

    digital_net: nn.Module | None
    match: Literal["mean", "rate"] = "mean"
    scale: Scale = "logits"
    _wanted: Tensor = field(init=False)
    kind: ClassVar[str] = "output"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.match not in ("mean", "rate"):
            raise WrongSetting(f"match = {self.match!r}", "'mean' or 'rate'", path="match")
        check_scale(self.scale)
        digital = reference(self.digital_net)  # type: ignore[arg-type]
        with natively(digital):
            wanted = self._statistic(outputs(digital, self.inputs))
        object.__setattr__(self, "_wanted", wanted)
        object.__setattr__(self, "digital_net", None)

    def apply(self, net: nn.Module) -> str:
        """Hang a `Shift` behind the network."""
        y = outputs(net, self.inputs)
        found = self._statistic(y)
        if found.shape != self._wanted.shape:
            raise BadInput(
                f"the chip gives {len(found)} outputs, the digital network {len(self._wanted)}",
                "give the network that was converted",
                path="digital_net",
            )
        z = to_logits(y, self.scale)
        shift = self._wanted - found if self.match == "mean" else class_shifts(z.flatten(0, -2), self._wanted)
        net.register_forward_hook(Shift(shift, self.scale))
        return f"shifts of {float(shift.abs().max()):.3g} at most"

    def _statistic(self, y: Tensor) -> Tensor:
        """Mean logit, or number of predictions, of each class."""
        z = to_logits(y, self.scale)
        if self.match == "mean":
            return z.mean().reshape(1) if single(y) else z.flatten(0, -2).mean(0)
        if single(y):
            raise WrongSetting(
                "one output has no classes to count", "RecalibrateThreshold matches the rate of positives"
            )
        return torch.bincount(z.flatten(0, -2).argmax(-1), minlength=z.shape[-1])

    def _options(self) -> dict[str, Any]:
        return {"match": self.match, "scale": self.scale}

    def _targets(self) -> Iterable[Tensor]:
        return (self._wanted,)

    def __str__(self) -> str:
        return self.kind if self.match == "mean" else f"{self.kind} ({self.match})"
