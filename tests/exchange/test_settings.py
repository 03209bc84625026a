"""Other tools' settings: every one becomes something, is told to be off, or is refused by name."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch

import mho
from mho.errors import BadInput, WrongSetting
from mho.exchange import import_hardware, plain
from mho.exchange.aihwkit_default import IO, MAPPING
from mho.exchange.neurosim import DEFAULTS, arguments
from mho.hardware import Hardware
from mho.rng import Stream

OFF = {"enable": False, "model": "IdealDevice", "magnitude": 0}
MILO = {"enable": True, "model": "RRAMMilo", "magnitude": 0}
QUANTIZER = {"xbar__adc__mvm__model": "QuantizerADC", "xbar__adc__mvm__adc_range_option": 1}
CONVERTER = {"model": "SignMagnitudeADC", "bits": 9, "signed": True, "stochastic_rounding": False, "adc_per_ibit": True,
             "calibrated_range": None, "adc_range_option": 3}  # fmt: skip
INPUT = {"model": "SignMagnitudeDAC", "bits": 16, "input_bitslicing": True, "signed": True, "slice_size": 1}
CROSSSIM = {
    "core": {
        "style": 2,
        "rows_max": 128,
        "cols_max": 128,
        "weight_bits": 16,
        "complex_matrix": False,
        "complex_input": False,
        "balanced": {"style": 1, "interleaved_posneg": False, "subtract_current_in_xbar": True},
        "bit_sliced": {"style": 3, "num_slices": 8},
        "offset": {"style": 2},
        "mapping": {"weights": {"clipping": True, "min": None, "max": None, "percentile": 1.0}},
    },
    "simulation": {"useGPU": False, "convolution": {"is_conv_core": True}},
    "xbar": {
        "device": {
            "cell_bits": 2,
            "Rmin": 2000.0,
            "Rmax": 2e6,
            "time": 0,
            "infinite_on_off_ratio": False,
            "clip_conductance": False,
            "read_noise": OFF,
            "programming_error": OFF,
            "drift_error": OFF,
        },
        "array": {"Icol_max": 0, "parasitics": {"enable": False, "Rp_row": 0}},
        "adc": {"_match": True, "mvm": CONVERTER, "vmm": CONVERTER},
        "dac": {"_match": True, "mvm": INPUT, "vmm": INPUT},
    },
}
"""As CrossSim's own description of ISAAC has it."""


def crosssim(**changes) -> dict:
    data = copy.deepcopy(CROSSSIM)
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        node = data
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = value
    return data


def test_crosssims_isaac():
    found = import_hardware(CROSSSIM, "crosssim")
    hw = found.hardware
    assert (
        hw.encoding.as_dict()
        | {
            "kind": "bit_sliced",
            "bits": 16,
            "cell_bits": 2,
            "sign": "offset",
            "reference": "column",
            "subtract": "digital",
        }
        == hw.encoding.as_dict()
    )
    assert (hw.cell.g_min_us, hw.cell.g_max_us, hw.cell.levels) == (0.5, 500.0, 4)
    assert (hw.dac.bits, hw.dac.slice_bits, hw.adc.bits, hw.array.rows) == (16, 1, 9, 128)
    # 255 codes of a third of a cell at g_max, which is 1000/999 of its span, and one step of an input more, as there
    assert hw.adc.bound == pytest.approx(255 / 3 * 1000 / 999 * 2**15 / (2**15 - 1))
    names = {row.setting for row in found.rows}
    assert {"core.style", "xbar.device.Rmin", "simulation.useGPU", "xbar.adc.vmm.bits"} <= names


def test_every_setting_of_crosssim_is_in_the_table():
    def names(data, prefix=""):
        for key, value in data.items():
            if isinstance(value, dict) and value:
                yield from names(value, f"{prefix}{key}.")
            else:
                yield prefix + key

    assert {row.setting for row in import_hardware(CROSSSIM, "crosssim").rows} >= set(names(CROSSSIM))


