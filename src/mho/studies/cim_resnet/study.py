"""How much variation of conductances do residual networks stand, does depth matter, and what does σ have to mean for it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mho.studies.cim_resnet.claims import CLAIMS
from mho.studies.cim_resnet.held import Rows
from mho.studies.cim_resnet.measured import digital, over_sigma
from mho.studies.cim_resnet.networks import NETS, SMOKE, Net, made
from mho.studies.cim_resnet.shown import figures, tables
from mho.studies.definitions import DEFINITIONS, MAIN, ONCE, SIGMAS
from mho.studies.figure import Figure
from mho.studies.noise.settings import SEEDS
from mho.studies.outcome import Results
from mho.studies.study import Arm, Job, Scale, Study
from mho.studies.table import Table

IMAGES: Mapping[Scale, int] = {"smoke": 40, "cpu": 100, "full": 400}
"""Test images that each chip sees, its own: all chips together see 10,000 at most, which are all that there are."""
ROWS = (128, 64, 256)
BITS: Mapping[Scale, tuple[int, ...]] = {"smoke": (4, 8), "cpu": tuple(range(4, 11)), "full": tuple(range(4, 11))}
_CONVERTED = (0.0, 0.1)
"""σ at which rows and bits of converters are varied."""


@dataclass(frozen=True)
class CimArm(Arm):
    """A network under a definition of σ.

    Attributes:
        network: Name in `NETS`.
        definition: Name in `DEFINITIONS`.
        work: "sigma": every σ; "converters": every resolution of the ADC, on arrays of `rows`.
        rows: Of an array.
    """

    network: str = "resnet20"
    definition: str = "ideal"
    work: Literal["sigma", "converters"] = "sigma"
    rows: int = 128


Found = Results[CimArm, Rows]


class CimResNet(Study[CimArm, Rows]):
    """Arms: networks × definitions of σ; rows × bits of the converters."""

    name = "cim-resnet"
    title = "Residual networks in memory: depth, width, kernels, and what σ means"
    question = (
        "Do deeper, narrower and smaller-kernelled residual networks fall faster as the conductances of their cells vary, under "
        "which definition of σ, and what do encodings, array rows and converters change, at what energy?"
    )
    protocol = (
        "8-bit weights in two cells of 4 bits, inputs of 8 bits and a sign given whole, arrays of 128 rows, converters of 10 "
        "bits (ideal where a definition says no other), σ in {0, 0.05, 0.1, 0.15, 0.2}; conductances that are drawn once a chip "
        "are cut at 0; ranges from training images without variation. Chip i of every network, definition and σ has the same "
        "address of its draws and the same test images of its own, which no other chip has: at `cpu` scale 10 chips × 100 images "
        "of CIFAR-10, at `full` 25 × 400. Accuracy is raw, normalised by the same images at σ = 0, and corrected for chance: "
        "(a - 0.1)/(a₀ - 0.1); 'kept' is the mean of the latter over σ > 0. Intervals are 95 %, Student's over chips, over chips "
        "and training seeds where networks are trained here, over chips and the networks' scatter around a line where that is "
        "asked. Networks trained here at `cpu` scale: three seeds, SGD with one cycle up to a rate of 0.05, the first 10,000 "
        "training images of CIFAR-10 with crops and flips, 8 epochs, or the first 6,000 of MNIST, 4 epochs, in bfloat16 mixed "
        "precision. Power, reckoned before measuring: with 6 points between chips and 5 points by 100 images, a level is known "
        "to ±5.6 points, a slope over the four depths to ±2.5 points for 12 layers."
    )
    sources = (
        "NTU slides 2022 (CIM accuracy analysis and multi-exit architecture)",
        "Yang & Sze 2019, arXiv:1912.12167, as those slides relay it",
        "Peng et al. 2019, IEDM (DNN+NeuroSim)",
    )
    claims = CLAIMS
    chips = {"smoke": 2, "cpu": 10, "full": 25}  # noqa: RUF012
    apart = True

    def arms(self, scale: Scale) -> list[CimArm]:
        """Depth under the slides' definition, what σ means, converters, other encodings, what was tuned, what was trained."""
        if scale == "smoke":
            found = [_arm(name, net, d, scale) for d in ("ideal", "pair") for name, net in SMOKE.items()]
            return [*found, _converters("offset", 128, "resnet8")]
        depths = [name for name, net in NETS.items() if net.origin == "published"]
        rest = [name for name in DEFINITIONS if name not in (*MAIN[:2], *ONCE)]
        pairs = [(d, name) for d in MAIN[:2] for name in depths]
        pairs += [(d, depths[0]) for d in rest]
        pairs += [(d, name) for d in rest[:4] for name in depths[1:]]
        found = [_arm(name, NETS[name], d, scale) for d, name in pairs]
        found += [_converters(sign, rows) for rows in ROWS for sign in ("offset", "pair")]
        pairs = [(d, name) for d in rest[4:] for name in depths[1:]] + [(d, depths[0]) for d in ONCE]
        found += [_arm(name, NETS[name], d, scale) for d, name in pairs]
        for origin in ("tuned", "trained"):
            # By definition, then by network: arms of one network wait for its training.
            found += [_arm(name, net, d, scale) for d in MAIN for name, net in NETS.items() if net.origin == origin]
        return found

    def run(self, arm: CimArm, job: Job) -> list[dict[str, Any]]:
        """The digital network, then every σ (and resolution) on all chips."""
        chips, images = self.chips[job.scale], IMAGES[job.scale]
        on = made(arm.network, job, chips * images)
        found, definition = [digital(on, chips, images)], DEFINITIONS[arm.definition]
        if arm.work == "sigma":
            job.progress("σ by σ")
            return [*found, *over_sigma(on, definition, SIGMAS, chips=chips, images=images)]
        for bits in BITS[job.scale]:
            job.progress(f"{bits} bits")
            found += over_sigma(on, definition, _CONVERTED, chips=chips, images=images, rows=arm.rows, bits=bits)
        return found

    def tables(self, results: Found) -> list[Table]:
        """Every number."""
        return tables(results)

    def figures(self, results: Found) -> list[Figure]:
        """Depth, slopes by definition, converters, energy, width and kernels."""
        return figures(results)


def _arm(name: str, net: Net, definition: str, scale: Scale) -> CimArm:
    seeds = 0 if net.origin == "published" else SEEDS[scale] if net.origin == "trained" else 1
    return CimArm(
        f"{definition}-{name}", f"{net.label}: {DEFINITIONS[definition].label}", definition, seeds, name, definition
    )


def _converters(sign: str, rows: int, network: str = "resnet20") -> CimArm:
    definition = "ideal" if sign == "offset" else "pair"
    return CimArm(
        f"converters-{sign}-{rows}", f"{DEFINITIONS[definition].label}, {rows} rows", "converters", network=network,
        definition=definition, work="converters", rows=rows,
    )  # fmt: skip
