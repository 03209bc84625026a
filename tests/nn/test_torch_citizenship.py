"""Analog layers behave as torch's own everywhere that torch's own are used."""

from __future__ import annotations

import copy
import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.checkpoint import checkpoint

import mho
from mho.errors import UseInstead
from mho.hardware import Hardware
from mho.nn import AnalogLayer

pytestmark = [
    # torch has no vmap rule for its own fused attention on the CPU.
    pytest.mark.filterwarnings(
        "ignore:.*batching rule for aten..scaled_dot_product_flash_attention_for_cpu:UserWarning"
    ),
    # Strict export counts the TorchFunctionMode around a forward of the user's own as a side effect.
    pytest.mark.filterwarnings("ignore:While compiling, we found certain side effects:UserWarning"),
]


class First(nn.Module):
    """A layer that returns a tuple, as a network that returns a tensor."""

    def __init__(self, layer: nn.Module, times: int = 1):
        super().__init__()
        self.layer, self.times = layer, times

    def forward(self, x):
        return self.layer(*(x,) * self.times)[0]


class SameConv(nn.Conv2d):
    """As networks ported from TensorFlow have it."""

    def forward(self, x):
        return F.conv2d(F.pad(x, (0, 1, 0, 1)), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), (4, 6)),
    "conv1d": (lambda: nn.Sequential(nn.Conv1d(3, 4, 3, padding="same"), nn.Tanh()), (2, 3, 6)),
    "conv2d": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, 4, 3, groups=2, stride=2, padding=1, padding_mode="reflect"),
        ),
        (2, 3, 6, 6),
    ),
    "conv3d": (lambda: nn.Sequential(nn.Conv3d(2, 3, 2, dilation=2)), (2, 2, 4, 4, 4)),
    "conv_transpose": (lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 3, stride=2, output_padding=1)), (2, 3, 3, 3)),
    "depthwise": (lambda: nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 6, 1)), (2, 4, 5, 5)),
    "lstm": (lambda: First(nn.LSTM(5, 4, bidirectional=True)), (2, 2, 5)),
    "gru": (lambda: First(nn.GRU(5, 4, batch_first=True)), (2, 3, 5)),
    "attention": (lambda: First(nn.MultiheadAttention(8, 2, batch_first=True), 3), (2, 4, 8)),
    "encoder": (lambda: nn.Sequential(nn.TransformerEncoderLayer(8, 2, 10, 0.0, batch_first=True)), (2, 4, 8)),
    "own": (lambda: nn.Sequential(SameConv(4, 4, 3, groups=2), nn.ReLU()), (2, 4, 5, 5)),
}  # fmt: skip
CONVOLUTIONS = ["conv2d", "conv3d", "conv_transpose", "depthwise", "own"]
IDEAL = Hardware.preset("ideal").replace(array__rows=20)
QUANTISED = IDEAL.replace(dac={"bits": 8}, adc={"bits": 8})
PCM = Hardware.preset("pcm-cells").replace(array__rows=20)
HARDWARE = {
    "ideal": IDEAL,
    "quantised": QUANTISED,
    "offset": QUANTISED.replace(encoding={"kind": "offset"}),
    "managed": IDEAL.replace(
        dac={"bits": 7, "range": "abs_max"}, adc={"bits": 9, "range": "fixed", "bound": 0.5, "on_clip": "halve_input"}
    ),
    "learned": QUANTISED.replace(dac__range="learned"),
    "noisy": QUANTISED.replace(noise={"output": 0.02, "weight": 0.02}),
    "drooping": QUANTISED.replace(ir_drop={"scale": 1.0, "conductance_ratio": 1000.0}),
}
CHIPS = {"chip": PCM, "noisy chip": PCM.replace(noise={"output": 0.02, "weight": 0.02})}
QUIET = [*(kind for kind in HARDWARE if kind != "noisy"), "chip"]
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def build(name: str, kind: str, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, nn.Module, Tensor]:
    """Digital network, analog network (calibrated, or a chip at one day), and an input."""
    if name == "conv_transpose" and kind == "managed":
        kind = "quantised"
    torch.manual_seed(0)
    make, shape = NETWORKS[name]
    model, x = make().to(dtype).eval(), torch.randn(shape, dtype=dtype)
    net = mho.to_analog(model, (HARDWARE | CHIPS)[kind])
    mho.calibrate(net, [torch.randn(8, *shape[1:], dtype=dtype) if name not in ("lstm",) else x])
    return model, mho.program(net, seed=0).at("1 day") if kind in CHIPS else net.eval(), x


