"""Whether samples cover all of the time that a query reads: the query that asks, and the verdict on its answer. Pure.

After Prometheus was away, `rate(x[5m])` answers from the samples that there are: it climbs from near zero to the truth
while the load stands still. So for each selector with a range three numbers are asked for, over that range:

| part | what it says |
|---|---|
| `max_over_time((time() - max(timestamp(x)))[RANGE:STEP])` | the longest time that went by without a new sample |
| `count_over_time(max(timestamp(x))[RANGE:STEP])` | at how many steps there was any sample to be seen |
| `max(count_over_time(x[RANGE]))` | the samples of the series that has the most |

The newest sample of any series counts at each step. So pods that start, and those that a rollout replaces, make no gap;
a scrape that is late by less than half the usual interval makes none either. Of a shared query (`grouping.py`) each
`max` is split as its sums are, so one member's gap is not another's. A recorded series is itself a result over a range
that nobody tells: `RECORDED_S` is assumed where its name has the colon that names of recorded series have.

Where it is blind: a gap of one pod among many, and one that is within 5 % of the range.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from controller.prometheus.answer import Ages
from controller.promql.grouping import Split
from controller.promql.matchers import AGE_LABEL
from controller.promql.syntax import LOOKBACK_S, Moment, Selector, selectors
from scaling.limits import shown

RECORDED_S = 300.0
"""Range behind a recorded series (chosen: the longest that is common)."""

STEPS = 40
"""Looks at a range (chosen): a gap is measured to 2.5 % of it."""

LONGEST_SCRAPE_INTERVAL_S = 120.0
"""No interval between scrapes is taken for longer. Source: with a look-back of 5 min two scrapes may not be lost,
https://prometheus.io/docs/prometheus/latest/querying/basics/#staleness"""

UNTOLD_SHARE = 0.05
"""A gap up to this share of the range is none (chosen: within what loads vary by)."""

LEAST_PAST_GAP_S = 45.0
"""In a history a newest sample that is younger than this makes no gap (chosen: three scrapes of 15 s)."""

PARTS = 3


@dataclass(frozen=True)
class Range:
    """A selector and the time that the query reads of it."""

    text: str
    range_s: float
    moment: Moment = field(default_factory=Moment)
    """When that time ends."""

    @property
    def step_s(self) -> int:
        """Between two looks, in whole seconds."""
        return max(1, round(self.range_s / STEPS))


@dataclass(frozen=True)
class Coverage:
    """The verdict on one query's samples."""

    missing: str = ""
    """What is missing, in words for people; empty where nothing is."""


def ranges_of(query: str) -> tuple[Range, ...]:
    """The selectors of a query that it reads over a range, in the order in which they are written."""
    found = (Range(one.text, _range_s(one), one.moment) for one in selectors(query))
    return tuple(one for one in found if one.range_s > 0)


def coverage_query(found: Sequence[Range], split: Split) -> str:
    """The query for the three numbers of each range, in each row by itself; empty without any range."""
    return "\nor ".join(
        f'label_replace({part}, "{AGE_LABEL}", "{PARTS * place + number}", "", "")'
        for place, one in enumerate(found)
        for number, part in enumerate(_parts(one, split))
    )


def coverage_of(found: Sequence[Range], answer: Ages) -> Coverage:
    """Judge an answer: the greatest gap of any range counts. A range without any samples is not judged: whether
    something else answered in its place is for `sample_age.py`."""
    numbers = answer.by_selector
    for place, one in enumerate(found):
        parts = [numbers.get(PARTS * place + number) for number in range(PARTS)]
        if None in parts:
            continue
        gap_s = _gap_s(one, *(part or 0.0 for part in parts))
        if gap_s:
            words = f"samples of {shown(one.text)} are missing for {gap_s:.0f} of the {one.range_s:g} s that are read"
            return Coverage(words)
    return Coverage()


def ages_query(found: Sequence[Range]) -> str:
    """The query for the age of the newest sample behind any range, the greatest of them: for the past of a query."""
    ages = (
        f"label_replace({one.moment.time} - max(timestamp({one.text}\n{one.moment.modifiers})), "
        f'"{AGE_LABEL}", "{place}", "", "")'
        for place, one in enumerate(found)
    )
    return f"max({' or '.join(ages)})"


def without_ramps(values: Sequence[float], ages_s: Sequence[float], step_s: float, range_s: float) -> list[float]:
    """A history without its gaps and what follows them: for as long as the query's range a result rests on a part.

    A gap is NaN, or the age of the newest sample there is greater than scrapes explain; `ages_s` may be empty. Where
    nothing would be left, as with a query that answers now and then, all is kept.
    """
    usual_s = median([age_s for age_s in ages_s if math.isfinite(age_s)] or [0.0])
    most_s = max(LEAST_PAST_GAP_S, 3 * usual_s)
    kept, covered_from = [], 0
    for place, (value, age_s) in enumerate(zip(values, ages_s or [0.0] * len(values), strict=True)):
        if math.isnan(value) or not age_s <= most_s:
            covered_from = place + 1 + math.ceil(range_s / step_s)
        kept.append(value if place >= covered_from else math.nan)
    return list(values) if all(map(math.isnan, kept)) else kept


def longest_s(found: Sequence[Range]) -> float:
    """The longest time that a query reads, offsets included; the look-back of an instant selector at least."""
    return max([LOOKBACK_S, *(one.range_s + one.moment.offset_s for one in found)])


def _range_s(selector: Selector) -> float:
    """How much of the past a result rests on; the look-back repeats a sample, and rests on that one alone."""
    if selector.range_text is not None:
        return selector.reach_s
    recorded = ":" in selector.text.partition("{")[0]
    return selector.subquery_s + (RECORDED_S if recorded else 0.0)


def _parts(one: Range, split: Split) -> tuple[str, str, str]:
    """The three queries; line breaks end a comment that was copied with a selector."""
    newest = split.of("max", f"timestamp({one.text}\n)")
    range_s, when = math.ceil(one.range_s), one.moment.modifiers
    looks = f"[{range_s}s:{one.step_s}s]{when}"
    samples = split.of("max", f"count_over_time({one.text}\n[{range_s}s]{when})")
    return f"max_over_time((time() - {newest}){looks})", f"count_over_time(({newest}){looks})", samples


def _gap_s(one: Range, age_s: float, seen: float, samples: float) -> float:
    """The longest time without a sample, where it is longer than scrapes explain; else 0.

    The samples that there are lie in what the longest age leaves of the range, so many intervals apart. A look that
    found no sample at all, after the look-back or where a series ended, no interval explains.
    """
    unseen_s = one.step_s * max(0.0, one.range_s // one.step_s - 1 - seen)
    usual_s = (one.range_s - age_s) / (samples - 1) if samples >= 2 else LONGEST_SCRAPE_INTERVAL_S
    usual_s = min(max(usual_s, 0.0), LONGEST_SCRAPE_INTERVAL_S)
    least_s = max(UNTOLD_SHARE * one.range_s, one.step_s)
    is_gap = unseen_s > least_s or age_s - usual_s > max(least_s, usual_s / 2)
    return max(age_s, unseen_s) if is_gap else 0.0
