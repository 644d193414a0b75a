"""The parts of a case of `tests.hpa_cases`: from its JSON to the HPA's own values."""

from collections.abc import Mapping
from typing import Any

from scaling import hpa
from scaling.hpa_behavior import Bounds, Recommendation, ScaleEvent
from scaling.hpa_settings import EffectiveRules, effective_down, effective_up

Given = Mapping[str, Any]

NOW_S = 0.0
LONG_AGO_S = 1_000_000_000  # the format's age of Go's zero time

KINDS = {kind.value: kind for kind in hpa.MetricKind}


def spec_of(given: Given, metrics: tuple[hpa.Metric, ...]) -> hpa.HpaSpec:
    bounds, behavior = bounds_of(given), given.get("behavior")
    return hpa.HpaSpec(
        max_replicas=bounds.max_replicas,
        metrics=metrics,
        min_replicas=bounds.min_replicas,
        behavior=None
        if behavior is None
        else hpa.Behavior(rules_of(behavior.get("scale_up")), rules_of(behavior.get("scale_down"))),
    )


def settings_of(given: Given) -> hpa.HpaSettings:
    """The HPA's defaults but for what a case says; upstream's gate for tolerances was closed where it says nothing."""
    stated = {name: given[name] for name in vars(hpa.HpaSettings()) if given.get(name) is not None}
    return hpa.HpaSettings(**stated | {"configurable_tolerance": bool(given.get("configurable_tolerance_enabled"))})


def bounds_of(given: Given) -> Bounds:
    return Bounds(either(given.get("min_replicas"), 1), given["max_replicas"])


def rules_of(given: Given | None) -> hpa.ScalingRules | None:
    if given is None:
        return None
    policies = tuple(
        hpa.PolicyRule(policy["type"], policy["value"], policy["period_s"]) for policy in given.get("policies") or ()
    )
    select: Any = given.get("select_policy") or "Max"
    return hpa.ScalingRules(select, given.get("stabilization_s"), policies, given.get("tolerance"))


def up_rules_of(given: Given | None) -> EffectiveRules:
    return effective_up(rules_of(given))


def down_rules_of(given: Given | None) -> EffectiveRules:
    return effective_down(rules_of(given), hpa.HpaSettings().downscale_stabilization_s)


def metric_of(given: Given) -> hpa.Metric:
    kind = KINDS.get(given["type"], hpa.MetricKind.UNKNOWN)
    is_resource = kind in (hpa.MetricKind.RESOURCE_UTILIZATION, hpa.MetricKind.RESOURCE_AVERAGE_VALUE)
    target = "target_percent" if kind is hpa.MetricKind.RESOURCE_UTILIZATION else "target_milli"
    failed = given.get("fails")
    return hpa.Metric(
        kind,
        0 if kind is hpa.MetricKind.UNKNOWN else given.get(target, 1) if failed else given[target],
        values_milli=None if failed else tuple(given.get("values_milli") or ()),
        samples=None if failed else samples_of(given.get("samples")),
        resource=(given.get("resource") or "cpu") if is_resource else "",
        container=given.get("container") or "",
    )


def samples_of(given: list[Given] | None) -> dict[str, hpa.PodSample]:
    return {
        sample["pod"]: hpa.PodSample(
            sample["value_milli"], at_s(either(sample.get("age_s"), 0)), either(sample.get("window_s"), 60)
        )
        for sample in given or ()
    }


def pods_of(given: Given) -> tuple[hpa.Pod, ...]:
    return tuple(
        hpa.Pod(
            name=pod["name"],
            phase=either(pod.get("phase"), "Running"),
            ready=pod.get("ready", True),
            ready_changed_s=at_s(either(pod.get("ready_changed_age_s"), LONG_AGO_S)),
            started_s=None if (age_s := pod.get("started_age_s", LONG_AGO_S)) is None else at_s(age_s),
            deleted=bool(pod.get("deleted")),
            request_milli=pod.get("request_milli"),
        )
        for pod in given.get("pods") or ()
    )


def recommendations_of(given: Given) -> tuple[Recommendation, ...]:
    entries = given.get("recommendations") or ()
    return tuple(Recommendation(entry["replicas"], at_s(entry["age_s"])) for entry in entries)


def events_of(given: list[Given] | None) -> tuple[ScaleEvent, ...]:
    return tuple(
        ScaleEvent(event["change"], at_s(event["age_s"]), bool(event.get("outdated"))) for event in given or ()
    )


def at_s(age_s: float) -> float:
    return NOW_S - age_s


def either(value: Any, default: Any) -> Any:
    return default if value is None else value
