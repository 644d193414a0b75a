"""Real load: reads trace files and checks every row; `resample` lays a trace out at the control interval.

A trace is a CSV, plain or gzip: optional `# key: value` lines, then rows of a time and a value on a regular grid.
`sim.trace_csv` finds the two columns, `sim.trace_times` and `sim.trace_numbers` read their cells. A file that breaks a
rule is refused as a whole: a missing row is not a zero.
"""

import gzip
import io
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scaling.errors import InputError
from sim.resampling import FILLS, Fill, fill_grid
from sim.trace_csv import Columns, read_columns
from sim.trace_numbers import read_numbers, shown
from sim.trace_times import read_times

__all__ = [
    "FILLS", "Fill", "Origin", "Trace",
    "list_traces", "load_folder", "read_load_csv", "resample", "scale_to_pods", "traces_folder",
]  # fmt: skip

Series = NDArray[np.float64]
Resolution = Literal["fine", "mid", "hourly"]

TRACES_VARIABLE = "FORESCALE_TRACES"
DEFAULT_FOLDER = "../shared/traces"
SUFFIXES = (".csv", ".csv.gz")

MAX_ROWS = 2_000_000
"""Chosen: 23 days at 1 s, a year at 15 s."""
MAX_BYTES = 64 * 1024 * 1024
"""Bytes of text, after decompression; chosen: MAX_ROWS rows of 32 characters. A gzip bomb stops here."""
MAX_VALUE = 1e12
"""In the trace's unit, chosen: sums over MAX_ROWS rows stay exact to the unit's thousandth of the mean."""
MIN_INTERVAL_S, MAX_INTERVAL_S = 1.0, 86_400.0
"""Chosen: below a second is below any scrape; rows coarser than a day say nothing about a control interval."""
GRID_TOLERANCE_S = 0.001
"""Chosen: a row may be a millisecond off its place, for times printed with three decimals."""
HOUR_S = 3_600.0
OTHER_FORMS = {
    b"PK\x03\x04": "a workbook or another zip archive",
    b"PAR1": "Parquet",
    b"{": "JSON",
    b"[": "JSON",
    b"<": "HTML or XML",
}
"""What files of other forms begin with."""

FINE_S = 60.0
MID_S = 600.0
"""Native intervals up to which a trace counts as fine and as mid, as the evaluation reports them."""


@dataclass(frozen=True)
class Origin:
    """Where a trace was taken from, as its header says; empty where it does not."""

    what: str = ""
    source: str = ""
    path: str = ""
    commit: str = ""
    licence: str = ""


@dataclass(frozen=True, eq=False)
class Trace:
    """One load series on a regular grid; each value is the mean over the interval that starts at its time."""

    name: str
    trace_class: str
    unit: str
    interval_s: float
    values: Series
    """(rows,), read-only, all finite and >= 0."""
    start_s: float = 0.0
    origin: Origin = Origin()

    @property
    def resolution(self) -> Resolution:
        """How much of what a controller sees is measured rather than filled in."""
        if self.interval_s <= FINE_S:
            return "fine"
        return "mid" if self.interval_s <= MID_S else "hourly"


def traces_folder() -> Path:
    """The folder in `FORESCALE_TRACES`, or the default one beside the checkout."""
    return Path(os.environ.get(TRACES_VARIABLE) or DEFAULT_FOLDER)


def list_traces(folder: Path) -> list[Path]:
    """The trace files of a folder by name; a folder without any is refused."""
    if not folder.is_dir():
        raise InputError(f"traces folder {folder}: not a folder (set {TRACES_VARIABLE} or name another)")
    files = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIXES) and path.is_file())
    if not files:
        raise InputError(f"traces folder {folder}: 0 files that end in {' or '.join(SUFFIXES)}, at least 1 needed")
    return files


def load_folder(folder: Path) -> list[Trace]:
    """All traces of a folder; one bad file refuses the folder."""
    return [read_load_csv(path) for path in list_traces(folder)]


def read_load_csv(path: Path, column: str | None = None) -> Trace:
    """Read a trace; `column` names the series of a file with several.

    Raises InputError naming the file, the line, the value and the limit or the form that was found.
    """
    columns = read_columns(str(path), io.StringIO(_read_text(path), newline=None), MAX_ROWS, column)
    if len(columns.times) < 2:
        raise InputError(f"{path}: {len(columns.times)} rows, at least 2 needed")
    values, unit = _values(path, columns)
    times_s, values = _grid(path, columns, values)
    interval_s = round(float(times_s[1] - times_s[0]), 3)
    header = columns.header
    _check_promises(path, header, interval_s, len(values))
    values.flags.writeable = False
    return Trace(
        name=path.name.removesuffix(".gz").removesuffix(".csv"),
        trace_class=header.get("class", "unclassified"),
        unit=header.get("unit") or unit or "requests/s",
        interval_s=interval_s,
        values=values,
        start_s=float(times_s[0]),
        origin=Origin(**{key: header.get(key, "") for key in ("what", "source", "path", "commit", "licence")}),
    )


def resample(trace: Trace, step_s: float, fill: Fill = "split", seed: int = 0) -> Series:
    """Return the trace at the control interval, its total kept (`sim.resampling` says how and why `split`).

    The fill's chance comes from the seed and the trace's name, so a folder's traces do not share it.
    """
    rng = np.random.default_rng([seed, zlib.crc32(trace.name.encode())])
    return fill_grid(trace.values, trace.interval_s, step_s, fill, rng)


