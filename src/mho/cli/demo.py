"""`mho demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option("--out", help="Where rows and the report go.")] = Path("mho-demo"),
    seed: Annotated[int, typer.Option("--seed", help="Root seed.")] = 0,
    hardware: Annotated[str, typer.Option("--hardware", help="A preset or a YAML file.")] = "pcm",
) -> None:
    """The main job on scikit-learn's digits, within a minute: train, map, program chips, age them, report."""
    import torch

    import mho
    from mho.cli.terminal import Console
    from mho.data import load
    from mho.models import digits_cnn
    from mho.training import train

    torch.set_num_threads(
        1
    )  # threads that wait for one another over a network this small take minutes on a busy machine
    console = Console()
    training, test = load("digits?split=train"), load("digits?split=test")
    torch.manual_seed(seed)
    model = digits_cnn()
    console.print(f"training a small convolutional network on {len(training.labels)} digits")
    train(model, training, epochs=30, seed=seed)
    console.print(f"digital accuracy on {len(test.labels)} others: {100 * mho.accuracy(model, test):.2f} %")
    net = mho.to_analog(model, hardware, example=test.inputs[:2])
    mho.calibrate(net, training)
    console.print(str(net.placement), markup=False, highlight=False, soft_wrap=True)
    result = mho.drift(
        net, test, ["1 min", "1 h", "1 day", "1 month", "6 months", "1 year"], ci=0.25, max_chips=40, seed=seed, out=out,
        name="digits_cnn", command=f"mho demo --out {out} --seed {seed} --hardware {hardware}", progress=True,
    )  # fmt: skip
    written = mho.report(result, out, budget=0.01)
    console.print(str(result), markup=False, highlight=False)
    console.print(f"open {written}", markup=False)
