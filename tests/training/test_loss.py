from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mho.errors import BadInput, WrongSetting
from mho.tasks import IGNORED
from mho.training import Distillation


class Fixed(nn.Module):
    """Answers the same scores whatever it is asked."""

    def __init__(self, scores):
        super().__init__()
        self.scores = nn.Parameter(scores)

    def forward(self, x):
        assert not self.training
        return self.scores


def _draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_teachers_part_is_the_divergence_written_out():
    teacher, student, temperature = _draw(5, 4), _draw(5, 4, seed=1).requires_grad_(), 3.0
    p, q = (torch.softmax(z.double() / temperature, -1) for z in (teacher, student))
    expected = temperature**2 * (p * (p / q).log()).sum(-1).mean()
    loss = Distillation(Fixed(teacher), temperature=temperature, share=1.0)(student, None)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    # Its gradient: T (q - p) a sample, Hinton et al. 2015, eq. 2 times T².
    loss.backward()
    assert torch.allclose(student.grad, (temperature * (q - p) / 5).float().detach(), atol=1e-6)


def test_shares_mix_with_the_labels_and_ignored_positions_count_nowhere():
    teacher, student = _draw(2, 3, 4), _draw(2, 3, 4, seed=1)
    labels = torch.tensor([[0, 3, IGNORED], [1, IGNORED, 2]])
    counted = labels != IGNORED
    parts = [
        Distillation(Fixed(teacher), temperature=2.0, share=share)(student, None, labels) for share in (0.0, 0.3, 1.0)
    ]
    assert float(parts[0]) == pytest.approx(float(F.cross_entropy(student[counted], labels[counted])), rel=1e-6)
    kept = Distillation(Fixed(teacher[counted]), temperature=2.0, share=1.0)(student[counted], None)
    assert float(parts[2]) == pytest.approx(float(kept), rel=1e-5)
    assert float(parts[1]) == pytest.approx(0.7 * float(parts[0]) + 0.3 * float(parts[2]), rel=1e-5)


def test_a_teacher_learns_nothing_and_agreement_costs_nothing():
    teacher = Fixed(_draw(5, 4)).train()
    loss = Distillation(teacher, share=1.0)
    student = teacher.scores.detach().clone().requires_grad_()
    loss(student, None).backward()
    assert teacher.scores.grad is None and float(student.grad.abs().max()) < 1e-6 and not teacher.training


@pytest.mark.parametrize(
    ("make", "error", "named"),
    [
        (lambda: Distillation(nn.Identity(), temperature=0.0), WrongSetting, "temperature"),
        (lambda: Distillation(nn.Identity(), share=1.5), WrongSetting, "share"),
        (lambda: Distillation(Fixed(_draw(3, 4)))(_draw(3, 4), None), BadInput, "share = 1"),
        (lambda: Distillation(Fixed(_draw(3, 5)))(_draw(3, 4), None), BadInput, r"\(3, 5\)"),
    ],
)
def test_what_does_not_fit_is_refused(make, error, named):
    with pytest.raises(error, match=named):
        make()
