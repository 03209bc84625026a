"""Shapes and sizes of the networks."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mho.errors import BadInput, WrongSetting
from mho.models import FACTORIES, SameConv2d, resolve, squeezenet_vww
from mho.models.resnet_cifar import CifarResNet
from mho.nn.norm import L1BatchNorm2d

PARAMETERS = {
    "alexnet_cifar": 544_074,
    "b_alexnet": 605_886,
    "b_lenet": 111_066,
    "cifar_resnet": 75_290,
    "digits_cnn": 17_626,
    "dscnn": 22_604,
    "lenet": 136_886,
    "mobilenet_cifar": 136_778,
    "mobilenet_v1": 467_593,
    "mobilenet_v1_vww": 216_322,
    "plain_cnn": 26_682,
    "resnet8": 78_186,
    "resnet8_large": 480_330,
    "resnet14b": 175_258,
    "resnet20": 269_722,
    "resnet20b": 272_474,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet_drop": 274_711,
    "resnet_exits": 270_222,
    "squeezenet10": 1_248_424,
    "squeezenet_cifar": 62_058,
    "squeezenet_vww": 250_209,
    "stories260k": 260_032,
    "vgg16": 14_986_698,
    "vgg_mini": 768_298,
    "vit_cifar": 349_402,
}
EXITS = {"b_alexnet": 3, "b_lenet": 2, "resnet_exits": 3}
SHAPES = {
    "b_lenet": ((2, 1, 28, 28), (2, 10)),
    "digits_cnn": ((2, 1, 8, 8), (2, 10)),
    "dscnn": ((2, 1, 49, 10), (2, 12)),
    "mobilenet_v1": ((1, 3, 128, 128), (1, 1001)),
    "mobilenet_v1_vww": ((2, 3, 96, 96), (2, 2)),
    "squeezenet10": ((1, 3, 227, 227), (1, 1000)),
    "squeezenet_vww": ((2, 3, 224, 224), (2, 1)),
}
IMAGES = ((2, 3, 32, 32), (2, 10))


def test_every_network_has_its_size_on_record():
    assert set(PARAMETERS) == set(FACTORIES)


@pytest.mark.parametrize("name", PARAMETERS)
def test_number_of_parameters(name):
    assert sum(p.numel() for p in FACTORIES[name]().parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", sorted(set(PARAMETERS) - {"stories260k"}))
@torch.no_grad()
def test_shapes(name):
    given, expected = SHAPES.get(name, IMAGES)
    found = resolve(name)(torch.rand(given))
    every = found.values() if name in EXITS else [found]
    assert [one.shape for one in every] == [expected] * EXITS.get(name, 1)


def test_the_number_of_classes_can_be_chosen():
    assert resolve("resnet8?num_classes=3")(torch.rand(1, 3, 32, 32)).shape == (1, 3)


def test_a_depth_that_does_not_exist_is_refused():
    with pytest.raises(WrongSetting, match=r"21 layers.*6n \+ 2"):
        CifarResNet(21)


def test_squeezenet_vww_ends_after_the_third_pool_and_gives_a_probability():
    net = resolve("squeezenet_vww")
    x = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        assert net.features(x).shape == (2, 256, 13, 13)
        y = net(x)
    assert ((y > 0) & (y < 1)).all()
    assert [type(m) for m in net.head] == [nn.Dropout, nn.Flatten, nn.BatchNorm1d, nn.Linear, nn.Sigmoid]
    assert sum(p.numel() for p in net.head.parameters()) == 129_793
    assert net.head[3].bias.item() == pytest.approx(0.01)


@pytest.mark.parametrize("size", [7, 8, 9, 10])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, (10, 4)])
def test_same_padding_gives_ceil_of_size_over_stride(size, stride, kernel):
    conv = SameConv2d(1, 1, kernel, stride)
    assert conv(torch.rand(1, 1, size, 9)).shape[2:] == (-(-size // stride), -(-9 // stride))


def test_same_padding_puts_the_odd_zero_behind():
    conv = SameConv2d(1, 1, 3, stride=2, bias=False)
    x = torch.rand(1, 1, 8, 8)
    assert torch.equal(conv(x), F.conv2d(F.pad(x, (0, 1, 0, 1)), conv.weight, stride=2))


def test_same_padding_counts_dilation():
    conv = SameConv2d(2, 2, 3, dilation=2, groups=2)
    x = torch.rand(1, 2, 8, 8)
    expected = F.conv2d(x, conv.weight, conv.bias, padding="same", dilation=2, groups=2)
    assert torch.equal(conv(x), expected)


@torch.no_grad()
def test_llama_looks_back_only():
    net = resolve("stories260k")
    ids = torch.randint(0, 512, (2, 12))
    changed = ids.clone()
    changed[:, 8] = (changed[:, 8] + 1) % 512
    a, b = net(ids), net(changed)
    assert a.shape == (2, 12, 512)
    torch.testing.assert_close(a[:, :8], b[:, :8])
    assert not torch.allclose(a[:, 8:], b[:, 8:])


@torch.no_grad()
def test_llama_knows_the_order_of_tokens():
    net = resolve("stories260k")
    a, b = net(torch.tensor([[5, 6, 7]]))[0, -1], net(torch.tensor([[6, 5, 7]]))[0, -1]
    assert not torch.allclose(a, b)


def test_llama_has_one_matrix_for_both_vocabularies_and_a_longest_input():
    net = resolve("stories260k")
    assert net.out.weight is net.tok.weight
    with pytest.raises(BadInput, match="513 tokens in a row -> cut the text into pieces of at most 512"):
        net(torch.zeros(1, 513, dtype=torch.long))


def test_digits_cnn_learns_the_digits_within_seconds():
    pytest.importorskip("sklearn")
    from mho.data import load
    from mho.training import train

    torch.manual_seed(0)
    net = train(resolve("digits_cnn"), load("digits?split=train"), epochs=10)
    test = load("digits?split=test")
    with torch.no_grad():
        assert (net(test.inputs).argmax(1) == test.labels).float().mean() >= 0.97


@pytest.mark.parametrize("module", ["mho.models", "mho.data"])
def test_import_brings_no_optional_package(module):
    code = f"import sys, {module}; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"sklearn", "PIL", "matplotlib", "jinja2", "typer"} & set(done.stdout.split())


def test_squeezenet_vww_takes_smaller_images_and_gives_a_logit():
    net = resolve("squeezenet_vww?size=32&sigmoid=false")
    assert sum(p.numel() for p in net.parameters()) == 121_185
    for size in (21, 32, 48, 97):
        out = squeezenet_vww(size=size, sigmoid=False).eval()(torch.rand(1, 3, size, size))
        assert out.shape == (1, 1)
    with pytest.raises(WrongSetting, match="at least 21"):
        squeezenet_vww(size=20)


def test_squeezenet_vww_takes_the_features_of_torchvision(tmp_path):
    """Torchvision's state dict has thirteen modules of features and a classifier; nine are taken."""
    donor = squeezenet_vww(size=32)
    state = {f"features.{name}": value for name, value in donor.features.state_dict().items()}
    state |= {
        "features.9.squeeze.weight": torch.rand(48, 256, 1, 1),
        "classifier.1.weight": torch.rand(1000, 512, 1, 1),
    }
    torch.save(state, tmp_path / "squeezenet.pth")
    net = squeezenet_vww(size=32, features=str(tmp_path / "squeezenet.pth"))
    for name, value in donor.features.state_dict().items():
        assert torch.equal(net.features.state_dict()[name], value)
    assert not torch.equal(net.head[3].weight, donor.head[3].weight)
    del state["features.7.expand3x3.bias"]
    torch.save(state, tmp_path / "squeezenet.pth")
    with pytest.raises(BadInput, match="missing: 7.expand3x3.bias"):
        squeezenet_vww(features=str(tmp_path / "squeezenet.pth"))


