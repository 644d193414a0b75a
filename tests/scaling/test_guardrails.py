"""What no policy gets past: each guard by itself, and all of them against policies that mean harm."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.decide import PolicyState, decide
from scaling.decision import Reason
from scaling.guardrails import (
    bound,
    cap_at_reference,
    fit,
    keep_floor,
    limit_scale_up,
    lower_to_max,
    only_up,
    raise_to_min,
    reasons_in,
    surround,
    wait_for_ready,
)
from scaling.observation import Unknown, Value
from scaling.spec import Mode
from tests.scaling.builders import ScriptedPolicy, a_spec, an_observation, some_terms


def guarded(replicas, current, ready, memory, terms):
    """The size that the guards leave, and the reasons of those that changed it."""
    size, bits = surround(replicas, current, ready, 0, 0, memory, terms)
    return size, tuple(reasons_in(bits))


def bounded(replicas, current, ready, memory, terms):
    """The same with the bounds, last."""
    size, reasons = guarded(replicas, current, ready, memory, terms)
    size, bits = bound(size, current, ready, memory, terms)
    return size, (*reasons, *reasons_in(bits))


def a_memory_of(level=7.0, reference=10, capacity_ratio=1.0) -> dict[str, Any]:
    return {"level": level, "reference_replicas": reference, "capacity_ratio": capacity_ratio}


@pytest.mark.parametrize(
    ("proposed", "fields", "terms", "chosen", "reasons"),
    [
        pytest.param(12, {}, {}, 12, (), id="a-sane-proposal-passes"),
        pytest.param(25, {}, {}, 20, (Reason.CEILING_RATIO,), id="twice-the-reference-is-the-most"),
        pytest.param(
            25, {}, {"ceiling_ratio": 1.1}, 11, (Reason.CEILING_RATIO,), id="the-ceiling-has-no-rounding-dust"
        ),
        pytest.param(25, {"reference": 3}, {}, 10, (Reason.CEILING_RATIO,), id="the-ceiling-removes-nothing"),
        pytest.param(
            25, {"reference": 3}, {"min_replicas": 15}, 15, (Reason.CEILING_RATIO,), id="nor-goes-below-minimum"
        ),
        pytest.param(3, {}, {}, 8, (Reason.FLOOR_UTILIZATION,), id="seven-pods-at-90-percent-need-eight"),
        pytest.param(3, {"capacity_ratio": 0.5}, {}, 16, (Reason.FLOOR_UTILIZATION,), id="and-16-of-half-the-capacity"),
        pytest.param(3, {"level": 0.9 * 21}, {}, 21, (Reason.FLOOR_UTILIZATION,), id="the-floor-has-no-rounding-dust"),
        pytest.param(
            30,
            {"level": 30.0},
            {},
            34,
            (Reason.CEILING_RATIO, Reason.FLOOR_UTILIZATION),
            id="the-floor-beats-the-ceiling",
        ),
        pytest.param(8, {}, {"up_only": 1}, 10, (Reason.UP_ONLY,), id="up-only-removes-nothing"),
        pytest.param(12, {}, {"up_only": 1}, 12, (), id="up-only-adds"),
        pytest.param(8, {}, {"min_ready_ratio": 1.1}, 10, (Reason.MIN_READY,), id="too-few-ready-removes-nothing"),
        pytest.param(
            1,
            {"level": 0.0},
            {"max_replicas": 6, "up_only": 1},
            6,
            (Reason.UP_ONLY, Reason.TOO_MANY_REPLICAS),
            id="the-maximum-beats-all",
        ),
        pytest.param(0, {"level": 0.0}, {}, 2, (Reason.TOO_FEW_REPLICAS,), id="the-minimum-is-kept"),
    ],
)
def test_guards_explain_every_change(proposed, fields, terms, chosen, reasons):
    memory, all_terms = a_memory_of(**fields), some_terms(**terms)
    assert bounded(proposed, 10, 10, memory, all_terms) == (chosen, reasons)


@pytest.mark.parametrize(("ready", "size"), [(0, 10), (4, 10), (5, 8), (10, 8), (14, 8)])
def test_half_of_the_replicas_must_be_ready_before_any_is_removed(ready, size):
    assert guarded(8, 10, ready, a_memory_of(), some_terms())[0] == size


@pytest.mark.parametrize(("current", "most"), [(0, 4), (1, 4), (2, 4), (3, 6), (50, 100)])
def test_one_decision_at_most_doubles_or_reaches_four(current, most):
    assert limit_scale_up(10**9, current, current, a_memory_of(), some_terms()) == most


sizes = st.integers(0, 150_000)
wild_sizes = st.integers(-(10**30), 10**30) | st.integers(-5, 200)
memories = st.builds(a_memory_of, st.floats(0.0, 1e6), sizes, st.floats(0.5, 2.0))
terms_of_specs = st.builds(
    lambda low, room, ceiling, floor, ready, up: some_terms(
        min_replicas=low,
        max_replicas=low + room,
        ceiling_ratio=ceiling,
        floor_utilization=floor,
        min_ready_ratio=ready,
        up_only=up,
    ),
    st.integers(1, 100),
    st.integers(0, 10_000),
    st.floats(1.0, 100.0),
    st.floats(0.1, 1.0),
    st.floats(0.0, 1.0),
    st.integers(0, 1),
)


@settings(max_examples=300, deadline=None)
@given(wild_sizes, sizes, sizes, memories, terms_of_specs)
def test_the_envelope_holds_whatever_is_proposed(proposed, current, ready, memory, terms):
    size, _ = fit(proposed, current, ready, 0, 0, memory, terms)
    lowest, highest = terms["min_replicas"], terms["max_replicas"]
    floor = math.ceil(memory["level"] / (terms["floor_utilization"] * memory["capacity_ratio"]) - 1e-9)
    ceiling = math.ceil(terms["ceiling_ratio"] * memory["reference_replicas"])
    one_step = max(4, 2 * current)
    assert type(size) is int
    assert lowest <= size <= highest
    assert size >= min(floor, highest, one_step)
    assert size <= max(ceiling, floor, current, lowest)
    assert size <= max(one_step, lowest)
    if terms["up_only"] or ready < terms["min_ready_ratio"] * current:
        assert size >= min(current, highest)


@settings(max_examples=200, deadline=None)
@given(wild_sizes, sizes, sizes, memories, terms_of_specs)
def test_the_envelope_is_one_rule_after_the_other_and_names_those_that_changed_something(
    proposed, current, ready, memory, terms
):
    size, changed = proposed, []
    for reason, rule in ORDER:
        fitted = rule(size, current, ready, memory, terms)
        changed += [reason] if fitted != size else []
        size = fitted
    fitted, bits = fit(proposed, current, ready, 0, 0, memory, terms)
    assert (fitted, reasons_in(bits)) == (size, changed)


ORDER = (
    (Reason.CEILING_RATIO, cap_at_reference),
    (Reason.FLOOR_UTILIZATION, keep_floor),
    (Reason.MIN_READY, wait_for_ready),
    (Reason.UP_ONLY, only_up),
    (Reason.SCALE_UP_LIMIT, limit_scale_up),
    (Reason.TOO_FEW_REPLICAS, raise_to_min),
    (Reason.TOO_MANY_REPLICAS, lower_to_max),
)


any_float = st.floats(width=32)  # NaN and infinities too
evil_policies = st.builds(
    ScriptedPolicy,
    wild_sizes,
    wild_sizes,
    st.tuples(any_float, any_float),
    st.sampled_from([(), ("level",) * 4]),
)
observations = st.builds(
    an_observation,
    st.floats(0.0, 1e12) | st.just(Unknown(Reason.METRIC_ERROR)) | st.floats(0.0, 1e6).map(lambda v: Value(v, True)),
    sizes,
    sizes,
    st.none() | any_float,
)


@settings(max_examples=200, deadline=None)
@given(evil_policies, st.lists(observations, min_size=1, max_size=6), st.sampled_from(list(Mode)))
def test_no_policy_and_no_reading_get_a_decision_past_the_envelope(policy, looks, mode):
    spec, state = a_spec(mode=mode, min_replicas=3, max_replicas=500), PolicyState()
    for index, observation in enumerate(looks):
        decision = decide(observation, spec, state, policy, 15.0 * index)
        current, size = observation.current_replicas, decision.final_replicas
        assert type(size) is int
        if current == 0:
            assert size == 0
            continue
        assert 3 <= size <= 500
        reading = observation.demand
        trusted = isinstance(reading, Value) and not reading.partial
        if mode is Mode.UP_ONLY or not trusted or observation.ready_replicas < 0.5 * current:
            assert size >= min(current, 500)
        elif trusted:
            floor = math.ceil(state.memory["level"] / (0.9 * state.memory["capacity_ratio"]) - 1e-9)
            assert size >= min(floor, 500, max(4, 2 * current))
            assert size <= max(2 * decision.reference_replicas, floor, current, 3)
