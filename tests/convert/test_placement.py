"""The placement says where the multiply-accumulates are, and which it could not count."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mho.convert import to_analog
from mho.hardware import Hardware
from mho.nn.matrix import watched

IDEAL = Hardware.preset("ideal")
WIDTH, HIDDEN, EXPERTS, TOKENS = 16, 32, 4, 12


class Experts(nn.Module):
    """Every token goes through one of several two-layer networks, all of them in two grouped products."""

    def __init__(self):
        super().__init__()
        self.up = nn.Parameter(torch.randn(EXPERTS, WIDTH, HIDDEN) / 4)
        self.down = nn.Parameter(torch.randn(EXPERTS, HIDDEN, WIDTH) / 4)

    def forward(self, x, choice):
        order = choice.argsort()
        ends = torch.bincount(choice, minlength=EXPERTS).cumsum(0).to(torch.int32)
        x, up, down = (t.bfloat16() for t in (x[order], self.up, self.down))
        y = torch._grouped_mm(F.silu(torch._grouped_mm(x, up, ends)), down, ends)
        return torch.zeros_like(y).index_copy(0, order, y).float()


class Mixture(nn.Module):
    def __init__(self):
        super().__init__()
        self.project, self.router, self.experts = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, EXPERTS), Experts()

    def forward(self, x):
        x = self.project(x).flatten(0, -2)
        gates = self.router(x).softmax(-1)
        weight, choice = gates.max(-1)
        return x + weight[:, None] * self.experts(x, choice)


def test_grouped_products_of_a_mixture_of_experts_are_counted():
    net = to_analog(Mixture(), IDEAL.replace(digital=["experts"]), example=torch.randn(1, TOKENS, WIDTH))
    analog, digital = TOKENS * WIDTH * (WIDTH + EXPERTS), TOKENS * 2 * WIDTH * HIDDEN
    assert net.placement.digital_macs == digital
    assert net.placement.analog_share == pytest.approx(analog / (analog + digital))
    assert net.placement.not_counted == () and "at most" not in str(net.placement)
    assert len(net.placement.rows()) == len(net.placement)


class Foreign(nn.Module):
    """A layer, and products by an operator that torch does not know."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4, bias=False)

    def forward(self, x):
        for _ in range(3):
            x = torch.ops.mho_placement.product(self.layer(x), x.new_ones(4, 4))
        return torch.fft.rfft(x, dim=0).real


@pytest.fixture
def library():
    with torch.library._scoped_library("mho_placement", "FRAGMENT") as lib:
        lib.define("product(Tensor a, Tensor b) -> Tensor")
        lib.impl("product", lambda a, b: a @ b, "CPU")
        yield


def test_what_could_not_be_counted_is_said_in_text_rows_and_share(library):
    placement = to_analog(Foreign(), IDEAL, example=torch.randn(2, 4)).placement
    assert placement.not_counted == (("mho_placement::product", 3), ("aten::_fft_r2c", 1))
    assert placement.analog_share == 1.0 and placement.weights[0].macs == 3 * 2 * 16
    text = str(placement)
    assert "at most 100.0% of the multiply-accumulates on arrays, at least 0.0% digital" in text
    assert text.endswith("not counted: mho_placement::product (3 calls), aten::_fft_r2c (1 call)")
    unknown = placement.rows()[len(placement) :]
    assert [row["weight"] for row in unknown] == ["mho_placement::product", "aten::_fft_r2c"]
    assert all(row["placed"] == "digital" and row["reason"].startswith("not counted: ") for row in unknown)
    assert all(row["macs"] is None and row["mac_share"] is None for row in unknown)


def test_counting_does_not_depend_on_the_hardware():
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 5))
    x = torch.randn(2, 4, 6, 6)
    shares = [
        [(w.macs, w.mac_share) for w in to_analog(model, hw, example=x).placement]
        for hw in (IDEAL, IDEAL.replace(array__rows=7), Hardware.preset("pcm", encoding__pairs=3))
    ]
    assert shares[0] == shares[1] == shares[2] and shares[0][0][0] == 2 * 8 * 16 * 36


def test_every_matrix_of_a_recurrent_and_an_attention_layer_has_its_share():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.attention = nn.LSTM(3, 8, batch_first=True), nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            x, _ = self.lstm(x)
            return self.attention(x, x, x, need_weights=False)[0]

    placement = to_analog(Both(), IDEAL, example=torch.randn(2, 5, 3)).placement
    macs = {f"{w.path}.{w.weight}": w.macs for w in placement if w.placed == "analog"}
    assert macs == {
        "lstm.weight_ih_l0": 10 * 32 * 3, "lstm.weight_hh_l0": 10 * 32 * 8,
        "attention.in_proj_weight": 10 * 3 * 64, "attention.out_proj.weight": 10 * 64,
    }  # fmt: skip
    assert placement.digital_macs == 2 * 2 * 25 * 8


def test_counting_leaves_an_outer_watcher_alone():
    net, x = to_analog(nn.Linear(4, 3), IDEAL, example=torch.randn(2, 4)), torch.randn(2, 4)
    asked = []

    def watch(matrix, x, weight, operator, y):
        asked.append(matrix.path)

    with watched(net, watch):
        net(x)
        counted = net.placement.counted(net, x)
        net(x)
    assert len(asked) == 2 and counted.analog_share == 1.0


def test_the_placement_counts_macs_and_arrays():
    model = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(8 * 16, 10, bias=False))
    net = to_analog(model, IDEAL.replace(array__rows=64, array__cols=8, digital=["2"]), example=torch.randn(1, 4, 4, 4))
    conv, linear = net.placement
    assert (conv.macs, conv.rows, conv.columns, conv.row_blocks, conv.arrays) == (16 * 8 * 36, 36, 8, 1, 1)
    assert conv.utilisation == pytest.approx(36 * 8 / (64 * 8)) and linear.placed == "digital"
    assert net.placement.analog_share == pytest.approx(16 * 8 * 36 / (16 * 8 * 36 + 1280))
    assert "on arrays" in str(net.placement) and len(net.placement.rows()) == 2


def test_attention_products_are_digital_and_said_so():
    class Attend(nn.Module):
        def __init__(self):
            super().__init__()
            self.q = nn.Linear(8, 8, bias=False)

        def forward(self, x):
            return F.scaled_dot_product_attention(self.q(x), x, x)

    net = to_analog(Attend(), IDEAL, example=torch.randn(1, 2, 6, 8))
    analog, products = 2 * 6 * 8 * 8, 2 * 2 * 6 * 6 * 8
    assert net.placement.analog_share == pytest.approx(analog / (analog + products))


def test_attention_with_biases_tests_itself():
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))

    net = to_analog(Classifier(), "pcm", example=torch.randn(2, 5, 8))
    assert net.placement.analog_share > 0.7
