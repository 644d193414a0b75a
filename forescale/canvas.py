"""Paper and ink of the report's charts: colours, the time axis, labels beside lines, PNG and SVG output.

Figures are built on `Figure` and never on pyplot, so drawing leaves no global state behind.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from io import BytesIO, StringIO

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter


@dataclass(frozen=True)
class Theme:
    """Colours by meaning. Policies differ in hue and in lightness, so they stay apart without colour vision."""

    paper: str
    ink: str
    muted: str
    grid: str
    forescale: str
    hpa: str
    clairvoyant: str
    bad: str


LIGHT = Theme("#ffffff", "#1b2430", "#5d6875", "#e3e7ec", "#0b62b0", "#b76a00", "#007a5e", "#b3185a")
DARK = Theme("#12171e", "#e7ebf0", "#9aa6b4", "#2a323d", "#66b0ff", "#f2a93b", "#35c69c", "#ff74ad")

# Colours that stand for the page's own: an SVG drawn in them follows the page from light to dark.
_STAND_IN = Theme(*(f"#0{n}f{n}e{n}" for n in range(1, 9)))

DrawRow = Callable[[Axes, Theme], None]


@dataclass(frozen=True)
class Panel:
    """One chart: rows of axes over one time axis, each with its height in inches."""

    name: str
    title: str
    alt: str
    rows: tuple[tuple[float, DrawRow], ...]

    @property
    def height_in(self) -> float:
        """Height of the rows, without the title."""
        return sum(height for height, _ in self.rows) + _BETWEEN_ROWS_IN * (len(self.rows) - 1)


WIDTH_IN, LEFT_IN, RIGHT_IN = 11.0, 0.62, 1.72
_TITLE_IN, _GAP_IN, _BETWEEN_ROWS_IN, _MARGIN_IN, _TICKS_IN = 0.34, 0.16, 0.08, 0.08, 0.3
_SECONDS_BETWEEN_TICKS = (
    60,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10800,
    21600,
    43200,
    *(86_400 * d for d in (1, 2, 3, 7, 14)),
)
_MOST_TICKS = 13


def draw_panels(panels: Sequence[Panel], end_s: float, theme: Theme, header_in: float, footer_in: float) -> Figure:
    """Stack panels on one sheet, time labelled at the bottom, with room left above and below for the caller's text."""
    height = header_in + sum(_TITLE_IN + panel.height_in + _GAP_IN for panel in panels) + footer_in
    figure = Figure(figsize=(WIDTH_IN, height), facecolor=theme.paper)
    top = height - header_in
    for panel in panels:
        top -= _TITLE_IN
        figure.text(
            LEFT_IN / WIDTH_IN,
            (top + 0.09) / height,
            panel.title,
            color=theme.ink,
            size=10.5,
            weight="bold",
            parse_math=False,
        )
        _draw_rows(figure, panel, top, end_s, theme)
        top -= panel.height_in + _GAP_IN
    _label_time(figure.axes[-1])
    return figure


def png(figure: Figure, dots_per_inch: int = 160) -> bytes:
    """A figure as PNG bytes."""
    buffer = BytesIO()
    figure.set_dpi(dots_per_inch)
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def svg(panel: Panel, end_s: float) -> str:
    """One panel as an SVG element for an HTML page, its text as text and its colours the page's variables."""
    figure = Figure(figsize=(WIDTH_IN, panel.height_in + _MARGIN_IN + _TICKS_IN), facecolor="none")
    _draw_rows(figure, panel, panel.height_in + _TICKS_IN, end_s, _STAND_IN)
    _label_time(figure.axes[-1])
    buffer = StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": panel.name, "path.simplify": True}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return _inline(buffer.getvalue(), panel)


def label_ends(axes: Axes, labels: Sequence[tuple[float, str, str]]) -> None:
    """Name lines at their right ends: (y, text, colour) each, moved apart where they would overlap."""
    low, high = axes.transAxes.inverted().transform(axes.transData.transform([(0, y) for y, _, _ in labels]))[:, 1], 1.0
    heights = _apart([min(max(float(y), 0.0), high) for y in low], gap=0.17 / _height_in(axes))
    for height, (_, text, colour) in zip(heights, labels, strict=True):
        axes.text(
            1.012,
            height,
            text,
            color=colour,
            transform=axes.transAxes,
            va="center",
            size=9,
            weight="bold",
            parse_math=False,
        )


