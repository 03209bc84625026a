"""What encodings ask of an array, and what they are when nothing is said."""

from __future__ import annotations

import pytest

from mho.crossbar import Operator, Scheme
from mho.errors import MhoError
from mho.hardware import Hardware


@pytest.mark.parametrize(("encoding", "width"), [
    ({"kind": "offset"}, 1), ({"kind": "offset", "reference": "column"}, 1), ({"kind": "differential"}, 1),
    ({"kind": "differential", "columns": 2}, 2), ({"kind": "differential", "columns": 2, "pairs": 3}, 6),
    ({"kind": "differential", "pairs": 64}, 64),
])  # fmt: skip
def test_columns_that_a_weight_takes(encoding, width):
    hw = Hardware.preset("ideal", encoding=encoding, array__cols=128)
    plan = Scheme.of(Operator(), (200, 3), hw).plan
    assert plan.columns_per_array == 128 // width and plan.arrays == -(-200 // (128 // width))


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
