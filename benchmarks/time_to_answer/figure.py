"""The figure: what each design costs, and how often its intervals hold the mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from mho.reports.colours import BLUE, INK, MUTED, RUST
from mho.reports.svg import STYLE, to_svg

TITLES = {"pcm-cells": "pcm-cells", "pcm": "pcm (output noise 0.04)"}
CHOSEN_ROW = ("10 chips share a pass", "from 8, 5 % wider")
ROWS: list[tuple[str, str, str]] = [
    ("plain loop", "from 8", "plain loop: every chip, all images"),
    ("100 random images", "from 8", "100 random images a chip"),
    ("100 random images, less the digital answer", "from 8", "… less the digital network's answers"),
    ("100 random images, less the guess from the margin", "from 8", "… less a guess from its margin"),
    ("100 images spread over the margin", "from 8", "100 images spread over the margin"),
    ("50 images spread over the margin", "from 8", "50 images spread over the margin"),
    ("100 images, the doubtful ones more often", "from 8", "100 images, doubtful ones more often"),
    ("50 images, the doubtful ones more often", "from 8", "50 images, doubtful ones more often"),
    ("5 chips share a pass", "from 8", "5 chips share a pass"),
    ("10 chips share a pass", "from 8", "10 chips share a pass"),
    (*CHOSEN_ROW, "… interval 5 % wider: images='auto'"),
    ("20 chips share a pass", "from 8", "20 chips share a pass"),
    ("10 chips share a pass, easy images every 4th", "from 8", "10 chips share, easy images every 4th pass"),
]  # fmt: skip


def draw(results: dict[str, Any], path: Path) -> None:
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": "mho", "axes.grid.axis": "x", "axes.spines.bottom": False}):
        path.write_text(to_svg(_figure(results)), encoding="utf-8")


def _figure(results: dict[str, Any]) -> Figure:
    arms = list(results["arms"])
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    axes = figure.subplots(1, len(arms) + 1, sharey=True, width_ratios=[*[1] * len(arms), 0.8])
    for ax, arm in zip(axes, arms, strict=False):
        _cost(ax, TITLES[arm], _measured(results, arm))
    _coverage(axes[-1], [_measured(results, arm) for arm in arms], results["studies"])
    axes[0].set_yticks(range(len(ROWS)), [label for *_, label in ROWS])
    axes[0].invert_yaxis()
    for tick, (design, rule, _) in zip(axes[0].get_yticklabels(), ROWS, strict=True):
        tick.set_color(_colour(design, rule))
        tick.set_fontweight("bold" if (design, rule) == CHOSEN_ROW else "normal")
    return figure


def _measured(results: dict[str, Any], arm: str) -> dict[tuple[str, str], dict[str, Any]]:
    rows = results["arms"][arm]["rows"]
    return {(row["design"], row["rule"]): row for row in rows if row["population"] == "measured chips"}


def _colour(design: str, rule: str) -> str:
    return BLUE if (design, rule) == CHOSEN_ROW else RUST if design == "plain loop" else INK


def _cost(ax: Any, title: str, rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    plain = rows["plain loop", "from 8"]["looks"][1]
    for y, (design, rule, _) in enumerate(ROWS):
        low, middle, high = (q / 1000 for q in rows[design, rule]["looks"])
        colour = _colour(design, rule)
        ax.plot([low, high], [y, y], color=colour, lw=2.2, solid_capstyle="round", alpha=0.45)
        ax.plot(middle, y, "o", color=colour, ms=5)
        gain = f"{middle:.0f}" if design == "plain loop" else f"{middle:.0f}  ({plain / middle / 1000:.1f}×)"
        inside = design == "plain loop"
        ax.annotate(
            gain, (low if inside else high, y), xytext=(-6 if inside else 6, 0), textcoords="offset points", va="center",
            ha="right" if inside else "left", color=colour, fontsize=8,
        )  # fmt: skip
    ax.set_xlim(0, 1.12 * rows["plain loop", "from 8"]["looks"][2] / 1000)
    ax.set_title(title, loc="left", fontweight="bold", fontsize=10)
    ax.set_xlabel("thousand images at each age\nmedian, quartiles (gain)")
    ax.tick_params(length=0)


def _coverage(ax: Any, arms: list[dict[tuple[str, str], dict[str, Any]]], studies: int) -> None:
    expected = 100 * 1.96 * np.sqrt(0.95 * 0.05 / studies)
    ax.axvspan(95 - expected, 95 + expected, color="#000000", alpha=0.07, lw=0)
    ax.axvline(95, color=MUTED, lw=0.8)
    for y, (design, rule, _) in enumerate(ROWS):
        for shift, rows in zip((-0.17, 0.17), arms, strict=False):
            shares = [100 * share for share, *_ in rows[design, rule]["coverage"]]
            ax.plot(shares, [y + shift] * len(shares), "o", color=_colour(design, rule), ms=3, alpha=0.6, mew=0)
    ax.set_xlim(89, 99)
    ax.set_title("coverage when it ends", loc="left", fontweight="bold", fontsize=10)
    ax.set_xlabel("% of 95 % intervals, at five ages\n(upper: pcm-cells, lower: pcm)")
    ax.tick_params(length=0)