@pytest.mark.parametrize(
    ("changes", "key", "value"),
    [
        (
            {
                "core__style": "BALANCED",
                "core__balanced__style": 2,
                "xbar__device__cell_bits": 7,
                "xbar__adc__mvm__adc_range_option": "MAX",
                "xbar__device__infinite_on_off_ratio": True,
            },
            "encoding.sides",
            "two",
        ),
        (
            {"core__style": 3, "core__offset__style": 1, "xbar__adc__mvm__adc_range_option": 1},
            "encoding.kind",
            "offset",
        ),
        (
            {
                "core__bit_sliced__style": 1,
                "core__weight_bits": 8,
                "core__bit_sliced__num_slices": 2,
                "xbar__device__cell_bits": 4,
            },
            "encoding.sign",
            "pair",
        ),
        ({"core__mapping__weights": {"percentile": None, "min": -1.0, "max": 1.0}}, "mapping.scale", "unit"),
        ({"core__mapping__weights": {"clipping": True}}, "mapping.scale", "unit"),
        ({**QUANTIZER, "xbar__adc__mvm__calibrated_range": [[0, 3]] * 8}, "adc.unipolar", True),
        ({**QUANTIZER, "xbar__adc__mvm__calibrated_range": [[-3, 3]] * 8}, "adc.unipolar", False),
        ({**QUANTIZER, "xbar__adc__mvm__signed": False, "xbar__adc__mvm__adc_range_option": 3}, "adc.unipolar", False),
        ({"xbar__adc__mvm__adc_per_ibit": False}, "dac.slice_bits", None),
        (
            {"xbar__dac__mvm__signed": False, "xbar__dac__mvm__bits": 8, "xbar__adc__mvm__model": "QuantizerADC"},
            "dac.bits",
            9,
        ),
        ({"xbar__adc__mvm__model": "IdealADC"}, "adc.bits", None),
        ({"xbar__device__infinite_on_off_ratio": True}, "cell.g_min_us", 0.0),
        (
            {
                "xbar__device__programming_error": {
                    "enable": True,
                    "model": "NormalProportionalDevice",
                    "magnitude": 0.1,
                }
            },
            "variations.0.relative_to",
            "ideal",
        ),
        (
            {
                "xbar__device__programming_error": {
                    "enable": True,
                    "model": "UniformIndependentDevice",
                    "magnitude": 0.12,
                }
            },
            "variations.0.sigma",
            pytest.approx(0.12 / 12**0.5),
        ),
        (
            {"xbar__device__read_noise": {"enable": True, "model": "NormalIndependentDevice", "magnitude": 0.02}},
            "variations.0.redraw",
            "mvm",
        ),
        ({"core__rows_max": 0}, "array.rows", 1_000_000),
    ],
)
def test_settings_of_crosssim(changes, key, value):
    node = import_hardware(crosssim(**changes), "crosssim").hardware.as_dict()
    for part in key.split("."):
        node = node[int(part)] if part.isdecimal() else node[part]
    assert node == value


