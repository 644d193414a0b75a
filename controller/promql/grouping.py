"""Queries that differ in nothing but label values, as one: which can share, what is asked for them, whose row is whose.

Pure. A query can share when it is arithmetic (`+ - * /`, numbers, parentheses) over bare `sum(...)` of selectors or of
their `rate` or `increase`, and all its selectors carry some label with the same `=` matcher. Its values go into
`label=~"a|b"`, which Prometheus anchors, and each `sum` is taken `by` the labels whose values differ:

| two policies ask | one query is sent |
|---|---|
| `sum(rate(x{app="a"}[1m]))`, the same of b | `sum by (app)(rate(x{app=~"a|b"}[1m]))` |
| `sum(x{app="a"})/sum(y{app="a"})`, the same of b | `sum by (app)(x{app=~"a|b"})/sum by (app)(y{app=~"a|b"})` |

A row then is what the query of its values would have answered: within it are the same series, and vectors of such rows
match one to one, as their labels are the same. Whatever is not surely of this form is asked by itself.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from controller.promql.syntax import STRING, Token, quoted, tokens_of

AGE_LABEL = "selector"
"""Label by which an age query numbers its answers."""

MOST_SHAPES = 32_768
"""Queries whose form is remembered: two each of more policies than one operator is meant for (chosen)."""

MOST_NESTED = 50
"""Parentheses within each other; a query with more is asked by itself (chosen)."""

Row = tuple[str, ...]
"""Values of the labels that tell a shared query's answers apart."""


@dataclass(frozen=True)
class Shape:
    """What a query has in common with others, and what is its own."""

    key: str
    """The query with a ? in place of its own values: equal for all that can share."""
    labels: tuple[str, ...]
    """Labels whose values are its own."""
    values: tuple[str, ...]
    """Their values."""
    pieces: tuple[str, ...]
    """The text between the places that change."""
    places: tuple[int, ...]
    """What changes between the pieces: the matcher of the label with this index, or `BY`."""
    selectors: int
    """How many it has."""


@dataclass(frozen=True)
class SharedQuery:
    """One query in place of several."""

    text: str
    labels: tuple[str, ...]
    """What the rows of its answer are told apart by."""
    rows: tuple[Row, ...]
    """The row of each of the queries."""


BY = -1
RANGE_FUNCTIONS = ("rate", "increase")
OPERATORS = ("+", "-", "*", "/")
DECIMAL = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", re.ASCII)
MATCHER = re.compile(rf"\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*({STRING})\s*(?:,|\Z)", re.ASCII | re.DOTALL)
NOT_SHARED = ("__name__", AGE_LABEL)  # rate() drops the one, an age query writes the other


@lru_cache(MOST_SHAPES)
def shape_of(query: str) -> Shape | None:
    """The form in which a query can share; None for one that is asked by itself."""
    try:
        reader = _Reader(tokens_of(query)[2:-1])
        reader.read()
    except _AloneError:
        return None
    first, *others = reader.selectors
    own = {label: value for label, value in first.items() if all(other.get(label) == value for other in others)}
    return _shape(reader, own) if own else None


def shared_query(shapes: Sequence[Shape]) -> SharedQuery:
    """The query that asks for all of these, which have the same key; rows come in their order."""
    (form, *_), columns = shapes, list(zip(*(shape.values for shape in shapes), strict=True))
    differ = [place for place, column in enumerate(columns) if len(set(column)) > 1]
    labels = tuple(form.labels[place] for place in differ)
    matchers = [_matcher(label, column) for label, column in zip(form.labels, columns, strict=True)]
    rows = tuple(tuple(shape.values[place] for place in differ) for shape in shapes)
    return SharedQuery(_filled(form.pieces, form.places, matchers, by(labels)), labels, rows)


def by(labels: Sequence[str]) -> str:
    """The clause that keeps labels in an aggregation; nothing without any."""
    return f" by ({', '.join(labels)})" if labels else ""


def _shape(reader: "_Reader", own: dict[str, str]) -> Shape:
    labels = tuple(own)
    pieces, places = [""], []
    for part in reader.parts:
        if part is None or (isinstance(part, _Equal) and part.label in own):
            places.append(BY if part is None else labels.index(part.label))
            pieces.append("")
        else:
            pieces[-1] += part.text if isinstance(part, _Equal) else part
    key = _filled(pieces, places, [f"{label}=?" for label in labels], "")
    between = tuple(sys.intern(piece) for piece in pieces)
    return Shape(sys.intern(key), labels, tuple(own.values()), between, tuple(places), len(reader.selectors))