@pytest.mark.parametrize(
    "name", ["cifar_resnet", "mobilenet_cifar", "plain_cnn", "squeezenet_cifar", "vgg_mini", "lenet"]
)
def test_one_argument_chooses_the_norm(name):
    """As many norms in all layers, half as many in some, none in none; a convolution has a bias where it has no norm."""
    counts = {}
    for kind, cls in (
        ("batch", nn.BatchNorm2d),
        ("group", nn.GroupNorm),
        ("l1", L1BatchNorm2d),
        ("none", nn.GroupNorm),
    ):
        for where in ("all", "some"):
            net = FACTORIES[name](norm=kind, normed=where, channels=1)
            counts[kind, where] = sum(isinstance(m, cls) for m in net.modules())
            convs = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
            assert sum(conv.bias is None for conv in convs) == counts[kind, where]
            assert net.train()(torch.rand(3, 1, 32, 32)).shape == (3, 10)
    assert counts["none", "all"] == counts["none", "some"] == 0
    assert counts["batch", "all"] == counts["group", "all"] == counts["l1", "all"] == len(convs)
    assert counts["batch", "some"] == counts["l1", "some"] == -(-len(convs) // 2)


def test_a_residual_block_without_norms_begins_as_its_shortcut():
    net = FACTORIES["cifar_resnet"](norm="none", depth=14)
    assert all(float(block.conv2.weight.detach().abs().max()) == 0 for block in net.layer2)
    assert float(net.layer2[0].conv1.weight.detach().std()) == pytest.approx((2 / (9 * 16)) ** 0.5, rel=0.1)
    assert float(FACTORIES["cifar_resnet"]().layer2[0].conv2.weight.detach().abs().max()) > 0


def test_words_that_are_no_norms_are_refused():
    for given in ({"norm": "l2"}, {"normed": "none"}):
        with pytest.raises(WrongSetting, match="batch, group|all, some"):
            FACTORIES["plain_cnn"](**given)
    with pytest.raises(WrongSetting, match="depth"):
        FACTORIES["plain_cnn"](depth=2)


def test_residual_networks_with_filters_of_another_size():
    for kernel in (1, 5):
        net = FACTORIES["cifar_resnet"](kernel=kernel)
        assert net.layer1[0].conv1.kernel_size == net.conv1.kernel_size == (kernel, kernel)
        assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    with pytest.raises(WrongSetting, match="filters of 2 × 2"):
        FACTORIES["cifar_resnet"](kernel=2)
