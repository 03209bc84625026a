"""Parameters without a module of torch's own: which stay digital and why, which go onto arrays, what is refused all at once.

Look-alikes of the patterns of timm, torchvision and transformers, so that the tests need none of them.
"""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mho
from mho.convert import to_analog, to_digital
from mho.convert.parameters import ADDED, LOOKED_UP, UNREAD, VECTOR, wildcards
from mho.convert.rules import READS
from mho.errors import MhoError, NotYet
from mho.hardware import Hardware
from mho.nn import AnalogLayer
from mho.nn.calls import LINEAR, Read

IDEAL = Hardware.preset("ideal", array__rows=20)
W = 8


def matrix(*shape):
    return nn.Parameter(torch.randn(*shape) / 4)


class Attention(nn.Module):
    """As BEiT and Swin 2 have it: the parent reads the weight of a fused layer; a table of position biases."""

    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(W, 3 * W, bias=False), nn.Linear(W, W)
        self.q_bias, self.table = matrix(W), matrix(9, 2)
        self.register_buffer("index", torch.randint(0, 9, (5, 5)))
        self.gamma = matrix(W)

    def forward(self, x):
        bias = torch.cat((self.q_bias, torch.zeros(2 * W)))
        q, k, v = F.linear(x, self.qkv.weight, bias).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.table[self.index].permute(2, 0, 1)[None])
        return x + self.gamma * self.proj(y.transpose(1, 2).flatten(2))


class Vision(nn.Module):
    """Class token, position embedding, learned queries that pool, a mask token that is not used."""

    def __init__(self):
        super().__init__()
        self.patch, self.block, self.head = nn.Conv2d(3, W, 4, 4), Attention(), nn.Linear(W, 3)
        self.cls, self.pos, self.queries, self.mask = matrix(1, 1, W), matrix(1, 5, W), matrix(1, 2, W), matrix(3, W)
        self.to_q, self.to_k = nn.Linear(W, W), nn.Linear(W, W)

    def forward(self, x):
        x = self.patch(x).flatten(2).mT
        x = self.block(torch.cat((self.cls.expand(len(x), -1, -1), x), 1) + self.pos)
        weights = (self.to_q(self.queries).expand(len(x), -1, -1) @ self.to_k(x).mT).softmax(-1)
        return self.head((weights @ x).mean(1))


class Standardised(nn.Conv2d):
    """Weight standardisation with a gain, as normaliser-free networks have it."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.gain = nn.Parameter(torch.rand(self.out_channels, 1, 1, 1) + 0.5)

    def forward(self, x):
        weight = F.batch_norm(
            self.weight.reshape(1, self.out_channels, -1),
            None,
            None,
            weight=self.gain.flatten(),
            training=True,
            momentum=0.0,
        ).reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Lora(nn.Linear):
    """A low-rank addition whose factors are parameters of the layer itself."""

    def __init__(self, rows, columns):
        super().__init__(rows, columns)
        self.lora_a, self.lora_b = matrix(2, rows), matrix(columns, 2)

    def forward(self, x):
        return F.linear(x, self.weight, self.bias) + x @ self.lora_a.T @ self.lora_b.T


class Conv1D(nn.Module):
    """GPT-2's linear layer."""

    def __init__(self, columns, rows):
        super().__init__()
        self.weight, self.bias = matrix(rows, columns), matrix(columns)

    def forward(self, x):
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(*x.shape[:-1], -1)


class Experts(nn.Module):
    """Experts in one parameter, one at a time (`how`: "loop"), all at once ("batched"), or by groups of tokens ("grouped")."""

    def __init__(self, how):
        super().__init__()
        self.how, self.up, self.down = how, matrix(3, 2 * W, W), matrix(3, W, 2 * W)

    def forward(self, x):
        flat = x.reshape(-1, W)
        if self.how == "batched":
            return torch.bmm(torch.bmm(flat.expand(3, -1, -1), self.up.mT).relu(), self.down.mT).sum(0).view_as(x)
        if self.how == "grouped":
            ends = torch.tensor([2, 2, len(flat)], dtype=torch.int32)
            hidden = torch._grouped_mm(flat, self.up.mT, offs=ends).relu()
            return torch._grouped_mm(hidden, self.down.mT, offs=ends).view_as(x)
        y = torch.zeros_like(flat)
        for i in (0, 2):
            y = y + F.linear(F.linear(flat, self.up[i]).relu(), self.down[i])
        return y.view_as(x)


