"""Multiply-accumulates by dispatch, against closed forms and against torch's own counter."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mho.convert.counting import MacCounter
from mho.convert.products import PRODUCTS

r, aten = torch.randn, torch.ops.aten


def _counted(run, *args):
    with torch.no_grad(), MacCounter() as counter:
        run(*args)
    return counter


def _bf(*shape):
    return r(*shape).bfloat16()


def _offsets(*ends):
    return torch.tensor(ends, dtype=torch.int32)


def _meta(*shape):
    return torch.empty(*shape, device="meta")


def _inference(run):
    def inside(*args):
        with torch.inference_mode():
            run(*args)

    return inside


# name: (what runs, its arguments, its multiply-accumulates, torch's counter knows it)
PRODUCT_CASES = {
    "mm": (torch.mm, (r(3, 4), r(4, 5)), 3 * 4 * 5, True),
    "mm.out": (lambda a, b: torch.mm(a, b, out=torch.empty(3, 5)), (r(3, 4), r(4, 5)), 3 * 4 * 5, True),
    "addmm": (torch.addmm, (r(5), r(3, 4), r(4, 5)), 3 * 4 * 5, True),
    "addmm_": (lambda c, a, b: c.addmm_(a, b), (r(3, 5), r(3, 4), r(4, 5)), 3 * 4 * 5, False),
    "bmm": (torch.bmm, (r(2, 3, 4), r(2, 4, 5)), 2 * 3 * 4 * 5, True),
    "baddbmm": (torch.baddbmm, (r(2, 3, 5), r(2, 3, 4), r(2, 4, 5)), 2 * 3 * 4 * 5, True),
    "addbmm": (torch.addbmm, (r(3, 5), r(2, 3, 4), r(2, 4, 5)), 2 * 3 * 4 * 5, False),
    "mv": (torch.mv, (r(3, 4), r(4)), 3 * 4, False),
    "addmv": (torch.addmv, (r(3), r(3, 4), r(4)), 3 * 4, False),
    "dot": (torch.dot, (r(7), r(7)), 7, False),
    "vdot": (torch.vdot, (r(7), r(7)), 7, False),
    "outer": (torch.outer, (r(3), r(4)), 3 * 4, False),
    "addr": (torch.addr, (r(3, 4), r(3), r(4)), 3 * 4, False),
    "matmul of vectors": (torch.matmul, (r(7), r(7)), 7, False),
    "matmul, batched": (torch.matmul, (r(6, 2, 3, 4), r(4, 5)), 6 * 2 * 3 * 4 * 5, True),
    "matmul, batch with vector": (torch.matmul, (r(6, 3, 4), r(4)), 6 * 3 * 4, False),
    "by hand": (lambda x, w: (x[:, None] * w).sum(-1), (r(2, 3), r(4, 3)), 2 * 3 * 4, False),
    "chain": (torch.linalg.multi_dot, ([r(2, 3), r(3, 4), r(4, 5)],), 2 * 3 * 4 + 2 * 4 * 5, True),
    "matrix power": (torch.matrix_power, (r(3, 3), 2), 27, True),
    "linear": (F.linear, (r(6, 2, 3), r(4, 3), r(4)), 6 * 2 * 3 * 4, True),
    "linear of a vector": (F.linear, (r(3), r(4, 3)), 3 * 4, False),
    "linear, inference": (_inference(F.linear), (r(6, 3), r(4, 3), r(4)), 6 * 3 * 4, True),
    "conv2d, inference": (_inference(F.conv2d), (r(1, 3, 5, 5), r(4, 3, 2, 2)), 16 * 4 * 3 * 4, True),
    "einsum": (lambda a, b: torch.einsum("bij,bkj->bik", a, b), (r(2, 3, 4), r(2, 5, 4)), 2 * 3 * 4 * 5, True),
    "einsum, three": (
        lambda a, b, c: torch.einsum("ij,jk,kl->il", a, b, c), (r(2, 3), r(3, 4), r(4, 5)), 2 * 3 * 4 + 2 * 4 * 5, True,
    ),
    "einsum, outer": (lambda a, b: torch.einsum("i,j->ij", a, b), (r(3), r(4)), 12, False),
    "tensordot": (lambda a, b: torch.tensordot(a, b, 2), (r(2, 3, 4), r(3, 4, 5)), 2 * 12 * 5, True),
    "int_mm": (torch._int_mm, (torch.ones(32, 16, dtype=torch.int8), torch.ones(16, 8, dtype=torch.int8)), 4096, False),
    "integers": (torch.mm, (torch.ones(3, 4).long(), torch.ones(4, 5).long()), 60, True),
    "foreach_mm": (torch._foreach_mm, ([r(2, 3), r(3, 4)], [r(3, 5), r(4, 2)]), 2 * 3 * 5 + 3 * 4 * 2, False)
    if hasattr(torch, "_foreach_mm") else (torch.mm, (r(2, 3), r(3, 9)), 54, True),
    "grouped, rows": (torch._grouped_mm, (_bf(8, 16), _bf(2, 16, 32), _offsets(3, 8)), 8 * 16 * 32, False),
    "grouped, columns": (torch._grouped_mm, (_bf(2, 8, 16), _bf(16, 32), _offsets(16, 32)), 8 * 16 * 32, False),
    "grouped, inner": (torch._grouped_mm, (_bf(8, 16), _bf(16, 32), _offsets(8, 16)), 8 * 16 * 32, False),
    "grouped, batches": (torch._grouped_mm, (_bf(2, 8, 16), _bf(2, 16, 32)), 2 * 8 * 16 * 32, False),
    "conv1d": (lambda x, w: F.conv1d(x, w, stride=2), (r(2, 3, 9), r(4, 3, 3)), 2 * 4 * 4 * 9, True),
    "conv2d": (lambda x, w: F.conv2d(x, w, padding=1), (r(2, 3, 5, 5), r(4, 3, 3, 3)), 2 * 4 * 25 * 27, True),
    "conv2d, same": (lambda x, w: F.conv2d(x, w, padding="same"), (r(2, 3, 5, 5), r(4, 3, 3, 3)), 2 * 4 * 25 * 27, True),
    "conv2d, dilated": (lambda x, w: F.conv2d(x, w, dilation=2), (r(1, 3, 5, 5), r(4, 3, 3, 3)), 4 * 1 * 27, True),
    "conv2d, one image": (F.conv2d, (r(3, 5, 5), r(4, 3, 3, 3)), 4 * 9 * 27, True),
    "conv2d, grouped": (lambda x, w: F.conv2d(x, w, groups=2), (r(1, 4, 5, 5), r(6, 2, 3, 3)), 6 * 9 * 18, True),
    "conv2d, depthwise": (lambda x, w: F.conv2d(x, w, groups=4), (r(1, 4, 5, 5), r(4, 1, 3, 3)), 4 * 9 * 9, True),
    "conv3d": (F.conv3d, (r(1, 2, 4, 4, 4), r(3, 2, 2, 2, 2)), 3 * 27 * 16, True),
    "conv, bf16": (F.conv2d, (_bf(1, 2, 4, 4), _bf(3, 2, 2, 2)), 3 * 9 * 8, True),
    "conv_tbc": (torch.conv_tbc, (r(6, 2, 3), r(3, 3, 4), r(4)), 4 * 2 * 4 * 9, False),
    "transposed 1d": (lambda x, w: F.conv_transpose1d(x, w, stride=2), (r(2, 3, 5), r(3, 4, 3)), 2 * 3 * 5 * 4 * 3, True),
    "transposed 2d": (
        lambda x, w: F.conv_transpose2d(x, w, stride=2, groups=2), (r(2, 4, 5, 5), r(4, 3, 3, 3)), 2 * 4 * 25 * 27, True,
    ),
    "transposed 3d": (F.conv_transpose3d, (r(1, 2, 3, 3, 3), r(2, 3, 2, 2, 2)), 2 * 27 * 24, True),
    "mkldnn linear": (
        torch._C._nn.mkldnn_linear, (r(2, 3).to_mkldnn(), r(4, 3).to_mkldnn()), 24, False,
    ),
    "mkldnn conv": (F.conv2d, (r(1, 2, 4, 4).to_mkldnn(), r(3, 2, 2, 2).to_mkldnn()), 3 * 9 * 8, True),
    "convolution backward": (
        lambda g, x, w: aten.convolution_backward(g, x, w, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [True, True, False]),
        (r(1, 4, 9, 9), r(1, 3, 10, 10), r(4, 3, 2, 2)), 2 * 81 * 4 * 12, True,
    ),
    "attention": (F.scaled_dot_product_attention, (r(2, 3, 6, 8), r(2, 3, 7, 8), r(2, 3, 7, 8)), 2 * 3 * 6 * 7 * 16, False),
    "attention, causal": (
        lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True), (r(2, 3, 6, 8),), 2 * 3 * 36 * 16, False,
    ),
    "attention, masked": (
        lambda q, m: F.scaled_dot_product_attention(q, q, q, m), (r(2, 3, 6, 8), torch.ones(6, 6) > 0), 2 * 3 * 36 * 16, False,
    ),
    "attention, wide values": (
        F.scaled_dot_product_attention, (r(1, 3, 6, 8), r(1, 3, 7, 8), r(1, 3, 7, 5)), 3 * 6 * 7 * 13, True,
    ),
    "attention, grouped queries": (
        lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True), (r(1, 4, 6, 8), r(1, 2, 7, 8)), 4 * 6 * 7 * 16,
        False,
    ),
    "MultiheadAttention": (
        lambda x: nn.MultiheadAttention(8, 2, batch_first=True)(x, x, x), (r(2, 5, 8),), 2 * 5 * 4 * 64 + 2 * 2 * 25 * 8, True,
    ),
    "MultiheadAttention, fused": (
        lambda x: nn.MultiheadAttention(8, 2, batch_first=True).eval()(x, x, x, need_weights=False), (r(2, 5, 8),),
        2 * 5 * 4 * 64 + 2 * 2 * 25 * 8, False,
    ),
    "native attention": (
        lambda x: aten._native_multi_head_attention(x, x, x, 8, 2, r(24, 8), r(24), r(8, 8), r(8)), (r(2, 5, 8),),
        2 * 5 * 4 * 64 + 2 * 2 * 25 * 8, False,
    ),
    "encoder layer, fused": (
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval(), (r(2, 5, 8),),
        2 * 5 * (4 * 64 + 2 * 128) + 2 * 2 * 25 * 8, False,
    ),
    "LSTM": (
        nn.LSTM(3, 4, 2, bidirectional=True), (r(5, 2, 3),), 10 * 2 * (16 * (3 + 4) + 16 * (8 + 4)), False,
    ),
    "LSTM, projected": (nn.LSTM(3, 4, proj_size=2), (r(5, 2, 3),), 10 * (16 * (3 + 2) + 4 * 2), True),
    "GRU": (nn.GRU(3, 4), (r(5, 2, 3),), 10 * 12 * (3 + 4), True),
    "RNN": (nn.RNN(3, 4), (r(5, 2, 3),), 10 * 4 * (3 + 4), True),
    "LSTMCell": (nn.LSTMCell(3, 4), (r(2, 3),), 2 * 16 * (3 + 4), True),
    "bilinear": (nn.Bilinear(3, 4, 5), (r(2, 3), r(2, 4)), 2 * 3 * 4 * 5, False),
    "cdist": (torch.cdist, (r(2, 4, 3), r(2, 5, 3)), 2 * 4 * 5 * 3, False),
    "cdist, large": (torch.cdist, (r(40, 3), r(50, 3)), 40 * 50 * 3, False),
    "cosine similarity": (lambda a, b: F.normalize(a) @ F.normalize(b).T, (r(2, 3), r(4, 3)), 24, True),
    "scripted": (torch.jit.script(nn.Sequential(nn.Linear(3, 4), nn.ReLU())), (r(2, 3),), 24, True),
    "torch.cond": (lambda x: torch.cond(x.sum() > -9e9, lambda x: x @ x, lambda x: x, (x,)), (r(3, 3),), 27, False),
    "int8 weight": (
        torch._weight_int8pack_mm, (_bf(2, 32), torch.ones(16, 32, dtype=torch.int8), _bf(16)), 2 * 16 * 32, False,
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", PRODUCT_CASES.values(), ids=PRODUCT_CASES.keys())
def test_multiply_accumulates_are_those_of_the_closed_form(case):
    run, args, macs, known_to_torch = case
    counter = _counted(run, *args)
    assert counter.macs == macs and not counter.not_counted
    if known_to_torch:
        with torch.no_grad(), FlopCounterMode(display=False) as flops:
            run(*args)
        assert flops.get_total_flops() == 2 * macs


# Operators of devices that are not here: the formula alone, on shapes.
ELSEWHERE = {
    "cudnn LSTM": ("aten::_cudnn_rnn", None, (_meta(5, 2, 3), [_meta(16, 3), _meta(16, 4), _meta(16)], 4), 10 * 16 * 7),
    "miopen": ("aten::miopen_rnn", None, (_meta(5, 2, 3), [_meta(16, 3), _meta(16, 4)], 4), 10 * 16 * 7),
    "cudnn transposed": ("aten::cudnn_convolution_transpose", _meta(2, 3, 9), (_meta(2, 4, 5), _meta(4, 3, 2)), 240),
    "cudnn convolution": ("aten::cudnn_convolution_relu", _meta(2, 4, 8), (_meta(2, 3, 9), _meta(4, 3, 2)), 2 * 32 * 6),
    "cudnn attention": (
        "aten::_scaled_dot_product_cudnn_attention", None, (_meta(1, 4, 6, 8), _meta(1, 4, 7, 8), _meta(1, 4, 7, 5)), 2184,
    ),
    "float8": ("aten::_scaled_mm", _meta(3, 5), (_meta(3, 4), _meta(4, 5), _meta(1), _meta(1)), 60),
    "float8, grouped": ("aten::_scaled_grouped_mm", _meta(8, 32), (_meta(8, 16), _meta(2, 16, 32), _meta(8), _meta(2)), 4096),
    "int4 weight": ("aten::_weight_int4pack_mm", _meta(3, 8), (_meta(3, 32), _meta(1, 2, 32, 4), 32, _meta(1, 8, 2)), 768),
}  # fmt: skip


@pytest.mark.parametrize(("name", "y", "args", "macs"), ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_formulas_of_other_devices(name, y, args, macs):
    assert PRODUCTS[name](y, *args) == macs


@pytest.mark.filterwarnings("ignore")
def test_quantised_layers_are_counted_from_their_packed_weights():
    x, q = r(2, 3), torch.ao.quantization.quantize_dynamic
    image = torch.quantize_per_tensor(r(1, 4, 5, 5), 0.1, 0, torch.quint8)
    assert _counted(q(nn.Sequential(nn.Linear(3, 4)), {nn.Linear}, dtype=torch.qint8), x).macs == 24
    assert _counted(torch.ao.nn.quantized.Conv2d(4, 6, 3, groups=2), image).macs == 6 * 9 * 18
    assert _counted(torch.ao.nn.quantized.ConvTranspose2d(4, 6, 3, stride=2), image).macs == 4 * 25 * 6 * 9
    assert not _counted(torch.ao.nn.quantized.Conv2d(4, 6, 3), image).not_counted
    lstm = q(nn.Sequential(nn.LSTM(3, 4)), {nn.LSTM}, dtype=torch.qint8)
    assert _counted(lstm, r(5, 2, 3)).not_counted == {"aten::quantized_lstm": 1}


FREE = {
    "element-wise": lambda x: F.gelu(torch.where(x > 0, x.exp() * x + x, torch.lerp(x, -x, 0.5)).clamp(-1, 1)).erf(),
    "a bias, a gate, a mask": lambda x: x * x[:1] * x.mean((2, 3), keepdim=True) + x[0, :, :1, :1],
    "views and copies": lambda x: torch.cat([x.flatten(1).T.contiguous().unfold(0, 2, 1)[..., 0], x.flatten(1).T[1:]]),
    "reductions": lambda x: (x.sum(), x.softmax(1), x.logsumexp(0), x.norm(), x.amax(), x.std(), x.cumsum(0), torch.var_mean(x)),
    "batch norm": lambda x: nn.BatchNorm2d(4)(x) + nn.BatchNorm2d(4).eval()(x),
    "other norms": lambda x: nn.GroupNorm(2, 4)(x) + nn.LayerNorm(6)(x) + nn.RMSNorm(6)(x) + nn.InstanceNorm2d(4)(x),
    "weight norm": lambda x: torch._weight_norm(x.flatten(1), x.flatten(1)[:, :1].abs()),
    "pooling": lambda x: (F.avg_pool2d(x, 2), F.max_pool2d(x, 2, return_indices=True), F.adaptive_avg_pool2d(x, 1),
                          F.lp_pool2d(x, 2, 2), F.fractional_max_pool2d(x, 2, output_size=2)),
    "unpooling": lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
    "interpolation": lambda x: (F.interpolate(x, scale_factor=2), F.interpolate(x, scale_factor=2, mode="bilinear"),
                                F.grid_sample(x, x[..., :2], align_corners=False)),
    "look-ups": lambda x: (F.embedding(torch.tensor([1, 2]), x.flatten(1)), x[:, [0, 1]], x.gather(0, (x > 9).long()),
                           F.embedding_bag(torch.tensor([[0, 1]]), x.flatten(1)), x.index_select(1, torch.tensor([1]))),
    "writes": lambda x: (x.clone().index_add_(0, torch.tensor([0]), x[:1]), x.index_put((torch.tensor([0]),), x[1]),
                         x.scatter_add(0, (x > 9).long(), x), x.masked_fill(x > 0, 1), torch.zeros_like(x).copy_(x)),
    "orders": lambda x: (x.sort(), x.topk(2), x.argmax(), x.unique(), x.median(), x.kthvalue(2), x > x.flip(0)),
    "dropout, activations": lambda x: F.prelu(F.dropout(x), x[0, :, 0, 0]) + F.rrelu(x, training=True)
    + F.glu(torch.cat((x, x), 1), 1),
    "losses": lambda x: F.mse_loss(x, -x) + F.cross_entropy(x, (x[:, 0] > 9).long()) + F.huber_loss(x, -x)
    + F.binary_cross_entropy(x.sigmoid(), x.sigmoid()),
    "quantisation": lambda x: torch.quantize_per_tensor(torch.fake_quantize_per_tensor_affine(x, 0.1, 0, 0, 255), 0.1, 0,
                                                       torch.quint8).dequantize(),
    "random numbers": lambda x: torch.normal(x, x.abs()) + torch.bernoulli(x.sigmoid()) + torch.randn_like(x),
    "lists": lambda x: torch._foreach_mul([x, x], [x, x]) + torch._foreach_norm([x]),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("run", FREE.values(), ids=FREE.keys())
def test_what_multiplies_no_matrices_counts_nothing(run):
    counter = _counted(run, r(3, 4, 6, 6))
    assert counter.macs == 0 and not counter.not_counted


NOT_COUNTED = {
    "fft": (torch.fft.fft, (r(8),), {"aten::_fft_r2c"}),
    "inverse": (torch.linalg.inv, (r(3, 3),), {"aten::linalg_inv_ex"}),
    "matrix exponential": (torch.matrix_exp, (r(3, 3),), {"aten::linalg_matrix_exp"}),
    "decomposition": (torch.linalg.svd, (r(3, 4),), {"aten::_linalg_svd"}),
    "sparse": (lambda a, b: torch.mm(a.to_sparse(), b), (r(3, 4), r(4, 5)), {"aten::mm"}),
    "nested": (
        lambda a, b: F.linear(torch.nested.nested_tensor([a, b]), r(5, 4)), (r(3, 4), r(2, 4)), {"aten::linear"},
    ),
    "weighted bag": (
        lambda t: F.embedding_bag(torch.tensor([[0, 1]]), t, mode="sum", per_sample_weights=r(1, 2)), (r(3, 4),),
        {"aten::_embedding_bag_forward_only"},
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("run", "args", "names"), NOT_COUNTED.values(), ids=NOT_COUNTED.keys())
def test_what_has_no_formula_is_named(run, args, names):
    assert set(_counted(run, *args).not_counted) == names


@pytest.fixture
def library():
    with torch.library._scoped_library("mho_counting", "FRAGMENT") as lib:
        lib.define("product(Tensor a, Tensor b) -> Tensor")
        lib.define("scale(Tensor a, Tensor b) -> Tensor", tags=(torch.Tag.pointwise,))
        lib.define("made_of_products(Tensor a, Tensor b) -> Tensor")
        lib.define("draw(int n) -> Tensor")
        lib.impl("product", lambda a, b: a @ b, "CPU")
        lib.impl("scale", lambda a, b: a * b, "CPU")
        lib.impl("draw", torch.zeros, "CompositeExplicitAutograd")
        lib.impl("made_of_products", lambda a, b: a @ b, "CompositeImplicitAutograd")
        yield torch.ops.mho_counting


def test_operators_of_other_libraries(library):
    a, b = r(3, 3), r(3, 3)
    counter = _counted(lambda: [library.product(a, b), library.product(a, b), library.scale(a, b), library.draw(3)])
    assert (counter.macs, counter.not_counted) == (0, {"mho_counting::product": 2})
    counter = _counted(library.made_of_products, a, b)
    assert (counter.macs, counter.not_counted) == (27, {})
    PRODUCTS["mho_counting::product"] = lambda y, a, b: y.numel() * a.shape[-1]
    try:
        assert _counted(library.product, a, b).macs == 27
    finally:
        del PRODUCTS["mho_counting::product"]


def test_gradients_inside_a_forward_are_counted():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, 1))

    def force(x):
        with torch.enable_grad():
            x = x.requires_grad_()
            return torch.autograd.grad(model(x).sum(), x)

    counter = _counted(force, r(2, 3))
    assert counter.macs == 2 * 2 * (12 + 4) and not counter.not_counted


def test_the_answer_is_untouched_and_outer_counters_still_see():
    a, b = r(3, 4), r(4, 5)
    with MacCounter() as outer, MacCounter() as inner:
        y = a @ b
    assert torch.equal(y, a @ b) and outer.macs == inner.macs == 60


def test_no_formula_stands_for_an_operator_that_is_not_there():
    known = {name.partition(".")[0] for name in torch._C._dispatch_get_all_op_names()}
    assert {name for name in PRODUCTS if not name.startswith("higher_order")} <= known


@pytest.mark.filterwarnings("ignore")
def test_compiled_parts_are_counted_as_they_are_written():
    from torch.nn.attention.flex_attention import flex_attention

    q, compiled = r(1, 2, 16, 16), torch.compile(nn.Linear(3, 4), fullgraph=True)
    with torch.compiler.set_stance("force_eager"):
        counters = _counted(compiled, r(2, 3)), _counted(flex_attention, q, q, q)
    assert [counter.macs for counter in counters] == [24, 2 * 2 * 16 * 16 * 16]
