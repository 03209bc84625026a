"""Without noise and with converters of infinite resolution, arrays compute what torch computes, gradients included."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import mho
from mho.errors import BadInput, NotYet
from mho.hardware import Hardware
from mho.nn import AnalogLayer, AnalogMatrix
from mho.nn.source import Exact

pytestmark = [
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning"),
    pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning"),
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning"),
]
IDEAL = Hardware.preset("ideal").replace(cell__g_min_us=2.0)
ENCODINGS = {
    "one_sided": {"kind": "differential", "sides": "one"},
    "two_sided": {"kind": "differential", "sides": "two"},
    "digital_subtraction": {"kind": "differential", "subtract": "digital", "columns": 2},
    "offset_digital": {"kind": "offset", "reference": "digital"},
    "offset_column": {"kind": "offset", "reference": "column"},
}


class Case(NamedTuple):
    make: Callable[[], nn.Module]
    args: Callable[[], tuple[Any, ...]]
    kwargs: dict[str, Any] = {}  # noqa: RUF012


class SameConv(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(F.pad(x, (0, 1, 1, 0)), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class ScaledLinear(nn.Linear):
    def forward(self, x):
        return F.linear(2 * x, self.weight) + self.bias


def x(*shape: int) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: (torch.randn(shape),)


def conv(dims: int, *args: Any, size: int = 6, batch: tuple[int, ...] = (2,), **kwargs: Any) -> Case:
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
    return Case(lambda: kind(*args, **kwargs), x(*batch, args[0], *(size,) * dims))


def transposed(
    dims: int, *args: Any, size: int = 3, batch: tuple[int, ...] = (2,), call: Any = None, **kwargs: Any
) -> Case:
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[dims - 1]
    return Case(lambda: kind(*args, **kwargs), x(*batch, args[0], *(size,) * dims), call or {})


def packed() -> tuple[PackedSequence]:
    return (pack_sequence([torch.randn(n, 5) for n in (2, 4, 1, 4)], enforce_sorted=False),)


def state(*shapes: tuple[int, ...]) -> Any:
    states = tuple(torch.randn(shape) for shape in shapes)
    return states if len(states) > 1 else states[0]


def mha(*args: Any, lengths: tuple[int, ...] = (4, 6), widths: tuple[int, int] = (8, 8), **kwargs: Any) -> Case:
    """Queries of length 4 against 6 keys, batch of 2, 8 wide; `args` are callables that make call arguments."""
    call = kwargs.pop("call", {})
    batch = kwargs.pop("batch", (2,))
    order = (lambda n, w: (*batch, n, w)) if kwargs.get("batch_first") else (lambda n, w: (n, *batch, w))
    q, k = lengths
    return Case(
        lambda: _biased(nn.MultiheadAttention(8, 2, kdim=widths[0], vdim=widths[1], **kwargs)),
        lambda: (torch.randn(order(q, 8)), torch.randn(order(k, widths[0])), torch.randn(order(k, widths[1]))),
        call,
    )


def _biased(module: nn.Module) -> nn.Module:
    """torch starts attention's biases at zero, which would hide a mistake."""
    for name, p in module.named_parameters():
        if "bias" in name:
            nn.init.normal_(p)
    return module


def encoder(call: dict[str, Any] | None = None, **kwargs: Any) -> Case:
    kwargs = {"dropout": 0.0, "batch_first": True, **kwargs}
    return Case(lambda: _biased(nn.TransformerEncoderLayer(8, 2, 10, **kwargs)), x(2, 4, 8), call or {})


PADDING = torch.tensor([[False] * 4, [False, False, True, True]])
KEYS = torch.tensor([[False] * 6, [False, False, True, True, False, True]])
CAUSAL = nn.Transformer.generate_square_subsequent_mask(4)
FLOAT_KEYS = torch.zeros(2, 6).masked_fill(KEYS, -3.0)

