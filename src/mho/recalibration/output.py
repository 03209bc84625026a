"""`RecalibrateOutput`: a shift of the last outputs, so that on average they are the digital network's. No labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from mho.errors import BadInput, WrongSetting
from mho.nn.partial import deciding_as, noting, partials
from mho.recalibration.base import Recalibration
from mho.recalibration.digital import natively, outputs_by_exit, reference
from mho.recalibration.shift import Scale, Shift, check_scale, class_shifts, single, to_logits


@dataclass(frozen=True, eq=False, repr=False)
class RecalibrateOutput(Recalibration):
    """One number a class that is added to the logits, from inputs without labels.

    "mean": the mean of each logit over the batches becomes the digital network's. "rate": each class is predicted as
    often as the digital network predicts it (`class_shifts`), for two classes or more.
    Of a network with exits, each exit is shifted. Of one that drops blocks, the chip is compared under the blocks
    that the digital network keeps.

    Args:
        batches: Inputs without labels.
        digital_net: The digital network, or what `to_analog` returned; only its outputs on the batches are kept.
        match: "mean" or "rate".
        scale: What the network answers with: "logits", or "probabilities" after a softmax or sigmoid.
    """

    digital_net: nn.Module | None
    match: Literal["mean", "rate"] = "mean"
    scale: Scale = "logits"
    _wanted: dict[str, Tensor] = field(init=False)
    _kept: tuple[Any, ...] = field(init=False)
    kind: ClassVar[str] = "output"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.match not in ("mean", "rate"):
            raise WrongSetting(f"match = {self.match!r}", "'mean' or 'rate'", path="match")
        check_scale(self.scale)
        digital = reference(self.digital_net)  # type: ignore[arg-type]
        kept: list[Any] = []
        with natively(digital), noting(digital, kept):
            found = outputs_by_exit(digital, self.inputs)
            wanted = {name: self._statistic(y) for name, y in found.items()}
        object.__setattr__(self, "_wanted", wanted)
        object.__setattr__(self, "_kept", tuple(kept))
        object.__setattr__(self, "digital_net", None)

    def apply(self, net: nn.Module) -> str:
        """Hang a `Shift` behind the network, or behind each of its exits."""
        if bool(partials(net)) != bool(self._kept):
            said = "one of the chip and the digital network drops blocks, the other does not"
            raise BadInput(said, "give the network that was converted", path="digital_net")
        with deciding_as(net, self._kept):
            found = outputs_by_exit(net, self.inputs)
        if found.keys() != self._wanted.keys():
            raise BadInput("not the same exits", "give the network that was converted", path="digital_net")
        shifts = {name: self._shift(y, self._wanted[name]) for name, y in found.items()}
        for name, shift in shifts.items():
            if name:
                cast("dict[str, Any]", net.adjust)[name] = shift.shifted
            else:
                net.register_forward_hook(shift)
        return f"shifts of {max(float(shift.values.abs().max()) for shift in shifts.values()):.3g} at most"

    def _shift(self, y: Tensor, wanted: Tensor) -> Shift:
        found = self._statistic(y)
        if found.shape != wanted.shape:
            raise BadInput(
                f"the chip gives {len(found)} outputs, the digital network {len(wanted)}",
                "give the network that was converted",
                path="digital_net",
            )
        z = to_logits(y, self.scale)
        return Shift(wanted - found if self.match == "mean" else class_shifts(z.flatten(0, -2), wanted), self.scale)

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
        return self._wanted.values()

    def __str__(self) -> str:
        return self.kind if self.match == "mean" else f"{self.kind} ({self.match})"
