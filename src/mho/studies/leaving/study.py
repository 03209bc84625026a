"""Which exit a chip should use: exits over σ of the cells and over age, fixed ones, by entropy, and thresholds tuned again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import mho
from mho.data import Dataset
from mho.exits import Answers, Decided, ExitEnergy, exit_energy, observe, tune
from mho.hardware import Hardware
from mho.models.multi_exit import EXITS, MultiExit
from mho.statistics.intervals import mean_interval
from mho.studies.definitions import DEFINITIONS, SIGMAS, SLIDES
from mho.studies.figure import Figure
from mho.studies.leaving.arm import ExitsArm, arms
from mho.studies.leaving.claims import BRANCHYNET, CLAIMS, all_exits
from mho.studies.leaving.rows import BUDGET, LEAN, Seen, alone_row, place_row, row_of, tuned
from mho.studies.leaving.shown import branchynet, fronts, over_sigma, rules
from mho.studies.on_arrays import with_ranges
from mho.studies.outcome import Results
from mho.studies.placed import DIGITAL, Place, Rows
from mho.studies.study import Job, Scale, Study
from mho.studies.table import Table

AGES: Mapping[Scale, tuple[str, ...]] = {
    "smoke": ("1 year",), "cpu": ("1 h", "1 month", "1 year"), "full": ("1 h", "1 day", "1 month", "1 year"),
}  # fmt: skip


_RANGES = 500
"""Training images that set the ranges of converters."""
_DRAWN_ONCE = {(f"σ {sigma:g}", "0 s") for sigma in SIGMAS}
"""Places whose converters have the ranges of σ = 0."""


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
        "the input instead, as the tool of the slides does. Ages: the preset 'pcm'. Side classifiers stand on arrays, too, but "
        "for the arm of digital exits. The best exit, and entropy thresholds for "
        f"{100 * BUDGET:.0f} % of the multiply-accumulates, are chosen on 500 test images, for published networks know all "
        "training images, and reported on others, both drawn at random; thresholds of the digital network, or tuned again on "
        "each chip at its age. 'Fixed exits' at equal multiply-accumulates: the best mix of two by a coin, chosen on the same "
        "500. Other rules are tuned from these 500, too; a learned gate learns from one half and is tuned on the other. Energy: "
        "`mho.cost` with its generic constants, as a share of the network's without exits. 'Exit 1 alone': the loss is that "
        "exit's, and the network ends there; the last exit alone is the network without exits. Networks with "
        "trained backbones: three training seeds, which arms share; published backbones, on which exits alone are trained: one "
        "at `cpu` scale. Intervals are Student's over chips and images, to which that over training seeds is added in squares; "
        "of slopes and of shares that are kept over chips and seeds alone; between networks over chips and seeds, to which "
        "images are added in squares. They are of each comparison alone; of classes, and of leads that change with σ and age, "
        "of all together. Chips and images are the same for every seed and σ; at σ = 0, where all are alike, there is one "
        "chip. At `cpu` scale 10 chips: B-LeNet on MNIST (6,000 images, 8 epochs; all other test images are reported), "
        "B-AlexNet on CIFAR-10 (10,000 images, 20 epochs), published ResNets on CIFAR-10, exits of a convolution and a linear "
        "layer trained on top (10,000 images, 8 epochs) or jointly (12 epochs), 1,000 test images; B-AlexNet and what is "
        "trained jointly in bfloat16 mixed precision; 'redrawn' is measured on the published ResNet-20 alone, for it takes 17 "
        "times as long. About two hours in all with `--workers 2` on two cores."
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
        net, ranges = arm.trained(training, job), training.subset(_RANGES)
        if arm.alone:
            rows = [alone_row("digital", -1, "0 s", net, test, arm.alone)]
            for setting, age, number, old, _ in self._chips(arm, net, ranges, job):
                rows.append(alone_row(setting, number, age, old, test, arm.alone))
            return rows
        first = observe(net, left)
        (clean,) = tuned(first, BUDGET)
        digital = Seen.of(first, observe(net, test), clean)
        rows = [row_of("digital", -1, "0 s", digital, None) | _thrifty(digital)]
        found: dict[Place, list[Seen]] = {DIGITAL: [digital]}
        for setting, age, number, old, energy in self._chips(arm, net, ranges, job):
            seen = Seen.of(observe(old, left, seed=number), observe(old, test, seed=1 + number), clean)
            found.setdefault((setting, age), []).append(seen)
            rows.append(row_of(setting, number, age, seen, energy))
        return [*rows, *(place_row(*place, seen, len(found)) for place, seen in found.items())]

    def _chips(
        self, arm: ExitsArm, net: MultiExit, ranges: Dataset, job: Job
    ) -> Iterator[tuple[str, str, int, MultiExit, ExitEnergy]]:
        """Setting, age, number, and network of each chip; and what inferences take there. At σ = 0 all chips are alike."""
        quiet = None
        for setting, hw, ages in _settings(job.scale, redrawn=arm.redrawn):
            hw = hw.replace(digital=[EXITS]) if arm.digital_exits else hw
            if quiet is not None and (setting, ages[0]) in _DRAWN_ONCE:
                analog = cast("MultiExit", with_ranges(net, hw, quiet, ranges))
            else:
                analog = cast("MultiExit", mho.calibrate(mho.to_analog(net, hw, example=ranges.inputs[:2]), ranges))
            quiet = analog if quiet is None else quiet
            energy = exit_energy(analog, example=ranges.inputs[:1])
            for number in range(1 if setting == "σ 0" else self.chips[job.scale]):
                job.progress(f"{setting}, chip {number}")
                chip = mho.program(analog, seed=0, chip=number)
                for age in ages:
                    yield setting, age, number, cast("MultiExit", mho.fuse(chip.at(age), inplace=True)), energy

    def tables(self, results: Results[ExitsArm, Rows]) -> list[Table]:
        """Accuracy of exits, of the chosen one, and by entropy, at each setting and age; of other rules; BranchyNet's table."""
        found = all_exits(results)
        return [*(arm.table() for arm in found), rules(found), branchynet(found)]

    def figures(self, results: Results[ExitsArm, Rows]) -> list[Figure]:
        """For each network accuracy of each exit over σ, and accuracy over energy."""
        return [figure for arm in all_exits(results) for figure in (over_sigma(arm), *fronts(arm, results))]


