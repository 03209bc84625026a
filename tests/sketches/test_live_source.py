"""A sketch of arrays that live: conductances with a gradient of their own, which pulses move up and down."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mho
from mho.crossbar import Cells, Held, Operator, hold
from mho.crossbar.cells import decode
from mho.crossbar.scaling import scaled
from mho.errors import NotYet
from mho.nn import AnalogLayer, AnalogMatrix
from mho.nn.matrix import matrices
from mho.nn.source import Ideal, Source, sources


class Live(Source):
    """Pairs of cells, begun at the layer's weights. A pulse moves g by step·(g_max - g) up, or by step·(g - g_min) down.

    Attributes:
        g: Conductances of each plane, µS, (planes, groups, columns, rows).
        scale: See `Cells`.
        step: Share of the way to the bound that a pulse takes.
    """

    def __init__(self, matrix: AnalogMatrix, weight: Tensor, operator: Operator, step: float) -> None:
        super().__init__()
        unit, scale = scaled(operator.to_matrix(weight.detach()), matrix.scheme(weight, operator))
        self.step = step
        self.g = nn.Parameter(torch.stack(matrix.hw.encoding.encode(unit / 2, matrix.hw.cell)))
        self.register_buffer("scale", 2 * scale)  # room to grow

    def values(self, matrix: AnalogMatrix, weight: Tensor, operator: Operator) -> Held | Tensor:
        """What the cells hold now, whatever the layer's parameter is."""
        scheme = matrix.scheme(weight, operator)
        return hold(Cells(decode(list(self.g), scheme.readouts), self.scale), operator, scheme)

    def gradient(self, matrix: AnalogMatrix, weight: Tensor, operator: Operator) -> Tensor:
        """Gradient with respect to the weight, in torch's layout, from that of the cells."""
        scheme, cell = matrix.scheme(weight, operator), matrix.hw.cell
        per_weight = (cell.g_max_us - cell.g_min_us) / scheme.plan.spread(self.scale)
        return operator.to_weight(self.g.grad[0] * per_weight, scheme.kernel)

    @torch.no_grad()
    def update(self, matrix: AnalogMatrix, operator: Operator, change: Tensor) -> None:
        """As many pulses as come closest on average: half up on one cell of the pair, half down on the other."""
        cell, plan = matrix.hw.cell, matrix.scheme(change, operator).plan
        wanted = (
            operator.to_matrix(change) / plan.spread(self.scale) / self.step
        )  # of cells in the middle of their range
        pulses = (wanted.abs() + torch.rand_like(wanted)).floor()
        left = (1 - self.step) ** pulses
        for plane, up in zip(self.g, (wanted > 0, wanted < 0), strict=True):
            bound = torch.where(up, cell.g_max_us, cell.g_min_us)
            plane.copy_(bound + (plane - bound) * left)


def views(net: nn.Module) -> dict[AnalogMatrix, tuple[Tensor, Operator]]:
    layers = [module for module in net.modules() if isinstance(module, AnalogLayer)]
    return {view.matrix: (view.weight, view.operator) for layer in layers for view in layer.views()}


def case(**changes: object) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(96, 3))
    x = torch.randn(150, 2, 4, 4)
    hw = mho.Hardware.preset("ideal", **{"array": {"rows": 40}, "dac": {"bits": 8}, "adc": {"bits": 9}, **changes})
    return mho.calibrate(mho.to_analog(model, hw), [x]), x, x[:, :, :2].flatten(2).mean(2) @ torch.randn(2, 3)


@pytest.mark.parametrize(
    "encoding",
    [{"kind": "differential", "sides": "two"}, {"kind": "differential", "sides": "two", "subtract": "digital"}],
)
def test_pulses_train_a_network(encoding):
    net, x, y = case(encoding=encoding)
    found, before = views(net), net(x).detach()
    weights = copy.deepcopy(net.state_dict())
    with sources(matrices(net), lambda matrix: Live(matrix, *found[matrix], step=0.002)):
        torch.testing.assert_close(net(x), before, rtol=0, atol=0.1 * float(before.std()))
        losses = []
        for _ in range(40):
            loss = F.mse_loss(net(x), y)
            loss.backward()
            losses.append(float(loss.detach()))
            for matrix, (weight, operator) in found.items():
                assert weight.grad is None and isinstance(matrix.source, Live)
                matrix.source.update(matrix, operator, -0.1 * matrix.source.gradient(matrix, weight, operator))
                matrix.source.g.grad = None
        assert losses[-1] < 0.4 * losses[0]
        twin = copy.deepcopy(net)
        with torch.no_grad():
            assert torch.equal(twin(x), net(x))
    assert all(type(matrix.source) is Ideal for matrix in matrices(net))
    assert torch.equal(net(x), before) and not torch.allclose(twin(x), before, atol=0.01)
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())


def test_its_gradient_is_that_of_the_weight():
    net, x, y = case(dac={"bits": None}, adc={"bits": None})
    net = net.double()
    x, y, found = x.double(), y.double(), views(net)
    F.mse_loss(net(x), y).backward()
    with sources(matrices(net), lambda matrix: Live(matrix, *found[matrix], step=0.01)):
        F.mse_loss(net(x), y).backward()
        for matrix, (weight, operator) in found.items():
            ours = matrix.source.gradient(matrix, weight, operator)
            torch.testing.assert_close(ours, weight.grad, rtol=1e-6, atol=1e-8)


def test_updates_are_pulses_with_a_soft_bound():
    net = mho.to_analog(
        nn.Linear(200, 50), mho.Hardware.preset("ideal", encoding={"kind": "differential", "sides": "two"})
    )
    ((matrix, (weight, operator)),) = views(net).items()
    live = Live(matrix, torch.zeros_like(weight) + 1e-9, operator, step=0.01)
    live.scale.fill_(1.0)
    live.g.data.fill_(12.5)  # the middle

    def held() -> Tensor:
        return live.values(matrix, weight, operator).operands[0].weight.detach()

    change = torch.full_like(weight, 0.0037)
    live.update(matrix, operator, change)
    one = held()
    assert {round(float(v), 4) for v in one.unique()} <= {0.0, 0.01}  # a pulse or none
    assert float(one.mean()) == pytest.approx(0.0037, rel=0.05)
    live.update(matrix, operator, -5 * change)
    assert float(held().mean()) == pytest.approx(-4 * 0.0037, rel=0.05)
    for _ in range(400):
        live.update(matrix, operator, torch.full_like(weight, 0.05))
    assert 0.99 < float(held().min()) <= float(held().max()) <= 1


def test_other_weights_take_no_updates():
    net, *_ = case()
    for matrix, (weight, operator) in views(net).items():
        with pytest.raises(NotYet, match="Ideal weights take no updates"):
            matrix.source.update(matrix, operator, weight.detach())