LINEAR_AND_CONVOLUTION = {
    "linear": Case(lambda: nn.Linear(7, 3), x(5, 7)),
    "linear one vector": Case(lambda: nn.Linear(7, 3), x(7)),
    "linear 4-d no bias": Case(lambda: nn.Linear(7, 3, bias=False), x(2, 2, 3, 7)),
    "linear empty batch": Case(lambda: nn.Linear(7, 3), x(0, 7)),
    "conv1d": conv(1, 3, 4, 3, padding=1),
    "conv1d groups stride": conv(1, 4, 6, 3, stride=2, groups=2),
    "conv2d": conv(2, 3, 4, 3, padding=1),
    "conv2d unbatched": conv(2, 3, 4, 3, batch=()),
    "conv2d stride dilation": conv(2, 3, 4, 3, stride=2, dilation=2, padding=2),
    "conv2d rectangular": conv(2, 3, 4, (3, 2), stride=(1, 2), padding=(0, 1), dilation=(2, 1)),
    "conv2d groups": conv(2, 6, 4, 3, groups=2, bias=False),
    "depthwise": conv(2, 6, 6, 3, groups=6, padding=1),
    "depthwise multiplier": conv(2, 3, 6, 3, groups=3),
    "pointwise": conv(2, 7, 4, 1, stride=2),
    "conv2d same": conv(2, 3, 4, 3, padding="same", dilation=2),
    "conv2d same even": conv(2, 3, 4, (4, 2), padding="same"),
    "conv2d valid": conv(2, 3, 4, 3, padding="valid"),
    "conv2d reflect": conv(2, 3, 4, 3, padding=1, padding_mode="reflect"),
    "conv2d replicate": conv(2, 3, 4, 3, padding=(2, 1), padding_mode="replicate", stride=2),
    "conv2d circular same": conv(2, 4, 4, 3, padding="same", padding_mode="circular", groups=2),
    "conv3d": conv(3, 2, 3, (2, 3, 2), padding=1, size=4),
    "conv3d depthwise": conv(3, 2, 4, 2, groups=2, stride=2, size=4),
    "own conv": Case(lambda: SameConv(4, 6, 3, stride=2, groups=2), x(2, 4, 6, 6)),
    "own linear": Case(lambda: ScaledLinear(7, 3), x(2, 7)),
    "sequential": Case(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(64, 3)), x(2, 3, 6, 6)),
}  # fmt: skip
TRANSPOSED = {
    "convT1d": transposed(1, 3, 4, 3, stride=2, padding=1),
    "convT2d": transposed(2, 3, 4, 3),
    "convT2d stride": transposed(2, 3, 4, 3, stride=2, padding=1, output_padding=1),
    "convT2d output size": transposed(2, 3, 4, 3, stride=2, call={"output_size": [8, 7]}),
    "convT2d groups dilation": transposed(2, 4, 6, (3, 2), groups=2, dilation=(2, 1), bias=False),
    "convT2d depthwise": transposed(2, 4, 4, 2, groups=4, stride=2),
    "convT2d unbatched": transposed(2, 3, 4, 3, batch=()),
    "convT3d": transposed(3, 2, 3, 2, stride=(1, 2, 2), size=2),
}
RECURRENT = {
    "rnn": Case(lambda: nn.RNN(5, 4), x(3, 2, 5)),
    "rnn relu bidirectional": Case(lambda: nn.RNN(5, 4, nonlinearity="relu", bidirectional=True), x(3, 2, 5)),
    "lstm": Case(lambda: nn.LSTM(5, 4), x(3, 2, 5)),
    "lstm batch first no bias": Case(lambda: nn.LSTM(5, 4, batch_first=True, bias=False), x(2, 3, 5)),
    "lstm deep bidirectional": Case(lambda: nn.LSTM(5, 4, num_layers=2, bidirectional=True), x(3, 2, 5)),
    "lstm proj": Case(lambda: nn.LSTM(5, 4, num_layers=2, proj_size=2, bidirectional=True), x(3, 2, 5)),
    "lstm states": Case(
        lambda: nn.LSTM(5, 4, proj_size=3, bidirectional=True),
        lambda: (torch.randn(3, 2, 5), state((2, 2, 3), (2, 2, 4))),
    ),
    "lstm unbatched": Case(lambda: nn.LSTM(5, 4, batch_first=True), lambda: (torch.randn(3, 5), state((1, 4), (1, 4)))),
    "lstm packed": Case(lambda: nn.LSTM(5, 4, num_layers=2, bidirectional=True), packed),
    "lstm packed states": Case(
        lambda: nn.LSTM(5, 4, proj_size=3, bidirectional=True), lambda: (*packed(), state((2, 4, 3), (2, 4, 4)))
    ),
    "gru": Case(lambda: nn.GRU(5, 4, batch_first=True), x(2, 3, 5)),
    "gru deep bidirectional": Case(lambda: nn.GRU(5, 4, num_layers=2, bidirectional=True, bias=False), x(3, 2, 5)),
    "gru unbatched": Case(lambda: nn.GRU(5, 4), lambda: (torch.randn(3, 5), state((1, 4)))),
    "gru packed states": Case(lambda: nn.GRU(5, 4, bidirectional=True), lambda: (*packed(), state((2, 4, 4)))),
    "rnn packed sorted": Case(
        lambda: nn.RNN(5, 4), lambda: (pack_sequence([torch.randn(3, 5), torch.randn(2, 5)]), state((1, 2, 4)))
    ),
}
ATTENTION = {
    "mha": mha(),
    "mha batch first": mha(batch_first=True),
    "mha unbatched": mha(batch=()),
    "mha unbatched masks": mha(batch=(), call={"attn_mask": torch.randn(2, 4, 6), "key_padding_mask": FLOAT_KEYS[1]}),
    "mha no bias": mha(bias=False),
    "mha other widths": mha(widths=(5, 7)),
    "mha other widths no weights": mha(widths=(5, 8), call={"need_weights": False}, batch_first=True),
    "mha weights by head": mha(call={"average_attn_weights": False}),
    "mha padding": mha(call={"key_padding_mask": KEYS}),
    "mha padding float": mha(call={"key_padding_mask": FLOAT_KEYS, "need_weights": False}),
    "mha both masks": mha(call={"key_padding_mask": KEYS, "attn_mask": torch.eye(4, 6) > 0, "need_weights": False}),
    "mha mask by head": mha(call={"attn_mask": torch.randn(4, 4, 6)}),
    "mha mask by head no weights": mha(call={"attn_mask": torch.randn(4, 4, 6), "need_weights": False}),
    "mha causal": mha(lengths=(4, 4), call={"attn_mask": CAUSAL, "is_causal": True, "need_weights": False}),
    "mha causal weights": mha(lengths=(4, 4), call={"attn_mask": CAUSAL, "is_causal": True}),
    "mha causal padding": mha(
        lengths=(4, 4),
        call={"attn_mask": CAUSAL, "is_causal": True, "need_weights": False, "key_padding_mask": torch.zeros(2, 4)},
    ),
    "mha bias kv": mha(add_bias_kv=True, call={"key_padding_mask": KEYS}),
    "mha zero attn": mha(add_zero_attn=True, call={"attn_mask": torch.randn(4, 6), "need_weights": False}),
    "mha bias kv zero attn": mha(add_bias_kv=True, add_zero_attn=True, batch_first=True),
}
TRANSFORMER = {
    "encoder layer": encoder(),
    "encoder layer norm first": encoder(norm_first=True, activation="gelu"),
    "encoder layer masks": encoder({"src_mask": CAUSAL, "src_key_padding_mask": PADDING.float() * -2}),
    "encoder layer padding": encoder({"src_key_padding_mask": PADDING}),
    "encoder layer causal": encoder({"src_mask": CAUSAL, "is_causal": True}, batch_first=False),
    "encoder layer causal padding": encoder(
        {"src_mask": CAUSAL, "src_key_padding_mask": PADDING * -2.0, "is_causal": True}
    ),
    "encoder layer no bias": encoder(bias=False),
    "encoder": Case(
        lambda: nn.TransformerEncoder(
            _biased(nn.TransformerEncoderLayer(8, 2, 10, batch_first=True, dropout=0.0)), 2, enable_nested_tensor=False
        ),
        x(2, 4, 8),
        {"src_key_padding_mask": PADDING},
    ),
    "decoder layer": Case(
        lambda: _biased(nn.TransformerDecoderLayer(8, 2, 10, dropout=0.0)),
        lambda: (torch.randn(4, 2, 8), torch.randn(6, 2, 8)),
        {"tgt_mask": CAUSAL, "memory_key_padding_mask": KEYS},
    ),
    "transformer": Case(
        lambda: nn.Transformer(8, 2, 1, 1, 10, dropout=0.0, batch_first=True, norm_first=True),
        lambda: (torch.randn(2, 6, 8), torch.randn(2, 4, 8)),
    ),
}
# Convolutions with a range for every patch sum over taps, so "abs_max" is a path of its own; not for transposed ones.
PATCHWISE = {**LINEAR_AND_CONVOLUTION, **RECURRENT, "mha": ATTENTION["mha"]}
CASES = {**LINEAR_AND_CONVOLUTION, **TRANSPOSED, **RECURRENT, **ATTENTION, **TRANSFORMER}


def tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, PackedSequence):
        return [value.data]
    return [t for part in value or () for t in tensors(part)]


def cast(value: Any, dtype: torch.dtype) -> Any:
    """`value` in `dtype`, every floating tensor a leaf that asks for its gradient."""
    if isinstance(value, PackedSequence):
        return value._replace(data=cast(value.data, dtype))
    if isinstance(value, Tensor):
        return value.detach().to(dtype).requires_grad_() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: cast(part, dtype) for key, part in value.items()}
    return tuple(cast(part, dtype) for part in value) if isinstance(value, tuple) else value


def assert_same(case: Case, hw: Hardware, dtype: torch.dtype = torch.float64, fold: bool = False) -> None:
    torch.manual_seed(0)
    model = case.make().to(dtype)
    net = mho.to_analog(model, hw)
    read = set()
    for matrix in (m for m in net.modules() if isinstance(m, AnalogMatrix)):
        if not fold:
            matrix.source = Exact()
        matrix.register_forward_hook(lambda m, *_: read.add(m.path))
    args = case.args()
    sides = []
    for module in (model, net):
        given, kwargs = cast(args, dtype), cast(case.kwargs, dtype)
        out = module(*given, **kwargs)
        found = [t for t in tensors(out) if t.requires_grad]
        weights = [torch.linspace(0.5, 1.5, t.numel(), dtype=dtype).reshape(t.shape) for t in found]
        sum((t * w).sum() for t, w in zip(found, weights, strict=True)).backward()
        grads = [t.grad for t in (*tensors(given), *(t for v in kwargs.values() for t in tensors(_only_tensors(v))))]
        sides.append((out, tensors(out), grads, {name: p.grad for name, p in module.named_parameters()}))
    expected, found = sides
    tolerance = {"rtol": 1e-9, "atol": 1e-11} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-5}
    assert type(expected[0]) is type(found[0])
    for a, b in zip(expected[1] + expected[2], found[1] + found[2], strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(b, a, **tolerance)
    for name, grad in expected[3].items():
        torch.testing.assert_close(found[3][name], grad, **tolerance, msg=lambda text, name=name: f"{name}: {text}")
    assert len(read) == len([m for m in net.modules() if isinstance(m, AnalogMatrix)]) > 0


def _only_tensors(value: Any) -> Any:
    return value if isinstance(value, (Tensor, tuple)) else ()


@pytest.mark.parametrize("rows", [512, 20, 4])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", [*LINEAR_AND_CONVOLUTION, *TRANSPOSED])
def test_every_layer_in_every_encoding_on_every_array(name, encoding, rows):
    hw = IDEAL.replace(encoding=ENCODINGS[encoding], array__rows=rows, array__cols=5, mapping__scale="array")
    assert_same(CASES[name], hw)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", [*RECURRENT, *ATTENTION, *TRANSFORMER])
def test_every_option_of_recurrent_and_attention_layers(name, encoding):
    assert_same(CASES[name], IDEAL.replace(encoding=ENCODINGS[encoding], array__rows=3))


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_in_single_precision_folded_or_not(name, fold):
    assert_same(CASES[name], IDEAL.replace(array__rows=12), torch.float32, fold)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("scale", ["tensor", "column", "array", "column_of_array"])
@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize(
    "name", ["linear", "conv2d groups", "depthwise", "convT2d groups dilation", "lstm proj", "mha"]
)
def test_every_scale(name, scale, encoding, fold):
    hw = IDEAL.replace(encoding=ENCODINGS[encoding], array__rows=12, array__cols=3, mapping__scale=scale)
    assert_same(CASES[name], hw, fold=fold)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", PATCHWISE)
def test_a_range_for_every_vector_changes_nothing_either(name, encoding):
    hw = IDEAL.replace(encoding=ENCODINGS[encoding], array__rows=12, dac__range="abs_max")
    assert_same(CASES[name], hw)


@pytest.mark.parametrize("name", ["linear", "conv2d groups", "convT2d stride", "gru", "encoder layer"])
def test_bound_management_without_a_converter_changes_nothing(name):
    hw = IDEAL.replace(adc={"bits": None, "range": "fixed", "bound": 0.05, "on_clip": "halve_input"}, array__rows=12)
    assert_same(CASES[name], hw)


@pytest.mark.parametrize("rows", [512, 7])
def test_padding_may_be_set_as_a_list(rows):
    """Torch takes it so, too."""
    model, x = nn.Conv2d(2, 3, 3).double(), torch.randn(2, 2, 5, 5, dtype=torch.float64)
    net = mho.to_analog(model, IDEAL.replace(array__rows=rows, dac__range="abs_max"))
    for layer in (model, net):
        layer.padding = [1, 2]
    torch.testing.assert_close(net(x), model(x))


@pytest.mark.parametrize("name", CASES)
def test_there_and_back_is_the_same_layer(name):
    model = CASES[name].make()
    net = mho.to_analog(model, IDEAL)
    back = mho.to_digital(net)
    assert [type(m) for m in back.modules()] == [type(m) for m in model.modules()]
    assert list(back.state_dict()) == list(net.state_dict()) == list(model.state_dict())
    assert any(isinstance(m, AnalogLayer) for m in net.modules())
    for given, made in zip(model.modules(), back.modules(), strict=True):
        assert set(vars(made)) == set(vars(given)), "what arrays needed is gone"


@pytest.mark.parametrize(
    "name", ["encoder layer", "encoder layer norm first", "encoder layer padding", "encoder", "mha batch first"]
)
def test_fused_paths_of_inference_are_never_taken(name, monkeypatch):
    case = CASES[name]
    torch.manual_seed(0)
    model = case.make().eval()
    args = case.args()
    if name == "mha batch first":
        args = (args[0],) * 3
    net = mho.to_analog(model, IDEAL)
    with torch.inference_mode():
        expected = model(*args, **case.kwargs)
        for fused in ("_transformer_encoder_layer_fwd", "_native_multi_head_attention", "_nested_tensor_from_mask"):
            monkeypatch.setattr(torch, fused, None)
        found = net(*args, **case.kwargs)
    for a, b in zip(tensors(expected), tensors(found), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_an_encoder_stack_that_would_nest_its_tensors():
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 10, batch_first=True), 2).eval()
    x, kept = torch.randn(2, 4, 8), ~PADDING[..., None]
    net = mho.to_analog(model, IDEAL)
    with torch.inference_mode():
        expected, found = model(x, src_key_padding_mask=PADDING), net(x, src_key_padding_mask=PADDING)
    torch.testing.assert_close(found * kept, expected * kept, rtol=1e-4, atol=1e-5)
    assert model.use_nested_tensor and not net.use_nested_tensor


