"""Published weights reach what is published."""

from __future__ import annotations

import os

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from mho.data import load
from mho.errors import BadInput
from mho.models import published, published_names, resolve
from mho.models.published_table import NETWORKS

needs_data = pytest.mark.skipif(
    "MHO_DATA" not in os.environ, reason="MHO_DATA is not set: published weights and data sets are not here"
)

RIGHT_OF_FIRST_1000 = {
    "cifar10_resnet32": 928,
    "cifar10_resnet44": 933,
    "cifar10_resnet56": 926,
    "cifar10_resnet14b_crosssim": 890,
    "cifar10_resnet20b_crosssim": 911,
    "cifar10_resnet8_mlperf": 881,
    "cifar10_resnet8large_mlperf": 915,
    "kws_dscnn_mlperf": 901,
}
TOLERANCE = 2
"""Images that other processors may see differently."""


@torch.no_grad()
def _right(net, data):
    return sum(int((net(x).argmax(-1) == y).sum()) for x, y in data)


@pytest.mark.slow
@pytest.mark.data
@needs_data
def test_resnet20_on_the_whole_test_set():
    net, info = published("cifar10_resnet20")
    assert _right(net, load(info.data)) == pytest.approx(9173, abs=TOLERANCE)
    assert info.accuracy == info.published == 0.9173


@pytest.mark.data
@needs_data
@pytest.mark.parametrize("name", RIGHT_OF_FIRST_1000)
def test_right_answers_among_the_first_thousand(name):
    net, info = published(name)
    assert _right(net, load(info.data).subset(1000)) == pytest.approx(RIGHT_OF_FIRST_1000[name], abs=TOLERANCE)
    assert info.accuracy == pytest.approx(RIGHT_OF_FIRST_1000[name] / 1000, abs=0.02)


@torch.no_grad()
def _loss(net, data):
    total = count = right = 0
    for x, y in data:
        scores, y = net(x).flatten(0, 1), y.flatten()
        total += float(F.cross_entropy(scores, y, ignore_index=-100, reduction="sum"))
        right += int((scores.argmax(-1) == y)[y != -100].sum())
        count += int((y != -100).sum())
    return total / count, right, count


@pytest.mark.data
@needs_data
def test_stories260k_predicts_real_text_and_its_own():
    net, info = published("stories260k")
    loss, right, count = _loss(net, load(info.data))
    assert (loss, count) == (pytest.approx(info.loss, abs=1e-3), 1804)
    assert right == pytest.approx(1174, abs=TOLERANCE)
    assert _loss(net, load("tinystories-self"))[0] == pytest.approx(1.2936, abs=1e-3)


@pytest.mark.data
@needs_data
@pytest.mark.parametrize("name", published_names())
def test_every_published_network_loads_whole(name):
    net, info = published(name)
    assert not net.training
    assert all(bool(torch.isfinite(value).all()) for value in net.state_dict().values())
    assert info.name == name
    assert info.licence
    assert info.source
    assert 0.4 < info.accuracy < 1


@pytest.mark.data
@needs_data
@torch.no_grad()
def test_compressed_weights_keep_their_few_values():
    net = resolve("published:imagenet_squeezenet10_dc")
    zeros = torch.cat([p.flatten() for n, p in net.named_parameters() if n.endswith("weight")]) == 0
    assert 0.6 < float(zeros.float().mean()) < 0.72
    net = resolve("published:imagenet_mobilenet_v1_025_128_q8")
    assert len(net.stem.weight.unique()) <= 256


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "weights").mkdir()
    monkeypatch.setenv("MHO_DATA", str(tmp_path))
    return tmp_path / "weights"


@pytest.mark.parametrize("name", published_names())
def test_without_the_file_the_way_out_is_named(folder, monkeypatch, tmp_path, name):
    with pytest.raises(BadInput, match=f"'weights/.*' is missing from .* -> .*(fetch |weights/){name}"):
        published(name)
    monkeypatch.delenv("MHO_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(BadInput, match="while MHO_DATA is not set -> "):
        published(name)


@pytest.mark.parametrize(
    ("name", "factory", "wrapped"),
    [
        ("cifar10_resnet32", "resnet32", True),
        ("cifar10_resnet32", "resnet32", False),
        ("cifar10_resnet14b_crosssim", "resnet14b", False),
    ],
)
def test_the_checkpoints_of_the_authors_are_read_as_they_are(folder, name, factory, wrapped):
    entry = NETWORKS[name]
    net = resolve(factory)
    state = {key: value for key, value in net.state_dict().items() if not key.endswith("num_batches_tracked")}
    for theirs, ours in entry.renamed:
        state = {f"{theirs}{k.removeprefix(ours)}" if k.startswith(ours) else k: v for k, v in state.items()}
    held = {"state_dict": {f"module.{k}": v for k, v in state.items()}, "best_prec1": 90.0} if wrapped else state
    torch.save(held, folder / entry.checkpoint, _use_new_zipfile_serialization=not wrapped)
    found, info = published(name)
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in found.state_dict().items())
    assert entry.checkpoint in info.source


def test_a_checkpoint_that_would_run_code_is_refused(folder):
    torch.save({"state_dict": print}, folder / NETWORKS["cifar10_resnet20"].checkpoint)
    with pytest.raises(BadInput, match="reading those would run code"):
        published("cifar10_resnet20")


def test_weights_of_another_network_are_refused(folder):
    state = {k: v.contiguous() for k, v in resolve("dscnn?num_classes=3").state_dict().items()}
    save_file(state, folder / "kws_dscnn_mlperf.safetensors")
    with pytest.raises(BadInput, match=r"shapes: fc\.weight is \(3, 64\), not \(12, 64\)"):
        published("kws_dscnn_mlperf")