# torch has no batching rule for its fused CPU attention and loops instead: slower, and right.
SLOW_IN_TORCH = pytest.mark.filterwarnings("ignore:There is a performance drop.*scaled_dot_product:UserWarning")
every_network = pytest.mark.parametrize("name", NETWORKS)


def test_a_transposed_convolution_has_no_range_for_every_vector():
    with pytest.raises(UseInstead, match="transposed"):
        mho.to_analog(nn.ConvTranspose2d(3, 4, 3), HARDWARE["managed"])


@every_network
def test_state_dicts_fit_both_ways(name):
    model, net, x = build(name, "quantised")
    torch.manual_seed(1)
    trained = NETWORKS[name][0]()
    fresh = mho.to_analog(model, QUANTISED)
    assert list(fresh.state_dict()) == list(model.state_dict())
    fresh.load_state_dict(trained.state_dict(), strict=True)
    trained.load_state_dict(fresh.state_dict(), strict=True)
    before = net(x)
    ranges = {key: value for key, value in net.state_dict().items() if key.endswith("_range")}
    assert len(ranges) == 2 * sum(1 for module in net.modules() if type(module).__name__ == "AnalogMatrix")
    net.load_state_dict(trained.state_dict(), strict=True)
    assert not torch.equal(net(x), before)
    assert all(torch.equal(net.state_dict()[key], value) for key, value in ranges.items())
    net.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(net(x), before)


@pytest.mark.parametrize("kind", ["quantised", "learned"])
@every_network
def test_saved_weights_and_ranges_load_safely_into_an_uncalibrated_network(name, kind):
    _model, net, x = build(name, kind)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    fresh = mho.to_analog(NETWORKS[name][0](), HARDWARE[kind]).eval()
    assert fresh.load_state_dict(torch.load(file, weights_only=True), strict=True).missing_keys == []
    assert torch.equal(fresh(x), net(x))
    assert [n for n, _ in fresh.named_parameters()] == [n for n, _ in net.named_parameters()]


@pytest.mark.parametrize("kind", ["quantised", "learned", "chip"])
@every_network
def test_copies_and_pickles_are_the_same_network(name, kind):
    _, net, x = build(name, kind)
    y = net(x)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other(x), y) and list(other.state_dict()) == list(net.state_dict())
        assert [type(m) for m in other.modules()] == [type(m) for m in net.modules()]
        with torch.no_grad():
            for p in other.parameters():
                p.zero_()
        assert torch.equal(net(x), y)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", QUIET)
@every_network
def test_other_number_formats(name, kind, dtype):
    _model, net, x = build(name, kind)
    y = net(x)
    net.to(dtype)
    z = net(x.to(dtype))
    assert z.dtype == dtype
    # A code of an 8-bit converter may flip: 2/254 of the range for each of a few conversions in a row.
    difference = (z.double() - y.double()).abs().max() / y.abs().max()
    limit = 1e-5 if kind == "ideal" and dtype == torch.float64 else 0.1 if dtype == torch.float64 else 0.2
    assert difference < limit
    assert all(p.dtype == dtype for p in net.parameters())


