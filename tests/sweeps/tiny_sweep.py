"""A small network and its data for sweeps, found by name; `bad` makes it fail where a whole batch is measured."""

from __future__ import annotations

import os
import signal
import time

import torch
from torch import nn

ITEMS = 60


class Tiny(nn.Module):
    def __init__(self, width, bad, slow, dropout):
        super().__init__()
        draw = torch.Generator().manual_seed(bad)
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(16, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 3)
        )
        for parameter in self.body.parameters():
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=draw)
        self.bad, self.slow = bad, slow

    def forward(self, x):
        time.sleep(self.slow)
        if len(x) == ITEMS:
            if self.bad == 1:
                raise RuntimeError("planted: this trial dies")
            if self.bad == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.bad == 3:
                time.sleep(600)
            if self.bad == 5:
                held = torch.ones(2 * 10**8)  # 0.8 GB
                time.sleep(600 if len(held) else 0)
        return self.body(x)


def net(*, width=8, bad=0, slow=0.0, dropout=0.0, idle=0):
    """`idle` is a factor that does nothing."""
    return Tiny(width, bad, slow, dropout)


def told(*, gain=1.0):
    """It knows what decides the labels of `data`; with a gain of 0 it guesses."""
    found = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    with torch.no_grad():
        found[1].weight.copy_(gain * torch.eye(3, 16) + 1e-3 * (1 - gain))
        found[1].bias.zero_()
    return found


def random(*, width=8):
    """First weights come from torch's generator, which the seed of a trial sets."""
    return nn.Sequential(nn.Flatten(), nn.Linear(16, width), nn.ReLU(), nn.Linear(width, 3))


def data(*, n=ITEMS, first=0):
    draw = torch.Generator().manual_seed(first)
    x = torch.randn(n, 1, 4, 4, generator=draw)
    return [(x, (x.flatten(1)[:, :3] + 0.3 * torch.randn(n, 3, generator=draw)).argmax(1))]


def part(*, n, more=0):
    """The first samples of `data`, last first, and others behind them."""
    x, y = data()[0]
    x, y = x[:n].flip(0), y[:n].flip(0)
    others = data(n=more, first=7) if more else []
    return [(x, y), *others]
