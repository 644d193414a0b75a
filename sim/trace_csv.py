"""The two columns of a trace's text that matter: its times and one series of values, still as text.

Commas, semicolons or tabs stand between columns, quotes around cells, names in a first row. Exports of several series
have a column for each (one is chosen by its name), or a row for each with the series' name in a column of text.
"""

import csv
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from scaling.errors import InputError
from sim.trace_numbers import ABSENT, shown
from sim.trace_times import is_time, unit_in

SEPARATORS = ("\t", ";", ",")
"""In the order in which they are looked for: a comma beside a semicolon is a decimal mark."""
SEPARATOR_NAMES = {"\t": "tabs", ";": "semicolons", ",": "commas"}
_TIME_WORDS = {"time", "timestamp", "@timestamp", "_time", "date", "datetime", "ts", "t", "epoch"}
MOST_NAMES = 12
"""Names that a message lists, chosen."""


@dataclass(frozen=True)
class Columns:
    """Cells of the time column and of one value column, a line number for each."""

    header: dict[str, str]
    """The `# key: value` lines."""
    time_name: str | None
    """None where the file names no columns."""
    separator: str
    lines: "array[int]" = field(default_factory=lambda: array("L"))
    times: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)


def read_columns(path: str, text: Iterable[str], max_rows: int, column: str | None = None) -> Columns:
    """Read the lines of `text`; `column` names the series to take where there are several.

    Raises InputError naming the file, and the line where there is one.
    """
    source = _Lines(text)
    beginning = next(source, None)
    if beginning is None:
        return Columns(source.header, None, ",")
    separator = source.separator or _separator_of(beginning)
    rows = csv.reader(source.from_the_start(beginning), delimiter=separator, strict=True, skipinitialspace=True)
    try:
        return _choose(path, source, rows, separator, max_rows, column)
    except csv.Error as error:
        raise InputError(f"{path} line {source.number}: not a row of a CSV ({error})") from None


class _Lines(Iterator[str]):
    """Lines that hold rows: without blank ones and `# key: value`, which are kept in `header`; `number` counts all."""

    def __init__(self, text: Iterable[str]) -> None:
        self._text = enumerate(text, start=1)
        self.number = 0
        self.header: dict[str, str] = {}
        self.separator: str | None = None

    def __next__(self) -> str:
        for number, text in self._text:
            self.number, line = number, text.strip("\r\n ")
            if line.startswith("#"):
                key, _, value = line[1:].partition(":")
                self.header[key.strip()] = "".join(filter(str.isprintable, value.strip()))
            elif re.fullmatch(r'"?sep=(.)"?', line):
                self.separator = line.strip('"')[-1]
            elif line.strip():
                return line
        raise StopIteration

    def from_the_start(self, first: str) -> Iterator[str]:
        """The line that was looked at, and those after it."""
        yield first
        yield from self


def _separator_of(line: str) -> str:
    unquoted = re.sub(r'"[^"]*"', "", line)
    return next((separator for separator in SEPARATORS if separator in unquoted), ",")


def _choose(
    path: str, source: _Lines, rows: Iterator[list[str]], separator: str, max_rows: int, column: str | None
) -> Columns:
    """Find the two columns by the first rows, then collect their cells."""
    first = [cell.strip() for cell in next(rows)]
    where = f"{path} line {source.number}"
    if len(first) < 2:
        marks = ", ".join(SEPARATOR_NAMES.values())
        raise InputError(
            f"{where}: {shown(first[0])} has 1 column, needs 2: time and value; read between them: {marks}"
        )
    names = first if any(map(_is_time_name, first)) or not any(map(is_time, first)) else None
    sample = first if names is None else [cell.strip() for cell in next(rows, [])]
    layout = _layout(where, names, sample, column)
    columns = Columns(source.header, None if names is None else names[layout.time], separator)
    if sample:
        _collect(path, source, _chained(sample, rows), columns, layout, len(first), max_rows)
    return columns


