"""`Setting`: which noise a network is measured with; the sizes are such that settings do comparable harm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from mho.data import Dataset
from mho.perturbation import Perturbation, perturb
from mho.perturbation.perturb import ETAS
from mho.progress import Progress
from mho.recalibration import RecalibrateNorms
from mho.statistics.intervals import wilson_interval
from mho.studies.study import Scale

DRAWS: dict[Scale, int] = {"smoke": 3, "cpu": 10, "full": 20}
SEEDS: dict[Scale, int] = {"smoke": 2, "cpu": 3, "full": 5}
_ETAS: dict[Scale, tuple[float, ...]] = {"smoke": (0.1, 0.4), "cpu": ETAS, "full": ETAS}
_BATCH = 50
"""Images at a time: what layers of such small networks hand on stays in a core's cache, which saves a fifth of the time."""


@dataclass(frozen=True)
class Setting:
    """A kind of noise.

    Attributes:
        label: How tables name it.
        noise: Which tensors, and what η is a share of.
        recalibrated: Statistics of batch norms are taken anew under the frozen noise.
    """

    label: str
    noise: Perturbation
    recalibrated: bool = False

    def etas(self, scale: Scale) -> tuple[float, ...]:
        """Sizes of the noise."""
        return tuple(eta / self.noise.deviations for eta in _ETAS[scale])


SETTINGS = {
    "weights": Setting("weights", Perturbation()),
    "parameters": Setting("weights, biases, γ, β", Perturbation("parameters")),
    "all": Setting("every stored tensor", Perturbation("all")),
    "statistics": Setting("running statistics", Perturbation("statistics")),
    "channel": Setting("weights, σ by channel", Perturbation(per="channel")),
    "max": Setting("weights, of the largest", Perturbation(reference="max")),
    "range": Setting("weights, of the range", Perturbation(reference="range")),
    "recalibrated": Setting("weights, norms recalibrated", Perturbation(), recalibrated=True),
}
"""By name. Where it is not said otherwise, η is a share of the tensor's standard deviation."""


def measured(
    net: nn.Module, test: Dataset, names: Sequence[str], scale: Scale, *, ranges: Dataset | None = None,
    progress: Progress = None, **about: Any,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Rows of a network: one without noise, then one for each setting and size, with the scores of all draws and
    how many answers of each were not finite, which count as wrong.

    The draws of every network are the same where its tensors have the same names and shapes.

    Args:
        net: The digital network, in eval mode.
        test: Images with labels.
        names: Of `SETTINGS`.
        scale: Decides draws and sizes.
        ranges: What norms are recalibrated with.
        progress: Told of the draws.
        about: What else the first row says.
    """
    test, clean = replace(test, batch=_BATCH), None
    for name in names:
        setting = SETTINGS[name]
        mend = RecalibrateNorms(ranges, net) if setting.recalibrated and ranges is not None else None
        found = perturb(
            net, test, setting.noise, setting.etas(scale), draws=DRAWS[scale], recalibrate=mend, progress=progress
        )
        if clean is None:
            clean = found.digital
            yield clean_row(clean, test, **about)
        for i, eta in enumerate(found.etas):
            yield {
                "setting": name, "eta": eta, "scores": [round(float(score), 6) for score in found.means[:, i]],
                "not_finite": found.not_finite[i].tolist(),
            }  # fmt: skip


def clean_row(score: float, test: Dataset, **about: Any) -> dict[str, Any]:
    """The row of a network without noise. It has learned nothing where its score is not above chance for certain."""
    images, chance = len(test.labels), 1 / len(test.classes)
    learned = wilson_interval(round(score * images), images).low > chance
    return {"setting": "clean", "score": score, "images": images, "chance": chance, "learned": learned, **about}


def absent_row(why: str, test: Dataset, **about: Any) -> dict[str, Any]:
    """The row of a network that there is not, for its training diverged or did not get where it should."""
    return {**clean_row(0.0, test, **about), "absent": why}
