"""Real load: reads trace files and checks every row; `resample` lays a trace out at the control interval.

A trace is a CSV, plain or gzip: optional `# key: value` lines, then `t_seconds,value` rows on a regular grid. A file of
one's own needs the rows only. A file that breaks a rule is refused as a whole: a missing row is not a zero.
"""

import gzip
import math
import os
import zlib
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scaling.errors import InputError
from sim.resampling import FILLS, Fill, fill_grid

__all__ = [
    "FILLS", "Fill", "Origin", "Trace",
    "list_traces", "load_folder", "read_load_csv", "resample", "scale_to_pods", "traces_folder",
]  # fmt: skip

Series = NDArray[np.float64]
Resolution = Literal["fine", "mid", "hourly"]

TRACES_VARIABLE = "FORESCALE_TRACES"
DEFAULT_FOLDER = "../shared/traces"
SUFFIXES = (".csv", ".csv.gz")
COLUMNS = "t_seconds,value"

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


def read_load_csv(path: Path) -> Trace:
    """Read a trace, with or without header lines, or raise InputError naming file, line, value and limit."""
    header, times_s, values = _parse(path, _read_text(path))
    if len(values) < 2:
        raise InputError(f"{path}: {len(values)} rows, at least 2 needed")
    interval_s = round(times_s[1] - times_s[0], 3)
    _check_promises(path, header, interval_s, len(values))

    series = np.array(values, dtype=np.float64)
    series.flags.writeable = False
    return Trace(
        name=path.name.removesuffix(".gz").removesuffix(".csv"),
        trace_class=header.get("class", "unclassified"),
        unit=header.get("unit", "requests/s"),
        interval_s=interval_s,
        values=series,
        start_s=times_s[0],
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
    if len(content) > MAX_BYTES:
        raise InputError(f"{path}: over {MAX_BYTES} bytes of text, the limit")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8 text") from error


def _parse(path: Path, text: str) -> tuple[dict[str, str], "array[float]", "array[float]"]:
    """Header, times and values; each row is checked where its line number is known."""
    header: dict[str, str] = {}
    times_s, values = array("d"), array("d")
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if line.startswith("#"):
            key, _, value = line[1:].partition(":")
            header[key.strip()] = "".join(filter(str.isprintable, value.strip()))
        elif line and (values or line.replace(" ", "") != COLUMNS):
            where = f"{path} line {number}"
            time_s, value_ = _row(where, line)
            _check_time(where, times_s, time_s)
            if len(values) == MAX_ROWS:
                raise InputError(f"{where}: over {MAX_ROWS} rows, the limit")
            times_s.append(time_s)
            values.append(value_)
    return header, times_s, values


def _row(where: str, line: str) -> tuple[float, float]:
    cells = line.split(",")
    if len(cells) != 2:
        raise InputError(f"{where}: {_shown(line)} has {len(cells)} columns, needs 2 ({COLUMNS})")
    time_s, value = _number(where, "t_seconds", cells[0]), _number(where, "value", cells[1])
    if not 0 <= value <= MAX_VALUE:
        raise InputError(f"{where}: value is {_shown(cells[1])}, must be within 0..{MAX_VALUE:g}")
    return time_s, value


def _number(where: str, name: str, cell: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        raise InputError(f"{where}: {name} is {_shown(cell)}, must be a number") from None
    if not math.isfinite(number):
        raise InputError(f"{where}: {name} is {_shown(cell)}, must be finite")
    return number


def _check_time(where: str, times_s: "array[float]", time_s: float) -> None:
    """Rising by the first two rows' distance, within `GRID_TOLERANCE_S`."""
    if not times_s:
        return
    step_s = time_s - times_s[-1]
    if step_s <= 0:
        raise InputError(f"{where}: t_seconds is {time_s:.12g} after {times_s[-1]:.12g}, must rise")
    if len(times_s) == 1:
        if not MIN_INTERVAL_S <= step_s <= MAX_INTERVAL_S:
            limits = f"{MIN_INTERVAL_S:g}..{MAX_INTERVAL_S:g}"
            raise InputError(f"{where}: rows are {step_s:.12g} s apart, must be within {limits} s")
    elif abs(step_s - (times_s[1] - times_s[0])) > GRID_TOLERANCE_S:
        expected_s = times_s[1] - times_s[0]
        raise InputError(f"{where}: {step_s:.12g} s after the row before, must be {expected_s:.12g} s as at the start")


def _check_promises(path: Path, header: dict[str, str], interval_s: float, rows: int) -> None:
    """What a header says of the rows must hold: a cut file is seen here."""
    for key, found, tolerance in (("rows", float(rows), 0.0), ("interval_s", interval_s, GRID_TOLERANCE_S)):
        if key in header and abs(_number(f"{path} header", key, header[key]) - found) > tolerance:
            raise InputError(f"{path}: header says {key} {_shown(header[key])}, the file has {found:.12g}")


def _shown(text: str) -> str:
    """A cell for a message: quoted, control characters escaped, cut at 40 characters."""
    text = text.strip()
    return ascii(text if len(text) <= 40 else text[:37] + "...")
