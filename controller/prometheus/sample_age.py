"""How old the samples behind a reading are: the query that asks, and the verdict on its answer. Pure.

An instant query does not say how old its samples are: its timestamp is the time of the question. It repeats the last
value of an ended series for five minutes, `rate(x[5m])` a sinking part of it, `x or vector(0)` a zero. `timestamp()`
tells the time of a sample only for a plain selector; for any other expression it returns the time of the question. So
each selector is asked for by itself. The first of these that answers tells the time of its newest sample:

| part | when it answers |
|---|---|
| `max(timestamp(x))` | the series live, or have ended without a staleness marker |
| `max(max_over_time(timestamp(x)[LIMIT:STEP]))` | for a range or within a subquery: they have ended, too; a step off |
| `0 * max(count_over_time(x[REACH]))` | there were samples: older than any limit, or too few for the result by now |

The second counts, and the first for a range, only as long as what reads the range, such as `rate(x[5m])`, still
answers. All are asked for the moment at which the query evaluates the selector, so `x offset 10m` wants samples that
were young ten minutes ago. Of a shared query (`grouping.py`) each `max` and `count` is split as its sums are, so each
row has ages of its own.

What it does not see: a recorded series is as old as its recording, whatever it was recorded from; of many targets one
that lives is enough; and what a window of `rate()` loses before its newest sample is too old, which
`coverage.py` asks for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from controller.prometheus.answer import Ages
from controller.promql.emptiness import ends_with_its_samples
from controller.promql.grouping import Split
from controller.promql.matchers import AGE_LABEL
from controller.promql.syntax import Selector, selectors
from scaling.decision import Reason
from scaling.limits import shown
from scaling.observation import Unknown

MOST_SELECTORS = 20
"""Chosen: a query that reads more wants a recording rule."""

OF_NOTHING = ("absent_over_time",)
"""Functions of a range that answer when there are no samples, where all others answer when there are."""


@dataclass(frozen=True)
class AgeCheck:
    """What to ask about a query's samples."""

    selectors: tuple[Selector, ...]
    lasts: bool
    """Whether young samples stay usable until they are old: if they end before, the query surely answers nothing. Any
    other query is checked with every reading."""


def age_check(query: str) -> AgeCheck | Unknown:
    """Work out what to ask."""
    found = selectors(query)
    if len(found) > MOST_SELECTORS:
        message = f"the query reads {len(found)} selectors, limit {MOST_SELECTORS}: record a part of it as a series"
        return Unknown(Reason.METRIC_ERROR, message)
    return AgeCheck(found, lasts=ends_with_its_samples(query))


def age_query(found: Sequence[Selector], stale_after_s: float, split: Split) -> str:
    """The query for the ages of the newest samples behind selectors, of each row by itself; empty without any."""
    return "\nor ".join(_age_of(selector, place, stale_after_s, split) for place, selector in enumerate(found))


def oldest_s(check: AgeCheck, ages: Ages, stale_after_s: float) -> float | Unknown:
    """Return the age of the newest samples, of the selector where that is greatest, or why they cannot be used.

    A selector that had no samples for long does not count: it may be the second half of an `or`. When none has any, the
    query answered out of nothing, as `... or vector(0)` does while the source is away. What it answered may be any
    number, so it is not called empty: that could stand for 0.
    """
    present = {place: age_s for place, age_s in ages.by_selector.items() if place < len(check.selectors)}
    if not present:
        return _nothing(check, ages.partial)
    place = max(present, key=lambda candidate: present[candidate])
    if present[place] > stale_after_s:
        text = shown(check.selectors[place].text)
        message = f"the newest sample of {text} has ended or is older than {stale_after_s:g} s, the limit"
        return Unknown(Reason.METRIC_STALE, message)
    return max(0.0, present[place])


def _age_of(selector: Selector, place: int, stale_after_s: float, split: Split) -> str:
    """A query for the age of a selector's newest sample; line breaks end a comment that was copied with it."""
    moment = selector.moment
    reach_s = round(max(selector.reach_s, stale_after_s)) + 1
    count = f"count_over_time({selector.text}\n[{reach_s}s]{moment.modifiers})"
    newest = f"{_newest_in_use(selector, stale_after_s, split)} or 0 * {split.of('max', count)}"
    return f'label_replace({moment.time} - ({newest}), "{AGE_LABEL}", "{place}", "", "")'


def _newest_in_use(selector: Selector, stale_after_s: float, split: Split) -> str:
    """A query for the time of the newest sample that enters the result."""
    moment = selector.moment.modifiers
    living = split.of("max", f"timestamp({selector.text}\n{moment})")
    if selector.range_text is None and not selector.subquery_s:
        return living
    limit_s = round(stale_after_s)
    ended = split.of("max", f"max_over_time(timestamp({selector.text}\n)[{_steps(limit_s)}]{moment})")
    return f"({living} or {ended}) and {split.of('count', _read(selector))}"


def _read(selector: Selector) -> str:
    """A query that answers as long as what reads the samples does."""
    moment = selector.moment.modifiers
    if selector.range_text is None:
        return f"count_over_time({selector.text}\n[{_steps(selector.subquery_s)}]{moment})"
    reader = selector.function if selector.function not in (None, *OF_NOTHING) else "count_over_time"
    if not selector.subquery_s:
        return f"{reader}({selector.text}\n{selector.range_text}{moment})"
    return f"count_over_time({reader}({selector.text}\n{selector.range_text})[{_steps(selector.subquery_s)}]{moment})"


def _steps(range_s: float) -> str:
    """A subquery over a range, an eighth of it apart or a minute at most."""
    whole_s = max(1, round(range_s))
    return f"{whole_s}s:{max(1, min(60, whole_s // 8))}s"


def _nothing(check: AgeCheck, partial: bool) -> Unknown:
    more = f" and {len(check.selectors) - 1} more" if len(check.selectors) > 1 else ""
    text = shown(check.selectors[0].text) + more
    if partial:
        return Unknown(Reason.METRIC_ERROR, f"no samples of {text}, and Prometheus says that some is missing")
    return Unknown(Reason.METRIC_STALE, f"the query answered, but there are no samples of {text}")
