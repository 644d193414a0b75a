"""Which series a query reads: its selectors, when each is evaluated, and how far each looks back.

Pure. Not a parser: `grammar.py` tells whether a query is valid PromQL. This module also reads MetricsQL and what newer
versions of Prometheus add. In an invalid query it finds whatever looks like a selector. It reads each character once.
Source: https://github.com/prometheus/prometheus/blob/v2.42.0/promql/parser/lex.go
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

LOOKBACK_S = 300.0
"""How long an instant selector repeats the last sample: Prometheus' --query.lookback-delta, default 5 min."""


@dataclass(frozen=True)
class Moment:
    """When a selector is evaluated: `offset_s` before a fixed time, or before the time of the query."""

    at: str = ""
    """The argument of `@`: a Unix time or `end()`. Empty without one."""
    offset_s: float = 0.0

    @property
    def modifiers(self) -> str:
        """The moment as PromQL after a selector or subquery, with a leading space; empty for the time of the query."""
        return (f" @ {self.at}" if self.at else "") + (f" offset {_duration(self.offset_s)}" if self.offset_s else "")

    @property
    def time(self) -> str:
        """The moment's Unix time as a PromQL expression."""
        base = self.at if self.at and not self.at.endswith("()") else "time()"
        return f"{base} - {_seconds(self.offset_s)}" if self.offset_s else base


@dataclass(frozen=True)
class Selector:
    """One vector selector as it is written, without its range, `offset` and `@`."""

    text: str
    range_text: str | None
    """Its own range, such as [5m]; None for an instant selector."""
    function: str | None
    """The function that takes it as its only argument, such as rate."""
    reach_s: float
    """How old a sample can be, at the selector's moment, that still enters the query's result."""
    moment: Moment = Moment()
    """The newest time at which it is evaluated, by its own modifiers and those of subqueries around it. Modifiers that
    are not plain numbers and durations are left out."""
    subquery_s: float = 0.0
    """The ranges of the subqueries around it, added."""


def selectors(query: str) -> tuple[Selector, ...]:
    """Return the query's selectors in the order in which they are written, each once."""
    return tuple(dict.fromkeys(found.selector for found in places(query)))


@dataclass(frozen=True)
class Place:
    """Where a selector stands in the query."""

    start: int
    """Index of its first character."""
    end: int
    """Index after its last character, of name and matchers."""
    name: str
    """The metric name before the braces; empty without one."""
    matchers: str
    """The braces and what stands in them; empty without any."""
    selector: Selector


def places(query: str) -> tuple[Place, ...]:
    """Return every selector of the query where it stands."""
    reader = _Reader(tokens_of(query))
    reader.read()
    return tuple(found.place() for found in reader.found)


