"""The report's charts: load against capacity, replicas, latency against objective, and decisions with their reasons."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from forescale import words
from forescale.canvas import LEFT_IN, LIGHT, WIDTH_IN, Panel, Theme, draw_panels, label_ends, lanes
from forescale.series import Bools, Floats, bucket_starts, envelope, spans, sums_in, worst_in
from forescale.summary import CLAIRVOYANT, COLUMNS, FORESCALE, HPA, Row, cells, headline, rows
from scaling.decision import Decision, Reason
from sim.measures import PolicyRun, Run

_MOST_LANES = 8  # chosen: rarer reasons share a lane, so that the chart stays readable
_MOST_TITLE = 76  # characters that fit the sheet's width in its largest type
_LANE_IN = 0.2


def panels(run: Run, decisions: Sequence[Decision]) -> tuple[Panel, ...]:
    """The report's charts in reading order."""
    return _load(run), _replicas(run, decisions), _latency(run), _decisions(run, decisions)


def sheet(run: Run, decisions: Sequence[Decision]) -> Figure:
    """All charts, the headline and the table of figures on one sheet."""
    table = rows(run)
    footer_in = 0.62 + 0.22 * (len(table) + 1)
    figure = draw_panels(panels(run, decisions), end_s(run), LIGHT, header_in=0.95, footer_in=footer_in)
    height = float(figure.get_size_inches()[1])
    left = LEFT_IN / WIDTH_IN
    title = run.title if len(run.title) <= _MOST_TITLE else f"{run.title[: _MOST_TITLE - 1]}…"
    figure.text(left, 1 - 0.42 / height, title, color=LIGHT.ink, size=15, weight="bold", parse_math=False)
    figure.text(left, 1 - 0.72 / height, headline(run), color=LIGHT.muted, size=10)
    _draw_table(figure, table, (footer_in - 0.42) / height, 0.22 / height)
    return figure


def end_s(run: Run) -> float:
    """Length of a run in seconds."""
    return len(run.demand_rps) * run.step_s


def _load(run: Run) -> Panel:
    ours = run.policy(FORESCALE)
    capacity_rps = ours.ready * run.capacity_rps
    short = run.demand_rps > capacity_rps

    def draw(axes: Axes, theme: Theme) -> None:
        at = envelope(run.demand_rps)
        axes.fill_between(at * run.step_s, run.demand_rps[at], color=theme.muted, alpha=0.22, linewidth=0)
        _line(axes, run, run.demand_rps, theme.muted, 0.7)
        _steps(axes, run, capacity_rps, theme.forescale, 1.5)
        _draw_shortage(axes, run, capacity_rps, theme.bad)
        axes.set_ylim(0, axes.get_ylim()[1] * 1.02)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda rps, _: words.rate(rps)))
        ends = [(run.demand_rps[-1], "load", theme.muted), (capacity_rps[-1], "ready capacity", theme.forescale)]
        label_ends(axes, ends + ([(axes.get_ylim()[1], "load over capacity", theme.bad)] if short.any() else []))

    alt = (
        f"Load between {words.rate(run.demand_rps.min())} and {words.rate(run.demand_rps.max())} {run.unit}, and what "
        f"forescale's ready replicas can serve; the load is over it {words.percent(float(short.mean()))} of the time."
    )
    return Panel("load", f"Load against capacity, {run.unit}", alt, ((1.75, draw),))


def _draw_shortage(axes: Axes, run: Run, capacity_rps: Floats, colour: str) -> None:
    """Mark the worst step of each bucket in which the load exceeds the capacity."""
    gap_rps = run.demand_rps - capacity_rps
    worst = worst_in(gap_rps, bucket_starts(len(gap_rps)))
    worst = worst[gap_rps[worst] > 0]
    axes.vlines(worst * run.step_s, capacity_rps[worst], run.demand_rps[worst], colors=colour, linewidth=1.1, zorder=3)


def _replicas(run: Run, decisions: Sequence[Decision]) -> Panel:
    def draw(axes: Axes, theme: Theme) -> None:
        _draw_band(axes, run, decisions, theme.forescale)
        lines = ((CLAIRVOYANT, theme.clairvoyant, 1.0), (HPA, theme.hpa, 1.1), (FORESCALE, theme.forescale, 1.7))
        for name, colour, width in lines:
            _steps(axes, run, run.policy(name).replicas, colour, width)
        axes.set_ylim(0, axes.get_ylim()[1] * 1.02)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        label_ends(axes, [(run.policy(name).replicas[-1], words.title(name), colour) for name, colour, _ in lines])

    means = ", ".join(
        f"{words.title(name)} {run.policy(name).replicas.mean():.1f}" for name in (FORESCALE, HPA, CLAIRVOYANT)
    )
    alt = f"Replicas over time; on average {means}. The shaded band is what the policy asked to stay within."
    return Panel("replicas", "Replicas paid for; shaded: the band that forescale holds within", alt, ((2.0, draw),))


