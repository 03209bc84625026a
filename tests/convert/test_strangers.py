"""Blocks as strangers write them: each is refused by name with a way out, or right."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from mho.convert import to_analog
from mho.convert.counting import MacCounter
from mho.errors import NotYet, UseInstead
from mho.hardware import Hardware

r = torch.randn
IDEAL = Hardware.preset("ideal", array__rows=20)


class Block(nn.Module):
    """Named children, and a forward given as a function."""

    def __init__(self, forward, **children):
        super().__init__()
        for name, child in children.items():
            setattr(self, name, child)
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


class Pair(Block):
    def forward(self, a, b):
        return self._forward(self, a, b)


def squeeze_excite(c, q):
    def forward(m, x):
        return x * m.gate(m.fc2(F.relu(m.fc1(x.mean((2, 3), keepdim=True)))))

    return Block(forward, fc1=nn.Conv2d(c, q, 1), fc2=nn.Conv2d(q, c, 1), gate=nn.Hardsigmoid())


def inverted_bottleneck(c, expand):
    h = c * expand
    return Block(
        lambda m, x: x + m.project(m.se(m.depthwise(m.expand(x)))),
        expand=nn.Sequential(nn.Conv2d(c, h, 1, bias=False), nn.BatchNorm2d(h), nn.SiLU()),
        depthwise=nn.Sequential(nn.Conv2d(h, h, 3, padding=1, groups=h, bias=False), nn.BatchNorm2d(h), nn.SiLU()),
        se=squeeze_excite(h, 4),
        project=nn.Sequential(nn.Conv2d(h, c, 1, bias=False), nn.BatchNorm2d(c)),
    )


def convnext(c):
    def forward(m, x):
        y = m.down(F.gelu(m.up(m.norm(m.depthwise(x).permute(0, 2, 3, 1)))))
        return x + (m.scale * y).permute(0, 3, 1, 2)

    return Block(
        forward, depthwise=nn.Conv2d(c, c, 7, padding=3, groups=c), norm=nn.LayerNorm(c), up=nn.Linear(c, 4 * c),
        down=nn.Linear(4 * c, c), scale=nn.Parameter(torch.full((c,), 0.1)),
    )  # fmt: skip


def vit_block(width, heads, *, fused):
    def forward(m, x):
        q, k, v = m.qkv(m.norm(x)).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v) if fused else (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v
        x = x + m.proj(y.transpose(1, 2).flatten(2))
        return x + m.mlp(x)

    return Block(
        forward, norm=nn.LayerNorm(width), qkv=nn.Linear(width, 3 * width), proj=nn.Linear(width, width),
        mlp=nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)),
    )  # fmt: skip


def vit():
    def forward(m, x):
        x = m.patch(x).flatten(2).mT
        return m.head(m.block(torch.cat((m.cls.expand(len(x), -1, -1), x), 1) + m.pos)[:, 0])

    return Block(
        forward, patch=nn.Conv2d(3, 8, 4, 4), cls=nn.Parameter(r(1, 1, 8)), pos=nn.Parameter(r(1, 5, 8)),
        block=vit_block(8, 2, fused=True), head=nn.Linear(8, 3),
    )  # fmt: skip


class Conv1D(nn.Module):
    """As GPT-2 has it: a linear layer whose weight is transposed."""

    def __init__(self, columns, rows):
        super().__init__()
        self.weight, self.bias = nn.Parameter(r(rows, columns)), nn.Parameter(r(columns))

    def forward(self, x):
        return torch.addmm(self.bias, x.flatten(0, -2), self.weight).unflatten(0, x.shape[:-1])


def gpt2():
    def forward(m, tokens):
        x = m.wte(tokens)
        q, k, v = m.c_attn(x).split(8, -1)
        return m.head(x + m.c_proj(F.scaled_dot_product_attention(q, k, v, is_causal=True)))

    model = Block(
        forward,
        wte=nn.Embedding(11, 8),
        c_attn=Conv1D(24, 8),
        c_proj=nn.Linear(8, 8),
        head=nn.Linear(8, 11, bias=False),
    )
    model.head.weight = model.wte.weight
    return model


def mixture(width, experts, chosen):
    def forward(m, x):
        weights, choice = m.gate(x).softmax(-1).topk(chosen)
        y = torch.zeros_like(x)
        for number, expert in enumerate(m.experts):
            token, place = torch.where(choice == number)
            if len(token):
                y.index_add_(0, token, weights[token, place, None] * expert(x[token]))
        return y

    def one():
        return nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    return Block(
        forward, gate=nn.Linear(width, experts, bias=False), experts=nn.ModuleList(one() for _ in range(experts))
    )


def unet():
    def forward(m, x):
        a = m.a(x)
        return m.out(F.relu(m.c(torch.cat((a, m.up(F.relu(m.b(m.down(a))))), 1))))

    return Block(
        forward, a=nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(True)), down=nn.MaxPool2d(2),
        b=nn.Conv2d(4, 8, 3, padding=1, padding_mode="reflect"), up=nn.ConvTranspose2d(8, 4, 2, 2),
        c=nn.Conv2d(8, 4, 3, padding="same"), out=nn.Conv2d(4, 2, 1),
    )  # fmt: skip


def siamese():
    tower = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))
    return Pair(lambda m, a, b: F.pairwise_distance(m.tower(a), m.alias(b)), tower=tower, alias=tower)


def two_exits():
    def forward(m, x):
        x = F.relu(m.a(x))
        return {"early": m.exit1(x), "late": [m.exit2(F.relu(m.b(x)))]}

    return Block(forward, a=nn.Linear(4, 4), exit1=nn.Linear(4, 3), b=nn.Linear(4, 4), exit2=nn.Linear(4, 3))


def early_exit():
    def forward(m, x):
        x = F.relu(m.a(x))
        early = m.exit1(x)
        return early if (early.softmax(-1).amax(-1) > 0).all() else m.exit2(m.b(x))

    return Block(forward, a=nn.Linear(4, 4), exit1=nn.Linear(4, 3), b=nn.Linear(4, 4), exit2=nn.Linear(4, 3))


def tied_autoencoder():
    return Block(
        lambda m, x: F.linear(torch.sigmoid(m.encode(x)), m.encode.weight.t(), m.bias),
        encode=nn.Linear(6, 3), bias=nn.Parameter(torch.zeros(6)),
    )  # fmt: skip


class WeightStandardised(nn.Conv2d):
    def forward(self, x):
        w = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, w / (w.std((1, 2, 3), keepdim=True) + 1e-5), self.bias)


class HandWritten(nn.Linear):
    def forward(self, x):
        return x @ self.weight.t() + self.bias


class Halved(nn.Linear):
    def forward(self, x):
        return 0.5 * F.linear(x, self.weight) + self.bias


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(r(4, 4))

    def forward(self, x):
        return F.linear(x, self.weight)


def pair(first):
    return nn.Sequential(first, nn.Linear(4, 2))


def recurrent():
    return Block(
        lambda m, i: m.head(m.lstm(m.embed(i))[0][:, -1]), embed=nn.Embedding(11, 4), head=nn.Linear(10, 3),
        lstm=nn.LSTM(4, 5, 2, batch_first=True, bidirectional=True, dropout=0.2),
    )  # fmt: skip


def quantised():
    return torch.ao.quantization.quantize_dynamic(
        nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), {"1"}, dtype=torch.qint8
    )


def born():
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(3))
    model(r(2, 3, 6, 6))
    return model


def shared_parameter():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    return model


class Symmetric(nn.Module):
    def forward(self, w):
        return w.triu() + w.triu(1).T


def symmetric():
    model = pair(nn.Linear(4, 4))
    parametrize.register_parametrization(model[0], "weight", Symmetric())
    return model


def tokens():
    return torch.randint(0, 11, (2, 5))


def by_attention(m, x):
    return m.head(m.attention(x, x, x)[0])


# name: (model, example, digital, share of the arrays)
RIGHT = {
    "squeeze and excite": (lambda: squeeze_excite(8, 4), lambda: (r(2, 8, 5, 5),), [], 1),
    "inverted bottleneck": (lambda: inverted_bottleneck(4, 2), lambda: (r(2, 4, 8, 8),), [], 1),
    "depthwise": (lambda: nn.Conv2d(4, 8, 3, groups=4, stride=2, dilation=2), lambda: (r(2, 4, 9, 9),), [], 1),
    "ConvNeXt": (lambda: nn.Sequential(nn.Conv2d(3, 8, 4, 4), convnext(8)), lambda: (r(2, 3, 16, 16),), [], 1),
    "ViT block": (lambda: vit_block(8, 2, fused=False), lambda: (r(2, 5, 8),), [], 768 / 848),
    "ViT": (vit, lambda: (r(2, 3, 8, 8),), ["cls", "pos"], 10800 / 11600),
    "GPT-2": (gpt2, lambda: (tokens(),), ["c_attn"], 1520 / 4240),
    "mixture of experts": (lambda: mixture(8, 4, 2), lambda: (r(16, 8),), [], 1),
    "one of the experts": (lambda: mixture(8, 4, 1), lambda: (r(1, 8),), [], 1),
    "U-Net": (unet, lambda: (r(2, 1, 8, 8),), [], 1),
    "siamese": (siamese, lambda: (r(2, 1, 6, 6), r(2, 1, 6, 6)), [], 1),
    "two exits": (two_exits, lambda: (r(2, 4),), [], 1),
    "early exit": (early_exit, lambda: (r(2, 4),), [], 1),
    "tied autoencoder": (tied_autoencoder, lambda: (r(2, 6),), [], 0.5),
    "by hand": (lambda: pair(HandWritten(4, 4)), lambda: (r(2, 4),), [], 1),
    "scaled behind the product": (lambda: Halved(4, 4), lambda: (r(2, 4),), [], 1),
    "weight standardised": (lambda: nn.Sequential(WeightStandardised(3, 4, 3), nn.Conv2d(4, 4, 1)), lambda: (r(2, 3, 6, 6),),
                            ["0"], 16 / (108 + 16)),
    "functional": (lambda: pair(Functional()), lambda: (r(2, 4),), ["0"], 8 / 24),
    "LSTM": (recurrent, lambda: (tokens(),), [], 1),
    "GRU cell": (lambda: pair(Block(lambda m, x: m.cell(x), cell=nn.GRUCell(4, 4))), lambda: (r(2, 4),), ["0"], 8 / 104),
    "attention": (lambda: Block(by_attention, attention=nn.MultiheadAttention(8, 2, batch_first=True), head=nn.Linear(8, 3)),
                  lambda: (r(2, 5, 8),), [], 2800 / 3600),
    "encoder, fused and digital": (lambda: nn.Sequential(nn.Linear(8, 8), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)),
                                   lambda: (r(2, 5, 8),), ["1"], 640 / 6560),
    "transformer": (lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True), lambda: (r(2, 5, 8), r(2, 4, 8)), [], 0.85511),
    "spectral norm": (lambda: pair(parametrizations.spectral_norm(nn.Linear(4, 4))), lambda: (r(2, 4),), ["0"], 16 / 68),
    "symmetric weight": (symmetric, lambda: (r(2, 4),), ["0"], 16 / 48),
    "lazy, born": (born, lambda: (r(2, 3, 6, 6),), [], 1),
    "dynamic quantisation": (quantised, lambda: (r(2, 4),), [], 0.5),
    "shared parameter": (shared_parameter, lambda: (r(2, 4),), [], 1),
    "scripted part": (lambda: pair(torch.jit.script(nn.ReLU())), lambda: (r(2, 4),), [], 1),
    "compiled part": (lambda: pair(torch.compile(nn.Linear(4, 4), backend="eager")), lambda: (r(2, 4),), [], 1),
    "traced by fx": (lambda: torch.fx.symbolic_trace(unet()), lambda: (r(2, 1, 8, 8),), [], 1),
    "bilinear": (lambda: nn.Sequential(nn.Linear(4, 4), Block(lambda m, x: m.b(x, x), b=nn.Bilinear(4, 4, 2))),
                 lambda: (r(2, 4),), ["1.b"], 32 / 96),
    "frozen, bf16": (lambda: pair(nn.Linear(4, 4)).requires_grad_(False).bfloat16(), lambda: (r(2, 4).bfloat16(),), [], 1),
    "data parallel": (lambda: nn.DataParallel(nn.Linear(4, 3)), lambda: (r(2, 4),), [], 1),
    "a layer without outputs": (lambda: Block(lambda m, x: (m.a(x), m.b(x)), a=nn.Linear(4, 3), b=nn.Linear(4, 0)),
                                lambda: (r(2, 4),), [], 1),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("make", "example", "digital", "share"), RIGHT.values(), ids=RIGHT.keys())
def test_what_is_converted_is_right_and_counts_as_the_original(make, example, digital, share):
    model, example = make().eval(), example()
    net = to_analog(model, IDEAL.replace(digital=digital), example=example)
    with torch.no_grad(), torch.compiler.set_stance("force_eager"), MacCounter() as counter:
        copy.deepcopy(model)(*example)
    analog = sum(weight.macs for weight in net.placement if weight.placed == "analog")
    assert analog + net.placement.digital_macs == counter.macs and not net.placement.not_counted
    assert net.placement.analog_share == pytest.approx(share, abs=1e-4)


def pruned():
    model = pair(nn.Linear(4, 4))
    prune.l1_unstructured(model[0], "weight", 0.5)
    return model


# name: (model, example, digital, error, its words)
REFUSED = {
    "ViT without an example": (vit, None, [], NotYet, r"holds 'pos' \(1, 5, 8\) .*give an example.*digital=\['pos'\]"),
    "GPT-2": (gpt2, None, [], NotYet, r"c_attn: no rule maps Conv1D.*digital=\['c_attn'\]"),
    "functional": (lambda: pair(Functional()), None, [], NotYet, r"0: no rule maps Functional.*digital=\['0'\]"),
    "GRU cell": (lambda: pair(nn.GRUCell(4, 4)), None, [], NotYet, r"no rule maps GRUCell.*digital=\['0'\]"),
    "parameter list": (lambda: pair(nn.ParameterList([r(4, 4)])), None, [], NotYet, r"ParameterList, .*digital=\['0'\]"),
    "scripted": (lambda: pair(torch.jit.script(nn.Linear(4, 4))), None, [], NotYet, "no rule maps RecursiveScriptModule"),
    "complex": (lambda: nn.Linear(4, 4, dtype=torch.complex64), None, [], NotYet, "real weights, this Linear complex"),
    "spectral norm": (
        lambda: pair(parametrizations.spectral_norm(nn.Linear(4, 4))), None, [], UseInstead,
        r"computed from other parameters.*remove_parametrizations.*digital=\['0'\]",
    ),
    "symmetric weight": (symmetric, None, [], UseInstead, "remove_parametrizations"),
    "older spectral norm": (lambda: pair(spectral_norm(nn.Linear(4, 4))), None, [], UseInstead, "remove_spectral_norm"),
    "older spectral norm, digital": (
        lambda: pair(spectral_norm(nn.Linear(4, 4))), None, ["0"], UseInstead, "cannot copy it.*remove_spectral",
    ),
    "older weight norm, digital": (lambda: pair(weight_norm(nn.Linear(4, 4))), None, ["0"], UseInstead, "remove_weight_norm"),
    "pruned": (pruned, None, [], UseInstead, r"prune\.remove"),
    "pruned, digital": (pruned, None, ["0"], UseInstead, r"prune\.remove"),
    "lazy, digital": (lambda: nn.Sequential(nn.Linear(4, 4), nn.LazyLinear(3)), None, ["1"], UseInstead, "one batch"),
    "lazy norm": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.LazyBatchNorm2d()), None, [], UseInstead, "LazyBatchNorm2d"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("make", "example", "digital", "error", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused_is_named_with_a_way_out(make, example, digital, error, words):
    with pytest.raises(error, match=words):
        to_analog(make(), IDEAL.replace(digital=digital), example=None if example is None else example())


def dropped():
    return Block(lambda m, x: m.a(x) if not m.training else m.b(x), a=nn.Linear(4, 4), b=nn.Linear(4, 4))


@pytest.mark.parametrize(
    ("make", "unreached"), [(early_exit, {"b.weight", "exit2.weight"}), (two_exits, set()), (dropped, {"b.weight"})]
)
def test_layers_that_the_example_does_not_reach_are_listed(make, unreached):
    placement = to_analog(make(), IDEAL, example=r(2, 4)).placement
    found = {f"{w.path}.{w.weight}": w.macs for w in placement if "does not reach" in w.reason}
    assert set(found) == unreached and not any(found.values())


def test_a_weight_read_around_its_layer_as_well_is_said():
    placement = to_analog(tied_autoencoder(), IDEAL, example=r(2, 6)).placement
    assert "read around its layer, too: 36 multiply-accumulates are digital" in str(placement)
    said = [w for w in to_analog(shared_parameter(), IDEAL, example=r(2, 4)).placement if "around" in w.reason]
    assert not said


@pytest.mark.parametrize("training", [True, False])
def test_digital_weights_have_their_multiply_accumulates(training):
    model = nn.Sequential(
        nn.Linear(8, 8),
        nn.TransformerEncoderLayer(8, 2, 16, dropout=0, batch_first=True),
        nn.LSTM(8, 4, batch_first=True),
    )
    model.train(training)
    placement = to_analog(model, IDEAL.replace(digital=["1", "2"]), example=r(2, 5, 8)).placement
    macs = {f"{w.path}.{w.weight}": w.macs for w in placement if w.placed == "digital" and len(w.shape) > 1}
    assert macs == {
        "1.self_attn.in_proj_weight": 10 * 3 * 64, "1.self_attn.out_proj.weight": 10 * 64, "1.linear1.weight": 10 * 128,
        "1.linear2.weight": 10 * 128, "2.weight_ih_l0": 10 * 16 * 8, "2.weight_hh_l0": 10 * 16 * 4,
    }  # fmt: skip
    assert all(w.macs == 0 for w in placement if len(w.shape) == 1)
    assert placement.digital_macs == sum(macs.values()) + 2 * 2 * 25 * 8


def test_a_single_parameter_stays_digital_and_says_so():
    placement = to_analog(vit(), IDEAL.replace(digital=["cls", "p*s"]), example=r(2, 3, 8, 8)).placement
    said = {w.weight: (w.placed, w.reason) for w in placement if w.path == ""}
    assert set(said) == {"cls", "pos"} and all("chosen" in reason for _, reason in said.values())
