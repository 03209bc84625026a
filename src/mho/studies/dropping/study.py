"""Whether a policy that drops blocks pays on chips: against random and fixed choices, and rewarded on noisy or aged chips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

import mho
from mho.blocks import Reward, drop, random_keep
from mho.hardware import Hardware
from mho.models.block_drop import BlockDrop
from mho.studies.definitions import DEFINITIONS, SIGMAS, SLIDES
from mho.studies.dropping.arm import EFFORTS, BlockArm, subject
from mho.studies.dropping.claims import CLAIMS, PUBLISHED
from mho.studies.dropping.learner import AGES, TRAINED_AT, Learner
from mho.studies.dropping.measured import CHOICES, Measured, digital_row, row_of
from mho.studies.figure import Figure, Series, points
from mho.studies.outcome import Results
from mho.studies.placed import Rows
from mho.studies.study import Job, Scale, Study
from mho.studies.table import Table


class BlockDropStudy(Study[BlockArm, Rows]):
    """Arms: networks, with penalties."""

    name = "block-drop"
    title = "Which blocks a chip should compute"
    question = (
        "Does a policy that drops residual blocks beat random and fixed choices of as many blocks, also on chips, and does a "
        "policy that was rewarded on noisy or aged chips beat a clean one there?"
    )
    protocol = (
        "A published network with a ResNet-8 of width 4 as policy: the policy alone with a curriculum (γ = 1), then both "
        "together (γ of the arm), then three copies of the policy alone for as many epochs each: rewarded by the digital "
        f"network, by chips of σ = {TRAINED_AT:g}, and by chips of `pcm` of random age. Each chip of training is new; those of "
        "the measurement are others. σ as in `early-exits`. The policy stays digital, but for the one 'on the chip'. Random "
        "blocks: as many for each image as the clean policy keeps. Fixed blocks: the best by 500 test images that are "
        "reported nowhere, of the number next below and above the policy's mean, to which accuracy is interpolated. All choices "
        "share backbone, chips and images; intervals are Student's over chips, for the digital network over images, paired. At "
        "`cpu` scale 4,000 training images, 6 + 4 + 3 epochs in place of thousands, 10 chips and 1,000 test images: about half "
        "an hour an arm, and `--workers 2` measures two at a time."
    )
    claims = CLAIMS
    sources = (PUBLISHED, SLIDES)
    chips: Mapping[Scale, int] = {"smoke": 2, "cpu": 10, "full": 25}  # type: ignore[misc]
    apart = True

    def arms(self, scale: Scale) -> list[BlockArm]:
        """The published penalty first."""
        if scale == "smoke":
            return [BlockArm("digits", "digits ResNet-14, γ = 5", "digits")]
        twenty = BlockArm("resnet20-5", "ResNet-20, γ = 5", "resnet20", network="cifar10_resnet20")
        found = [
            twenty, replace(twenty, name="resnet20-1", label="ResNet-20, γ = 1", penalty=1.0),
            replace(twenty, name="resnet14-5", label="ResNet-14, γ = 5", network="cifar10_resnet14b_crosssim"),
        ]  # fmt: skip
        if scale == "full":
            deep = replace(twenty, name="resnet56-10", label="ResNet-56, γ = 10", network="cifar10_resnet56", width=16)
            found.append(replace(deep, penalty=10.0))
        return found

    def run(self, arm: BlockArm, job: Job) -> Rows:
        """A row for each setting, chip and age, with every choice of blocks."""
        effort = EFFORTS[job.scale]
        job.progress("backbone")
        backbone, training, choice, test = subject(arm, effort)
        learner = Learner(arm, effort, job, training, choice)
        nets = learner.policies(backbone)
        clean = nets["clean"]
        keeps: dict[str, Tensor] = {name: drop(net, test).keep for name, net in nets.items()}
        fewer, more = learner.fixed(clean, keeps["clean"])
        keeps |= {"all": torch.ones(len(clean.droppable), dtype=torch.bool), "fewer": fewer, "more": more}
        keeps["random"] = random_keep(keeps["clean"].sum(1), len(clean.droppable))
        reward = Reward(arm.penalty)
        found = {name: drop(clean, test, keep) for name, keep in keeps.items()}
        rows = [digital_row(found, reward)]
        for setting, hw, ages in _settings(job.scale):
            analog = learner.analog(clean, hw)
            policy_too = learner.analog(clean, hw, digital=False)
            for number in range(1 if setting == "σ 0" else self.chips[job.scale]):
                job.progress(f"{setting}, chip {number}")
                chip, other = mho.program(analog, seed=0, chip=number), mho.program(policy_too, seed=0, chip=number)
                for age in ages:
                    old, own = (cast("BlockDrop", mho.fuse(each.at(age), inplace=True)) for each in (chip, other))
                    seen = {name: drop(old, test, keep, seed=1) for name, keep in keeps.items()}
                    rows.append(row_of(setting, number, age, seen | {"on_chip": drop(own, test, seed=1)}, reward))
        return rows

    def tables(self, results: Results[BlockArm, Rows]) -> list[Table]:
        """Accuracy of every choice at each setting; blocks, policies, reward and cost of each."""
        return [
            table
            for outcome in results.values()
            for table in (Measured(outcome).accuracies(), Measured(outcome).costs())
        ]

    def figures(self, results: Results[BlockArm, Rows]) -> list[Figure]:
        """Accuracy of each choice over σ."""
        drawn = []
        for outcome in results.values():
            arm = Measured(outcome)
            series = [
                Series(CHOICES[name], points([arm.level((f"σ {s:g}", "0 s"), name) for s in arm.sigmas]), arm.sigmas)
                for name in ("all", "clean", "sigma", "random", "fixed")
            ]
            drawn.append(Figure(f"sigma-{outcome.arm.name}", outcome.arm.label, series, "accuracy (%)", "linear",
                                "σ of a cell", legend=True))  # fmt: skip
        return drawn


def _settings(scale: Scale) -> Iterator[tuple[str, Hardware, Sequence[str]]]:
    for sigma in SIGMAS[:3:2] if scale == "smoke" else SIGMAS:
        yield f"σ {sigma:g}", DEFINITIONS["ideal"].hardware(sigma), ("0 s",)
    yield "pcm", Hardware.preset("pcm"), AGES[scale]
