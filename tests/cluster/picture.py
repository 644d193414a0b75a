"""A recording as two pictures for the docs: the closed loop, and the real HPA beside its twins."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from forescale.canvas import LEFT_IN, LIGHT, WIDTH_IN, DrawRow, Panel, Theme, draw_panels, label_ends, png
from tests.cluster.closed_loop import CAPACITY_RPS, HPA, OURS, Recording, Setting
from tests.cluster.curves import Difference, Series, lost_ratio, phase_of, ready, real, replayed, simulated


def draw(recording: Recording, folder: Path, setting: Setting | None = None) -> None:
    """Write closed-loop.png and hpa-twin.png."""
    (folder / "closed-loop.png").write_bytes(png(_closed_loop(recording)))
    (folder / "hpa-twin.png").write_bytes(png(_twins(recording, setting or Setting())))


def _closed_loop(recording: Recording) -> Figure:
    sizes, hpa = real(recording, OURS), real(recording, HPA)
    below = (
        f"Load: {recording.name}. Requests above what was ready: forescale {lost_ratio(recording, OURS):.2%}, "
        f"HPA {lost_ratio(recording, HPA):.2%}. Replica-hours: {sizes.sum() / 3600:.2f} and {hpa.sum() / 3600:.2f}."
    )
    panels = (
        Panel(
            "forescale", "Requests/s, and what forescale's ready replicas serve", "", ((1.7, _load(recording, OURS)),)
        ),
        Panel("hpa", "Requests/s, and what the HPA's ready replicas serve", "", ((1.7, _load(recording, HPA)),)),
        Panel("replicas", "Replicas asked for; shaded where forescale has more", "", ((1.9, _replicas(sizes, hpa)),)),
    )
    return _sheet(panels, len(sizes), "forescale and the HPA on a real control plane, side by side", below)


def _twins(recording: Recording, setting: Setting) -> Figure:
    own = real(recording, HPA)
    replay, twin = replayed(recording, setting), simulated(recording, setting, phase_of(recording))
    exact, whole = (Difference.of(curve, own).mean for curve in (replay, twin))
    below = (
        f"Load: {recording.name}. Off by {exact:.2f} replicas on average when replayed, by {whole:.2f} when simulated."
    )
    panels = (
        Panel("replicas", "Replicas", "", ((2.4, _three(own, replay, twin)),)),
        Panel("gap", "Replicas more or fewer than the real HPA", "", ((1.1, _gaps(replay - own, twin - own)),)),
    )
    return _sheet(panels, len(own), "One HPA three times: real, its algorithm replayed, simulated", below)


def _sheet(panels: tuple[Panel, ...], length_s: int, head: str, below: str) -> Figure:
    figure = draw_panels(panels, length_s, LIGHT, header_in=0.85, footer_in=0.42)
    height = float(figure.get_size_inches()[1])
    left = LEFT_IN / WIDTH_IN
    figure.text(left, 1 - 0.4 / height, head, color=LIGHT.ink, size=15, weight="bold")
    figure.text(left, 1 - 0.68 / height, below, color=LIGHT.muted, size=10)
    figure.text(left, 0.08 / height, "hours:minutes of the play", color=LIGHT.muted, size=8.5)
    return figure


def _load(recording: Recording, name: str) -> DrawRow:
    arrived, capacity = np.array(recording.arrived_rps), ready(recording, name) * CAPACITY_RPS

    def paint(axes: Axes, theme: Theme) -> None:
        own = theme.forescale if name == OURS else theme.hpa
        seconds = np.arange(len(arrived))
        axes.fill_between(seconds, arrived, color=theme.muted, alpha=0.22, linewidth=0)
        axes.plot(seconds, arrived, color=theme.muted, linewidth=0.7)
        short = arrived > capacity
        axes.fill_between(seconds, capacity, arrived, where=short.tolist(), step="post", color=theme.bad, linewidth=0.6)
        _steps(axes, capacity, own, 1.6)
        axes.set_ylim(0, max(ready(recording, each).max() for each in (OURS, HPA)) * CAPACITY_RPS * 1.12)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        ends = [(arrived[-1], "load", theme.muted), (capacity[-1], "ready capacity", own)]
        label_ends(axes, [*ends, *([(arrived.max(), "above what is ready", theme.bad)] if short.any() else [])])

    return paint


def _replicas(sizes: Series, hpa: Series) -> DrawRow:
    def paint(axes: Axes, theme: Theme) -> None:
        more = (sizes > hpa).tolist()
        axes.fill_between(
            np.arange(len(sizes)), hpa, sizes, where=more, step="post", color=theme.forescale, alpha=0.2, linewidth=0
        )
        _steps(axes, hpa, theme.hpa, 1.3)
        _steps(axes, sizes, theme.forescale, 1.7)
        _count(axes, max(sizes.max(), hpa.max()))
        label_ends(axes, [(sizes[-1], "forescale", theme.forescale), (hpa[-1], "real HPA", theme.hpa)])

    return paint


def _three(own: Series, replay: Series, twin: Series) -> DrawRow:
    def paint(axes: Axes, theme: Theme) -> None:
        _steps(axes, own, theme.hpa, 4.5, alpha=0.45)
        _steps(axes, replay, theme.ink, 1.0)
        _steps(axes, twin, theme.clairvoyant, 1.4)
        _count(axes, max(own.max(), twin.max()))
        ends = [(own[-1], "real HPA", theme.hpa), (replay[-1], "replayed", theme.ink)]
        label_ends(axes, [*ends, (twin[-1], "simulated", theme.clairvoyant)])

    return paint


def _gaps(replay: Series, twin: Series) -> DrawRow:
    def paint(axes: Axes, theme: Theme) -> None:
        _steps(axes, twin, theme.clairvoyant, 1.3)
        _steps(axes, replay, theme.ink, 1.0)
        most = max(1.0, float(np.abs(twin).max()), float(np.abs(replay).max())) * 1.15
        axes.set_ylim(-most, most)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        label_ends(axes, [(twin[-1], "simulated", theme.clairvoyant), (replay[-1], "replayed", theme.ink)])

    return paint


def _steps(axes: Axes, values: Series, colour: str, width: float, alpha: float = 1.0) -> None:
    axes.step(np.arange(len(values)), values, where="post", color=colour, linewidth=width, alpha=alpha)


def _count(axes: Axes, most: float) -> None:
    axes.set_ylim(0, most * 1.1)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
