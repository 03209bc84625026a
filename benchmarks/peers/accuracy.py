"""Accuracy of ResNet-20 on CIFAR-10 over chips and ages, in mho and in AIHWKit, on the same hardware.

    python accuracy.py --tool mho --chips 32
    python accuracy.py --tool aihwkit-cpp --chips 8

`aihwkit-cells` programs, ages and compensates in AIHWKit and computes the products in mho, which `moments.py` shows to
be the same to rounding: as many chips of AIHWKit's cells as one likes in a tenth of the time. `-pairs` is the variant
of AIHWKit in `pairs.py`.

One file an arm in `results/`, written after every chip; the same command goes on where it was. A chip is programmed once
and read at every age. Beside the accuracy each row has the relative error of the class scores, sqrt(Σ(z - d)² / Σd²)
with d those of the digital network: it varies less from chip to chip, so it finds smaller differences.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from configs import aihwkit_config, aihwkit_network, images, input_ranges, mho_network, one_thread, resnet20
from pairs import keep_pairs
from torch import Tensor, nn

import mho
from mho.chip import Programmed
from mho.crossbar import Cells, hold
from mho.data import Dataset
from mho.hardware import Correction
from mho.rng import key
from mho.units import seconds

AGES = ("1 h", "1 day", "1 month", "6 months", "1 year")
RESULTS = Path(__file__).parent / "results"
At = Callable[[str], nn.Module]
"""The network of one chip at an age."""
TOOLS = ("mho", "aihwkit-cpp", "aihwkit-torch", "aihwkit-cells", "aihwkit-cells-pairs")


def chips(tool: str, rows: int, model: nn.Module, ranges: Dataset, first: int, stop: int) -> Iterator[tuple[int, At]]:
    """Programmed chips of a tool, (number, network at an age)."""
    net = mho_network(model, ranges, rows=rows)
    if tool == "mho":
        for index in range(first, stop):
            yield index, mho.program(net, 0, chip=index).at
        return
    _, tile, *variant = tool.split("-")
    config = aihwkit_config("torch" if tile == "cells" else tile, rows=rows)
    analog: Any = aihwkit_network(model, input_ranges(net), keep_pairs(config) if variant else config)
    if tile == "cells":
        net = mho_network(model, ranges, rows=equal_parts(analog, rows))

    def at(age: str) -> nn.Module:
        analog.drift_analog_weights(seconds(age))
        return with_cells(net, analog) if tile == "cells" else analog

    for index in range(first, stop):
        torch.manual_seed(key("aihwkit", index))  # its compiled tile draws the noise of products from elsewhere
        analog.program_analog_weights()
        yield index, at


def equal_parts(analog: nn.Module, rows: int) -> int:
    """Rows of mho's arrays with which it cuts matrices as AIHWKit did: those of the tallest array that is a part."""
    tiles = [list(layer.analog_tiles()) for layer in analog.modules() if hasattr(layer, "analog_module")]
    return max((tile.tile.get_x_size() for several in tiles if len(several) > 1 for tile in several), default=rows)


@torch.no_grad()
def with_cells(net: nn.Module, analog: nn.Module) -> nn.Module:
    """A copy of mho's network whose arrays hold what AIHWKit's hold now, with its scales and its compensation."""
    net = copy.deepcopy(net)
    for path, module in net.named_modules():
        for view in module.views() if isinstance(module, mho.nn.AnalogLayer) else ():
            tiles = list(analog.get_submodule(path).analog_tiles())
            scheme = view.matrix.scheme(view.weight, view.operator)
            plan = scheme.plan
            if [block.rows for block in plan.blocks] != [tile.tile.get_x_size() for tile in tiles]:
                raise RuntimeError(f"{path}: the tools cut its rows differently")
            weight = torch.cat([tile.get_weights(apply_weight_scaling=False)[0] for tile in tiles], 1)
            scale = torch.stack([tile.get_scales().flatten() for tile in tiles])[:, None]
            factor = torch.stack([tile.alpha.flatten() for tile in tiles])[:, None]
            held = hold(Cells(weight[None, None], scale), view.operator, scheme, Correction(factor[None]))
            view.matrix.source = Programmed(held, scheme, view.weight.detach())
    return net.eval()


@torch.no_grad()
def scores(net: nn.Module, data: Dataset, batch: int) -> Tensor:
    """Class scores of all samples, in batches."""
    return torch.cat([net(x) for x in data.inputs.split(batch)])


def run(tool: str, rows: int, count: int, samples: int, batch: int, out: Path) -> Path:
    """Measure the chips that the file of the arm has not yet."""
    one_thread()
    path = out / f"accuracy-{tool}-{rows}.json"
    out.mkdir(parents=True, exist_ok=True)
    held = json.loads(path.read_text()) if path.exists() else {"tool": tool, "rows": rows, "n": samples, "chips": []}
    if held["n"] != samples:
        raise SystemExit(f"{path} holds another number of samples, {held['n']}: take another --out")
    model, data = resnet20(), images(samples)
    digital = scores(model, data, batch)
    held["digital"] = float((digital.argmax(1) == data.labels).float().mean())
    first = len(held["chips"])
    for index, at in chips(tool, rows, model, images(1000, split="train"), first, count):
        row: dict[str, Any] = {"chip": index, "ages": list(AGES), "accuracy": [], "score_error": []}
        start = time.perf_counter()
        for age in AGES:
            net = at(age)
            torch.manual_seed(key(tool, index, age))
            z = scores(net, data, batch)
            row["accuracy"].append(float((z.argmax(1) == data.labels).float().mean()))
            row["score_error"].append(float(((z - digital).square().sum() / digital.square().sum()).sqrt()))
        row["seconds"] = round(time.perf_counter() - start, 1)
        held["chips"].append(row)
        path.write_text(json.dumps(held, indent=1) + "\n")
        print(tool, index, row["seconds"], "s", row["accuracy"], flush=True)
    return path


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", choices=TOOLS, required=True)
    parser.add_argument("--rows", type=int, default=512, help="rows of an array")
    parser.add_argument("--chips", type=int, default=8)
    parser.add_argument("--samples", type=int, default=1000, help="test images")
    parser.add_argument("--batch", type=int, default=50, help="small batches are faster in AIHWKit")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    run(given.tool, given.rows, given.chips, given.samples, given.batch, given.out)


if __name__ == "__main__":
    main()
