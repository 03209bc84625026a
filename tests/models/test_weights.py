"""Weights from files: all or nothing, and no code from the file."""

from __future__ import annotations

import pickle

import pytest
import torch
from safetensors.torch import save_file

from mho.errors import BadInput
from mho.models import digits_cnn, load_weights, read_weights, resolve, stories260k
from mho.models.compressed import expand


@pytest.fixture
def trained():
    torch.manual_seed(1)
    net = digits_cnn()
    net(torch.rand(8, 1, 8, 8))  # moves the running statistics away from 0 and 1
    return net.eval()


X = torch.linspace(0, 1, 128).view(2, 1, 8, 8)


def _file(tmp_path, state, name="weights.pt"):
    path = tmp_path / name
    if name.endswith(".safetensors"):
        save_file(state, path)
    else:
        torch.save(state, path)
    return str(path)


@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": s},
        lambda s: {"model_state_dict": s, "optimizer": {"lr": 0.1}},
        lambda s: {f"module.{k}": v for k, v in s.items()},
        lambda s: {"state_dict": {f"module._orig_mod.{k}": v for k, v in s.items()}},
        lambda s: {k: v for k, v in s.items() if "num_batches" not in k},
    ],
)
def test_round_trip_of_checkpoints(tmp_path, trained, wrap):
    net = resolve("digits_cnn", _file(tmp_path, wrap(trained.state_dict())))
    assert not net.training
    assert torch.equal(net(X), trained(X))


def test_round_trip_of_safetensors(tmp_path, trained):
    file = _file(tmp_path, trained.state_dict(), "weights.safetensors")
    assert torch.equal(resolve("digits_cnn", file)(X), trained(X))


def _refused(trained, state, match):
    net = digits_cnn()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(BadInput, match=match):
        load_weights(net, state, source="file.pt")
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items()), "half loaded"


def test_misfits_are_listed_and_nothing_is_loaded(trained):
    state = trained.state_dict()
    _refused(trained, {k: v for k, v in state.items() if k != "0.weight"}, r"file\.pt.*missing: 0\.weight")
    _refused(trained, state | {"extra": torch.ones(1)}, "unexpected: extra")
    _refused(trained, state | {"13.bias": torch.ones(3)}, r"shapes: 13\.bias is \(3,\), not \(10,\)")
    _refused(trained, state | {"13.bias": torch.ones(10, dtype=torch.int8)}, r"types: 13\.bias is torch\.int8")
    _refused(trained, state | {"13.bias": torch.full((10,), float("nan"))}, r"not finite: 13\.bias")
    _refused(trained, {"a": torch.ones(1)}, r"missing: 0\.weight, 1\.weight, 1\.bias, 1\.running_mean and 18 more")


def test_a_prefix_that_only_some_keys_have_stays(trained):
    state = {f"module.{k}" if k.startswith("0") else k: v for k, v in trained.state_dict().items()}
    _refused(trained, state, r"missing: 0\.weight; unexpected: module\.0\.weight")


def test_tied_parameters_may_come_once_but_not_in_two_versions():
    net, weight = stories260k(), torch.rand(512, 64)
    state = {k: v for k, v in net.state_dict().items() if k != "out.weight"} | {"tok.weight": weight}
    load_weights(net, state, source="file.pt")
    assert torch.equal(net.out.weight, weight)
    with pytest.raises(BadInput, match=r"different.*tok\.weight and out\.weight"):
        load_weights(net, state | {"out.weight": weight + 1}, source="file.pt")


class _Bomb:
    exploded = False

    def __reduce__(self):
        return _explode, ()


def _explode():
    _Bomb.exploded = True


def test_a_checkpoint_that_would_run_code_is_refused_unopened(tmp_path):
    torch.save({"weight": _Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(BadInput, match="would run code from the file -> save the tensors alone"):
        read_weights(tmp_path / "bomb.pt")
    assert not _Bomb.exploded


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_bare_pickle_is_refused_unopened(tmp_path, protocol):
    (tmp_path / "bomb.pth").write_bytes(pickle.dumps({"weight": _Bomb()}, protocol=protocol))
    with pytest.raises(BadInput, match=r"bomb\.pth: "):
        read_weights(tmp_path / "bomb.pth")
    assert not _Bomb.exploded


def test_a_whole_pickled_module_is_refused(tmp_path, trained):
    with pytest.raises(BadInput, match="would run code"):
        read_weights(_file(tmp_path, trained))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ([1, 2], "holds a list, not a state dict"),
        ({"net": {}}, "holds a dict of 'net'"),
        ({}, "a dict of nothing"),
    ],
)
def test_a_checkpoint_without_a_state_dict_is_refused(tmp_path, content, match):
    with pytest.raises(BadInput, match=match):
        read_weights(_file(tmp_path, content))


@pytest.mark.parametrize("name", ["x.pt", "x.safetensors", "x.th"])
def test_damaged_and_missing_files(tmp_path, name):
    with pytest.raises(BadInput, match="there is no such file"):
        read_weights(tmp_path / name)
    for content in (b"", b"this is no checkpoint at all", b"PK\x03\x04 nor this"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInput, match=name):
            read_weights(tmp_path / name)


def test_compressed_weights_are_expanded():
    stored = {
        "a.weight_q": torch.tensor([[0, 128, 255]], dtype=torch.uint8),
        "a.weight_scale": torch.tensor([0.5]),
        "a.weight_zero": torch.tensor([128], dtype=torch.int32),
        "b.weight_code": torch.tensor([[1, 0], [2, 1]], dtype=torch.uint8),
        "b.weight_codebook": torch.tensor([0.0, -1.5, 2.0]),
        "b.bias": torch.tensor([7.0]),
    }
    state = expand(stored)
    assert set(state) == {"a.weight", "b.weight", "b.bias"}
    assert state["a.weight"].tolist() == [[-64.0, 0.0, 63.5]]
    assert state["b.weight"].tolist() == [[-1.5, 0.0], [2.0, -1.5]]
