"""How well one number a sample tells two classes apart: the measures of a detector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mho.errors import BadInput


@dataclass(frozen=True)
class Detection:
    """The measures of a detector on samples of both classes.

    Attributes:
        loss: Mean binary cross-entropy, nats.
        accuracy: Share of right answers.
        balanced: Mean of the shares of right answers among positives and among negatives; 1/2 for any constant answer.
        auc: Probability that a positive's logit is above a negative's, ties counted half; no threshold changes it.
        f1: 2 TP / (2 TP + FP + FN); 0 where nothing is found and nothing called positive.
        positive: Share of samples that are called positive.
    """

    loss: float
    accuracy: float
    balanced: float
    auc: float
    f1: float
    positive: float


def detection(logits: ArrayLike, labels: ArrayLike, threshold: float = 0.0) -> Detection:
    """The measures of logits log p/(1 - p), positive above the threshold.

    AUC = (R - P (P + 1)/2)/(P N) with the sum R of the ranks of the P positives among all samples, equal logits sharing their
    mean rank (Mann and Whitney 1947; Hanley and McNeil 1982).

    Args:
        logits: One a sample; infinite ones are certain.
        labels: 0 or 1, one a sample.
        threshold: Of the logit.

    Raises:
        BadInput: Different numbers of logits and labels, labels of one class alone or other than 0 and 1, or a logit that is
            no number.
    """
    from scipy.stats import rankdata  # imported here: it takes a while, and few callers need it

    z, y = np.asarray(logits, dtype=np.float64).ravel(), np.asarray(labels).ravel()
    if z.shape != y.shape:
        raise BadInput(f"{z.size} logits for {y.size} labels", "give one a sample")
    if np.isnan(z).any():
        raise BadInput(f"{int(np.isnan(z).sum())} of {z.size} logits are no numbers", "check the network's outputs")
    if set(np.unique(y).tolist()) != {0, 1}:
        raise BadInput(f"labels are {np.unique(y).tolist()[:4]}", "give samples of both classes, 0 and 1")
    truth, called = y == 1, z > threshold
    positives, negatives = int(truth.sum()), int((~truth).sum())
    hit, false = int((called & truth).sum()), int((called & ~truth).sum())
    ranks = float(rankdata(z)[truth].sum())
    return Detection(
        loss=float(np.logaddexp(0.0, np.where(truth, -z, z)).mean()),
        accuracy=(hit + negatives - false) / z.size,
        balanced=(hit / positives + (negatives - false) / negatives) / 2,
        auc=(ranks - positives * (positives + 1) / 2) / (positives * negatives),
        f1=2 * hit / (hit + false + positives),
        positive=(hit + false) / z.size,
    )
