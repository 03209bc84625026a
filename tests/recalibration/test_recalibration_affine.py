from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mho
from mho.errors import BadInput, WrongSetting
from mho.hardware import Hardware
from mho.recalibration import RecalibrateAffine

PCM, IDEAL = Hardware.preset("pcm-cells"), Hardware.preset("ideal")
UNIFORM = PCM.replace(
    **{"cell.programming_noise": 0.0, "cell.read_noise": 0.0, "dac.bits": None, "adc.bits": None, "cell.nu": 0.06,
       "cell.nu_std": 0.0, "compensation": "none"}
)  # fmt: skip


class Padded(nn.Conv2d):
    """A layer of a user's with a forward of its own."""

    def forward(self, input):
        return F.conv2d(F.pad(input, (0, 1, 0, 1)), self.weight, self.bias, self.stride, 0, 1, self.groups)


def _model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, bias=False), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=6), nn.ReLU(),
        nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2, bias=False), nn.ReLU(), Padded(4, 8, 2, groups=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(8 * 64, 30), nn.ReLU(), nn.Linear(30, 4, bias=False),
    ).eval()  # fmt: skip


def _x(n=90, seed=3):
    return torch.randn(n, 2, 8, 8, generator=torch.Generator().manual_seed(seed))


def _chip(model, hw, x=None, age="1 year"):
    x = _x() if x is None else x
    net = mho.calibrate(mho.to_analog(model, hw, example=x[:2]), [x])
    return mho.program(net, seed=1).at(age)


def _error(net, model, x):
    with torch.no_grad():
        return float((net(x) - model(x)).norm() / model(x).norm())


@pytest.mark.parametrize("fit", ["moments", "regression"])
@pytest.mark.parametrize(
    "hw",
    [UNIFORM, UNIFORM.replace(array__rows=20), UNIFORM.replace(encoding={"kind": "differential", "sides": "two"})],
    ids=["one array", "row blocks", "two-sided"],
)
def test_uniform_drift_is_undone_exactly(hw, fit):
    """Linear, transposed, grouped and depthwise layers, with and without bias, and one with its own forward."""
    model, x = _model(), _x()
    chip = _chip(model, hw)
    before = _error(chip, model, _x(9, 5))
    RecalibrateAffine(list(x.split(40)), model, fit=fit)(chip)
    assert _error(chip, model, _x(9, 5)) < 1e-5 < 0.2 < before
    assert chip.recalibrations == (f"{'affine' if fit == 'moments' else 'affine (regression)'}: 6 layers",)


def test_an_offset_columns_reference_is_scaled_too():
    """y = scale (Σ g x - reference): uniformly scaled conductances and offset are one factor of the whole."""
    model, x = _model(), _x()
    hw = IDEAL.replace(encoding={"kind": "offset", "reference": "column"})
    chip = _chip(model, hw)
    for module in chip.modules():
        if isinstance(module, mho.nn.AnalogLayer):
            view = next(module.views())
            plan = view.matrix.source.scheme.plan
            view.matrix.source = view.matrix.source.scaled(
                torch.full((plan.groups * plan.columns,), 0.6), view.operator
            )
    assert _error(chip, model, x) > 0.2
    RecalibrateAffine([x], model)(chip)
    assert _error(chip, model, x) < 1e-4


def test_every_layers_moments_become_the_digital_ones():
    model, x = _model(), _x()
    chip = RecalibrateAffine([x], model)(_chip(model, PCM.replace(compensation="none")))
    with torch.no_grad():
        y, d = x, x
        for layer, digital in zip(chip, model, strict=True):
            y, d = layer(y), digital(d)
            if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd)):
                rows, wanted = (t.transpose(1, -1).flatten(0, -2) if t.dim() > 2 else t for t in (y, d))
                torch.testing.assert_close(rows.mean(0), wanted.mean(0), rtol=2e-3, atol=1e-4)
                torch.testing.assert_close(rows.std(0), wanted.std(0), rtol=2e-3, atol=1e-4)


