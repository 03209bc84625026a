"""The executor of products in slices answers like the reference, and draws the noise that it should."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import mho
from mho.crossbar import sliced
from mho.hardware import Hardware
from mho.kernels.cpu_library import library
from mho.nn.linear import LINEAR

compiled = pytest.mark.skipif(library() is None, reason="no C++ compiler here")
ENCODINGS = [
    {"sign": "pair"}, {"sign": "pair", "subtract": "digital"}, {"sign": "offset"}, {"sign": "twos_complement"},
    {"sign": "offset", "shift_and_add": "analog", "reference": "column"},
]  # fmt: skip
LAYERS = {
    "groups": (lambda: nn.Conv2d(8, 6, 3, padding=1, groups=2), (5, 8, 9, 7)),
    "stride": (lambda: nn.Conv2d(20, 40, 3, stride=2, padding=1), (3, 20, 17, 15)),
    "dilation": (lambda: nn.Conv2d(9, 17, (3, 2), dilation=2, bias=False), (2, 9, 19, 16)),
    "one image": (lambda: nn.Conv2d(4, 33, 1), (1, 4, 16, 13)),
    "signals": (lambda: nn.Conv1d(9, 17, 5, stride=2, padding=2), (3, 9, 41)),
    "linear": (lambda: nn.Linear(70, 35), (9, 70)),
    "tokens": (lambda: nn.Linear(70, 3), (2, 150, 70)),
}


def hardware(encoding, *, adc=None, **changes):
    adc = {"bits": 6, "range": "fixed", "bound": 7.317} | (adc or {})  # no sum of whole numbers is half a code
    settings = {"array": {"rows": 64}, "dac": {"bits": 8}, "cell": {"kind": "ideal", "g_min_us": 1.0}} | changes
    return Hardware.preset("ideal", encoding={"kind": "bit_sliced", "cell_bits": 4, **encoding}, adc=adc, **settings)


@pytest.fixture
def counted(monkeypatch):
    calls, original = [], sliced.forward
    monkeypatch.setattr(sliced, "forward", lambda *given: calls.append(1) or original(*given))
    return calls


@compiled
@pytest.mark.parametrize("slice_bits", [None, 1, 3])
@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda e: "-".join(e.values()))
def test_it_answers_like_the_reference(encoding, slice_bits, counted, monkeypatch):
    for i, (make, shape) in enumerate(LAYERS.values()):
        torch.manual_seed(i)
        unipolar = {"unipolar": bool(i % 2)}
        hw = hardware(encoding, adc=unipolar, dac={"bits": 8, "slice_bits": slice_bits})
        net = mho.to_analog(nn.Sequential(make()), hw)
        net[0].matrix.set_range("input_range", torch.tensor(2.2))
        x = torch.randn(shape)
        for given in (x, x.to(memory_format=torch.channels_last)) if x.dim() == 4 else (x,):
            with torch.no_grad():
                found = net(given)
                with monkeypatch.context() as m:
                    m.setattr(sliced, "suits", lambda *_: False)
                    expected = net(given)
            far = (found - expected).abs() > 1e-5
            assert found.shape == expected.shape and float(far.float().mean()) < 2e-3
    assert len(counted) == (11 if ENCODINGS.index(encoding) != 4 or slice_bits else 0)


@compiled
def test_noise_of_the_outputs_has_its_size_on_any_number_of_threads():
    torch.manual_seed(0)
    hw = hardware(
        {"sign": "pair"}, noise={"output": 0.3}, adc={"bits": 10, "bound": 20.0}, dac={"bits": 8, "slice_bits": 4}
    )
    net = mho.to_analog(nn.Sequential(nn.Conv2d(6, 5, 3)), hw)
    net[0].matrix.set_range("input_range", torch.tensor(2.2))
    quiet = mho.to_analog(nn.Sequential(net[0].to_digital()), hw.replace(noise__output=0.0))
    quiet[0].matrix.set_range("input_range", torch.tensor(2.2))
    x, found, before = torch.randn(40, 6, 14, 14), [], torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            torch.manual_seed(5)
            with torch.no_grad():
                found.append(net(x))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
    with torch.no_grad():
        noise = (found[0] - quiet(x)).double()
    matrix = net[0].matrix
    scheme = matrix.scheme(net[0].weight, next(iter(net[0].views())).operator)
    scale = net[0].weight.detach().abs().amax((1, 2, 3)).double()
    factors = [k.factor for k in scheme.readouts.columns]
    per_block = sum((0.3 * c.weight * factors[c.readout]) ** 2 for c in scheme.blocks[0])
    sigma = (len(scheme.blocks) * per_block) ** 0.5 * 2.2 * scale
    z = noise.movedim(1, -1).flatten(0, 2) / sigma
    assert float((z.var(0) - 1).abs().max()) < 6 * (2 / len(z)) ** 0.5
    assert float(z.mean(0).abs().max()) < 5 / len(z) ** 0.5
    assert float(torch.corrcoef(z.T).fill_diagonal_(0).abs().max()) < 6 / len(z) ** 0.5


def test_a_slice_that_nobody_knows_is_left_to_the_reference(counted):
    class Halves(mho.hardware.DAC):
        def slices(self):
            part = mho.hardware.InputSlice(lambda u: u / 2, 1.0)
            return part, part

    hw = hardware({"sign": "pair"})
    hw = hw.model_copy(update={"dac": Halves(bits=8)})
    net = mho.to_analog(nn.Sequential(nn.Linear(70, 3)), hw)
    net[0].matrix.set_range("input_range", torch.tensor(2.2))
    with torch.no_grad():
        y = net(torch.randn(4, 70))
    assert not counted and y.shape == (4, 3)
    assert net[0].matrix.scheme(net[0].weight, LINEAR).only_by_reference == "inputs come in slices"