@pytest.mark.parametrize("kind", [*HARDWARE, *CHIPS])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_channels_last(name, kind):
    model, net, x = build(name, kind)
    memory = torch.channels_last if x.dim() == 4 else torch.channels_last_3d
    torch.manual_seed(2)
    y = net(x)
    model, net, x = (part.to(memory_format=memory) for part in (model, net, x))
    z = net(x)
    if kind != "managed":  # a sum over taps of strided views, whose layout is torch's choice
        assert z.is_contiguous(memory_format=memory) == model(x).is_contiguous(memory_format=memory)
    assert z.shape == y.shape
    if kind in QUIET:
        assert (z - y).abs().max() < (1e-5 if kind == "ideal" else 0.05)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", [*HARDWARE, "chip"])
@every_network
def test_autocast(name, kind, training):
    model, net, x = build(name, kind)
    with torch.autocast("cpu", torch.bfloat16):
        expected, y = model.train(training)(x), net.train(training)(x)
    # On the CPU torch's GRU is the only one to stay in float32.
    assert y.dtype == (torch.bfloat16 if name == "gru" else expected.dtype)
    single = net(x)
    assert (y - single).detach().abs().max() < 0.35 * single.detach().abs().max()
    if training and kind != "chip":
        y.float().square().sum().backward()
        for key, p in net.named_parameters():
            assert p.grad is not None and p.grad.dtype == torch.float32 and bool(p.grad.isfinite().all()), key


def _compiled(net: nn.Module, backend: str, **kwargs: Any) -> Callable[[Tensor], Tensor]:
    torch._dynamo.reset()
    return torch.compile(net, fullgraph=True, backend=backend, **kwargs)