def test_regression_is_least_squares_and_shrinks_noisy_columns():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 6)).eval()
    x = torch.randn(400, 20)
    hw = IDEAL.replace(variations=[{"sigma": 0.3, "relative_to": "weight_std"}])
    found = {}
    for fit in ("moments", "regression"):
        chip = _chip(model, hw, x)
        with torch.no_grad():
            raw, d = chip(x).double(), model(x).double()
            found[fit] = (RecalibrateAffine(list(x.split(150)), model, fit=fit)(chip))(x).double()
        for c in range(6):
            if fit == "regression":
                a = torch.stack([raw[:, c], torch.ones(400, dtype=torch.float64)], 1)
                solved = a @ torch.linalg.lstsq(a, d[:, c, None]).solution
                torch.testing.assert_close(found[fit][:, c], solved[:, 0], rtol=1e-4, atol=1e-4)
    assert bool((found["regression"].std(0) < found["moments"].std(0)).all())
    assert float((found["regression"] - d).norm()) < float((found["moments"] - d).norm())


def test_a_column_without_spread_keeps_its_scale_and_gets_its_mean():
    model = nn.Sequential(nn.Linear(5, 3)).eval()
    with torch.no_grad():
        model[0].weight[1].zero_()
        model[0].bias.copy_(torch.tensor([0.0, 2.0, 0.0]))
    x = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    chip = RecalibrateAffine([x], model)(_chip(model, UNIFORM, x))
    with torch.no_grad():
        torch.testing.assert_close(chip(x)[:, 1], torch.full((50,), 2.0))
    assert _error(chip, model, x) < 1e-5


def test_a_folded_norm_behind_the_layer_stays_as_it_is():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, 4))
    model(_x())
    model.eval()
    chip = RecalibrateAffine([_x()], mho.to_analog(model, PCM, example=_x(2)))(_chip(model, UNIFORM))
    assert torch.equal(chip[1].running_mean, model[1].running_mean)
    assert _error(chip, model, _x(9, 5)) < 1e-5


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.attend, self.gru = nn.MultiheadAttention(8, 2, batch_first=True), nn.GRU(8, 8, batch_first=True)
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        x = self.attend(x, x, x, need_weights=False)[0]
        return self.last(self.gru(x)[0][:, -1])


def test_matrices_of_attention_and_recurrence_are_left_alone_and_named():
    torch.manual_seed(0)
    model, x = Mixed().eval(), torch.randn(40, 5, 8)
    net = mho.to_analog(model, IDEAL)
    chip = mho.program(net).at(0.0)
    kept = chip.gru.matrices["weight_ih_l0"].source
    RecalibrateAffine([x], net)(chip)
    (line,) = chip.recalibrations
    assert line.startswith("affine: 2 layers; left alone: attend (MultiheadAttention), gru (GRU)"), line
    assert chip.gru.matrices["weight_ih_l0"].source is kept
    only = nn.GRU(8, 8).eval()
    with pytest.raises(WrongSetting, match="no linear layer or convolution is on arrays.*RecalibrateOutput"):
        RecalibrateAffine([torch.randn(5, 2, 8)], only)(mho.program(mho.to_analog(only, IDEAL)).at(0.0))


def test_a_layer_that_changes_what_its_matrix_gives_is_left_alone():
    class Doubled(nn.Linear):
        def forward(self, input):
            return 2 * F.linear(input, self.weight, self.bias)

    torch.manual_seed(0)
    model, x = nn.Sequential(Doubled(5, 4, bias=False), nn.ReLU(), nn.Linear(4, 3)).eval(), torch.randn(40, 5)
    chip = _chip(model, UNIFORM, x)
    RecalibrateAffine([x], model)(chip)
    assert chip.recalibrations == ("affine: 1 layers; left alone: 0",)
    assert chip[0].bias is None


def test_the_reference_is_frozen_against_later_training():
    model, x = _model(), _x()
    net = mho.to_analog(model, UNIFORM, example=_x(2))
    r, again = RecalibrateAffine([x], net, fit="regression"), copy.deepcopy(model)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1.0)
    assert _error(r(_chip(again, UNIFORM)), again, x) < 1e-5


def test_another_network_is_refused():
    model, x = _model(), _x()
    other = copy.deepcopy(model)
    other[9] = nn.Linear(8 * 64, 31)
    other[11] = nn.Linear(31, 4)
    with pytest.raises(BadInput, match=r"^9: the chip's layer gives .* values, the digital one"):
        RecalibrateAffine([x], other)(_chip(model, IDEAL))
    with pytest.raises(BadInput, match="no layer of the chip has a counterpart"):
        RecalibrateAffine([x], nn.Sequential(nn.Sequential(*model)))(_chip(model, IDEAL))
    with pytest.raises(WrongSetting, match="fit"):
        RecalibrateAffine([x], model, fit="best")
