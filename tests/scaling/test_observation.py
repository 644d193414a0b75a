"""Which readings can be used."""

import math

import pytest

from scaling.decision import Reason
from scaling.observation import MOST_TIMES_CAPACITY, Unknown, Value, is_true, usable, usable_ratio
from scaling.spec import ScalingSpec

SPEC = ScalingSpec(max_replicas=10, target_per_replica=70)
SERVED = 10 * 70 / 0.7


@pytest.mark.parametrize(
    "reading",
    [
        *(Value(0.0), Value(7.5), Value(3.0, partial=True)),
        *(Value(5 * SERVED), Value(100 * SERVED), Value(0.999 * MOST_TIMES_CAPACITY * SERVED)),
    ],
)
def test_a_demand_that_can_be_is_used_as_it_is(reading):
    assert usable(reading, SPEC) is reading


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, Reason.METRIC_NAN),
        (math.inf, Reason.METRIC_ERROR),
        (-math.inf, Reason.METRIC_ERROR),
        (-0.001, Reason.METRIC_ERROR),
        (-1e308, Reason.METRIC_ERROR),
        (1e308, Reason.METRIC_IMPLAUSIBLE),
        (2.0**64 / 60, Reason.METRIC_IMPLAUSIBLE),
        (1.001 * MOST_TIMES_CAPACITY * SERVED, Reason.METRIC_IMPLAUSIBLE),
    ],
)
def test_a_demand_that_cannot_be_is_unknown_and_says_why(value, reason):
    reading = usable(Value(value), SPEC)
    assert isinstance(reading, Unknown)
    assert reading.reason is reason
    assert reading.message.isprintable()


def test_what_is_too_much_names_the_value_the_limit_and_the_likely_mistake():
    assert usable(Value(1e308), SPEC) == Unknown(
        Reason.METRIC_IMPLAUSIBLE,
        "the query answered 1e+308, over 1000 times what maxReplicas 10 serve (1000); "
        "is it in the unit of targetPerReplica?",
    )


def test_the_limit_follows_the_stated_capacity_and_the_largest_fleet():
    big = ScalingSpec(max_replicas=1000, target_per_replica=70, capacity_per_replica=500)
    assert isinstance(usable(Value(4e8), big), Value)
    assert isinstance(usable(Value(4e8), SPEC), Unknown)


@pytest.mark.parametrize("value", [5e-324, 1e-300, -1e-17, -0.0, 1e-12])
def test_what_is_left_of_a_sum_that_comes_to_nothing_is_zero(value):
    reading = usable(Value(value, partial=True), SPEC)
    assert reading == Value(0.0, partial=True)


def test_what_is_unknown_stays_so_in_the_words_of_its_source():
    unknown = Unknown(Reason.METRIC_STALE, "the newest sample is 400 s old")
    assert usable(unknown, SPEC) is unknown


@pytest.mark.parametrize(
    ("ratio", "used"),
    [
        *((None, None), (math.nan, None), (math.inf, None), (-math.inf, None), (1e300, None), (-1e300, None)),
        *((50.0, None), (-1e-16, 0.0), (0.0, 0.0), (5e-324, 5e-324), (0.25, 0.25), (1.5, 1.0), (-0.2, 0.0)),
    ],
)
def test_a_share_of_requests_lies_within_0_and_1_or_is_none(ratio, used):
    assert usable_ratio(ratio) == used


@pytest.mark.parametrize("value", [1.0, -1.0, 0.001, 3e6])
def test_a_number_other_than_0_says_that_a_condition_holds(value):
    assert is_true(value)


@pytest.mark.parametrize("value", [0.0, -0.0, 5e-324, -1e-17, 1e300, -1e300, math.nan, math.inf])
def test_what_is_as_good_as_0_or_no_number_does_not(value):
    assert not is_true(value)