@pytest.mark.parametrize(
    ("kind", "training"),
    [("ideal", True), ("quantised", False), ("quantised", True), ("managed", False), ("chip", False)],
)
@every_network
@torch._dynamo.config.patch(allow_rnn=True)
def test_compiles_as_one_graph(name, kind, training):
    """torch refuses to compile its own LSTM and GRU unless `allow_rnn` is set; so it does for what derives from them."""
    _, net, x = build("gru" if (name, kind) == ("lstm", "managed") else name, kind, torch.float64)
    compiled = _compiled(net, "eager")
    if not training:
        with torch.no_grad():
            torch.testing.assert_close(compiled(x), net(x), **TOLERANCE)
        return
    grads = []
    for module in (net, compiled):
        net.zero_grad()
        module(x).square().sum().backward()
        grads.append({name: p.grad for name, p in net.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    for key, grad in grads[0].items():
        torch.testing.assert_close(grads[1][key], grad, **TOLERANCE)


def _chips(net: nn.Module, n: int) -> tuple[nn.Module, dict[str, Tensor], list[nn.Module]]:
    chips = [mho.program(net, seed=seed).at("1 day") for seed in range(n)]
    names = [name for name, value in chips[0].named_buffers() if "cells_" in name]
    stacked = {name: torch.stack([dict(chip.named_buffers())[name] for chip in chips]) for name in names}
    return chips[0], stacked, chips


@SLOW_IN_TORCH
@pytest.mark.parametrize("kind", [*HARDWARE, "chip", "noisy chip"])
@every_network
def test_many_chips_in_one_pass(name, kind):
    """vmap over the cells of stacked chips."""
    hw = (HARDWARE | CHIPS)[kind]
    _, net, x = build(name, kind)
    if kind in CHIPS:
        ranges = dict(net.state_dict().items())
        net = mho.to_analog(NETWORKS[name][0](), hw).eval()
        net.load_state_dict(ranges)
    chip, stacked, chips = _chips(net, 3)

    def run(cells: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(chip, cells, (x,))

    with torch.no_grad():
        many = torch.vmap(run, randomness="different")(stacked)
        assert many.shape[0] == 3
        for y, one in zip(many, chips, strict=True):
            if kind == "managed":  # products are summed in another order: here and there the next code of the ADC
                off = (y - one(x)).abs()
                assert off.max() < 0.1 * y.abs().max() and (off > 1e-4).float().mean() <= 0.05
            elif kind in QUIET:
                torch.testing.assert_close(y, one(x), **TOLERANCE)
            else:
                assert not torch.equal(y, one(x)) and (y - one(x)).abs().max() < one(x).abs().max()


@SLOW_IN_TORCH
@pytest.mark.parametrize("kind", ["ideal", "quantised", "offset", "managed", "noisy"])
@every_network
def test_gradients_of_single_samples(name, kind):
    """vmap over grad, as torch.func and Opacus use it."""
    _, net, x = build(name, kind, torch.float64)
    batch_at = 1 if name == "lstm" else 0
    parameters = {key: p.detach() for key, p in net.named_parameters()}

    def loss(parameters: dict[str, Tensor], sample: Tensor) -> Tensor:
        return torch.func.functional_call(net, parameters, (sample.unsqueeze(batch_at),)).square().sum()

    found = torch.vmap(torch.func.grad(loss), (None, batch_at), randomness="different")(parameters, x)
    if kind == "noisy":
        return
    for i, sample in enumerate(x.unbind(batch_at)):
        net.zero_grad()
        net(sample.unsqueeze(batch_at)).square().sum().backward()
        for key, p in net.named_parameters():
            torch.testing.assert_close(found[key][i], p.grad, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", QUIET)
@every_network
def test_meta_device(name, kind):
    _, net, x = build(name, kind)
    shape = net(x).shape
    net.to("meta")
    y = net(x.to("meta"))
    assert y.is_meta and y.shape == shape
    with torch.device("meta"):
        model = NETWORKS[name][0]()
    if kind in ("ideal", "managed"):
        assert (
            mho.to_analog(model, HARDWARE[kind if name != "conv_transpose" else "ideal"])(x.to("meta")).shape == shape
        )


@pytest.mark.parametrize(
    ("kind", "strict"),
    [
        ("ideal", False),
        ("quantised", False),
        ("managed", False),
        ("noisy", False),
        ("chip", False),
        ("quantised", True),
    ],
)
@every_network
def test_export(name, kind, strict):
    _, net, x = build("gru" if (name, kind) == ("lstm", "managed") else name, kind, torch.float64)
    program = torch.export.export(net, (x,), strict=strict)
    with torch.no_grad():
        if kind != "noisy":
            torch.testing.assert_close(program.module()(x), net(x), **TOLERANCE)
    assert set(program.state_dict) >= {name for name, _ in net.named_parameters()}


@pytest.mark.parametrize("kind", [*HARDWARE, *CHIPS])
@every_network
def test_symbolic_trace(name, kind):
    _, net, x = build(name, kind)
    traced = torch.fx.symbolic_trace(net)
    torch.manual_seed(3)
    y = net(x)
    torch.manual_seed(3)
    assert torch.equal(traced(x), y)
    assert dict(traced.named_parameters()).keys() == dict(net.named_parameters()).keys()


def test_symbolic_trace_of_a_layer_that_is_called_by_name():
    class Names(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            return self.attention(query=x, key=x, value=x, need_weights=False)[0]

    torch.manual_seed(0)
    net, x = mho.to_analog(Names().eval(), IDEAL), torch.randn(2, 4, 8)
    assert torch.equal(torch.fx.symbolic_trace(net)(x), net(x))


@pytest.mark.parametrize("kind", ["quantised", "noisy", "learned"])
@every_network
def test_averages_of_weights(name, kind):
    _, net, x = build(name, kind)
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=False)
    average.update_parameters(net)
    ema = copy.deepcopy(net)
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(1.5)
    average.update_parameters(net)
    with torch.no_grad():
        for p, q in zip(ema.parameters(), net.parameters(), strict=True):
            p.mul_(0.5).add_(q, alpha=0.5)
    torch.manual_seed(0)
    y = average(x)
    torch.manual_seed(0)
    torch.testing.assert_close(ema(x), y)
    torch.manual_seed(0)
    assert not torch.equal(net(x), y)


@pytest.mark.parametrize("kind", HARDWARE)
@every_network
def test_one_step_of_a_plain_optimiser_is_seen_by_the_next_forward(name, kind):
    _, net, x = build(name, kind)
    net.train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.05)
    torch.manual_seed(0)
    y = net(x)
    y.square().sum().backward()
    norm = nn.utils.clip_grad_norm_(net.parameters(), 1e-2)
    assert norm > 1e-2 and all(p.grad is not None for p in net.parameters())
    assert sum(float(p.grad.square().sum()) for p in net.parameters()) < 1.01e-4
    optimizer.step()
    torch.manual_seed(0)
    assert not torch.equal(net(x), y)


@pytest.mark.parametrize("kind", ["noisy", "noisy chip"])
@every_network
def test_noise_follows_torchs_seed(name, kind):
    _, net, x = build(name, kind)
    torch.manual_seed(5)
    first, second = net(x), net(x)
    torch.manual_seed(5)
    assert torch.equal(net(x), first) and torch.equal(net(x), second) and not torch.equal(first, second)


@every_network
def test_checkpointed_activations_see_the_same_noise(name):
    _, net, x = build(name, "noisy")
    grads = []
    for run in (net, partial(checkpoint, net, use_reentrant=False)):
        net.zero_grad()
        torch.manual_seed(0)
        run(x.clone().requires_grad_()).square().sum().backward()
        grads.append([p.grad for p in net.parameters()])
    for a, b in zip(*grads, strict=True):
        assert torch.equal(a, b)


@every_network
def test_frozen_layers_and_hooks(name):
    _, net, x = build(name, "quantised")
    seen = []
    layer = next(module for module in net.modules() if isinstance(module, AnalogLayer))
    layer.register_forward_hook(lambda *_: seen.append(1))
    for p in layer.parameters():
        p.requires_grad_(False)
    x = x.requires_grad_()
    net(x).sum().backward()
    assert seen == [1] and x.grad is not None and all(p.grad is None for p in layer.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv2d", "encoder"])
def test_compiles_with_inductor(name):
    _, net, x = build(name, "quantised")
    with torch.no_grad():
        torch.testing.assert_close(_compiled(net, "inductor")(x), net(x), rtol=1e-3, atol=2e-2)


def test_two_processes_see_the_gradient_of_the_whole_batch(tmp_path):
    """DistributedDataParallel on gloo; this file is the program of each process."""
    found = []
    for world in (1, 2):
        environment = dict(os.environ, WORLD_SIZE=str(world), OMP_NUM_THREADS="1", PYTHONWARNINGS="ignore")
        environment["PYTHONPATH"] = str(Path(mho.__file__).parents[1])
        store, out = tmp_path / f"store{world}", tmp_path / f"grads{world}.pt"
        command = [sys.executable, __file__, str(store), str(out)]
        processes, logs = [], [tmp_path / f"{rank}_of_{world}.log" for rank in range(world)]
        for rank, log in enumerate(logs):
            with log.open("w") as file:  # a file for each: their lines must not mix
                environment["RANK"] = str(rank)
                processes.append(subprocess.Popen(command, env=environment, stdout=file, stderr=file))
        assert [process.wait(60) for process in processes] == [0] * world, [log.read_text()[-2000:] for log in logs]
        found.append(torch.load(out))
    assert found[0].keys() == found[1].keys() and len(found[0]) > 8
    for key, grad in found[0].items():
        torch.testing.assert_close(found[1][key], grad, rtol=1e-4, atol=1e-6)


def _process(store: str, out: str) -> None:
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    grads = {}
    for name in ("linear", "depthwise", "gru", "attention", "own"):
        _, net, x = build(name, "quantised")
        x = torch.cat([x, 2 * x])
        parallel = nn.parallel.DistributedDataParallel(net)
        parallel(x.chunk(world)[rank]).square().mean().backward()
        grads |= {f"{name}.{key}": p.grad for key, p in net.named_parameters()}
    if rank == 0:
        torch.save(grads, out)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    os._exit(0)  # gloo's threads now and then hold up the interpreter's own way out


if __name__ == "__main__":
    _process(*sys.argv[1:])
