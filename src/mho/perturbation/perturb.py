"""`perturb`: what is left of a network under noise on its stored tensors."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mho.arguments import check_mode, many, network, number, whole
from mho.convert.trial import first_trial
from mho.errors import BadInput, NotFinite, WrongSetting
from mho.measure.names import name_of_network
from mho.measure.test_data import TestData
from mho.nn.calling import call
from mho.nn.modes import evaluating
from mho.perturbation.perturbation import Perturbation
from mho.perturbation.perturbed import perturbed
from mho.perturbation.result import PerturbationResult
from mho.progress import Progress, telling
from mho.recalibration import Recalibration
from mho.rng import reads
from mho.tasks import Named
from mho.tasks.parts import few

ETAS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4)
_SIZES = "give sizes of the noise, 0 or more: [0.01, 0.1]"


def perturb(
    net: nn.Module,
    batches: Iterable[Any],
    perturbation: Perturbation | None = None,
    etas: Sequence[float] | None = None,
    *,
    draws: int = 10,
    seed: int = 0,
    task: Named | None = None,
    name: str | None = None,
    recalibrate: Recalibration | None = None,
    progress: Progress | None = None,
) -> PerturbationResult:
    """Scores of a digital network without and with noise on its stored tensors, several draws at each size of the noise.

    Every pass costs what a digital one costs, and a draw of random numbers. The network that is given is not touched.

    Args:
        net: Any digital network.
        batches: Test data, as for `mho.drift`.
        perturbation: Which tensors, and what η is a share of; by default Gaussian noise on weights, of their standard deviation.
        etas: Sizes η of the noise; 0 is always measured. By default from 0.01 to 0.4 of a standard deviation or a value, a
            quarter of that of the largest, an eighth of the range.
        draws: Draws at each η; draw *i* is the same at every η and for every network of the same names and shapes.
        seed: Root of the draws.
        task: What is scored: a name or a `mho.tasks.Task`; "classes" by default.
        name: Of the network, in tables.
        recalibrate: What is mended after each draw, with the noise frozen, as ``RecalibrateNorms(batches, net)``; the clean
            network is measured without it.
        progress: Is told what is done, as for `mho.drift`.

    Returns:
        Scores of every draw and sample, with the curves, averages and thresholds that they give.

    Raises:
        WrongSetting: A negative η, no draw, a scope without tensors, an analog network, or nothing to recalibrate.
        BadInput: The data is refused, is one sample, or the network does not run on it.
        NotFinite: Answers without noise are not; or answers with noise, where the score is no share of right ones.
    """
    check_mode()
    network(net)
    noise = Perturbation() if perturbation is None else perturbation
    if not isinstance(noise, Perturbation):
        raise WrongSetting(f"perturbation is a {type(noise).__name__}", "give a mho.perturbation.Perturbation",
                           path="perturbation")  # fmt: skip
    if etas is None:
        etas = [eta / noise.deviations for eta in ETAS]
    sizes = sorted(
        {number(eta, "etas", "sizes of the noise, 0 or more: [0.01, 0.1]", least=0) for eta in many(etas, "etas")}
        - {0.0}
    )
    if not sizes:
        raise WrongSetting("etas holds no size above 0", _SIZES, path="etas")
    draws, data = whole(draws, "draws"), TestData.of(batches, task=task)
    if data.info.samples < 2:
        raise BadInput("one sample says nothing of a network", "give two or more", path="data")
    own = copy.deepcopy(net)
    if not (recalibrate is None or isinstance(recalibrate, Recalibration)):
        raise WrongSetting(
            f"recalibrate is a {type(recalibrate).__name__}",
            "give a mho.recalibration.Recalibration",
            path="recalibrate",
        )
    untouched = noise.untouched(own)
    if len(untouched) == len(noise.tensors(own)):
        raise WrongSetting(
            f"all that is to be disturbed ({', '.join(untouched[:4])} …) has the {noise.reference} 0: noise would change nothing",
            "give another reference or scope", path="perturbation",
        )  # fmt: skip
    x = few(data.batches[0][0])
    with _as_before(own):
        first_trial(own, *(x if type(x) is tuple else (x,)))
    jobs = [(0.0, 0), *((eta, draw) for eta in sizes for draw in range(draws))]
    rows: list[NDArray[Any]] = []
    broken: list[int] = []
    with telling(progress, "perturb", "draws") as told, evaluating(own):
        told(0, len(jobs))
        for eta, draw in jobs:
            with _as_before(own), perturbed(own, noise, eta, seed=seed, draw=draw):
                if recalibrate is not None and eta:
                    with torch.no_grad():
                        recalibrate.apply(own)
                values, bad = _scores(own, data, seed, eta)
            if bad and not eta:
                raise NotFinite(f"{bad} of {len(values)} answers are not finite without noise",
                               "look for weights and statistics that are not finite", path="net")  # fmt: skip
            rows.append(values)
            broken.append(bad)
            score = data.task.headline
            told(len(rows), len(jobs), known=f"{score.label} {score.show(float(values.mean()))} at η = {eta:g}")
    whole_table = np.stack(rows[1:]).reshape(len(sizes), draws, -1)
    return PerturbationResult(
        noise, tuple(sizes), seed, name or name_of_network(net), data.info, data.task.headline, rows[0], whole_table,
        np.array(broken[1:]).reshape(len(sizes), draws), untouched,
    )  # fmt: skip


@contextmanager
def _as_before(net: nn.Module) -> Iterator[None]:
    """After the block every buffer is what it was: what recalibrations change of a digital network."""
    kept = [(buffer, buffer.clone()) for buffer in net.buffers()]
    try:
        yield
    finally:
        for buffer, value in kept:
            buffer.copy_(value)


@torch.no_grad()
def _scores(net: nn.Module, data: TestData, seed: int, eta: float) -> tuple[NDArray[Any], int]:
    """Worths of the samples, and how many answers were not finite: wrong ones."""
    score, parts, broken = data.task.headline, [], 0
    for i, (x, y) in enumerate(data.batches):
        with reads(seed, "perturbation", i):
            found = data.task.score(call(net, x), y).scores
        bad = (
            ~torch.isfinite(found["loss"]) if "loss" in found else torch.zeros(len(found[score.name]), dtype=torch.bool)
        )
        values = found[score.name]
        bad = bad | ~torch.isfinite(values.float())
        count = int(bad.sum())
        if count and not score.share:
            raise NotFinite(
                f"{count} answers are not finite at η = {eta:g}", "measure smaller η, or clamp=True", path="etas"
            )
        broken += count
        parts.append(torch.where(bad, torch.zeros_like(values), values).cpu())
    return score.signed(torch.cat(parts).numpy()), broken
