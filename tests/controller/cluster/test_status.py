import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.cluster.conditions import MESSAGE_CHARACTERS, TYPES, Facts
from controller.cluster.status import (
    FIELDS,
    OPTIONAL,
    SPACING_S,
    Change,
    Past,
    invalid_status,
    is_material,
    past_of,
    patch_of,
    status_of,
)
from controller.crd.resource import parse_policy
from controller.crd.status import fitting
from controller.crd.status import status as schema
from controller.ports import Refused, Scale, Target
from controller.reconcile import Outcome
from scaling.decision import Band, Decision, Reason
from scaling.observation import Observation, Unknown, Value
from scaling.spec import Mode
from tests.controller.crd.structural import refusals
from tests.controller.crd.test_resource import a_body
from tests.controller.crd.test_schema import ON_A_CLUSTER

NOW_S = 1_800_000_000.0
NOW, A_MINUTE_LATER = "2027-01-15T08:00:00Z", "2027-01-15T08:01:00Z"
SCHEMA = schema()
NOTHING: dict[str, Any] = {}
"""What the watch tells of a policy without a status; the same object for as long as it tells nothing else."""

KNOWN = Value(312.7)
EMPTY = Unknown(Reason.METRIC_EMPTY, "the query answered no series")


def a_target(mode=Mode.AUTO, **changes):
    target = Target(parse_policy(a_body({"spec/mode": mode.value, **changes}, a_body(ON_A_CLUSTER))))
    target.resource = replace(target.resource, namespace="shop")
    return target


def an_outcome(current=4, final=4, reasons=(Reason.WITHIN_BAND,), reading=KNOWN, target=None, **fields):
    """What a tick came to; `proposed`, `holds` and `message` go where they belong, other fields into the outcome."""
    demand = reading.value if isinstance(reading, Value) else None
    holds, message = fields.pop("holds", ()), fields.pop("message", "")
    decision = Decision(
        time_s=NOW_S,
        demand=demand,
        current_replicas=current,
        reference_replicas=5,
        band=None if demand is None else Band(4, 6),
        proposed_replicas=fields.pop("proposed", final),
        final_replicas=final,
        reasons=reasons,
        policy_name="default",
    )
    observation = Observation(reading, current, current, None, holds)
    competitor = Refused("HorizontalPodAutoscaler", message) if message else None
    scale = Scale(current, current, holds, competitor)
    outcome = Outcome(target or a_target(), scale, reading, observation, decision)
    return replace(outcome, **{"acted": outcome.acts, **fields})


def without_scale(reason="TargetNotFound", message="Deployment web is not there"):
    return Outcome(a_target(), Refused(reason, message), Value(1.0))


def facts(before=NOTHING, later_s=0.0, **changes):
    return Facts("shop", "web", "uid-1", 3, NOW_S + later_s, before, **changes)


def condition(status, type_):
    (found,) = [each for each in status["conditions"] if each["type"] == type_]
    return found


def said(status):
    """Each condition's status and reason."""
    return {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}


CALM = status_of(an_outcome(), facts())
ADD = an_outcome(4, 6, (Reason.BELOW_BAND,))
SHADOWED = an_outcome(4, 6, (Reason.BELOW_BAND,), target=a_target(Mode.SHADOW))
REFUSED = Refused("FailedUpdateScale", "403 Forbidden")


# What a status says


def test_a_change_is_told_with_what_it_takes_to_explain_it():
    status = status_of(replace(ADD, target=a_target()), facts(policy_sha256="a" * 64))
    assert {name: status[name] for name in ("observedGeneration", "lastScaleTime", "lastDecision", "queries")} == {
        "observedGeneration": 3,
        "lastScaleTime": NOW,
        "lastDecision": {
            "time": NOW,
            "action": "Add",
            "currentReplicas": 4,
            "proposedReplicas": 6,
            "finalReplicas": 6,
            "reasons": ["BelowBand"],
            "band": {"lo": 4, "hi": 6},
            "demand": "312.7",
            "policy": {"name": "default", "sha256": "a" * 64},
        },
        "queries": {"demand": "sum(rate(requests_total[1m]))"},
    }


