"""What the rows decide."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from mho.statistics.intervals import Interval
from mho.studies.claim import Claim, Finding, above, every
from mho.studies.dropping.measured import Measured
from mho.studies.outcome import Results, show_points
from mho.studies.placed import DIGITAL, over, over_seeds, shown, with_images

PUBLISHED = "BlockDrop, Wu et al. 2018, arXiv:1711.08393"
Check = Callable[[Results[Any, Any]], Finding]


def _measured(results: Results[Any, Any]) -> list[Measured]:
    return [Measured(outcome) for outcome in results.values()]


def _over(other: str) -> Check:
    """The clean policy over another choice of blocks. All blocks are no choice."""

    def check(results: Results[Any, Any]) -> Finding:
        return _any(
            above(f"{arm.label}, {shown(place)}", arm.gain(place, other))
            for arm in _measured(results) for place in (DIGITAL, *arm.noisy, *arm.aged) if arm.drops(place, "clean")
        )  # fmt: skip

    return check


def _over_original(name: str, least: float = 0.0) -> Check:
    """A choice in the network that was tuned with its policy, over all blocks of the original one, by more than `least`."""

    def check(results: Results[Any, Any]) -> Finding:
        parts = []
        for arm in _measured(results):
            for place in (DIGITAL, *arm.noisy, *arm.aged):
                scores = [arm.values(place, each) for each in (name, "original")]
                levels, images = [float(each.mean()) for each in scores], int(arm.digital()["samples"])
                found = with_images(over(scores[0] - scores[1]), levels, images)
                parts.append(above(f"{arm.label}, {shown(place)}", found, least))
        return every(*parts)

    return check


def _exact_over_clean(results: Results[Any, Any]) -> Finding:
    """In reward, over chips and training seeds."""
    return _any(
        above(f"{arm.label}, {shown(p)}", over(arm.values(p, "exact", "reward") - arm.values(p, "clean", "reward")), show=_plain)
        for arm in _measured(results) if arm.exact for p in (DIGITAL, *arm.noisy, *arm.aged)
    )  # fmt: skip


def _earns(name: str) -> Check:
    """A policy over the best fixed blocks of any number, in reward; how much more an oracle earns, digitally."""

    def check(results: Results[Any, Any]) -> Finding:
        parts = []
        for arm in _measured(results):
            if name == "exact" and not arm.exact:
                continue
            for place in (DIGITAL, *arm.noisy, *arm.aged):
                words = f"{arm.label}, {shown(place)}"
                if place == DIGITAL and arm.exact:
                    known, best = (np.mean(each) for each in zip(*map(_oracle, arm.digitals), strict=True))
                    words += f" (of {known - best:.3f} by labels)"
                parts.append(above(words, arm.gain(place, f"{name}_earned"), show=_plain))
        return _any(parts)

    return check


def _oracle(row: dict[str, Any]) -> tuple[float, float]:
    return row["oracle"], row["choices"]["best"]["reward"]


def _any(parts: Iterable[Finding]) -> Finding:
    held = [*parts]
    return every(*held) if held else Finding("open", "no policy drops a block")


def _aware(name: str, of: str) -> Check:
    """A policy rewarded on chips over the clean one, on chips of its kind."""

    def check(results: Results[Any, Any]) -> Finding:
        parts = []
        for arm in _measured(results):
            for place in arm.aged if name == "aged" else arm.noisy:
                if not arm.drops(place, "clean", name):
                    continue
                blocks = (arm.values(place, name, "blocks") - arm.values(place, "clean", "blocks")).mean()
                words = f"{arm.label}, {shown(place)} ({blocks:+.2f} blocks)"
                show = show_points if of == "accuracy" else _plain
                parts.append(above(words, arm.gain(place, f"{name}_{of}"), show=show))
        return _any(parts)

    return check


def _plain(found: Interval) -> str:
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def _several(results: Results[Any, Any]) -> Finding:
    parts = []
    for arm in _measured(results):
        numbers = [row["choices"]["clean"]["policies"] for row in arm.digitals]
        words = f"{arm.label} {' and '.join(map(str, numbers))} among {arm.digital()['samples']} images"
        parts.append(Finding("holds" if min(numbers) > 1 else "fails" if max(numbers) == 1 else "depends", words))
    return every(*parts)


def _penalty(results: Results[Any, Any]) -> Finding:
    """Over images, and over training seeds: where one penalty has fewer, its first stands against the others' further ones."""
    small, large = (Measured(results[name]) for name in ("resnet20-1", "resnet20-5"))
    blocks, right = [], []
    for seed in small.seeds:
        other = large.digital(seed if seed in large.seeds else None)
        one, five = (row["choices"]["clean"] for row in (small.digital(seed), other))
        n = small.digital(seed)["samples"]
        blocks.append(_around(five["blocks"] - one["blocks"], math.hypot(one["spread"], five["spread"]) / math.sqrt(n)))
        error = math.sqrt(sum(each["accuracy"] * (1 - each["accuracy"]) for each in (one, five)) / n)
        right.append(_around(five["accuracy"] - one["accuracy"], error))
    return every(
        above(
            f"blocks, γ = 5 less γ = 1, of {len(large.seeds)} and {len(small.seeds)} training seeds",
            over_seeds(blocks),
            show=_plain,
        ),
        above("accuracy", over_seeds(right)),
    )


