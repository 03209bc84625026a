"""The points that a multi-objective design has found: those that no other one beats."""

from __future__ import annotations

from collections.abc import Sequence

from mho.measure.aligned import aligned
from mho.sweeps.choose import points_of
from mho.sweeps.designs.adaptive import Adaptive
from mho.sweeps.ledger import Ledger
from mho.sweeps.plan import Plan
from mho.sweeps.proof import show
from mho.tasks import Task


def unbeaten(values: Sequence[tuple[float, ...]], most: Sequence[bool]) -> list[int]:
    """Places of the values that no other ones equal or better in every objective and better in one.

    Args:
        values: One a point and objective.
        most: Of each objective, whether more is better.
    """
    worths = [tuple(v if more else -v for v, more in zip(each, most, strict=True)) for each in values]
    return [
        i for i, mine in enumerate(worths)
        if not any(all(a >= b for a, b in zip(other, mine, strict=True)) and other != mine for other in worths)
    ]  # fmt: skip


def front(ledger: Ledger, plan: Plan) -> list[str]:
    """The front as a table, best first by the first objective."""
    design = plan.design
    assert isinstance(design, Adaptive)
    known = [(number, each.point, each.values) for number, each in enumerate(points_of(ledger, plan)) if each.values]
    most = [objective.most for objective in design.wanted]
    kept = [known[i] for i in unbeaten([values for _, _, values in known], most)]
    score = Task.of(plan.task).headline
    rows = [
        [
            str(number),
            *(score.show(v) if o.of == "score" else f"{v:.6g}" for o, v in zip(design.wanted, values, strict=True)),
            *(show(point.get(path)) for path in plan.factors),
        ]
        for number, point, values in sorted(kept, key=lambda each: -each[2][0] if most[0] else each[2][0])
    ]
    heads = ["point", *(score.label if o.of == "score" else o.of for o in design.wanted), *plan.factors]
    title = f"{len(kept)} of {len(known)} points that no other one beats (partly luck: confirm on another chip_seed):"
    return [title, *aligned([heads, *rows])]
