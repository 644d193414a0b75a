"""Times as traces and dashboards write them: seconds, epochs in s, ms, us or ns, and ISO 8601.

The form of the first cell holds for all. A form that can be read in two ways is refused by its name, never guessed.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scaling.errors import InputError
from sim.trace_numbers import Where, read_numbers, shown

UNITS_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
_UNIT_NAMES = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "unix"), "s"),
    **dict.fromkeys(("ms", "msec", "millis", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(
        ("us", "\N{MICRO SIGN}s", "\N{GREEK SMALL LETTER MU}s", "micros", "microsecond", "microseconds"), "us"
    ),
    **dict.fromkeys(("ns", "nanos", "nanosecond", "nanoseconds"), "ns"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "min"),
    **dict.fromkeys(("h", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
}
"""Words of a column's name that tell the unit of its numbers."""
_COUNTERS = {
    "",
    "#",
    "i",
    "id",
    "idx",
    "index",
    "n",
    "no",
    "nr",
    "number",
    "row",
    "sample",
    "step",
    "week",
    "month",
    "year",
}
"""Column names under which numbers are counts, not times of one length."""

EPOCH_FROM_S, EPOCH_TO_S = 946_684_800.0, 4_102_444_800.0
"""The years 2000 to 2099: in which of s, ms, us and ns a number lies there can be told without a guess."""
MOST = 1e19
"""Of a time as a number: epochs in ns have 19 digits."""
LONGEST_SPOKEN_S = 3_600.0
"""Rows further apart than this, or by whole thousands, may be in ms unless the column's name says s (chosen: hourly is
the coarsest usual grid, and no usual one is 1000 s)."""

HOW = "write seconds, an epoch time or ISO 8601 such as 2026-01-31T12:00:00Z"

_DATE = r"(?P<y>\d{4})(?P<sep>[-/])(?P<mo>\d\d?)(?P=sep)(?P<d>\d\d?)"
_CLOCK = r"(?P<h>\d\d?):(?P<mi>\d\d)(?::(?P<s>\d\d)(?:[.,](?P<f>\d+))?)?"
_ISO = re.compile(rf"{_DATE}(?:(?:[Tt]|,? +){_CLOCK} ?(?P<zone>Z|z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?(?: UTC)?)?", re.ASCII)
_SCIENTIFIC = re.compile(r"\d[.,]\d+[eE]\+?\d+")
_FORMS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b.*"), "a date whose day and month can be taken for each other"),
    (re.compile(r"\d{1,2}:\d\d(:\d\d([.,]\d+)?)?( ?[AaPp]\.?[Mm]\.?)?"), "a time of day without its date"),
    (re.compile(r"\d{8}[T ]?\d{0,6}Z?"), "a date without hyphens"),
    (re.compile(r".*[A-Za-z]{3}.*"), "a date in words"),
)
"""Forms that are not read, by name."""


class Times(NamedTuple):
    """Seconds, from 1970 or from a beginning of the file's own; `local`: clock times that carry no zone."""

    seconds: NDArray[np.float64]
    local: bool


def is_time(cell: str) -> bool:
    """Whether a cell stands for a time, of a form that is read or not, rather than for the name of a column."""
    return cell[:1].isdigit() or cell[:1] in ("+", "-", ".") or cell.lower() in ("nan", "inf")


def unit_in(name: str) -> str | None:
    """The unit of time that a column's name ends in, as `t_ms` or `Time (s)`."""
    word = re.split(r"[\s_(\[.]+", name.strip().rstrip(")]").lower())[-1]
    return _UNIT_NAMES.get(word)


def read_times(cells: Sequence[str], name: str | None, where: Where) -> Times:
    """Seconds of each cell; `name` is the column's, None where the file names none.

    Raises InputError naming the place, the cell and the form that was found.
    """
    if _ISO.fullmatch(cells[0]):
        return _iso_times(cells, where)
    called = name or "t_seconds"
    for pattern, form in _FORMS[:2]:
        if pattern.fullmatch(cells[0]):
            raise InputError(f"{where(0)}: {called} is {shown(cells[0])}, {form}; {HOW}")
    if re.search(r"[^\d\s.,'eE+-]", cells[0]) and cells[0].lower().lstrip("+-") not in ("nan", "inf"):
        form = next((form for pattern, form in _FORMS if pattern.fullmatch(cells[0])), "no form of a time that is read")
        raise InputError(f"{where(0)}: {called} is {shown(cells[0])}, {form}; {HOW}")
    return Times(_number_times(cells, name, where), local=False)


