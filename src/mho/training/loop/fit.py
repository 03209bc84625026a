"""`fit`: training with hardware-aware noise, distillation and exact resumption."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mho.arguments import check_mode, network, whole
from mho.errors import BadInput, WrongSetting
from mho.nn.calling import call
from mho.nn.matrix import matrices
from mho.nn.modes import evaluating
from mho.nn.norm import BatchNorm, single_samples_refused
from mho.progress import Progress
from mho.rng import reads
from mho.store.digest import Digest, digest
from mho.store.lock import alone
from mho.tasks import Task
from mho.tasks.items import take, tensors_of
from mho.training.hwa import HWA
from mho.training.loop.checkpoints import Folder, back_to_last, name_of
from mho.training.loop.loader import Augment, Loader, Samples, hold, moved
from mho.training.loop.loggers import logging
from mho.training.loop.loss import Loss, loss_of
from mho.training.loop.optimizers import MakeOptimizer, make_optimizer, rate_of
from mho.training.loop.processes import join
from mho.training.loop.run import Run
from mho.training.loop.settings import Settings


@dataclass(frozen=True)
class FitResult:
    """What a training did.

    Attributes:
        history: For each epoch: epoch, loss (mean over its samples), score (the mean of the task's headline on val, or None),
            lr (of its last step), seconds.
        steps: Optimiser steps in all.
        stopped: Why it ended: 'all epochs done', 'no improvement over … epochs' or 'out of time'.
        best: Best score on val, or None; the network has the weights of that epoch.
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


@torch.enable_grad()
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
    task: Task | str = "classes",
    seed: int = 0,
    out: str | Path | None = None,
    resume: str = "auto",
    save_every: str | float = 60.0,
    max_seconds: str | float | None = None,
    devices: int = 1,
    loggers: str | Sequence[Any] = (),
    progress: Progress = True,
) -> FitResult:
    """Train a network in place; afterwards it is in eval mode, with its best weights where `val` is given.

    The result depends on the arguments alone: order, augmentation and noise of products have addresses below `seed`, and
    torch's own generators are as they were. With `out`, a training that was stopped or killed at any moment goes on with the
    same call, to the same weights bit for bit; one that has ended is read back. With more `epochs` it is lengthened, to what
    the larger number would have given at once, where no step depends on how many there are: with ``schedule="constant"``, and
    without a schedule in `hwa`; elsewhere more epochs are refused. After an error or an interruption `net` has the weights of
    the last checkpoint in `out`; after `max_seconds`, those of the last step.

    Several processes: start the script with ``torchrun --nproc-per-node N`` and say ``devices=N`` in it. Each process takes
    every N-th sample of a step of `N · batch · accumulate` samples, and has the same weights at the end.

    Args:
        net: Any network, digital or converted (and calibrated); it stays on its device.
        data: A data set of `mho.data`, or an iterable of batches (inputs, targets), or of inputs where a teacher alone
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
        val: Data on which the task's headline is measured after every epoch, without injected noise.
        early_stop: Epochs without a better score on `val` after which to stop.
        precision: ``"32"``, or with autocast ``"bf16-mixed"``, ``"16-mixed"`` (CUDA only).
        accumulate: Parts of `batch` samples in an optimiser step.
        augment: (inputs, generator) to inputs, on each batch, as `mho.data.augment.crop_and_flip`.
        task: What the output means and what is minimised: a `mho.tasks.Task` or its name.
        seed: Root of every address.
        out: Folder for checkpoints and loggers; without it nothing is written.
        resume: ``"auto"``: go on where `out` holds this very run; ``"must"``, ``"never"``: refuse if it does not, or does.
        save_every: Seconds, or a time such as "5 min", between checkpoints within an epoch; one at its end is always written.
        max_seconds: Stop after this time ("10 min", or seconds), at a checkpoint.
        devices: Processes; on GPUs each with its network on a GPU of its own.
        loggers: ``"csv"``, ``"tensorboard"``, ``"wandb"``, ``"mlflow"``, or objects with ``log(step, values)``.
        progress: True for a bar, or told of the steps (`mho.progress.Step`).

    Raises:
        WrongSetting: An unknown name, a number outside its range, settings that contradict each other, or a network that
            is a programmed chip.
        BadInput: No data, targets that the network has no output for, no labels and no teacher, batches of one sample
            for a batch norm, or a folder that cannot be written.
        NotFinite: The loss, or weights at the end of an epoch, are not: it diverged.
        BadResults: `out` holds another run, or a damaged one, or another call is writing there.
        MissingExtra: The package of a logger is not installed.
    """
    network(net)
    check_mode()
    if any(matrix.programmed for matrix in matrices(net)):
        raise WrongSetting(
            "this network is a programmed chip", "train the network that to_analog returned, and program that"
        )
    told = Settings.of(
        epochs=epochs, batch=batch, optimizer=optimizer, lr=lr, schedule=schedule, weight_decay=weight_decay,
        momentum=momentum, hwa=hwa, teacher=teacher, distillation=distillation, val=val, early_stop=early_stop,
        precision=precision, accumulate=accumulate, augment=augment, task=task, out=out, resume=resume,
        save_every=save_every, max_seconds=max_seconds, devices=devices, loggers=loggers, progress=progress,
    )  # fmt: skip
    task, loggers, seed = told.task, told.loggers, whole(seed, "seed", least=0)
    counts = {"epochs": told.epochs, "batch": told.batch, "accumulate": told.accumulate, "devices": told.devices}
    device = next((p.device for p in net.parameters()), None)
    if device is None:
        raise BadInput("the network has no parameters", "give one that can learn", path="net")
    if precision == "16-mixed" and device.type != "cuda":
        found = "precision '16-mixed' needs a network on a CUDA device"
        raise WrongSetting(found, "take 'bf16-mixed'", path="precision")
    samples = hold(data, task)
    held = None if val is None else hold(val, task, path="val", training=False)
    loss = loss_of(net, task, teacher, distillation, labelled=samples.targets is not None)
    _probe(net, task, loss, device, samples, "data", augment)
    if held is not None:
        _probe(net, task, loss, device, held, "val")

    if isinstance(hwa, HWA):
        hwa.check(net)
    processes = join(told.devices, device)
    loader = Loader(
        samples, batch=told.batch, seed=seed, world=processes.world, rank=processes.rank, accumulate=told.accumulate,
        augment=augment,
    )  # fmt: skip
    _check_norms(net, loader, samples, device)
    steps = told.epochs * loader.steps
    rate = rate_of(schedule, steps)
    fixed = "" if schedule == "constant" else f"the schedule '{schedule}'"
    if hwa is not None and not (isinstance(hwa, HWA) and hwa.schedule.constant):
        fixed = fixed or "the schedule of hwa"
    made = make_optimizer(net, optimizer, lr=lr, weight_decay=weight_decay, momentum=momentum)
    folder, stored = None if out is None else Folder(out), None
    if folder is not None:
        about = f"{name_of(net)}{sorted({repr(m.hw) for m in net.modules() if hasattr(m, 'hw')})}"
        settings = {
            **counts, "data": digest(samples.inputs, samples.targets), "net": Digest().text(about).value(),
            "weights": digest(*net.state_dict().values()), "optimizer": name_of(optimizer),
            "lr": [float(group["lr"]) for group in made.param_groups], "schedule": schedule, "weight_decay": weight_decay,
            "momentum": momentum, "hwa": name_of(hwa), "distillation": distillation,
            "teacher": None if teacher is None else digest(*teacher.state_dict().values()),
            "val": None if held is None else digest(held.inputs, held.targets), "early_stop": told.early_stop,
            "precision": precision, "augment": name_of(augment), "task": task.record(), "seed": seed,
        }  # fmt: skip
    with alone(out if processes.first else None):
        if folder is not None:
            # The first process claims the folder, then the others find it claimed.
            if not processes.first:
                processes.wait()
            stored = folder.begin(settings, resume if processes.first else "auto", fixed=fixed)
            if processes.first:
                processes.wait()

        session = None if hwa is None else hwa.attach(net, steps=steps, seed=seed)
        try:
            with back_to_last(net, folder):
                run = Run(
                    net, loss=loss, task=task, optimizer=made, rate=rate, session=session, loader=loader, val=held,
                    processes=processes, precision=precision, seed=seed, folder=folder, save_every=told.save_every,
                    epochs=told.epochs, max_seconds=told.max_seconds, early_stop=told.early_stop,
                )  # fmt: skip
                if stored is not None:
                    run.restore(stored)
                    if folder is not None and processes.first:
                        folder.note()
                state = run.state
                if not state.stopped:
                    first, where = processes.first, None if folder is None else folder.directory
                    logs = logging(
                        loggers if first else (),
                        where,
                        step=state.step,
                        steps=steps,
                        progress=progress if first else None,
                    )
                    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), logs as opened:
                        run.train(opened)
                if state.stopped and run.best_weights is not None:
                    net.load_state_dict(run.best_weights)
        finally:
            if session is not None:
                session.detach()
            net.zero_grad(set_to_none=True)
            net.eval()
    return FitResult(
        history=tuple(state.history),
        steps=state.step,
        stopped=state.stopped or "out of time",
        best=None if state.best is None else task.headline.shown(state.best),
        best_epoch=state.best_epoch,
        last_checkpoint=None if folder is None else folder.last,
        best_checkpoint=None if folder is None or state.best is None else folder.best,
    )


