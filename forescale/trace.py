"""Pulls the load that a policy's own query has seen out of Prometheus, as a trace for a dry-run.

Owns the series: range queries short enough for the server, what a gap becomes, and the CSV. A missing sample is not a
zero. A gap of up to `MOST_FILLED_S` is filled by a straight line between its neighbours, which is told; a longer one
divides the series, of which the longest stretch is kept.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from controller.crd.resource import load_files
from controller.prometheus.answer import Grid, parse_history
from controller.prometheus.http import PrometheusHttp, QueryRefused, QueryTooSlow
from controller.prometheus.metrics import range_request
from forescale.files import write_whole
from scaling.errors import InputError
from scaling.limits import shown
from scaling.observation import Unknown, Value, usable

if TYPE_CHECKING:
    from controller.crd.resource import PolicyResource
    from scaling.spec import ScalingSpec

Series = NDArray[np.float64]

MOST_POINTS, LEAST_POINTS = 10_000, 500
"""Samples asked for by one range query: Prometheus gives 11,000 at most. One that is refused or takes too long is asked
for by halves, down to the second number (chosen)."""

MOST_FILLED_S = 300.0
"""Longest gap that is filled (chosen: five minutes, for which Prometheus itself repeats a value)."""

MOST_ROWS = 2_000_000
"""Rows that a dry-run reads."""

DAY_S = 86_400.0


@dataclass(frozen=True)
class Stretch:
    """A series without gaps."""

    start_s: float
    """Unix time of its first value."""
    step_s: float
    values: Series
    filled: int
    """How many of the values are not measured."""
    left_out: int
    """How many measured ones lie beyond a longer gap."""


def policy_of(files: Sequence[Path], name: str | None) -> "PolicyResource":
    """The one policy that files hold, or the one of a name."""
    policies = load_files(files).policies
    found = [policy for policy in policies if name in (None, policy.name, f"{policy.namespace}/{policy.name}")]
    if len(found) == 1:
        return found[0]
    names = ", ".join(f"{policy.namespace}/{policy.name}" for policy in policies)[:200]
    if name is None:
        raise InputError(f"--file: {len(policies)} policies ({names}); choose one with --name")
    raise InputError(f"--name: {shown(name)} is {len(found)} of the policies {names}, needs 1")


def grid_until(now_s: float, days: float, step_s: float) -> Grid:
    """The times of so many days up to now, on whole steps; now_s is Unix time."""
    if not 0 < days <= 366:
        raise InputError(f"--days: {days:g} is outside 0..366")
    if not 1 <= step_s <= 3600:
        raise InputError(f"--step-seconds: {step_s:g} is outside 1..3600")
    steps = round(days * DAY_S / step_s)
    if not 2 <= steps <= MOST_ROWS:
        raise InputError(f"--days: {days:g} at --step-seconds {step_s:g} are {steps} rows, outside 2..{MOST_ROWS}")
    last_s = math.floor(now_s / step_s) * step_s
    return Grid(last_s - (steps - 1) * step_s, step_s, steps)


async def pull(http: PrometheusHttp, query: str, grid: Grid, tell: Callable[[int, int], None]) -> Series:
    """What a query answered at these times, NaN for gaps; `tell` hears of how many steps are read of how many.

    Raises InputError with the reason why there is no answer.
    """
    values, points, done = np.full(grid.steps, math.nan), MOST_POINTS, 0
    while done < grid.steps:
        part = Grid(grid.start_s + done * grid.step_s, grid.step_s, min(points, grid.steps - done))
        found = await _ask(http, query, part)
        if isinstance(found, QueryRefused | QueryTooSlow) and part.steps > LEAST_POINTS:
            points = max(LEAST_POINTS, part.steps // 2)
            continue
        if isinstance(found, Unknown):
            raise InputError(f"Prometheus at {shown(http.settings.base_url)}: {found.message}")
        values[done : done + part.steps] = found
        done += part.steps
        tell(done, grid.steps)
    return values


def without_gaps(values: Series, grid: Grid, spec: "ScalingSpec") -> Stretch:
    """The longest stretch without a long gap, its short ones filled. Raises InputError where there is none."""
    measured = np.array([isinstance(usable(Value(value), spec), Value) for value in values])
    places = np.flatnonzero(measured)
    if places.size < 2:
        raise InputError(f"the query answered {places.size} values in {_time(grid.start_s)} to {_time(grid.end_s)}")
    breaks = np.flatnonzero(np.diff(places) * grid.step_s > MOST_FILLED_S + grid.step_s)
    stretch = max(np.split(places, breaks + 1), key=lambda part: int(part[-1] - part[0]))
    if stretch.size < 2:
        raise InputError(f"gaps of over {MOST_FILLED_S:g} s between all of the {places.size} values; take larger steps")
    first, last = int(stretch[0]), int(stretch[-1])
    filled = np.interp(np.arange(first, last + 1), stretch, np.maximum(values[stretch], 0.0))
    return Stretch(
        grid.start_s + first * grid.step_s,
        grid.step_s,
        filled,
        filled=last + 1 - first - stretch.size,
        left_out=places.size - stretch.size,
    )


def write_csv(path: Path, stretch: Stretch, policy: "PolicyResource") -> None:
    """Write it as a trace, whole or not at all."""
    header = (
        f"# what: load of {policy.namespace}/{policy.name} from {_time(stretch.start_s)}",
        f"# interval_s: {stretch.step_s:g}",
        f"# rows: {len(stretch.values)}",
        f"# gaps_filled: {stretch.filled}",
        "t_seconds,value",
    )
    rows = (f"{step * stretch.step_s:g},{value!r}" for step, value in enumerate(stretch.values.tolist()))
    write_whole(path, ("\n".join((*header, *rows)) + "\n").encode("ascii", errors="replace"))


def summary(stretch: Stretch) -> list[str]:
    """What was written, and what of it was not measured, in lines for people."""
    values, hours = stretch.values, len(stretch.values) * stretch.step_s / 3600
    lines = [
        f"{len(values)} rows, {hours:.1f} h from {_time(stretch.start_s)}; "
        f"mean {values.mean():.4g}, highest {values.max():.4g}"
    ]
    if stretch.filled:
        share = 100 * stretch.filled / len(values)
        lines.append(f"{stretch.filled} rows ({share:.1f} %) lie in gaps of up to {MOST_FILLED_S:g} s: filled linearly")
    if stretch.left_out:
        lines.append(f"{stretch.left_out} values beyond longer gaps are left out: the longest stretch is kept")
    return lines


async def _ask(http: PrometheusHttp, query: str, part: Grid) -> list[float] | Unknown:
    body = await http.ask(range_request(query, part, http.settings.history_deadline_s))
    return body if isinstance(body, Unknown) else parse_history(body, part)


def _time(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
