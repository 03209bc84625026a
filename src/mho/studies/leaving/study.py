"""Which exit a chip should use: exits over σ of the cells and over age, fixed ones, by entropy, and thresholds tuned again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import mho
from mho.exits import Answers, exit_energy, observe, tune
from mho.hardware import Hardware
from mho.models.multi_exit import MultiExit
from mho.statistics.intervals import mean_interval
from mho.studies.definitions import DEFINITIONS, SIGMAS, SLIDES
from mho.studies.figure import Figure
from mho.studies.leaving.arm import ExitsArm, arms
from mho.studies.leaving.claims import BRANCHYNET, CLAIMS, all_exits
from mho.studies.leaving.measured import BUDGET, lead_row, row_of, tuned
from mho.studies.leaving.shown import branchynet, fronts, over_sigma
from mho.studies.outcome import Results
from mho.studies.placed import Rows
from mho.studies.study import Job, Scale, Study
from mho.studies.table import Table

AGES: Mapping[Scale, tuple[str, ...]] = {
    "smoke": ("1 year",), "cpu": ("1 h", "1 month", "1 year"), "full": ("1 h", "1 day", "1 month", "1 year"),
}  # fmt: skip


_RANGES = 500
"""Training images that set the ranges of converters."""


class EarlyExits(Study[ExitsArm, Rows]):
    """Arms: networks, with weights of the joint loss, frozen or trained with their exits; networks of one exit's depth."""

    name = "early-exits"
    title = "Which exit a chip should use"
    question = (
        "Does a deeper exit fall faster with σ and still stay ahead; which exit is best on a chip of some σ or age, and for some "
        "class; do thresholds that are tuned again on the chip pay?"
    )
    protocol = (
        "σ: 8-bit weights in two cells of 4 bits with an offset column, 10-bit converters, each cell off by σ of its own ideal "
        "conductance, normal, drawn once a chip (the definition 'ideal' of `cim-resnet`); 'redrawn': for every batch and bit of "
        "the input instead, as the tool of the slides does. Ages: the preset 'pcm'. The best exit, and entropy thresholds for "
        f"{BUDGET:.0%} of the multiply-accumulates, are chosen on 500 test images, for published networks know all training "
        "images, and reported on other test images; thresholds of the digital network, or tuned again on each chip at its age. "
        "'Fixed exits' at equal multiply-accumulates: the best mix of two by a coin, chosen on the same 500. Energy: `mho.cost` "
        "with its generic "
        "constants, as a share of the network's without exits. 'Exit 1 alone': the loss is that exit's, so that the network "
        "ends there. Intervals are Student's over chips; those of leads over chips and images, of classes together. At `cpu` "
        "scale 10 chips and 1,000 test images: B-LeNet on MNIST (6,000 images, 8 epochs), B-AlexNet on CIFAR-10 (5,000 images, "
        "20 epochs), published ResNets on CIFAR-10 with exits trained on top (5,000 images, 3 epochs) or jointly with them, "
        "about one and a half hours in all with `--workers 2`."
    )
    sources = (SLIDES, BRANCHYNET)
    claims = CLAIMS
    chips: Mapping[Scale, int] = {"smoke": 2, "cpu": 10, "full": 25}  # type: ignore[misc]
    apart = True

    def arms(self, scale: Scale) -> list[ExitsArm]:
        """The quickest first."""
        return arms(scale)

    def run(self, arm: ExitsArm, job: Job) -> Rows:
        """A row for the digital network, one for each setting, chip and age, and one of leads for each setting and age."""
        training, left, test = arm.images()
        net = arm.trained(training, job)
        ranges = training.subset(_RANGES)
        first, seen = observe(net, left), observe(net, test)
        clean = tuned(first)
        rows = [row_of("digital", -1, "0 s", first, seen, clean, None) | {"one_point": _one_point(first, seen)}]
        settings = list(_settings(job.scale, redrawn=not arm.alone))
        places = sum(len(ages) for _, _, ages in settings)
        for setting, hw, ages in settings:
            analog = cast("MultiExit", mho.calibrate(mho.to_analog(net, hw, example=test.inputs[:2]), ranges))
            energy = exit_energy(analog, example=test.inputs[:1])
            found: dict[str, list[Answers]] = {age: [] for age in ages}
            for number in range(self.chips[job.scale]):
                job.progress(f"{setting}, chip {number}")
                chip = mho.program(analog, seed=0, chip=number)
                for age in ages:
                    old = cast("MultiExit", mho.fuse(chip.at(age), inplace=True))
                    found[age].append(observe(old, test, seed=1 + number))
                    rows.append(
                        row_of(setting, number, age, observe(old, left, seed=number), found[age][-1], clean, energy)
                    )  # fmt: skip
            rows += [lead_row(setting, age, answers, places) for age, answers in found.items()]
        return rows

    def tables(self, results: Results[ExitsArm, Rows]) -> list[Table]:
        """Accuracy of every exit, of the chosen exit, and by entropy, at each setting and age; BranchyNet's table."""
        found = all_exits(results)
        return [*(arm.table() for arm in found), branchynet(found)]

    def figures(self, results: Results[ExitsArm, Rows]) -> list[Figure]:
        """For each network accuracy of each exit over σ, and accuracy over energy."""
        return [figure for arm in all_exits(results) for figure in (over_sigma(arm), *fronts(arm, results))]


def _settings(scale: Scale, *, redrawn: bool) -> Iterator[tuple[str, Hardware, Sequence[str]]]:
    for sigma in SIGMAS[:3:2] if scale == "smoke" else SIGMAS:
        yield f"σ {sigma:g}", DEFINITIONS["ideal"].hardware(sigma), ("0 s",)
    if redrawn and scale != "smoke":
        yield "σ 0.1, redrawn", replace(DEFINITIONS["bits"], bits=10).hardware(0.1), ("0 s",)
    yield "pcm", Hardware.preset("pcm"), AGES[scale]


def _one_point(choice: Answers, test: Answers) -> dict[str, Any]:
    """Thresholds that lose half a point where they are chosen, and what they lose, paired by images."""
    found = tune(choice, accuracy=max(choice.accuracy() - 0.005, 0.01)).report(test)
    gain = mean_interval((found.right.double() - test.right[:, -1].double()).numpy())
    return {
        "accuracy": round(found.accuracy.value, 6), "macs": round(found.macs_share, 6), "shares": found.shares,
        "gain": [round(v, 6) for v in (gain.value, gain.low, gain.high)],
    }  # fmt: skip