def test_crosssims_fit_of_pcm_is_its_polynomial():
    hw = import_hardware(
        crosssim(
            xbar__device__Rmin=40_000,
            xbar__device__Rmax=4_000_000,
            xbar__device__programming_error={"enable": True, "model": "PCMJoshi", "magnitude": 0},
        ),
        "crosssim",
    ).hardware
    g = torch.tensor([5.0, 20.0])
    own = -0.00178767 * g**2 + 0.07585724 * g + 0.28638599
    assert torch.allclose(hw.cell.sigma_programming_us(g / 25), own)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"xbar__device__programming_error": {"enable": True, "model": "SONOS", "magnitude": 0}},
            "programming_error.model = SONOS",
        ),
        ({"xbar__device__drift_error": {"enable": True, "model": "SONOS", "magnitude": 0}}, "drift_error.model"),
        ({"xbar__array__parasitics__enable": True}, "parasitics.enable"),
        ({"xbar__array__Icol_max": 1e-3}, "Icol_max"),
        ({"xbar__adc__mvm__stochastic_rounding": True}, "stochastic_rounding"),
        ({"xbar__adc__mvm__gain_db": 60}, "gain_db = 60"),
        ({"xbar__adc__mvm__sigma_comparator": 0.1}, "sigma_comparator"),
        ({"xbar__device__cell_bits": 3}, "cell_bits = 3"),
        ({"core__mapping__weights__percentile": 0.99}, "percentile = 0.99"),
        ({"core__complex_matrix": True}, "complex_matrix"),
        ({"xbar__device__speed": 3}, "xbar.device.speed"),
        ({"core__style": "WAVY"}, "core.style"),
        ({"xbar__adc__mvm__adc_range_option": "MAX"}, "adc_range_option = MAX: the range of slices"),
        (
            {"core__style": "BALANCED", "xbar__adc__mvm__adc_range_option": "MAX"},
            "adc_range_option = MAX: a difference",
        ),
        ({"core__style": "OFFSET"}, "core.offset.style = 2"),
        ({"core__style": "OFFSET", "core__offset__style": 1, "xbar__device__cell_bits": 1}, "cell_bits = 1"),
        ({"core__bit_sliced__num_slices": 3}, "core.offset.style = 2"),
        ({"core__mapping__weights": {"min": -2.0, "max": 2.0}}, "weights.max = 2"),
        ({"xbar__dac__mvm__signed": False}, "adc.mvm.model = SignMagnitudeADC"),
        ({"xbar__dac__mvm__signed": False, "xbar__adc__mvm__model": "SarADC"}, "adc.mvm.model = SarADC"),
        ({"xbar__adc__mvm__signed": False}, "adc.mvm.model = SignMagnitudeADC"),
        (
            {"xbar__device": {"Rmin": 5000.0, "Rmax": 40_000.0, "clip_conductance": False, "programming_error": MILO}},
            "model = RRAMMilo: it was measured from 50",
        ),
        (
            {"xbar__device": {"Rmin": 5000.0, "Rmax": 20_000.0, "clip_conductance": True, "programming_error": MILO}},
            "clip_conductance = True",
        ),
        ({"xbar__device__nonlinear_IV": {"enable": True}}, "nonlinear_IV"),
    ],
)
def test_what_crosssim_has_and_a_hardware_has_not(changes, said):
    with pytest.raises(WrongSetting) as error:
        import_hardware(crosssim(**changes), "crosssim")
    assert said in error.value.problem


def test_several_refusals_are_told_at_once_and_can_be_left_out_knowingly():
    data = crosssim(xbar__array__Icol_max=1.0, xbar__adc__mvm__stochastic_rounding=True)
    with pytest.raises(WrongSetting, match="2 settings have no meaning here"):
        import_hardware(data, "crosssim")
    found = import_hardware(data, "crosssim", without=["xbar.array.Icol_max", "xbar.adc.*"])
    assert {r.setting for r in found.rows if r.became == "left out, as asked"} == {
        "xbar.array.Icol_max",
        "xbar.adc.mvm.stochastic_rounding",
    }
    with pytest.raises(WrongSetting, match="no setting 'xbar.nothing'"):
        import_hardware(data, "crosssim", without="xbar.nothing")