def _iso_times(cells: Sequence[str], where: Where) -> Times:
    seconds = np.empty(len(cells))
    zoned = None
    for index, cell in enumerate(cells):
        seconds[index], has_zone = _iso_s(cell, index, where)
        if zoned is not None and has_zone != zoned:
            raise InputError(
                f"{where(index)}: {shown(cell)} {'has' if has_zone else 'has no'} zone, unlike the rows before"
            )
        zoned = has_zone
    return Times(seconds, local=not zoned)


def _iso_s(cell: str, index: int, where: Where) -> tuple[float, bool]:
    """Seconds since 1970 and whether the cell carries a zone; clock times without one count as UTC."""
    found = _ISO.fullmatch(cell)
    if found is None:
        raise InputError(f"{where(index)}: {shown(cell)} is not a date and time as in the rows before")
    year, month, day, hour, minute, second = (int(found[name] or 0) for name in ("y", "mo", "d", "h", "mi", "s"))
    try:
        whole = datetime(year, month, day, hour, minute, second, tzinfo=_zone(found["zone"]))
    except ValueError as error:
        raise InputError(f"{where(index)}: {shown(cell)} is no date and time ({error})") from None
    return whole.timestamp() + float(f"0.{found['f'] or 0}"), found["zone"] is not None


def _zone(text: str | None) -> timezone:
    if text is None or text[0] not in "+-":
        return UTC
    sign, digits = -1 if text[0] == "-" else 1, text[1:].replace(":", "").ljust(4, "0")
    return timezone(sign * timedelta(hours=int(digits[:2]), minutes=int(digits[2:])))


def _number_times(cells: Sequence[str], name: str | None, where: Where) -> NDArray[np.float64]:
    called = name or "t_seconds"
    if name is not None and name.strip().lower() in _COUNTERS:
        raise InputError(f"{where(0)}: column {shown(name)} holds counts and no times; {HOW}")
    if _SCIENTIFIC.fullmatch(cells[0]) and float(cells[0].replace(",", ".")) >= EPOCH_FROM_S:
        raise InputError(f"{where(0)}: {called} is {shown(cells[0])}, whose last digits a spreadsheet has cut; {HOW}")
    numbers = np.array(read_numbers(cells, called, where).numbers)
    outside = np.flatnonzero(np.abs(numbers) > MOST)
    if outside.size:
        row = int(outside[0])
        raise InputError(f"{where(row)}: {called} is {shown(cells[row])}, must be within {-MOST:g}..{MOST:g}")
    spoken = None if name is None else unit_in(name)
    unit_s = UNITS_S[spoken] if spoken is not None else _unit_s(numbers, cells, called, where)
    return numbers * unit_s if unit_s >= 1 else numbers / round(1 / unit_s)


def _unit_s(numbers: NDArray[np.float64], cells: Sequence[str], called: str, where: Where) -> float:
    """Seconds in the unit of numbers whose column does not name it."""
    first = float(numbers[0])
    for unit in ("s", "ms", "us", "ns"):
        if EPOCH_FROM_S <= first * UNITS_S[unit] < EPOCH_TO_S:
            return UNITS_S[unit]
    step = abs(float(numbers[1]) - first) if len(numbers) > 1 else 0.0
    said = f"{where(0)}: {called} is {shown(cells[0])}"
    if _FORMS[2][0].fullmatch(cells[0]) and _is_date(cells[0]):
        raise InputError(f"{said}, {_FORMS[2][1]}; {HOW}")
    if abs(first) >= EPOCH_FROM_S:
        raise InputError(f"{said}, no epoch of the years 2000 to 2099 in s, ms, us or ns; {HOW}")
    if 0 < step < 1 and 25_000 < first < 75_000:
        raise InputError(f"{said}, a spreadsheet's count of days; {HOW}")
    if step > LONGEST_SPOKEN_S or (step > 0 and step % 1000 == 0):
        raise InputError(
            f"{said} and the next row is {step:.12g} further: seconds or milliseconds?"
            " Name the column t_seconds or t_ms"
        )
    return 1.0


def _is_date(digits: str) -> bool:
    try:
        return 1970 <= datetime.strptime(digits[:8], "%Y%m%d").year < 2100
    except ValueError:
        return False
