"""`learn`: the loop in which a policy learns, alone with a curriculum, or together with its network."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mho.arguments import number, whole
from mho.blocks.chips import RandomChips
from mho.blocks.learning import Epoch, Learning
from mho.blocks.reward import Reward, checked
from mho.blocks.step import PolicyStep, policy_step
from mho.errors import BadInput, WrongSetting
from mho.models.block_drop import BlockDrop, check_policy
from mho.nn.matrix import matrices
from mho.progress import Progress, check_progress, telling
from mho.store.digest import Digest, digest
from mho.store.lock import alone
from mho.tasks.classes import Classes
from mho.training.hwa import HWA
from mho.training.loop.checkpoints import Folder, back_to_last, name_of
from mho.training.loop.loader import Augment, hold
from mho.training.loop.settings import check_augment, check_hwa, check_resume
from mho.units import seconds


@torch.enable_grad()
def learn(
    net: BlockDrop, data: Iterable[Any], *, epochs: int, reward: Reward | None = None, joint: bool = False,
    curriculum: int | None = None, chips: RandomChips | None = None, hwa: HWA | None = None, lr: float | None = None,
    batch: int = 256, bound: float = 0.8, entropy: float | None = None, augment: Augment | None = None, seed: int = 0,
    out: str | Path | None = None, resume: str = "auto", save_every: str | float = 60.0, progress: Progress = True,
) -> tuple[Epoch, ...]:  # fmt: skip
    """Let a policy learn which blocks to keep, in place; afterwards the network is in eval mode.

    As published (BlockDrop, arXiv:1711.08393): first the policy alone with a curriculum, by Adam at 1e-3, an entropy of 0.1 and
    a penalty of 1; then, with ``joint=True``, policy and network together at 1e-4 with the cross-entropy beside, without
    entropy, and a penalty of 10. The result depends on the arguments alone. With `out`, a training that was stopped or killed at
    any moment goes on with the same call, as that of `mho.fit` does.

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
        out: Folder for checkpoints; without it nothing is written.
        resume: ``"auto"``: go on where `out` holds this very training; ``"must"``, ``"never"``: refuse if it does not, or does.
        save_every: Seconds, or a time such as "5 min", between checkpoints.
        progress: True for a bar, or told of the steps (`mho.progress.Step`).

    Raises:
        WrongSetting: No policy, a setting outside its range, `chips` or `hwa` for a network that is not converted, or a network
            that is a programmed chip.
        BadInput: No data, no labels or such as the network has no score for, or a folder that cannot be written.
        NotFinite: The loss is not.
        BadResults: `out` holds another training, or a damaged one, or another call is writing there.
    """
    check_policy(net)
    epochs, batch, seed = whole(epochs, "epochs"), whole(batch, "batch"), whole(seed, "seed", least=0)
    reward = checked(Reward(10.0 if joint else 1.0) if reward is None else reward)
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
    check_resume(resume, out)
    check_augment(augment)
    check_hwa(hwa)
    every = seconds(save_every, "save_every")
    check_progress(progress)
    held = hold(data, Classes())
    if held.targets is None:
        raise BadInput("there are no labels", "give batches (inputs, labels)", path="data")
    learning = net if joint else net.policy
    if hwa is not None and matrices(net) and not matrices(learning):
        remedy = "leave hwa out, let the network learn with joint=True, or convert without digital=['policy']"
        raise WrongSetting("the policy, which learns alone, is digital", remedy, path="hwa")
    step = partial(_step, net, reward=reward, bound=bound, entropy=weight, joint=joint)
    folder = None if out is None else Folder(out)
    settings = {
        "epochs": epochs, "batch": batch, "data": digest(held.inputs, held.targets), "joint": joint, "lr": rate,
        "net": Digest().text(f"{name_of(net)}{sorted({repr(m.hw) for m in matrices(net)})}").value(),
        "weights": digest(*net.state_dict().values()), "reward": name_of(reward), "curriculum": ramp,
        "chips": name_of(chips), "hwa": name_of(hwa), "bound": bound, "entropy": weight, "augment": name_of(augment),
        "seed": seed,
    }  # fmt: skip
    fixed = "" if hwa is None or (isinstance(hwa, HWA) and hwa.schedule.constant) else "the schedule of hwa"
    with alone(out):
        stored = None if folder is None else folder.begin(settings, resume, fixed=fixed)
        net.freeze(not joint).train()
        session = None
        try:
            with back_to_last(net, folder):
                steps = epochs * math.ceil(len(held) / batch)
                session = None if hwa is None else hwa.attach(learning, steps=steps, seed=seed)
                optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=rate)
                loop = Learning(
                    net, held.inputs, held.targets, step, optimizer, session, chips, ramp, augment, epochs, batch, seed,
                    folder, every,
                )  # fmt: skip
                if folder is not None and stored is not None:
                    loop.restore(stored)
                    folder.note()
                with telling(progress, "policy", "steps") as told:
                    loop.run(told)
        finally:
            if session is not None:
                session.detach()
            net.zero_grad(set_to_none=True)
            net.freeze(False).eval()
    return tuple(loop.history)


def _step(net: BlockDrop, x: Tensor, y: Tensor, judge: BlockDrop | None, free: int, **settings: Any) -> PolicyStep:
    return policy_step(net, x, y, judge=judge, free=free, **settings)
