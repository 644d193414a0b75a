"""What stands against a change: which holds let what through, and when they are said."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.decide import PolicyState, decide
from scaling.decision import Band, Reason
from scaling.guardrails import HOLDS, STANDSTILLS
from scaling.hpa_settings import Behavior, ScalingRules
from scaling.observation import Unknown
from scaling.spec import Fallback, FallbackTo, Guardrails, Mode
from tests.scaling.builders import ScriptedPolicy, a_network_policy, a_spec, a_state, an_observation

CONFLICT, FROZEN, JUST_STARTED = Reason.CONFLICT, Reason.FROZEN, Reason.JUST_STARTED
REMOVES_NOTHING = (Reason.ROLLOUT, Reason.UNHEALTHY, Reason.NO_SCALE_DOWN)
ALL_HOLDS = (*STANDSTILLS, *HOLDS)
STALE = Unknown(Reason.METRIC_STALE)
BELOW, WITHIN, ABOVE = Reason.BELOW_BAND, Reason.WITHIN_BAND, Reason.ABOVE_BAND


def held(*holds, wanted=12, current=10, reading=700.0, spec=None, state=None):
    """One decision of a policy that asks for `wanted`, as (size, reasons)."""
    observation = replace(an_observation(reading, current), holds=holds)
    decision = decide(observation, spec or a_spec(), state or a_state(), ScriptedPolicy(wanted, wanted), 15.0)
    return decision.final_replicas, decision.reasons


@pytest.mark.parametrize("hold", [CONFLICT, FROZEN])
@pytest.mark.parametrize(
    ("current", "wanted", "reason"),
    [(10, 12, BELOW), (10, 10, WITHIN), (10, 9, ABOVE), (1, 10, BELOW), (99, 10, ABOVE), (0, 5, BELOW)],
)
def test_in_a_conflict_or_a_freeze_nothing_changes_not_even_for_the_bounds(hold, current, wanted, reason):
    assert held(hold, current=current, wanted=wanted) == (current, (reason, hold))


def test_in_a_conflict_what_the_policy_would_do_is_still_seen():
    observation = replace(an_observation(), holds=(CONFLICT,))
    decision = decide(observation, a_spec(), a_state(), ScriptedPolicy(12, 14), 15.0)
    assert (decision.band, decision.proposed_replicas, decision.final_replicas) == (Band(12, 14), 12, 10)


def test_all_that_brings_everything_to_a_standstill_is_said():
    assert held(FROZEN, CONFLICT, spec=a_spec(paused=True)) == (10, (BELOW, Reason.PAUSED, CONFLICT, FROZEN))


@pytest.mark.parametrize(
    ("hold", "wanted", "size", "said"),
    [
        *((reason, 8, 10, True) for reason in REMOVES_NOTHING),
        *((reason, 12, 12, False) for reason in REMOVES_NOTHING),
        (JUST_STARTED, 8, 10, True),
        (JUST_STARTED, 12, 10, True),
        (JUST_STARTED, 10, 10, False),
        (Reason.PODS_NOT_READY, 12, 10, True),
        (Reason.PODS_NOT_READY, 8, 8, False),
    ],
)
def test_a_hold_stops_its_direction_and_is_said_only_when_it_did(hold, wanted, size, said):
    found, reasons = held(hold, wanted=wanted)
    assert found == size
    assert (hold in reasons) is said
    assert len(reasons) == 1 + said


@pytest.mark.parametrize("hold", [JUST_STARTED, *REMOVES_NOTHING, Reason.PODS_NOT_READY])
@pytest.mark.parametrize(
    ("current", "size", "reason"), [(99, 60, Reason.TOO_MANY_REPLICAS), (1, 2, Reason.TOO_FEW_REPLICAS)]
)
def test_bounds_come_after_every_other_hold(hold, current, size, reason):
    found, reasons = held(hold, current=current, wanted=current, reading=50.0)
    assert (found, reasons[-1]) == (size, reason)


def test_what_guards_want_is_held_too():
    crowded = a_spec(guardrails=Guardrails(floor_utilization_ratio=0.5))
    assert held(wanted=10, spec=crowded) == (14, (WITHIN, Reason.FLOOR_UTILIZATION))
    assert held(JUST_STARTED, wanted=10, spec=crowded) == (10, (WITHIN, Reason.FLOOR_UTILIZATION, JUST_STARTED))


def a_fallback_that_adds():
    spec, state = a_spec(guardrails=Guardrails(fallback=Fallback(to=FallbackTo.REPLICAS, replicas=30))), a_state()
    state.unknown_since_s = -1000.0
    return {"reading": STALE, "spec": spec, "state": state}


@pytest.mark.parametrize(
    ("holds", "size", "reasons"),
    [
        ((), 30, (Reason.METRIC_STALE, Reason.FALLBACK_REPLICAS)),
        (REMOVES_NOTHING, 30, (Reason.METRIC_STALE, Reason.FALLBACK_REPLICAS)),
        ((JUST_STARTED,), 10, (Reason.METRIC_STALE, Reason.FALLBACK_REPLICAS, JUST_STARTED)),
        ((Reason.PODS_NOT_READY,), 10, (Reason.METRIC_STALE, Reason.FALLBACK_REPLICAS, Reason.PODS_NOT_READY)),
        ((CONFLICT,), 10, (Reason.METRIC_STALE, CONFLICT)),
    ],
)
def test_the_fallback_obeys_the_same_holds(holds, size, reasons):
    assert held(*holds, **a_fallback_that_adds()) == (size, reasons)


def test_a_stabilisation_window_does_not_undo_a_hold():
    behavior = Behavior(ScalingRules(stabilization_s=60), ScalingRules(stabilization_s=300))
    spec, state = a_spec(behavior=behavior), a_state()
    for index, wanted in enumerate((30, 2, 30, 2, 2), start=1):
        observation = replace(an_observation(), holds=(Reason.ROLLOUT, Reason.PODS_NOT_READY))
        decision = decide(observation, spec, state, ScriptedPolicy(wanted, wanted), 15.0 * index)
        assert decision.final_replicas == 10


@settings(max_examples=200, deadline=None)
@given(
    st.sets(st.sampled_from(ALL_HOLDS)),
    st.integers(1, 80),
    st.floats(0.0, 1.0),
    st.sampled_from([700.0, 0.0, 9000.0, STALE]),
    st.sampled_from(list(Mode)),
    st.integers(0, 4),
)
def test_whatever_the_policy_wants_a_hold_is_kept_and_the_bounds_are_last(holds, current, ready, reading, mode, seed):
    order, spec = list(Reason), a_spec(mode=mode)
    observation = replace(an_observation(reading, current, int(current * ready)), holds=tuple(holds))
    decision = decide(observation, spec, PolicyState(), a_network_policy((8,), seed), 15.0)
    size, within = decision.final_replicas, min(max(current, 2), 60)
    places = [order.index(reason) for reason in decision.reasons]
    assert places == sorted(set(places))
    if holds & set(STANDSTILLS):
        assert size == current
        assert holds & set(STANDSTILLS) <= set(decision.reasons)
        return
    assert 2 <= size <= 60
    assert JUST_STARTED not in holds or size == within
    assert not holds & set(REMOVES_NOTHING) or size >= within
    assert Reason.PODS_NOT_READY not in holds or size <= within
