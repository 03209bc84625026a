"""Networks from strings."""

from __future__ import annotations

import pytest
from torch import nn

from mho.errors import BadInput, WrongSetting
from mho.models import resolve
from mho.models.spec import Spec, call, find_factory


def test_values_are_read_as_yaml_reads_them():
    spec = Spec.parse("m:f?a=1&b=0.5&c=true&d=word&e=1e-3&f=12:30&g=[1]&h=a=b")
    expected = {"a": 1, "b": 0.5, "c": True, "d": "word", "e": 1e-3, "f": "12:30", "g": "[1]", "h": "a=b"}
    assert spec.target == "m:f"
    assert spec.options == expected
    assert [type(v) for v in spec.options.values()] == [type(v) for v in expected.values()]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "names nothing"),
        ("?a=1", "names nothing"),
        ("x?a", "'a' in 'x.a' is no option"),
        ("x?a=", "'a=' in"),
        ("x?=1", "'=1' in"),
        ("x?a=1&&b=2", "'' in"),
        ("x?a=1&a=2", "'a' is given twice"),
    ],
)
def test_malformed_strings(text, match):
    with pytest.raises(WrongSetting, match=match):
        Spec.parse(text)


def _factory(needed, *, width=1):
    return nn.Linear(needed, width)


def test_options_are_checked_against_the_signature():
    with pytest.raises(WrongSetting, match=r"net: unknown option 'depth' -> valid options are needed, width"):
        call(_factory, {"depth": 3, "needed": 1}, name="net")
    with pytest.raises(WrongSetting, match=r"'needed' must be given -> write net\?needed=…"):
        call(_factory, {}, name="net")
    with pytest.raises(WrongSetting, match="it takes no options"):
        call(lambda: None, {"a": 1}, name="net")
    assert call(lambda **options: options, {"a": 1}, name="net") == {"a": 1}
    assert call(_factory, {"needed": 2, "width": 3}, name="net").out_features == 3


def test_factories_of_any_module():
    net = resolve("torch.nn:Linear?in_features=3&out_features=2&bias=false")
    assert isinstance(net, nn.Linear)
    assert net.bias is None
    assert not net.training
    assert find_factory("torch.nn:Sequential") is nn.Sequential


def test_a_module_in_the_current_folder_is_found(tmp_path, monkeypatch):
    (tmp_path / "my_nets_of_this_test.py").write_text(
        "from torch import nn\ndef small(*, n=3): return nn.Linear(n, 1)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/nowhere"])
    assert resolve("my_nets_of_this_test:small?n=5").in_features == 5


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("no_such_package_xy.nets:f", "there is no module 'no_such_package_xy'"),
        ("torch.no_such_part:f", "there is no module 'torch.no_such_part'"),
        ("torch.nn:", "has no callable"),
        ("mho.models:no_such_net", "has no callable 'no_such_net' -> callables there are .*digits_cnn"),
        ("../nets:f", "there is no module"),
        ("resnet21", "no network is called 'resnet21' -> give package.module:factory.*resnet20"),
        ("resnet20?depth=3", "resnet20: unknown option 'depth' -> valid options are num_classes"),
        ("published:nothing", "no published network is called 'nothing' -> names are cifar10_resnet20"),
        ("published:stories260k?a=1", "it takes no options"),
    ],
)
def test_names_that_do_not_exist(spec, match):
    with pytest.raises(WrongSetting, match=match):
        resolve(spec)


def test_an_import_error_inside_the_users_module_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "broken_nets_of_this_test.py").write_text("import another_missing_package_xy\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="another_missing_package_xy"):
        resolve("broken_nets_of_this_test:f")


def test_a_factory_must_return_a_module():
    with pytest.raises(BadInput, match=r"returned a Counter, not a torch\.nn\.Module"):
        resolve("collections:Counter")
