"""`check`: what is there of the known data sets and weights, and whether it is right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from mho.data.download import PARTIAL, has_checksum
from mho.data.known import Known, known
from mho.data.loading import load
from mho.data.root import Missing, data_root
from mho.errors import BadInput, MhoError, MissingExtra
from mho.models.published import published, weights_file

State = Literal["right", "partial", "wrong", "missing"]
_SPLITS = {
    "cifar10": {"test": 10_000, "train": 50_000}, "cifar100": {"test": 10_000, "train": 50_000},
    "mnist": {"test": 10_000, "train": 60_000}, "fashion-mnist": {"test": 10_000, "train": 60_000},
    "kws": {"test": 1_000}, "vww01": {"test": 1_000}, "tinystories": {"": 5}, "tinystories-self": {"": 200},
}  # fmt: skip
"""Samples of each split, as published."""


class Finding(NamedTuple):
    """What was found of one data set or network.

    Attributes:
        name: Its name.
        state: "right", "partial" (fewer samples than published), "wrong" or "missing".
        detail: What was compared, or what is wrong, in words.
    """

    name: str
    state: State
    detail: str


def check(name: str) -> Finding:
    """Look at what is there of a data set or of published weights.

    Files that have a known checksum are compared with it; all of it is read: shapes, numbers of samples, the range of labels
    and, for the CIFAR sets, as many images of each class.

    Raises:
        WrongSetting: Nothing is known of this name.
        BadInput: `MHO_DATA` names no folder.
    """
    one = known(name)
    if not _there(one):
        return Finding(one.name, "missing", f"mho data fetch {one.name}" if one.files else one.otherwise)
    compared, wrong = _checksums(one)
    if wrong:
        return Finding(one.name, "wrong", f"another checksum: {', '.join(wrong)}; mho data fetch {one.name}")
    try:
        read = [_weights(one)] if one.weights else _samples(one.name)
    except MissingExtra as error:
        return Finding(one.name, "wrong", f"not read: {error.problem}; {error.remedy}")
    except MhoError as error:
        return Finding(one.name, "wrong", f"{error.path}: {error.problem}" if error.path else error.problem)
    partial = any(" of " in each or each.startswith("no ") for each in read) and not one.weights
    return Finding(one.name, "partial" if partial else "right", "; ".join([*compared, ", ".join(read)]))


def _there(one: Known) -> bool:
    """Something of it is there, right or wrong."""
    for split in [""] if one.weights else _SPLITS[one.name]:
        try:
            if one.weights:
                weights_file(one.name)
            else:
                load(f"{one.name}?n=1{f'&split={split}' if split else ''}")
        except Missing:
            continue
        except MhoError:
            pass
        return True
    return False


def _checksums(one: Known) -> tuple[list[str], list[str]]:
    """What was compared, and the files whose checksum is another."""
    listed = [(remote.name, remote.checksum) for remote in one.files] + list(one.inside)
    places = (data_root() / one.folder, data_root())  # Torchvision unpacks into the folder itself.
    here = [(place / name, checksum) for place in places for name, checksum in listed if (place / name).is_file()]
    wrong = [str(file) for file, checksum in here if not has_checksum(file, checksum)]
    if not here:
        return ["no published checksum for these files" if one.files else "no checksum is known"], []
    kinds = " and ".join(sorted({checksum.partition(":")[0] for _, checksum in here}))
    return [f"{kinds} of {len(here)} file{'s' if len(here) > 1 else ''} as published"], wrong


def _samples(name: str) -> list[str]:
    found = []
    for split, count in _SPLITS[name].items():
        try:
            data = load(f"{name}{f'?split={split}' if split else ''}")
        except Missing:
            found.append(f"no {split} samples")
            continue
        samples, of = len(data.labels), f"{split or 'samples'}"
        if samples > count:
            raise BadInput(f"{samples} {of} instead of {count}", "fetch it again")
        counts = data.labels.flatten().bincount(minlength=len(data.classes)) if name.startswith("cifar") else None
        if counts is not None and samples == count and len(counts.unique()) != 1:
            raise BadInput(f"{int(counts.min())} to {int(counts.max())} {of} images of a class", "fetch it again")
        found.append(f"{samples:,} {of}" if samples == count else f"{samples:,} of {count:,} {of}")
    return found


def _weights(one: Known) -> str:
    network, _ = published(one.name)
    return f"{sum(p.numel() for p in network.parameters()):,} finite parameters that fit the network"


def unfinished() -> Iterator[str]:
    """Downloads that are not whole yet, with their size."""
    for part in sorted(data_root().rglob(f"*{PARTIAL}")):
        yield f"{part} ({part.stat().st_size / 1e6:.1f} MB; mho data fetch goes on with it)"
