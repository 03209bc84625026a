"""What bits cost at the output of a layer."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

import mho
import mho.rng
from mho.calibration.bit_errors import bit_errors, with_bits
from mho.errors import BadInput
from mho.hardware import Hardware

PCM = Hardware.preset("pcm-cells")


def _model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 5)).eval()


def _x(seed=0):
    return torch.randn(2000, 40, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "changes",
    [{}, {"array__rows": 16}, {"encoding": {"kind": "offset"}}, {"dac__range": "abs_max"},
     {"encoding": {"kind": "differential", "subtract": "digital"}}, {"noise__output": 0.05},
     {"adc": {"bits": 8, "range": "fixed", "bound": 4.0}}],
)  # fmt: skip
def test_the_errors_are_those_of_the_layer_itself(changes):
    model, hw = _model(), PCM.replace(**changes)
    net = mho.to_analog(model, hw)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    errors = bit_errors(net, [_x()], range(3, 9))
    assert set(errors) == {(path, converter) for path in ("0", "2") for converter in ("dac", "adc")}
    assert net.state_dict().keys() == before.keys() and net[0].matrix.hw is hw
    for path, x in (("0", _x()), ("2", model[:2](_x()))):
        for converter, dac, adc in (("dac", 5, None), ("adc", 8, 5)):
            layer = mho.to_analog(nn.Sequential(model[int(path)]), with_bits(hw, dac, adc))
            mho.calibrate(layer, [x], method="error")
            with torch.no_grad(), mho.rng.reads(0):
                wanted = model[int(path)](x)
                found = float((layer(x) - wanted).square().sum() / (wanted - model[int(path)].bias).square().sum())
            if converter == "adc" and not hw.noise.output and hw.adc.range == "calibrated":
                # Rounding of the inputs is not the ADC's: take it away, as errors of their own.
                only = mho.calibrate(
                    mho.to_analog(nn.Sequential(model[int(path)]), with_bits(hw, 8, None)), [x], method="error"
                )
                with torch.no_grad():
                    found -= float((only(x) - wanted).square().sum() / (wanted - model[int(path)].bias).square().sum())
            assert errors[path, converter][5] == pytest.approx(found, rel=0.12)
    for by_bits in errors.values():
        rising = [by_bits[b] for b in range(8, 2, -1)]
        assert all(a < b * 1.02 for a, b in itertools.pairwise(rising))


def test_at_the_networks_output_a_layer_counts_with_what_follows_it():
    """Two branches, one of them multiplied by 10 afterwards: its errors count a hundred times."""

    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.small, self.large = nn.Linear(40, 30), nn.Linear(40, 30)
            self.large.load_state_dict(self.small.state_dict())

        def forward(self, x):
            return self.small(x) + 10 * self.large(x)

    torch.manual_seed(0)
    model, x = Branches().eval(), _x()
    net = mho.to_analog(model, PCM)
    layers, errors = (bit_errors(net, [x], range(4, 9), at_output=at_output) for at_output in (False, True))
    for converter in ("dac", "adc"):
        small, large = errors["small", converter], errors["large", converter]
        assert all(large[b] == pytest.approx(100 * small[b], rel=1e-3) for b in small)
        assert small[4] / small[8] == pytest.approx(layers["small", converter][4] / layers["small", converter][8])
    alone = mho.calibrate(mho.to_analog(nn.Sequential(model.small), with_bits(PCM, 6, None)), [x], method="error")
    with torch.no_grad():
        expected = float((alone(x[:64]) - model.small(x[:64])).square().sum())
    assert errors["small", "dac"][6] == pytest.approx(expected, rel=0.02)


def test_an_output_that_is_no_tensor_has_no_error():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x):
            return {"scores": self.layer(x)}

    with pytest.raises(BadInput, match="returns a dict"):
        bit_errors(mho.to_analog(Pair(), PCM), [torch.randn(4, 3)], range(4, 6), at_output=True)


def test_a_layer_of_several_matrices_is_one_entry():
    class Runs(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(4, 6)

        def forward(self, x):
            return self.rnn(x)[0]

    errors = bit_errors(mho.to_analog(Runs(), PCM), [torch.randn(5, 3, 4)], range(4, 6))
    assert set(errors) == {("rnn", "dac"), ("rnn", "adc")}


def test_an_array_that_no_batch_reaches_is_named():
    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.skipped = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            return self.used(x)

    with pytest.raises(BadInput, match="skipped"):
        bit_errors(mho.to_analog(Skips(), PCM), [torch.randn(4, 3)], range(4, 6))
