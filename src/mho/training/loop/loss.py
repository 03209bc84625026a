"""What training minimises: the loss of a task, or of a task and a teacher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mho.arguments import network, number
from mho.errors import BadInput, NotYet, WrongSetting
from mho.nn.calling import call
from mho.tasks import IGNORED, Task
from mho.tasks.classes import Classes
from mho.tasks.parts import answer
from mho.units import share

Loss = Callable[[Any, Any, Any], Tensor]
"""From (output, inputs, targets) to the mean loss."""


class Distillation:
    """Cross-entropy with the labels and with the softened answers of a teacher.

    share · T² · KL(softmax(teacher / T) ‖ softmax(student / T)) + (1 - share) · cross-entropy(student, labels); the factor T²
    keeps the gradients of the first term as large as those of the second whatever T is (Hinton, Vinyals, Dean 2015,
    arXiv:1503.02531, section 2).

    Args:
        teacher: Inputs to class scores; put into eval mode, never differentiated.
        temperature: T > 0.
        share: Weight of the teacher, in [0, 1]; at 1 labels are not needed.

    Raises:
        WrongSetting: `temperature` or `share` outside their ranges; a teacher that is no network.

    Example:
        >>> loss = Distillation(teacher, temperature=4.0, share=0.9)    # doctest: +SKIP
        >>> loss(net(x), x, labels).backward()                          # doctest: +SKIP
    """

    def __init__(self, teacher: nn.Module, *, temperature: float = 4.0, share: float = 0.9) -> None:
        network(teacher, "teacher")
        temperature, share = check_distillation((temperature, share))
        self.teacher, self.temperature, self.share = teacher.eval(), temperature, share

    def __call__(self, output: Tensor, inputs: Any, labels: Tensor | None = None) -> Tensor:
        """The loss of a batch.

        Args:
            output: Scores of the student, (…, C).
            inputs: What the student saw, for the teacher.
            labels: (…), with `IGNORED` where nothing counts; may be None when share is 1.

        Raises:
            BadInput: Labels are missing, or teacher and student answer in different shapes.
        """
        with torch.no_grad():
            soft = answer(call(self.teacher, inputs)).detach()
        output = answer(output)
        if soft.shape != output.shape:
            found = f"the teacher answers {tuple(soft.shape)}, the network {tuple(output.shape)}"
            raise BadInput(found, "both must score the same classes", path="teacher")
        if labels is None and self.share < 1:
            raise BadInput(f"share = {self.share} needs labels", "give labels, or share = 1", path="distillation")
        target = F.log_softmax(soft.float().flatten(0, -2) / self.temperature, -1)
        student = F.log_softmax(output.float().flatten(0, -2) / self.temperature, -1)
        apart = F.kl_div(student, target, reduction="none", log_target=True).sum(-1)
        if labels is None:
            mean = apart.mean()
        else:
            counted = labels.flatten() != IGNORED
            mean = torch.where(counted, apart, 0.0).sum() / counted.sum()
        loss = self.share * self.temperature**2 * mean
        if self.share < 1 and labels is not None:
            loss = loss + (1 - self.share) * Classes().loss(output, labels)
        return loss


def check_distillation(distillation: Any) -> tuple[float, float]:
    """Temperature and share of the teacher as numbers; None means those of `Distillation`. A share may be a text: "90%".

    Raises:
        WrongSetting: No such pair, or a number outside its range.
    """
    if distillation is None:
        return 4.0, 0.9
    if not isinstance(distillation, (tuple, list)) or len(distillation) != 2:
        remedy = "give (temperature, share of the teacher), as in (4.0, 0.9)"
        raise WrongSetting(f"distillation = {distillation!r}", remedy, path="distillation")
    found = share(distillation[1], "distillation")
    if not 0 <= found <= 1:
        raise WrongSetting(f"share = {found} lies outside 0 … 1", "1 needs no labels", path="distillation")
    return number(distillation[0], "temperature", "give a number above 0", above=0), found


def loss_of(
    net: nn.Module, task: Task, teacher: nn.Module | None, distillation: tuple[float, float] | None, *, labelled: bool
) -> Loss:
    """The loss of a training.

    Args:
        net: The network in training.
        task: What its output means.
        teacher: A network whose answers count besides the labels, or None.
        distillation: (temperature, share of the teacher); None means those of `Distillation`.
        labelled: Whether the data has labels.

    Raises:
        WrongSetting: `distillation` without a teacher, or outside its range.
        BadInput: Labels are missing, or the teacher is the network itself or lies on another device.
        NotYet: A teacher for a task without class scores.
    """
    if teacher is None:
        if distillation is not None:
            raise WrongSetting("distillation needs a teacher", "give teacher=...", path="distillation")
        if not labelled:
            raise BadInput("no labels and no teacher", "give batches of (inputs, labels), or teacher=...", path="data")
        return lambda output, _, targets: task.loss(output, targets)
    if not isinstance(task, Classes):
        raise NotYet(f"distillation for task {task.kind!r}", "distil networks that score classes", path="task")
    if any(module is net for module in teacher.modules()):
        raise BadInput("the teacher is the network in training", "give a copy: copy.deepcopy(net)", path="teacher")
    temperature, of_teacher = check_distillation(distillation)
    loss = Distillation(teacher, temperature=temperature, share=of_teacher)
    if not labelled and loss.share < 1:
        found = f"no labels, but the teacher's share is {loss.share}"
        raise BadInput(found, f"distillation=({loss.temperature}, 1.0)", path="data")
    here, there = (next((p.device for p in module.parameters()), None) for module in (net, teacher))
    if there not in (None, here):
        raise BadInput(f"the teacher lies on {there}, the network on {here}", "move one", path="teacher")
    return loss
