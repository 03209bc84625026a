from __future__ import annotations

from importlib.resources import files

import pytest
import yaml
from pydantic import ValidationError

from mho.errors import BadInput, MhoError, WrongSetting
from mho.hardware import ADC, CELLS, DAC, Cell, Faults, Hardware, Variation


@pytest.mark.parametrize("name", Hardware.presets())
def test_presets_survive_yaml_and_say_where_their_numbers_come_from(name, tmp_path):
    hw = Hardware.preset(name)
    assert hw.name == name and hw.sources
    hw.to_yaml(tmp_path / "hw.yaml")
    assert Hardware.from_yaml(tmp_path / "hw.yaml") == hw
    assert Hardware.of(hw.name) == hw and Hardware.of(tmp_path / "hw.yaml").digest() == hw.digest()


def test_every_preset_of_the_field_is_there():
    assert set(Hardware.presets()) >= {
        "ideal", "pcm", "pcm-cells", "hwa-standard", "hermes", "reram", "squeezenet-2022", "aihwkit-default", "aihwkit-scaled",
    }  # fmt: skip


@pytest.mark.parametrize("name", Hardware.presets())
def test_every_preset_says_in_its_first_line_what_it_leaves_out(name):
    hw = Hardware.preset(name)
    first = (files("mho.hardware") / "presets" / f"{name}.yaml").read_text().splitlines()[0]
    assert first == f"# {hw.leaves_out()}" == str(hw).splitlines()[0]
    for words, is_there in {"output noise": hw.noise.output, "IR drop": hw.ir_drop.scale, "stuck cells": bool(hw.faults),
                            "input converters": hw.dac.half_steps, "output converters": hw.adc.half_steps}.items():  # fmt: skip
        assert (words in first) != bool(is_there), words
    assert "temperature" in first


def test_what_is_left_out_follows_the_settings():
    pcm, cells = Hardware.preset("pcm"), Hardware.preset("pcm-cells")
    assert pcm.noise.output == 0.04 and cells == pcm.replace(name="pcm-cells", sources=cells.sources, noise__output=0.0)
    assert "output noise" in cells.leaves_out() and "output noise" not in pcm.leaves_out()
    assert "drift" in cells.replace(cell__drift=0.0).leaves_out() and "drift" not in cells.leaves_out()
    assert "programming noise, drift, read noise" in Hardware.preset("ideal").leaves_out()
    reads = {"offset": 0.1}, {"nonlinearity": 0.1}, {"offset": 0.1, "nonlinearity": 0.1}
    said = (
        "temperature, nonlinearity of converters",
        "temperature, offsets of converters",
        "temperature, offsets and nonlinearity of input",
    )
    for columns, words in zip(reads, said, strict=True):
        assert f"; {words}" in str(Hardware.preset("ideal", columns=columns)).splitlines()[0]


def test_changed_settings_stand_behind_the_name(tmp_path):
    pcm = Hardware.preset("pcm")
    assert pcm.label == "pcm" and pcm.replace(name="mine", adc__bits=4).label == "mine"
    changed = pcm.replace(adc__bits=4, noise__output=0.0, compensation="none", digital=["stem"], layers={"a": {"adc.bits": 3}},
                          variations=[{"sigma": 0.1, "relative_to": "gmax"}])  # fmt: skip
    assert changed.label == (
        "pcm, adc.bits=4, noise.output=0, variations=[0.1 of gmax per program], compensation=none, digital=[stem], "
        "1 layer on other hardware"
    )
    pcm.to_yaml(tmp_path / "copy.yaml")
    (tmp_path / "edited.yaml").write_text((tmp_path / "copy.yaml").read_text().replace("output: 0.04", "output: 0.01"))
    assert Hardware.from_yaml(tmp_path / "copy.yaml").label == "pcm"
    assert Hardware.from_yaml(tmp_path / "edited.yaml").label == "pcm, noise.output=0.01"


