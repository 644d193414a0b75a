"""What a tenant can write takes the event loop no longer than ordinary policies of the largest size do.

CPU time is compared with that of an honest policy in the same test, as a limit in seconds would depend on the machine.
"""

import copy
import time
from typing import Any

import pytest

from controller.operator.policies import Policies
from controller.operator.query_rules import QueryLanguage, QueryRules
from controller.prometheus.sample_age import age_check, age_query
from controller.promql.grouping import Split, shape_of
from controller.promql.syntax import selectors
from controller.windows import wishes_at
from tests.controller.crd.test_resource import EVERY_FIELD
from tests.controller.operator.test_policies import a_body

HONEST = (
    '1 - sum(rate(istio_request_duration_milliseconds_bucket{reporter="destination",destination_workload="web",'
    'destination_workload_namespace="shop",response_code=~"0|[1-4]..",le=~"250|250\\\\.0"}[1m]))'
    ' / sum(rate(istio_request_duration_milliseconds_count{reporter="destination",destination_workload="web"}[1m]))'
)
MOST_TIMES = 12
"""An honest policy takes some 4 ms on one core of a small machine, so that 50 ms are kept."""

PIECES = [
    *('"', "'", "`", "{", "[", "(", "-", "#", " ", "\n", "a ", "1", "x+", "x[", '("', '{"', '{"\\"', "x[1m:1m]", "a,"),
    *("x or ", "abs(", "x offset ", "x @ ", "sum by (", "x{a=~'", 'x{a="b"}', "x default ", ")", "}", "\\", "\u00e9"),
    "{#\"'",
]
TEXTS = {
    **{f"8 kB of {piece!r}": (piece * 8192)[:8192] for piece in PIECES},
    **{f"a part of {piece!r}": (piece * 1300)[:1300] for piece in PIECES},
    "one chain": "x" + "+x" * 99,
    "chains": "x" + "+x" * 16,
    "one nest": "(" * 50 + "x" + ")" * 50,
    "nests": "abs(" * 30 + "x" + ")" * 30,
    "matchers": "sum(x{" + ",".join(f'a{place}=~"w-[a-z]{{5}}"' for place in range(25)) + "})",
    "many matchers": "sum(x{" + ",".join(f'a{place}="w"' for place in range(200)) + "})",
    "labels": "sum by (" + "a," * 45 + "b)(x)",
    "an ending": 'sum(x{a=~"' + "-[a]" * 300 + '"})',
    "a pattern": 'sum(x{a=~"' + "\\\\w{500}" * 150 + '"})',
    "nested patterns": 'sum(x{a=~"' + "(" * 600 + ")*" * 600 + '"})',
    "a string": 'x{a="' + "\\\\" * 600 + '"}',
    "selectors": " + ".join(["sum(rate(x[5m]))"] * 20),
}
WINDOWS = [
    *("0 0 30 2 *", "0 0 29 2 1#5", "59 23 */31 * 1#5", "0 0 */31 * 5#5,6#5", "59 23 31 2 0#5", "*/59 */23 30 * 0"),
    *("59 23 29 2 0", "0 0 LW 2 0L", "* * * * *", "0,1,2,3,4,5-59 0-23 1-31 1-12 0-7", "59 23 1 2,4 0#1"),
]
RULES = [QueryRules(), QueryRules(QueryLanguage.METRICSQL), QueryRules(namespace_label="namespace")]


def a_policy(first, others=(), windows=(), **metadata):
    queries = [first, *(others or [first] * 11)]
    healthy = [{"query": query} for query in queries[2:]]
    body = a_body(
        demand={"query": queries[0], "targetPerReplica": "70"},
        service={"badRatioQuery": queries[1]},
        guardrails={"requireHealthy": healthy, "freezeWindows": list(windows)},
    )
    body["metadata"] |= metadata
    return body


def taken_in(body, rules):
    """All that one policy costs before the first question is sent, and once for the ages of its samples."""
    policies = Policies(lambda: 0.0, rules=rules)
    policies.note("ADDED", body)
    (record,) = policies
    if record.target is None:
        assert record.problem.isprintable()
        return
    wishes_at(record.target.resource, 1.77e9)
    queries = record.target.resource.queries
    for query in filter(None, (queries.demand, queries.bad_ratio, *queries.healthy)):
        shape_of(query)
        age_check(query)
        age_query(selectors(query), 120.0, Split())


