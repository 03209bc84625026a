"""`fit`: training with hardware-aware noise, distillation and exact resumption, on PyTorch Lightning's loops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mho._optional import require
from mho.errors import BadInput, NotYet, WrongSetting
from mho.rng import reads
from mho.training.loop.checkpoints import Folder, check_resume, digest, load_checkpoint, name_of, shapes_of
from mho.training.loop.loader import Augment, InOrder, Loader, Samples, hold
from mho.training.loop.losses import IGNORED, TASKS, Distillation, Task, loss_for
from mho.training.loop.optimizers import MakeOptimizer, make_optimizer, rate_of

PRECISIONS = ("32", "bf16-mixed", "16-mixed")
_DISTILLATION = (4.0, 0.9)


@dataclass(frozen=True)
class FitResult:
    """What a training did.

    Attributes:
        history: For each epoch: epoch, loss (mean over its samples), accuracy (on val, or None), lr (of its last step),
            seconds.
        steps: Optimiser steps in all.
        stopped: Why it ended: 'all epochs done', 'no improvement over … epochs' or 'out of time'.
        best: Best accuracy on val, or None; the network has the weights of that epoch.
        best_epoch: Its epoch, from 0.
        last_checkpoint: Where training can go on, or None without `out`.
        best_checkpoint: The best weights (under 'state_dict'), or None without `out` and `val`.
    """

    history: tuple[dict[str, float | int | None], ...]
    steps: int
    stopped: str
    best: float | None = None
    best_epoch: int | None = None
    last_checkpoint: Path | None = None
    best_checkpoint: Path | None = None


def fit(
    net: nn.Module,
    data: Iterable[Any],
    *,
    epochs: int = 1,
    batch: int = 128,
    optimizer: str | MakeOptimizer = "sgd",
    lr: float | None = None,
    schedule: str = "cosine",
    weight_decay: float = 0.0,
    momentum: float | None = None,
    hwa: Any = None,
    teacher: nn.Module | None = None,
    distillation: tuple[float, float] | None = None,
    val: Iterable[Any] | None = None,
    early_stop: int | None = None,
    precision: str = "32",
    accumulate: int = 1,
    augment: Augment | None = None,
    task: Task = "classes",
    seed: int = 0,
    out: str | Path | None = None,
    resume: str = "auto",
    save_every: float = 60.0,
    max_seconds: float | None = None,
    devices: int = 1,
    strategy: Any = "auto",
    loggers: Sequence[Any] = (),
    progress: bool = True,
) -> FitResult:
    """Train a network in place; afterwards it is in eval mode, with its best weights where `val` is given.

    The result depends on the arguments alone: order, augmentation and noise of products have addresses below `seed`, and
    torch's own generators are as they were. With `out`, a training that was stopped or killed at any moment goes on with the
    same call, to the same weights bit for bit; one that has ended is read back. After an error or an interruption `net` has
    the weights of the last checkpoint in `out`; after `max_seconds`, those of the last step.

    Several processes: under torchrun, or with `devices` alone, which runs the script once more for each further one
    (Lightning's 'ddp'). Each takes every devices-th sample of a step of `devices · batch · accumulate` samples.

    Args:
        net: Any network, digital or converted (and calibrated); it stays on its device.
        data: A data set of `mho.data`, or an iterable of batches (inputs, labels), or of inputs where a teacher alone
            decides; held in memory together and shuffled anew each epoch.
        epochs: Passes over the data.
        batch: Samples that a process computes at a time.
        optimizer: ``"sgd"``, ``"adamw"``, or a callable from a list of parameters to an optimiser.
        lr: Largest learning rate; None means 0.01 for SGD, 0.001 for AdamW.
        schedule: Of the rate over all steps: ``"cosine"`` (to 0), ``"constant"`` or ``"onecycle"``.
        weight_decay: As the optimiser has it.
        momentum: Of SGD; None means 0.9.
        hwa: Hardware-aware training, `mho.training.HWA`.
        teacher: A network whose answers count besides the labels, see `Distillation`.
        distillation: (temperature, share of the teacher); None means (4, 0.9). With share 1 no labels are needed.
        val: Data on which accuracy is measured after every epoch, as in `mho.accuracy`: without injected noise.
        early_stop: Epochs without a better accuracy on `val` after which to stop.
        precision: ``"32"``, or with autocast ``"bf16-mixed"``, ``"16-mixed"`` (CUDA only).
        accumulate: Parts of `batch` samples in an optimiser step.
        augment: (inputs, generator) to inputs, on each batch, as `mho.data.augment.crop_and_flip`.
        task: What the output means, see `loss_for`.
        seed: Root of every address.
        out: Folder for checkpoints and loggers; without it nothing is written.
        resume: ``"auto"``: go on where `out` holds this very run; ``"must"``, ``"never"``: refuse if it does not, or does.
        save_every: Seconds between checkpoints within an epoch; one at its end is always written.
        max_seconds: Stop after this time, at a checkpoint.
        devices: Processes, each with a device of the kind that `net` lies on.
        strategy: ``"auto"``, ``"ddp"`` or a strategy of Lightning's that keeps a full copy of the network in each process.
        loggers: ``"csv"``, ``"tensorboard"``, ``"wandb"``, ``"mlflow"``, or loggers of Lightning's.
        progress: Show a bar, where there is a terminal.

    Raises:
        WrongSetting: An unknown name, a number outside its range, or settings that contradict each other.
        BadInput: No data, labels that the network has no output for, no labels and no teacher, a loss that is not finite,
            or a folder that cannot be written.
        BadResults: `out` holds another run, or a damaged one.
        MissingExtra: PyTorch Lightning, or the package of a logger, is not installed.
    """
    whole = {"epochs": epochs, "batch": batch, "accumulate": accumulate, "devices": devices}
    _check_numbers(whole, early_stop, val, save_every, max_seconds)
    _check_names(task, precision, strategy, net)
    check_resume(resume)
    samples = hold(data)
    held = None if val is None else hold(val, path="val")
    loss = _loss(net, teacher, distillation, task, samples)
    _check_data(net, samples, held, task)
    require("pytorch_lightning", extra="train", for_what="fit")
    from mho.training.loop.lightning import OutOfTime, Trained
    from mho.training.loop.trainer import make_trainer, quiet, world

    rank, processes = world(devices)
    loader = Loader(samples, batch=batch, seed=seed, world=processes, rank=rank, accumulate=accumulate, augment=augment)
    steps = epochs * loader.steps
    rate = rate_of(schedule, steps)
    made = make_optimizer(net, optimizer, lr=lr, weight_decay=weight_decay, momentum=momentum)
    folder, stored = None if out is None else Folder(out), None
    if folder is not None:
        settings = {
            **whole, "data": digest(samples.inputs, samples.labels), "net": shapes_of(net),
            "weights": digest(*net.state_dict().values()), "optimizer": name_of(optimizer),
            "lr": [group["lr"] for group in made.param_groups], "schedule": schedule, "weight_decay": weight_decay,
            "momentum": momentum, "hwa": name_of(hwa), "distillation": distillation and list(distillation),
            "teacher": None if teacher is None else digest(*teacher.state_dict().values()),
            "val": None if held is None else digest(held.inputs, held.labels), "early_stop": early_stop,
            "precision": precision, "augment": name_of(augment), "task": task, "seed": seed,
        }  # fmt: skip
        stored = folder.begin(settings, resume)
    elif resume == "must":
        raise WrongSetting("resume = 'must' without a folder", "give out=DIR", path="resume")

    session = None if hwa is None else hwa.attach(net, steps=steps, seed=seed)
    device = _device(net)
    try:
        trained = Trained(
            net, loss=loss, optimizer=made, rate=rate, session=session, loader=loader, task=task, seed=seed, folder=folder,
            val=None if held is None else InOrder(held, batch=batch, world=processes, rank=rank), epochs=epochs,
            save_every=save_every, max_seconds=max_seconds, early_stop=early_stop,
        )  # fmt: skip
        if stored is not None:
            trained.restore(stored)
        if not trained.state.stopped:
            net.train()
            with quiet():
                trainer = make_trainer(
                    trained, precision=precision, accumulate=accumulate, devices=devices, strategy=strategy,
                    loggers=loggers, progress=progress, device=device,
                )  # fmt: skip
                try:
                    trainer.fit(trained)
                except OutOfTime:
                    pass
                finally:
                    net.to(device)
        state = trained.state
        if state.stopped and trained.best_weights is not None:
            net.load_state_dict(trained.best_weights)
    except BaseException:
        if folder is not None and folder.last.exists():
            net.load_state_dict(load_checkpoint(folder.last)["net"])
        raise
    finally:
        if session is not None:
            session.detach()
        net.zero_grad(set_to_none=True)
        net.eval()
    return FitResult(
        history=tuple(state.history),
        steps=state.step,
        stopped=state.stopped or "out of time",
        best=state.best,
        best_epoch=state.best_epoch,
        last_checkpoint=folder.last if folder is not None else None,
        best_checkpoint=folder.best if folder is not None and state.best is not None else None,
    )


def _check_numbers(
    whole: dict[str, int], early_stop: int | None, val: Any, save_every: float, max_seconds: float | None
) -> None:
    if early_stop is not None:
        whole = {**whole, "early_stop": early_stop}
        if val is None:
            raise WrongSetting("early_stop needs data to measure on", "give val=...", path="early_stop")
    for name, value in whole.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise WrongSetting(f"{name} = {value!r}", "give a whole number, at least 1", path=name)
    if save_every < 0:
        raise WrongSetting(f"save_every = {save_every}", "give seconds, 0 or more", path="save_every")
    if max_seconds is not None and not max_seconds > 0:
        raise WrongSetting(f"max_seconds = {max_seconds}", "give seconds, or None", path="max_seconds")


def _check_names(task: str, precision: str, strategy: Any, net: nn.Module) -> None:
    if task not in TASKS:
        raise WrongSetting(f"unknown task {task!r}", f"valid are {', '.join(TASKS)}", path="task")
    if precision not in PRECISIONS:
        raise WrongSetting(f"unknown precision {precision!r}", f"valid are {', '.join(PRECISIONS)}", path="precision")
    if precision == "16-mixed" and _device(net).type != "cuda":
        raise WrongSetting(
            "precision '16-mixed' needs a network on a CUDA device", "take 'bf16-mixed'", path="precision"
        )
    if isinstance(strategy, str) and strategy not in ("auto", "ddp"):
        raise WrongSetting(
            f"strategy {strategy!r} leaves the trained weights in other processes, or divides them",
            "take 'auto' or 'ddp', or start the processes with torchrun",
            path="strategy",
        )


def _device(net: nn.Module) -> torch.device:
    first = next(net.parameters(), None)
    if first is None:
        raise BadInput("the network has no parameters", "give one that can learn", path="net")
    return first.device


def _loss(
    net: nn.Module, teacher: nn.Module | None, distillation: tuple[float, float] | None, task: Task, samples: Samples
) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    if teacher is None:
        if distillation is not None:
            raise WrongSetting("distillation needs a teacher", "give teacher=...", path="distillation")
        if samples.labels is None:
            raise BadInput("no labels and no teacher", "give batches of (inputs, labels), or teacher=...", path="data")
        plain = loss_for(task)
        return lambda output, _, labels: plain(output, labels)  # type: ignore[arg-type]
    if task != "classes":
        raise NotYet(f"distillation for task {task!r}", "distil networks that score classes", path="task")
    if any(module is net for module in teacher.modules()):
        raise BadInput("the teacher is the network in training", "give a copy: copy.deepcopy(net)", path="teacher")
    temperature, share = _DISTILLATION if distillation is None else distillation
    loss = Distillation(teacher, temperature=temperature, share=share)
    if samples.labels is None and share < 1:
        raise BadInput(
            f"no labels, but the teacher's share is {share}", f"distillation=({temperature}, 1.0)", path="data"
        )
    there = next((p.device for p in teacher.parameters()), None)
    if there is not None and there != _device(net):
        raise BadInput(f"the teacher lies on {there}, the network on {_device(net)}", "move one", path="teacher")
    return loss


def _check_data(net: nn.Module, samples: Samples, val: Samples | None, task: Task) -> None:
    """One pass of a few samples: what cannot be trained is refused before anything is written."""
    if val is not None and val.labels is None:
        raise BadInput("val has no labels", "give batches of (inputs, labels)", path="val")
    modes = [(module, module.training) for module in net.modules()]
    try:
        net.eval()
        with torch.no_grad(), reads("fit", "probe"):
            output = net(samples.inputs[:2].to(_device(net)))
    finally:
        for module, mode in modes:
            module.training = mode
    if not isinstance(output, Tensor):
        raise BadInput(f"the network returns a {type(output).__name__}", "wrap it so that it returns the scores")
    if task == "classes" and (output.dim() < 2 or output.shape[-1] == 1):
        raise WrongSetting(
            f"the network's output has shape {tuple(output.shape)}, which is not a score a class",
            "for one output of class 1 say task='probability' (after a sigmoid) or task='logit'",
            path="task",
        )
    classes = output.shape[-1] if task == "classes" else 2
    for path, held in (("data", samples), ("val", val)):
        if held is None or held.labels is None:
            continue
        labels = held.labels
        counted = labels[labels != IGNORED]
        if not counted.numel():
            raise BadInput("no label counts", f"labels are 0 … {classes - 1}", path=path)
        whole = not labels.is_floating_point() or bool((counted == counted.round()).all())
        soft = task != "classes" and path == "data"
        if counted.min() < 0 or counted.max() >= classes or not (whole or soft) or (soft and counted.max() > 1):
            raise BadInput(
                f"labels run from {counted.min().item()} to {counted.max().item()}, "
                f"but the network has {classes} outputs" if task == "classes" else
                f"labels run from {counted.min().item()} to {counted.max().item()}",
                f"labels are 0 … {classes - 1}" + (f", or {IGNORED} to skip" if task == "classes" else ""),
                path=path,
            )  # fmt: skip
