"""ADC circuits: without errors the ideal converter bit for bit; with errors what their formulas say. And ranges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import mho
from mho.chip.arrays import numbered
from mho.errors import WrongSetting
from mho.hardware import CIRCUITS, Hardware
from mho.nn.linear import LINEAR
from mho.rng import Stream

KINDS = ["uniform", "sar", "ramp", "pipeline", "cyclic"]


def errors(circuit, columns, bits, seed=0, converter=None):
    at = torch.arange(columns)
    return circuit.draw(
        at if converter is None else converter, torch.zeros(columns, dtype=torch.long), bits, Stream((seed,))
    )


def inputs(low, high, columns, dtype):
    torch.manual_seed(0)
    edges = torch.arange(2 * low - 4, 2 * high + 5, dtype=dtype) / 2  # whole codes, and half-way between them
    near = torch.cat([torch.nextafter(edges, edges + s) for s in (1, -1)])
    every = torch.cat(
        [edges, near, (torch.rand(500, dtype=dtype) * 1.2 - 0.1) * (high - low) + low, torch.tensor([0.49999997])]
    )
    return every[:, None].expand(-1, columns).to(dtype)


def test_every_kind_is_tested():
    assert set(CIRCUITS.names()) >= set(KINDS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_without_errors_it_is_the_ideal_converter(kind, dtype):
    circuit = CIRCUITS.find(kind)()
    for bits, unipolar in ((2, False), (6, False), (8, False), (3, True), (8, True)):
        high = 2**bits - 1 if unipolar else 2 ** (bits - 1) - 1
        low = 0 if unipolar else -high
        s = inputs(low, high, 3, dtype)
        found = circuit.convert(s, errors(circuit, 3, bits), low, high)
        assert torch.equal(found, s.round().clamp(low, high)), (bits, unipolar)


def transfer(circuit, seed=0, bits=6, columns=300):
    """Codes (steps of a fine staircase, columns), and where the input is."""
    s = torch.linspace(0, 2**bits - 1, 32 * 2**bits, dtype=torch.float64)
    return s, circuit.convert(s[:, None].expand(-1, columns), errors(circuit, columns, bits, seed), 0, 2**bits - 1)


def threshold(s, codes, k):
    """Input at which each column's code first reaches k."""
    reached = codes >= k
    return s[reached.to(torch.int8).argmax(0)]


@pytest.mark.parametrize("kind", KINDS)
def test_offset_and_gain_have_their_size(kind):
    s, codes = transfer(CIRCUITS.find(kind)(offset=0.5, gain=0.02))
    low, high = threshold(s, codes, 8), threshold(s, codes, 48)
    gain, offset = 40 / (high - low) - 1, 7.5 - low
    assert abs(float(gain.std()) / 0.02 - 1) < 0.15
    assert abs(float((offset - low * gain).std()) / 0.5 - 1) < 0.15
    assert abs(float(offset.mean())) < 0.15 and abs(float(gain.mean())) < 0.005


def test_sar_capacitors_move_the_middle():
    """The step over the middle compares C_b-1 with all smaller ones: var = σ² (2^(b-1) + 2^(b-1) - 1) lsb²."""
    s, codes = transfer(CIRCUITS.find("sar")(mismatch=0.05))
    below, above = threshold(s, codes, 31), threshold(s, codes, 32)
    wide = (above - below) - 1
    kept = wide[wide > -0.9]  # a step that is missing altogether has no width
    assert len(kept) > 250 and abs(float(kept.std()) / (0.05 * 63**0.5) - 1) < 0.15


def test_ramp_is_a_bridge_and_shared_by_an_array():
    circuit = CIRCUITS.find("ramp")(mismatch=0.05)
    parts = circuit.parts(torch.arange(800), torch.arange(800), 6, Stream((1,)))
    for k in (15, 31, 47):
        expected = 0.05**2 * (k + 1) * (64 - k - 1) / 64
        assert abs(float(parts[:, k].var()) / expected - 1) < 0.2
    s, codes = transfer(circuit)
    assert torch.equal(codes[:, 0], codes[:, 1])  # one array: one staircase
    assert not torch.equal(codes[:, 0], s.round()) and bool((codes.diff(dim=0) >= 0).all())


@pytest.mark.parametrize("kind", ["pipeline", "cyclic"])
def test_stages_err_where_their_capacitors_do(kind):
    """Below a quarter the first stage decides for 0 and gives (2 + δ) v: referred to the input, v (1 + δ/2)."""
    circuit = CIRCUITS.find(kind)(mismatch=0.01)
    drawn = errors(circuit, 3, 8)[:, 2:]
    assert bool((drawn[:, :1] == drawn).all()) == (kind == "cyclic")
    quiet = torch.zeros_like(drawn)
    quiet[:, 0] = drawn[:, 0]
    s = torch.full((1, 3), 60.0, dtype=torch.float64)  # v = 60/256 < 1/4, so d = 0: v' = (2 + δ) v
    found = circuit.codes(s, quiet.double(), 0, 255)
    assert torch.equal(found, (60 * (1 + quiet[:, 0].double() / 2)).round()[None])


