"""Every published network loads, maps and computes; the preset of the SqueezeNet project runs on its network."""

from __future__ import annotations

import os

import pytest
import torch

import mho
from mho.models import published, squeezenet_vww
from mho.models.published import names

needs_data = pytest.mark.skipif(
    "MHO_DATA" not in os.environ, reason="MHO_DATA is not set: the published weights are not here"
)
SHAPES = {"kws": (1, 1, 49, 10), "vww": (1, 3, 96, 96), "squeezenet": (1, 3, 227, 227), "v1_025_128": (1, 3, 128, 128),
          "v1_05_160": (1, 3, 160, 160), "cifar10": (1, 3, 32, 32)}  # fmt: skip


def _input(name):
    if name == "stories260k":
        return torch.randint(0, 512, (1, 12))
    return 30 * torch.rand(next(shape for key, shape in SHAPES.items() if key in name))


@pytest.mark.data
@needs_data
@pytest.mark.parametrize("name", names())
def test_every_published_network_goes_onto_chips(name):
    model, _ = published(name)
    x = _input(name)
    net = mho.calibrate(mho.to_analog(model, "pcm", example=x), [x])
    assert net.placement.analog_share > 0.9
    placed = [w.path for w in net.placement if w.placed == "analog"]
    matrices = [n for n, p in model.named_parameters(remove_duplicate=False) if p.dim() >= 2 and "tok." not in n]
    assert len(placed) == len(matrices), "every matrix but the embedding's table lies on arrays"
    with torch.no_grad():
        fresh, digital = mho.program(net).at("1 h")(x), model(x)
    assert fresh.shape == digital.shape and torch.isfinite(fresh).all()
    assert not torch.equal(fresh, digital)


def test_the_squeezenet_projects_network_on_its_preset():
    torch.manual_seed(0)
    model = squeezenet_vww().eval()
    x = torch.rand(1, 3, 224, 224)
    net = mho.to_analog(model, "squeezenet-2022", example=x)
    mho.calibrate(net, [x])
    with torch.no_grad():
        digital, year = model(x), mho.program(net).at("1 year")(x)
    assert digital.shape == year.shape and 0 < float(year) < 1 and float(year) != float(digital)
