"""Programs of torch.export come back with layers that can go onto arrays."""

from __future__ import annotations

import copy
import io
import warnings
import zipfile

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

import mho
from mho.errors import BadInput, NotYet, UseInstead
from mho.models import load_exported, resolve, with_layers


class Everything(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, padding="same", dilation=2, groups=2), nn.ReLU())
        self.t = nn.ConvTranspose2d(8, 4, 3, stride=2, output_padding=1)
        self.c1 = nn.Conv1d(4, 4, 3, stride=2)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4, 10)
        self.w = nn.Parameter(torch.randn(5, 10))

    def forward(self, x):
        x = self.t(self.deep(F.relu(self.bn(self.c(x)))))
        x = self.c1(x.flatten(2)).mean(2)
        return F.linear(self.fc(self.drop(self.fc(x)[:, :4])), self.w)


LAYERS = {
    "c": nn.Conv2d,
    "bn": nn.BatchNorm2d,
    "deep.0": nn.Conv2d,
    "t": nn.ConvTranspose2d,
    "c1": nn.Conv1d,
    "fc": nn.Linear,
    "w_layer": nn.Linear,
}
FREE = ({0: Dim.DYNAMIC},)


def _model():
    torch.manual_seed(0)
    net = Everything()
    net(torch.randn(8, 3, 8, 8))
    return net.eval()


def _export(net, x, shapes=FREE):
    return torch.export.export(net, (x,), dynamic_shapes=shapes)


def _layers(net):
    return {n: type(m) for n, m in net.named_modules() if type(m).__module__.startswith("torch.nn.modules.") and n}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    file = tmp_path_factory.mktemp("exported") / "net.pt2"
    net = _model()
    torch.export.save(_export(net, torch.randn(2, 3, 8, 8)), file)
    return net, file


@pytest.mark.parametrize("batch", [1, 2, 7])
@torch.no_grad()
def test_a_file_gives_the_same_outputs_through_real_layers(exported, batch):
    net, file = exported
    again = resolve(str(file))
    assert LAYERS.items() <= _layers(again).items()
    x = torch.randn(batch, 3, 8, 8)
    assert torch.equal(again(x), net(x))
    assert not any("aten.conv" in str(n.target) or "aten.linear" in str(n.target) for n in again.graph.nodes)


def test_parameters_keep_their_names(exported):
    net, file = exported
    again, own = load_exported(file).state_dict(), net.state_dict()
    assert set(own) - set(again) == {"w"}
    assert set(again) - set(own) == {"w_layer.weight"}
    assert all(torch.equal(again[key], own[key]) for key in set(own) & set(again))


def test_it_can_be_copied_written_and_put_into_either_mode(exported):
    again = load_exported(exported[1])
    buffer = io.BytesIO()
    torch.save(copy.deepcopy(again), buffer)
    buffer.seek(0)
    once_more = torch.load(buffer, weights_only=False)
    x = torch.randn(3, 3, 8, 8)
    assert torch.equal(once_more(x), again(x))
    assert once_more.train().bn.training
    assert not once_more.eval().bn.training


def test_the_converter_finds_the_layers(exported):
    again = load_exported(exported[1])
    analog = mho.to_analog(again, "ideal", example=torch.randn(2, 3, 8, 8))
    assert isinstance(analog.c, mho.nn.AnalogConv2d)
    assert isinstance(analog.fc, mho.nn.AnalogLinear)


def test_weights_can_be_put_into_it(exported, tmp_path):
    other = load_exported(exported[1])
    with torch.no_grad():
        other.fc.weight.zero_()
    torch.save(other.state_dict(), tmp_path / "w.pt")
    assert not resolve(str(exported[1]), str(tmp_path / "w.pt")).fc.weight.any()


def test_other_image_sizes_are_refused(exported):
    with pytest.raises(BadInput, match=r"\(2, 3, 9, 9\), but the program was exported for \(any, 3, 8, 8\)"):
        load_exported(exported[1])(torch.randn(2, 3, 9, 9))


@pytest.mark.parametrize("name", ["resnet8", "resnet14b", "digits_cnn"])
@torch.no_grad()
def test_whole_networks(name):
    net = resolve(name)
    x = torch.rand(2, 1, 8, 8) if name == "digits_cnn" else torch.rand(2, 3, 32, 32)
    again = with_layers(_export(net, x))
    assert set(again.state_dict()) == set(net.state_dict())
    assert torch.equal(again(x), net(x))


