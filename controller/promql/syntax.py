"""Which series a PromQL query reads: its selectors, and how each looks back.

Not a parser: whether a query is valid is for Prometheus to say. This finds the selectors of valid ones, and in an
invalid one whatever looks like any.
Source: https://github.com/prometheus/prometheus/blob/v2.42.0/promql/parser/lex.go
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

LOOKBACK_S = 300.0
"""How long an instant selector repeats the last sample: Prometheus' --query.lookback-delta, default 5 min."""


@dataclass(frozen=True)
class Selector:
    """One vector selector as it is written, without `offset` and `@`: whether series live now is what it is for."""

    text: str
    range_text: str | None
    """Its own range, such as [5m]; None for an instant selector."""
    function: str | None
    """The function that takes it as its only argument, such as rate."""
    reach_s: float
    """How old a sample can be that still enters the query's result."""


def selectors(query: str) -> tuple[Selector, ...]:
    """Return the query's selectors in the order in which they are written, each once.

    Subqueries lengthen the reach of every selector: which of them they enclose is not worked out.
    """
    tokens = tokens_of(query)
    found = dict.fromkeys(_selectors(tokens))
    subqueries_s = sum(duration_s(token.text) for token in tokens if token.kind == "subquery")
    return tuple(replace(selector, reach_s=selector.reach_s + subqueries_s) for selector in found)


def has_alternative(query: str) -> bool:
    """Whether the query may answer although a selector found nothing, as in `x or vector(0)`."""
    return any(token.kind == "word" and token.text.lower() in ALTERNATIVES for token in tokens_of(query))


def quoted(text: str) -> str:
    """A text as a PromQL string, which ends where it should whatever it holds."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def duration_s(text: str) -> float:
    """Read the range of a `[range]` or `[range:step]`; what is no plain duration counts as `LOOKBACK_S`."""
    range_text = text.strip("[]").partition(":")[0].strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", range_text, re.ASCII):
        return float(range_text)
    if not re.fullmatch(r"([0-9]{1,9}(ms|[smhdwy]))+", range_text, re.ASCII):
        return LOOKBACK_S
    return sum(int(count) * SECONDS[unit] for count, unit in re.findall(r"([0-9]+)(ms|[smhdwy])", range_text))


SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}

# Possessive (*+): text that a user wrote must not make a match go back and try again.
STRING = r'"(?:[^"\\]|\\.)*+"|\'(?:[^\'\\]|\\.)*+\'|`[^`]*+`'
TOKEN = re.compile(
    rf"""
      (?P<space> \s+ | \#[^\n]* )
    | (?P<string> {STRING} )
    | (?P<matchers> \{{ (?: {STRING} | \#[^\n]*+ | [^"'`\#{{}}] )*+ \}} )
    | (?P<subquery> \[ [^\[\]:]* : [^\[\]]* \] )
    | (?P<range> \[ [^\[\]]* \] )
    | (?P<number> 0[xX][0-9a-fA-F]+ | (?: [0-9] | \.[0-9] ) [0-9a-zA-Z.]* )
    | (?P<word> [a-zA-Z_:][a-zA-Z0-9_:]* )
    | (?P<sign> . )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)

LABEL_LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
KEYWORDS = LABEL_LISTS | {
    *("and", "or", "unless", "atan2", "bool", "offset", "inf", "nan"),
    *("sum", "avg", "count", "min", "max", "group", "stddev", "stdvar", "topk", "bottomk", "count_values", "quantile"),
    *("limitk", "limit_ratio", "anchored", "smoothed"),  # of Prometheus 3
}
ALTERNATIVES = {"or", "unless", "absent", "absent_over_time"}


@dataclass(frozen=True)
class Token:
    """A piece of a query: its text as it is written, and of which kind of `TOKEN` it is."""

    kind: str
    text: str


def tokens_of(query: str) -> list[Token]:
    """The query's tokens without white space and comments; two empty ones stand before the first and after the last."""
    found = (Token(match.lastgroup or "", match.group()) for match in TOKEN.finditer(query))
    edge = [Token("edge", "")] * 2
    return [*edge, *(token for token in found if token.kind != "space"), *edge]


def _selectors(tokens: list[Token]) -> Iterator[Selector]:
    place = 2
    while place < len(tokens) - 2:
        token, following = tokens[place], tokens[place + 1]
        begin, place = place, place + 1
        if token.kind == "word" and following.text == "(" and token.text.lower() in LABEL_LISTS:
            place = _after_list(tokens, place)
        elif text := _selector_text(token, following):
            place += text != token.text
            own_range = tokens[place].text if tokens[place].kind == "range" else None
            place += own_range is not None
            yield Selector(
                text=text,
                range_text=own_range,
                function=_only_reader(tokens[begin - 2], tokens[begin - 1], tokens[place]),
                reach_s=LOOKBACK_S if own_range is None else duration_s(own_range),
            )


def _selector_text(token: Token, following: Token) -> str | None:
    """The selector that begins with a token; a word before `{` is a metric, even one that is a keyword elsewhere."""
    if token.kind == "matchers":
        return token.text
    if token.kind != "word":
        return None
    if following.kind == "matchers":
        return token.text + following.text
    return None if following.text == "(" or token.text.lower() in KEYWORDS else token.text


def _only_reader(word: Token, opening: Token, closing: Token) -> str | None:
    takes_it_alone = word.kind == "word" and opening.text == "(" and closing.text == ")"
    return word.text if takes_it_alone and word.text.lower() not in KEYWORDS else None


def _after_list(tokens: list[Token], place: int) -> int:
    """The place after a list of labels, or the end."""
    while tokens[place].kind != "edge" and tokens[place].text != ")":
        place += 1
    return place + 1
