"""`mho train`."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mho.cli.interruption import keeps
from mho.cli.options import DATA, RANGES, TASK, described
from mho.errors import BadInput, BadResults, WrongSetting


def train(
    model: Annotated[
        str, typer.Argument(help="package.module:factory[?key=value], a name of mho.models, or published:NAME.")
    ],
    data: Annotated[str, typer.Option("--data", help=f"Training data. {DATA}")],
    val: Annotated[str | None, typer.Option("--val", help="Data to measure on after every epoch.")] = None,
    hardware: Annotated[str | None, typer.Option("--hardware", help="A preset or a YAML file; default: pcm.")] = None,
    ranges: Annotated[Path | None, typer.Option("--ranges", help=RANGES)] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="To begin with; without them say --pretrain.")
    ] = None,
    pretrain: Annotated[int, typer.Option("--pretrain", help="Epochs of the digital network before all else.")] = 0,
    epochs: Annotated[int, typer.Option("--epochs", help="Passes over the data.")] = 10,
    batch: Annotated[int, typer.Option("--batch", help="Samples at a time.")] = 128,
    accumulate: Annotated[int, typer.Option("--accumulate", help="Batches in an optimiser step.")] = 1,
    optimizer: Annotated[str, typer.Option("--optimizer", help="sgd or adamw.")] = "sgd",
    lr: Annotated[float | None, typer.Option("--lr", help="Largest rate; default 0.01 (sgd), 0.001 (adamw).")] = None,
    schedule: Annotated[str, typer.Option("--schedule", help="cosine, constant or onecycle.")] = "cosine",
    weight_decay: Annotated[float, typer.Option("--weight-decay", help="As the optimiser has it.")] = 0.0,
    noise: Annotated[
        str, typer.Option("--noise", help="Sigma of the noise on weights, as a share of a layer's largest; 0: none.")
    ] = "4%",
    distil: Annotated[
        str | None, typer.Option("--distil", help="Share of the digital network's answers in the loss: 90% or 0.9.")
    ] = None,
    temperature: Annotated[float, typer.Option("--temperature", help="Of --distil.")] = 4.0,
    augment: Annotated[bool, typer.Option("--augment", help="Random crops and flips of images.")] = False,
    early_stop: Annotated[
        int | None, typer.Option("--early-stop", help="Epochs without improvement on --val after which to stop.")
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="32, bf16-mixed or 16-mixed.")] = "32",
    device: Annotated[str, typer.Option("--device", help="Where to train: cpu, cuda, cuda:1, ...")] = "cpu",
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="A changed setting, e.g. --set adc.bits=6.")
    ] = None,
    loggers: Annotated[
        list[str] | None, typer.Option("--logger", help="csv, tensorboard, wandb or mlflow; may be repeated.")
    ] = None,
    max_seconds: Annotated[
        str | None, typer.Option("--max-seconds", help="Stop then (10min, or 600s); the same command goes on.")
    ] = None,
    task: Annotated[str, typer.Option("--task", help=TASK)] = "classes",
    seed: Annotated[int, typer.Option("--seed", help="Root seed.")] = 0,
    resume: Annotated[str, typer.Option("--resume", help="auto, must or never.")] = "auto",
    out: Annotated[Path, typer.Option("--out", help="Where weights go; the same command resumes.")] = Path("out"),
) -> None:
    """Train a network to bear the noise of analog hardware; writes weights and ranges that `mho drift` takes."""
    import mho
    from mho.arguments import device as known_device
    from mho.calibration import load_ranges
    from mho.cli.terminal import Console
    from mho.data import load
    from mho.data.augment import crop_and_flip
    from mho.measure.evaluate import measure
    from mho.measure.test_data import TestData
    from mho.models import FACTORIES, resolve
    from mho.rng import reads
    from mho.store.files import writable
    from mho.store.lock import check_free
    from mho.tasks import Task
    from mho.tasks.parts import few
    from mho.training.loop import fit
    from mho.training.loop.loss import check_distillation
    from mho.training.loop.settings import Settings
    from mho.units import share

    scored, recipe, place = Task.of(task), _recipe(share(noise, "--noise")), known_device(device, "--device")
    share_of_teacher = None if distil is None else (temperature, share(distil, "--distil"))
    if ranges is not None and pretrain:
        remedy = "pretrain first, calibrate its weights, and train with --weights and --ranges"
        raise WrongSetting("--ranges of a network that is still to be pretrained", remedy, path="--ranges")
    if weights is None and not pretrain and model.partition("?")[0] in FACTORIES:
        raise WrongSetting(
            f"'{model}' without weights is a random network, whose values say nothing about the converters' ranges",
            "give --weights FILE, or train the digital network first: --pretrain EPOCHS",
            path="--weights",
        )
    if pretrain < 0:
        raise WrongSetting(f"--pretrain {pretrain}", "give 0 or more epochs", path="--pretrain")
    hw = described(hardware, changes, ranges)
    common: dict[str, Any] = {
        "batch": batch, "accumulate": accumulate, "optimizer": optimizer, "lr": lr, "schedule": schedule,
        "weight_decay": weight_decay, "precision": precision, "augment": crop_and_flip if augment else None,
        "task": scored, "max_seconds": max_seconds, "loggers": loggers or (), "resume": resume,
    }  # fmt: skip
    Settings.of(epochs=epochs, early_stop=early_stop, val=val, hwa=recipe, out=out, **common)
    check_distillation(share_of_teacher)
    check_free(writable(out))  # all this before the network and the data are loaded
    keeps("the last checkpoints", out)
    with reads("train", "weights", seed):
        network = resolve(model, weights)
    samples, test = load(data), None if val is None else load(val)
    console = Console()
    common |= {"val": test, "seed": seed}
    if pretrain:
        _check_pretrained(out, pretrain)
        digital = fit(network.to(place), samples, epochs=pretrain, out=out / "digital", **common)
        console.print(f"digital: {digital.steps} steps: {digital.stopped}", markup=False, highlight=False)
        if digital.stopped == "out of time":
            return
    net = mho.to_analog(network.cpu(), hw, example=few(next(iter(samples))))
    if ranges is None:
        mho.calibrate(net, samples, progress=True)
    else:
        load_ranges(net, ranges)
    network, net = network.to(place), net.to(place)

    def show(when: str, digital: Any) -> None:
        if test is None:
            return
        held = TestData.of([(x.to(place), y.to(place)) for x, y in test], task=scored)
        found = [measure(one, held, chip=-1, age_s=0.0, address=("accuracy", 0)).mean for one in (digital, net)]
        first, second = (scored.headline.show(scored.headline.worth(mean), 2) for mean in found)
        console.print(f"{when}: digital {first}, analog {second}", markup=False, highlight=False)

    show("before", network)
    result = fit(
        net, samples, epochs=epochs, hwa=recipe, teacher=None if distil is None else copy.deepcopy(network),
        distillation=share_of_teacher, early_stop=early_stop, out=out, **common,
    )  # fmt: skip
    show("after", mho.to_digital(net))
    last = f", loss {result.history[-1]['loss']:.4g}" if result.history else ""
    console.print(f"{result.steps} steps{last}: {result.stopped}", markup=False, highlight=False)
    for line in _write(net.cpu(), out):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _check_pretrained(out: Path, epochs: int) -> None:
    """Refuse to lengthen a digital training whose weights another training in `out` has begun with."""
    begun, file = out / "run.json", out / "digital" / "run.json"
    if begun.exists() and file.exists():
        stored = json.loads(file.read_text()).get("epochs")
        if stored != epochs:
            problem = f"it holds a training that began with the weights of --pretrain {stored}, not of {epochs}"
            raise BadResults(problem, "give another --out, or the same --pretrain", path=str(out))


def _recipe(noise: float) -> Any:
    if not noise:
        return None
    if not 0 < noise < 1:
        raise WrongSetting(f"--noise {noise} lies outside 0 … 1", "0.04 is 4 % of the largest weight", path="--noise")
    from mho.training import HWA
    from mho.training.injections import Gaussian

    return HWA(weights=Gaussian(sigma=noise))


def _write(net: Any, out: Path) -> list[str]:
    """The weights under the digital network's names, and the ranges that it was trained with, learned ones too."""
    from safetensors.torch import save_model

    import mho
    from mho.calibration import ranges_of, save_ranges
    from mho.store.files import replaced

    try:
        with replaced(out / "weights.safetensors") as part:
            save_model(mho.to_digital(net), str(part))
    except OSError as error:
        remedy = "make room: the same command goes on"
        raise BadInput(f"the weights cannot be written: {error.strerror}", remedy, path=str(out)) from error
    lines = [f"weights: {out / 'weights.safetensors'}"]
    if ranges_of(net):
        lines.append(f"ranges: {save_ranges(net, out / 'ranges.safetensors')} (--ranges, with these weights)")
    return lines
