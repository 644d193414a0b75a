"""Checks the HPA against facts about upstream's: `python -m tests.hpa_cases FILE`.

Owns the file format (`{"cases": [{"id", "kind", "in", "expect"}]}`, ages in seconds before now) and the adapters that
turn a case into calls, with `tests.hpa_case_parts`. A key missing from `in` has the HPA's default, a key missing from
`expect` is not compared.
Exit code: 0 all passed, 1 some failed, 2 the file cannot be used.
"""

import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scaling import hpa, hpa_behavior
from scaling.errors import InputError
from scaling.hpa_behavior import RateRules
from scaling.hpa_conditions import ConditionType
from scaling.hpa_pods import group_pods
from scaling.hpa_replicas import MetricError, MetricFailure, calculate_replicas
from tests.hpa_case_parts import (
    NOW_S,
    Given,
    bounds_of,
    down_rules_of,
    either,
    events_of,
    metric_of,
    pods_of,
    recommendations_of,
    samples_of,
    settings_of,
    spec_of,
    up_rules_of,
)

Result = dict[str, Any]

SELECTOR = "name=test-pod"
SHOWN_CHARACTERS = 300

# The format has three names for errors; a workload without a pod is told as metrics that match none.
ERRORS = {failure: failure.value for failure in MetricFailure} | {MetricFailure.NO_PODS: MetricFailure.NO_MATCH.value}


def main(arguments: list[str]) -> int:
    """Run the file named on the command line; one line a failed case, then the sums."""
    if len(arguments) != 1:
        print("usage: python -m tests.hpa_cases FILE", file=sys.stderr)
        return 2
    try:
        cases = read_cases(Path(arguments[0]))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    failures = [line for case in cases if (line := failure_of(case))]
    print("\n".join([*failures, f"{len(cases) - len(failures)} passed, {len(failures)} failed"]))
    return 1 if failures else 0