def scale_to_pods(values: Series, mean_pods: float) -> Series:
    """Scale a series so that its mean is `mean_pods`, the demand in pods that an evaluation runs at."""
    mean = float(values.mean())
    if not mean > 0:
        raise InputError(f"scale to {mean_pods} pods: the series has mean {mean:g}, must be over 0")
    scaled: Series = values * (mean_pods / mean)
    return scaled


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as plain:
            zipped = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except EOFError as error:
        raise InputError(f"{path}: the gzip data ends too early") from error
    except zlib.error as error:
        raise InputError(f"{path}: the gzip data is broken ({error})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    beginning = content[:64].lstrip()
    for start, form in OTHER_FORMS.items():
        if beginning.startswith(start):
            raise InputError(f"{path}: {form}, needs a CSV of times and values")
    if len(content) > MAX_BYTES:
        raise InputError(f"{path}: over {MAX_BYTES} bytes of text, the limit")
    try:
        return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8 text; save it as UTF-8") from error


def _where(path: Path, columns: Columns) -> Callable[[int], str]:
    return lambda row: f"{path} line {columns.lines[row]}"


def _values(path: Path, columns: Columns) -> tuple[Series, str]:
    """The values and their unit, empty for bare numbers."""
    where = _where(path, columns)
    column = read_numbers(columns.values, "value", where, point_is_usual=columns.separator == ",")
    values = np.array(column.numbers)
    outside = np.flatnonzero(~((values >= 0) & (values <= MAX_VALUE)))
    if outside.size:
        row = int(outside[0])
        limits = f"0..{MAX_VALUE:g}"
        raise InputError(f"{where(row)}: value is {shown(columns.values[row])}, must be within {limits}")
    return values, column.unit


def _grid(path: Path, columns: Columns, values: Series) -> tuple[Series, Series]:
    """Times in seconds and values, oldest first, on a regular grid within `GRID_TOLERANCE_S`."""
    where = _where(path, columns)
    times = read_times(columns.times, columns.time_name, where)
    steps_s = np.diff(times.seconds)
    falls = bool((steps_s < 0).all())  # newest first, as Grafana writes one row a series
    steps_s = -steps_s if falls else steps_s
    usual_s = _usual(steps_s[steps_s > 0])
    _check_steps(where, columns, steps_s, usual_s, times.local)
    if not MIN_INTERVAL_S <= usual_s <= MAX_INTERVAL_S:
        limits = f"{MIN_INTERVAL_S:g}..{MAX_INTERVAL_S:g}"
        raise InputError(f"{where(1)}: rows are {usual_s:.12g} s apart, must be within {limits} s")
    order = slice(None, None, -1 if falls else 1)
    return times.seconds[order], values[order].copy()


def _usual(steps_s: Series) -> float:
    """The most frequent step, to the millisecond; the shortest of several, 0 of none."""
    if not steps_s.size:
        return 0.0
    steps, counts = np.unique(np.round(steps_s, 3), return_counts=True)
    return float(steps[np.argmax(counts)])


def _check_steps(where: Callable[[int], str], columns: Columns, steps_s: Series, usual_s: float, local: bool) -> None:
    """Raise InputError for the first step that is not the usual one; for one that does not rise before all others."""
    odd = np.flatnonzero(~(np.abs(steps_s - usual_s) <= GRID_TOLERANCE_S) | (steps_s <= 0))
    if not odd.size:
        return
    falling = np.flatnonzero(steps_s <= 0)
    row = int(falling[0] if falling.size else odd[0]) + 1
    step_s = float(steps_s[row - 1])
    place = (
        f"{step_s:.12g} s after the row before" if step_s > 0 else f"{-step_s:.12g} s before the row above, must rise"
    )
    if step_s == 0:
        place = "at the time of the row before, must rise"
    usual = f"the usual step of the file is {usual_s:.12g} s"
    cause = _cause(step_s, usual_s, local, irregular=odd.size > len(steps_s) // 10)
    raise InputError(f"{where(row)}: {shown(columns.times[row])} is {place}; {usual}{cause}")


def _cause(step_s: float, usual_s: float, local: bool, irregular: bool) -> str:
    """What may have made an unusual step, and what to do about it; empty for what nobody can tell."""
    missing = step_s / usual_s - 1 if usual_s > 0 else 0.0
    if local and abs(abs(step_s - usual_s) - HOUR_S) <= GRID_TOLERANCE_S:
        return "; local times change by an hour in spring and autumn: export UTC"
    if missing > 0.5 and abs(missing - round(missing)) * usual_s <= GRID_TOLERANCE_S:
        return f"; rows missing: {round(missing)}; fill them, a missing row is not zero"
    if step_s > 0 and irregular:
        return "; the rows are no regular grid: export one value for each step"
    return ""


def _check_promises(path: Path, header: dict[str, str], interval_s: float, rows: int) -> None:
    """What a header says of the rows must hold: a cut file is seen here."""
    for key, found, tolerance in (("rows", float(rows), 0.0), ("interval_s", interval_s, GRID_TOLERANCE_S)):
        if key in header and abs(_promised(path, key, header[key]) - found) > tolerance:
            raise InputError(f"{path}: header says {key} {shown(header[key])}, the file has {found:.12g}")


def _promised(path: Path, key: str, text: str) -> float:
    return float(read_numbers([text], key, lambda _: f"{path} header").numbers[0])
