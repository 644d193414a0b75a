"""How old the samples behind a reading are: the query that asks, and the verdict on its answer. Pure.

An instant query says nothing of it: its timestamp is that of the question, and it repeats a dead series' last value
for five minutes, `rate(x[5m])` a sinking part of it, `x or vector(0)` a zero. What a sample's own time is,
`timestamp()` tells only of a plain selector; of any other expression it returns the time of the question. So each
selector in a query is asked for by itself, and the first of these that answers tells the time of its newest sample:

| part | when it answers |
|---|---|
| `max(timestamp(x))` | the series live, or have ended without saying so |
| `max(max_over_time(timestamp(x)[LIMIT:STEP]))` | for a range, they ended, as all do when a scrape fails; a step off |
| `0 * max(count_over_time(x[REACH]))` | there were samples: older than any limit, or too few for the result by now |

The first two count only as long as `rate(x[5m])` itself, or what else reads the range, still answers. Of a shared query
(`grouping.py`) each `max` and `count` is split as its sums are, so each row has ages of its own.

Where it is blind: a recorded series is as old as its recording, whatever it was recorded from; of many targets one that
lives is enough; and what a window of `rate()` loses before its newest sample is too old is not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from controller.prometheus.answer import Ages
from controller.promql.grouping import Split
from controller.promql.matchers import AGE_LABEL
from controller.promql.syntax import Selector, has_alternative, selectors
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
    """Whether young samples stay good enough until they are old: if they end before, the query answers nothing. One
    that has something else to say then is to be checked with every reading."""


def age_check(query: str) -> AgeCheck | Unknown:
    """Work out what to ask."""
    found = selectors(query)
    if len(found) > MOST_SELECTORS:
        message = f"the query reads {len(found)} selectors, limit {MOST_SELECTORS}: record a part of it as a series"
        return Unknown(Reason.METRIC_ERROR, message)
    return AgeCheck(found, lasts=not has_alternative(query))


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
    reach_s = round(max(selector.reach_s, stale_after_s)) + 1
    count = f"count_over_time({selector.text}\n[{reach_s}s])"
    there_were = f"0 * {split.of('max', count)}"
    newest = f"{_newest_in_use(selector, stale_after_s, split)} or {there_were}"
    return f'label_replace(time() - ({newest}), "{AGE_LABEL}", "{place}", "", "")'


def _newest_in_use(selector: Selector, stale_after_s: float, split: Split) -> str:
    """A query for the time of the newest sample that enters the result."""
    living = split.of("max", f"timestamp({selector.text}\n)")
    if selector.range_text is None:
        return living
    limit_s = round(stale_after_s)
    step_s = max(1, min(60, limit_s // 8))
    ended = split.of("max", f"max_over_time(timestamp({selector.text}\n)[{limit_s}s:{step_s}s])")
    reader = selector.function if selector.function not in (None, *OF_NOTHING) else "count_over_time"
    read = split.of("count", f"{reader}({selector.text}\n{selector.range_text})")
    return f"({living} or {ended}) and {read}"


def _nothing(check: AgeCheck, partial: bool) -> Unknown:
    more = f" and {len(check.selectors) - 1} more" if len(check.selectors) > 1 else ""
    text = shown(check.selectors[0].text) + more
    if partial:
        return Unknown(Reason.METRIC_ERROR, f"no samples of {text}, and Prometheus says that some is missing")
    return Unknown(Reason.METRIC_STALE, f"the query answered, but there are no samples of {text}")