def test_neurosims_arguments_in_every_spelling(tmp_path):
    line, log, js = tmp_path / "a.txt", tmp_path / "a.log", tmp_path / "a.json"
    line.write_text("python inference.py --inference 1 --cellBit 4 --vari=0.1 --onoffratio 17 --parallelRead 32")
    log.write_text(
        "=====FLAGS=====\ninference: 1\ncellBit: 4\nvari: 0.1\nonoffratio: 17\nparallelRead: 32\ncuda: True\n"
    )
    js.write_text(json.dumps({"inference": 1, "cellBit": 4, "vari": 0.1, "onoffratio": 17, "parallelRead": 32}))
    hw, *others = (import_hardware(path, "neurosim").hardware for path in (line, log, js))
    assert all(other.digest() == hw.digest() for other in others)
    assert (hw.encoding.bits, hw.encoding.cell_bits, hw.encoding.sign, hw.cell.levels) == (8, 4, "offset", 16)
    assert hw.cell.g_max_us / hw.cell.g_min_us == pytest.approx(17) and hw.array.rows == 32 and hw.array.cols == 128
    assert (hw.adc.bits, hw.adc.unipolar, hw.dac.bits, hw.dac.slice_bits) == (5, True, 9, 1)
    assert str(hw.variations[0].definition()).startswith(
        "cell conductance: σ = 0.1, relative to the cell's own ideal conductance"
    )
    assert arguments("--t 1e3 --mode WAGE") == {"t": 1000.0, "mode": "WAGE"}


def test_neurosims_drift_and_what_is_refused():
    hw = import_hardware({"v": 0.02, "t": 1e4, "detect": 1, "target": 0.5}, "neurosim").hardware
    assert (hw.cell.kind, hw.cell.exponent, hw.cell.toward, hw.cell.target_fraction) == (
        "retention",
        0.02,
        "target",
        0.5,
    )
    assert import_hardware({"v": 0.02, "t": 1e4}, "neurosim").hardware.cell.toward == "random"
    told = {row.setting for row in import_hardware({"cellBit": 2}, "neurosim").rows}
    assert told >= {"vari", "ADCprecision", "wl_weight", "t"} and set(DEFAULTS) >= told
    for data, said in (({"inference": 0}, "inference = 0"), ({"cellBit": 3}, "8 bits do not fill"), ({"cellbit": 2}, "cellbit"),
                       ({"onoffratio": 1}, "onoffratio"), ({"mode": "FP"}, "mode = FP"),
                       ({"v": 0.1, "t": 5, "detect": 1, "target": 2}, "target")):  # fmt: skip
        with pytest.raises(WrongSetting, match=said):
            import_hardware(data, "neurosim")


def test_aihwkits_default_is_the_preset_of_that_name():
    hw, preset = (
        import_hardware({"class": "InferenceRPUConfig"}, "aihwkit").hardware,
        Hardware.preset("aihwkit-default"),
    )
    assert hw.replace(name=preset.name, sources=preset.sources) == preset


AIHWKIT = {
    "class": "TorchInferenceRPUConfig",
    "forward": {
        **IO,
        "inp_res": 254,
        "out_res": 254.0,
        "out_bound": 10.0,
        "bound_management": "NONE",
        "noise_management": "CONSTANT",
        "nm_thres": 1.0,
        "out_noise": 0.04,
        "w_noise": 0.0175,
        "w_noise_type": "WeightNoiseType.PCM_READ",
        "ir_drop": 1.0,
    },
    "mapping": {**MAPPING, "weight_scaling_omega": 1.0, "weight_scaling_columnwise": True, "max_output_size": 0},
    "noise_model": {
        "class": "PCMLikeNoiseModel",
        "prog_noise_scale": 2.0,
        "t_0": 30.0,
        "g_converter": {"class": "SinglePairConductanceConverter", "g_max": 20.0, "g_min": 0.1, "scale_ratio": None},
    },
    "drift_compensation": {"class": "PerColumnDriftCompensation"},
    "modifier": {"type": "ADD_NORMAL", "std_dev": 0.1},
    "pre_post": {"input_range": {"enable": True, "learn_input_range": True}},
}


