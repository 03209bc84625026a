"""A network and test data for each task, and a process that measures them until it is killed."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor, nn

import mho
from mho.tasks import Several, Task
from mho.tasks.binary import Probability
from mho.tasks.regression import Regression

AGES = ("1 h", "1 year")


class TwoExits(nn.Module):
    """Answers after the first and after the second hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(12, 24), nn.Linear(24, 24)
        self.early, self.final = nn.Linear(24, 3), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.first(x).relu()
        return {"early": self.early(x), "final": self.final(self.second(x).relu())}


class Llama(nn.Module):
    """A language model in little: the embedding of a token, two layers, scores of the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.hidden, self.head = nn.Embedding(11, 16), nn.Linear(16, 32), nn.Linear(32, 11)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.hidden(self.embedding(tokens)).relu())


def case(name: str) -> tuple[nn.Module, list[tuple[Any, Any]], Task | str]:
    """The network, trained on every other sample, batches of test data, and the task."""
    torch.manual_seed(0)
    x, w = torch.randn(240, 12), torch.randn(12, 3)
    plain = [nn.Linear(12, 24), nn.ReLU()]
    task: Task | str
    if name == "classes":
        net, y, task = nn.Sequential(*plain, nn.Linear(24, 3)), (x @ w).argmax(1), "classes"
    elif name == "threshold":
        net, y = nn.Sequential(*plain, nn.Linear(24, 1), nn.Sigmoid()), ((x @ w)[:, 0] > 1).long()
        task = Probability(threshold=0.3)
    elif name in ("regression", "within"):
        net, y = nn.Sequential(*plain, nn.Linear(24, 2)), (x @ w)[:, :2].tanh()
        task = Regression(unit="V") if name == "regression" else Regression(tolerance=0.3)
    elif name == "tokens":
        x = torch.randint(0, 11, (60, 9))
        net, y, task = Llama(), (3 * x + 1) % 11, "tokens"
        y[:, 7:] = -100
    else:
        net, y = TwoExits(), (x @ w).argmax(1)
        task = Several({"early": "classes", "final": "classes"}, result="final" if name == "exits" else None)
    scored = Task.of(task)
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(150):
        optimizer.zero_grad()
        scored.loss(net(x[::2]), scored.targets(y[::2])).backward()
        optimizer.step()
    first = len(x) * 5 // 12
    return net.eval(), [(x[:first], y[:first]), (x[first:], y[first:])], task


def converted(name: str) -> tuple[nn.Module, list[tuple[Any, Any]], Task | str]:
    """On arrays, calibrated."""
    net, data, task = case(name)
    analog = mho.to_analog(net, "pcm-cells", example=data[0][0][:2] if name not in ("exits", "mean") else None)
    return mho.calibrate(analog, data), data, task


if __name__ == "__main__":
    net, data, task = converted(sys.argv[1])
    mho.drift(net, data, AGES, chips=100_000, out=sys.argv[2], task=task)