class Summed(nn.Module):
    """XLNet's projections, by einsum; a table of positions goes through one of them."""

    def __init__(self):
        super().__init__()
        self.q, self.r, self.o = matrix(W, 2, 4), matrix(W, 2, 4), matrix(W, 2, 4)

    def forward(self, x):
        places = torch.arange(x.shape[1] * W).view(-1, W) / 10.0
        q, r = torch.einsum("bth,hnd->btnd", x, self.q), torch.einsum("th,hnd->tnd", places.sin(), self.r)
        y = torch.einsum("btnd,snd->bnts", q, r).softmax(-1)
        return torch.einsum("btnd,hnd->bth", torch.einsum("bnts,bsnd->btnd", y, q), self.o)


class StateSpace(nn.Module):
    """Mamba's core: a state matrix that multiplies element by element, and a projection from the left."""

    def __init__(self):
        super().__init__()
        self.a_log, self.dt = matrix(W, 3), nn.Linear(2, W)
        self.into = nn.Linear(W, 2 + 3 + 3)

    def forward(self, x):
        dt, b, c = self.into(x).split((2, 3, 3), -1)
        dt = F.softplus((self.dt.weight @ dt.mT).mT + self.dt.bias)
        decay = torch.exp(-self.a_log.exp() * dt[..., None])
        state, out = torch.zeros(len(x), W, 3), []
        for t in range(x.shape[1]):
            state = decay[:, t] * state + (dt[:, t, :, None] * b[:, t, None]) * x[:, t, :, None]
            out.append((state @ c[:, t, :, None]).squeeze(-1))
        return torch.stack(out, 1)


class ByHand(nn.Module):
    def __init__(self):
        super().__init__()
        self.w, self.v = matrix(W, W), matrix(W, 1)

    def forward(self, x):
        return (x @ self.w) @ self.v


def tokens():
    return torch.randn(2, 5, W)


# name: (model, example, parameters on arrays, share of the stored matrices' multiply-accumulates)
ON_ARRAYS = {
    "vision": (Vision, lambda: torch.randn(2, 3, 8, 8),
               {"patch.weight", "block.qkv.weight", "block.proj.weight", "head.weight", "to_q.weight", "to_k.weight"}, 1),
    "standardised": (lambda: nn.Sequential(Standardised(3, 4, 3, groups=1), nn.ReLU(), Standardised(4, 4, 1)),
                     lambda: torch.randn(2, 3, 6, 6), {"0.weight", "2.weight"}, 1),
    "LoRA": (lambda: nn.Sequential(Lora(W, W), nn.Linear(W, 3)), tokens,
             {"0.weight", "0.lora_a", "0.lora_b", "1.weight"}, 1),
    "Conv1D": (lambda: nn.Sequential(Conv1D(12, W), nn.Linear(12, 3)), tokens, {"0.weight", "1.weight"}, 1),
    "experts, one by one": (lambda: Experts("loop"), tokens, {"up", "down"}, 1),
    "experts at once": (lambda: Experts("batched"), tokens, {"up", "down"}, 1),
    "experts by groups": (lambda: Experts("grouped"), tokens, {"up", "down"}, 1),
    "einsum": (Summed, tokens, {"q", "r", "o"}, 1),
    "state space": (StateSpace, tokens, {"into.weight", "dt.weight"}, 1),
    "by hand": (ByHand, tokens, {"w", "v"}, 1),
}  # fmt: skip


@pytest.mark.parametrize(("make", "example", "analog", "share"), ON_ARRAYS.values(), ids=ON_ARRAYS.keys())
def test_what_computes_a_product_goes_onto_arrays(make, example, analog, share):
    torch.manual_seed(0)
    model, x = make().eval(), example()
    net = to_analog(model, IDEAL, example=x)
    assert {f"{w.path}.{w.weight}".lstrip(".") for w in net.placement if w.placed == "analog"} == analog
    assert net.placement.stored_share == pytest.approx(share)
    torch.testing.assert_close(net(x), model(x))
    state = model.state_dict()
    assert list(net.state_dict()) == list(state)
    net.load_state_dict(state)
    back = to_digital(pickle.loads(pickle.dumps(copy.deepcopy(net))))
    assert [type(m) for m in back.modules()] == [type(m) for m in model.modules()]
    assert all(vars(m).keys() == vars(o).keys() for m, o in zip(back.modules(), model.modules(), strict=True))
    assert torch.equal(back(x), model(x))