@torch.no_grad()
def test_a_tied_embedding_stays_tied():
    net = resolve("stories260k")
    again = with_layers(_export(net, torch.randint(0, 512, (2, 16))))
    ids = torch.randint(0, 512, (3, 16))
    assert isinstance(again.tok, nn.Embedding)
    assert isinstance(again.out, nn.Linear)
    assert again.tok.weight is again.out.weight
    assert torch.equal(again(ids), net(ids))


@torch.no_grad()
def test_the_core_aten_set_gives_layers_too():
    net, x = resolve("digits_cnn"), torch.rand(2, 1, 8, 8)
    program = _export(net, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates its own LeafSpec in here.
        program = program.run_decompositions()
    again = with_layers(program)
    kinds = [type(m) for m in again.modules()]
    assert (kinds.count(nn.Conv2d), kinds.count(nn.Linear)) == (4, 1)
    torch.testing.assert_close(again(x), net(x))


@torch.no_grad()
def test_attention_projections_become_linear_layers():
    net = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.randn(3, 5, 8)
    again = with_layers(_export(net, x))
    linear = {n for n, m in again.named_modules() if isinstance(m, nn.Linear)}
    assert linear == {"self_attn.in_proj", "self_attn.out_proj", "linear1", "linear2"}
    torch.testing.assert_close(again(x), net(x))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        y = self.conv(self.conv(x))
        return F.conv2d(y, self.conv.weight, self.conv.bias, stride=2)


@torch.no_grad()
def test_a_layer_called_twice_is_one_layer_and_another_stride_is_another():
    net, x = Twice().eval(), torch.randn(2, 4, 8, 8)
    again = with_layers(_export(net, x))
    found = {n: m for n, m in again.named_modules() if isinstance(m, nn.Conv2d)}
    assert len(found) == 2
    assert len({id(m.weight) for m in found.values()}) == 1
    assert torch.equal(again(x), net(x))


def test_what_cannot_be_used_is_refused():
    net, x = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)), torch.rand(2, 3)
    with pytest.raises(UseInstead, match=r"training mode.*model\.eval\(\) before exporting"):
        with_layers(_export(net.train(), x))
    with pytest.raises(UseInstead, match="for batches of exactly 2"):
        with_layers(_export(net.eval(), x, None))


class Nested(nn.Module):
    def forward(self, x):
        return {"scores": x + 1}


def test_nested_results_are_refused_and_several_are_a_tuple():
    with pytest.raises(NotYet, match="nested structures"):
        with_layers(_export(Nested(), torch.rand(2, 3)))

    class Pair(nn.Module):
        def forward(self, x):
            return x + 1, x * 2

    x = torch.rand(4, 3)
    again = with_layers(_export(Pair(), torch.rand(2, 3)))(x)
    assert torch.equal(again[0], x + 1)
    assert torch.equal(again[1], x * 2)


def test_files_that_are_no_programs(tmp_path):
    with pytest.raises(BadInput, match="there is no such file"):
        resolve(str(tmp_path / "none.pt2"))
    (tmp_path / "text.pt2").write_text("no")
    with pytest.raises(BadInput, match=r"not a file of torch\.export\.save"):
        resolve(str(tmp_path / "text.pt2"))
    torch.save({"a": torch.ones(1)}, tmp_path / "state.pt2")
    with pytest.raises(BadInput, match=r"today's torch\.export\.save"):
        resolve(str(tmp_path / "state.pt2"))


class _Bomb:
    exploded = False

    def __reduce__(self):
        return _explode, ()


def _explode():
    _Bomb.exploded = True
    return ((), {})


def test_a_program_that_would_run_code_is_refused_unopened(exported, tmp_path):
    buffer = io.BytesIO()
    torch.save(_Bomb(), buffer)
    with zipfile.ZipFile(exported[1]) as good, zipfile.ZipFile(tmp_path / "bomb.pt2", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, buffer.getvalue() if name.endswith("sample_inputs/model.pt") else good.read(name))
    with pytest.raises(BadInput, match="would run code from the file"):
        load_exported(tmp_path / "bomb.pt2")
    assert not _Bomb.exploded
