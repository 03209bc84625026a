"""The same hardware in each tool, setting by setting, and networks on it.

| what                     | mho                                | AIHWKit                                   | Lightning          |
| ------------------------ | ---------------------------------- | ----------------------------------------- | ------------------ |
| DAC, 8 bits, 254 steps   | `dac.bits: 8`                      | `forward.inp_res: 1/254`                  | the same           |
| range of the DAC         | `dac.range: calibrated`            | `tile.input_range` set to mho's value     | the same           |
| ADC, 8 bits, bound 10    | `adc: {range: fixed, bound: 10}`   | `forward.out_res: 1/254`, `out_bound: 10` | the same (1)       |
| output noise 0.04        | `noise.output: 0.04`               | `forward.out_noise: 0.04`                 | in training only   |
| cells                    | `cell: {kind: pcm, g_max_us: 25}`  | `PCMLikeNoiseModel(g_max=25)`             | none               |
| compensation             | `compensation.kind: global`        | `GlobalDriftCompensation()`               | none               |
| weights to full range    | `mapping.scale: column`            | `weight_scaling_omega: 1`, `columnwise`   | implied (1)        |
| arrays                   | `array: {rows, cols: 512}`         | `max_input_size`, `max_output_size`: 512  | `max_input_size`   |
| bias                     | always digital                     | `digital_bias: True`                      | always digital     |
| management of ranges     | none unless asked for              | noise and bound management: NONE          | none               |

(1) Lightning's ADC bound is in units of the layer's largest weight, the others' in units of the column's.

`ranges` says where the range of the DAC comes from, in every function below:

| `ranges`     | mho                          | AIHWKit                                    | Lightning             |
| ------------ | ---------------------------- | ------------------------------------------ | --------------------- |
| `calibrated` | the table above              | the same                                   | the same              |
| `abs_max`    | `dac.range: abs_max`         | `input_range.enable: False`,               | `input_range.dynamic` |
|              |                              | `noise_management: ABS_MAX`                |                       |
| `default`    | the preset `aihwkit-default` | `TorchInferenceRPUConfig()` as it is: the  | cannot                |
|              |                              | same with `bound_management: ITERATIVE`,   |                       |
|              |                              | 7 and 9 bits, weights not scaled           |                       |

Rows are cut differently: mho cuts between channels, as many as fit (576 rows of a 3 × 3 kernel: 504 + 72), AIHWKit into
equal parts (288 + 288). `rows=288` makes mho cut as AIHWKit does in ResNet-20; `rows=1024` cuts nothing in either.
mho gives a column one scale, AIHWKit one scale in every array that holds a part of it.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

import mho
from mho.data import Dataset, load
from mho.models import published
from mho.nn import AnalogLayer

NETWORK = "cifar10_resnet20"
STEPS = 254
"""Steps of an 8-bit converter, codes -127 … 127."""
BOUND = 10.0
OUTPUT_NOISE = 0.04
G_MAX_US = 25.0
ROWS = 512
RANGES = ("calibrated", "abs_max", "default")
WEIGHT_NOISE = 0.05
"""Hardware-aware training: standard deviation of the weight noise, in units of the column's largest weight."""


class MissingPeer(SystemExit):
    """A peer that is not installed; ends the program with one line."""

    def __init__(self, module: str) -> None:
        super().__init__(f"{module} is not installed: see benchmarks/peers/README.md, 'Install'")


def peer(module: str) -> ModuleType:
    """Import a module of a peer.

    Raises:
        MissingPeer: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingPeer(error.name or module) from error


def resnet20() -> nn.Module:
    """The published ResNet-20, digital, in eval mode."""
    return published(NETWORK)[0].eval()


def images(n: int, *, split: str = "test") -> Dataset:
    """The first n images of CIFAR-10, prepared as the network wants them."""
    return load(f"cifar10?prep=imagenet&split={split}&n={n}&batch=100")


def mho_hardware(*, rows: int = ROWS, ranges: str = "calibrated", **changes: Any) -> mho.Hardware:
    """The hardware in mho; `changes` as `Hardware.replace` takes them."""
    if ranges == "default":
        return mho.Hardware.preset("aihwkit-default").replace(**{"array.rows": rows, **changes})
    common = {
        "array.rows": rows,  # 512 × 512 arrays
        "dac.bits": 8,  # 254 steps over [-range, range]
        "dac.range": ranges,  # one number a layer, or one a vector
        "adc.bits": 8,  # 254 steps over [-10, 10]
        "adc.range": "fixed",
        "adc.bound": BOUND,  # in units of full weight × full input
        "noise.output": OUTPUT_NOISE,  # in the same unit, before the ADC
        "mapping.scale": "column",
    }
    return mho.Hardware.of("pcm").replace(**{**common, **changes})  # pcm: the cells and the global compensation


def mho_network(
    model: nn.Module, data: Dataset | list[Tensor], *, rows: int = ROWS, ranges: str = "calibrated", **changes: Any
) -> nn.Module:
    """`model` on that hardware, calibrated on `data` (inputs only, labels are not looked at) where it has ranges to calibrate."""
    first = data.inputs if isinstance(data, Dataset) else data[0]
    net = mho.to_analog(model, mho_hardware(rows=rows, ranges=ranges, **changes), example=first[:2])
    return mho.calibrate(net, data) if ranges == "calibrated" else net


def input_ranges(net: nn.Module) -> dict[str, float]:
    """What mho's calibration found, by the path of the layer."""
    found = {}
    for path, module in net.named_modules():
        if isinstance(module, AnalogLayer):
            for view in module.views():
                if view.matrix.input_range is not None:
                    found[path] = float(view.matrix.input_range)
    return found