@pytest.mark.parametrize(
    ("outcome", "current", "desired"),
    [
        pytest.param(an_outcome(4, 4), 4, 4, id="a-hold"),
        pytest.param(ADD, 6, 6, id="carried-out"),
        pytest.param(replace(ADD, write=REFUSED), 4, 6, id="refused"),
        pytest.param(SHADOWED, 4, 6, id="shadow"),
        pytest.param(replace(an_outcome(), decision=None, failure="ValueError: no"), 4, None, id="no-decision"),
        pytest.param(without_scale(), None, None, id="no-target"),
    ],
)
def test_current_and_desired_part_where_a_decision_is_not_carried_out(outcome, current, desired):
    status = status_of(outcome, facts())
    assert (status.get("currentReplicas"), status.get("desiredReplicas")) == (current, desired)
    assert ("lastScaleTime" in status) is outcome.changed


SERVED = {
    "Ready": ("True", "Served"),
    "AbleToScale": ("True", "ReadyForNewScale"),
    "ScalingActive": ("True", "ValidMetricFound"),
    "ScalingLimited": ("False", "DesiredWithinRange"),
    "Fallback": ("False", "NotNeeded"),
    "Conflict": ("False", "NobodyElse"),
    "PolicyHealthy": ("True", "PolicyAnswered"),
}
UNKNOWN = ("Unknown", "NotYetKnown")
NO_METRIC = {
    "ScalingActive": ("False", "FailedGetExternalMetric"),
    "ScalingLimited": UNKNOWN,
    "PolicyHealthy": UNKNOWN,
}


def fallen_back(**fallback):
    target = a_target(**{"spec/guardrails": {"fallback": {"after": "180s", **fallback}}})
    target.state.unknown_since_s = NOW_S - 200
    return target


@pytest.mark.parametrize(
    ("outcome", "differs", "message"),
    [
        pytest.param(an_outcome(), {}, "decided every 15 s", id="calm"),
        pytest.param(
            SHADOWED,
            {},
            "decided every 15 s; Shadow: nothing is written",
            id="shadow",
        ),
        pytest.param(ADD, {"AbleToScale": ("True", "SucceededRescale")}, "changed from 4 to 6 replicas", id="changed"),
        pytest.param(
            replace(ADD, write=REFUSED), {"AbleToScale": ("False", "FailedUpdateScale")}, "403 Forbidden", id="refused"
        ),
        pytest.param(
            an_outcome(4, 60, (Reason.BELOW_BAND, Reason.SCALE_UP_LIMIT, Reason.TOO_MANY_REPLICAS), proposed=70),
            {"ScalingLimited": ("True", "TooManyReplicas"), "AbleToScale": ("True", "SucceededRescale")},
            "70 replicas were proposed, 60 is the most",
            id="at-the-maximum",
        ),
        pytest.param(
            an_outcome(1, 1, (Reason.ABOVE_BAND, Reason.TOO_FEW_REPLICAS), proposed=0),
            {"ScalingLimited": ("True", "TooFewReplicas")},
            "0 replicas were proposed, 1 is the fewest",
            id="at-the-minimum",
        ),
        pytest.param(
            an_outcome(0, 0, (Reason.WITHIN_BAND, Reason.SCALED_TO_ZERO)),
            {"ScalingActive": ("False", "ScalingDisabled")},
            "the target has 0 replicas; whoever did that can undo it",
            id="switched-off",
        ),
        pytest.param(
            an_outcome(reading=EMPTY, reasons=(Reason.METRIC_EMPTY,)),
            NO_METRIC,
            "MetricEmpty: the query answered no series",
            id="no-metric",
        ),
        pytest.param(
            an_outcome(reading=EMPTY, reasons=(Reason.METRIC_EMPTY, Reason.FALLBACK_REFERENCE), target=fallen_back()),
            {**NO_METRIC, "Fallback": ("True", "FallbackReference")},
            "the load has not been known for 180 s; the reference HPA's size acts, without removing",
            id="fallback-reference",
        ),
        pytest.param(
            an_outcome(reading=EMPTY, reasons=(Reason.METRIC_EMPTY,), target=fallen_back(to="Hold")),
            {**NO_METRIC, "Fallback": ("True", "FallbackHold")},
            "the load has not been known for 180 s; 4 replicas are held",
            id="fallback-hold",
        ),
        pytest.param(
            an_outcome(reading=EMPTY, reasons=(Reason.METRIC_EMPTY, Reason.PAUSED), target=fallen_back(to="Hold")),
            NO_METRIC,
            "",
            id="paused-and-so-without-fallback",
        ),
        pytest.param(
            an_outcome(holds=(Reason.CONFLICT,), message="HorizontalPodAutoscaler web scales it"),
            {"Conflict": ("True", "HorizontalPodAutoscaler")},
            "HorizontalPodAutoscaler web scales it",
            id="conflict",
        ),
        pytest.param(
            replace(an_outcome(), scale=Scale(4, 4, waiting=Refused("TargetShared", "ScalingPolicy b waits"))),
            {"Conflict": ("False", "TargetShared")},
            "ScalingPolicy b waits",
            id="another-policy-waits",
        ),
        pytest.param(
            an_outcome(reasons=(Reason.POLICY_UNUSABLE, Reason.WITHIN_BAND)),
            {"PolicyHealthy": ("False", "PolicyUnusable")},
            "the network answered no number; the HPA's rule stood in",
            id="network-answers-nan",
        ),
        pytest.param(
            without_scale(),
            dict.fromkeys(TYPES, UNKNOWN)
            | {"Ready": ("False", "TargetNotFound"), "AbleToScale": ("False", "TargetNotFound")},
            "Deployment web is not there",
            id="no-target",
        ),
        pytest.param(
            replace(an_outcome(), decision=None, failure="ValueError: no"),
            dict.fromkeys(TYPES, UNKNOWN)
            | {"Ready": ("False", "DecisionFailed"), "AbleToScale": ("True", "ReadyForNewScale")}
            | {"Conflict": ("False", "NobodyElse")},
            "ValueError: no",
            id="no-decision",
        ),
    ],
)
def test_each_outcome_names_its_cause_in_the_conditions(outcome, differs, message):
    status = status_of(outcome, facts())
    assert said(status) == SERVED | differs
    assert message in [each["message"] for each in status["conditions"]]
    assert [each["type"] for each in status["conditions"]] == list(TYPES)