def test_settings_of_aihwkit():
    hw = import_hardware(AIHWKIT, "aihwkit").hardware
    assert (
        hw.cell.as_dict()
        == Hardware.preset("pcm")
        .replace(cell={"kind": "pcm", "g_max_us": 20.0, "g_min_us": 0.1, "programming_noise": 2.0, "t0_s": 30.0})
        .cell.as_dict()
    )
    assert (hw.dac.bits, hw.dac.range, hw.adc.bits, hw.adc.range, hw.adc.bound, hw.adc.on_clip) == (
        8,
        "learned",
        8,
        "fixed",
        10.0,
        "clip",
    )
    assert (hw.noise.output, hw.noise.weight, hw.noise.weight_form, hw.ir_drop.scale) == (0.04, 0.0175, "pcm_read", 1.0)
    assert (hw.mapping.scale, hw.array.rows, hw.array.cols, hw.compensation.kind) == (
        "column_of_array",
        512,
        1_000_000,
        "per_column",
    )
    perfect = import_hardware({"forward": {"is_perfect": True}, "drift_compensation": None}, "aihwkit").hardware
    assert (
        perfect.dac.bits is None
        and perfect.adc.bits is None
        and not perfect.noise.output
        and perfect.compensation.kind == "none"
    )


@pytest.mark.parametrize(
    ("model", "kind", "key", "value"),
    [
        ({"class": "HermesNoiseModel", "num_devices": 1}, "hermes", "devices", 1),
        (
            {"class": "ReRamWan2022NoiseModel", "g_max": 25.0, "coeff_g_max_reference": 25.0},
            "reram_wan",
            "relaxation",
            1.6,
        ),
        (
            {"class": "ReRamCMONoiseModel", "acceptance_range": 2.0, "read_noise_scale": 0.5},
            "reram_cmo",
            "acceptance",
            "2%",
        ),
        ({"class": "StateIndependentNoiseModel", "drift_nu_mean": 0.05, "drift_scale": 2.0}, "power_law", "nu", 0.1),
        ({"class": "PCMLikeNoiseModel", "prog_coeff": [0.2, 1.0]}, "fitted", "nu_folded", True),
        (
            {
                "class": "CustomDriftPCMLikeNoiseModel",
                "custom_drift_model": {"g_lst": [5.0, 25.0], "nu_mean_lst": [0.1, 0.05], "nu_std_lst": [0.02, 0.01]},
            },
            "fitted",
            "t0_s",
            20.0,
        ),
    ],
)
def test_noise_models_of_aihwkit(model, kind, key, value):
    cell = import_hardware({"noise_model": model}, "aihwkit").hardware.cell
    assert cell.kind == kind and getattr(cell, key) == value


def test_wan_as_aihwkit_draws_it():
    """Its default g_max_reference is by an error its own g_max: σ at 25 µS is that of 40."""
    model = {"class": "ReRamWan2022NoiseModel", "g_max": 25.0, "coeff_g_max_reference": 25.0}
    cell = import_hardware({"noise_model": model}, "aihwkit").hardware.cell
    g = cell.program(torch.full((40_000,), 12.5), Stream((0,)))["g"]
    sigma = sum(c * 0.5**k for k, c in enumerate((0.348, 16.030, -43.853, 45.393, -16.815)))
    assert float(g.std()) == pytest.approx(sigma, rel=0.02)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"class": "SingleRPUConfig"}, "class = SingleRPUConfig"),
        ({"forward": {"out_asymmetry": 0.1}}, "out_asymmetry = 0.1"),
        ({"forward": {"mv_type": "POS_NEG_SEPARATE"}}, "mv_type"),
        ({"forward": {"r_series": 1.0}}, "r_series"),
        ({"forward": {"w_noise": 0.1, "w_noise_type": "PCM_READ"}}, "w_noise = 0.1: its σ is of weights as they are"),
        ({"forward": {"ir_drop": 1.0}}, "ir_drop = 1: its currents"),
        ({"forward": {"v_offset_std": 0.1, "v_offset_w_min": 0.5}}, "v_offset_w_min"),
        ({"forward": {"noise_management": "MAX"}}, "noise_management"),
        ({"forward": {"bound_management": "SHIFT"}}, "bound_management"),
        ({"forward": {"inp_bond": 1.0}}, "inp_bond"),
        ({"mapping": {"digital_bias": False}}, "digital_bias"),
        ({"mapping": {"weight_scaling_omega": 0.6}}, "weight_scaling_omega = 0.6"),
        ({"noise_model": {"class": "Mine"}}, "noise_model.class = Mine"),
        (
            {"noise_model": {"g_converter": {"class": "DualPairConductanceConverter", "f_lst": [1, 2]}}},
            "g_converter.class",
        ),
        ({"drift_compensation": {"class": "Mine"}}, "drift_compensation.class"),
        ({"modifier": {"enable_during_test": True}}, "enable_during_test"),
        ({"noise_model": {"class": "ReRamWan2022NoiseModel", "coeff_dic": {"1.0": [1.0, 2.0]}}}, "coeff_dic"),
        ({"quantum": True}, "quantum"),
    ],
)
def test_what_aihwkit_has_and_a_hardware_has_not(changes, said):
    with pytest.raises(WrongSetting) as error:
        import_hardware(changes, "aihwkit")
    assert said in error.value.problem


