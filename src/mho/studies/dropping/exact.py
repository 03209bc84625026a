"""`taught`: a policy that learns from the rewards of all choices, with the exact gradient and nothing drawn."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from mho.blocks import Choices


def taught(
    policy: nn.Module, inputs: Tensor, choices: Choices, rewards: Tensor, *, epochs: int, batch: int, seed: int
) -> nn.Module:
    """A copy of a policy that has learned, by Adam at 1e-3 as policies alone do.

    Args:
        policy: From inputs to logits (N, K).
        inputs: (N, …), in the order of `rewards`.
        choices: All choices of blocks.
        rewards: Of every sample with each of them, (N, 2^K).
        epochs: Passes over the samples.
        batch: Samples in a step.
        seed: Of their order.
    """
    policy, drawn = copy.deepcopy(policy).train(), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs), generator=drawn).split(batch):
            loss = -choices.expected(policy(inputs[rows]), rewards[rows]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return policy.eval()
