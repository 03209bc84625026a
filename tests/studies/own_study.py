"""A study of one's own, as a package of one's own would have it: how coarse may the converters of a small network be?"""

from __future__ import annotations

import mho
from mho.studies import Arm, Claim, Figure, Job, Results, Scale, Series, Study, Table, above, points, reference, subject
from mho.tasks.score import bracket


def _coarse_costs(results):
    return above("after a day, 8 bits against 3", results["bits-8"].gain(results["bits-3"], "1 day"))


class CoarseConverters(Study):
    """Arms: bits of DAC and ADC."""

    name = "coarse"
    title = "Coarse converters"
    question = "How many bits do the converters of a small network need?"
    protocol = "A small network on scikit-learn's digits; the same chips in every arm."
    claims = (Claim("Three bits are too few", _coarse_costs),)

    def arms(self, scale: Scale) -> list[Arm]:
        return [Arm(f"bits-{bits}", f"{bits} bits") for bits in (8, 5, 3)]

    def run(self, arm: Arm, job: Job) -> None:
        on, bits = subject("digits"), int(arm.name.removeprefix("bits-"))
        net = mho.to_analog(on.model, mho.Hardware.preset("pcm-cells", **{"dac.bits": bits, "adc.bits": bits}))
        mho.calibrate(net, on.ranges)
        mho.drift(net, on.test, ["1 h", "1 day"], chips=self.chips[job.scale], out=job.out, workers=job.workers)

    def tables(self, results: Results) -> list[Table]:
        rows = [(o.arm.label, *(bracket(i.value, i.low, i.high) for i in o.curve())) for o in results.values()]
        return [Table(("converters", "1 h", "1 day"), rows)]

    def figures(self, results: Results) -> list[Figure]:
        lines = [Series(o.arm.label, points(o.curve()), o.first.ages_s) for o in results.values()]
        digital = reference("digital", 100 * results["bits-8"].digital)
        return [Figure("bits", self.title, [*lines, digital], "accuracy (%)")]