def test_the_object_itself_is_read_where_aihwkit_is_installed():
    configs = pytest.importorskip("aihwkit.simulator.configs", reason="aihwkit is not installed")
    config = configs.TorchInferenceRPUConfig()
    config.forward.out_noise = 0.02
    hw = mho.import_hardware(config, "aihwkit").hardware
    assert hw.noise.output == 0.02 and json.dumps(plain(config))
    assert hw.replace(noise__output=0.06, name="a", sources=()) == Hardware.preset("aihwkit-default").replace(
        name="a", sources=()
    )


def test_bad_files(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("{nothing")
    for source, tool, error in (
        (path, "crosssim", BadInput),
        (tmp_path / "none.json", "aihwkit", BadInput),
        ({}, "aihwkit", WrongSetting),
        (CROSSSIM, "spice", WrongSetting),
        (tmp_path, "neurosim", BadInput),
    ):
        with pytest.raises(error):
            import_hardware(source, tool)
    path.write_text("nothing at all")
    with pytest.raises(WrongSetting, match="no arguments"):
        import_hardware(path, "neurosim")


@pytest.mark.parametrize(
    ("tool", "data", "problem"),
    [
        ("crosssim", crosssim(core__rows_max="many"), "core.rows_max = 'many' is no number"),
        ("crosssim", crosssim(core__weight_bits=7.5), "core.weight_bits = 7.5 is no whole number"),
        ("crosssim", crosssim(xbar__device__read_noise__enabel=True), "xbar.device.read_noise.enabel = True"),
        ("crosssim", crosssim(xbar__array__parasitics__Rp_rwo=1.0), "xbar.array.parasitics.Rp_rwo = 1"),
        ("crosssim", crosssim(xbar__adc__mvm={"bit": 8}), "xbar.adc.mvm.bit = 8"),
        ("neurosim", {**DEFAULTS, "cellBit": "two"}, "cellBit = 'two' is no number"),
        ("neurosim", {**DEFAULTS, "vari": float("nan")}, "vari = 'nan' is no number"),
        ("aihwkit", {"forward": {**IO, "out_noise": "loud"}}, "forward.out_noise = 'loud' is no number"),
        ("aihwkit", {"mapping": {**MAPPING, "max_input_size": float("inf")}}, "max_input_size = inf is no whole number"),
    ],
)  # fmt: skip
def test_misspelled_switches_and_values_of_another_kind_are_refused_by_name(tool, data, problem):
    with pytest.raises(WrongSetting) as error:
        import_hardware(data, tool)
    assert problem in str(error.value)


_GRANULAR = {"model": "QuantizerADC", "bits": 8, "adc_range_option": "GRANULAR"}
_HUGE = 10**400


@pytest.mark.parametrize(
    ("tool", "data", "problem"),
    [
        ("crosssim", crosssim(xbar__device__Rmin=_HUGE), "is no number"),
        ("crosssim", crosssim(xbar__dac__mvm__bits=True), "xbar.dac.mvm.bits = 'True' is no number"),
        ("crosssim", crosssim(xbar__device__infinite_on_off_ratio="false"), "infinite_on_off_ratio = 'false' is no switch"),
        ("crosssim", crosssim(xbar__dac__mvm__signed=2), "xbar.dac.mvm.signed = '2' is no switch"),
        ("crosssim", crosssim(xbar__adc__mvm={**_GRANULAR, "signed": "no"}), "xbar.adc.mvm.signed = 'no' is no switch"),
        ("crosssim", crosssim(xbar__device__Rmin=1e4, xbar__device__Rmax=1e4), "0 < Rmin < Rmax"),
        ("crosssim", crosssim(xbar__device__Rmin=0), "0 < Rmin < Rmax"),
        ("crosssim", crosssim(xbar__device__read_noise="much"), "xbar.device.read_noise = much"),
        ("crosssim", crosssim(xbar__adc__mvm="good"), "xbar.adc.mvm = good"),
        ("crosssim", crosssim(core__style="BALANCED", core__balanced__style="SIDED"), "known are ONE_SIDED, TWO_SIDED"),
        ("crosssim", crosssim(core__style=7), "known are BALANCED, BITSLICED, OFFSET"),
        ("crosssim", crosssim(core__style="BITSLICED", core__bit_sliced__num_slices=0), "give one at least"),
        ("crosssim", crosssim(core__style="BITSLICED", core__bit_sliced__style="PAIRED"), "known are BALANCED, OFFSET"),
        ("crosssim", crosssim(xbar__adc__mvm={**_GRANULAR, "adc_range_option": "WIDE"}), "known are CALIBRATED, MAX, GRANULAR"),
        ("crosssim", crosssim(xbar__adc__mvm={**_GRANULAR, "adc_range_option": "CALIBRATED", "calibrated_range": "wide"}),
         "a range is a pair"),
        ("neurosim", {**DEFAULTS, "ADCprecision": _HUGE}, "ADCprecision = '100000"),
        ("neurosim", {**DEFAULTS, "t": -1.0}, "a time is not below 0"),
        ("neurosim", {**DEFAULTS, "detect": 3}, "1: toward the target"),
        ("aihwkit", {"forward": {**IO, "is_perfect": "False"}}, "forward.is_perfect = 'False' is no switch"),
        ("aihwkit", {"forward": {**IO, "inp_res": math.inf}, "noise_model": {"g_max": "25 uS"}}, "g_max = '25 uS' is no number"),
        ("aihwkit", {"noise_model": {"prog_coeff": 0.3}}, "noise_model.prog_coeff = '0.3' is no list"),
        ("aihwkit", {"noise_model": {"prog_coeff": [0.3, None]}}, "noise_model.prog_coeff = 'None' is no number"),
        ("aihwkit", {"noise_model": {"prog_coeff_g_max_reference": 0}}, "a conductance is above 0"),
        ("aihwkit", {"noise_model": "PCM"}, "noise_model = PCM"),
        ("aihwkit", {"pre_post": {"input_range": "learned"}}, "pre_post.input_range = learned"),
    ],
)  # fmt: skip
def test_values_of_another_kind_are_never_taken_for_something(tool, data, problem):
    """Texts for switches, switches for numbers, values for sections, unknown choices, numbers beyond all measure."""
    with pytest.raises(WrongSetting) as error:
        import_hardware(data, tool)
    assert problem in str(error.value)


def test_steps_of_an_infinite_resolution_are_none():
    assert import_hardware({"forward": {**IO, "inp_res": math.inf}}, "aihwkit").hardware.dac.half_steps is None
