"""Reads a query that is arithmetic (`+ - * /`, numbers, parentheses) over bare sums, and nothing else.

A bare sum is `sum(...)` of one selector with matchers, or of its `rate` or `increase`. Pure; goes through the tokens of
`syntax.py` once and stops at whatever is not surely of this form.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from controller.promql.matchers import Finder, Matcher, matchers_of
from controller.promql.structure import MOST_NESTED
from controller.promql.syntax import Token, tokens_of

OPENING, CLOSING = -2, -1
"""In place of the parentheses of a sum."""

RANGE_FUNCTIONS = ("rate", "increase")
OPERATORS = ("+", "-", "*", "/")
DECIMAL = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", re.ASCII)

Part = str | Matcher | int
"""Text, a matcher that finds by a name, `OPENING` or `CLOSING`."""


@dataclass(frozen=True)
class Sums:
    """Such a query in its parts."""

    parts: Sequence[Part]
    selectors: Sequence[dict[Finder, str]]
    """The matchers of each selector that find by a name, with their names; no two on the same label."""


def sums_of(query: str) -> Sums | None:
    """Read a query; None if it is another."""
    reader = _Reader(tokens_of(query)[2:-1])
    try:
        reader.read()
    except _OtherError:
        return None
    return Sums(reader.parts, reader.selectors)


class _OtherError(Exception):
    """The query is not surely of the form."""


class _Reader:
    def __init__(self, found: Sequence[Token]) -> None:
        self.parts: list[Part] = []
        self.selectors: list[dict[Finder, str]] = []
        self._found = found
        self._place = 0

    def read(self) -> None:
        """Read all of the query."""
        self._expression(0)
        if self._next.kind != "edge" or not self.selectors:
            raise _OtherError

    @property
    def _next(self) -> Token:
        return self._found[self._place]

    def _take(self, *parts: Part) -> None:
        """Go on to the next token; its text is the part, unless others are given."""
        self.parts += parts or [self._next.text]
        self._place += 1

    def _expect(self, kind: str, text: str | None = None, *parts: Part) -> None:
        if self._next.kind != kind or (text is not None and self._next.text != text):
            raise _OtherError
        self._take(*parts)

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
        self._expect("sign", "(", OPENING)
        if self._next.text in RANGE_FUNCTIONS and self._found[self._place + 1].text == "(":
            self._take()
            self._take()
            self._selector()
            self._expect("range")
            self._expect("sign", ")")
        else:
            self._selector()
        self._expect("sign", ")", CLOSING)

    def _selector(self) -> None:
        if self._next.kind == "word":
            self._take()
        found = matchers_of(self._next.text[1:-1]) if self._next.kind == "matchers" else None
        if found is None:
            raise _OtherError
        labels = Counter(matcher.label for matcher in found)
        named = {one.finder: one.name for one in found if one.finder and labels[one.label] == 1}
        parts = [part for one in found for part in (",", one if one.finder in named else one.text)]
        self.selectors.append(named)
        self._take("{", *parts[1:], "}")