def aihwkit_config(tile: str = "cpp", *, rows: int = ROWS, training: bool = False, ranges: str = "calibrated") -> Any:
    """The hardware in AIHWKit.

    Args:
        tile: "cpp", the compiled tile, or "torch", the one in Python.
        rows: Most rows of an array.
        training: Add the noise of hardware-aware training to the weights.
    """
    configs = peer("aihwkit.simulator.configs")
    enums = peer("aihwkit.simulator.parameters.enums")
    inference = peer("aihwkit.inference")
    config = {"cpp": configs.InferenceRPUConfig, "torch": configs.TorchInferenceRPUConfig}[tile]()
    config.noise_model = inference.PCMLikeNoiseModel(g_max=G_MAX_US)
    config.drift_compensation = inference.GlobalDriftCompensation()
    config.mapping.max_input_size = config.mapping.max_output_size = rows
    if training:
        config.modifier.type = enums.WeightModifierType.ADD_NORMAL
        config.modifier.std_dev = WEIGHT_NOISE
        config.modifier.rel_to_actual_wmax = True
    if ranges == "default":
        return config
    io = config.forward
    io.is_perfect = False
    io.inp_bound, io.inp_res = 1.0, 1 / STEPS  # the input arrives divided by its range
    io.out_bound, io.out_res = BOUND, 1 / STEPS  # a step is 2 · bound / 254
    io.out_noise = OUTPUT_NOISE
    io.inp_noise = io.w_noise = io.ir_drop = 0.0
    io.w_noise_type = enums.WeightNoiseType.NONE
    per_vector = ranges == "abs_max"
    io.noise_management = enums.NoiseManagementType.ABS_MAX if per_vector else enums.NoiseManagementType.NONE
    io.bound_management = enums.BoundManagementType.NONE
    config.mapping.digital_bias = True
    config.mapping.weight_scaling_omega = 1.0  # the largest weight of a column becomes full conductance
    config.mapping.weight_scaling_columnwise = True
    config.mapping.learn_out_scaling = False
    config.pre_post.input_range.enable = not per_vector
    config.pre_post.input_range.learn_input_range = False
    config.pre_post.input_range.init_from_data = 0  # never moved by data
    return config


def aihwkit_network(model: nn.Module, ranges: dict[str, float], config: Any) -> nn.Module:
    """`model` in AIHWKit with the given input ranges, in eval mode."""
    net = peer("aihwkit.nn.conversion").convert_to_analog(model, config)
    done = set()
    for path, module in net.named_modules():
        if path in ranges:
            done.add(path)
            for tile in module.analog_tiles():
                tile.input_range.data.fill_(ranges[path])
    _all_set(ranges, done)
    return net.eval()


def lightning_config(*, rows: int = ROWS, training: bool = False, ranges: str = "calibrated") -> Any:
    """The hardware in AIHWKit-Lightning, as far as it goes: in eval it has converters only."""
    peer("aihwkit_lightning")
    config = peer("aihwkit_lightning.simulator.configs").TorchInferenceRPUConfig()
    enums = peer("aihwkit_lightning.simulator.parameters.enums")
    config.forward.inp_res = config.forward.out_res = 1 / STEPS
    config.forward.out_bound = BOUND
    config.forward.out_noise = OUTPUT_NOISE
    config.forward.out_noise_per_channel = True
    config.mapping.max_input_size = rows
    config.pre_post.input_range.enable = True
    config.pre_post.input_range.dynamic = ranges == "abs_max"
    config.pre_post.input_range.learn_input_range = False
    config.pre_post.input_range.init_from_data = 0
    if training:
        config.modifier.noise_type = enums.WeightNoiseInjectionType.ADD_NORMAL_PER_CHANNEL
        config.modifier.std_dev = WEIGHT_NOISE
    return config


def lightning_network(model: nn.Module, ranges: dict[str, float], config: Any) -> nn.Module:
    """`model` in AIHWKit-Lightning with the given input ranges, in eval mode."""
    net = peer("aihwkit_lightning.nn.conversion").convert_to_analog(model, config)
    done = set()
    for path, module in net.named_modules():
        if path in ranges:
            done.add(path)
            module.input_range.data.fill_(ranges[path])
    _all_set(ranges, done)
    return net.eval()


def _all_set(ranges: dict[str, float], done: set[str]) -> None:
    if done != set(ranges):
        raise RuntimeError(f"layers without a converted counterpart: {sorted(set(ranges) - done)}")


def one_thread() -> None:
    """Everything here is measured on one thread."""
    torch.set_num_threads(1)
