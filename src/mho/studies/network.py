"""`Network`: a network of the study of families, with its kinds of layers; `with_data`: the network itself and its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from mho.data import load
from mho.statistics.intervals import Interval
from mho.studies.study import Job, Scale
from mho.studies.subject import RANGES, Subject, subject
from mho.studies.trained import RECIPES, trained
from mho.tasks.score import ACCURACY, Score
from mho.tasks.tokens import PERPLEXITY

_IMAGES: dict[Scale, int | None] = {"smoke": None, "cpu": 1000, "full": None}
"""Test images of CIFAR-10; None: half of them, the others choose remedies."""


@dataclass(frozen=True)
class Network:
    """A network of the study.

    Attributes:
        label: How it is named.
        family: "transformer" or "depthwise".
        kinds: Paths of its layers, by kind.
        budget: What advice may lose: a share of right answers, or nats.
        task: What is scored.
    """

    label: str
    family: str
    kinds: Mapping[str, tuple[str, ...]]
    budget: float = 0.01
    task: Literal["classes", "tokens"] = "classes"

    @property
    def score(self) -> Score:
        """How differences are printed."""
        return PERPLEXITY if self.task == "tokens" else ACCURACY

    def show(self, gain: Interval) -> str:
        """A difference with its interval and unit."""
        return self.score.show_gain(gain.value, gain.low, gain.high)

    def layers(self, kind: str, mode: str) -> tuple[str, ...]:
        """What stays digital where a kind is alone on the chip, or alone spared from it."""
        return tuple(
            path for name, paths in self.kinds.items() if (name == kind) == (mode == "spared") for path in paths
        )


_BLOCK = {"query": "q", "key": "k", "value": "v", "output": "out", "feed-forward in": "up", "feed-forward out": "down"}
_LLAMA = {"query": ("wq",), "key": ("wk",), "value": ("wv",), "output": ("wo",), "feed-forward in": ("w1", "w3"),
          "feed-forward out": ("w2",)}  # fmt: skip
_SEPARABLE = {"stem": ("stem",), "depthwise": ("blocks.*.dw",), "pointwise": ("blocks.*.pw",)}
NETWORKS = {
    "stories260k": Network(
        "stories260K Llama", "transformer",
        {kind: tuple(f"blocks.*.{name}" for name in names) for kind, names in _LLAMA.items()} | {"head": ("out",)},
        0.05, "tokens",
    ),
    "kws_dscnn_mlperf": Network("DS-CNN keywords", "depthwise", {**_SEPARABLE, "head": ("fc",)}),
    "vit_cifar": Network(
        "ViT on CIFAR-10", "transformer",
        {"stem": ("stem1", "stem2"), **{kind: (f"blocks.*.{name}",) for kind, name in _BLOCK.items()}, "head": ("head",)},
    ),
    "mobilenet_cifar": Network("MobileNet on CIFAR-10", "depthwise", {**_SEPARABLE, "head": ("head",)}),
}  # fmt: skip
SMOKE = {"digits": Network(
    "digits CNN", "depthwise", {"convolution": ("0", "3"), "depthwise": ("6",), "pointwise": ("9",), "head": ("13",)}
)}  # fmt: skip
ALL = {**NETWORKS, **SMOKE}


def with_data(name: str, job: Job) -> Subject:
    """A network of `ALL` with its data; one without published weights is trained first, once for all arms.

    Raises:
        BadInput: `MHO_DATA`, where weights and data lie, is not set or not complete.
    """
    if name == "stories260k":
        own = load("tinystories-self?n=20")  # what the network itself wrote: every real token is left for the test
        on = subject(name)
        return Subject(on.model, on.test, own, own)
    if name in RECIPES:
        images = _IMAGES[job.scale]
        held = load(f"cifar10?prep=imagenet&n={2 * images}" if images else "cifar10?prep=imagenet")
        half = len(held.labels) // 2
        choosing = replace(held, inputs=held.inputs[half:], labels=held.labels[half:])
        ranges = load(f"cifar10?prep=imagenet&split=train&n={RANGES}")
        return Subject(trained(name, job.root / "weights", progress=job.steps), held.subset(half), ranges, choosing)
    return subject(name, split=True)