@pytest.mark.parametrize(("make", "example", "analog", "share"), ON_ARRAYS.values(), ids=ON_ARRAYS.keys())
def test_a_chip_reads_its_own_weights(make, example, analog, share):
    torch.manual_seed(0)
    model, x = make().eval(), example()
    net = to_analog(model, "pcm", example=x)
    mho.calibrate(net, [x])
    old = mho.program(net, seed=0).at("1 day")
    wanted = model(x).detach()
    found = old(x).detach()
    assert 0 < float((found - wanted).norm() / wanted.norm()) < 0.7
    with (
        torch.no_grad()
    ):  # a chip is programmed: the parameters that were written, whose memory it shares, are read no more
        for name in analog:
            net.get_parameter(name).mul_(3.0)
    again = old(x).detach()
    assert float((again - found).norm() / found.norm()) < 0.7


@pytest.mark.parametrize("name", ON_ARRAYS)
def test_training_reaches_every_matrix_through_its_arrays(name):
    torch.manual_seed(0)
    make, example, analog, _ = ON_ARRAYS[name]
    model, x = make(), example()
    net = to_analog(model, "ideal", example=x).train()
    grown = {n: p.grad for n, p in _after_backward(net, x).items()}
    wanted = {n: p.grad for n, p in _after_backward(copy.deepcopy(model).train(), x).items()}
    for parameter in analog:
        torch.testing.assert_close(grown[parameter], wanted[parameter])
    recipe = mho.HWA(weights=mho.training.Gaussian(sigma=0.05), clip=mho.training.Clip(bound=1.0))
    session = recipe.attach(net, steps=2)
    net(x).square().mean().backward()
    session.step()
    session.detach()


def _after_backward(net, x):
    net(x).square().mean().backward()
    return dict(net.named_parameters())


def test_what_stays_digital_says_why():
    placement = to_analog(Vision(), IDEAL, example=torch.randn(2, 3, 8, 8)).placement
    said = {
        f"{w.path}.{w.weight}".lstrip("."): w.reason for w in placement if w.placed == "digital" and len(w.shape) > 1
    }
    assert said == {"cls": VECTOR, "pos": ADDED, "queries": ADDED, "mask": UNREAD, "block.table": ADDED}


def test_a_state_matrix_stays_digital_with_its_multiply_accumulates():
    placement = to_analog(StateSpace(), IDEAL, example=tokens()).placement
    assert next(w for w in placement if w.weight == "a_log").reason == ADDED and placement.digital_macs > 0


def test_without_an_example_only_what_is_sure_is_decided():
    with pytest.raises(NotYet, match="give an example") as refused:
        to_analog(Vision(), IDEAL)
    assert "'pos' (1, 5, 8)" in str(refused.value) and "'cls'" not in str(refused.value)
    READS[f"{Conv1D.__module__}.{Conv1D.__qualname__}"] = {"weight": Read(LINEAR, transposed=True)}
    try:
        net = to_analog(nn.Sequential(Conv1D(12, W)), IDEAL)
        assert net.placement.arrays > 0
    finally:
        del READS[f"{Conv1D.__module__}.{Conv1D.__qualname__}"]


class Relative(nn.Module):
    """Scores by relative position, as multi-scale transformers have them; experts gathered for each token."""

    def __init__(self, gathered):
        super().__init__()
        self.gathered, self.table, self.experts, self.head = gathered, matrix(9, W), matrix(3, W, W), nn.Linear(W, W)

    def forward(self, x):
        if self.gathered:
            x = torch.einsum("bth,bthc->btc", x, self.experts[(x.sum(-1) > 0).long()])
        places = torch.arange(5)[:, None] - torch.arange(5) + 4
        scores = torch.einsum("bqc,qkc->bqk", x, self.table[places])
        return self.head(scores.softmax(-1) @ x)


