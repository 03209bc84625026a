"""`write_cost`: the page of a cost, its figure as a file, and everything as CSV and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from mho.costs import Cost
from mho.costs.assemble import CHIP, DIGITAL
from mho.errors import BadInput
from mho.reports.colours import COLOURS, MUTED
from mho.reports.page import Cell, Head, Row, Table, render
from mho.reports.plot import Line, Plot
from mho.reports.svg import compose, label, of_line, plain
from mho.store.files import write_text
from mho.tasks.score import percent
from mho.units import show_quantity

MOST_LAYERS, MOST_COMPONENTS = 24, 7
"""Bars of the figure, and colours in them; the rest is shown together."""
REST, BESIDE = "other components", "beside the arrays"


def write_cost(cost: Cost, directory: str | Path) -> Path:
    """Write ``cost.html``, ``figures/energy.svg``, ``cost.csv`` (a row a layer and component) and ``cost.json``.

    Args:
        cost: What was found.
        directory: Made if it is not there.

    Returns:
        Path of ``cost.html``.

    Raises:
        BadInput: The directory cannot be written.
    """
    directory = Path(directory)
    try:
        (directory / "figures").mkdir(parents=True, exist_ok=True)
        cost.to_csv(directory / "cost.csv")
        cost.to_json(directory / "cost.json")
        figure = energy_by_layer(cost)
        write_text(directory / "figures" / f"{figure.name}.svg", figure.svg)
        path = directory / "cost.html"
        write_text(path, _page(cost, figure))
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", "give another directory", path=str(directory)) from error
    return path


def energy_by_layer(cost: Cost) -> Plot:
    """Energy of each layer as a bar, its components as the parts of it."""
    known = list(cost.by_component())
    named = known[:MOST_COMPONENTS] if len(known) > MOST_COMPONENTS + 1 else known[: MOST_COMPONENTS + 1]
    names = [*named, REST] if len(named) < len(known) else named
    bars = _bars(cost, named)
    places = list(bars)
    colours = [*COLOURS[: len(named)], MUTED]
    lines = [
        Line(name.replace("_", " "), colour, "bar", values=[_joules(bars[place].get(name, 0.0)) for place in places])
        for name, colour in zip(names, colours, strict=False)
    ]
    unit, size = _unit(max((sum(parts.values()) for parts in bars.values()), default=0.0))

    def paint(ax: Axes, wide: bool) -> Sequence[float]:
        for row, place in enumerate(places):
            left = 0.0
            for i, name in enumerate(names):
                width = bars[place].get(name, 0.0) / size
                ax.barh(row, width, left=left, height=0.72, color=colours[i], alpha=0.75, linewidth=0, **of_line(i))
                left += width
        ax.set_yticks(range(len(places)), [label(_short(place, wide)) for place in places])
        ax.set_ylim(len(places) - 0.4, -0.6)
        ax.grid(visible=True, axis="x")
        ax.grid(visible=False, axis="y")
        ax.set_xlabel(f"energy of an inference ({unit})")
        return list(range(len(places)))

    height = 1.0 + 0.27 * len(places)
    svg, panes = compose("energy", paint, height=height, lines=lines, along="y", low=height)
    return Plot(
        "energy",
        "Where the energy goes",
        f"Bar chart of the energy of {len(places)} layers by component: "
        + "; ".join(f"{plain(place)} {_joules(sum(parts.values()))}" for place, parts in bars.items()),
        "Energy of one inference, of what is counted. Beside the arrays: the digital part, and parts that draw power for as long "
        "as the chip works.",
        ("layer", *(name.replace("_", " ") for name in names), "all"),
        [
            (place, *(_joules(parts.get(name, 0.0)) for name in names), _joules(sum(parts.values())))
            for place, parts in bars.items()
        ],
        svg, panes, tuple(lines), tuple(places),
    )  # fmt: skip


def section(cost: Cost) -> list[tuple[str, str, str]]:
    """The key numbers of a cost, for its own page and for those of others: name, value, note."""
    return [
        ("Energy of an inference", _joules(cost.energy_pj), f"{cost.tops_per_watt:.3g} TOPS/W at {cost.bits}"),
        ("Latency", show_quantity(cost.latency_ns * 1e-9, "s"), _interval(cost)),
        ("Arrays", f"{cost.capacity.needed:,}", _fits(cost)),
        ("Area", f"{cost.area_um2 * 1e-6:.3g} mm²", f"of what is counted, at {cost.node_nm:g} nm"),
    ]


def _page(cost: Cost, figure: Plot) -> str:
    return render(
        "cost.html.j2", cost=cost, sentence=cost.sentence(), keys=section(cost), plot=figure, layers=_layers(cost),
        components=_components(cost), capacity=_capacity(cost),
    )  # fmt: skip


def _bars(cost: Cost, named: Sequence[str]) -> dict[str, dict[str, float]]:
    """pJ by layer and component, the layers in the network's order, those that take least together."""
    dearest = sorted(cost.layers, key=lambda layer: -layer.energy_pj)[: MOST_LAYERS - 1]
    kept = {layer.path for layer in (cost.layers if len(cost.layers) <= MOST_LAYERS else dearest)}
    others = f"{len(cost.layers) - len(kept)} other layers"
    found: dict[str, dict[str, float]] = {}
    for entry in cost.entries:
        place = BESIDE if entry.layer in (DIGITAL, CHIP) else entry.layer if entry.layer in kept else others
        name = entry.component if entry.component in named else REST
        parts = found.setdefault(place, {})
        parts[name] = parts.get(name, 0.0) + (entry.energy_pj or 0.0)
    last = [place for place in (others, BESIDE) if place in found]  # they stand nowhere in the network
    return {place: found[place] for place in (*(p for p in found if p not in last), *last)}


