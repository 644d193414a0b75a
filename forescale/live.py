"""The dry-run while it runs: a live table in a terminal, one line now and then elsewhere; and the table at its end."""

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from controller.frame import Frame
from forescale import words
from forescale.sparkline import Peaks, sparkline
from forescale.summary import COLUMNS, FORESCALE, cells, rows
from scaling.decision import Action, Decision
from sim.measures import Run

LEAST_BETWEEN_DRAWS_S = 0.1
"""Wall-clock seconds: at most ten updates a second, so that drawing costs a fast run little."""
LINES_A_RUN = 20
"""Lines that a run prints where there is no terminal; chosen: a page of a log."""
LINES_OF_ALL, LEAST_LINES = 60, 3
"""Lines that several runs share, and what each prints at least; chosen: three pages, and beginning, middle and end."""
MOST_WIDTH, NARROW_WIDTH = 100, 72
"""Columns: wider terminals are not filled, and below the second a row has no place for its chart (chosen)."""
MOST_BETWEEN_LINES_S = 60.0
"""Wall-clock seconds after which a slow run prints a line all the same; chosen: a sign of life a minute."""
ACTIONS_SHOWN = 6
MOST_UNIT = 16
"""Characters of a unit that the live table shows; chosen: its column has 26."""
SUMMARY_WIDTH = 80
"""Columns that the table at the end needs for a row a policy."""
SHORT_HEADINGS = {"replica-hours": "hours", "bad requests": "bad"}
"""For a table of 40 columns."""

_STYLES = {Action.ADD: "bold blue", Action.REMOVE: "bold magenta", Action.HOLD: "dim"}


