"""Do batch norms make a network less resistant to noise on what it has stored, and why?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from mho.statistics.intervals import Interval
from mho.studies.claim import Claim, Finding, above, below, both, every
from mho.studies.figure import Figure
from mho.studies.noise.arm import DATA, NoiseArm, recipe
from mho.studies.noise.base import CPU, NORMED, PROTOCOL, NoiseStudy, normed, read, within
from mho.studies.noise.measured import Rows, above_chance, at_sizes, clean_difference, difference, interval, paired
from mho.studies.noise.settings import SEEDS, SETTINGS
from mho.studies.noise.shown import curves
from mho.studies.outcome import Results, show_points
from mho.studies.study import Scale

SHOWN = ("weights", "parameters", "all", "statistics", "channel", "max", "range", "recalibrated")
_EVERY = ("weights", "parameters", "channel", "max", "range")
"""What can be measured without running statistics; noise on all tensors is noise on the parameters then."""
_SCOPES = ("weights", "parameters", "all")
_KINDS: Mapping[str, tuple[Mapping[str, str], str]] = {
    "none": ({"norm": "none"}, "no norm"),
    "batch": ({"norm": "batch"}, "batch norm in all layers"),
    "some": ({"norm": "batch", "normed": "some"}, "batch norm in every second layer"),
    "group": ({"norm": "group"}, "group norm"),
    "layer": ({"norm": "layer"}, "layer norm"),
    "short": ({"norm": "batch"}, "batch norm in all layers, a third of the epochs"),
}
_PAPER = (
    "Fagbohungbe & Qian 2022, arXiv:2205.07372 and IEEE Access, abstracts; which tensors had noise was not to be read"
)
_PUBLISHED = "average normalised accuracy on CIFAR-10: ResNet-44 41.32 with and 91.95 without, VGG16 10.75 and 93.80"
Found = Results[NoiseArm, Rows]


def _less(of: Callable[..., Interval], *names: str) -> Callable[[Found], Finding]:
    """What `of` says of batch norms in all layers against none, for each of these settings: less."""

    def found(results: Found) -> Finding:
        with_, without = normed(results, "batch"), normed(results, "none")
        return every(*(
            below(f"{SETTINGS[name].label}: with against without", of(with_, without, name)) for name in names
        ))  # fmt: skip

    return found


def _not_by_accuracy(results: Found) -> Finding:
    """Both parts are needed: no more accurate without noise, and less resistant."""
    short, without = normed(results, "short"), normed(results, "none")
    return both(
        below("with and short against without, accuracy without noise", clean_difference(short, without), 0.01),
        *(below(SETTINGS[scope].label, above_chance(short, without, scope)) for scope in ("weights", "all")),
    )


def _grows(results: Found) -> Finding:
    none, some, all_ = (normed(results, kind) for kind in ("none", "some", "batch"))
    return both(
        below("some against none", difference(some, none, "all")),
        below("all against some", difference(all_, some, "all")),
    )


def _same_accuracy(results: Found) -> Finding:
    a, b = normed(results, "batch"), normed(results, "none")
    return within("with against without", clean_difference(a, b), 0.02)


def _channels_close(results: Found) -> Finding:
    """The gap with σ of the tensor, less the gap with σ of each channel."""
    a, b = normed(results, "batch"), normed(results, "none")
    gaps = [paired(b, a, b.averages(name), a.averages(name)) for name in ("weights", "channel")]
    return both(
        above("the gap shrinks by", interval(gaps[0] - gaps[1])), within("and is then", interval(gaps[1]), 0.02)
    )


def _recalibration(results: Found) -> Finding:
    a = normed(results, "batch")
    won, lost = (a.averages(name) for name in ("recalibrated", "weights"))
    return above("recalibrated against not", interval(won - lost))


def _recovered(results: Found) -> Finding:
    a, b = normed(results, "batch"), normed(results, "none")
    return every(*(
        above(f"{what}, recalibrated against without norms", interval(paired(a, b, *tables)))
        for what, tables in (
            ("A_avg", (a.averages("recalibrated"), b.averages("weights"))),
            ("above chance", (a.kept("recalibrated"), b.kept("weights"))),
        )
    ))  # fmt: skip


def _others(results: Found) -> Finding:
    batch = normed(results, "batch")
    return every(*(
        above(f"{other.label} against batch norm", difference(other, batch, "weights"))
        for other in (normed(results, "group"), normed(results, "layer"))
    ))  # fmt: skip


def _others_alike(results: Found) -> Finding:
    """Against batch norms of networks that were trained less; of one that is surely less accurate than they nothing is said."""
    short, parts = normed(results, "short"), []
    for other in (normed(results, "group"), normed(results, "layer")):
        gain = above(f"{other.label} against batch norm", above_chance(other, short, "weights"))
        lead = clean_difference(short, other)
        unequal = Finding("depends", f"{gain.evidence}, of a network that is less accurate by {show_points(lead)}")
        parts.append(unequal if lead.low > 0 else gain)
    return every(*parts)


def _more_accurate(*scopes: str) -> Callable[[Found], Finding]:
    """In accuracy under noise, which shares of what there was do not show."""

    def found(results: Found) -> Finding:
        a, b = normed(results, "batch"), normed(results, "none")
        return every(*(
            above(f"{SETTINGS[scope].label}, {where}", gain) for scope in scopes for where, gain in at_sizes(a, b, scope)
        ))  # fmt: skip

    return found


def _others_more_accurate(results: Found) -> Finding:
    batch = normed(results, "batch")
    return every(*(
        above(f"{other.label} against batch norm, {where}", gain)
        for other in (normed(results, "group"), normed(results, "layer"))
        for where, gain in at_sizes(other, batch, "weights")
    ))  # fmt: skip


def _statistics_cost_more(results: Found) -> Finding:
    a = normed(results, "batch")
    return below("statistics alone against weights alone", interval(a.averages("statistics") - a.averages("weights")))


class BatchNorms(NoiseStudy[NoiseArm]):
    """Arms: the same network without norms, with batch norms in some or all layers, with group or layer norms."""

    name = "noise-batchnorm"
    title = "Batch norms and noise on what a network has stored"
    question = (
        "Do batch norms make a network less resistant to noise on its stored tensors, the more of them it has; on which tensors, "
        "for which meaning of σ; and is it because noise of one size for a tensor drowns its small channels, which their norms "
        "amplify again?"
    )
    protocol = (
        f"{PROTOCOL}{CPU} ResNet-8; `full`: ResNet-44 and VGG16 on CIFAR-10 and CIFAR-100. A network without norms has biases, "
        "and its residual blocks begin as their shortcuts; all are trained at the same rate. Without norms it learns slower, so "
        "a network with batch norms that is trained for a third of the epochs shows what accuracy has to do with it. Norms are "
        "recalibrated with 1,000 training images under the frozen noise. At `cpu` scale 45 minutes of a core: half for "
        "training, half for 8 (with norms) or 6 kinds of noise × 6 sizes × 10 draws × 1,000 images × 18 networks."
    )
    sources = ("Fagbohungbe & Qian 2022, arXiv:2205.07372 (the claims)", "Joshi et al. 2020 (recalibrated norms)")
    claims = (
        Claim("A network with batch norms resists noise less than one without, whichever tensors it is on",
              _less(difference, *_SCOPES), _PAPER, _PUBLISHED),
        Claim("The same holds for what is left above chance", _less(above_chance, *_SCOPES)),
        Claim("It is not because they are more accurate: trained less, and no more accurate by a point, one with batch norms "
              "keeps less above chance, too", _not_by_accuracy),
        Claim("In accuracy it stays ahead at every size of noise on the weights", _more_accurate("weights")),
        Claim("and on every stored tensor", _more_accurate("all")),
        Claim("The more batch norms, the less it resists", _grows, _PAPER),
        Claim("Noise on the running statistics alone costs more than as much on all weights", _statistics_cost_more),
        Claim("Both are as accurate without noise: within 2 points", _same_accuracy),
        Claim("They resist less for every meaning of σ", _less(difference, "weights", "max", "range")),
        Claim("It is a matter of small channels: with σ by channel the gap closes, to within 2 points", _channels_close),
        Claim("Norms recalibrated under the frozen noise win back a part", _recalibration,
              "Joshi et al. 2020, abstract: compensation by batch-norm parameters improves retention"),
        Claim("So recalibrated, it resists more than one without norms", _recovered),
        Claim("Group and layer norms resist more than batch norms", _others),
        Claim("also than those of a network that is no more accurate, trained less, in what is left above chance",
              _others_alike),
        Claim("and are more accurate under noise on the weights", _others_more_accurate),
    )  # fmt: skip
    settings = SHOWN

    def arms(self, scale: Scale) -> list[NoiseArm]:
        """Every network and data set of the scale: without norms and with them first."""
        found = []
        for where in DATA[scale][: 2 if scale == "full" else 1]:
            for spec in NORMED[scale]:
                for kind, (options, label) in _KINDS.items():
                    group = f"{spec.partition('?')[0]}-{where.label.lower()}"
                    made = recipe(spec, where, scale, **options)
                    settings: tuple[str, ...] = SHOWN if kind in ("batch", "some") else (*_EVERY, "all")
                    if kind == "short":
                        made, settings = replace(made, epochs=max(1, made.epochs // 3)), ("weights", "all")
                    found.append(NoiseArm(f"{group}-{kind}", label, group, SEEDS[scale], made, where, settings))
        return found

    def figures(self, results: Found) -> list[Figure]:
        """a(η) for the tensors that noise is on, and for σ by channel and of the largest value."""
        arms = read(results)
        return [
            curves(name, f"Noise on: {SETTINGS[name].label}", arms, name)
            for name in ("weights", "all", "channel", "max")
        ]