def test_dropout_is_that_of_torch():
    model = nn.LSTM(5, 4, num_layers=2, dropout=0.5)
    net, digital = mho.to_analog(model, IDEAL), model
    x = torch.randn(3, 200, 5)
    assert torch.equal(net.eval()(x)[0], net(x)[0])
    net.train()
    torch.testing.assert_close(net.eval()(x)[0], digital.eval()(x)[0], rtol=1e-4, atol=1e-5)
    dropped = net.train()(x)[0]
    assert not torch.equal(dropped, net(x)[0]) and bool(dropped.all()), "the last layer drops nothing"
    assert abs(float((dropped - net.eval()(x)[0]).detach().mean())) < 0.05
    attention = nn.MultiheadAttention(8, 2, dropout=0.5)
    q = torch.randn(4, 2, 8)
    for module in (attention, mho.to_analog(attention, IDEAL)):
        weights = module.train()(q, q, q, average_attn_weights=False)[1]
        assert 0.2 < float((weights == 0).float().mean()) < 0.8


def test_what_attention_and_recurrent_layers_refuse():
    net = mho.to_analog(nn.MultiheadAttention(8, 2, batch_first=True), IDEAL)
    q = torch.randn(2, 4, 8)
    with pytest.raises(BadInput, match="attn_mask"):
        net(q, q, q, is_causal=True)
    with pytest.raises(BadInput, match="int64"):
        net(q, q, q, attn_mask=torch.ones(4, 4, dtype=torch.int64))
    nested = torch.nested.nested_tensor([q[0], q[1, :2]], layout=torch.jagged)
    for given in ((nested, nested, nested), (q, nested, q), (q, q, nested), (nested, q, q)):
        with pytest.raises(NotYet, match="nested tensors do not go through arrays"):
            net(*given)
    lstm = mho.to_analog(nn.LSTM(5, 4), IDEAL)
    with pytest.raises(BadInput, match="4 dimensions"):
        lstm(torch.randn(1, 1, 3, 5))
    with pytest.raises(RuntimeError, match="hidden size"):
        lstm(torch.randn(3, 2, 5), (torch.zeros(1, 3, 4), torch.zeros(1, 2, 4)))


