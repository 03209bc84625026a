"""Which networks let convolutions answer in channels_last, and which norms are folded: read off the traced graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mho
from mho.chip.graph import blind_to_layout, norms_behind, trace

BETWEEN: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: x.relu(), "add": lambda x: x.add(x), "mul": lambda x: x.mul(x), "sigmoid": lambda x: x.sigmoid(),
    "+": lambda x: x + x, "contiguous": lambda x: x.contiguous(), "size": lambda x: x.reshape(x.size(0), -1),
    "dim": lambda x: x * x.dim(), "indices": lambda x: x[:, :2], "F.pad": lambda x: F.pad(x, (1, 1)),
    "cat": lambda x: torch.cat([x, x], 1), "pooled": lambda x: F.max_pool2d(x, 2), "dropped": lambda x: F.dropout(x, 0.5),
}  # fmt: skip
HEADS: dict[str, Callable[[Any], Any]] = {
    "flatten method": lambda x: x.flatten(1), "mean method": lambda x: x.mean((2, 3)), "reshape": lambda x: x.reshape(4, -1),
    "flatten": lambda x: torch.flatten(x, 1), "mean": lambda x: torch.mean(x, (2, 3)), "module": nn.Flatten(),
    "sigmoid": lambda x: x.flatten(1).sigmoid(), "relu": lambda x: x.flatten(1).relu(),
    "softmax": lambda x: F.softmax(x.flatten(1), 1), "module softmax": nn.Sequential(nn.Flatten(), nn.Softmax(1)),
    "two tails": lambda x: torch.tanh(F.relu(x.mean((2, 3)))),
}  # fmt: skip
MINDING: dict[str, Callable[[Any], Any]] = {
    "view": lambda x: x.view(4, -1), "permute": lambda x: x.permute(0, 2, 3, 1).flatten(1), "images": lambda x: x,
    "images behind a relu": F.relu, "stride": lambda x: x.flatten(1) * x.stride(1),
    "unfold": lambda x: F.unfold(x, 2).flatten(1), "norm": nn.Sequential(nn.InstanceNorm2d(5), nn.Flatten()),
    "transposed": lambda x: torch.transpose(x, 1, 2).flatten(1), "sum": lambda x: torch.add(x, x),
}  # fmt: skip


class Net(nn.Module):
    def __init__(self, *steps: Callable[[Any], Any]) -> None:
        super().__init__()
        self.conv, self.steps = nn.Conv2d(3, 5, 3), steps
        self.modules_of_steps = nn.ModuleList([step for step in steps if isinstance(step, nn.Module)])

    def forward(self, x: torch.Tensor) -> Any:
        y = self.conv(x)
        for step in self.steps:
            y = step(y)
        return y


def blind(*steps: Callable[[Any], Any]) -> bool:
    net = mho.to_analog(Net(*steps), "ideal").eval()
    graph = trace(net)
    assert graph is not None
    return blind_to_layout(net, graph)


@pytest.mark.parametrize("name", BETWEEN)
def test_operations_that_take_images_of_any_layout(name):
    assert blind(BETWEEN[name], lambda x: x.flatten(1))


@pytest.mark.parametrize("name", HEADS)
def test_networks_that_end_in_vectors(name):
    assert blind(HEADS[name])


@pytest.mark.parametrize("name", MINDING)
def test_networks_that_show_or_mind_the_layout(name):
    assert not blind(MINDING[name])


@pytest.mark.parametrize(("conv", "norm", "size"), [
    (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), (6, 6)), (nn.Conv3d(3, 4, 2), nn.BatchNorm3d(4), (4, 4, 4)),
    (nn.ConvTranspose2d(3, 4, 3), nn.BatchNorm2d(4), (4, 4)),
    (nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, affine=False), (6, 6)),
])  # fmt: skip
def test_norms_behind_convolutions_are_folded(conv, norm, size):
    x = torch.randn(8, 3, *size)
    model = nn.Sequential(conv, norm, nn.ReLU())
    model(x)
    chip = mho.program(mho.to_analog(model.eval(), "ideal")).at(0)
    assert norms_behind(chip, trace(chip)) == {"0": "1"}
    fused = mho.fuse(chip)
    assert isinstance(fused[1], nn.Identity) and isinstance(chip[1], type(norm)) and not fused[0].bias.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(fused(x), model(x), rtol=1e-4, atol=1e-5)


def test_a_norm_at_two_paths_is_folded_at_both():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.c, self.n = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            self.again = self.n

        def forward(self, x):
            return self.n(self.c(x))

    chip = mho.program(mho.to_analog(Net().eval(), "ideal")).at(0)
    fused = mho.fuse(chip)
    assert isinstance(fused.n, nn.Identity) and isinstance(fused.again, nn.Identity)


class Reader(nn.Module):
    """A convolution and a norm, used as `how` says."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.c, self.n, self.how = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.c(x)
        found = {
            "plain": lambda: self.n(y), "read twice": lambda: self.n(y) + y, "layer twice": lambda: self.n(self.c(y)),
            "norm twice": lambda: self.n(self.n(y)), "weight": lambda: self.n(y) * self.c.weight.sum(),
            "statistics": lambda: self.n(y) + self.n.running_var.sum(), "changed between": lambda: self.n(2 * y),
        }  # fmt: skip
        return found[self.how]()


@pytest.mark.parametrize(
    "how", ["plain", "read twice", "layer twice", "norm twice", "weight", "statistics", "changed between"]
)
def test_only_a_norm_that_nothing_else_can_notice_is_folded(how):
    x = torch.randn(8, 3, 5, 5)
    model = Reader(how)
    model(x)
    chip = mho.program(mho.to_analog(model.eval(), "ideal", example=x)).at(0)
    fused = mho.fuse(chip)
    assert isinstance(fused.n, nn.Identity) == (how == "plain")
    with torch.no_grad():
        torch.testing.assert_close(fused(x), chip(x), rtol=1e-4, atol=1e-5)