def _filled(pieces: Sequence[str], places: Sequence[int], matchers: Sequence[str], by_clause: str) -> str:
    between = (by_clause if place == BY else matchers[place] for place in places)
    return pieces[0] + "".join(text + piece for text, piece in zip(between, pieces[1:], strict=True))


def _matcher(label: str, values: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(values))
    if len(distinct) == 1:
        return f"{label}={quoted(distinct[0])}"
    return f"{label}=~{quoted('|'.join(map(literal, distinct)))}"


def literal(text: str) -> str:
    """A regular expression, as RE2 reads them, for one text."""
    return SPECIAL.sub(r"\\\g<0>", text)


SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")


class _AloneError(Exception):
    """The query is not surely of the form that can share."""


@dataclass(frozen=True)
class _Equal:
    """An `=` matcher: its label, and as it is written."""

    label: str
    text: str


class _Reader:
    """Goes through the tokens of a query once, and stops at whatever is not of the form."""

    def __init__(self, found: Sequence[Token]) -> None:
        self.parts: list[str | _Equal | None] = []
        """The query in pieces; None where a `by` can go."""
        self.selectors: list[dict[str, str]] = []
        """The `=` matchers of each selector."""
        self._found = found
        self._place = 0

    def read(self) -> None:
        """Read all of the query."""
        self._expression(0)
        if self._next.kind != "edge" or not self.selectors:
            raise _AloneError

    @property
    def _next(self) -> Token:
        return self._found[self._place]

    def _take(self) -> None:
        self.parts.append(self._next.text)
        self._place += 1

    def _expect(self, kind: str, *texts: str) -> None:
        if self._next.kind != kind or (texts and self._next.text not in texts):
            raise _AloneError
        self._take()

    def _is_sign(self, *texts: str) -> bool:
        return self._next.kind == "sign" and self._next.text in texts

    def _expression(self, nested: int) -> None:
        self._term(nested)
        while self._is_sign(*OPERATORS):
            self._take()
            self._term(nested)

    def _term(self, nested: int) -> None:
        while self._is_sign("+", "-"):
            self._take()
        if self._next.kind == "number" and DECIMAL.fullmatch(self._next.text):
            self._take()
        elif self._is_sign("(") and nested < MOST_NESTED:
            self._take()
            self._expression(nested + 1)
            self._expect("sign", ")")
        else:
            self._sum()

    def _sum(self) -> None:
        self._expect("word", "sum")
        self.parts.append(None)
        self._expect("sign", "(")
        if self._next.text in RANGE_FUNCTIONS and self._found[self._place + 1].text == "(":
            self._take()
            self._take()
            self._selector()
            self._expect("range")
            self._expect("sign", ")")
        else:
            self._selector()
        self._expect("sign", ")")

    def _selector(self) -> None:
        if self._next.kind == "word":
            self._take()
        if self._next.kind != "matchers":
            raise _AloneError
        matchers = _matchers(self._next.text[1:-1])
        labels = [label for label, *_ in matchers]
        equal = {label: value for label, _, value in matchers if value is not None and labels.count(label) == 1}
        self.selectors.append(equal)
        self.parts.append("{")
        for place, (label, text, _) in enumerate(matchers):
            self.parts += [","] * (place > 0) + [_Equal(label, text) if label in equal else text]
        self.parts.append("}")
        self._place += 1


def _matchers(text: str) -> list[tuple[str, str, str | None]]:
    """Label, text and, where the matcher is an `=` that can share, the value of each matcher within braces."""
    found, place = [], 0
    while text[place:].strip():
        match = MATCHER.match(text, place)
        if match is None:
            raise _AloneError
        label, operator, string = match.groups()
        value = _value(string) if operator == "=" and label not in NOT_SHARED else None
        found.append((label, label + operator + string, value))
        place = match.end()
    return found


def _value(string: str) -> str | None:
    """What a string says; None when it is empty, which matches what has no such label, or is written in a rare way."""
    quote, inside = string[0], string[1:-1]
    if quote == "`" or "\\" not in inside:
        return None if not inside or (quote != "`" and "\n" in inside) else inside
    escape = re.compile(rf"\\([\\{quote}])")
    return None if "\\" in escape.sub("", inside) else escape.sub(r"\1", inside)