def test_an_amplifier_without_gain_loses_codes():
    circuit = CIRCUITS.find("pipeline")(amplifier_gain=100.0)
    s = torch.full((1, 1), 60.0, dtype=torch.float64)
    assert float(circuit.codes(s, torch.zeros(1, 8).double(), 0, 255)) < 60


# --- in a network --------------------------------------------------------------------------------------------------------


def hardware(adc, encoding=None, **changes):
    encoding = encoding or {"kind": "bit_sliced", "bits": 5, "cell_bits": 2}
    settings = {"array": {"rows": 16}, "dac": {"bits": 4, "slice_bits": 1}, "cell": {"kind": "ideal", "g_max_us": 30.0}}
    return Hardware.preset("ideal", adc=adc, encoding=encoding, **(settings | changes))


def network(hw, rows=40, columns=6):
    torch.manual_seed(1)
    net = mho.to_analog(nn.Sequential(nn.Linear(rows, columns, bias=False)).double(), hw)
    net[0].matrix.set_range("input_range", torch.tensor(2.0, dtype=torch.float64))
    return net


X = torch.randn(50, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_drawn_once_per_chip(kind):
    own = {"kind": kind, "offset": 0.7} | ({} if kind == "uniform" else {"mismatch": 0.1})
    net = network(hardware({"bits": 5, "range": "maximum", "circuit": own}))
    plain = network(hardware({"bits": 5, "range": "maximum"}))
    clean = network(hardware({"bits": 5, "range": "maximum", "circuit": kind}))
    a, b, again = mho.program(net, seed=0), mho.program(net, seed=1), mho.program(net, seed=0)
    with torch.no_grad():
        assert torch.equal(mho.program(clean).at(0.0)(X), mho.program(plain).at(0.0)(X)), "no errors"
        assert torch.equal(net(X), plain(X)), "a network that is no chip has no errors"
        y = a.at(0.0)(X)
        assert torch.equal(y, a.at("1 year")(X)) and torch.equal(y, again.at(0.0)(X))
        assert not torch.equal(y, plain(X)) and not torch.equal(y, b.at(0.0)(X))


def test_arrays_do_not_share_a_converter():
    array = torch.tensor([0] * 5 + [1] * 5 + [2])
    assert numbered(array, 2).tolist() == [0, 0, 1, 1, 2, 3, 3, 4, 4, 5, 6]
    assert numbered(array, 8).tolist() == array.tolist() and numbered(array, 1).tolist() == list(range(11))


def test_columns_share_a_converter():
    hw = hardware({"bits": 5, "range": "maximum", "columns": 3, "circuit": {"kind": "uniform", "offset": 1.0}})
    found = mho.program(network(hw)).arrays["0"].converters[0, 0]
    assert torch.equal(found[0], found[2]) and not torch.equal(found[2], found[3])


def test_granular_codes_lose_nothing_until_they_clip():
    exact = network(hardware({"bits": None}))
    with torch.no_grad():
        for bits, lossless in ((6, True), (3, False)):
            found = network(hardware({"bits": bits, "range": "granular"}))(X)
            assert (
                bool(torch.allclose(found, exact(X), rtol=0, atol=1e-12)) == lossless
            )  # 16 rows of 3 states: |sum| <= 48
    hw = hardware({"bits": 6, "range": "granular"})
    scheme = network(hw)[0].matrix.scheme(torch.empty(6, 40), LINEAR)
    assert {round(c.bound / c.half_steps, 12) for c in scheme.conversions} == {round(1 / 3, 12)}


def test_maximum_never_clips_and_counts_rows():
    net = network(hardware({"bits": 8, "range": "maximum"}, encoding={"kind": "offset", "reference": "digital"},
                           cell={"kind": "ideal", "g_min_us": 6.0, "g_max_us": 30.0}))  # fmt: skip
    scheme = net[0].matrix.scheme(net[0].weight, LINEAR)
    assert [c.bound for c in scheme.conversions if c.readout >= 0][::3] == pytest.approx([16 * 2.5, 16 * 2.5, 8 * 2.5])


def test_the_range_of_a_batch_depends_on_the_batch_and_no_other_does():
    """peers.md 2.6, 5: with ADC ranges from the batch an answer depends on what else is in it. Named, never a default."""
    alone, loud = X[:1], torch.cat([X[:1], 3 * X[1:]])
    with torch.no_grad():
        for range_ in ("fixed", "maximum", "granular", "batch"):
            net = network(hardware({"bits": 4, "range": range_} | ({"bound": 5.3} if range_ == "fixed" else {})))
            same = torch.equal(net(alone), net(loud)[:1])
            assert same == (range_ != "batch"), range_
        assert network(hardware({"bits": 4, "range": "batch"}))(0 * X).abs().max() == 0


def test_a_batchs_range_is_its_largest_output():
    net = network(hardware({"bits": 5, "range": "batch"}, dac={"bits": 4}, array={"rows": 64},
                           encoding={"kind": "differential"}))  # fmt: skip
    scale = net[0].weight.detach().abs().amax(1)
    u = (X * 7 / 2).round().clamp(-7, 7).numpy() / 7
    y = u @ (net[0].weight.detach() / scale[:, None]).numpy().T
    bound = np.abs(y).max()
    expected = bound * np.rint(y * 15 / bound) / 15 * 2.0 * scale.numpy()
    with torch.no_grad():
        np.testing.assert_allclose(net(X).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"adc": {"bits": None, "circuit": "sar"}}, "whole codes"), ({"adc": {"bits": 6, "circuit": "flash"}}, "uniform, sar"),
        ({"adc": {"bits": 6, "circuit": {"kind": "sar", "sigma": 1}}}, "mismatch"),
        ({"adc": {"bits": 6, "range": "fixed", "bound": 0.0}}, "bound"), ({"adc": {"bits": 6, "columns": 0}}, "columns"),
        ({"adc": {"bits": 6, "range": "maximum", "bound": 3.0}}, "no effect"),
        ({"adc": {"bits": 6, "range": "batch", "on_clip": "halve_input"}}, "known bound"),
    ],
)  # fmt: skip
def test_contradictions_are_refused(changes, named):
    with pytest.raises(WrongSetting, match=named):
        Hardware.preset("ideal", **changes)


