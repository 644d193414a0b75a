"""Numbers as spreadsheets and dashboards write them: decimal marks, thousands separators, Grafana's counts with a unit.

One column is read in one way, and only if no other way fits it: "1,234" alone is refused, as it can be 1234 and 1.234.
"""

import math
import re
from array import array
from collections.abc import Callable, Sequence
from typing import NamedTuple

from scaling.errors import InputError

Where = Callable[[int], str]
"""Names the place of a cell, by its index in the column, for a message."""

ABSENT = {"", "-", "\N{EN DASH}", "n/a", "na", "nan", "nil", "no data", "none", "null", "undefined"}
"""What exports write where there was no reading, in lower case."""
INFINITE = {"inf", "infinity", "\N{INFINITY}"}

_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_GROUPS = "[ '\N{RIGHT SINGLE QUOTATION MARK}\N{NO-BREAK SPACE}\N{THIN SPACE}\N{NARROW NO-BREAK SPACE}_]"
"""Thousands separators that cannot be decimal marks."""
_WITH_UNIT = re.compile(r"(?P<number>[+-]?[\d.,](?:[\d.,]|" + _GROUPS + r"(?=\d))*(?:[eE][+-]?\d+)?)\s*(?P<unit>.*)")

_COUNTS = "req/s|requests/s|reqps|rps|qps|ops/s|c/s|rd/s|wr/s|io/s|evt/s|msg/s|rec/s|rows/s"
"""Rates per second of things that are counted. Source: Grafana's value formats."""
_SCALED = re.compile(
    rf"(?:(?P<scale>K|k|M|G|Mil|Bil|Tri)(?: ?(?P<of>{_COUNTS}))?|(?P<B>B|T) (?P<big>{_COUNTS})|(?P<one>{_COUNTS}))"
)
_SCALES = {"K": 1e3, "k": 1e3, "M": 1e6, "Mil": 1e6, "G": 1e9, "Bil": 1e9, "B": 1e9, "Tri": 1e12, "T": 1e12}
"""Grafana's scales of "short" and of counts; "B" alone would be bytes."""


class Column(NamedTuple):
    """One column of numbers; `unit` is what stands behind each of them, empty for bare numbers."""

    numbers: "array[float]"
    unit: str


class _Style(NamedTuple):
    """Decimal mark and the mark between thousands that may go with it."""

    decimal: str
    thousands: str

    @property
    def pattern(self) -> re.Pattern[str]:
        point, comma = re.escape(self.decimal), re.escape(self.thousands)
        whole = rf"(?:\d+|[1-9]\d{{0,2}}(?:{comma}\d{{3}})+|[1-9]\d{{0,2}}(?:{_GROUPS}\d{{3}})+)"
        return re.compile(rf"[+-]?(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?", re.ASCII)

    def number(self, text: str) -> float:
        return float(re.sub(_GROUPS, "", text.replace(self.thousands, "")).replace(self.decimal, "."))


POINT, COMMA = _Style(".", ","), _Style(",", ".")


def read_numbers(cells: Sequence[str], name: str, where: Where, point_is_usual: bool = True) -> Column:
    """Read a column; `point_is_usual`: in this file "1.234" is no thousand, unless another cell says so.

    Raises InputError naming the place, the cell and the form that was found.
    """
    if point_is_usual and all(map(_PLAIN.fullmatch, cells)):
        return Column(_finite(array("d", map(float, cells)), cells, name, where), "")
    parts = [_split(cell, name, index, where) for index, cell in enumerate(cells)]
    texts, factors, unit = [text for text, _, _ in parts], [factor for _, factor, _ in parts], parts[0][2]
    for index, (_, _, other) in enumerate(parts):
        if other != unit:
            units = f"{unit or 'no unit'!r} in the rows before"
            raise InputError(f"{where(index)}: {name} is {shown(cells[index])}, but has {units}; use one unit")
    style = _style_of(texts, name, where, point_is_usual)
    numbers = (factor * style.number(text) for text, factor in zip(texts, factors, strict=True))
    return Column(_finite(array("d", numbers), cells, name, where), unit)


def shown(text: str) -> str:
    """A cell for a message: quoted, control characters escaped, cut at 40 characters."""
    text = text.strip()
    return ascii(text if len(text) <= 40 else text[:37] + "...")


def _finite(numbers: "array[float]", cells: Sequence[str], name: str, where: Where) -> "array[float]":
    index = next((index for index, number in enumerate(numbers) if not math.isfinite(number)), None)
    if index is not None:
        raise InputError(f"{where(index)}: {name} is {shown(cells[index])}, more than a number can hold")
    return numbers


def _split(cell: str, name: str, index: int, where: Where) -> tuple[str, float, str]:
    """The digits of a cell, the factor that its unit stands for, and the unit without that."""
    if _PLAIN.fullmatch(cell):
        return cell, 1.0, ""
    if cell.lower() in ABSENT:
        raise InputError(
            f"{where(index)}: {name} is {shown(cell)}, no reading; a missing reading is not zero: fill it or cut it"
        )
    if cell.lstrip("+-").lower() in INFINITE:
        raise InputError(f"{where(index)}: {name} is {shown(cell)}, must be finite")
    found = _WITH_UNIT.fullmatch(cell)
    if found is None:
        raise InputError(f"{where(index)}: {name} is {shown(cell)}, must be a number")
    if not found["unit"]:
        return found["number"], 1.0, ""
    scaled = _SCALED.fullmatch(found["unit"])
    if scaled is None:
        raise InputError(
            f"{where(index)}: {name} is {shown(cell)}, a number with the unit {shown(found['unit'])};"
            " write plain numbers in the unit of the policy's query"
            ' (Grafana: switch "Formatted data" off before the download)'
        )
    scale = _SCALES.get(scaled["scale"] or scaled["B"] or "", 1.0)
    return found["number"], scale, scaled["of"] or scaled["big"] or scaled["one"] or ""


def _style_of(texts: Sequence[str], name: str, where: Where, point_is_usual: bool) -> _Style:
    """The one style in which all cells can be written. Raises InputError if there is none, or two that differ."""
    styles = {POINT: POINT.pattern, COMMA: COMMA.pattern}
    for index, text in enumerate(texts):
        fitting = {style: pattern for style, pattern in styles.items() if pattern.fullmatch(text)}
        if not fitting:
            raise InputError(_misfit(text, name, where(index), len(styles)))
        styles = fitting
    if len(styles) == 1:
        return next(iter(styles))
    doubtful = (index for index, text in enumerate(texts) if POINT.number(text) != COMMA.number(text))
    first = next(doubtful, None)
    if first is None or (point_is_usual and not any("," in text for text in texts)):
        return POINT
    either = " or ".join(
        f"{number:.12g}" for number in sorted({POINT.number(texts[first]), COMMA.number(texts[first])})
    )
    raise InputError(
        f"{where(first)}: {name} is {shown(texts[first])}, which can be {either}, and no other row tells;"
        " write numbers without thousands separators and with a decimal point, and commas between the columns"
    )


def _misfit(text: str, name: str, where: str, styles_left: int) -> str:
    if styles_left == 1 and any(style.pattern.fullmatch(text) for style in (POINT, COMMA)):
        return f"{where}: {name} is {shown(text)}, but the rows before have the other decimal mark; use one"
    return f"{where}: {name} is {shown(text)}, must be a number"