def test_a_table_whose_rows_multiply_stays_digital_and_counts():
    placement = to_analog(Relative(False), IDEAL, example=tokens()).placement
    table = next(w for w in placement if w.weight == "table")
    assert table.reason == LOOKED_UP and table.placed == "digital"
    assert placement.stored_share == pytest.approx(W * W * 10 / (W * W * 10 + 2 * 25 * W))


def test_experts_that_are_gathered_are_refused():
    with pytest.raises(NotYet, match=r"holds 'experts' \(3, 8, 8\).*digital=\['experts'\]"):
        to_analog(Relative(True), IDEAL, example=tokens())


def test_norms_fold_into_computed_weights_alone():
    torch.manual_seed(0)
    model = nn.Sequential(
        Standardised(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(2), Lora(16, 5), nn.Linear(5, 2)
    )
    model[1].running_mean.normal_()
    x = torch.randn(2, 3, 6, 6)
    net = to_analog(model.eval(), "ideal", example=x)
    old = mho.program(net, seed=0).at(0)
    torch.testing.assert_close(mho.fuse(old)(x), model(x), rtol=1e-4, atol=1e-5)


def test_one_module_at_two_paths_is_on_arrays_at_both():
    shared = Experts("loop")
    net = to_analog(nn.Sequential(shared, nn.ReLU(), shared, Attention(), nn.Linear(W, 2)), IDEAL, example=tokens())
    assert net[0] is net[2] and isinstance(net[2], AnalogLayer) and net.placement.stored_share == 1
    assert type(net[3].qkv) is nn.Linear and isinstance(net[3].proj, AnalogLayer)


def test_a_layers_further_parameter_can_be_kept_digital():
    model = nn.Sequential(Lora(W, W), nn.Linear(W, 3))
    with pytest.raises(NotYet, match="which holds 'lora_a'"):
        to_analog(model, IDEAL)
    placement = to_analog(model, IDEAL.replace(digital=["0.lora_*"]), example=tokens()).placement
    assert {w.weight for w in placement if w.placed == "digital" and len(w.shape) > 1} == {"lora_a", "lora_b"}
    assert placement.stored_share == pytest.approx((64 + 24) / (64 + 24 + 32))


class Hidden(nn.Module):
    """Multiplies with what it has computed from a parameter."""

    def __init__(self):
        super().__init__()
        self.w, self.fine = matrix(W, W), nn.Linear(W, W)

    def forward(self, x):
        return self.fine(F.linear(x, torch.tanh(self.w)))


def test_refusals_come_all_at_once_with_the_wildcard_that_covers_them():
    model = nn.Sequential(nn.Sequential(Hidden(), Hidden()), Hidden())
    with pytest.raises(NotYet) as refused:
        to_analog(model, IDEAL, example=tokens())
    told = str(refused.value)
    assert all(f"  {path}: no rule maps Hidden" in told for path in ("0.0", "0.1", "1"))
    assert "digital=['*.*.w', '1.w']" in told
    net = to_analog(model, IDEAL.replace(digital=["*.*.w", "1.w"]), example=tokens())
    assert net.placement.stored_share == pytest.approx(0.5)


def test_wildcards_cover_nothing_else():
    assert wildcards(["a.0.w", "a.1.w"], []) == ["a.*.w"]
    assert wildcards(["a.0.w", "a.1.w"], ["a.2.w"]) == ["a.0.w", "a.1.w"]
    assert wildcards(["w"], []) == ["w"]


class ByInput(nn.Linear):
    def forward(self, x):
        return F.linear(x, self.weight * x.mean())


def test_a_weight_that_depends_on_the_input_is_refused():
    with pytest.raises(MhoError, match=r"another weight for each input.*digital=\['0'\]"):
        to_analog(nn.Sequential(ByInput(W, W)), IDEAL, example=tokens())


class Several(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(W, W), nn.Linear(W, 3)

    def forward(self, left, right=None):
        return self.b(self.a(left) + (0 if right is None else right))


@pytest.mark.parametrize("example", [(tokens(), tokens()), {"left": tokens(), "right": tokens()}, {"left": tokens()}])
def test_examples_of_several_inputs(example):
    model = Several()
    net = to_analog(model, IDEAL, example=example)
    assert net.placement.analog_share == 1