def test_ranges_that_have_no_meaning_here_are_refused():
    with pytest.raises(WrongSetting, match="continuous cells"):
        network(hardware({"bits": 6, "range": "granular"}, encoding={"kind": "differential"}))(X)
    with pytest.raises(WrongSetting, match="read unscaled"):
        network(hardware({"bits": 6, "range": "maximum"}, mapping={"scale": "none"}))(X)


def test_descriptions_without_circuits_keep_their_digest():
    plain = Hardware.preset("pcm")
    assert not {"circuit", "columns"} & set(plain.adc.as_dict(lasting=True))
    assert plain.replace(adc__circuit="sar").digest() != plain.digest()
    assert "ADC capacitor: σ = 0.02" in str(plain.replace(adc__circuit={"kind": "sar", "mismatch": 0.02}))


def test_compensation_reads_through_the_converters_of_the_chip():
    hw = hardware({"bits": 5, "range": "maximum", "circuit": {"kind": "uniform", "offset": 2.0}})
    hw = hw.replace(compensation={"kind": "global"})
    arrays = mho.program(network(hw)).arrays["0"]
    seen = arrays._read(arrays.cells(0.0), "compensation now")
    exact = mho.program(network(hw.replace(adc__circuit=None))).arrays["0"]
    assert not torch.equal(seen, exact._read(exact.cells(0.0), "compensation now"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_number_stays_none(kind):
    circuit, s = CIRCUITS.find(kind)(offset=0.2), torch.tensor([[1.2, -3.0], [float("nan"), 2.0]])
    found = circuit.convert(s, errors(circuit, 2, 4), -7, 7)
    assert found.isnan().tolist() == [[False, False], [True, False]]


@pytest.mark.parametrize("groups", [1, 2])
def test_a_reference_column_has_one_converter_and_one_offset(groups):
    """A column that all outputs of a group share is read once: what is frozen in its read-out is the same for all."""
    hw = Hardware(
        name="shared", cell={"kind": "ideal", "g_max_us": 25.0}, compensation="none", array={"rows": 32, "cols": 64},
        encoding={
            "kind": "bit_sliced", "bits": 4, "cell_bits": 4, "sign": "offset", "reference": "column", "subtract": "digital",
        },
        dac={"bits": 8}, adc={"bits": 8, "range": "maximum", "circuit": {"kind": "uniform", "offset": 3.0}},
        columns={"nonlinearity": 0.02, "nonlinearity_std": 0.5},
    )  # fmt: skip
    layer = nn.Conv1d(8, 6, 1, groups=groups, bias=False)
    net = mho.calibrate(mho.to_analog(nn.Sequential(layer), hw, example=torch.rand(2, 8, 3)), [torch.rand(20, 8, 3)])
    arrays = next(iter(mho.program(net, seed=0).arrays.values()))
    shared = [k for k, _ in arrays.converters if arrays._is_of_a_shared_column(k)]
    assert shared == [1]
    for drawn in (arrays.converters, arrays.columns):
        for (readout, _), values in drawn.items():
            distinct = len(values[:, 1].unique())
            assert distinct == (groups if readout == 1 else 6)
