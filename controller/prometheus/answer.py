"""What Prometheus' answers say: a body in, a typed reading out. Pure; any bytes at all give one or the other.

Only one number is a reading. No message repeats a body, but for the words with which Prometheus refuses the query's
own text. Sources:
https://github.com/prometheus/prometheus/blob/v2.42.0/docs/querying/api.md
https://github.com/VictoriaMetrics/VictoriaMetrics/blob/v1.101.0-cluster/app/vmselect/prometheus/query_response.qtpl
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Never, TypeVar

from controller.promql.matchers import AGE_LABEL
from scaling.decision import Reason
from scaling.observation import Reading, Unknown, Value

MESSAGE_CHARACTERS = 120
"""How much of Prometheus' words about a query a message repeats."""


@dataclass(frozen=True)
class Grid:
    """The times that a range query asks for, `steps` of them, `step_s` seconds apart; Unix time."""

    start_s: float
    step_s: float
    steps: int

    @property
    def end_s(self) -> float:
        """The last of them."""
        return self.start_s + (self.steps - 1) * self.step_s


@dataclass(frozen=True)
class Ages:
    """Age in seconds of the newest sample behind each selector that has any, by the selector's place in the query."""

    by_selector: Mapping[int, float]
    partial: bool


T = TypeVar("T", covariant=True)


@dataclass(frozen=True)
class Rows(Generic[T]):
    """What a query answered, by the values of the labels that tell its rows apart; one alone has the row ()."""

    by_values: Mapping[tuple[str, ...], T]
    missing: T
    """What a row that is not there means."""
    warned: bool
    """Whether some series, of which row is not said, made Prometheus warn."""

    def of(self, values: tuple[str, ...]) -> T:
        """What is said of the query with these values."""
        return self.by_values.get(values, self.missing)


def parse_readings(body: bytes, labels: Sequence[str] = ()) -> Rows[Reading] | Unknown:
    """Return the number of each row of an instant query's answer, or why it has none; Unknown where all have none.

    Numbers may be negative. Without labels there is one row, which may also be a number without series.
    """
    try:
        answer = _parse(body)
        found = {row: _reading_of(series, answer.partial) for row, series in _rows(answer, labels).items()}
        return Rows(found, _nothing(answer.partial), answer.warned)
    except _UnusableError as error:
        return error.unknown


def parse_ages(body: bytes, labels: Sequence[str] = ()) -> Rows[Ages | Unknown] | Unknown:
    """Return what `sample_age.age_query` asked for, row by row."""
    try:
        answer = _parse(body)
        found = {row: _ages_of(series, answer.partial) for row, series in _rows(answer, labels).items()}
        return Rows(found, Ages({}, answer.partial), answer.warned)
    except _UnusableError as error:
        return error.unknown


def parse_history(body: bytes, grid: Grid) -> list[float] | Unknown:
    """Return the one series of a range query's answer on its grid, NaN where there is no finite number."""
    try:
        answer = _parse(body)
        _expect("matrix", answer)
        if answer.partial:
            _refuse("the history is partial")  # the part that is missing would look like less demand
        return _on_grid(answer.result, grid)
    except _UnusableError as error:
        return error.unknown


def error_words(body: bytes, secrets: Sequence[str] = ()) -> str:
    """Say what an error body reports: its type, and for a query that cannot be read what is wrong with its text.

    Other texts of Prometheus are left out: they name series and labels that the reader of a message may not be allowed
    to see. A short plain text, as proxies and Mimir answer, is repeated: see `_plain_words`.
    """
    try:
        content = _json(body)
    except _UnusableError:
        return _plain_words(body, secrets)
    if not isinstance(content, dict):
        return ""
    kind, text = content.get("errorType"), content.get("error")
    if kind == LABEL_PROXY and isinstance(text, str):
        return _plain_words(text.encode(errors="replace"), secrets)
    if not isinstance(kind, str) or kind not in ERROR_TYPES:
        return ""
    if kind != "bad_data" or not isinstance(text, str):
        return kind
    return f"{kind}: {json.dumps(text.removeprefix(QUERY_PREFIX)[:MESSAGE_CHARACTERS])}"


