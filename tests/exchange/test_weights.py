"""Checkpoints of AIHWKit become ordinary state dicts, and run no code."""

from __future__ import annotations

import pickle
from collections import OrderedDict

import pytest
import torch
from torch import nn

from mho.errors import BadInput
from mho.exchange import import_weights


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))


class Config:
    """Stands for AIHWKit's settings, which are pickled into its checkpoints."""


Config.__module__, Config.__qualname__ = "aihwkit", "InferenceRPUConfig"


def checkpoint(net: nn.Sequential, *, torch_tile: bool = True, sizes: tuple[int, int] = (7, 2)) -> OrderedDict:
    """As AIHWKit writes it: tiles of at most so many rows and columns, weights scaled to 1, biases beside them."""
    state = OrderedDict((k, v) for k, v in net.state_dict().items() if k.startswith("1."))
    for name in ("0", "3"):
        weight = net.state_dict()[f"{name}.weight"].flatten(1)
        state[f"{name}.analog_module.bias"] = net.state_dict()[f"{name}.bias"]
        for i, rows in enumerate(weight.split(sizes[0], dim=1)):
            for j, part in enumerate(rows.split(sizes[1], dim=0)):
                tile, scale = f"{name}.analog_module.array.{i}.{j}.", part.abs().amax(1)
                state[f"{tile}analog_ctx"], state[f"{tile}mapping_scales"] = torch.empty(()), scale
                state[f"{tile}input_range"] = torch.ones(1)
                held = part / scale[:, None]
                if torch_tile:
                    state[f"{tile}tile.weight"] = held
                state[f"{tile}analog_tile_state"] = {
                    "analog_tile_weights": held,
                    "analog_tile_class": "TorchInferenceTile",
                    "rpu_config": None,
                }
    return state


@pytest.mark.parametrize("torch_tile", [True, False])
def test_tiles_are_put_together(torch_tile):
    net = network()
    found = import_weights(checkpoint(net, torch_tile=torch_tile), network())
    assert list(found) == list(net.state_dict())
    for name, value in net.state_dict().items():
        assert torch.allclose(found[name], value, atol=1e-6)
    network().load_state_dict(found)


def test_a_file_with_pickled_settings_is_read_without_them(tmp_path, monkeypatch):
    import sys
    from types import ModuleType

    module = ModuleType("aihwkit")
    module.InferenceRPUConfig = Config
    state = checkpoint(network())
    state["0.analog_module.array.0.0.analog_tile_state"]["rpu_config"] = Config()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "aihwkit", module)
        torch.save({"state_dict": state, "epoch": 3}, tmp_path / "c.pt")
        torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("c.pt", "old.pt"):
        found = import_weights(tmp_path / name, network())
        assert torch.allclose(found["3.weight"], network().state_dict()["3.weight"], atol=1e-6)


class Evil:
    """Would run code."""

    def __reduce__(self):
        import os

        return os.system, ("touch /nonexistent/evil",)


@pytest.mark.parametrize("new", [True, False])
def test_code_in_a_file_is_not_run(tmp_path, new):
    torch.save(
        {"a.analog_module.tile.weight": torch.ones(1), "x": Evil()},
        tmp_path / "evil.pt",
        _use_new_zipfile_serialization=new,
    )
    with pytest.raises(BadInput, match="names 'posix.system'"):
        import_weights(tmp_path / "evil.pt", network())
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(BadInput):
        import_weights(tmp_path / "bare.pt", network())


def test_learned_output_scales_are_multiplied_in():
    net, state = network(), checkpoint(network(), sizes=(100, 100))
    state["3.analog_module.array.0.0.out_scaling_alpha"] = torch.tensor([2.0])
    assert torch.allclose(import_weights(state, net)["3.weight"], 2 * net.state_dict()["3.weight"], atol=1e-6)


def test_checkpoints_that_are_refused(tmp_path):
    net, state = network(), checkpoint(network())
    cases = [
        ({**state, "9.analog_module.tile.weight": torch.ones(2, 2)}, "layer '9.weight', which the network has not"),
        ({**state, "1.more": torch.ones(2)}, "has '1.more', which the network has not"),
        ({k: v for k, v in state.items() if not k.startswith("1.")}, "has nothing for 1.weight"),
        ({k: v for k, v in state.items() if not k.startswith("3.analog_module.array.1.1.")}, "lacks tile"),
        ({**state, "3.analog_module.array.0.0.secret": torch.ones(1)}, "whose meaning is not known"),
        (net.state_dict(), "holds no tiles of AIHWKit"),
        ({k: v for k, v in state.items() if not k.endswith(("tile.weight", "state"))}, "has no weights for"),
    ]
    for wrong, said in cases:
        with pytest.raises(BadInput) as error:
            import_weights(wrong, net)
        assert said in error.value.problem
    with pytest.raises(BadInput, match=r"holds \d+ weights"):
        import_weights(state, nn.Sequential(nn.Conv2d(2, 5, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3)))
    with pytest.raises(BadInput, match="no such file"):
        import_weights(tmp_path / "no.pt", net)