def read_cases(path: Path) -> list[Result]:
    """The cases of a file; InputError names the file and what is wrong with it."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: cannot be read: {reason}") from error
    cases = document.get("cases") if isinstance(document, dict) else None
    if not isinstance(cases, list):
        raise InputError(f"{path}: has no list of cases")
    for number, case in enumerate(cases, start=1):
        _check_shape(case, f"{path}: case {number}")
    return cases


def failure_of(case: Given) -> str:
    """One line on how a case fails; empty where it passes."""
    adapter = ADAPTERS.get(case["kind"])
    if adapter is None:
        return f"{case['id']}: unknown kind {case['kind']!r}"
    try:
        got = adapter(case["in"])
    except Exception as error:  # a case that cannot be run is a failed case, whatever is wrong with it
        return _line(f"{case['id']}: not run: {type(error).__name__}: {error}")
    wrong = [
        f"{key} expected {_text(value)}, got {_text(got.get(key, got))}"
        for key, value in case["expect"].items()
        if key not in got or not _agrees(value, got[key])
    ]
    return _line(f"{case['id']}: {'; '.join(wrong)}") if wrong else ""


def _check_shape(case: object, where: str) -> None:
    if not isinstance(case, dict):
        raise InputError(f"{where}: is not an object")
    for key, type_ in (("id", str), ("kind", str), ("in", dict), ("expect", dict)):
        if not isinstance(case.get(key), type_):
            raise InputError(f"{where}: {key} is missing or not {'an object' if type_ is dict else 'a text'}")


def _agrees(expected: object, got: object) -> bool:
    if isinstance(expected, dict) and isinstance(got, dict):
        return all(key in got and _agrees(value, got[key]) for key, value in expected.items())
    return bool(expected == got)


def _text(value: object) -> str:
    return json.dumps(value, default=str)


def _line(text: str) -> str:
    one = " ".join(text.split())
    return one if len(one) <= SHOWN_CHARACTERS else one[:SHOWN_CHARACTERS] + "..."


# The kinds of case, in the order of the format's description.


def _replica_calculation(given: Given) -> Result:
    current = given["current_replicas"]
    workload = hpa.Workload(current, either(given.get("status_replicas"), current), SELECTOR, pods_of(given))
    metric = metric_of(given["metric"])
    try:
        calculation = calculate_replicas(metric, workload, settings_of(given), NOW_S)
    except MetricError as error:
        return {"error": ERRORS[error.failure]}
    usage = {"usage_milli": calculation.usage_milli, "raw_average_milli": calculation.usage_milli}
    return {"replicas": calculation.replicas, "utilization_percent": calculation.utilization_percent, **usage}


def _group_pods(given: Given) -> Result:
    samples, resource = samples_of(given.get("samples")), given.get("resource") or ""
    groups = group_pods(pods_of(given), samples, resource, settings_of(given), NOW_S)
    names = {"unready": groups.unready, "missing": groups.missing, "ignored": groups.ignored}
    return {"ready_count": groups.ready} | {group: sorted(members) for group, members in names.items()}


def _stabilize_default(given: Given) -> Result:
    window_s = settings_of(given).downscale_stabilization_s
    replicas, log = hpa_behavior.stabilize_default(
        given["desired_replicas"], recommendations_of(given), window_s, NOW_S
    )
    return {"replicas": replicas, "log_length": len(log)}


def _stabilize_behavior(given: Given) -> Result:
    replicas, log = hpa_behavior.stabilize_behavior(
        given["current_replicas"],
        given["desired_replicas"],
        recommendations_of(given),
        either(given.get("up_stabilization_s"), 0),
        either(given.get("down_stabilization_s"), settings_of(given).downscale_stabilization_s),
        NOW_S,
    )
    return {"replicas": replicas, "log": [entry.replicas for entry in log]}


def _limit_default(given: Given) -> Result:
    limited = hpa_behavior.limit_without_behavior(
        given["current_replicas"], given["desired_replicas"], bounds_of(given), settings_of(given)
    )
    return {"replicas": limited.replicas, "reason": limited.reason.value}


def _limit_behavior(given: Given) -> Result:
    limited = hpa_behavior.limit_with_behavior(
        given["current_replicas"],
        given["desired_replicas"],
        bounds_of(given),
        RateRules(up_rules_of(given.get("scale_up")), down_rules_of(given.get("scale_down"))),
        events_of(given.get("scale_up_events")),
        events_of(given.get("scale_down_events")),
        NOW_S,
    )
    return {"replicas": limited.replicas, "reason": limited.reason.value}


def _scale_up_limit(given: Given) -> Result:
    up, down = events_of(given.get("scale_up_events")), events_of(given.get("scale_down_events"))
    rules = up_rules_of(given.get("rules"))
    return {"limit": hpa_behavior.scale_up_limit(given["current_replicas"], up, down, rules, NOW_S)}


def _scale_down_limit(given: Given) -> Result:
    up, down = events_of(given.get("scale_up_events")), events_of(given.get("scale_down_events"))
    rules = down_rules_of(given.get("rules"))
    return {"limit": hpa_behavior.scale_down_limit(given["current_replicas"], up, down, rules, NOW_S)}


def _store_scale_event(given: Given) -> Result:
    events, rules = events_of(given.get("events")), given.get("rules")
    before = hpa_behavior.change_within(events, 60, NOW_S)
    if rules is not None:
        change = abs(given["new_replicas"] - given["current_replicas"])
        effective = {"up": up_rules_of, "down": down_rules_of}[given["direction"]](rules)
        events = hpa_behavior.store_scale_event(events, change, effective, NOW_S)
    stored = [{"change": event.change, "outdated": event.outdated} for event in events]
    return {"change_in_last_60s_before": before, "stored": stored}


def _reconcile(given: Given) -> Result:
    faults, current = given.get("faults") or {}, given["spec_replicas"]
    workload = hpa.Workload(
        current, either(given.get("status_replicas"), current), either(faults.get("selector"), SELECTOR), pods_of(given)
    )
    seeded = given.get("recommendations") is not None
    sync = hpa.reconcile(
        spec_of(given, tuple(metric_of(metric) for metric in given.get("metrics") or ())),
        None if faults.get("get_scale_fails") else workload,
        hpa.HpaState(
            recommendations_of(given) if seeded else None,
            events_of(given.get("scale_up_events")),
            events_of(given.get("scale_down_events")),
        ),
        settings_of(given),
        NOW_S,
        pods_are_shared=bool(faults.get("other_autoscaler_selects_same_pods")),
        write_succeeds=not faults.get("update_scale_fails"),
    )
    return {
        "desired_replicas": either(sync.desired_replicas, current),  # status keeps its size while nothing is known
        "scale_updated": sync.rescale,
        "conditions": {
            type_.value: [condition.status_text, condition.reason.value] for type_, condition in sync.conditions.items()
        },
    }


def _trace(given: Given) -> Result:
    syncs = list(_syncs(given))
    limited = [sync.conditions.get(ConditionType.SCALING_LIMITED) for sync in syncs]
    return {
        "replicas": [sync.desired_replicas for sync in syncs],
        "limited_reason": [condition and condition.reason.value for condition in limited],
    }


def _syncs(given: Given) -> Iterator[hpa.Sync]:
    settings, state, replicas = settings_of(given), hpa.HpaState(), given["initial_replicas"]
    for step in given["steps"]:
        total = step["total_milli"]
        values = None if total is None else (math.ceil(total),)  # quantities round up to milli-units
        metric = hpa.Metric(hpa.MetricKind.EXTERNAL_AVERAGE_VALUE, given["target_average_milli"], values)
        workload = hpa.Workload(replicas, replicas, SELECTOR)
        sync = hpa.reconcile(spec_of(given, (metric,)), workload, state, settings, step["t_s"])
        state, replicas = sync.state, either(sync.desired_replicas, replicas)
        yield sync


ADAPTERS: dict[str, Callable[[Given], Result]] = {
    "replica_calculation": _replica_calculation,
    "group_pods": _group_pods,
    "stabilize_default": _stabilize_default,
    "stabilize_behavior": _stabilize_behavior,
    "limit_default": _limit_default,
    "limit_behavior": _limit_behavior,
    "scale_up_limit": _scale_up_limit,
    "scale_down_limit": _scale_down_limit,
    "store_scale_event": _store_scale_event,
    "reconcile": _reconcile,
    "trace": _trace,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