def _draw_band(axes: Axes, run: Run, decisions: Sequence[Decision], colour: str) -> None:
    banded = [(decision.time_s, decision.band) for decision in decisions if decision.band is not None]
    if not banded:
        return
    starts = bucket_starts(len(banded))
    times_s = np.array([time_s for time_s, _ in banded])[starts]
    lo = np.minimum.reduceat(np.array([band.lo for _, band in banded], float), starts)
    hi = np.maximum.reduceat(np.array([band.hi for _, band in banded], float), starts)
    axes.fill_between(times_s, lo, hi, step="post", color=colour, alpha=0.18, linewidth=0)


def _latency(run: Run) -> Panel:
    late = {name: _over(run, run.policy(name)) for name in (FORESCALE, HPA)}

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_yscale("log")
        for name, colour in ((HPA, theme.hpa), (FORESCALE, theme.forescale)):
            _draw_latency(axes, run, run.policy(name), colour)
        axes.axhline(run.objective_s, color=theme.ink, linewidth=1.1, linestyle=(0, (4, 2)))
        axes.set_ylim(*_latency_limits(run))
        axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5), numticks=7))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda latency_s, _: words.duration(latency_s)))
        label_ends(axes, [(run.objective_s, f"objective {words.duration(run.objective_s)}", theme.ink)])

    def draw_late(axes: Axes, theme: Theme) -> None:
        colours = {FORESCALE: theme.forescale, HPA: theme.hpa}
        lanes(axes, theme, [
            (f"{words.title(name)} {words.percent(float(mask.mean()))} of time", colours[name], spans(mask, run.step_s))
            for name, mask in late.items()
        ])  # fmt: skip

    shares = " and ".join(f"{words.title(name)} {words.percent(float(mask.mean()))}" for name, mask in late.items())
    alt = f"Latency against the objective of {words.duration(run.objective_s)}; over it: {shares} of the time."
    title = "Latency, 95th percentile; below: when it was over the objective"
    return Panel("latency", title, alt, ((1.55, draw), (2 * _LANE_IN, draw_late)))


def _over(run: Run, policy: PolicyRun) -> Bools:
    with np.errstate(invalid="ignore"):
        return np.asarray(policy.latency_p95_s > run.objective_s)


def _draw_latency(axes: Axes, run: Run, policy: PolicyRun, colour: str) -> None:
    latency_s = np.where(policy.latency_p95_s > 0, policy.latency_p95_s, np.nan)  # no requests, no latency
    latency_s = np.minimum(latency_s, _latency_limits(run)[1])
    at = envelope(latency_s)
    axes.plot(at * run.step_s, latency_s[at], color=colour, linewidth=0.8 * _fineness(run))
    over = np.fmax(latency_s[at], run.objective_s)
    axes.fill_between(at * run.step_s, run.objective_s, over, color=colour, alpha=0.3, linewidth=0)


def _latency_limits(run: Run) -> tuple[float, float]:
    """Room around the objective and around what was measured, infinite waits left out."""
    measured = np.concatenate([run.policy(name).latency_p95_s for name in (FORESCALE, HPA)])
    measured = measured[np.isfinite(measured) & (measured > 0)]
    low, high = (measured.min(), measured.max()) if measured.size else (run.objective_s, run.objective_s)
    return min(float(low), run.objective_s / 2) / 1.2, max(float(high), run.objective_s * 2) * 1.2


