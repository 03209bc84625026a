from __future__ import annotations

import pytest
from torch import nn

from mho.nn.modes import evaluating


def test_every_module_gets_its_mode_back_even_after_an_error():
    net = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    net[0].eval()
    with pytest.raises(RuntimeError), evaluating(net) as same:
        assert same is net and not any(m.training for m in net.modules())
        raise RuntimeError
    assert [m.training for m in net.modules()] == [True, False, True, True]