def _around(value: float, error: float) -> Interval:
    return Interval.around(value, 1.96 * error)


def _loses_less(results: Results[Any, Any]) -> Finding:
    """What is left of the accuracy above chance, as a share of that without σ, against the original network; a floor is no
    gain."""
    parts = []
    for arm in _measured(results):
        chance, images = 1 / arm.digital()["classes"], arm.digital()["samples"]
        before = {name: arm.values(("σ 0", "0 s"), name) - chance for name in ("clean", "original")}
        if min(each.min() for each in before.values()) <= 0:
            parts.append(Finding("open", f"{arm.label} is at chance without σ"))
            continue
        for place in arm.noisy:
            scores = {name: arm.values(place, name) for name in before}
            clean, original = ((scores[name] - chance) / before[name] for name in before)
            least, kept = float(min(each.mean() for each in before.values())), over(clean - original)
            points = Interval(least * kept.value, least * kept.low, least * kept.high)
            wider = with_images(points, [float(each.mean()) for each in scores.values()], images).half_width / least
            found = Interval.around(kept.value, wider)
            parts.append(above(f"{arm.label}, {shown(place)}", found))
    return every(*parts)


def _on_chip(results: Results[Any, Any]) -> Finding:
    return _any(
        above(f"{arm.label}, {shown(place)}", arm.gain(place, "on_chip"))
        for arm in _measured(results) for place in (*arm.noisy, *arm.aged) if arm.drops(place, "clean", "on_chip")
    )  # fmt: skip


CLAIMS = (
    Claim("A policy rewarded on chips of σ > 0 earns more there than a clean one", _aware("sigma", "reward")),
    Claim("and is more accurate there, at equal blocks", _aware("sigma", "accuracy")),
    Claim("A policy rewarded on aged chips earns more on them than a clean one", _aware("aged", "reward")),
    Claim("and is more accurate on them, at equal blocks", _aware("aged", "accuracy")),
    Claim("A policy beats as many blocks drawn at random, of the network that was tuned with it", _over("random"), PUBLISHED),
    Claim("It beats the best fixed blocks there, as many", _over("fixed"), PUBLISHED),
    Claim("and earns more than those of any number", _earns("clean")),
    Claim("A policy that is taught by the rewards of all choices, with nothing drawn, earns more than the best fixed blocks",
          _earns("exact")),
    Claim("and more than the clean policy", _exact_over_clean),
    Claim("The clean policy is more accurate than all blocks of the network that was tuned with a policy", _over("all")),
    Claim("With that (joint) policy this network is as accurate as the original one with all blocks, but for a point",
          _over_original("joint", -0.01), PUBLISHED, "93.6 % with 16.93 of 54 blocks against 93.2, ResNet-110 on CIFAR-10"),
    Claim("and with all its blocks more accurate than the original one", _over_original("all")),
    Claim("The clean policy makes more than one choice", _several, PUBLISHED,
          "469 choices among CIFAR-10's test images, ResNet-110"),
    Claim("A larger penalty keeps more blocks and more accuracy", _penalty, PUBLISHED),
    Claim("With its policy it keeps more of its accuracy above chance under σ than the original one with all blocks",
          _loses_less),
    Claim("A policy on the chip costs accuracy against a digital one", _on_chip),
)  # fmt: skip
