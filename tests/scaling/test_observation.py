"""Which readings can be used."""

import math

import pytest

from scaling.decision import Reason
from scaling.observation import Unknown, Value, usable, usable_ratio


@pytest.mark.parametrize("reading", [Value(0.0), Value(7.5), Value(1e300), Value(3.0, partial=True)])
def test_a_demand_that_can_be_is_used_as_it_is(reading):
    assert usable(reading) is reading


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, Reason.METRIC_NAN),
        (math.inf, Reason.METRIC_ERROR),
        (-math.inf, Reason.METRIC_ERROR),
        (-0.001, Reason.METRIC_ERROR),
    ],
)
def test_a_demand_that_cannot_be_is_unknown_and_says_why(value, reason):
    reading = usable(Value(value))
    assert isinstance(reading, Unknown)
    assert reading.reason is reason
    assert reading.message.isprintable()


def test_what_is_unknown_stays_so_in_the_words_of_its_source():
    unknown = Unknown(Reason.METRIC_STALE, "the newest sample is 400 s old")
    assert usable(unknown) is unknown


@pytest.mark.parametrize(
    ("ratio", "used"),
    [(None, None), (math.nan, None), (math.inf, None), (-1e-16, 0.0), (0.0, 0.0), (0.25, 0.25), (1.5, 1.0)],
)
def test_a_share_of_requests_lies_within_0_and_1_or_is_none(ratio, used):
    assert usable_ratio(ratio) == used