def _plain_words(body: bytes, secrets: Sequence[str]) -> str:
    """One short line of plain words, such as "no org id", in quotes; empty for anything else.

    A word of letters and digits mixed, or of more than 40 characters, could be a secret that the server echoes, as
    could one of `secrets`: such a text is left out as a whole.
    """
    line = body[: MESSAGE_CHARACTERS + 1].strip()
    if len(body.strip()) > MESSAGE_CHARACTERS or not PLAIN_LINE.fullmatch(line):
        return ""
    text = line.decode("ascii")
    words = re.findall("[A-Za-z0-9]+", text)
    if any(len(word) > 40 or not (word.isalpha() or word.isdecimal()) for word in words):
        return ""
    return "" if any(secret in text for secret in secrets) else json.dumps(text)


PLAIN_LINE = re.compile(rb"[A-Za-z][A-Za-z0-9 .,:;=!?'\"()/_-]*", re.ASCII)
ERROR_TYPES = (
    *("bad_data", "timeout", "canceled", "execution", "internal", "unavailable", "not_found", "not_acceptable"),
    *("too_many_requests", "too_large_entry"),  # Mimir's
)
LABEL_PROXY = "prom-label-proxy"
"""What the proxy of this name calls its own errors, such as a missing namespace."""
QUERY_PREFIX = 'invalid parameter "query": '

NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?", re.ASCII)
NUMBER_CHARACTERS = 1200  # a float64 written out without exponent takes at most about 1,080
NO_NUMBER = {"NaN": math.nan, "Inf": math.inf, "+Inf": math.inf, "-Inf": -math.inf}


@dataclass(frozen=True)
class _Answer:
    kind: str
    result: list[Any]
    partial: bool
    warned: bool


class _UnusableError(Exception):
    """Carries the Unknown from where it shows to the edge of this module."""

    def __init__(self, unknown: Unknown) -> None:
        super().__init__(unknown.message)
        self.unknown = unknown


def _refuse(message: str, reason: Reason = Reason.METRIC_ERROR) -> Never:
    raise _UnusableError(Unknown(reason, message))


def _parse(body: bytes) -> _Answer:
    content = _json(body)
    if not isinstance(content, dict):
        _refuse(MALFORMED)
    if content.get("status") == "error":
        words = error_words(body)
        _refuse(f"Prometheus answered an error{': ' if words else ''}{words}")
    data = content.get("data")
    if content.get("status") != "success" or not isinstance(data, dict):
        _refuse(MALFORMED)
    kind, result = data.get("resultType"), data.get("result")
    if not isinstance(kind, str) or not isinstance(result, list):
        _refuse(MALFORMED)
    warnings = _warnings(content)
    partial = content.get("isPartial") is True or bool(warnings)  # VictoriaMetrics says it so, others warn of it
    return _Answer(kind, result, partial, any(warning.startswith("PromQL warning:") for warning in warnings))


MALFORMED = "what Prometheus answered is not an answer of its query API"


def _json(body: bytes) -> object:
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):  # bytes, syntax and integers of 5,000 digits; nesting
        _refuse("what Prometheus answered is not JSON")


def _no_constant(word: str) -> Never:
    raise ValueError(f"{word} is not JSON")


def _warnings(content: Mapping[str, Any]) -> list[str]:
    """The warnings but for remarks on the query, which newer versions send as `infos`."""
    found = content.get("warnings")
    if not isinstance(found, list):
        return ["not a list"] if found else []
    return [text for text in map(str, found) if not text.startswith("PromQL info:")]


def _nothing(partial: bool) -> Unknown:
    if partial:
        return Unknown(Reason.METRIC_ERROR, "the query answered nothing, and Prometheus says that some is missing")
    return Unknown(Reason.METRIC_EMPTY, "the query answered nothing")


def _rows(answer: _Answer, labels: Sequence[str]) -> dict[tuple[str, ...], list[Any]]:
    """The series of each row; a number without series is like one in the row that there is without labels."""
    if answer.kind == "scalar" and not labels:
        return {(): [{"value": answer.result}]}
    _expect("vector", answer)
    rows: dict[tuple[str, ...], list[Any]] = {}
    for series in answer.result:
        rows.setdefault(_row(series, labels), []).append(series)
    return rows