def cpu_s(body, rules):
    def once():
        began_s = time.process_time()
        taken_in(body, rules)
        return time.process_time() - began_s

    return min(once() for _ in range(3))


@pytest.fixture(scope="module", params=RULES, ids=["promql", "metricsql", "tenants"])
def rules_and_honest_s(request):
    return request.param, cpu_s(a_policy(HONEST), QueryRules())


@pytest.mark.parametrize("name", TEXTS)
def test_a_hostile_query_costs_as_much_as_honest_ones(rules_and_honest_s, name):
    rules, honest_s = rules_and_honest_s
    for body in (a_policy(TEXTS[name]), a_policy(TEXTS[name], ["up"] * 11)):
        assert cpu_s(body, rules) < MOST_TIMES * honest_s


@pytest.mark.parametrize("schedule", WINDOWS)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Nowhere/Nothing", "Europe"])
def test_hostile_windows_cost_as_much_as_honest_queries(rules_and_honest_s, schedule, zone):
    """Each a minute apart, so that nothing that was found for one is kept for another."""
    rules, honest_s = rules_and_honest_s
    minutes = (schedule if place == 0 else f"{place} {schedule.split(' ', 1)[1]}" for place in range(20))
    windows = [{"schedule": text, "duration": "1h", "action": "Freeze", "timeZone": zone} for text in minutes]
    assert cpu_s(a_policy("up", windows=windows), rules) < MOST_TIMES * honest_s


LONG_LABEL = {"name": "a" * 128, "value": '"' * 253}
LARGE: dict[str, dict[str, Any]] = {
    "annotations": {"metadata": {"annotations": {f"key-{place}": "x" * 200 for place in range(5000)}}},
    "managedFields": {"metadata": {"managedFields": [{"fieldsV1": {f"f:{place}": {} for place in range(20_000)}}]}},
    "status": {"status": {f"key-{place}": {"a": ["x"] * 20} for place in range(5000)}},
    "conditions": {"status": {"conditions": [{"type": "Ready", "message": "x" * 1000}] * 5000}},
    "unknown fields": {"spec": {f"field-{place}": "x" for place in range(20_000)}},
    "a name": {"spec": {"scaleTargetRef": {"apiVersion": "v" * 10**6, "kind": "K" * 10**6, "name": "a" * 10**6}}},
    "a namespace": {"metadata": {"namespace": "a-" * 500_000}},
    "numbers": {"spec": {"maxReplicas": "9" * 10**6, "intervalSeconds": 10**4000}},
    "durations": {"spec": {"guardrails": {"fallback": {"after": "1h" * 500_000}}}},
    "quantities": {"spec": {"demand": {"query": "up", "targetPerReplica": "1" * 10**6}}},
    "labels": {"spec": {"demand": {"preset": {"kind": "HttpMetrics", "labels": [LONG_LABEL] * 16}}}},
    "a list": {"spec": {"guardrails": {"freezeWindows": [{}] * 100_000, "requireHealthy": [{}] * 100_000}}},
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_object_costs_as_much_as_honest_queries(rules_and_honest_s, name):
    rules, honest_s = rules_and_honest_s
    body = a_policy("up")
    for part, content in LARGE[name].items():
        body[part] = body.get(part, {}) | content
    assert cpu_s(body, rules) < MOST_TIMES * honest_s


def texts_in(part, path=()):
    """The path of every text in a document."""
    if isinstance(part, str):
        yield path
    elif isinstance(part, dict | list):
        for name, inner in part.items() if isinstance(part, dict) else enumerate(part):
            yield from texts_in(inner, (*path, name))


@pytest.mark.parametrize("piece", ["a", "1", "-", ".", " ", "*/1,", "1h", "\u00e9", "\ud800"])
def test_no_text_is_read_to_its_end_before_its_length_is_known(rules_and_honest_s, piece):
    rules, honest_s = rules_and_honest_s
    long = piece * (10**6 // len(piece))
    for path in texts_in(EVERY_FIELD):
        body = copy.deepcopy(EVERY_FIELD)
        body["metadata"] |= {"namespace": "shop", "uid": "u1", "generation": 1}
        place = body
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = long
        if path != ("metadata", "uid"):
            assert cpu_s(body, rules) < MOST_TIMES * honest_s, path
