"""A dashboard asked of a real Prometheus, panel by panel, and drawn as a picture.

Grafana itself needs a browser and a server of its own; what it would ask and where it would put it are in the JSON.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from forescale.canvas import DARK, png
from tests.cluster.prometheus import Prometheus

COLOURS = ("#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#c8f2c2")
COLUMNS, UNIT_IN, PAPER = 24, 0.56, "#111217"

Line = tuple[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class View:
    """What a person has chosen on the page."""

    start_s: float
    end_s: float
    variables: Mapping[str, str]
    rate_window: str = "15s"
    step_s: float = 1.0

    def minutes(self, at_s: float) -> float:
        """A Unix time as minutes into the view."""
        return (at_s - self.start_s) / 60

    def filled(self, text: str) -> str:
        """A query or a legend with the variables in it."""
        own = {"__rate_interval": self.rate_window, "__range": f"{math.ceil(self.end_s - self.start_s)}s"}
        for name, value in {**own, **self.variables}.items():
            text = text.replace(f"${name}", value)
        return text


@dataclass(frozen=True)
class Answered:
    """One panel with what Prometheus answered."""

    panel: Mapping[str, Any]
    lines: tuple[Line, ...]
    """Name and (Unix time, value); one point for an instant query."""

    @property
    def title(self) -> str:
        """Its title."""
        return str(self.panel["title"])


def answered(page: Path, prometheus: Prometheus, view: View) -> list[Answered]:
    """Every panel of a page; each target's series in the order of the targets."""
    return [
        Answered(panel, tuple(line for target in panel["targets"] for line in _asked(target, prometheus, view)))
        for panel in json.loads(page.read_text())["panels"]
    ]


def _asked(target: Mapping[str, Any], prometheus: Prometheus, view: View) -> list[Line]:
    query, legend = view.filled(target["expr"]), target.get("legendFormat", "")
    start_s = view.end_s if target.get("instant") else view.start_s
    found = prometheus.ranges(query, start_s, view.end_s, view.step_s)
    return [(_named(legend, labels), points) for labels, points in found]


def _named(legend: str, labels: Mapping[str, str]) -> str:
    for label, value in labels.items():
        legend = legend.replace(f"{{{{{label}}}}}", value)
    return legend or "/".join(labels.values())


def marks(page: Path, prometheus: Prometheus, view: View) -> list[float]:
    """Minutes into the view at which an annotation of the page begins."""
    found = []
    for annotation in json.loads(page.read_text()).get("annotations", {}).get("list", ()):
        for _, points in prometheus.ranges(view.filled(annotation["expr"]), view.start_s, view.end_s, view.step_s):
            times_s = [at_s for at_s, _ in points]
            found += [now for before, now in pairwise([-math.inf, *times_s]) if now - before > 2 * view.step_s]
    return [view.minutes(at_s) for at_s in found]


