"""What programmed arrays hold in mho and in AIHWKit: moments over chips, without any image. Prints and writes JSON.

    python moments.py --chips 32

For every layer of ResNet-20 and every age, with W the trained matrix and V what the tool's arrays hold with all its
digital factors (scale of the column, drift compensation):

    gain   Σ V W / Σ W²            1 where the compensation is right on average
    error  |V - gain W| / |W|      the random part
    gdc    the factor of the compensation, mean over the row blocks
    small  rms(V) / max|W|         over the weights below 1 % of their column's largest

Beside AIHWKit as it is: `aihwkit-pairs`, the variant in `pairs.py`, and `aihwkit-pairs-quiet`, the same with AIHWKit's own
reference of the compensation, which is read without 1/f noise.

And two tests without cells, on the layer's own inputs: converters alone (differences relative to the output's size; the
tools must agree to rounding where they cut rows alike), and the size of the output noise.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accuracy import AGES, RESULTS
from configs import (
    OUTPUT_NOISE,
    RANGES,
    aihwkit_config,
    aihwkit_network,
    images,
    input_ranges,
    mho_network,
    one_thread,
    resnet20,
)
from pairs import keep_pairs
from torch import Tensor, nn

import mho
from mho.crossbar.scaling import weight_scale
from mho.rng import key
from mho.units import seconds

Held = tuple[Tensor, float]
"""What a layer's arrays hold, (columns, rows), and the factor of its compensation."""


def of_mho(net: nn.Module) -> dict[str, Held]:
    """Layers of a chip's network in mho."""
    found = {}
    for path, module in net.named_modules():
        for view in module.views() if isinstance(module, mho.nn.AnalogLayer) else ():
            source = view.matrix.source
            scale = weight_scale(
                view.operator.to_matrix(view.weight.detach()), source.scheme.plan, source.scheme.hw.mapping
            )
            gains = torch.stack([operand.gain for operand in source.held().operands])
            factor = float((gains / scale.flatten(1)).mean())
            found[path] = (view.operator.to_matrix(source.weight(view.operator))[0], factor)
    return found


def of_aihwkit(net: nn.Module) -> dict[str, Held]:
    """Layers of a programmed network in AIHWKit."""
    found = {}
    for path, module in net.named_modules():
        if hasattr(module, "analog_module"):
            tiles = list(module.analog_tiles())
            parts = [tile.get_weights(apply_weight_scaling=True)[0] * float(tile.alpha) for tile in tiles]
            found[path] = (torch.cat(parts, 1), float(np.mean([float(tile.alpha) for tile in tiles])))
    return found


def moments(held: Held, weight: Tensor) -> dict[str, float]:
    """The four numbers of one layer."""
    v, w = held[0].double(), weight.detach().flatten(1).double()
    gain = float((v * w).sum() / w.square().sum())
    small = w.abs() < 0.01 * w.abs().amax(1, keepdim=True)
    return {
        "gain": gain,
        "error": float((v - gain * w).norm() / w.norm()),
        "gdc": held[1],
        "small": float(v[small].square().mean().sqrt() / w.abs().max()) if bool(small.any()) else float("nan"),
    }


def tools(rows: int, chips: int, model: nn.Module) -> Iterator[tuple[str, int, str, dict[str, Held]]]:
    """(tool, chip, age, layers)."""
    net = mho_network(model, images(1000, split="train"), rows=rows)
    for index in range(chips):
        chip = mho.program(net, 0, chip=index)
        for age in AGES:
            yield "mho", index, age, of_mho(chip.at(age))
    for name in ("aihwkit", "aihwkit-pairs", "aihwkit-pairs-quiet"):
        config = aihwkit_config("torch", rows=rows)
        if name != "aihwkit":
            keep_pairs(config, noisy_reference=name == "aihwkit-pairs")
        analog: Any = aihwkit_network(model, input_ranges(net), config)
        for index in range(chips):
            torch.manual_seed(key(name, index))
            analog.program_analog_weights()
            for age in AGES:
                analog.drift_analog_weights(seconds(age))
                yield name, index, age, of_aihwkit(analog)