def _settings(scale: Scale, *, redrawn: bool) -> Iterator[tuple[str, Hardware, Sequence[str]]]:
    for sigma in SIGMAS[:3:2] if scale == "smoke" else SIGMAS:
        yield f"σ {sigma:g}", DEFINITIONS["ideal"].hardware(sigma), ("0 s",)
    if redrawn and scale != "smoke":
        yield "σ 0.1, redrawn", replace(DEFINITIONS["bits"], bits=10).hardware(0.1), ("0 s",)
    yield "pcm", Hardware.preset("pcm"), AGES[scale]


def _thrifty(seen: Seen) -> dict[str, Any]:
    """Thresholds that lose half a point where they are chosen, and those for `LEAN`: what they lose, paired by images, and
    spend elsewhere."""
    least = max(seen.choice.accuracy() - 0.005, 0.01)
    found = {"one_point": tune(seen.choice, accuracy=least), "lean": tuned(seen.choice, LEAN)[0]}
    return {name: _lost(chosen.report(seen.test), seen.test) for name, chosen in found.items()}


def _lost(found: Decided, test: Answers) -> dict[str, Any]:
    gain = mean_interval((found.right.double() - test.right[:, -1].double()).numpy())
    return {
        "accuracy": round(found.accuracy.value, 6), "macs": round(found.macs_share, 6), "shares": found.shares,
        "gain": [round(v, 6) for v in (gain.value, gain.low, gain.high)],
    }  # fmt: skip