def test_a_policy_that_could_not_be_loaded_is_named():
    status = status_of(an_outcome(), facts(policy_problem="policy web-v2: the hash is another one"))
    assert said(status)["PolicyHealthy"] == ("False", "PolicyNotLoaded")


def test_an_invalid_resource_is_not_ready_and_nothing_is_said_to_be_served():
    status = invalid_status("spec.maxReplicas: 0 is outside 1..150000", facts(status_of(ADD, facts()), later_s=60))
    ready = condition(status, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "InvalidSpec")
    assert ready["message"] == "spec.maxReplicas: 0 is outside 1..150000"
    assert set(status) == {"observedGeneration", "lastScaleTime", "lastScale", "conditions"}
    assert status["lastScaleTime"] == NOW


def test_a_message_is_one_line_of_bounded_length():
    (message,) = {each["message"] for each in invalid_status("a\nb\x1b[31m" + "c" * 9999, facts())["conditions"][:1]}
    assert message.startswith("a b [31mccc")
    assert len(message) == MESSAGE_CHARACTERS


# What changes with time


def test_a_transition_time_moves_with_the_status_alone():
    first = status_of(an_outcome(), facts())
    lost = status_of(an_outcome(reading=EMPTY, reasons=(Reason.METRIC_EMPTY,)), facts(first, later_s=60))
    assert condition(lost, "ScalingActive")["lastTransitionTime"] == A_MINUTE_LATER
    assert condition(lost, "Ready")["lastTransitionTime"] == NOW

    disabled = status_of(an_outcome(0, 0, (Reason.SCALED_TO_ZERO,)), facts(lost, later_s=120))
    assert condition(disabled, "ScalingActive")["reason"] == "ScalingDisabled"
    assert condition(disabled, "ScalingActive")["lastTransitionTime"] == A_MINUTE_LATER


def test_what_an_outcome_says_nothing_about_stays_as_it_was():
    lost = status_of(without_scale(), replace(facts(CALM, later_s=60), generation=4))
    assert condition(lost, "ScalingActive") == condition(CALM, "ScalingActive")
    assert condition(lost, "ScalingActive")["observedGeneration"] == 3
    assert condition(lost, "Ready")["observedGeneration"] == 4


def test_the_last_change_is_remembered_while_replicas_hold():
    held = status_of(an_outcome(6, 6), facts(status_of(ADD, facts()), later_s=60))
    assert held["lastScaleTime"] == NOW
    assert condition(held, "AbleToScale")["message"] == "changed from 4 to 6 replicas"


# What is worth a write