def _decisions(run: Run, decisions: Sequence[Decision]) -> Panel:
    added, removed = _changes(run, decisions)
    n_added, n_removed = int((added > 0).sum()), int((removed > 0).sum())
    reasons = _reason_lanes(run, decisions)

    def draw_changes(axes: Axes, theme: Theme) -> None:
        starts = bucket_starts(len(added))
        ups, downs = sums_in(added, starts), sums_in(removed, starts)
        for change, colour in ((ups, theme.forescale), (-downs, theme.ink)):
            drawn = change != 0
            axes.vlines(starts[drawn] * run.step_s, 0, change[drawn], colors=colour, linewidth=1.2)
        axes.axhline(0, color=theme.muted, linewidth=0.7)
        top, bottom = max(ups.max(), 1.0) * 1.1, -max(downs.max(), 1.0) * 1.1
        axes.set_ylim(bottom, top)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda change, _: words.signed(change)))
        ends = (
            (top / 2, f"added, {n_added:,} times", theme.forescale),
            (bottom / 2, f"removed, {n_removed:,} times", theme.ink),
        )
        label_ends(axes, ends)

    def draw_reasons(axes: Axes, theme: Theme) -> None:
        lanes(axes, theme, [(label, theme.muted, stretches) for label, stretches in reasons])

    title = "Decisions: replicas added and removed"
    alt = f"{n_added:,} additions and {n_removed:,} removals of replicas over time"
    if not reasons:
        return Panel("decisions", title, f"{alt}.", ((0.95, draw_changes),))
    alt += ", and when each reason applied, with the number of decisions that gave it."
    return Panel(
        "decisions", f"{title}; below: why", alt, ((0.95, draw_changes), (len(reasons) * _LANE_IN, draw_reasons))
    )


def _changes(run: Run, decisions: Sequence[Decision]) -> tuple[Floats, Floats]:
    """Replicas added and replicas removed at each step."""
    change = np.zeros(len(run.demand_rps))
    for decision in decisions:
        change[_step_of(run, decision)] += decision.final_replicas - decision.current_replicas
    return np.maximum(change, 0.0), np.maximum(-change, 0.0)


def _reason_lanes(run: Run, decisions: Sequence[Decision]) -> list[tuple[str, list[tuple[float, float]]]]:
    """Each frequent reason with its count and its stretches of time; the rarest share the last lane.

    `WithinBand` is left out: it is the quiet case, and a lane full of it would say nothing.
    """
    counts = Counter(reason for decision in decisions for reason in decision.reasons)
    del counts[Reason.WITHIN_BAND]
    ranked = [reason for reason, _ in counts.most_common()]
    n_own = len(ranked) if len(ranked) <= _MOST_LANES else _MOST_LANES - 1
    groups = [(words.REASONS[reason].label, {reason}) for reason in ranked[:n_own]]
    if n_own < len(ranked):
        groups.append((f"{len(ranked) - n_own} rarer reasons", set(ranked[n_own:])))
    return [
        (f"{label}, {sum(counts[reason] for reason in group):,}", _when_given(run, decisions, group))
        for label, group in groups
    ]


def _when_given(run: Run, decisions: Sequence[Decision], reasons: set[Reason]) -> list[tuple[float, float]]:
    mask = np.zeros(len(run.demand_rps), dtype=np.bool_)
    mask[[_step_of(run, decision) for decision in decisions if reasons.intersection(decision.reasons)]] = True
    return spans(mask, run.step_s)


def _step_of(run: Run, decision: Decision) -> int:
    return min(max(int(decision.time_s / run.step_s + 1e-9), 0), len(run.demand_rps) - 1)


def _line(axes: Axes, run: Run, values: Floats, colour: str, width: float) -> None:
    at = envelope(values)
    axes.plot(at * run.step_s, values[at], color=colour, linewidth=width * _fineness(run))


def _steps(axes: Axes, run: Run, values: Floats, colour: str, width: float) -> None:
    """A line that holds each value until the next one, the last until the end."""
    at = envelope(values)
    at = at[np.append(True, np.diff(values[at]) != 0)]  # a flat stretch needs no points
    times_s, heights = np.append(at * run.step_s, end_s(run)), np.append(values[at], values[-1])
    axes.plot(times_s, heights, color=colour, linewidth=width * _fineness(run), drawstyle="steps-post")


def _fineness(run: Run) -> float:
    """Thinner lines where many steps share a pixel."""
    return 1.0 if len(run.demand_rps) <= 10_000 else 0.7


def _draw_table(figure: Figure, table: Sequence[Row], top: float, line: float) -> None:
    """The figures of each policy as columns of text below the charts."""
    lines = [COLUMNS, *(cells(row) for row in table)]
    rights = np.linspace(0.24, 1 - 0.3 / WIDTH_IN, len(COLUMNS) - 1)
    for index, texts in enumerate(lines):
        y = top - index * line
        ink = LIGHT.muted if index == 0 else LIGHT.ink
        weight = "bold" if texts[0] == FORESCALE else "normal"
        figure.text(LEFT_IN / WIDTH_IN, y, texts[0], color=ink, size=9, weight=weight, parse_math=False)
        for right, cell in zip(rights, texts[1:], strict=True):
            figure.text(right, y, cell, color=ink, size=9, weight=weight, ha="right")
