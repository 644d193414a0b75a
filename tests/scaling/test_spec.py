import dataclasses
import math

import pytest

from scaling.errors import InputError
from scaling.hpa_settings import Behavior
from scaling.spec import (
    FALLBACK_LIMITS,
    GUARDRAIL_LIMITS,
    MOST_REPLICAS,
    POLICY_NAMES,
    PRICE_BY_PRESET,
    SPEC_LIMITS,
    EmptyIs,
    Fallback,
    FallbackTo,
    Guardrails,
    Mode,
    ScalingSpec,
)


def a_spec(**changes):
    return ScalingSpec(**{"max_replicas": 60, "target_per_replica": 70.0} | changes)


def refusal(build, **fields):
    with pytest.raises(InputError) as caught:
        build(**fields)
    message = str(caught.value)
    assert message.isprintable()
    return message


def test_the_defaults_are_pinned():
    assert dataclasses.asdict(a_spec()) == {
        "max_replicas": 60,
        "target_per_replica": 70.0,
        "min_replicas": 1,
        "mode": "Auto",
        "paused": False,
        "interval_s": 15.0,
        "capacity_per_replica": None,
        "empty_is": "Unknown",
        "startup_s": None,
        "objective_s": 0.25,
        "price": 30.0,
        "action_price": 3.0,
        "policy_name": "auto",
        "behavior": None,
        "guardrails": {
            "floor_utilization_ratio": 0.9,
            "ceiling_ratio": 2.0,
            "stale_after_s": 120.0,
            "fallback": {"after_s": 180.0, "to": "Reference", "replicas": None},
            "min_ready_ratio": 0.5,
        },
    }


def test_the_closed_sets_are_pinned():
    assert list(Mode) == ["Shadow", "UpOnly", "Auto"]
    assert list(EmptyIs) == ["Unknown", "Zero"]
    assert list(FallbackTo) == ["Reference", "Hold", "Replicas"]
    assert PRICE_BY_PRESET == {"Cost": 10, "Balanced": 30, "Latency": 100}
    assert POLICY_NAMES == ("auto", "default", "snvt", "hpa", "quantile")


def test_equal_wishes_are_equal_values():
    assert a_spec(behavior=Behavior()) == a_spec(behavior=Behavior())
    assert hash(a_spec()) == hash(a_spec())


def test_a_capacity_that_is_not_stated_is_believed_from_the_target():
    assert a_spec(target_per_replica=70.0).stated_capacity == pytest.approx(100.0)
    assert a_spec(capacity_per_replica=85.0).stated_capacity == 85.0


LIMITS = [
    *((ScalingSpec, name, limit) for name, limit in SPEC_LIMITS.items()),
    *((Guardrails, name, limit) for name, limit in GUARDRAIL_LIMITS.items()),
    *((Fallback, name, limit) for name, limit in FALLBACK_LIMITS.items()),
]
LIMIT_IDS = [f"{kind.__name__}.{name}" for kind, name, _ in LIMITS]


def built_with(kind, name, value):
    if kind is ScalingSpec:
        return a_spec(**{"min_replicas": 1, "max_replicas": MOST_REPLICAS} | {name: value})
    return kind(**{"to": FallbackTo.REPLICAS} if name == "replicas" else {}, **{name: value})


def test_every_number_has_a_limit():
    for kind, limits in ((ScalingSpec, SPEC_LIMITS), (Guardrails, GUARDRAIL_LIMITS), (Fallback, FALLBACK_LIMITS)):
        numbers = {field.name for field in dataclasses.fields(kind) if {"int", "float"} & set(str(field.type).split())}
        numbers |= {field.name for field in dataclasses.fields(kind) if field.type in (int, float)}
        assert numbers | set(limits) == set(limits)


@pytest.mark.parametrize(("kind", "name", "limit"), LIMITS, ids=LIMIT_IDS)
def test_the_ends_of_every_range_are_allowed(kind, name, limit):
    for end in (limit.low, limit.high):
        built_with(kind, name, end if limit.whole else end / limit.factor)


@pytest.mark.parametrize(("kind", "name", "limit"), LIMITS, ids=LIMIT_IDS)
def test_beyond_the_ends_the_field_the_value_and_the_range_are_named(kind, name, limit):
    for beyond in (limit.low - 1, limit.high + 1, -(10**9), 10**12):
        message = refusal(built_with, kind=kind, name=name, value=beyond if limit.whole else beyond / limit.factor)
        assert message.startswith(f"{limit.path}: ")
        assert f" is outside {limit.low:.12g}..{limit.high:.12g}" in message


@pytest.mark.parametrize("value", [math.nan, math.inf, "15", True, [15], 10**400])
@pytest.mark.parametrize(("kind", "name", "limit"), LIMITS, ids=LIMIT_IDS)
def test_what_is_no_finite_number_is_refused_everywhere(kind, name, limit, value):
    assert refusal(built_with, kind=kind, name=name, value=value).startswith(f"{limit.path}: ")


@pytest.mark.parametrize("name", ["min_replicas", "max_replicas"])
@pytest.mark.parametrize("value", [0, -1, 1.5, 2.0, "3", True, None, 2**31, MOST_REPLICAS + 1])
def test_replica_bounds_are_whole_and_sane(name, value):
    assert refusal(a_spec, **{name: value}).startswith("spec.m")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"min_replicas": 61}, "spec.minReplicas: 61 is above spec.maxReplicas 60"),
        ({"mode": "Auto"}, 'spec.mode: "Auto" is not a Mode'),
        ({"paused": 1}, "spec.paused: 1 is not a bool"),
        ({"empty_is": "Zero"}, 'spec.demand.emptyIs: "Zero" is not a EmptyIs'),
        ({"policy_name": "../x\n"}, 'spec.policyRef.name: "../x\\n" is not auto or default or snvt or hpa or quantile'),
        ({"policy_name": None}, "spec.policyRef.name: null is not auto or default or snvt or hpa or quantile"),
        ({"behavior": {}}, "spec.behavior: an object is not a Behavior"),
        ({"guardrails": None}, "spec.guardrails: null is not a Guardrails"),
    ],
)
def test_nonsense_is_refused_in_one_line(fields, message):
    assert refusal(a_spec, **fields) == message


@pytest.mark.parametrize("replicas", [4, 61])
def test_a_fallback_outside_the_bounds_is_refused(replicas):
    guardrails = Guardrails(fallback=Fallback(to=FallbackTo.REPLICAS, replicas=replicas))
    message = refusal(a_spec, min_replicas=5, guardrails=guardrails)
    assert message == f"spec.guardrails.fallback.replicas: {replicas} is outside minReplicas..maxReplicas 5..60"


@pytest.mark.parametrize("fields", [{"to": FallbackTo.REPLICAS}, {"replicas": 3}])
def test_a_fixed_fallback_needs_its_count_and_no_other_takes_one(fields):
    assert refusal(Fallback, **fields).startswith("spec.guardrails.fallback.replicas: ")