def _row(series: object, labels: Sequence[str]) -> tuple[str, ...]:
    """The values of these labels; an answer that has a series without them is not the one that was asked for."""
    values = tuple(_labels(series).get(label) for label in labels)
    texts = tuple(value for value in values if isinstance(value, str))
    if len(texts) < len(values):
        _refuse("the query answered a series without the labels that it was asked by")
    return texts


def _labels(series: object) -> dict[str, Any]:
    found = series.get("metric") if isinstance(series, dict) else None
    return found if isinstance(found, dict) else {}


def _reading_of(row: list[Any], partial: bool) -> Reading:
    try:
        return _finite(_the_only(row), partial)
    except _UnusableError as error:
        return error.unknown


def _ages_of(row: list[Any], partial: bool) -> Ages | Unknown:
    by_selector: dict[int, list[Any]] = {}
    try:
        for series in row:
            by_selector.setdefault(_place_of(series), []).append(series)
        return Ages({place: _age(_the_only(found)) for place, found in by_selector.items()}, partial)
    except _UnusableError as error:
        return error.unknown


def _the_only(found: list[Any]) -> object:
    """The [time, value] of the one series that is meant."""
    if len(found) > 1:
        _refuse(f"the query answered {len(found)} series where one is meant; sum them")
    return found[0].get("value") if isinstance(found[0], dict) else None


def _expect(kind: str, answer: _Answer) -> None:
    if answer.kind != kind:
        found = answer.kind if answer.kind in RESULT_TYPES else "an unknown type"
        _refuse(f"the query answered {RESULT_TYPES.get(found, found)} where {RESULT_TYPES[kind]} is meant")


RESULT_TYPES = {
    "scalar": "a number without series",
    "vector": "one number",
    "matrix": "samples over a time range",
    "string": "a string",
}


def _finite(sample: object, partial: bool) -> Reading:
    number = _number(sample)
    if math.isnan(number):
        return Unknown(Reason.METRIC_NAN, "the query answered NaN")
    if math.isinf(number):
        return Unknown(Reason.METRIC_ERROR, f"the query answered {'+' if number > 0 else '-'}Inf")
    return Value(number, partial)


def _number(sample: object) -> float:
    """The value of a [time, value] pair, which is a string as Go writes floats."""
    if not isinstance(sample, list) or len(sample) != 2 or not isinstance(sample[1], str):
        _refuse("a value that Prometheus answered is not one number in a string")  # a native histogram has none, too
    text = sample[1]
    if text in NO_NUMBER:
        return NO_NUMBER[text]
    if len(text) > NUMBER_CHARACTERS or not NUMBER.fullmatch(text) or math.isinf(number := float(text)):
        _refuse("a value that Prometheus answered is not a number that fits 64 bits")
    return number


def _place_of(series: object) -> int:
    """Which selector an age is of."""
    place = _labels(series).get(AGE_LABEL)
    if not isinstance(place, str) or not re.fullmatch("[0-9]{1,3}", place, re.ASCII):
        _refuse("an age that Prometheus answered is not one")
    return int(place)


def _age(sample: object) -> float:
    age_s = _number(sample)
    if not math.isfinite(age_s):
        _refuse("an age that Prometheus answered is not one")
    return age_s


def _on_grid(result: list[Any], grid: Grid) -> list[float]:
    if len(result) > 1:
        _refuse(f"the query answered {len(result)} series where one is meant; sum them")
    values = [math.nan] * grid.steps
    for sample in _samples(result):
        number = _number(sample)
        place = _place(sample[0], grid)
        if place is not None and math.isfinite(number):
            values[place] = number
    return values


def _samples(result: list[Any]) -> list[Any]:
    if not result:
        return []
    samples = result[0].get("values") if isinstance(result[0], dict) else None
    if not isinstance(samples, list):
        _refuse(MALFORMED)
    return samples


def _place(time_s: object, grid: Grid) -> int | None:
    """The nearest step, as a cache between may have moved the grid by less than one; None outside."""
    if isinstance(time_s, bool) or not isinstance(time_s, int | float) or not abs(time_s) < LAST_TIME_S:
        _refuse("a time that Prometheus answered is not one")
    place = round((time_s - grid.start_s) / grid.step_s)
    return place if 0 <= place < grid.steps else None


LAST_TIME_S = 1e12  # Unix time far beyond any calendar