def _check_norms(net: nn.Module, loader: Loader, samples: Samples, device: torch.device) -> None:
    """Refuse parts of a single sample for a batch norm that then has a single value a channel: it cannot be trained on."""
    if 1 not in loader.sizes() or not any(isinstance(module, BatchNorm) for module in net.modules()):
        return
    (inputs,) = moved((take(samples.inputs, [0]),), device)
    remedy = f"give another batch than {loader.batch}, or one sample less"
    with single_samples_refused(remedy), torch.no_grad(), reads("fit", "probe"):
        copy.deepcopy(net).train()(inputs)


def _probe(
    net: nn.Module, task: Task, loss: Loss, device: torch.device, samples: Samples, path: str, augment: Augment | None = None
) -> None:  # fmt: skip
    """One pass of two samples: what cannot be trained is refused before anything is written.

    The second is the one with the largest label, which a network can have no output for.
    """
    if samples.targets is None and path == "val":
        raise BadInput("val has no labels", "give batches of (inputs, labels)", path=path)
    rows = [0] + [int(t.reshape(len(t), -1).amax(1).argmax()) for t in tensors_of(samples.targets)]
    inputs, targets = take((samples.inputs, samples.targets), rows)
    if augment is not None:  # may be what prepares them
        inputs = augment(inputs, torch.Generator().manual_seed(0))
    inputs, targets = moved((inputs, targets), device)
    with evaluating(net), torch.no_grad(), reads("fit", "probe"):
        output = call(net, inputs)
        if targets is not None:
            task.scores(output, targets)
        loss(output, inputs, targets)