AT_MAX = an_outcome(60, 60, (Reason.BELOW_BAND, Reason.TOO_MANY_REPLICAS), proposed=70)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(an_outcome(), an_outcome(reading=Value(999.0)), id="load-moves"),
        pytest.param(an_outcome(), an_outcome(reasons=(Reason.ABOVE_BAND, Reason.SCALE_DOWN_STABILIZED)), id="reason"),
        pytest.param(ADD, an_outcome(6, 6), id="hold-after-a-change"),
        pytest.param(AT_MAX, an_outcome(60, 60), id="a-wish-moves-around-the-maximum"),
        pytest.param(an_outcome(), replace(an_outcome(), reading=Value(1.0, partial=True)), id="partial"),
    ],
)
def test_a_hold_with_moving_demand_is_not_worth_a_write(before, after):
    first = status_of(before, facts())
    assert is_material({}, first)
    for later_s in (15, 3600):
        assert not is_material(first, status_of(after, facts(first, later_s=later_s)))


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        pytest.param(an_outcome(), ADD, {}, id="change"),
        pytest.param(ADD, ADD, {}, id="the-same-change-again"),
        pytest.param(an_outcome(), replace(ADD, write=REFUSED), {}, id="refused"),
        pytest.param(an_outcome(), an_outcome(), {"generation": 4}, id="edited"),
        pytest.param(an_outcome(), an_outcome(holds=(Reason.CONFLICT,)), {}, id="conflict"),
        pytest.param(an_outcome(), an_outcome(reasons=(Reason.FROZEN,)), {}, id="frozen"),
        pytest.param(
            an_outcome(reading=EMPTY, reasons=(Reason.METRIC_EMPTY,)),
            an_outcome(reading=Unknown(Reason.METRIC_ERROR, "503"), reasons=(Reason.METRIC_ERROR,)),
            {},
            id="another-cause",
        ),
        pytest.param(AT_MAX, an_outcome(60, 40, (Reason.ABOVE_BAND,)), {}, id="off-the-maximum"),
        pytest.param(an_outcome(), an_outcome(target=a_target(**{"spec/demand/query": "up"})), {}, id="another-query"),
    ],
)
def test_what_a_person_would_want_to_know_is_written_at_once(before, after, changes):
    first = status_of(before, facts())
    assert is_material(first, status_of(after, replace(facts(first, later_s=15), **changes)))


def test_what_a_shadow_would_do_is_told_once_a_minute():
    def wish(final):
        return an_outcome(4, final, (Reason.BELOW_BAND,), target=a_target(Mode.SHADOW))

    first = status_of(wish(6), facts())
    assert not is_material(first, status_of(wish(7), facts(first, later_s=SPACING_S - 1)))
    assert is_material(first, status_of(wish(7), facts(first, later_s=SPACING_S)))
    assert is_material(first, status_of(wish(7), facts(first, later_s=-3600)))


def lost(words):
    return an_outcome(reading=Unknown(Reason.METRIC_ERROR, words), reasons=(Reason.METRIC_ERROR,))


def shared(competitor):
    message = f"HorizontalPodAutoscaler {competitor} scales Deployment web too"
    return an_outcome(holds=(Reason.CONFLICT,), reasons=(Reason.CONFLICT,), message=message)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(lost("no answer within 4 s"), lost("401 Unauthorized"), id="another-error"),
        pytest.param(shared("old"), shared("new"), id="another-competitor"),
    ],
)
def test_another_cause_of_the_same_trouble_is_told_within_a_minute(before, after):
    first = status_of(before, facts())
    assert not is_material(first, status_of(after, facts(first, later_s=SPACING_S - 1)))
    assert is_material(first, status_of(after, facts(first, later_s=SPACING_S)))


def test_another_cause_is_told_at_once_where_nothing_is_decided():
    first = status_of(without_scale(message="there is no Deployment web"), facts())
    assert is_material(first, status_of(without_scale(message="there is no kind Deployment"), facts(first)))


def test_a_number_that_moves_is_no_other_cause():
    first = status_of(lost("the newest sample is 75 s old"), facts())
    assert not is_material(first, status_of(lost("the newest sample is 3600 s old"), facts(first, later_s=3600)))


# What is read back


def test_what_a_dry_run_would_have_done_is_called_so_and_forgotten_by_who_acts():
    dry = status_of(ADD, facts(dry_run=True))
    assert list(refusals(dry, SCHEMA)) == []
    ready, able = condition(dry, "Ready"), condition(dry, "AbleToScale")
    assert (ready["status"], ready["reason"]) == ("True", "DryRun")
    assert "would have changed from 4 to 6" in able["message"]
    assert past_of(dry, 3, NOW_S + 1) == Past()
    acting = status_of(an_outcome(), facts(dry, later_s=15))
    assert condition(acting, "Ready")["reason"] == "Served"
    assert condition(acting, "AbleToScale")["reason"] == "ReadyForNewScale"
    assert "lastScaleTime" not in acting
    assert is_material(dry, acting)


