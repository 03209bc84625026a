"""Counts of what is easily counted twice or not at all, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import mho
from mho.costs import Technology, cost, cost_of_placement
from mho.costs.loads import assumed, slices
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.nn.matrix import matrices


def _net(rows: int, columns: int, hw: Hardware | str) -> nn.Module:
    torch.manual_seed(0)
    layer = nn.Linear(rows, columns, bias=False).eval()
    return mho.to_analog(layer, Hardware.of(hw), example=torch.zeros(1, rows))


def _cost(rows: int, columns: int, hw: Hardware | str, technology: Technology | str | None = None):
    return cost(_net(rows, columns, hw), example=torch.zeros(1, rows), technology=technology)


def _counts(found) -> dict[str, float]:
    return {entry.component: entry.count for entry in found.entries}


def test_slices_added_as_charge_are_read_one_by_one_and_converted_once():
    """Inputs of 8 bits bit by bit: 7 reads of 100 ns, 7 · 64 rows, and 4 slices of weights · 5 columns converted once."""
    hw = Hardware.preset("isaac", encoding__bits=8, dac__bits=8, dac__shift_and_add="analog")
    found = _cost(64, 5, hw)
    counts = _counts(found)
    assert (counts["cells"], counts["row_driver"], counts["adc"], found.latency_ns) == (7, 448, 20, 700)
    assert found.by_component()["cells"] == 7 * 30
    each = _cost(64, 5, hw.replace(dac__shift_and_add="digital"))
    assert _counts(each)["adc"] == 140 and _counts(each)["row_driver"] == 448 and each.latency_ns == 700


def test_slices_added_as_charge_without_overlap(hardware, round_numbers):
    """7 · (5 + 20) ns, then 4 columns on 2 converters of 4 ns once; the cells carry what they carry anyway."""
    digital = hardware.replace(dac__slice_bits=1)
    one, each = (_cost(16, 4, hw, round_numbers) for hw in (digital.replace(dac__shift_and_add="analog"), digital))
    assert one.latency_ns == 7 * 25 + 2 * 4 and each.latency_ns == 7 * (25 + 2 * 4)
    assert one.by_component()["cells"] == each.by_component()["cells"]
    assert _counts(one)["shift_add"] == 0 and _counts(each)["shift_add"] == 28
    duration = round_numbers.replace(timing__input="duration")
    assert _counts(_cost(16, 4, digital.replace(dac__shift_and_add="analog"), duration))["integrator"] == 4 * 7
    during = Technology.preset(
        "jia-2020", adc={"kind": "survey"}
    )  # a converter that has 7 reads for one conversion is slower
    hw = Hardware.preset("jia-2020")
    fast, slow = (
        _cost(16, 4, h, during).area_by_component()["adc"] for h in (hw, hw.replace(dac__shift_and_add="analog"))
    )
    assert slow < fast


def test_cells_that_are_read_where_each_has_a_price(hardware, round_numbers):
    """50 × 6 weights in 2 slices of pairs: 24 columns · 50 rows, however they are cut over arrays; 3 row blocks of columns."""
    hw = hardware.replace(encoding={"kind": "bit_sliced", "bits": 5, "cell_bits": 2}, array__cols=16)
    priced = {"kind": "fixed", "energy_pj": 2.0, "source": "test"}
    for each, count in (("cell", 1200), ("column", 72), ("array", 6)):
        found = _cost(50, 6, hw, round_numbers.replace(cells={**priced, "each": each}))
        assert _counts(found)["cells"] == count and found.by_component()["cells"] == 2 * count
    jia = Technology.preset("jia-2020", cells__each="cell")
    assert _counts(_cost(512, 1, Hardware.preset("jia-2020", dac__slice_bits=None), jia))["cells"] == 8 * 512


def test_a_network_that_is_one_layer_has_a_name_in_the_table(round_numbers, hardware):
    assert "\nthe layer  " in str(_cost(16, 4, hardware, round_numbers))


def test_a_shared_reference_column_is_one_column(round_numbers):
    """32 × 256 in 8 slices: 65,536 cells of weights, and 8 columns of 32 on each of 18 arrays, which hold 15 outputs each."""
    hw = Hardware.preset("neurosim-rram", array__cols=128)
    net, x = _net(32, 256, hw), torch.zeros(1, 32)
    rows = net.placement.rows()
    ran, told, drawn = cost(net, example=x), cost_of_placement(rows, hw, net=net), cost_of_placement(rows, hw)
    assert ran.capacity.cells == told.capacity.cells == drawn.capacity.cells == 65_536 + 18 * 8 * 32
    assert net.placement.weights[0].arrays == ran.layers[0].arrays == ran.capacity.needed == 18
    assert net.placement.weights[0].utilisation == ran.layers[0].utilisation == pytest.approx(256 * 8 / (18 * 128))
    assert drawn.by_component()["cells"] == pytest.approx(ran.by_component()["cells"], rel=0.05)


def test_a_reference_column_that_is_converted_is_converted_once():
    """8 slices of the input · 8 of the weight · (10 columns and their reference); 88 conversions on 16 converters."""
    found = _cost(32, 10, Hardware.preset("neurosim-rram", encoding__subtract="digital"))
    assert _counts(found)["adc"] == 8 * 8 * (10 + 1) and found.latency_ns == 8 * (5 + 6 * 5)


@pytest.mark.parametrize(("outputs", "arrays"), [(4, 1), (5, 1), (6, 2), (10, 2), (11, 3)])
def test_every_array_has_references_of_its_own(outputs, arrays, hardware, round_numbers):
    """20 rows, 2 cells a weight and 2 references on arrays of 12 columns, which hold 5 outputs: by hand."""
    sliced = {"kind": "bit_sliced", "bits": 8, "cell_bits": 4, "sign": "offset", "reference": "column"}
    hw = hardware.replace(encoding={**sliced, "subtract": "digital"}, array__cols=12, write_verify={"rounds": 1})
    cells = {"kind": "fixed", "each": "cell", "energy_pj": 1.0, "cell_area_f2": 10}
    writing = {"write_energy_pj": 2.0, "write_ns": 100, "written_together": 4, "source": "test"}
    priced = round_numbers.replace(cells={**cells, **writing})
    found = _cost(20, outputs, hw, priced)
    columns, full = 2 * outputs + 2 * arrays, min(outputs, 5)
    assert _counts(found)["cells"] == 20 * columns and _counts(found)["adc"] == columns
    assert _counts(found)["shift_add"] == columns and _counts(found)["row_driver"] == 20 * arrays
    assert found.capacity.cells == 20 * columns and found.capacity.write_energy_pj == 20 * columns * 2.0
    assert found.capacity.write_time_ns == 20 * (2 * full + 2) / 4 * 100  # the fullest array, four cells at a time
    assert found.latency_ns == 25 + -(-2 * (full + 1) // 6) * 4  # the fullest array's, on six converters
    pieces = {piece.component: piece.count for piece in found.pieces}
    assert pieces["cells"] == 20 * 12 * arrays and pieces["adc"] == 6 * arrays
    assert found.layers[0].utilisation == pytest.approx(2 * outputs / (12 * arrays))
    fixed = _cost(20, outputs, hw.replace(encoding__reference="fixed_column"), priced)
    assert _counts(fixed) == _counts(found) and fixed.capacity.cells == 20 * 2 * outputs  # resistors are not written
    digital = _cost(20, outputs, hw.replace(encoding={**sliced, "reference": "digital"}), priced)
    assert _counts(digital)["adc"] == 2 * outputs and digital.layers[0].arrays == -(-outputs // 6)


def test_groups_that_share_an_array_have_references_of_their_own(hardware, round_numbers):
    """Eight groups of 2 outputs and 9 rows: two fit along the rows, one more column each of references, on 20 × 6."""
    hw = hardware.replace(encoding={"kind": "offset", "reference": "column"}, array__cols=6)
    x = torch.zeros(1, 8, 3, 3)
    net = mho.to_analog(nn.Conv2d(8, 16, 3, groups=8, bias=False).eval(), hw, example=x)
    found = cost(net, example=x, technology=round_numbers)
    assert found.layers[0].arrays == 4 and found.layers[0].utilisation == pytest.approx(16 * 9 / (4 * 20 * 6))
    assert found.capacity.cells == 8 * 9 * (2 + 1)
    narrow = cost(mho.to_analog(nn.Conv2d(8, 16, 3, groups=8).eval(), hw.replace(array__cols=5), example=x), example=x)
    assert narrow.layers[0].arrays == 8  # two groups need six columns


def test_neurosim_senses_one_ns_a_bit_and_one_more():
    four, six = (_cost(32, 10, Hardware.preset("neurosim-rram", adc__bits=bits)) for bits in (4, 6))
    assert four.latency_ns == 8 * (5 + 5 * 5) and six.latency_ns == 8 * (5 + 5 * 7)
    assert six.by_component()["cells"] == pytest.approx(four.by_component()["cells"] * 7 / 5)


def test_columns_that_share_a_converter_are_said_once(hardware, round_numbers):
    pcm = Hardware.preset("pcm", adc__columns=16)  # 512 columns
    adcs = [next(p.count for p in _cost(64, 10, hw, "generic").pieces if p.component == "adc") for hw in ("pcm", pcm)]
    assert adcs == [64, 32]
    with pytest.raises(WrongSetting, match="64 columns share a converter .adc.columns., and 128 in technology 'isaac'"):
        _cost(64, 5, Hardware.preset("isaac", adc__columns=64))
    assert _cost(64, 5, Hardware.preset("isaac", adc__columns=128)).latency_ns == 1600
    open_ = round_numbers.replace(timing__columns_per_adc=None)
    times = [_cost(16, 4, hardware.replace(adc__columns=n), open_).latency_ns for n in (1, 2, 4)]
    assert times == [25 + 4, 25 + 2 * 4, 25 + 4 * 4]


@pytest.mark.parametrize("bits", [None, 1, 2, 3])
@pytest.mark.parametrize("duration", [False, True])
def test_codes_that_are_equally_likely(bits, duration, hardware):
    """Against all 128 magnitudes cut into slices, the highest of which lacks a bit of 2 or 3."""
    net = _net(16, 4, hardware.replace(dac__slice_bits=bits))
    matrix = next(iter(matrices(net)))
    scheme = matrix.scheme(net.weight, next(iter(net.views())).operator)
    g, codes = torch.rand(1, 16), torch.arange(128.0) / 127
    parts = [codes if part.take is None else part.take(codes) for part in slices(scheme)]
    load = assumed(scheme, g, duration)
    assert load.charge_us == pytest.approx(
        sum(float((v if duration else v**2).mean() * g.sum()) for v in parts), rel=1e-5
    )
    assert load.active == pytest.approx(sum(16 * float((v > 0).float().mean()) for v in parts))
    assert load.level == pytest.approx(sum(16 * float(v.mean()) for v in parts)) and load.vectors == 1
