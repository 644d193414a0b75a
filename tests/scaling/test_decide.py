"""From observation to decision: what each reading, mode and failure leads to, and what is remembered of it."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.decide import MOST_PODS, PolicyState, Request, decide, decide_all, remember
from scaling.decision import Action, Band, Decision, Reason
from scaling.hpa_settings import Behavior, PolicyRule, ScalingRules
from scaling.observation import Unknown, Value
from scaling.policy import RULES
from scaling.spec import EmptyIs, Fallback, FallbackTo, Guardrails, Mode
from scaling.workload import RECENT_STEPS, STEP_S, WORKLOAD
from tests.scaling.builders import (
    ScriptedPolicy,
    a_network_policy,
    a_spec,
    a_state,
    a_walk,
    an_observation,
)

SNVT, REFERENCE = RULES["snvt"], RULES["hpa"]
EMPTY, STALE = Unknown(Reason.METRIC_EMPTY), Unknown(Reason.METRIC_STALE)
NAN, NEGATIVE, INFINITE = Value(math.nan), Value(-1.0), Value(math.inf)


def decided(observation=None, spec=None, state=None, policy=None, now_s=15.0):
    """One decision on ten replicas under a calm 700 rps; the policy asks for 12 unless said otherwise."""
    policy = ScriptedPolicy(12, 12) if policy is None else policy
    return decide(observation or an_observation(), spec or a_spec(), state or a_state(), policy, now_s)


def chosen(decision):
    return decision.final_replicas, decision.reasons


def driven(demand, spec=None, policy=SNVT, state=None, current=10, interval_s=15.0, start_s=15.0):
    """Decisions one interval apart, each carried out at once with all replicas ready."""
    spec, state, decisions = spec or a_spec(), state or PolicyState(), []
    for index, value in enumerate(demand):
        observation = an_observation(value, current)
        decisions.append(decide(observation, spec, state, policy, start_s + index * interval_s))
        current = decisions[-1].final_replicas
    return decisions, state


def same_memory(one, other, but=()):
    names = [name for name in WORKLOAD.names or () if name not in but]
    return [name for name in names if not np.array_equal(one[name], other[name])] == []


# what is wanted


@pytest.mark.parametrize(
    ("policy", "size", "reason", "action"),
    [
        (ScriptedPolicy(12, 14), 12, Reason.BELOW_BAND, Action.ADD),
        (ScriptedPolicy(9, 14), 10, Reason.WITHIN_BAND, Action.HOLD),
        (ScriptedPolicy(8, 9), 9, Reason.ABOVE_BAND, Action.REMOVE),
    ],
)
def test_a_band_adds_removes_or_holds_and_says_which(policy, size, reason, action):
    decision = decided(policy=policy)
    assert chosen(decision) == (size, (reason,))
    assert (decision.action, decision.band) == (action, Band(policy.lo, policy.hi))


def test_a_decision_says_what_it_saw_and_who_proposed():
    decision = decided(an_observation(720.0), now_s=1234.0)
    assert decision == Decision(
        time_s=1234.0,
        demand=720.0,
        current_replicas=10,
        reference_replicas=10,
        band=Band(12, 12),
        proposed_replicas=12,
        final_replicas=12,
        reasons=(Reason.BELOW_BAND,),
        policy_name="scripted",
    )


def test_what_was_proposed_is_kept_beside_what_was_chosen():
    decision = decided(policy=ScriptedPolicy(99, 99))
    assert (decision.proposed_replicas, decision.final_replicas) == (99, 20)
    assert decision.reasons == (Reason.BELOW_BAND, Reason.CEILING_RATIO)


# readings


@pytest.mark.parametrize(
    ("reading", "reason"),
    [
        (EMPTY, Reason.METRIC_EMPTY),
        (STALE, Reason.METRIC_STALE),
        (Unknown(Reason.METRIC_ERROR, "refused"), Reason.METRIC_ERROR),
        (NAN, Reason.METRIC_NAN),
        (NEGATIVE, Reason.METRIC_ERROR),
        (INFINITE, Reason.METRIC_ERROR),
        (Value(1e308), Reason.METRIC_IMPLAUSIBLE),
        (Value(1e308, partial=True), Reason.METRIC_IMPLAUSIBLE),
    ],
)
@pytest.mark.parametrize("mode", list(Mode))
def test_without_a_reading_the_replicas_are_held_and_nobody_is_asked(reading, reason, mode):
    policy, state = ScriptedPolicy(3, 3), a_state()
    before = copy.deepcopy(state.memory)
    empty_is = EmptyIs.UNKNOWN if reading is EMPTY else EmptyIs.ZERO
    decision = decided(an_observation(reading), a_spec(mode=mode, empty_is=empty_is), state, policy)
    assert chosen(decision) == (10, (reason,))
    assert (decision.demand, decision.band, policy.asked) == (None, None, [])
    assert same_memory(state.memory, before)


def test_empty_is_zero_to_those_who_say_so():
    decision = decided(an_observation(EMPTY), a_spec(empty_is=EmptyIs.ZERO), policy=ScriptedPolicy(0, 0))
    assert decision.demand == 0.0
    assert chosen(decision) == (2, (Reason.ABOVE_BAND, Reason.TOO_FEW_REPLICAS))


@pytest.mark.parametrize(("demand", "size"), [(0.0, 10), (300.0, 10), (760.0, 10), (1049.9, 15), (9999.0, 20)])
def test_a_partial_reading_adds_what_it_needs_at_the_target_and_removes_nothing(demand, size):
    policy, state = ScriptedPolicy(3, 3), a_state()
    before = copy.deepcopy(state.memory)
    decision = decided(an_observation(Value(demand, partial=True)), state=state, policy=policy)
    assert (decision.final_replicas, decision.demand, decision.band) == (size, demand, None)
    assert decision.reasons[0] is Reason.METRIC_PARTIAL
    assert policy.asked == []
    assert same_memory(state.memory, before)


def test_a_partial_reading_counts_what_a_replica_was_found_to_serve():
    state = a_state()
    state.memory["capacity_ratio"] = 0.5
    assert decided(an_observation(Value(700.0, partial=True)), state=state).final_replicas == math.ceil(7 / 0.45)


def test_a_partial_reading_of_a_workload_never_seen_before_can_add():
    decision = decided(an_observation(Value(1049.0, partial=True)), state=PolicyState())
    assert chosen(decision) == (15, (Reason.METRIC_PARTIAL, Reason.HISTORY_SHORT))


def after_a_gap(unknown_s, readings, policy=SNVT, spec=None):
    """Sizes after an hour of 700 rps, so many seconds without a reading, and these readings."""
    decisions, state = driven([700.0] * 240, spec, policy)
    steady = decisions[-1].final_replicas
    gap = [Unknown(Reason.METRIC_ERROR)] * round(unknown_s / 15)
    missing, state = driven(gap, spec, policy, state, steady, start_s=241 * 15.0)
    start_s = (241 + len(gap)) * 15.0
    found, state = driven(readings, spec, policy, state, missing[-1].final_replicas, start_s=start_s)
    return steady, [decision.final_replicas for decision in found], state


@pytest.mark.parametrize("policy", [SNVT, REFERENCE, RULES["quantile"]], ids=lambda policy: policy.name)
@pytest.mark.parametrize("unknown_s", [30, 60, 360, 1800])
@pytest.mark.parametrize("window_s", [60, 120, 300, 600])
def test_a_rate_that_fills_its_range_after_a_gap_changes_no_size(policy, unknown_s, window_s):
    rising = [700.0 * min(1.0, 15 * step / window_s) for step in range(1, 81)]
    steady, sizes, _ = after_a_gap(unknown_s, rising, policy)
    assert set(sizes) == {steady}


def test_a_source_that_vouches_for_its_samples_is_believed_at_once_after_a_gap():
    steady, sizes, _ = after_a_gap(60, [Value(300.0, covered=True)] * 40)
    assert sizes[-1] < steady
    assert after_a_gap(60, [300.0] * 40)[1] == [steady] * 40


def test_what_rises_after_a_gap_by_its_range_filling_is_not_remembered_as_a_rise():
    rising = [Value(700.0 * step / 20, partial=step < 20, covered=True) for step in range(1, 21)]
    _, _, state = after_a_gap(600, rising)
    _, undisturbed = driven([700.0] * 300)
    names = ("recent", "peaks", "rises_pods", "rises_ratio", "spare_pods", "variance_5m", "variance_1h")
    assert all(np.allclose(state.memory[name], undisturbed.memory[name], atol=1e-9) for name in names)


def test_an_empty_answer_after_a_gap_is_no_proof_of_zero():
    spec = a_spec(empty_is=EmptyIs.ZERO)
    steady, sizes, _ = after_a_gap(60, [EMPTY] * 30, spec=spec)
    assert sizes == [steady] * 30


def test_a_single_lost_reading_is_no_gap():
    steady, sizes, _ = after_a_gap(15, [300.0] * 40)
    assert sizes[-1] < steady


# a memory that is short


def test_the_first_16_minutes_say_that_little_is_remembered():
    decisions, _ = driven([700.0] * 80)
    assert [Reason.HISTORY_SHORT in decision.reasons for decision in decisions] == [True] * 63 + [False] * 17


@pytest.mark.parametrize("times", [3, 30, 999])
def test_an_overload_many_times_what_the_largest_fleet_serves_gets_the_maximum(times):
    spec = a_spec(target_per_replica=0.001, capacity_per_replica=0.001)
    demand = times * 60 * 0.001
    decisions, state = driven([0.01, demand, demand, demand, demand, 0.01], spec)
    assert decisions[4].final_replicas == 60
    assert all(math.isfinite(np.max(value)) for value in state.memory.values())
    assert state.memory["level"] <= MOST_PODS


@pytest.mark.parametrize("bad_ratio", [None, math.nan, math.inf, -math.inf])
def test_a_share_of_bad_requests_that_is_no_number_moves_no_belief(bad_ratio):
    state = a_state()
    decided(an_observation(bad_ratio=bad_ratio), state=state)
    assert (state.memory["capacity_ratio"], state.memory["bad_ratio"]) == (1.0, 0.0)


@pytest.mark.parametrize(("bad_ratio", "counted"), [(-1e-9, 0.0), (0.3, 0.3), (1.2, 1.0), (1e300, 0.0)])
def test_a_share_of_bad_requests_counts_within_0_and_1(bad_ratio, counted):
    state = a_state()
    decided(an_observation(bad_ratio=bad_ratio), state=state)
    assert state.memory["bad_ratio"] == pytest.approx(counted * (1 - math.exp(-15 / 300)))


# paused and modes


@pytest.mark.parametrize("current", [1, 10, 99])
@pytest.mark.parametrize(("reading", "reasons"), [(700.0, ()), (EMPTY, (Reason.METRIC_EMPTY,))])
def test_paused_holds_whatever_the_demand_and_the_bounds(current, reading, reasons):
    state = a_state()
    state.unknown_since_s = -1000.0
    decision = decided(an_observation(reading, current), a_spec(paused=True), state, ScriptedPolicy(20, 20))
    assert decision.final_replicas == current
    assert decision.reasons[:-1] in (reasons, (Reason.BELOW_BAND,), (Reason.ABOVE_BAND,), (Reason.METRIC_PARTIAL,))
    assert decision.reasons[-1] is Reason.PAUSED


@pytest.mark.parametrize(
    ("mode", "wanted", "size", "reasons"),
    [
        (Mode.AUTO, 8, 8, (Reason.ABOVE_BAND,)),
        (Mode.SHADOW, 8, 8, (Reason.ABOVE_BAND,)),
        (Mode.UP_ONLY, 8, 10, (Reason.ABOVE_BAND, Reason.UP_ONLY)),
        (Mode.UP_ONLY, 12, 12, (Reason.BELOW_BAND,)),
    ],
)
def test_modes_decide_alike_but_up_only_removes_nothing(mode, wanted, size, reasons):
    decision = decided(spec=a_spec(mode=mode), policy=ScriptedPolicy(wanted, wanted))
    assert chosen(decision) == (size, reasons)


# fallback


def a_fallback(to, replicas=None, after_s=60.0):
    return Guardrails(fallback=Fallback(after_s=after_s, to=to, replicas=replicas))


@pytest.mark.parametrize(
    ("guardrails", "reference", "size", "reasons"),
    [
        pytest.param(a_fallback(FallbackTo.HOLD), 15, 10, (), id="hold"),
        pytest.param(a_fallback(FallbackTo.REFERENCE), 15, 15, (Reason.FALLBACK_REFERENCE,), id="reference-adds"),
        pytest.param(
            a_fallback(FallbackTo.REFERENCE), 4, 10, (Reason.FALLBACK_REFERENCE,), id="reference-never-removes"
        ),
        pytest.param(a_fallback(FallbackTo.REPLICAS, 30), 15, 30, (Reason.FALLBACK_REPLICAS,), id="fixed-count-adds"),
        pytest.param(a_fallback(FallbackTo.REPLICAS, 3), 15, 10, (Reason.FALLBACK_REPLICAS,), id="and-never-removes"),
    ],
)
@pytest.mark.parametrize("reading", [EMPTY, STALE, NAN])
def test_after_its_delay_the_fallback_acts_and_only_adds(guardrails, reference, size, reasons, reading):
    spec, state, policy = a_spec(guardrails=guardrails), a_state(), ScriptedPolicy(2, 2)
    state.memory["reference_replicas"] = reference
    decisions = [
        decide(an_observation(reading), spec, state, policy, now_s) for now_s in (15.0, 45.0, 74.9, 75.0, 300.0)
    ]
    first = decisions[0].reasons
    assert [chosen(decision) for decision in decisions] == [(10, first)] * 3 + [(size, first + reasons)] * 2


def test_a_reading_ends_the_fallback_and_the_next_gap_starts_anew():
    spec, state = a_spec(guardrails=a_fallback(FallbackTo.REPLICAS, 30)), a_state()
    reasons = [
        decide(an_observation(reading), spec, state, ScriptedPolicy(10, 10), now_s).reasons
        for reading, now_s in (
            (EMPTY, 15.0),
            (EMPTY, 75.0),
            (Value(700.0, covered=True), 90.0),
            (EMPTY, 105.0),
            (EMPTY, 164.0),
            (EMPTY, 165.0),
        )
    ]
    acted = (Reason.METRIC_EMPTY, Reason.FALLBACK_REPLICAS)
    waiting = (Reason.METRIC_EMPTY,)
    assert reasons == [waiting, acted, (Reason.WITHIN_BAND,), waiting, waiting, acted]


@pytest.mark.parametrize(
    ("current", "size", "reason"),
    [
        (99, 60, Reason.TOO_MANY_REPLICAS),
        (1, 2, Reason.TOO_FEW_REPLICAS),
    ],
)
def test_bounds_hold_without_a_reading_too(current, size, reason):
    assert chosen(decided(an_observation(STALE, current))) == (size, (Reason.METRIC_STALE, reason))


def test_a_workload_never_read_is_held_even_by_the_fallback():
    spec, state = a_spec(guardrails=a_fallback(FallbackTo.REFERENCE, after_s=0.0)), PolicyState()
    decision = decided(an_observation(EMPTY), spec, state)
    assert chosen(decision) == (10, (Reason.METRIC_EMPTY, Reason.HISTORY_SHORT, Reason.FALLBACK_REFERENCE))


BRIEF = Value(300.0, covered=True)


def after_a_fallback(behavior, unknown_s=210):
    """Sizes of five replicas that the fallback made 40, from the first reading on that says that five are enough."""
    spec = a_spec(guardrails=a_fallback(FallbackTo.REPLICAS, 40, after_s=180.0), behavior=behavior)
    decisions, state = driven([300.0] * 240, spec, REFERENCE, current=5)
    assert decisions[-1].final_replicas == 5
    gap = [Unknown(Reason.METRIC_ERROR)] * (unknown_s // 15)
    missing, state = driven(gap, spec, REFERENCE, state, 5, start_s=241 * 15.0)
    assert missing[-1].final_replicas == 40
    start_s = (241 + len(gap)) * 15.0
    found, _ = driven([BRIEF] * 60, spec, REFERENCE, state, 40, start_s=start_s)
    return [decision.final_replicas for decision in found]


@pytest.mark.parametrize("unknown_s", [195, 210, 600, 3600])
def test_replicas_of_the_fallback_stay_for_the_release_window_after_it(unknown_s):
    sizes = after_a_fallback(None, unknown_s)
    assert sizes[:19] == [40] * 19
    assert sizes[-1] == 5


def test_replicas_of_the_fallback_leave_as_behavior_allows():
    rules = ScalingRules(stabilization_s=300, policies=(PolicyRule("Pods", 10, 60),))
    sizes = after_a_fallback(Behavior(scale_down=rules))
    assert sizes[:19] == [40] * 19
    assert sorted(set(sizes), reverse=True) == [40, 30, 20, 10, 5]


def test_the_hold_after_an_addition_counts_from_it_and_not_from_the_gap_before():
    spec = a_spec(guardrails=a_fallback(FallbackTo.REPLICAS, 40, after_s=180.0))
    state = a_state()
    driven([Unknown(Reason.METRIC_ERROR)] * 20, spec, SNVT, state)
    decided(an_observation(BRIEF, 40), spec, state, SNVT, now_s=21 * 15.0)
    assert state.memory["since_add"] <= 8


# policies that cannot be trusted


@pytest.mark.parametrize("answer", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("strange", [(), ("level",) * 9])
def test_an_answer_that_is_no_number_gives_way_to_the_reference_rule(answer, strange):
    policy = ScriptedPolicy(50, 50, answers=(0.5, answer), strange=strange)
    decision = decided(policy=policy)
    assert decision.reasons == (Reason.POLICY_UNUSABLE, Reason.WITHIN_BAND)
    assert decision.final_replicas == decision.reference_replicas == 10
    assert decision.policy_name == "scripted"


@pytest.mark.parametrize("n_strange", [0, 1, 5])
def test_what_training_never_saw_is_left_to_the_newsvendor_rule(n_strange):
    strange = tuple(f"feature {index}" for index in range(n_strange))
    state, twin = a_state(), a_state()
    decision = decided(policy=ScriptedPolicy(19, 19, strange=strange), state=state)
    rule = decided(policy=SNVT, state=twin)
    assert decision.out_of_distribution == strange
    if n_strange:
        assert decision.reasons == (Reason.OUT_OF_DISTRIBUTION, *rule.reasons)
        assert decision.band == rule.band
    else:
        assert chosen(decision) == (19, (Reason.BELOW_BAND,))


def test_a_network_knows_what_its_training_saw():
    never = (0.9, 0.95)
    familiar = a_network_policy()
    assert decided(policy=familiar).out_of_distribution == ()
    strange = a_network_policy(starting=never, since_add=(0.0, 0.5), bad=never, history=never)
    decision = decided(policy=strange)
    assert decision.out_of_distribution == ("history", "starting", "since_add", "bad")
    assert Reason.OUT_OF_DISTRIBUTION in decision.reasons


# memory


def test_a_history_remembered_at_once_is_the_one_lived_through():
    demand = a_walk(700)
    decisions, lived = driven(demand, policy=ScriptedPolicy(10, 10))
    rebuilt = PolicyState()
    remember(rebuilt, a_spec(), demand, lived.remembered_until_s or 0.0, 10)
    assert same_memory(rebuilt.memory, lived.memory, but=("aim", "since_add"))
    assert rebuilt.remembered_until_s == lived.remembered_until_s == 700 * 15.0
    assert rebuilt.memory["reference_replicas"] == decisions[-1].reference_replicas


@pytest.mark.parametrize("interval_s", [60.0, 300.0])
def test_the_reference_remembers_history_at_the_interval_of_decisions(interval_s):
    steps = int(interval_s // STEP_S)
    demand = np.repeat(a_walk(60, spread=0.3), steps).tolist()
    spec = a_spec(interval_s=interval_s)
    decisions, _ = driven(demand[::steps], spec, ScriptedPolicy(10, 10), interval_s=interval_s)
    rebuilt = PolicyState()
    remember(rebuilt, spec, demand, 0.0, 10)
    assert rebuilt.memory["reference_replicas"] == decisions[-1].reference_replicas


def test_a_gap_in_the_history_reads_as_the_demand_before_it():
    gaps, filled = PolicyState(), PolicyState()
    remember(gaps, a_spec(), [math.nan, 500.0, math.nan, -1.0, math.inf, 1e300, 900.0, math.nan], 0.0, 10)
    remember(filled, a_spec(), [500.0, 500.0, 500.0, 500.0, 500.0, 900.0, 900.0], 0.0, 10)
    assert same_memory(gaps.memory, filled.memory)


def test_a_gap_in_the_history_is_zero_for_those_to_whom_an_empty_result_means_that():
    gaps, filled, spec = PolicyState(), PolicyState(), a_spec(empty_is=EmptyIs.ZERO)
    remember(gaps, spec, [math.nan, 500.0, math.nan, -1.0, 900.0, math.nan], 0.0, 10)
    remember(filled, spec, [500.0, 0.0, 0.0, 900.0, 0.0], 0.0, 10)
    assert same_memory(gaps.memory, filled.memory)


@pytest.mark.parametrize("history", [[], [math.nan] * 5])
def test_a_history_without_a_reading_is_no_history(history):
    state = PolicyState()
    remember(state, a_spec(), history, 0.0, 10)
    decided(state=state, now_s=5.0)
    assert state.memory["steps"] == 1
    assert state.memory["mean_24h"] == pytest.approx(math.log(7.3))


def test_a_restart_removes_nothing_by_itself():
    demand = a_walk(400, spread=0.15)
    for cut in range(100, 400, 20):
        decisions, _ = driven(demand[:cut])
        restarted = PolicyState()
        current = decisions[-1].final_replicas
        remember(restarted, a_spec(), demand[:cut], cut * STEP_S, current)
        decision = decide(an_observation(demand[cut], current), a_spec(), restarted, SNVT, (cut + 1) * STEP_S)
        assert decision.final_replicas >= current


@pytest.mark.parametrize(
    ("interval_s", "steps"),
    [
        (5.0, [1, 0, 0, 1, 0, 0]),
        (15.0, [1] * 6),
        (20.0, [1, 1, 1, 2, 1, 1]),
        (60.0, [1] + [4] * 5),
        (300.0, [1] + [20] * 5),
    ],
)
def test_memory_advances_on_its_own_grid(interval_s, steps):
    state, counts = PolicyState(), []
    for index in range(6):
        decided(state=state, spec=a_spec(interval_s=interval_s), now_s=1000.0 + index * interval_s)
        counts.append(state.memory["steps"])
    assert np.diff([0, *counts]).tolist() == steps


def test_between_two_steps_of_the_grid_the_newest_reading_counts():
    state = a_state()
    decision = decided(an_observation(1300.0, 12), state=state, policy=ScriptedPolicy(2, 2), now_s=5.0)
    assert state.memory["steps"] == 100
    assert chosen(decision) == (15, (Reason.ABOVE_BAND, Reason.FLOOR_UTILIZATION))


def test_late_decisions_do_not_shift_the_grid():
    state = PolicyState()
    for now_s in (0.0, 16.0, 31.0, 44.9, 60.0):
        decided(state=state, now_s=now_s)
    assert (state.memory["steps"], state.remembered_until_s) == (5, 60.0)


def test_a_long_gap_counts_as_the_length_of_the_recent_memory():
    state = a_state()
    decided(state=state, now_s=86_400.0)
    assert state.memory["steps"] == 100 + RECENT_STEPS
    assert state.remembered_until_s == 86_400.0


def test_a_clock_that_goes_back_counts_one_step_and_goes_on_from_there():
    state = a_state(until_s=5000.0)
    for now_s, steps in ((4000.0, 101), (4005.0, 101), (4015.0, 102), (4030.0, 103)):
        decided(state=state, now_s=now_s)
        assert state.memory["steps"] == steps


# changes of size: seen, not assumed


def test_an_addition_is_followed_by_a_hold_of_a_minute():
    demand = [700.0] * 3 + [1500.0] * 2 + [100.0] * 4
    decisions, state = driven(demand, state=a_state())
    assert max(decision.final_replicas for decision in decisions) == decisions[-1].final_replicas
    assert state.memory["since_add"] < 6


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.AUTO])
def test_a_decision_that_is_not_carried_out_spends_no_rate_limit(mode):
    behavior = Behavior(scale_up=ScalingRules(policies=(PolicyRule("Pods", 2, 300),)))
    spec, state = a_spec(mode=mode, behavior=behavior), a_state()
    sizes = [decided(spec=spec, state=state, now_s=15.0 * index).final_replicas for index in range(1, 8)]
    assert sizes == [12] * 7
    assert state.memory["since_add"] > 100


def test_a_decision_that_is_carried_out_spends_its_rate_limit():
    behavior = Behavior(scale_up=ScalingRules(policies=(PolicyRule("Pods", 2, 60),)))
    decisions, state = driven([700.0] * 6, a_spec(behavior=behavior), ScriptedPolicy(19, 19), a_state())
    assert [decision.final_replicas for decision in decisions] == [12, 12, 12, 12, 14, 14]
    assert decisions[1].reasons == (Reason.BELOW_BAND, Reason.SCALE_UP_LIMIT)
    assert [event.at_s for event in state.behavior.up_events] == [15.0, 75.0]


def test_replicas_that_someone_else_added_are_not_removed_at_once():
    state = a_state()
    decided(an_observation(current=10), state=state, policy=SNVT, now_s=15.0)
    sizes = [
        decided(an_observation(current=30), state=state, policy=SNVT, now_s=15.0 * index).action
        for index in range(2, 8)
    ]
    assert sizes[:3] == [Action.HOLD] * 3
    assert sizes[-1] is Action.REMOVE


# the whole


def a_mixed_tick(n_workloads):
    """Requests of every kind, with their own histories and specs."""
    readings = (700.0, Value(900.0, partial=True), EMPTY, 300.0, NAN, 2500.0)
    requests = []
    for index in range(n_workloads):
        spec = a_spec(paused=index % 11 == 10, mode=list(Mode)[index % 3], price=float(1 + index))
        observation = an_observation(readings[index % len(readings)], 5 + index % 17, bad_ratio=0.01 * (index % 4))
        requests.append(Request(observation, spec, a_state(a_walk(20 + index % 13, seed=index))))
    return requests


@pytest.mark.parametrize(
    "policy", [a_network_policy(), SNVT, RULES["quantile"], REFERENCE], ids=lambda policy: policy.name
)
def test_many_are_decided_as_one_by_one_and_asked_together(policy):
    together, alone = a_mixed_tick(60), a_mixed_tick(60)
    decisions = decide_all(together, policy, 15.0)
    assert decisions == [decide(one.observation, one.spec, one.state, policy, 15.0) for one in alone]
    assert len({decision.final_replicas for decision in decisions}) > 5
    scripted = ScriptedPolicy(8, 8)
    decide_all(a_mixed_tick(12), scripted, 15.0)
    assert scripted.asked == [6]


def test_no_workload_is_no_decision():
    assert decide_all([], SNVT, 0.0) == []


@pytest.mark.parametrize("policy", [a_network_policy(seed=3), SNVT], ids=lambda policy: policy.name)
def test_a_decision_can_be_replayed(policy):
    demand = a_walk(80, spread=0.2)
    behavior = Behavior(ScalingRules("Max", 30), ScalingRules("Max", 60))
    spec = a_spec(behavior=behavior)
    _, state = driven(demand, spec, policy)
    before = copy.deepcopy(state)
    first = decided(an_observation(1200.0, 9, 7, 0.02), spec, state, policy, 5000.0)
    second = decided(an_observation(1200.0, 9, 7, 0.02), spec, before, policy, 5000.0)
    assert first == second
    assert same_memory(state.memory, before.memory)
    assert state.behavior == before.behavior


readings = st.one_of(
    st.floats(0.0, 5000.0),
    st.sampled_from([EMPTY, STALE, NAN, NEGATIVE]),
    st.floats(0.0, 5000.0).map(lambda value: Value(value, partial=True)),
)
rules = st.builds(ScalingRules, st.sampled_from(["Max", "Min", "Disabled"]), st.sampled_from([None, 0, 60]))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(readings, st.floats(0.0, 1.0), st.sampled_from([0.0, 5.0, 15.0, 47.0, 400.0])), max_size=25),
    st.none() | st.builds(Behavior, rules, rules),
    st.sampled_from(list(Mode)),
    st.sampled_from([0, 0, 0, 1]),
    st.integers(0, 3),
)
def test_reasons_come_from_the_closed_set_each_once_and_in_its_order(looks, behavior, mode, paused, seed):
    order = list(Reason)
    spec, state, policy = (
        a_spec(mode=mode, behavior=behavior, paused=bool(paused)),
        PolicyState(),
        a_network_policy((8,), seed),
    )
    current, now_s = 10, 0.0
    for reading, ready_ratio, wait_s in looks:
        now_s += wait_s
        decision = decide(an_observation(reading, current, int(current * ready_ratio)), spec, state, policy, now_s)
        assert all(type(reason) is Reason for reason in decision.reasons)
        places = [order.index(reason) for reason in decision.reasons]
        assert places == sorted(set(places))
        assert places
        current = decision.final_replicas


@pytest.mark.parametrize("reading", [Value(5000.0), Unknown(Reason.METRIC_ERROR)])
def test_what_somebody_switched_off_stays_off(reading):
    decision = decided(an_observation(reading, current=0, ready=0))
    assert decision.final_replicas == 0
    assert decision.reasons[-1] is Reason.SCALED_TO_ZERO
