"""Pods that do not come: when a scale-up is given up on, and when it is not."""

import pytest

from scaling.decide import PolicyState, decide
from scaling.decision import Action, Reason
from scaling.observation import Observation, Value
from scaling.policy import RULES
from scaling.progress import NOTHING_DUE, is_stuck, note_ready
from tests.scaling.builders import ScriptedPolicy, a_network_policy, a_spec

STEP_S = 15.0


def stuck(looks, startup_s=None, in_rollout=False, step_s=STEP_S):
    """Whether pods are overdue after each look at (wanted, ready)."""
    progress, answers = NOTHING_DUE, []
    for index, (wanted, ready) in enumerate(looks):
        progress = note_ready(progress, wanted, ready, index * step_s, in_rollout)
        answers.append(is_stuck(progress, startup_s, index * step_s))
    return answers


@pytest.mark.parametrize(
    ("startup_s", "patience_s"), [(None, 120.0), (10.0, 120.0), (60.0, 120.0), (90.0, 180.0), (3600.0, 7200.0)]
)
def test_pods_are_overdue_after_twice_their_start_up_and_never_before_two_minutes(startup_s, patience_s):
    progress = note_ready(NOTHING_DUE, 10, 4, 100.0, in_rollout=False)
    assert not is_stuck(progress, startup_s, 100.0 + patience_s)
    assert is_stuck(progress, startup_s, 100.1 + patience_s)


@pytest.mark.parametrize(
    ("looks", "late"),
    [
        pytest.param([(10, 10)] * 40, False, id="all-ready"),
        pytest.param([(10, 12)] * 40, False, id="more-than-asked-for"),
        pytest.param([(10, 4)] * 40, True, id="none-comes"),
        pytest.param([(10, 0)] * 40, True, id="none-ever-came"),
        pytest.param([(0, 0)] * 40, False, id="nothing-asked-for"),
        pytest.param([(10 + k, 4) for k in range(40)], True, id="asking-for-more-is-no-progress"),
        pytest.param([(100, 4 + k // 8) for k in range(80)], False, id="one-in-two-minutes"),
        pytest.param([(100, 4 + k // 10) for k in range(80)], True, id="one-in-two-and-a-half"),
        pytest.param([(10, 4)] * 40 + [(10, 10)], False, id="then-they-came"),
        pytest.param([(10, 4)] * 40 + [(4, 4)], False, id="then-they-were-given-up"),
        pytest.param([(10, 4 + k % 2) for k in range(40)], True, id="the-same-one-again-and-again"),
        pytest.param([(10, 10)] + [(10, 9 - k // 8) for k in range(40)], True, id="one-after-the-other-fails"),
        pytest.param([(10, 4), (10, 9)] * 3 + [(10, 10)] + [(10, 4), (10, 5)], False, id="a-later-fall-begins-anew"),
    ],
)
def test_progress_is_more_ready_pods_than_before_or_all_of_them(looks, late):
    assert stuck(looks)[-1] is late


def test_in_a_rollout_every_rise_is_progress():
    """Old pods make way for new ones: the count goes up and down, and no more are ready in the end."""
    looks = [(10, 8 + k % 2) for k in range(200)]
    assert not any(stuck(looks, in_rollout=True))
    assert stuck([(10, 8)] * 40, in_rollout=True)[-1]


def rewarded(policy, ratio, spec, minutes):
    """Sizes and reasons under a demand of `ratio` times what the size asked for would serve; only ten pods ever do."""
    state, current, sizes, reasons = PolicyState(), 10, [], []
    for index in range(int(minutes * 60 / STEP_S)):
        demand = Value(70.0 * ratio * current)
        decision = decide(Observation(demand, current, 10), spec, state, policy, index * STEP_S)
        current = decision.final_replicas
        sizes.append(current)
        reasons.append(decision.reasons)
    return sizes, reasons


@pytest.mark.parametrize(
    "policy",
    [RULES["hpa"], RULES["snvt"], RULES["quantile"], a_network_policy(seed=1), ScriptedPolicy(10**6, 10**6)],
    ids=lambda policy: policy.name,
)
@pytest.mark.parametrize("ratio", [1.2, 2.0])
def test_a_metric_that_rewards_every_action_does_not_run_away(policy, ratio):
    """As in Karpenter's chaos test of a runaway scale-up: whatever is added fails, and the demand grows with it."""
    sizes, reasons = rewarded(policy, ratio, a_spec(max_replicas=150_000), minutes=60)
    first = next(index for index, size in enumerate(sizes) if size > 10)
    given_up = first + 9  # the pods are waited for from the next look on, and overdue 135 s after it
    assert set(sizes[given_up:]) == {sizes[given_up]}
    assert sizes[given_up] <= 10 * 2**10 < 150_000 / 10  # ten decisions, of which none more than doubles the size
    assert Reason.PODS_NOT_READY in reasons[-1]


def test_without_the_rule_the_same_metric_runs_to_the_maximum(monkeypatch):
    monkeypatch.setattr("scaling.decide.is_stuck", lambda *_: False)
    sizes, _ = rewarded(RULES["hpa"], 2.0, a_spec(max_replicas=150_000), minutes=60)
    assert sizes[-1] == 150_000


def test_a_slow_large_scale_up_is_never_capped():
    """A new pod a minute and a demand far ahead of it for four hours."""
    spec, state, current, ready = a_spec(max_replicas=400), PolicyState(), 10, 10
    for index in range(960):
        decision = decide(Observation(Value(20_000.0), current, ready), spec, state, RULES["hpa"], index * STEP_S)
        assert Reason.PODS_NOT_READY not in decision.reasons
        current = decision.final_replicas
        ready = min(current, 10 + index // 4)
    assert (current, ready) == (286, 249)


def test_what_is_stuck_may_still_be_reduced_and_is_free_again_when_the_pods_come():
    spec, state, adding = a_spec(), PolicyState(), ScriptedPolicy(12, 12)
    for index in range(10):
        held = decide(Observation(Value(700.0), 10, 6), spec, state, adding, index * STEP_S)
    assert (held.action, held.reasons[1:]) == (Action.HOLD, (Reason.BELOW_BAND, Reason.PODS_NOT_READY))
    fewer = decide(Observation(Value(700.0), 10, 6), spec, state, ScriptedPolicy(9, 9), 150.0)
    assert (fewer.final_replicas, fewer.reasons[1:]) == (9, (Reason.ABOVE_BAND,))
    again = decide(Observation(Value(700.0), 10, 7), spec, state, adding, 165.0)
    assert (again.final_replicas, again.reasons[1:]) == (12, (Reason.BELOW_BAND,))