def test_a_key_that_stands_twice_is_refused(tmp_path):
    (tmp_path / "twice.yaml").write_text("preset: pcm\nadc: {bits: 6}\nname: mine\nadc: {bits: 8}\n")
    with pytest.raises(BadInput, match="the key 'adc' stands twice"):
        Hardware.from_yaml(tmp_path / "twice.yaml")
    (tmp_path / "inside.yaml").write_text("preset: pcm\nadc: {bits: 6, bits: 8}\n")
    with pytest.raises(BadInput, match="the key 'bits' stands twice"):
        Hardware.from_yaml(tmp_path / "inside.yaml")


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -float("inf")])
def test_numbers_are_finite(value):
    for changes in (
        {"variations": [{"sigma": value, "relative_to": "gmax"}]},
        {"noise.output": value},
        {"adc.bound": value},
    ):
        with pytest.raises(WrongSetting, match="sigma|output|bound"):
            Hardware.preset("hwa-standard").replace(**changes)


def test_a_clip_that_would_have_no_effect_is_refused():
    for more in ({"relative_to": "weight_max"}, {"relative_to": "gmax", "redraw": "mvm"}):
        assert Variation(sigma=0.1, **more).clip == "none" == Variation(sigma=0.1, clip="none", **more).clip
        for clip in ("positive", "range"):
            with pytest.raises(WrongSetting, match=f"clip '{clip}' has no effect"):
                Variation(sigma=0.1, clip=clip, **more)
    assert Variation(sigma=0.1, relative_to="gmax").clip == "positive"
    hw = Hardware.preset("pcm", variations=[{"sigma": 0.1, "relative_to": "weight_std"}])
    assert Hardware.parse(hw.as_dict()) == hw


def test_a_class_with_an_inherited_kind_does_not_replace_its_parent():
    from mho.devices.pcm import PCM

    class Mine(PCM):
        pass

    with pytest.raises(WrongSetting, match="the cell 'pcm' is there already .*PCM.* kind of its own"):
        CELLS.register(Mine)
    assert type(Hardware.preset("pcm").cell) is PCM and CELLS.register(PCM) is PCM
    try:
        assert CELLS.register(Mine, replace=True) is Mine and CELLS.find("pcm") is Mine
    finally:
        CELLS.register(PCM, replace=True)


def test_the_printed_description_explains_every_sigma():
    text = str(Hardware.preset("hwa-standard"))
    assert "column output: σ = 0.04" in text and "0.0175·sqrt(|w|)" in text and "programm" in text
    assert yaml.safe_load(text)["name"] == "hwa-standard"
    assert "nothing is random" in str(Hardware.preset("ideal"))


def test_every_key_has_a_meaning():
    keys = dict(Hardware.preset("hwa-standard").meanings())
    assert {"adc.bits", "noise.output", "array.rows", "mapping.scale", "ir_drop.scale"} <= set(keys)