def test_a_user_class_that_overrides_a_part_of_the_forward_is_not_lost():
    class Doubled(nn.TransformerEncoderLayer):
        def _ff_block(self, x):
            return 2 * super()._ff_block(x)

    class Padded(nn.Conv2d):
        def _conv_forward(self, input, weight, bias):
            return super()._conv_forward(F.pad(input, (1, 0, 0, 1)), weight, bias)

    torch.manual_seed(0)
    conv = Padded(3, 4, 3)
    x = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(mho.to_analog(conv, IDEAL)(x), conv(x), rtol=1e-4, atol=1e-5)
    with pytest.raises(NotYet, match="Doubled overrides"):
        mho.to_analog(Doubled(8, 2, 10), IDEAL)


def test_tied_and_copied_networks_stay_apart():
    net = mho.to_analog(nn.LSTM(5, 4), IDEAL)
    other = copy.deepcopy(net)
    with torch.no_grad():
        other.weight_hh_l0.zero_()
    x = torch.randn(3, 2, 5)
    assert not torch.equal(net(x)[0], other(x)[0])


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_encoding_says_rightly_what_ideal_cells_multiply_with(encoding):
    described, cell = IDEAL.replace(encoding=ENCODINGS[encoding]).encoding, IDEAL.cell
    unit = torch.rand(2, 5, 7, dtype=torch.float64) * 2 - 1
    found, readouts = described.ideal(unit), described.readouts(cell)
    if found is not None:
        planes = described.encode(unit, cell)
        expected = [
            sum(c * g for c, g in zip(row, planes, strict=True)) for row in (r.coefficients for r in readouts.columns)
        ]
        torch.testing.assert_close(found, torch.stack(expected), rtol=1e-12, atol=1e-12)
    assert (found is None) == (len(readouts.columns) > 1 or bool(readouts.offset))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(1568, 10), (2, 2000)), (nn.Linear(1568, 10), (2, 288)), (nn.Conv2d(128, 10, 3), (2, 200, 5, 5)),
        (nn.Conv2d(256, 8, 3, groups=2), (2, 512, 5, 5)), (nn.ConvTranspose2d(600, 4, 3), (2, 700, 5, 5)),
        (nn.Linear(8, 3), (2, 9)), (nn.Conv1d(4, 3, 3), (2, 5, 9)),
    ],
)  # fmt: skip
def test_an_input_of_another_width_is_refused(layer, shape):
    """Row blocks take their part of the input: what lies beyond all of them must not be cut off silently."""
    right = (
        shape[0],
        layer.weight.shape[0] if isinstance(layer, nn.ConvTranspose2d) else layer.weight.shape[1],
        *shape[2:],
    )
    if isinstance(layer, nn.Conv2d):
        right = (right[0], layer.in_channels, *right[2:])
    x = torch.randn(right)
    net = mho.calibrate(mho.to_analog(nn.Sequential(layer), "pcm-cells", example=x), [x])
    chip = mho.program(net).at("1 h")
    for analog in (net, chip, mho.fuse(chip)):
        with pytest.raises((BadInput, RuntimeError), match="input"):
            analog(torch.randn(shape))
