from dataclasses import replace

import pytest

from controller.cluster.events import (
    BURST,
    MOST_NAMESPACES,
    NAMESPACE_BURST,
    OVERALL_BURST,
    REFILL_S,
    EventLimits,
    Said,
    event_body,
    events_of,
)
from controller.cluster.status import invalid_status, status_of
from controller.ports import Refused, Scale
from scaling.decision import Reason
from tests.controller.cluster.test_status import (
    ADD,
    CALM,
    EMPTY,
    NOW,
    REFUSED,
    an_outcome,
    facts,
    fallen_back,
    without_scale,
)

BLIND = an_outcome(reading=EMPTY, reasons=(Reason.METRIC_EMPTY,))
FALLEN = an_outcome(reading=EMPTY, reasons=(Reason.METRIC_EMPTY, Reason.FALLBACK_REFERENCE), target=fallen_back())
COMPETITOR = an_outcome(holds=(Reason.CONFLICT,), message="HorizontalPodAutoscaler web scales it")
SHARED = replace(
    an_outcome(), scale=Scale(4, 4, waiting=Refused("TargetShared", "ScalingPolicy b would scale Deployment web too"))
)
NAN = an_outcome(reasons=(Reason.POLICY_UNUSABLE, Reason.WITHIN_BAND))
OFF = an_outcome(0, 0, (Reason.SCALED_TO_ZERO,))


def told(before, outcome):
    """The reasons and types of the events between two outcomes; None: nothing was known before."""
    first = {} if before is None else status_of(before, facts())
    said = events_of(first, status_of(outcome, facts(first, later_s=15)), outcome)
    return [(each.reason, each.type) for each in said]


@pytest.mark.parametrize(
    ("before", "after", "events"),
    [
        pytest.param(None, an_outcome(), [], id="a-new-policy-is-no-news"),
        pytest.param(an_outcome(), an_outcome(), [], id="nor-is-a-hold"),
        pytest.param(an_outcome(), ADD, [("Scaled", "Normal")], id="scaled"),
        pytest.param(an_outcome(), replace(ADD, write=REFUSED), [("FailedUpdateScale", "Warning")], id="refused"),
        pytest.param(None, BLIND, [("HeldOnMissingMetrics", "Warning")], id="blind-from-the-start"),
        pytest.param(BLIND, BLIND, [], id="still-blind"),
        pytest.param(BLIND, FALLEN, [("FallbackEntered", "Warning")], id="fallback"),
        pytest.param(FALLEN, an_outcome(), [("FallbackLeft", "Normal")], id="fallback-over"),
        pytest.param(an_outcome(), COMPETITOR, [("Conflict", "Warning")], id="conflict"),
        pytest.param(COMPETITOR, an_outcome(), [("ConflictEnded", "Normal")], id="conflict-over"),
        pytest.param(an_outcome(), SHARED, [("TargetShared", "Warning")], id="another-policy-waits"),
        pytest.param(SHARED, SHARED, [], id="it-still-waits"),
        pytest.param(SHARED, an_outcome(), [], id="it-waits-no-more"),
        pytest.param(COMPETITOR, SHARED, [("TargetShared", "Warning")], id="the-older-is-free-and-the-newer-waits"),
        pytest.param(an_outcome(), without_scale(), [("TargetNotFound", "Warning")], id="target-gone"),
        pytest.param(
            without_scale(), without_scale("FailedGetScale"), [("FailedGetScale", "Warning")], id="another-cause"
        ),
        pytest.param(without_scale(), an_outcome(), [], id="target-back"),
        pytest.param(an_outcome(), NAN, [("PolicyUnusable", "Warning")], id="network-answers-nan"),
        pytest.param(an_outcome(), OFF, [], id="switched-off-by-somebody"),
    ],
)
def test_an_event_tells_of_a_change_and_never_of_what_goes_on(before, after, events):
    assert told(before, after) == events