def _chained(first: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from rows


@dataclass(frozen=True)
class _Layout:
    """Which columns hold what; `series`: the column with the series' name, where rows of several may be mixed."""

    time: int
    value: int
    series: int | None = None
    wanted: str | None = None  # the series; None: the only one there


def _layout(where: str, names: list[str] | None, sample: list[str], column: str | None) -> _Layout:
    if names is None:
        if len(sample) != 2:
            raise InputError(
                f"{where}: {len(sample)} columns without a row of names, needs 2 (t_seconds,value); name the columns,"
                " or put semicolons between them where a comma is the decimal mark"
            )
        if column is not None:
            raise InputError(f"{where}: no row of names, so there is no column {shown(column)}")
        return _Layout(0, 1)
    time = _time_column(where, names)
    others = [index for index in range(len(names)) if index != time]
    texts = [index for index in others if index < len(sample) and not _may_be_a_number(sample[index])]
    numbers = [index for index in others if index not in texts]
    if len(texts) == 1 and len(numbers) == 1:
        wanted = None if column in (None, names[numbers[0]]) else column
        return _Layout(time, numbers[0], texts[0], wanted)
    return _Layout(time, _value_column(where, names, numbers or others, column))


def _time_column(where: str, names: list[str]) -> int:
    """The column that is called a time; else the first one."""
    found = [index for index, name in enumerate(names) if _is_time_name(name)]
    if len(found) > 1:
        both = _listed(names[index] for index in found)
        raise InputError(f"{where}: {len(found)} columns of times ({both}), needs 1 with date and time together")
    return found[0] if found else 0


def _is_time_name(name: str) -> bool:
    words = [word for word in re.split(r"[\s_(\[)\].]+", name.lower()) if word]
    return name.lower() in _TIME_WORDS or (
        bool(words) and words[0] in _TIME_WORDS and (len(words) == 1 or (len(words) == 2 and unit_in(name) is not None))
    )


def _value_column(where: str, names: list[str], among: list[int], column: str | None) -> int:
    listed = _listed(names[index] for index in among)
    if column is None:
        if len(among) == 1:
            return among[0]
        raise InputError(f"{where}: {len(among)} columns of values ({listed}); choose one with --column NAME")
    found = [index for index in among if names[index] == column]
    if len(found) != 1:
        raise InputError(f"{where}: --column {shown(column)} names {len(found)} of the columns {listed}; must name 1")
    return found[0]


def _may_be_a_number(cell: str) -> bool:
    return cell.lower() in ABSENT or cell[:1].isdigit() or cell[:1] in ("+", "-", ".", ",") or not cell.isascii()


def _collect(
    path: str,
    source: _Lines,
    rows: Iterator[list[str]],
    columns: Columns,
    layout: _Layout,
    width: int,
    max_rows: int,
) -> None:
    series: dict[str, None] = {}
    for row in rows:
        if len(row) != width:
            where = f"{path} line {source.number}"
            cells = shown(columns.separator.join(row))
            raise InputError(f"{where}: {cells} has {len(row)} columns, needs {width} as in the first row")
        if layout.series is not None:
            name = row[layout.series].strip()
            series[name] = None
            if layout.wanted not in (None, name):
                continue
        if len(columns.times) == max_rows:
            raise InputError(f"{path} line {source.number}: over {max_rows} rows, the limit")
        columns.lines.append(source.number)
        columns.times.append(row[layout.time].strip())
        columns.values.append(row[layout.value].strip())
    if layout.wanted is None and len(series) > 1:
        raise InputError(f"{path}: rows of {len(series)} series ({_listed(series)}); choose one with --column NAME")
    if layout.wanted is not None and not columns.times:
        raise InputError(f"{path}: --column {shown(layout.wanted)}: the series are {_listed(series)}")


def _listed(names: Iterable[str]) -> str:
    """Names for a message, the first `MOST_NAMES` of them."""
    all_names = [shown(name) for name in names]
    more = [f"and {len(all_names) - MOST_NAMES} more"] if len(all_names) > MOST_NAMES else []
    return ", ".join([*all_names[:MOST_NAMES], *more])