def draw(title: str, panels: Sequence[Answered], view: View, marked: Sequence[float] = ()) -> bytes:
    """The page as a PNG, its panels where Grafana puts them, with a vertical line at each mark."""
    rows = max(panel.panel["gridPos"]["y"] + panel.panel["gridPos"]["h"] for panel in panels) + 2
    figure = Figure(figsize=(COLUMNS * UNIT_IN, rows * UNIT_IN * 0.7), facecolor=PAPER)
    figure.text(0.012, 1 - 0.62 / rows, title, color=DARK.ink, size=14, weight="bold")
    for each in panels:
        place = each.panel["gridPos"]
        gaps = (0.9, 0.9, 1.5, 1.9) if each.panel["type"] in OVER_TIME else (0.2, 0.2, 0.3, 1.0)
        left, right, below, above = (gap * 0.55 for gap in gaps)
        axes = figure.add_axes(
            (
                (place["x"] + left) / COLUMNS,
                1 - (place["y"] + 1 + place["h"] - below) / rows,
                (place["w"] - left - right) / COLUMNS,
                (place["h"] - below - above) / rows,
            ),
            facecolor="#181b1f",
        )
        axes.set_title(each.title, color=DARK.ink, size=8.5, loc="left", weight="bold")
        axes.tick_params(colors=DARK.muted, labelsize=7, length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        PAINT[each.panel["type"]](axes, each, view)
        if each.panel["type"] in OVER_TIME:
            axes.set_xlim(0, view.minutes(view.end_s))
            for minute in marked:
                axes.axvline(minute, color=COLOURS[2], linewidth=0.7, linestyle="dashed", alpha=0.7)
    return png(figure)


def _number(axes: Axes, each: Answered, view: View) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    settings = each.panel["fieldConfig"]["defaults"]
    value = each.lines[0][1][-1][1] if each.lines else math.nan
    limits = [step["value"] for step in settings["thresholds"]["steps"] if step["value"] is not None]
    colour = COLOURS[4] if any(value >= limit for limit in limits) else COLOURS[0]
    text = _shown(value, settings["unit"], settings.get("decimals", 0))
    axes.text(0.5, 0.45, text, color=colour, size=20, weight="bold", ha="center", va="center", transform=axes.transAxes)


def _shown(value: float, unit: str, decimals: int) -> str:
    if unit == "percentunit":
        return f"{value:.1%}"
    return f"{value:.{decimals}f}" + (" s" if unit == "s" else "")


def _lines(axes: Axes, each: Answered, view: View) -> None:
    custom = each.panel["fieldConfig"]["defaults"]["custom"]
    is_stepped = custom.get("lineInterpolation") == "stepAfter"
    grid = np.arange(view.start_s, view.end_s, view.step_s)
    below = np.zeros(len(grid))
    for number, (name, points) in enumerate(each.lines):
        colour = COLOURS[number % len(COLOURS)]
        times_s, values = np.array(points).T
        if custom.get("stacking", {}).get("mode") == "normal":
            above = below + np.interp(grid, times_s, values, left=0.0, right=0.0)
            minutes = [view.minutes(at_s) for at_s in grid]
            axes.fill_between(minutes, below, above, color=colour, alpha=0.45, linewidth=0.8, label=name)
            below = above
            continue
        minutes = [view.minutes(at_s) for at_s in times_s]
        drawstyle = "steps-post" if is_stepped else "default"
        axes.plot(minutes, values, color=colour, linewidth=1.3, drawstyle=drawstyle, label=name)
    axes.grid(color="#2a2d33", linewidth=0.6)
    axes.set_ylim(0, max(axes.get_ylim()[1] * 1.05, 1e-3))
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.08),
        ncol=6,
        fontsize=6.5,
        frameon=False,
        labelcolor=DARK.muted,
        columnspacing=1.2,
    )


def _states(axes: Axes, each: Answered, view: View) -> None:
    names = sorted({name for name, _ in each.lines}, reverse=True)
    for name, points in each.lines:
        minutes, place = [view.minutes(at_s) for at_s, _ in points], names.index(name)
        axes.scatter(minutes, [place] * len(minutes), marker="s", s=22, color=COLOURS[place % len(COLOURS)])
        axes.text(0.05, place + 0.22, name, color=DARK.muted, size=7)
    axes.set_yticks([])
    axes.set_ylim(-0.7, len(names) - 0.2)


def _table(axes: Axes, each: Answered, view: View) -> None:
    axes.set_axis_off()
    rows: dict[str, list[str]] = {}
    for name, points in each.lines:
        rows.setdefault(name, []).append(f"{points[-1][1]:.1f}")
    columns = ["namespace/policy", "replicas", "ready", "reference HPA", "load", "decision age (s)"]
    cells = [([name, *values] + [""] * len(columns))[: len(columns)] for name, values in sorted(rows.items())]
    drawn = axes.table(cells, colLabels=columns, loc="upper center")
    for cell in drawn.get_celld().values():
        cell.set(facecolor="#181b1f", edgecolor="#2a2d33")
        cell.get_text().set(color=DARK.ink, size=8)


OVER_TIME = ("timeseries", "state-timeline")
PAINT = {"stat": _number, "timeseries": _lines, "state-timeline": _states, "table": _table}
