"""`OneHot`: classes whose scores are trained towards 1 for the right one and 0 for the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from mho.tasks.classes import Classes


@dataclass(frozen=True)
class OneHot(Classes):
    """Classes as ever, but what training minimises is ½ Σ (score - target)², mean over samples, as WAGE does."""

    def loss(self, output: Any, target: Tensor) -> Tensor:
        """See `Task`."""
        scores, labels = self.logits(output, target)
        wanted = F.one_hot(labels.long(), scores.shape[-1]).to(scores.dtype)
        return 0.5 * (scores.float() - wanted).square().sum(-1).mean()
