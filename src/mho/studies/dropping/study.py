"""Whether a policy that drops blocks pays on chips: against random and fixed choices, and rewarded on noisy or aged chips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

import mho
from mho.blocks import Reward, drop, every_choice, random_keep
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.models import block_drop
from mho.models.block_drop import BlockDrop
from mho.studies.definitions import DEFINITIONS, SIGMAS, SLIDES
from mho.studies.dropping.arm import EFFORTS, BlockArm, subject
from mho.studies.dropping.claims import CLAIMS, PUBLISHED
from mho.studies.dropping.learner import AGES, TRAINED_AT, Learner
from mho.studies.dropping.measured import CHOICES, Measured
from mho.studies.dropping.rows import digital_row, dropped, place_row, row_of
from mho.studies.figure import Figure, Series, points
from mho.studies.outcome import Results
from mho.studies.placed import DIGITAL, Rows
from mho.studies.study import Job, Scale, Study
from mho.studies.table import Table

_DRAWN_ONCE = {f"σ {sigma:g}" for sigma in SIGMAS}
"""Settings whose converters have the ranges of σ = 0."""


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
        "together (γ of the arm), the last epochs of it at a tenth of the rate: the *joint* policy. On the network as it is "
        "then, policies of the same beginning learn anew, for as many epochs each, drawn closer to their wish (a = 0.95 in "
        "place of 0.8, entropy 0.02 in place of 0.1): the *clean* one rewarded by the digital network, one by chips of "
        f"σ = {TRAINED_AT:g}, one by chips of `pcm` of random age; and, for ResNet-14, the *exact* one, which ascends the "
        "reward's mean over all 64 choices of blocks, computed for each training image, without bound or entropy. "
        "Each chip of training is new; those of the measurement are others. σ as in `early-exits`. The policy stays digital, "
        "but for the one 'on the chip'. Random blocks: as many for each image as the clean policy keeps. Fixed blocks: the "
        "best by 500 test images that are drawn at random and reported nowhere (they set the ranges of converters, too), of "
        "the number next below and above the clean policy's mean, to which accuracy is interpolated, or, 'earning most', of any "
        "number. 'By labels': each image's best choice, which knows the answer. Random, fixed and all blocks "
        "are those of the network that was tuned with the policy; the original network stands beside it. γ = 1 has three "
        "training seeds (of policies and joint training), γ = 5 one, whose intervals say nothing of seeds. "
        "Intervals are Student's over chips and images, to which that over training seeds is added in squares; of shares that "
        "are kept over chips and seeds, to which images are added in squares. At `cpu` scale 10,000 training images, 6 + 6 + 6 "
        "epochs in place of thousands (crops and flips while both learn), 10 epochs of the exact policy, 10 chips and 1,000 test "
        "images: about an hour and three quarters with `--workers 2` on two cores."
    )
    claims = CLAIMS
    sources = (PUBLISHED, SLIDES)
    chips: Mapping[Scale, int] = {"smoke": 2, "cpu": 10, "full": 25}  # type: ignore[misc]
    apart = True

    def arms(self, scale: Scale) -> list[BlockArm]:
        """The penalty first at which blocks are dropped."""
        if scale == "smoke":
            return [BlockArm("digits", "digits ResNet-14, γ = 5", "digits", seeds=1, exact=True)]
        twenty = BlockArm("resnet20-1", "ResNet-20, γ = 1", "resnet20", 3, network="cifar10_resnet20", penalty=1.0)
        fourteen = replace(twenty, name="resnet14-1", label="ResNet-14, γ = 1", group="resnet14", exact=True,
                           network="cifar10_resnet14b_crosssim")  # fmt: skip
        once = 3 if scale == "full" else 1
        dear = replace(twenty, name="resnet20-5", label="ResNet-20, γ = 5", penalty=5.0, seeds=once)
        found = [fourteen, twenty, dear]
        if scale == "full":
            deep = replace(twenty, name="resnet56-10", label="ResNet-56, γ = 10", network="cifar10_resnet56", width=16)
            found.append(replace(deep, penalty=10.0))
        return found

    def run(self, arm: BlockArm, job: Job) -> Rows:
        """A row for each setting, chip and age, with every choice of blocks."""
        if job.device != "cpu":
            raise WrongSetting(f"device {job.device}", "leave it out: policies learn on the CPU", path="device")
        effort = EFFORTS[job.scale]
        job.progress("backbone")
        backbone, training, choice, test = subject(arm, effort)
        learner = Learner(arm, effort, job, training, choice)
        nets = learner.policies(backbone)
        clean = nets["clean"]
        every_block = torch.ones(len(clean.droppable), dtype=torch.bool)
        keeps: dict[str, Tensor] = {name: drop(net, test).keep for name, net in nets.items()}
        keeps |= {"all": every_block, **learner.fixed(clean, keeps["clean"])}
        keeps["random"] = random_keep(keeps["clean"].sum(1), len(clean.droppable), seed=job.seed)
        original = block_drop(backbone, example=test.inputs[:2], policy=clean.policy)
        reward = Reward(arm.penalty)
        digital = dropped(clean, test, keeps) | {"original": drop(original, test, every_block)}
        rows, places = [digital_row(digital, reward)], {DIGITAL: [digital]}
        if arm.exact:
            rows[0]["oracle"] = round(every_choice(clean, test).oracle(reward), 6)
        wanted = {"clean": (clean, True), "on_chip": (clean, False), "original": (original, True)}
        quiet: dict[str, BlockDrop] = {}
        for setting, hw, ages in _settings(job.scale):
            again = quiet if setting in _DRAWN_ONCE else {}
            analog = {
                name: learner.analog(net, hw, digital=policy, ranged=again.get(name))
                for name, (net, policy) in wanted.items()
            }
            quiet = quiet or analog
            for number in range(1 if setting == "σ 0" else self.chips[job.scale]):
                job.progress(f"{setting}, chip {number}")
                chips = {name: mho.program(net, seed=0, chip=number) for name, net in analog.items()}
                for age in ages:
                    old = {n: cast("BlockDrop", mho.fuse(each.at(age), inplace=True)) for n, each in chips.items()}
                    found = dropped(old["clean"], test, keeps, seed=1)
                    found["on_chip"] = drop(old["on_chip"], test, seed=1)
                    found["original"] = drop(old["original"], test, every_block, seed=1)
                    places.setdefault((setting, age), []).append(found)
                    rows.append(row_of(setting, number, age, found, reward))
        return [*rows, *(place_row(*place, found, reward) for place, found in places.items())]

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
                for name in ("original", "all", "clean", "sigma", "random", "fixed")
            ]
            drawn.append(Figure(f"sigma-{outcome.arm.name}", outcome.arm.label, series, "accuracy (%)", "linear",
                                "σ of a cell", high=100, legend=True))  # fmt: skip
        return drawn


def _settings(scale: Scale) -> Iterator[tuple[str, Hardware, Sequence[str]]]:
    for sigma in SIGMAS[:3:2] if scale == "smoke" else SIGMAS:
        yield f"σ {sigma:g}", DEFINITIONS["ideal"].hardware(sigma), ("0 s",)
    yield "pcm", Hardware.preset("pcm"), AGES[scale]