def without_cells(
    rows: int, model: nn.Module, tiles: tuple[str, ...] = ("cpp", "torch"), ranges: str = "calibrated"
) -> dict[str, Any]:
    """Converters alone and output noise alone, through the whole of a layer, on the layer's own inputs."""
    x = images(100).inputs
    train = images(1000, split="train")
    ideal = {"cell": {"kind": "ideal"}, "compensation.kind": "none"} if ranges == "default" else {}
    quiet = mho_network(model, train, rows=rows, ranges=ranges, **{"noise.output": 0.0, **ideal})
    noisy = mho_network(model, train, rows=rows, ranges=ranges, **ideal)
    found = input_ranges(noisy)
    answers: dict[str, dict[str, Any]] = {}
    for tile in tiles:
        config = aihwkit_config(tile, rows=rows, ranges=ranges)
        config.forward.out_noise = 0.0
        still = aihwkit_network(model, found, config)
        loud = aihwkit_network(model, found, aihwkit_config(tile, rows=rows, ranges=ranges))
        torch.manual_seed(0)
        with torch.no_grad():
            for path in ("conv1", "layer2.1.conv1", "layer3.1.conv1", "linear"):
                u = _input_of(model, path, x)
                exact = model.get_submodule(path)(u)
                a, b = quiet.get_submodule(path)(u), still.get_submodule(path)(u)
                c = noisy.get_submodule(path)(u) - a
                d = loud.get_submodule(path)(u) - b
                answers.setdefault(path, {})[tile] = {
                    "converters: mho - AIHWKit": float((a - b).norm() / exact.norm()),
                    "converters: mho - digital": float((a - exact).norm() / exact.norm()),
                    "converters: AIHWKit - digital": float((b - exact).norm() / exact.norm()),
                    "share of outputs that differ": float(((a - b).abs() > 1e-4 * exact.abs().max()).float().mean()),
                    "output noise: mho / AIHWKit": float(c.norm() / d.norm()),
                }
    return {"noise": OUTPUT_NOISE if ranges != "default" else 0.06, "layers": answers}


def _input_of(model: nn.Module, path: str, x: Tensor) -> Tensor:
    """What a layer of the digital network sees."""
    seen: list[Tensor] = []
    hook = model.get_submodule(path).register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    with torch.no_grad():
        model(x)
    hook.remove()
    return seen[0]


Table = dict[str, dict[str, dict[str, list[dict[str, float]]]]]
"""Layer, age, tool, chip."""


def condense(table: Table) -> dict[str, Any]:
    """Means over the layers for every chip, and mean and standard deviation over the chips for every layer."""
    by_chip: dict[str, Any] = {}
    by_layer: dict[str, Any] = {}
    for path, ages in table.items():
        for age, tools in ages.items():
            for tool, chips in tools.items():
                for what in chips[0]:
                    values = np.array([chip[what] for chip in chips])
                    kept = by_layer.setdefault(path, {}).setdefault(tool, {}).setdefault(what, {})
                    kept[age] = [round(float(values.mean()), 6), round(float(values.std(ddof=1)), 6)]
                    if what != "small":
                        by_chip.setdefault(tool, {}).setdefault(what, {}).setdefault(age, []).append(values)
    for whats in by_chip.values():
        for by_age in whats.values():
            for age, layers in by_age.items():
                by_age[age] = [round(float(value), 6) for value in np.mean(layers, axis=0)]
    return {"by_chip": by_chip, "by_layer": by_layer}


def run(rows: int, chips: int, out: Path) -> Path:
    """Measure and write."""
    one_thread()
    model = resnet20()
    table: Table = {}
    for tool, _, age, layers in tools(rows, chips, model):
        for path, held in layers.items():
            row = moments(held, model.get_submodule(path).weight)
            table.setdefault(path, {}).setdefault(age, {}).setdefault(tool, []).append(row)
    answer = {"rows": rows, "chips": chips, "without_cells": without_cells(rows, model), **condense(table)}
    path = out / f"moments-{rows}.json"
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(answer) + "\n")
    return path


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=288, help="rows of an array; 288 cuts alike in both")
    parser.add_argument("--chips", type=int, default=32)
    parser.add_argument(
        "--ranges", choices=RANGES[1:], help="converters with these ranges alone, in the tile in Python"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.ranges is None:
        print(run(given.rows, given.chips, given.out))
        return
    one_thread()
    answer = {"rows": given.rows, **without_cells(given.rows, resnet20(), ("torch",), given.ranges)}
    path = given.out / f"converters-{given.ranges}.json"
    path.write_text(json.dumps(answer) + "\n")
    print(path)


if __name__ == "__main__":
    main()