def lanes(axes: Axes, theme: Theme, rows: Sequence[tuple[str, str, list[tuple[float, float]]]]) -> None:
    """Events on parallel lanes, first on top: (label, colour, stretches of (start_s, length_s)) each."""
    axes.set_ylim(len(rows), 0)
    axes.set_yticks([])
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    for index, (label, colour, stretches) in enumerate(rows):
        axes.axhline(index + 0.5, color=theme.grid, linewidth=0.8, zorder=0)
        axes.broken_barh(stretches, (index + 0.16, 0.68), facecolors=colour, edgecolors=colour, linewidth=0.5)
        axes.text(1.012, index + 0.5, label, color=colour, transform=axes.get_yaxis_transform(), va="center", size=8.5)


def _draw_rows(figure: Figure, panel: Panel, top_in: float, end_s: float, theme: Theme) -> None:
    height_in = float(figure.get_size_inches()[1])
    for row_height_in, draw in panel.rows:
        left, width = LEFT_IN / WIDTH_IN, 1 - (LEFT_IN + RIGHT_IN) / WIDTH_IN
        axes = figure.add_axes((left, (top_in - row_height_in) / height_in, width, row_height_in / height_in))
        _style(axes, theme)
        _time_axis(axes, end_s)
        draw(axes, theme)
        top_in -= row_height_in + _BETWEEN_ROWS_IN


def _style(axes: Axes, theme: Theme) -> None:
    axes.set_facecolor("none")
    axes.grid(axis="both", color=theme.grid, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(theme.grid)
    axes.tick_params(which="both", length=0, colors=theme.muted, labelsize=8.5)


def _time_axis(axes: Axes, end_s: float) -> None:
    axes.set_xlim(0, end_s)
    axes.xaxis.set_major_locator(FixedLocator(_time_ticks(end_s)))
    axes.tick_params(axis="x", labelbottom=False)


def _label_time(axes: Axes) -> None:
    step_s = float(axes.get_xticks()[1]) if len(axes.get_xticks()) > 1 else 60.0
    axes.xaxis.set_major_formatter(FuncFormatter(lambda time_s, _: _time_label(time_s, step_s)))
    axes.tick_params(axis="x", labelbottom=True, pad=6)


def _time_ticks(end_s: float) -> list[float]:
    step_s = next((s for s in _SECONDS_BETWEEN_TICKS if end_s / s < _MOST_TICKS), None)
    step_s = step_s or 86_400 * math.ceil(end_s / 86_400 / _MOST_TICKS)
    return [float(step_s * k) for k in range(int(end_s / step_s) + 1)]


def _time_label(time_s: float, step_s: float) -> str:
    """Time since the start in the coarsest unit that keeps the ticks apart."""
    if step_s >= 86_400:
        return f"day {time_s / 86_400:.0f}"
    if step_s >= 3600:
        return f"{time_s / 3600:.0f} h"
    return f"{time_s // 3600:.0f}:{time_s % 3600 / 60:02.0f}"


def _height_in(axes: Axes) -> float:
    figure = axes.figure
    return float(axes.get_position().height * figure.get_size_inches()[1])  # type: ignore[union-attr]  # axes of ours always have a figure


def _apart(heights: list[float], gap: float) -> list[float]:
    """Move heights in [0, 1] until neighbours are at least `gap` apart, keeping their order."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    placed = [heights[k] for k in order]
    for k in range(1, len(placed)):
        placed[k] = max(placed[k], placed[k - 1] + gap)
    overshoot = max(placed[-1] - 1.0, 0.0) if placed else 0.0
    for k in range(len(placed) - 1, -1, -1):
        limit = placed[k + 1] - gap if k + 1 < len(placed) else placed[k] - overshoot
        placed[k] = min(placed[k], limit)
    back = dict(zip(order, placed, strict=True))
    return [back[k] for k in range(len(heights))]


def _inline(document: str, panel: Panel) -> str:
    """An SVG file as an element of a page: no prologue, no addresses, ids of its own, the page's colours."""
    element = document[document.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", element)
    opening = f'<svg \\g<1> role="img" aria-labelledby="{panel.name}-caption">'
    element = re.sub(r'<svg\b[^>]*?(viewBox="[^"]*")[^>]*>', opening, element, count=1)
    element = re.sub(r'\bid="', f'id="{panel.name}-', element)
    element = re.sub(r'(url\(#|href="#)', rf"\g<1>{panel.name}-", element)
    element = re.sub(r"(\d\.\d{2})\d+", r"\1", element)
    for field, colour in zip(fields(Theme), astuple(_STAND_IN), strict=True):
        element = element.replace(colour, f"var(--{field.name})")
    return element
