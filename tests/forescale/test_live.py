from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from controller.crd.resource import load_policies
from controller.dryrun.rehearsal import Load, run_policy
from controller.frame import Frame
from forescale.live import LINES_A_RUN, LiveTable, plain_line, summary_table
from forescale.sparkline import MOST_PEAKS, Peaks, sparkline
from forescale.summary import cells, rows
from scaling.decision import Action
from tests.forescale.builders import OBJECTIVE_S, a_run, frames

ROOT = Path(__file__).parents[2]


class Clock:
    """A clock that moves by a step each time it is read."""

    def __init__(self, step_s: float) -> None:
        self.now_s, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def a_console(terminal: bool, width: int = 80) -> Console:
    return Console(file=StringIO(), force_terminal=terminal, width=width, height=40, color_system=None)


def show(n_steps: int, console: Console, clock: Clock, title: str = "shop/web") -> str:
    run, decisions = a_run(n_steps)
    with LiveTable(title, n_steps, run.step_s, OBJECTIVE_S, console, now_s=clock) as live:
        for frame in frames(run, decisions):
            live.update(frame)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_without_a_terminal_a_run_prints_a_page_of_plain_lines():
    lines = show(2000, a_console(terminal=False), Clock(0.001)).splitlines()
    assert LINES_A_RUN <= len(lines) <= LINES_A_RUN + 3
    assert not any("\x1b" in line or "\r" in line for line in lines)
    assert "100%" in lines[-1]
    assert all("replicas" in line and "HPA" in line for line in lines[1:])


def test_without_a_terminal_a_slow_run_prints_a_line_a_minute():
    lines = show(100, a_console(terminal=False), Clock(61.0)).splitlines()
    assert len(lines) == 1 + 100


def test_a_plain_line_says_what_was_decided_and_why():
    run, decisions = a_run(2000)
    frame = next(f for f in frames(run, decisions) if f.decision.action is Action.ADD)
    line = plain_line(frame, 0.5)
    assert "Add " in line
    assert "below the band" in line
    assert f"HPA {frame.hpa_replicas}" in line


def test_a_terminal_shows_state_and_recent_actions_within_its_width():
    text = show(1200, a_console(terminal=True, width=80), Clock(0.005))
    last = text[text.rindex("shop/web") :]
    for shown in ("load", "ready", "wanted", "band", "HPA runs", "latency p95", "against HPA", "clairvoyant", "100%"):
        assert shown in last
    assert "Remove" in last or "Add" in last
    assert all(len(line) <= 80 for line in last.splitlines())


def test_a_unit_of_any_length_is_shown_as_it_is_written():
    console = a_console(terminal=True, width=80)
    run, decisions = a_run(40)
    unit = "[red]tweets[/red] per five minutes"
    with LiveTable("shop/web", 40, run.step_s, OBJECTIVE_S, console, now_s=Clock(0.2), unit=unit) as live:
        for frame in frames(run, decisions):
            live.update(frame)
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert " [red]tweets[/re…" in text
    assert max(map(len, text[text.rindex("shop/web") :].splitlines())) <= 80


@pytest.mark.parametrize("width", [40, 60, 71, 72])
def test_a_narrow_terminal_shows_every_figure_within_its_width(width):
    text = show(1200, a_console(terminal=True, width=width), Clock(0.005))
    last = text[text.rindex("shop/web") :]
    shown = [
        "load",
        "replicas",
        "band",
        "HPA runs",
        "latency p95",
        "bad requests",
        "decision",
        "the band",
        "100%",
        "time",
    ]
    assert [name for name in shown if name not in last] == []
    assert max(map(len, last.splitlines())) <= width


@pytest.mark.parametrize("width", [40, 60, 79])
def test_the_summary_of_a_narrow_terminal_has_a_column_for_each_policy(width):
    run, _ = a_run()
    run = replace(run, policies=run.policies[:3])
    console = a_console(terminal=False, width=width)
    console.print(summary_table(run, width))
    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[0].split() == ["policy", "forescale", "HPA", "clairvoyant"]
    for column, row in enumerate(rows(run)):
        for line, cell in zip(lines[1:], cells(row)[1:], strict=True):
            assert cell in line, (column, line)
    assert max(map(len, lines)) <= width


def test_many_runs_share_the_lines_of_a_log():
    run, decisions = a_run(2000)
    console = a_console(terminal=False)
    with LiveTable("shop/web", 2000, run.step_s, OBJECTIVE_S, console, now_s=Clock(0.001), runs=40) as live:
        for frame in frames(run, decisions):
            live.update(frame)
    assert isinstance(console.file, StringIO)
    assert 1 + 3 <= len(console.file.getvalue().splitlines()) <= 1 + 5


def test_the_first_row_says_why_it_holds():
    (resource,) = load_policies(ROOT / "deploy" / "examples" / "web.yaml")
    seen: list[Frame] = []
    run_policy(resource, Load(np.full(4, 500.0), 15.0, np.zeros(0)), 0, seen.append)
    lines = [plain_line(frame, 0.0) for frame in seen]
    assert lines[0].endswith("Hold: just started")
    assert not any(line.endswith(": ") for line in lines)


def test_a_terminal_is_redrawn_at_most_ten_times_a_second():
    seconds, reads_per_step = 4.0, 1
    text = show(400, a_console(terminal=True), Clock(seconds / 400 / reads_per_step))
    drawn = text.count("latency p95")
    assert 3 <= drawn <= seconds * 10 * 2 + 2  # drawing reads the clock twice more


def test_titles_are_not_read_as_markup():
    assert "[bold]shop[/bold]" in show(100, a_console(terminal=True), Clock(0.2), title="[bold]shop[/bold]")
    assert "[bold]shop[/bold]" in show(100, a_console(terminal=False), Clock(0.2), title="[bold]shop[/bold]")


def test_the_summary_holds_every_figure_and_fits_eighty_columns():
    run, _ = a_run()
    console = a_console(terminal=False, width=80)
    console.print(summary_table(run))
    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().splitlines()
    for row in rows(run):
        assert any(all(cell in line for cell in cells(row)) for line in lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("values", "width", "expected"),
    [
        pytest.param([], 5, "", id="nothing-yet"),
        pytest.param([0.0, 0.0], 5, "▁▁", id="no-load"),
        pytest.param([0.0, 1.0], 5, "▁█", id="shorter-than-the-line"),
        pytest.param([*np.zeros(99), 1.0], 4, "▁▁▁█", id="a-single-peak-stays"),
    ],
)
def test_sparklines_keep_peaks(values, width, expected):
    assert sparkline(values, width) == expected


@pytest.mark.parametrize("n_steps", [1, 7, MOST_PEAKS, 3 * MOST_PEAKS + 1, 100_000])
def test_a_long_run_is_kept_as_few_peaks_and_none_is_lost(n_steps):
    peaks = Peaks(n_steps)
    for step in range(n_steps):
        peaks.add(float(step == n_steps // 2))
    assert len(peaks.values) == min(n_steps, MOST_PEAKS)
    assert sum(peaks.values) == 1.0
    assert peaks.values.index(1.0) == n_steps // 2 * len(peaks.values) // n_steps
