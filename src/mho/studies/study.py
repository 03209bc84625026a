"""`Study`: a question, the arms that answer it, and what is shown of the answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

from mho.measure import DriftResult
from mho.progress import Progress
from mho.studies.claim import Claim
from mho.studies.figure import Figure
from mho.studies.outcome import Results
from mho.studies.table import Table

Scale = Literal["smoke", "cpu", "full"]
SCALES: tuple[Scale, ...] = ("smoke", "cpu", "full")
"""About a minute on two cores with the digits of scikit-learn (the extra `demo`); what is stored; the size of the literature."""
CHECKPOINTS = "checkpoints"
"""Folder below an arm's, while the arm is measured."""
PRECISION: Mapping[Scale, str] = {"smoke": "32", "cpu": "bf16-mixed", "full": "32"}
"""Of training; bfloat16 takes 0.6 of the time on cores that have it, but twice the time for products as small as the ViT's."""


@dataclass(frozen=True)
class Arm:
    """One line of a study; a study with settings derives its own from it.

    Attributes:
        name: Folder of what it measured.
        label: How tables and figures name it.
        group: Figure it belongs to.
        seeds: Training seeds with which it is repeated, in folders ``name-seed0`` and so on; 0: nothing is trained.
    """

    name: str
    label: str
    group: str = ""
    seeds: int = 0

    def folder(self, seed: int) -> str:
        """Name of the folder of a training seed."""
        return f"{self.name}-seed{seed}" if self.seeds else self.name


@dataclass(frozen=True)
class Job:
    """What `Study.run` is told besides the arm.

    Attributes:
        out: Folder of the arm and seed, for ``mho.drift(..., out=job.out)``.
        root: Folder of the study, for what arms share.
        scale: Size.
        seed: Training seed.
        workers: Processes.
        device: Where to train.
        command: The command that measures this arm, for the record.
        progress: Told what is being done, in words.
        steps: Told how far it is: for ``mho.drift(..., progress=job.steps)``.
    """

    out: Path
    root: Path
    scale: Scale
    seed: int = 0
    workers: int = 1
    device: str = "cpu"
    command: str = ""
    progress: Callable[[str], None] = lambda _: None
    steps: Progress = None

    @property
    def checkpoints(self) -> Path:
        """Folder for checkpoints, while the arm is measured; removed when its rows are stored."""
        return self.out / CHECKPOINTS


A = TypeVar("A", bound=Arm)
R = TypeVar("R")


class Study(ABC, Generic[A, R]):
    """A study over arms A, each of which measures an R: a `DriftResult`, or a list of rows (dictionaries).

    Attributes:
        name: Its name, and folder below ``studies/``.
        title: Heading.
        question: What it answers.
        protocol: How, in a few sentences.
        sources: What it follows or checks.
        claims: What its rows decide; the first is the main finding.
        chips: Chips of each arm, by scale.
        apart: Whether arms are measured side by side where there are several workers, each in one process.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    question: ClassVar[str]
    protocol: ClassVar[str]
    sources: ClassVar[tuple[str, ...]] = ()
    claims: ClassVar[Sequence[Claim]] = ()
    chips: ClassVar[Mapping[Scale, int]] = {"smoke": 3, "cpu": 8, "full": 25}
    apart: ClassVar[bool] = False

    @abstractmethod
    def arms(self, scale: Scale) -> list[A]:
        """Every arm, the quickest to answer the question first."""

    @abstractmethod
    def run(self, arm: A, job: Job) -> Sequence[Mapping[str, Any]] | None:
        """Measure an arm.

        Returns:
            Rows to store, or None where the run is in `job.out` already (`mho.drift` keeps its rows itself).
        """

    @abstractmethod
    def tables(self, results: Results[A, R]) -> list[Table]:
        """Every number, from what is stored."""

    def figures(self, results: Results[A, R]) -> list[Figure]:
        """What is drawn, from what is stored."""
        return []

    def complete(self, stored: R, scale: Scale) -> bool:
        """Whether what is stored of an arm is all of it; rows are stored whole."""
        return not isinstance(stored, DriftResult) or len(stored.chips) >= self.chips[scale]
