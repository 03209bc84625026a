"""Tables and figures of `cim-resnet`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mho.studies.cim_resnet.claims import DEPTHS, TUNED
from mho.studies.cim_resnet.held import Found, Held, interval, slope, slope_of_depth, under
from mho.studies.definitions import DEFINITIONS, MAIN, SIGMAS
from mho.studies.figure import Figure, Series, points
from mho.studies.outcome import show_level, show_points
from mho.studies.table import Table

_WHAT = "definition of σ: cells, σ is"
_LABELS = {"offset": "offset", "pair": "pairs"}
_SETS = {
    "depth": DEPTHS, "tuned": TUNED, "width": ("width8", "width16", "width32"), "kernel": ("kernel1", "width16", "kernel5"),
    "plain": ("plain1", "plain3", "plain5"), "second": ("second1", "second3", "second5"),
    "second-depth": ("second-resnet8", "second-resnet14", "second-resnet20"), "inversion": ("width16", "squeeze"),
    "smoke": ("resnet8", "resnet14"),
}  # fmt: skip
"""Networks of a figure."""


def tables(results: Found) -> list[Table]:
    """Accuracies with energies; what is kept; slopes over depth; converters."""
    found = [*_accuracies(results), _slopes(results), _converted(results)]
    return [table for table in found if table.rows]


def _accuracies(results: Found) -> Iterator[Table]:
    raw, normed = [], []
    for name, definition in DEFINITIONS.items():
        for held in under(results, name).values():
            first = [f"{name}: {definition.label}", held.net.label]
            cells = [show_level(interval(held.accuracy(s))) for s in SIGMAS]
            energy, latency = held.values("energy_uj")[0], held.values("latency_us")[0]
            raw.append([*first, show_level(interval(held.digital)), *cells, f"{energy:.3g}", f"{latency:.3g}"])
            clean = held.accuracy(0.0)
            shares = (f"{show_level(interval(held.accuracy(s) / clean))} / {show_level(interval(held.corrected(s)))}"
                      for s in SIGMAS[1:])  # fmt: skip
            normed.append([*first, *shares, show_level(interval(held.kept()))])
    sigmas = [f"σ {s:g}" for s in SIGMAS]
    head = (
        _WHAT,
        "network",
        "digital (%)",
        *(f"{s} (%)" for s in sigmas),
        "energy (µJ)",
        "latency (µs)",
    )
    yield Table(head, raw)
    yield Table(
        (
            _WHAT,
            "network",
            *(f"{s}: normalised / above chance (%)" for s in sigmas[1:]),
            "kept (%)",
        ),
        normed,
    )


def _slopes(results: Found) -> Table:
    rows = []
    for label, names in (("published", DEPTHS), ("tuned", TUNED)):
        for name, definition in DEFINITIONS.items():
            nets = _there(results, name, names)
            if len(nets) == len(names):
                both = (show_points(slope(nets)), show_points(slope_of_depth(nets)))
                rows.append([f"{name}: {definition.label}", label, *both])
    return Table((_WHAT, "weights", "kept, for 12 layers more [chips]", "[chips and networks]"), rows)


def _converted(results: Found) -> Table:
    rows = []
    for held in _converters(results):
        label = f"{_LABELS[held.arm.name.split('-')[1]]}, {held.arm.rows} rows"
        for bits in dict.fromkeys(held.values("bits")):
            cells = [show_level(interval(held.accuracy(s, bits=bits))) for s in (0.0, 0.1)]
            energy, latency = (held.values(what, bits=bits)[0] for what in ("energy_uj", "latency_us"))
            rows.append([label, str(bits), *cells, f"{energy:.3g}", f"{latency:.3g}"])
    return Table(("cells, arrays", "bits of the ADC", "σ 0 (%)", "σ 0.1 (%)", "energy (µJ)", "latency (µs)"), rows)


def _converters(results: Found) -> list[Held]:
    return [Held(o, results.scale) for o in results.values() if o.arm.work == "converters"]


def _there(results: Found, definition: str, names: Sequence[str]) -> list[Held]:
    held = under(results, definition)
    return [held[name] for name in names if name in held]


def figures(results: Found) -> list[Figure]:
    """Accuracy over σ by each factor; slopes over depth by definition; converters; energy."""
    drawn = [figure for name in _SETS for d in MAIN if (figure := _over_sigma(results, name, d)).series]
    for figure in (_by_definition(results), _slope_figure(results), *_bits(results)):
        if figure.series:
            drawn.append(figure)
    return drawn


def _over_sigma(results: Found, name: str, definition: str) -> Figure:
    nets = _there(results, definition, _SETS[name])
    series = [
        Series(net.net.label, points([interval(net.accuracy(s)) for s in SIGMAS]), SIGMAS)
        for net in (nets if len(nets) > 1 else [])
    ]
    title = f"σ: {DEFINITIONS[definition].label}"
    return Figure(f"{name}-{definition}", title, series, "accuracy (%)", "linear", "σ", low=0, high=100)


def _by_definition(results: Found) -> Figure:
    """ResNet-20 under every definition, a place each."""
    held = {name: nets["resnet20"] for name in DEFINITIONS if "resnet20" in (nets := under(results, name))}
    series = [
        Series(f"σ {s:g}", points([interval(net.accuracy(s)) for net in held.values()]), range(len(held)), "points")
        for s in (SIGMAS[1:] if len(held) > 1 else [])
    ]
    title = "ResNet-20: what the same σ costs, by what it means"
    where = "definition of σ (the table says what each is)"
    return Figure("definitions", title, series, "accuracy (%)", list(held), where, low=0, high=100, legend=True)


def _slope_figure(results: Found) -> Figure:
    """Slopes over depth, a place a definition."""
    both = {d: _there(results, d, DEPTHS) for d in DEFINITIONS}
    names = [d for d, nets in both.items() if len(nets) == len(DEPTHS)]
    series = [
        Series(label, points([of(both[d]) for d in names]), range(len(names)), "points")
        for label, of in (("over chips", slope), ("over chips and networks", slope_of_depth)) if len(names) > 1
    ]  # fmt: skip
    title = "Depth: change of what is kept above chance for 12 layers more"
    return Figure("slopes", title, series, "points for 12 layers", names, "definition of σ (the table says what each is)",
                  legend=True)  # fmt: skip


def _bits(results: Found) -> Iterator[Figure]:
    """Accuracy over the bits of the ADC, and over the energy of an inference."""
    held = {f"{_LABELS[h.arm.name.split('-')[1]]}, {h.arm.rows} rows": h for h in _converters(results)}
    for sigma in (0.0, 0.1):
        over_bits, over_energy = [], []
        for label, arm in held.items():
            bits = list(dict.fromkeys(arm.values("bits")))
            y = points([interval(arm.accuracy(sigma, bits=b)) for b in bits])
            energy = [arm.values("energy_uj", bits=b)[0] for b in bits]
            over_bits.append(Series(label, y, bits, "dashed" if label.startswith("pairs") else "solid"))
            over_energy.append(Series(label, y, energy, "points"))
        title = f"ResNet-20, σ {sigma:g} of the cell's own conductance"
        yield Figure(f"bits-{sigma:g}", title, over_bits, "accuracy (%)", "linear", "bits of the ADC", legend=True)
        yield Figure(
            f"energy-{sigma:g}", title, over_energy, "accuracy (%)", "log", "energy of an inference (µJ)", legend=True
        )