def _layers(cost: Cost) -> Table:
    names = ("matrix", "row blocks", "arrays", "filled", "products", "conversions", "MACs", "time", "energy", "share")
    total = cost.energy_pj or 1.0
    rows = [
        Row((
            each.path or "the layer",
            Cell(f"{each.rows * each.groups} × {each.columns * each.groups}", sort=float(each.rows * each.columns)),
            str(each.row_blocks), f"{each.arrays} × {each.copies}" if each.copies > 1 else str(each.arrays),
            percent(each.utilisation, 0), f"{each.products:,.0f}", f"{each.conversions:,.0f}", f"{each.macs:,.0f}",
            Cell(show_quantity(each.time_ns * 1e-9, "s"), sort=each.time_ns), Cell(_joules(each.energy_pj), sort=each.energy_pj),
            percent(each.energy_pj / total),
        ))
        for each in cost.layers
    ]  # fmt: skip
    return Table([Head("layer", "wrap"), *(Head(name) for name in names)], rows)


def _components(cost: Cost) -> Table:
    total, areas, sources = cost.energy_pj or 1.0, cost.area_by_component(), cost.rests_on()
    energies = cost.by_component()
    rows = []
    for name in dict.fromkeys((*energies, *areas)):
        energy, area = energies.get(name), areas.get(name)
        rows.append(Row((
            name.replace("_", " "),
            "–" if energy is None else Cell(_joules(energy), sort=energy),
            "–" if energy is None else percent(energy / total),
            "–" if area is None else Cell(f"{area * 1e-6:.3g} mm²", sort=area),
            sources.get(name, ""),
        )))  # fmt: skip
    heads = [Head("component", "text"), Head("energy"), Head("share"), Head("area"), Head("rests on", "wrap")]
    return Table(heads, rows)


def _capacity(cost: Cost) -> str:
    room = cost.capacity
    parts = [f"It stands in {room.cells:,} cells on {room.needed:,} arrays."]
    energy, time = room.write_energy_pj, room.write_time_ns
    parts.append(
        "What writing them takes is not known for this technology." if energy is None and time is None
        else f"Writing all of it once takes {'an unknown energy' if energy is None else _joules(energy)} and "
        f"{'an unknown time' if time is None else show_quantity(time * 1e-9, 's')}, all arrays at once, with {room.writes:g} "
        f"write{'s' * (room.writes != 1)} a cell."
    )  # fmt: skip
    if room.fits is False:
        parts.append(f"There are {room.available:,}: they are filled {room.loads} times for every inference.")
    return " ".join(parts)


def _interval(cost: Cost) -> str:
    rate = show_quantity(1e9 / cost.interval_ns, "")
    return f"{rate} inferences a second, {cost.schedule}"


def _fits(cost: Cost) -> str:
    room = cost.capacity
    if room.fits is None:
        return f"{percent(_filled(cost), 0)} filled"
    return f"of {room.available:,}: it {'fits' if room.fits else 'does not fit'}"


def _filled(cost: Cost) -> float:
    arrays = sum(layer.arrays for layer in cost.layers)
    return sum(layer.utilisation * layer.arrays for layer in cost.layers) / arrays


def _unit(largest_pj: float) -> tuple[str, float]:
    """Unit of the axis, and how many pJ it has."""
    return next(
        ((u, s) for u, s in (("mJ", 1e9), ("µJ", 1e6), ("nJ", 1e3), ("pJ", 1.0)) if largest_pj >= s), ("fJ", 1e-3)
    )


def _short(name: str, wide: bool) -> str:
    most = 28 if wide else 14
    return name if len(name) <= most else f"…{name[1 - most :]}"


def _joules(energy_pj: float) -> str:
    return show_quantity(energy_pj * 1e-12, "J")
