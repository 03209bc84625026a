"""`learn`: the loop in which a policy learns, alone with a curriculum, or together with its network."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from mho.arguments import number, whole
from mho.blocks.chips import RandomChips
from mho.blocks.dropped import check_policy
from mho.blocks.reward import Reward
from mho.blocks.step import PolicyStep, policy_step
from mho.errors import BadInput, WrongSetting
from mho.models.block_drop import BlockDrop
from mho.nn.matrix import matrices
from mho.progress import Progress, check_progress, telling
from mho.rng import key, reads
from mho.tasks.classes import Classes
from mho.training.hwa import HWA
from mho.training.loop.loader import Augment, hold


@dataclass(frozen=True)
class Epoch:
    """What an epoch found, mean over its samples.

    Attributes:
        reward: Of the blocks that were drawn.
        baseline: Of the likeliest blocks.
        accuracy: Share of right answers with the blocks that were drawn.
        blocks: Number of the likeliest blocks.
        policies: Distinct choices among the likeliest blocks of all samples.
        free: Blocks that the curriculum let be dropped.
    """

    reward: float
    baseline: float
    accuracy: float
    blocks: float
    policies: int
    free: int


@torch.enable_grad()
def learn(
    net: BlockDrop, data: Iterable[Any], *, epochs: int, reward: Reward | None = None, joint: bool = False,
    curriculum: int | None = None, chips: RandomChips | None = None, hwa: HWA | None = None, lr: float | None = None,
    batch: int = 256, bound: float = 0.8, entropy: float | None = None, augment: Augment | None = None, seed: int = 0,
    progress: Progress = True,
) -> tuple[Epoch, ...]:  # fmt: skip
    """Let a policy learn which blocks to keep, in place; afterwards the network is in eval mode.

    As published (BlockDrop, arXiv:1711.08393): first the policy alone with a curriculum, by Adam at 1e-3, an entropy of 0.1 and
    a penalty of 1; then, with ``joint=True``, policy and network together at 1e-4 with the cross-entropy beside, without
    entropy, and a penalty of 10. The result depends on the arguments alone.

    Args:
        net: With a policy; digital, or converted (and calibrated), as `chips` and `hwa` need it.
        data: A data set of `mho.data`, or batches (inputs, labels); shuffled anew each epoch.
        epochs: Passes over the data.
        reward: Of a choice of blocks; None: ``Reward(10)`` with `joint`, else ``Reward(1)``.
        joint: The network learns with its policy.
        curriculum: Epochs over which the blocks become free, from the last to the first; 0: all are free at once. None: without
            `joint` one epoch a block, but at most half of the epochs.
        chips: The reward is that of chips of random seed and age; the policy that learns stays outside them.
        hwa: Hardware-aware training of what learns, where it is on arrays.
        lr: Rate of Adam; None: as published.
        batch: Samples in a step.
        bound: See `policy_step`.
        entropy: See `policy_step`; None: as published.
        augment: (inputs, generator) to inputs, on each batch.
        seed: Root of every address.
        progress: True for a bar, or told of the steps (`mho.progress.Step`).

    Raises:
        WrongSetting: No policy, a setting outside its range, `chips` or `hwa` for a network that is not converted, or a network
            that is a programmed chip.
        BadInput: No data, no labels or such as the network has no score for, or a loss that is not finite.
    """
    check_policy(net)
    epochs, batch, seed = whole(epochs, "epochs"), whole(batch, "batch"), whole(seed, "seed", least=0)
    reward = reward or Reward(10.0 if joint else 1.0)
    rate = number((1e-4 if joint else 1e-3) if lr is None else lr, "lr", "give a rate above 0", above=0)
    weight = (0.0 if joint else 0.1) if entropy is None else entropy
    blocks = len(net.droppable)
    ramp = (
        (0 if joint else min(blocks, epochs // 2)) if curriculum is None else whole(curriculum, "curriculum", least=0)
    )
    if any(matrix.programmed for matrix in matrices(net)):
        raise WrongSetting(
            "this network is a programmed chip", "let the converted one learn, with chips=RandomChips(...)"
        )
    if chips is not None:
        if not isinstance(chips, RandomChips):
            raise WrongSetting(f"chips = {chips!r}", "give RandomChips(...)", path="chips")
        chips.check(net)
    check_progress(progress)
    held = hold(data, Classes())
    if held.targets is None:
        raise BadInput("there are no labels", "give batches (inputs, labels)", path="data")
    steps = math.ceil(len(held) / batch)
    learning = net if joint else net.policy
    if hwa is not None and matrices(net) and not matrices(learning):
        remedy = "leave hwa out, let the network learn with joint=True, or convert without digital=['policy']"
        raise WrongSetting("the policy, which learns alone, is digital", remedy, path="hwa")
    session = None if hwa is None else hwa.attach(learning, steps=epochs * steps, seed=seed)
    net.freeze(not joint).train()
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=rate)
    history: list[Epoch] = []
    judge: BlockDrop | None = None
    try:
        with telling(progress, "policy", "steps") as told:
            for epoch in range(epochs):
                free = blocks if epoch >= ramp else math.ceil(blocks * (epoch + 1) / ramp)
                generator = torch.Generator().manual_seed(key("policy", seed, epoch))
                found: list[PolicyStep] = []
                for i, rows in enumerate(torch.randperm(len(held), generator=generator).split(batch)):
                    done = epoch * steps + i
                    x, y = held.inputs[rows], held.targets[rows]
                    x = x if augment is None else augment(x, generator)
                    if chips is not None and done % chips.every == 0:
                        judge = chips.at(net, done)
                    with reads("policy", seed, done):
                        step = policy_step(
                            net, x, y, reward=reward, judge=judge, bound=bound, entropy=weight, free=free, joint=joint
                        )
                    if not bool(step.loss.isfinite()):
                        raise BadInput(f"the loss is {float(step.loss)} at step {done}", "give a lower lr", path="lr")
                    optimizer.zero_grad()
                    step.loss.backward()
                    optimizer.step()
                    if session is not None:
                        session.step()
                    found.append(step)
                    told(done + 1, epochs * steps, known=_known(history))
                history.append(_epoch(found, free))
    finally:
        if session is not None:
            session.detach()
        net.freeze(False).eval()
    return tuple(history)


def _epoch(steps: list[PolicyStep], free: int) -> Epoch:
    def mean(name: str) -> float:
        return float(torch.cat([getattr(step, name).float() for step in steps]).mean())

    greedy = torch.cat([step.greedy for step in steps])
    blocks = float(greedy.sum(1).float().mean())
    return Epoch(mean("reward"), mean("baseline"), mean("right"), blocks, len(greedy.unique(dim=0)), free)


def _known(history: list[Epoch]) -> str:
    if not history:
        return "first epoch"
    last = history[-1]
    return (
        f"reward {last.reward:.3f}, {last.blocks:.1f} blocks in {last.policies} policies, {100 * last.accuracy:.1f} %"
    )