def test_replace_reaches_inside_and_leaves_the_original():
    hw = Hardware.preset("pcm")
    changed = hw.replace(adc__bits=6, cell__g_max_us=30.0)
    assert (changed.adc.bits, changed.cell.g_max_us, hw.adc.bits) == (6, 30.0, 8)
    assert changed.digest() != hw.digest() and hw.replace(adc__bits=8).digest() == hw.digest()
    assert hw.replace(**{"dac.bits": None, "dac.steps": 16}).dac.half_steps == 8


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"adc__bitz": 3}, "bitz"), ({"adk__bits": 3}, "adk"), ({"adc__bits": 1}, "adc.bits"), ({"nope": 1}, "nope"),
        ({"cell": "memristor"}, "memristor"), ({"encoding": {"kind": "differential", "side": "one"}}, "side"),
        ({"compensation": "magic"}, "magic"), ({"array__rows": 0}, "rows"), ({"version": 2}, "version"),
        ({"faults": {"stuck_low": 0.6, "stuck_high": 0.6}}, "stuck"), ({"cell": 3}, "cell"), ({"noise__output": -1}, "output"),
        ({"variations": [{"sigma": 0.1, "relative_to": "level"}]}, "level"),
        ({"variations": [{"sigma": 0.1, "relative_to": "moon"}]}, "relative_to"),
        ({"variations": [{"sigma": 0.1, "relative_to": "ideal", "distribution": "uniform", "redraw": "mvm"}]}, "per product"),
        ({"variations": [{"sigma": 0.1, "relative_to": "gmax", "distribution": "lognormal"}]}, "lognormal"),
        ({"adc": {"bits": 8, "range": "calibrated", "on_clip": "halve_input"}}, "halve_input"),
        ({"adc": {"bits": 8, "steps": 16}}, "steps"), ({"cell__g_max_us": -3}, "g_max_us"),
        ({"adc__bound": 4.0}, "no effect"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(changes, named):
    with pytest.raises(WrongSetting) as error:
        Hardware.preset("pcm").replace(**changes)
    assert named in str(error.value) and error.value.remedy


def test_unknown_presets_list_the_known_ones():
    with pytest.raises(WrongSetting, match="hwa-standard"):
        Hardware.preset("pcn")


def test_all_mistakes_are_reported_at_once():
    with pytest.raises(WrongSetting) as error:
        Hardware.parse({"name": "x", "cell": {"kind": "ideal", "g_maxx": 1}, "encoding": "differential",
                        "compensation": "none", "colour": "red"})  # fmt: skip
    assert "g_maxx" in str(error.value) and "colour" in str(error.value)


def test_files_that_are_no_description(tmp_path):
    with pytest.raises(BadInput, match="cannot read"):
        Hardware.from_yaml(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(BadInput, match="no mapping"):
        Hardware.from_yaml(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    with pytest.raises(BadInput, match="not valid YAML"):
        Hardware.from_yaml(tmp_path / "broken.yaml")


def test_a_file_may_start_from_a_preset(tmp_path):
    (tmp_path / "mine.yaml").write_text("preset: pcm\nname: mine\nadc: {bits: 6}\ncell: {g_max_us: 30}\n")
    hw = Hardware.from_yaml(tmp_path / "mine.yaml")
    assert (hw.name, hw.adc.bits, hw.dac.bits, hw.cell.g_max_us, hw.cell.kind) == ("mine", 6, 8, 30.0, "pcm")
    (tmp_path / "other.yaml").write_text("preset: pcm\nname: other\ncell: {kind: ideal, g_max_us: 10}\n")
    assert Hardware.from_yaml(tmp_path / "other.yaml").cell.kind == "ideal"


def test_descriptions_are_frozen_and_hashable():
    hw = Hardware.preset("pcm")
    with pytest.raises(ValidationError, match="frozen"):
        hw.name = "other"
    assert hash(hw) == hash(Hardware.preset("pcm")) and hw == Hardware.preset("pcm")


def test_converter_codes():
    assert DAC(bits=8).half_steps == 127 and ADC(steps=4).half_steps == 2 and DAC(bits=None).half_steps is None
    assert not Faults() and Faults(stuck_low=0.1)
    assert Variation(sigma=0.1, relative_to="weight_max").on_weights
    assert "NeuroSim" in str(Variation(sigma=0.1, relative_to="ideal").definition())


def test_a_part_of_another_package_is_found_by_its_entry_point(monkeypatch):
    from importlib.metadata import EntryPoint

    import mho.registry as registry

    point = EntryPoint("plugged-test", "mho.devices.ideal:IdealCell", "mho.cells")
    monkeypatch.setattr(registry, "plugged", lambda group: {point.name: point} if group == point.group else {})
    assert "plugged-test" in CELLS.names() and CELLS.find("plugged-test").__name__ == "IdealCell"


def test_a_cell_of_the_users_own_is_one_class():
    from typing import Literal

    @CELLS.register
    class Leaky(Cell):
        kind: Literal["leaky-test"] = "leaky-test"
        g_max_us: float = 10.0

        def program(self, target, draw):
            return {"g": target * 0.5}

    hw = Hardware.preset("ideal").replace(cell={"kind": "leaky-test", "g_max_us": 4.0})
    assert type(hw.cell) is Leaky and hw.cell.g_max_us == 4.0 and "leaky-test" in CELLS.names()
    with pytest.raises(MhoError):
        hw.replace(cell={"kind": "leaky-test", "g_max": 4.0})


def test_layers_on_other_hardware():
    hw = Hardware.preset("pcm", layers={"stem": {"adc.bits": 6, "encoding.pairs": 2}, "stage*.conv1": {"adc.bits": 4}})
    assert hw.for_layer("stem").adc.bits == hw.for_layer("stem.0").adc.bits == 6
    assert hw.for_layer("stage1.conv1").adc.bits == 4 and hw.for_layer("stage1.conv2") is hw
    assert hw.for_layer("stem").encoding.columns_per_weight() == 2
    assert Hardware.parse(hw.as_dict()) == hw and hash(Hardware.parse(hw.as_dict())) == hash(hw)
    with pytest.raises(WrongSetting, match=r"layers\.stem.*bitz"):
        Hardware.preset("pcm", layers={"stem": {"adc.bitz": 6}})
    with pytest.raises(WrongSetting, match="'digital' is a setting of the network"):
        Hardware.preset("pcm", layers={"stem": {"digital": ["x"]}})


def test_more_pairs_hold_the_same_weight_with_smaller_errors():
    import torch

    from mho.chip.arrays import program_matrix
    from mho.crossbar import Operator, Scheme
    from mho.crossbar.cells import whole
    from mho.rng import Stream

    unit, errors = torch.linspace(-1, 1, 4000).reshape(1, 10, 400), {}
    for pairs in (1, 4):
        for subtract in ("analog", "digital"):
            hw = Hardware.preset("pcm", encoding={"kind": "differential", "pairs": pairs, "subtract": subtract})
            scheme = Scheme.of(Operator(), (10, 400), hw)
            arrays = program_matrix(unit, torch.ones(1, 1, 10), scheme, Stream((0,)))
            assert len(arrays.states) == 2 * pairs and scheme.plan.columns_per_array == 512 // pairs
            error = whole(arrays.cells(0.0).weight, scheme.readouts) - unit
            errors[pairs, subtract] = float((error - error.mean()).std())
    assert errors[1, "analog"] / errors[4, "analog"] == pytest.approx(2, rel=0.1)
    assert errors[1, "digital"] / errors[4, "digital"] == pytest.approx(2, rel=0.1)


def test_digests_outlast_settings_that_come_later():
    """Those of stored results: the drift study's."""
    assert Hardware.preset("pcm-cells").digest() == "9bde7168e820"
    assert "write_verify" in Hardware.preset("pcm-cells").as_dict() and "pairs: 1" in str(Hardware.preset("pcm-cells"))
    for changes in (
        {"write_verify": {"rounds": 2}}, {"layers": {"x": {"adc.bits": 4}}}, {"encoding.pairs": 2}, {"noise.input": 0.1},
    ):  # fmt: skip
        assert Hardware.preset("pcm-cells", **changes).digest() != "9bde7168e820"


def test_a_converter_of_ones_own_is_kept_or_refused_but_never_lost():
    from mho.hardware import ADC, DAC

    class Slow(DAC):
        def slices(self):
            return super().slices()

    plain = Hardware.preset("pcm")
    mine = plain.replace(dac=Slow(bits=8))
    assert type(mine.dac) is Slow and mine.digest() != plain.digest()
    assert type(mine.replace(adc__bits=6).dac) is Slow and mine.replace(adc__bits=6).adc.bits == 6
    with pytest.raises(WrongSetting, match="Slow is not found again"):
        mine.replace(dac__bits=4)
    assert type(mine.replace(dac=DAC(bits=4)).dac) is DAC
    assert ADC(bits=8).half_steps == 127 and ADC(bits=8, unipolar=True).half_steps == 255


def test_what_is_given_is_not_changed():
    dac = {"bits": 5}
    hw = Hardware.preset("ideal", dac=dac, dac__range="abs_max")
    assert (hw.dac.bits, hw.dac.range) == (5, "abs_max") and dac == {"bits": 5}


def test_an_array_too_narrow_for_a_weight_is_refused():
    with pytest.raises(WrongSetting, match=r"array.cols: an array of 4 columns holds no weight, which takes 8"):
        Hardware.preset("ideal", cell__levels=4, array={"rows": 128, "cols": 4},
                        encoding={"kind": "bit_sliced", "bits": 8, "cell_bits": 2, "sign": "pair"})  # fmt: skip


def test_what_is_cut_off_is_said():
    cut = {"none": "normal", "positive": "normal, cut at 0", "range": "normal, cut at g_min and g_max"}
    for clip, words in cut.items():
        assert Variation(sigma=0.1, relative_to="gmax", clip=clip).definition().distribution == words
