"""`RecalibrateThreshold`: where a binary network draws the line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mho.errors import BadInput, UseInstead, WrongSetting
from mho.recalibration.base import Recalibration
from mho.recalibration.digital import natively, outputs, reference
from mho.recalibration.shift import Scale, Shift, check_scale, single, to_logits


@dataclass(frozen=True, eq=False, repr=False)
class RecalibrateThreshold(Recalibration):
    """The threshold of a network with one output, as a shift of its logit, so that 0 (probability 0.5) is right again.

    With `digital_net`, and no labels: the share of positives becomes the digital network's. With labels in the batches
    instead: the threshold with the highest balanced accuracy, (true positive rate + true negative rate) / 2, on them;
    of several that are as good the one nearest to the old.

    Args:
        batches: Inputs; pairs (inputs, labels 0 or 1) where no `digital_net` is given.
        digital_net: The digital network, or what `to_analog` returned; only its share of positives is kept.
        scale: What the network answers with: "logits", or "probabilities" after a sigmoid.
    """

    digital_net: nn.Module | None = None
    scale: Scale = "logits"
    _wanted: Tensor = field(init=False)
    _by_rate: bool = field(init=False)
    kind: ClassVar[str] = "threshold"

    def __post_init__(self) -> None:
        check_scale(self.scale)
        object.__setattr__(self, "_by_rate", self.digital_net is not None)
        super().__post_init__()
        if self.digital_net is not None:
            digital = reference(self.digital_net)
            with natively(digital):
                wanted = self._logits(outputs(digital, self.inputs)) > 0
        else:
            wanted = torch.cat([torch.as_tensor(y).flatten() for _, y in self.batches])
            if bool(((wanted != 0) & (wanted != 1)).any()):
                raise BadInput(
                    "there are labels other than 0 and 1", "give the labels of a binary task", path="batches"
                )
            wanted = wanted.bool()
        if bool(wanted.all()) or not bool(wanted.any()):
            what = "the digital network answers" if self._by_rate else "the labels are"
            raise BadInput(
                f"{what} the same for all {len(wanted)} inputs", "give inputs of both classes", path="batches"
            )
        object.__setattr__(self, "_wanted", wanted)
        object.__setattr__(self, "digital_net", None)

    @property
    def labels(self) -> bool:
        """True when no digital network was given."""
        return not self._by_rate

    @property
    def inputs(self) -> tuple[Any, ...]:
        """The inputs of each batch."""
        return super().inputs if self._by_rate else tuple(x for x, _ in self.batches)

    def apply(self, net: nn.Module) -> str:
        """Hang a `Shift` behind the network."""
        z = self._logits(outputs(net, self.inputs))
        if len(z) != len(self._wanted):
            raise BadInput(
                f"{len(z)} outputs for {len(self._wanted)} " + ("labels" if self.labels else "digital ones"),
                "one a sample",
                path="batches",
            )
        threshold = _best(z, self._wanted) if self.labels else _at_rate(z, int(self._wanted.sum()))
        net.register_forward_hook(Shift(torch.tensor(-threshold, dtype=torch.float64), self.scale))
        return f"threshold {threshold:.3g}"

    def _logits(self, y: Tensor) -> Tensor:
        if not single(y):
            raise UseInstead(
                f"the network has outputs of shape {tuple(y.shape)}, not one a sample",
                "for several classes RecalibrateOutput(match='rate') matches how often each is predicted",
            )
        return to_logits(y, self.scale).flatten()

    def _held(self, batch: Any) -> Any:
        if self._by_rate:
            return super()._held(batch)
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise WrongSetting(
                "there are neither labels nor a digital network", "give pairs (inputs, labels), or digital_net"
            )
        return (batch[0], batch[1])

    def _options(self) -> dict[str, Any]:
        return {"match": "rate" if self._by_rate else "labels", "scale": self.scale}

    def _targets(self) -> Iterable[Tensor]:
        return (self._wanted,)

    def __str__(self) -> str:
        return f"{self.kind} ({'rate' if self._by_rate else 'labels'})"


def _at_rate(z: Tensor, positives: int) -> float:
    """In the middle between the logits of the last positive and the first negative."""
    ordered = z.sort(descending=True).values
    return float(ordered[positives - 1 : positives + 1].mean())


def _best(z: Tensor, positive: Tensor) -> float:
    """The threshold with the highest balanced accuracy, in the middle between two logits."""
    ordered, order = z.sort()
    label = positive[order].double()
    # Threshold j lies above the j lowest logits.
    below = torch.cat([label.new_zeros(1), label.cumsum(0)])
    index = torch.arange(len(z) + 1)
    missed, rejected = below / label.sum(), (index - below) / (1 - label).sum()
    balanced = (1 - missed + rejected) / 2
    middle = (ordered[1:] + ordered[:-1]) / 2
    candidates = torch.cat([ordered[:1] - 1, middle, ordered[-1:] + 1])
    separates = torch.cat(
        [torch.ones(1, dtype=torch.bool), ordered[1:] > ordered[:-1], torch.ones(1, dtype=torch.bool)]
    )
    balanced = torch.where(separates, balanced, -1.0)
    best = candidates[balanced >= balanced.max() - 1e-12]
    if float(_balanced(z, positive, 0.0)) >= float(balanced.max()) - 1e-12:
        return 0.0
    return float(best[best.abs().argmin()])


def _balanced(z: Tensor, positive: Tensor, threshold: float) -> Tensor:
    above = z > threshold
    return (above[positive].double().mean() + (~above[~positive]).double().mean()) / 2