def test_a_change_of_a_dry_run_is_called_what_it_is():
    status = status_of(ADD, facts(dry_run=True))
    assert [each.reason for each in events_of({}, status, ADD)] == ["WouldScale"]


def test_a_change_of_size_is_told_with_its_numbers():
    (said,) = events_of(CALM, status_of(ADD, facts(CALM)), ADD)
    assert said.message == "from 4 to 6 replicas for a load of 312.7: BelowBand"


def test_each_refused_edit_of_a_resource_is_told_once():
    first = invalid_status("spec.maxReplicas: 0 is outside 1..150000", facts(CALM))
    assert events_of(CALM, first, None) == [
        Said("PolicyRejected", "Warning", "spec.maxReplicas: 0 is outside 1..150000")
    ]
    assert events_of(first, invalid_status("spec.maxReplicas: 0 is outside 1..150000", facts(first)), None) == []
    (second,) = events_of(first, invalid_status("spec.mode: no", facts(first)), None)
    assert second.message == "spec.mode: no"


def test_what_repeats_itself_is_sent_once_in_five_minutes_and_changes_of_size_more_often():
    limits = EventLimits()
    assert [limits.allow("shop", "a", "Conflict", later_s) for later_s in (0, 15, 299, 300, 310)] == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert limits.allow("shop", "a", "TargetNotFound", 15)
    assert limits.allow("shop", "b", "Conflict", 15)
    assert [limits.allow("shop", "a", "Scaled", 15) for _ in range(BURST + 1)] == [True] * BURST + [False]
    assert limits.allow("shop", "a", "Scaled", 15 + REFILL_S)


def test_a_thousand_policies_that_go_blind_at_once_do_not_flood_the_cluster():
    limits = EventLimits()
    assert sum(limits.allow("shop", str(policy), "HeldOnMissingMetrics", 0.0) for policy in range(1000)) == (
        NAMESPACE_BURST + OVERALL_BURST
    )


def test_one_namespace_that_spams_does_not_silence_another():
    limits = EventLimits()
    for policy in range(1000):
        limits.allow("evil", f"evil-{policy}", "Conflict", 0.0)
    assert not limits.allow("evil", "evil-1000", "Conflict", 0.0)
    said = [limits.allow("good", f"good-{policy}", "Conflict", 0.0) for policy in range(NAMESPACE_BURST)]
    assert said == [True] * NAMESPACE_BURST


def test_budgets_of_namespaces_that_are_full_again_are_forgotten():
    limits = EventLimits()
    for number in range(5 * MOST_NAMESPACES):
        limits.allow(f"shop-{number}", str(number), "Conflict", 10.0 * number)
    assert len(limits.of_namespace) <= MOST_NAMESPACES


def test_nothing_is_remembered_of_policies_that_are_gone():
    limits = EventLimits()
    limits.allow("shop", "a", "Conflict", 0.0)
    limits.forget("a")
    limits.forget("never seen")
    assert limits.of_policy == {}


def test_an_event_names_its_policy_and_its_source():
    body = event_body(Said("Scaled", "Normal", "from 4 to 6 replicas"), facts(), "forescale-0")
    assert body["metadata"]["namespace"] == "shop"
    assert body["involvedObject"] == {
        "apiVersion": "forescale.dev/v1alpha1",
        "kind": "ScalingPolicy",
        "namespace": "shop",
        "name": "web",
        "uid": "uid-1",
    }
    assert (body["reportingComponent"], body["reportingInstance"]) == ("forescale", "forescale-0")
    assert (body["firstTimestamp"], body["lastTimestamp"]) == (NOW, NOW)


@pytest.mark.parametrize("name", ["web", "w" * 253])
def test_an_event_has_a_name_of_its_own_that_fits(name):
    names = {event_body(Said("x", "Normal", ""), replace(facts(), name=name), "")["metadata"]["name"] for _ in range(9)}
    assert len(names) == 9
    assert max(map(len, names)) <= 253