def test_a_restart_reads_back_when_and_how_it_last_acted():
    changed = status_of(ADD, facts())
    assert past_of(changed, 3, NOW_S + 1) == Past((Change(NOW_S, 2),), 6)
    holding = status_of(an_outcome(6, 6), facts(changed, later_s=15))
    limited = status_of(an_outcome(6, 6, (Reason.BELOW_BAND, Reason.SCALE_UP_LIMIT)), facts(holding, later_s=30))
    invalid = invalid_status("spec.minReplicas: 9 is above 8", facts(limited, later_s=45))
    pasts = [past_of(each, 3, NOW_S + 60) for each in (holding, limited, invalid)]
    assert [past.changes for past in pasts] == [(Change(NOW_S, 2),)] * 3
    assert [past.size for past in pasts] == [6, 6, None]


SIZES = {"fromReplicas": 4, "toReplicas": 6}


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(None, id="absent"),
        pytest.param("x", id="text"),
        pytest.param({"lastScaleTime": "yesterday", "lastScale": []}, id="malformed"),
        pytest.param({"lastScaleTime": "2027-01-15T09:00:00Z", "lastScale": SIZES}, id="in-the-future"),
        pytest.param({"lastScaleTime": "2027-01-15T07:00:00", "lastScale": SIZES}, id="without-a-zone"),
        pytest.param({"lastScaleTime": NOW, "lastScale": {**SIZES, "toReplicas": "6"}}, id="no-number"),
    ],
)
def test_what_cannot_have_happened_is_not_read_back(status):
    assert past_of(status, 3, NOW_S) == Past()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PLACES: list[tuple[Any, ...]] = [(name,) for name in (*FIELDS, *OPTIONAL)] + [
    (name, inner) for name in OPTIONAL for inner in OPTIONAL[name]
]
PLACES += [("conditions", 0), *(("conditions", 0, part) for part in ("type", "status", "reason", "lastTransitionTime"))]


@given(place=st.sampled_from(PLACES), forged=JSON, tail=st.sampled_from([an_outcome(), ADD, without_scale()]))
@settings(max_examples=150, deadline=None)
def test_a_forged_status_counts_as_absent_where_it_does_not_fit(place, forged, tail):
    body = copy.deepcopy(status_of(ADD, facts()))
    inner = body
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = forged

    before = fitting(body)
    assert list(refusals(before, SCHEMA)) == []
    after = status_of(tail, facts(before, later_s=60))
    assert list(refusals(after, SCHEMA)) == []
    assert isinstance(is_material(before, after), bool)


def test_a_status_of_a_megabyte_is_cut_down_before_it_is_read():
    big = {"conditions": [condition(CALM, "Ready")] * 100_000, "queries": {"demand": "x" * 1_000_000}, "other": "y"}
    assert fitting(big) == {"conditions": [condition(CALM, "Ready")] * 16, "queries": {}}


# What is sent


def merged(target, patch):
    """RFC 7386, appendix A, in Python."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        result.pop(name, None) if value is None else result.update({name: merged(result.get(name), value)})
    return result


FULL = status_of(
    replace(ADD, decision=replace(ADD.decision, out_of_distribution=("demand_rps",))), facts(policy_sha256="a" * 64)
)


@pytest.mark.parametrize(
    "status",
    [
        FULL,
        CALM,
        status_of(an_outcome(reading=EMPTY, reasons=(Reason.METRIC_EMPTY,)), facts()),
        status_of(without_scale(), facts()),
        invalid_status("spec: no", facts()),
    ],
    ids=["full", "calm", "no-metric", "no-target", "invalid"],
)
def test_a_patch_leaves_exactly_the_new_status_whatever_stood_there(status):
    for before in (FULL, CALM, {}, {"lastDecision": {"band": {"lo": 1, "hi": 2}}}):
        assert merged(before, json.loads(json.dumps(patch_of(status)))) == status


def test_a_patch_removes_each_field_that_the_schema_knows():
    fields = SCHEMA["properties"]
    assert set(FIELDS) | set(OPTIONAL) == set(fields)
    whole = {"time", "action"}  # always there
    assert {name: set(inner) for name, inner in OPTIONAL.items()} == {
        name: set(fields[name]["properties"]) - whole for name in OPTIONAL
    }
