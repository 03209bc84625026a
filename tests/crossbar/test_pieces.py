"""Noise of products and IR drop are computed a few images at a time, so that what they need stays in the cache."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mho.crossbar import Operator, Scheme, fused, hold, ideal_cells
from mho.hardware import Hardware

DROP = {"ir_drop": {"scale": 1.0, "conductance_ratio": 100.0}}
VARIATION = {"variations": [{"sigma": 0.1, "relative_to": "gmax", "redraw": "mvm"}]}
CONV = Operator(2, (1, 1), (1, 1), (1, 1))
CASES: dict[str, tuple[Operator, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "linear": (Operator(), (40, 30), (30, 30), DROP),
    "wide": (Operator(), (20, 50), (30, 50), DROP),
    "sequences": (Operator(), (40, 30), (30, 5, 30), DROP),
    "conv": (CONV, (6, 4, 3, 3), (30, 4, 5, 7), DROP),
    "depthwise": (Operator(2, (1, 1), (1, 1), (1, 1), 4), (8, 1, 3, 3), (30, 4, 5, 7), DROP),
    "redrawn": (Operator(), (40, 30), (30, 30), VARIATION),
    "both": (Operator(), (40, 30), (30, 30), {**DROP, **VARIATION}),
    "nothing": (Operator(), (40, 30), (30, 30), {"noise": {"output": 0.1}}),
    "one vector": (Operator(), (40, 30), (30,), DROP),
    "one image": (CONV, (6, 4, 3, 3), (4, 5, 7), DROP),
    "one series": (Operator(1, (1,), (1,), (1,)), (6, 4, 3), (30, 4, 7), DROP),
}  # fmt: skip
FLOATS = {  # of one image (vector): its positions × (products + 1) × channels, those of the input or the output
    "linear": 5 * 40, "wide": 5 * 50, "sequences": 5 * 5 * 40, "conv": 5 * 35 * 6, "depthwise": 5 * 35 * 8,
    "redrawn": 4 * 40, "both": 7 * 40,
}  # fmt: skip


def pieces(name: str, dtype: torch.dtype, images: float, monkeypatch: Any) -> list[int]:
    """Lengths of what the executor multiplies at a time where the cache holds `images` of them."""
    operator, shape, size, effects = CASES[name]
    scheme = Scheme.of(operator, shape, Hardware.preset("ideal", **effects))
    held = hold(ideal_cells(operator.to_matrix(torch.randn(shape, dtype=dtype)), scheme), operator, scheme)
    found, walk = [], fused.walk

    def counted(held: Any, operator: Any, x: Any, *rest: Any) -> Any:
        found.append(len(x))
        return walk(held, operator, x, *rest)

    monkeypatch.setattr(fused, "walk", counted)
    monkeypatch.setattr(fused, "_CACHED", int(4 * FLOATS.get(name, 1) * images))
    x = torch.randn(size, dtype=dtype)
    with torch.no_grad():
        y = fused.forward(held, operator, x, torch.tensor(1.0), None, None)
    assert y.shape == operator(x, torch.zeros(shape, dtype=dtype)).shape
    return found


@pytest.mark.parametrize("name", FLOATS)
def test_pieces_are_as_large_as_the_cache_allows(name, monkeypatch):
    assert pieces(name, torch.float32, 7.5, monkeypatch) == [7, 7, 7, 7, 2]
    monkeypatch.undo()
    assert pieces(name, torch.float32, 30, monkeypatch) == [30]
    monkeypatch.undo()
    assert pieces(name, torch.float32, 0.5, monkeypatch) == [1] * 30


@pytest.mark.parametrize("name", [name for name in CASES if name not in FLOATS])
def test_a_single_product_or_image_is_not_cut(name, monkeypatch):
    assert pieces(name, torch.float32, 0.5, monkeypatch) == [CASES[name][2][0]]


def test_double_precision_which_no_fast_kernel_takes_is_not_cut(monkeypatch):
    assert pieces("linear", torch.float64, 0.5, monkeypatch) == [30]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels_last", [False, True])
def test_pieces_and_the_whole_have_one_layout(layout, channels_last, monkeypatch):
    operator, shape, size, effects = CASES["conv"]
    scheme = Scheme.of(operator, shape, Hardware.preset("ideal", **effects))
    held = hold(ideal_cells(operator.to_matrix(torch.randn(shape)), scheme), operator, scheme)
    x = torch.randn(size).to(memory_format=layout)
    found = []
    for cached in (10**9, 1):
        monkeypatch.setattr(fused, "_CACHED", cached)
        with torch.no_grad():
            found.append(
                fused.forward(held._replace(channels_last=channels_last), operator, x, torch.tensor(1.0), None, None)
            )
    assert found[0].stride() == found[1].stride()
    torch.testing.assert_close(found[0], found[1])
    if layout == torch.channels_last or not channels_last:
        assert found[0].is_contiguous(memory_format=layout)