class LiveTable:
    """Shows frames as they come; use it as a context manager and call `update` for every step."""

    def __init__(
        self,
        title: str,
        n_steps: int,
        step_s: float,
        objective_s: float,
        console: Console,
        now_s: Callable[[], float] = time.monotonic,
        runs: int = 1,
        unit: str = "requests/s",
    ) -> None:
        """`runs`: how many are shown one after the other; where there is no terminal each then prints fewer lines."""
        self._unit = unit if len(unit) <= MOST_UNIT else f"{unit[: MOST_UNIT - 1]}…"
        self._lines = min(LINES_A_RUN, max(LEAST_LINES, LINES_OF_ALL // runs))
        self._title, self._objective_s, self._console, self._now_s = title, objective_s, console, now_s
        self._end_s, self._step_s = n_steps * step_s, step_s
        self._began_s = now_s()
        self._shown_s = -float("inf")
        self._next_line_s = 0.0
        self._loads, self._replicas = Peaks(n_steps), Peaks(n_steps)
        self._actions: deque[Decision] = deque(maxlen=ACTIONS_SHOWN)
        self._frame: Frame | None = None
        redraws = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(console=console, auto_refresh=False) if redraws else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        else:
            self._print(f"{self._title}: {words.span(self._end_s)}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._draw()
            self._live.stop()

    def update(self, frame: Frame) -> None:
        """Take a step in; it is drawn unless the last drawing is too recent."""
        is_new = (
            self._frame is None or frame.decision is not self._frame.decision
        )  # steps can be shorter than intervals
        self._frame = frame
        self._loads.add(frame.demand_rps)
        self._replicas.add(frame.decision.final_replicas)
        if is_new and frame.decision.action is not Action.HOLD:
            self._actions.append(frame.decision)
        if self._live is not None:
            self._draw_if_due()
        else:
            self._print_if_due(frame)

    def _draw_if_due(self) -> None:
        if self._now_s() - self._shown_s >= LEAST_BETWEEN_DRAWS_S:
            self._draw()

    def _draw(self) -> None:
        if self._live is not None and self._frame is not None:
            self._shown_s = self._now_s()
            self._live.update(self._picture(self._frame), refresh=True)

    def _print_if_due(self, frame: Frame) -> None:
        now_s, last = self._now_s(), frame.time_s + self._step_s >= self._end_s
        if last or frame.time_s >= self._next_line_s or now_s - self._shown_s >= MOST_BETWEEN_LINES_S:
            self._shown_s = now_s
            self._next_line_s = frame.time_s + self._end_s / self._lines
            self._print(plain_line(frame, self._done(frame)))

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, markup=False, highlight=False, emoji=False)

    def _done(self, frame: Frame) -> float:
        return min((frame.time_s + self._step_s) / self._end_s, 1.0)

    def _picture(self, frame: Frame) -> RenderableType:
        width = min(self._console.width, MOST_WIDTH)
        state = self._narrow_state(frame) if width < NARROW_WIDTH else self._state(frame, width)
        parts = [self._head(frame, width), _fixed(state, width)]
        if self._actions:
            parts.append(self._recent(width))
        return Group(*(Padding(part, (1, 0, 0, 0)) for part in parts))

    def _head(self, frame: Frame, width: int) -> RenderableType:
        done = self._done(frame)
        elapsed_s = self._now_s() - self._began_s
        line = Table.grid(expand=True)
        line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        line.add_column(justify="right", no_wrap=True)
        line.add_row(Text(self._title, "bold"), Text(_remaining(elapsed_s, done), "dim"))
        line.add_row(ProgressBar(total=1.0, completed=done), Text(f"  {words.clock(frame.time_s)}  {done:4.0%}"))
        return _fixed(line, width)

    def _narrow_state(self, frame: Frame) -> RenderableType:
        """The same without charts, every figure in a row of its own."""
        decision = frame.decision
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in (
            ("load", f"{words.rate(frame.demand_rps)} {self._unit}"),
            ("replicas", f"{frame.ready} ready, {decision.final_replicas} wanted"),
            ("band", words.band(decision.band)),
            ("HPA runs", str(frame.hpa_replicas)),
            ("latency p95", f"{words.duration(frame.latency_p95_s)} of {words.duration(self._objective_s)}"),
            ("bad requests", words.percent(frame.bad_ratio_last_hour)),
            ("vs HPA", words.change(-_savings(frame))),
            ("decision", words.move(decision)),
            ("why", words.labels(decision.reasons)),
        ):
            table.add_row(name, Text(text))
        return table

    def _state(self, frame: Frame, width: int) -> RenderableType:
        decision = frame.decision
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True, min_width=13)
        table.add_column(no_wrap=True, min_width=26)
        table.add_column(no_wrap=True)
        chart_width = max(round((width - 45) * self._done(frame)), 1)  # grows with the progress
        replicas = f"{frame.ready} ready, {decision.final_replicas} wanted"
        load = Text(f"{words.rate(frame.demand_rps)} {self._unit}")
        table.add_row("load", load, Text(sparkline(self._loads.values, chart_width), "default"))
        table.add_row("replicas", replicas, Text(sparkline(self._replicas.values, chart_width), "blue"))
        table.add_row("band", words.band(decision.band), Text(f"HPA runs {frame.hpa_replicas}", "yellow"))
        late = frame.latency_p95_s > self._objective_s
        latency = Text(words.duration(frame.latency_p95_s), "bold red" if late else "default")
        table.add_row("latency p95", latency, Text(f"objective {words.duration(self._objective_s)}", "dim"))
        table.add_row("bad requests", words.percent(frame.bad_ratio_last_hour), Text("in the last hour", "dim"))
        used = f"{words.number(frame.replica_hours, 1)} against HPA {words.number(frame.hpa_replica_hours, 1)}"
        table.add_row("replica-hours", used, _saved(frame))
        table.add_row(
            "decision",
            Text(words.move(decision), _STYLES[decision.action]),
            Text(words.labels(decision.reasons), "dim"),
        )
        return table

    def _recent(self, width: int) -> RenderableType:
        narrow = width < NARROW_WIDTH
        table = Table(box=None, padding=(0, 2 if narrow else 3, 0, 0), pad_edge=False, header_style="dim")
        for name, right in (("time", False), ("action", False), ("replicas", True), ("band", True)):
            if not (narrow and right):
                table.add_column(name, justify="right" if right else "left", no_wrap=True)
        table.add_column("why", overflow="ellipsis", no_wrap=True)
        for decision in self._actions:
            sizes = (f"{decision.current_replicas} → {decision.final_replicas}", words.band(decision.band))
            table.add_row(
                words.clock(decision.time_s),
                Text(words.move(decision), _STYLES[decision.action]),
                *(() if narrow else sizes),
                words.labels(decision.reasons),
            )
        return _fixed(table, width)


def plain_line(frame: Frame, done: float) -> str:
    """One step as one line of a log."""
    decision, bad = frame.decision, words.percent(frame.bad_ratio_last_hour)
    return (
        f"{words.clock(frame.time_s)} {done:4.0%}  load {words.rate(frame.demand_rps)}  "
        f"replicas {frame.ready}/{decision.final_replicas}  band {words.band(decision.band)}  "
        f"HPA {frame.hpa_replicas}  p95 {words.duration(frame.latency_p95_s)}  bad 1h {bad}  "
        f"vs HPA {words.change(-_savings(frame))}  {words.move(decision)}: {words.labels(decision.reasons)}"
    )


def summary_table(run: Run, width: int = SUMMARY_WIDTH) -> Table:
    """The figures of every policy, for the end of a run: a row each, or a column each where that is too wide."""
    if width < SUMMARY_WIDTH:
        return _narrow_summary(run)
    lines = [(cells(row), "bold" if row.name == FORESCALE else None) for row in rows(run)]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for number, column in enumerate(COLUMNS):
        heading = column.replace("-", "-\n").replace("bad ", "bad\n")  # the table fits 80 columns
        table.add_column(Text(heading), justify="right" if number else "left", no_wrap=True, vertical="bottom")
    for texts, style in lines:
        table.add_row(*(Text(text) for text in texts), style=style)
    return table


def _narrow_summary(run: Run) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    names, *figures = zip(COLUMNS, *(cells(row) for row in rows(run)), strict=True)
    for number, name in enumerate(names):
        table.add_column(Text(name), justify="right" if number else "left", no_wrap=True)
    for heading, *texts in figures:
        table.add_row(*(Text(text) for text in (SHORT_HEADINGS.get(heading, heading), *texts)))
    return table


def _fixed(part: RenderableType, width: int) -> RenderableType:
    """A part on a given width, so that a wide terminal does not stretch it."""
    grid = Table.grid()
    grid.add_column(width=width)
    grid.add_row(part)
    return grid


def _savings(frame: Frame) -> float:
    return 1 - frame.replica_hours / frame.hpa_replica_hours if frame.hpa_replica_hours > 0 else 0.0


def _saved(frame: Frame) -> Text:
    savings = _savings(frame)
    best = f"   clairvoyant {words.number(frame.clairvoyant_replica_hours, 1)}"
    return Text(words.change(-savings), "green" if savings >= 0 else "yellow").append(best, "dim")


def _remaining(elapsed_s: float, done: float) -> str:
    if elapsed_s < 1 or not 0 < done < 1:
        return ""
    return f"{words.clock(elapsed_s / done * (1 - done))} to go"