def quoted(text: str) -> str:
    """A text as a PromQL string, which ends where it should whatever it holds."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def duration_s(text: str) -> float:
    """Read the range of a `[range]` or `[range:step]`; what is no plain duration counts as `LOOKBACK_S`."""
    found = plain_duration_s(text.strip("[]").partition(":")[0].strip())
    return LOOKBACK_S if found is None else found


def plain_duration_s(text: str) -> float | None:
    """Read a duration such as 90, 1.5, 5m or 1h30m in seconds; None for anything else."""
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text, re.ASCII):
        return float(text)
    if not re.fullmatch(r"([0-9]{1,9}(ms|[smhdwy])){1,7}", text, re.ASCII):
        return None
    return sum(int(count) * SECONDS[unit] for count, unit in re.findall(r"([0-9]+)(ms|[smhdwy])", text))


SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}

# Possessive (*+): text that a user wrote must not make a match go back and try again. What opens and does not close
# takes the rest of the text at once, so that no later place is searched to the end again.
STRING = r'"(?:[^"\\\n]|\\.)*+"|\'(?:[^\'\\\n]|\\.)*+\'|`[^`]*+`'
WITHIN_BRACES = re.compile(rf"(?P<string>{STRING})|\#[^\n]*+|[^\"'`\#]++")
"""Pieces of a `matchers` token."""

TOKEN = re.compile(
    rf"""
      (?P<space> \s++ | \#[^\n]*+ )
    | (?P<string> {STRING} )
    | (?P<matchers> \{{ (?: {STRING} | \#[^\n]*+ | [^"'`\#{{}}] )*+ \}} )
    | (?P<subquery> \[ [^\[\]:]*+ : [^\[\]]*+ \] )
    | (?P<range> \[ [^\[\]]*+ \] )
    | (?P<unclosed> ["'`\[{{] [\s\S]*+ )
    | (?P<number> 0[xX][0-9a-fA-F]++ | (?: [0-9] | \.[0-9] ) [0-9a-zA-Z.]*+ )
    | (?P<word> [a-zA-Z_:][a-zA-Z0-9_:]*+ )
    | (?P<sign> [\s\S] )
    """,
    re.VERBOSE | re.ASCII,
)

LABEL_LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
FILLS = {"fill", "fill_left", "fill_right"}
"""Modifiers of a binary operator, of Prometheus 3, with a number in parentheses."""

AGGREGATIONS = {
    *("sum", "avg", "count", "min", "max", "group", "stddev", "stdvar", "topk", "bottomk", "count_values", "quantile"),
    *("limitk", "limit_ratio"),  # of Prometheus 3
}
NUMBERS = {"inf", "nan"}
BINARY = {"and", "or", "unless", "atan2", "bool", "offset"}
PROMETHEUS_3 = {"anchored", "smoothed"}
METRICSQL = {"default", "if", "ifnot", "limit", "keep_metric_names"}
AFTER = PROMETHEUS_3 | {"keep_metric_names"}
"""Words that stand after an operand."""
BETWEEN = (BINARY | METRICSQL) - AFTER
"""Words that stand between two operands."""
LISTS, OPERATORS = LABEL_LISTS | FILLS, BETWEEN | AFTER
KEYWORDS = LABEL_LISTS | AGGREGATIONS | NUMBERS | BINARY
"""Words that are no metric where an operand is expected; others that stand elsewhere are metrics there."""


class Token(NamedTuple):
    """A piece of a query: its text as it is written, of which kind of `TOKEN` it is, and where it starts."""

    kind: str
    text: str
    start: int = 0

    @property
    def end(self) -> int:
        """Index after its last character."""
        return self.start + len(self.text)


def tokens_of(query: str) -> list[Token]:
    """The query's tokens without white space and comments; two empty ones stand before the first and after the last."""
    found = (Token(match.lastgroup or "", match.group(), match.start()) for match in TOKEN.finditer(query))
    edge = [Token("edge", "")] * 2
    return [*edge, *(token for token in found if token.kind != "space"), *edge]


def strings_within(braces: str) -> int:
    """How many strings stand within a pair of braces."""
    return sum(match.lastgroup == "string" for match in WITHIN_BRACES.finditer(braces))


@dataclass
class _Found:
    """A selector while the modifiers around it are read, from the inside outwards."""

    tokens: Sequence[Token]
    range_text: str | None
    function: str | None = None
    at: str = ""
    offset_s: float = 0.0
    subquery_s: float = 0.0
    is_fixed: bool = False
    """Modifiers further out no longer move it: one further in says `@`."""

    def close(self) -> None:
        """What follows modifies an expression around it."""
        self.is_fixed = bool(self.at)

    def place(self) -> Place:
        first, last = self.tokens[0], self.tokens[-1]
        reach_s = LOOKBACK_S if self.range_text is None else duration_s(self.range_text)
        text = "".join(token.text for token in self.tokens)
        moment = Moment(self.at, self.offset_s)
        selector = Selector(text, self.range_text, self.function, reach_s + self.subquery_s, moment, self.subquery_s)
        name = first.text if first.kind == "word" else ""
        return Place(first.start, last.end, name, last.text if last.kind == "matchers" else "", selector)


@dataclass
class _Reader:
    """Goes through the tokens once. It knows whether an operand is expected, which tells metrics from operators."""

    tokens: Sequence[Token]
    found: list[_Found] = field(default_factory=list)
    _at: int = 2
    _last: list[_Found] | None = None
    """The selectors of the operand before this token; None where an operand is expected."""
    _groups: list[int] = field(default_factory=list)
    """Of each open parenthesis, how many selectors stand before it."""

    def read(self) -> None:
        """Find all selectors."""
        while self._at < len(self.tokens) - 2:
            token, following = self.tokens[self._at], self.tokens[self._at + 1]
            self._at += 1
            if token.kind in ("word", "matchers"):
                self._word(token, following)
            elif token.kind in ("range", "subquery"):
                self._subquery(duration_s(token.text))
            elif token.kind in ("number", "string"):
                self._last = []
            else:
                self._sign(token)

    def _word(self, token: Token, following: Token) -> None:
        word = token.text.lower()
        if token.kind == "matchers":
            self._selector([token])
        elif following.text == "(" and word in LISTS:
            self._skip_list()
        elif word in OPERATORS and (self._last is not None or self._compares(word)):
            self._operator(word)
        elif following.kind == "matchers":
            self._at += 1
            self._selector([token, following])
        elif word in NUMBERS:
            self._last = []
        elif following.text != "(" and word not in KEYWORDS:
            self._selector([token])

    def _selector(self, tokens: Sequence[Token]) -> None:
        word, opening = self.tokens[self._at - len(tokens) - 2 : self._at - len(tokens)]
        own_range = self.tokens[self._at].text if self.tokens[self._at].kind == "range" else None
        self._at += own_range is not None
        found = _Found(tokens, own_range)
        self.found.append(found)
        self._last = [found]
        self._modifiers()
        found.function = _only_reader(word, opening, self.tokens[self._at])

    def _modifiers(self) -> None:
        """Those that follow a selector directly."""
        while (token := self.tokens[self._at]).text == "@" or (token.kind, token.text.lower()) == ("word", "offset"):
            self._at += 1
            if token.text == "@":
                self._fix()
            else:
                self._shift()

    def _compares(self, word: str) -> bool:
        """Whether a word belongs to the comparison before it."""
        return word == "bool" and self.tokens[self._at - 2].text in ("=", "<", ">")

    def _operator(self, word: str) -> None:
        if word == "offset":
            self._shift()
        elif word not in AFTER:
            self._last = None

    def _sign(self, token: Token) -> None:
        if token.text == "(":
            self._groups.append(len(self.found))
            self._last = None
        elif token.text == ")" and self._groups:
            self._last = self.found[self._groups.pop() :]
            self._close()
        elif token.text == "@" and self._last is not None:
            self._fix()
        else:
            self._last = None

    def _skip_list(self) -> None:
        """Go on after a list of labels, or to the end."""
        while self.tokens[self._at].kind != "edge" and self.tokens[self._at].text != ")":
            self._at += 1
        self._at += 1

    def _subquery(self, range_s: float) -> None:
        for found in self._last or []:
            found.subquery_s += range_s
        self._close()

    def _close(self) -> None:
        for found in self._last or []:
            found.close()

    def _shift(self) -> None:
        """Read what follows `offset`."""
        sign = self._take_sign()
        offset_s = plain_duration_s(self.tokens[self._at].text) if self.tokens[self._at].kind == "number" else None
        self._at += self.tokens[self._at].kind == "number"
        for found in self._last or []:
            if offset_s is not None and not found.is_fixed:
                found.offset_s += sign * offset_s

    def _fix(self) -> None:
        """Read what follows `@`."""
        sign, token = self._take_sign(), self.tokens[self._at]
        is_time = token.kind == "number" and re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", token.text, re.ASCII)
        at = ("-" if sign < 0 else "") + token.text if is_time else ""
        self._at += token.kind == "number"
        brackets = "".join(after.text for after in self.tokens[self._at + 1 : self._at + 3])
        if token.text.lower() in ("start", "end") and brackets == "()":
            self._at += 3
            at = "end()"  # an instant query starts and ends at the same time
        for found in self._last or []:
            if not found.is_fixed:
                found.at = at

    def _take_sign(self) -> int:
        text = self.tokens[self._at].text
        self._at += text in ("+", "-")
        return -1 if text == "-" else 1


def _only_reader(word: Token, opening: Token, closing: Token) -> str | None:
    takes_it_alone = word.kind == "word" and opening.text == "(" and closing.text == ")"
    return word.text if takes_it_alone and word.text.lower() not in KEYWORDS else None


def _duration(value_s: float) -> str:
    """A duration of PromQL, which are whole in their unit."""
    return f"{value_s:.0f}s" if value_s == round(value_s) else f"{value_s * 1000:.0f}ms"


def _seconds(value_s: float) -> str:
    return f"{value_s:.3f}".rstrip("0").rstrip(".")
