"""What encodings ask of an array, and what they are when nothing is said."""

from __future__ import annotations

import pytest

from mho.crossbar import Operator, Scheme
from mho.errors import MhoError
from mho.hardware import Hardware


@pytest.mark.parametrize(("encoding", "width"), [
    ({"kind": "offset"}, 1), ({"kind": "differential"}, 1),
    ({"kind": "differential", "columns": 2}, 2), ({"kind": "differential", "columns": 2, "pairs": 3}, 6),
    ({"kind": "differential", "pairs": 64}, 64),
])  # fmt: skip
def test_columns_that_a_weight_takes(encoding, width):
    hw = Hardware.preset("ideal", encoding=encoding, array__cols=128)
    plan = Scheme.of(Operator(), (200, 3), hw).plan
    assert plan.columns_per_array == 128 // width and plan.arrays == -(-200 // (128 // width))


_SLICED = {"kind": "bit_sliced", "bits": 8, "cell_bits": 4, "sign": "offset", "reference": "column"}


@pytest.mark.parametrize(("encoding", "width", "references"), [
    ({"kind": "offset"}, 1, 0), ({"kind": "offset", "reference": "column"}, 1, 1), ({"kind": "differential"}, 1, 0),
    (_SLICED, 2, 2), ({**_SLICED, "reference": "digital"}, 2, 0), ({**_SLICED, "cell_bits": 1}, 8, 8),
    ({**_SLICED, "reference": "fixed_column"}, 2, 2), ({**_SLICED, "sign": "twos_complement"}, 3, 3),
    ({**_SLICED, "sign": "pair", "reference": "digital"}, 4, 0),
])  # fmt: skip
def test_references_stand_on_every_array_that_needs_them(encoding, width, references):
    """Outputs just at the limit of an array, one below, one above."""
    hw = Hardware.preset("ideal", encoding=encoding, cell__g_min_us=0.0, cell__levels=None, array__cols=32)
    assert len(hw.encoding.shared_planes(hw.cell)) == references
    most = (32 - references) // width
    for columns, arrays in ((most - 1, 1), (most, 1), (most + 1, 2), (2 * most, 2), (2 * most + 1, 3)):
        plan = Scheme.of(Operator(), (columns, 3), hw).plan
        assert (plan.arrays, plan.arrays_per_group) == (arrays, arrays)
        assert plan.physical_columns == columns * width + arrays * references
        assert int(plan.array_index(plan.blocks[0]).max()) == arrays - 1
    if width + references > 1:
        with pytest.raises(MhoError, match=f"give {width + references} columns at least"):
            hw.replace(array__cols=width + references - 1)


@pytest.mark.parametrize("pairs", [0, 65])
def test_numbers_of_pairs_that_are_refused(pairs):
    with pytest.raises(MhoError, match="pairs"):
        Hardware.preset("ideal", encoding={"kind": "differential", "pairs": pairs})


def test_what_is_not_said():
    differential, offset = (
        Hardware.preset("ideal", encoding=kind).encoding.as_dict() for kind in ("differential", "offset")
    )
    assert differential == {"kind": "differential", "sides": "one", "subtract": "analog", "columns": 1, "pairs": 1}
    assert offset == {"kind": "offset", "reference": "digital"}


def test_one_pair_is_the_hardware_of_before_there_were_pairs():
    """Digests name stored results: a field that was added later counts where it is used."""
    one = Hardware.preset("ideal", encoding={"kind": "differential", "pairs": 1})
    assert "pairs" not in one.as_dict(lasting=True)["encoding"]
    assert (
        Hardware.preset("ideal", encoding={"kind": "differential", "pairs": 2}).as_dict(lasting=True)["encoding"][
            "pairs"
        ]
        == 2
    )
