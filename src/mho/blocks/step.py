"""`policy_step`: one step of self-critical REINFORCE, as a loss to descend."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mho.arguments import number, whole
from mho.blocks.reward import Reward, checked
from mho.errors import BadInput, WrongSetting
from mho.models.block_drop import BlockDrop, check_policy


@dataclass(frozen=True, eq=False)
class PolicyStep:
    """What a step found.

    Attributes:
        loss: To call ``backward()`` on.
        keep: The blocks that were drawn, bool (N, K).
        reward: Their reward, (N,).
        baseline: Reward of the likeliest blocks, (N,).
        right: Whether the answer with the drawn blocks is right, bool (N,).
        greedy: The likeliest blocks, bool (N, K).
    """

    loss: Tensor
    keep: Tensor
    reward: Tensor
    baseline: Tensor
    right: Tensor
    greedy: Tensor


def policy_step(
    net: BlockDrop, inputs: Tensor, labels: Tensor, *, reward: Reward | None = None, judge: BlockDrop | None = None,
    bound: float = 0.8, entropy: float = 0.0, free: int | None = None, joint: bool = False,
) -> PolicyStep:  # fmt: skip
    """Draw blocks for a batch, and make the loss whose gradient is that of the expected reward.

    The policy keeps block k with s' = a s + (1 - a) (1 - s), s its sigmoid (BlockDrop, arXiv:1711.08393). With u drawn from s'
    and ũ = [s ≥ 0.5], the loss is the mean over samples of -(R(u) - R(ũ)) Σ_k ln π(u_k), less `entropy` times the entropy of s'
    (of both outcomes; the published code counts that of "kept" alone), plus, with `joint`, the cross-entropy of the answers.

    Args:
        net: Its policy learns; with `joint` the network too.
        inputs: (N, …).
        labels: Class numbers (N,).
        reward: Of a choice; None: `Reward()`.
        judge: Answers in place of `net`, such as a chip's network (`RandomChips`): its policy is not asked.
        bound: a, in [0.5, 1]: no block is kept with a probability below 1 - a or above a.
        entropy: Weight of the entropy, none negative; published: 0.1 while the policy learns alone.
        free: Only the last so many blocks are drawn, the others kept: the curriculum. None: all.
        joint: The network learns with its policy.

    Raises:
        WrongSetting: A setting outside its range.
        BadInput: Labels that the network has no score for.
    """
    if not 0.5 <= number(bound, "bound", "give a share in 0.5 … 1") <= 1:
        raise WrongSetting(f"bound = {bound}", "give a share in 0.5 … 1", path="bound")
    number(entropy, "entropy", "give a weight from 0 on", least=0)
    judge = judge or net
    check_policy(net)
    check_policy(judge)
    count = len(net.droppable)
    free = count if free is None else min(count, whole(free, "free"))
    reward = checked(Reward() if reward is None else reward)
    fixed = torch.arange(count, device=inputs.device) < count - free
    logits = net.policy_logits(inputs)
    chance = bounded(logits, bound)
    keep = torch.bernoulli(chance.detach()).bool() | fixed
    greedy = (logits.detach() >= 0) | fixed
    with torch.no_grad():
        baseline = reward(greedy, right_of(judge.under(inputs, greedy), labels))
    learns = joint and judge is net
    with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
        answers = judge.under(inputs, keep)
    right = right_of(answers.detach(), labels)
    gained = reward(keep, right)
    loss = surrogate(chance, keep, gained - baseline, fixed).mean() - entropy * _entropy(chance).sum(1).mean()
    if joint:
        loss = loss + F.cross_entropy((answers if learns else net.under(inputs, keep)).float(), labels)
    return PolicyStep(loss, keep, gained, baseline, right, greedy)


def bounded(logits: Tensor, bound: float) -> Tensor:
    """s' = a s + (1 - a) (1 - s): the probability of each block to be kept."""
    s = logits.sigmoid()
    return bound * s + (1 - bound) * (1 - s)


def surrogate(chance: Tensor, keep: Tensor, advantage: Tensor, fixed: Tensor) -> Tensor:
    """-A Σ_k ln π(u_k) of each sample, (N,): its gradient, over draws from π, has the mean -∇ E[A].

    Args:
        chance: s', (N, K).
        keep: What was drawn, bool (N, K).
        advantage: A, (N,), held constant.
        fixed: Blocks that are not drawn, bool (K,).
    """
    log_pi = torch.where(keep, chance, 1 - chance).clamp(min=1e-12).log().masked_fill(fixed, 0.0)
    return -advantage.detach() * log_pi.sum(1)


def right_of(scores: Tensor, labels: Tensor) -> Tensor:
    """Whether answers are right, bool (N,); scores that are not finite are wrong.

    Raises:
        BadInput: Labels of another shape, or that the network has no score for.
    """
    if labels.shape != scores.shape[:-1]:
        found = f"labels {tuple(labels.shape)} for scores {tuple(scores.shape)}"
        raise BadInput(found, "give one class number a sample, (N,)", path="labels")
    if len(labels) and (int(labels.max()) >= scores.shape[-1] or int(labels.min()) < 0):
        problem = f"labels from {int(labels.min())} to {int(labels.max())}, but {scores.shape[-1]} scores"
        remedy = f"labels are 0 … {scores.shape[-1] - 1}; leave out samples without, which nobody decides about"
        raise BadInput(problem, remedy, path="labels")
    return (scores.argmax(-1) == labels) & ~scores.isnan().any(-1)


def _entropy(chance: Tensor) -> Tensor:
    p = chance.clamp(1e-12, 1 - 1e-12)
    return -(p * p.log() + (1 - p) * (1 - p).log())
