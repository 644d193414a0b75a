"""Policies that ask for as much as they may are taken in, led anew and decided on in short turns of the event loop.

Turns are measured in CPU time of their thread, and judged by their share of the whole work.
"""

import asyncio
import gc
import time

import pytest

from controller.cluster.workloads import ReadOnlyWorkloads
from controller.operator.operator import Operator
from controller.operator.settings import OperatorSettings
from controller.ports import Scale
from controller.prometheus.access import PrometheusSettings
from controller.prometheus.metrics import PrometheusMetrics
from scaling.observation import Value

POLICIES = 40
CONDITIONS = 10
LONGEST_SHARE = 0.1
"""Of the whole work, in one turn; all of it was done in one."""


def a_query(name):
    """As long as twelve of a policy may be, with as many label matchers."""
    labels = ",".join(f'l{place}=~"{name}-{place}|{"x" * 38}"' for place in range(22))
    return f'sum(rate(http_requests_total{{namespace="shop",app="{name}",{labels}}}[1m]))'


def a_maximal_policy(number):
    days = [f"{number % 60} {place} {1 + (number + place) % 28} {1 + number % 12} *" for place in range(20)]
    windows = [{"schedule": day, "duration": "1h", "timeZone": "Europe/Berlin", "action": "Freeze"} for day in days]
    conditions = [{"query": a_query(f"{number}-{place}")} for place in range(CONDITIONS)]
    return {
        "apiVersion": "forescale.dev/v1alpha1",
        "kind": "ScalingPolicy",
        "metadata": {
            "name": f"web-{number}",
            "namespace": "shop",
            "uid": f"u{number}",
            "generation": 1,
            "annotations": {"of": "x" * 200_000},
            "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}}] * 1000,
        },
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"web-{number}"},
            "maxReplicas": 100,
            "demand": {"query": a_query(f"{number}-demand"), "targetPerReplica": "10"},
            "service": {"badRatioQuery": a_query(f"{number}-bad")},
            "guardrails": {"freezeWindows": windows, "requireHealthy": conditions},
        },
    }


async def longest_share(is_done):
    """The longest turn until something is done, as a share of all of them."""
    turns, began_s = [0.0], time.thread_time()
    while not is_done():
        await asyncio.sleep(0)
        now_s = time.thread_time()
        turns.append(now_s - began_s)
        began_s = now_s
    return max(turns) / sum(turns)


@pytest.fixture
def operator(monkeypatch):
    """It leads, and everything that it asks is answered at once; garbage collections are nobody's turn."""

    async def read(self, query, *_, **__):
        self._shapes.of(query)
        await asyncio.sleep(0)
        return Value(700.0)

    async def scale(self, target, now_s):
        return Scale(3, 3)

    monkeypatch.setattr(PrometheusMetrics, "read", read)
    monkeypatch.setattr(ReadOnlyWorkloads, "scale", scale)
    gc.disable()
    yield leading
    gc.enable()


def leading():
    made = Operator(OperatorSettings(prometheus=PrometheusSettings(url="http://127.0.0.1:9")))
    made.lease._renewed_s = float("inf")
    return made


def test_maximal_policies_are_taken_in_and_decided_on_in_short_turns(operator):
    async def run():
        made = operator()
        (kind,) = [kind for kind in made._kinds() if kind.plural == "scalingpolicies"]
        for number in range(POLICIES):
            kind.note(None, a_maximal_policy(number))
        adopting = await longest_share(lambda: len(made.policies) == POLICIES)
        assert [record.problem for record in made.policies] == [""] * POLICIES
        tick = asyncio.create_task(made.loop._tick(list(made.policies), made.clock.now_s()))
        deciding = await longest_share(tick.done)
        assert all(record.last_evaluated_s is not None for record in made.policies)
        return adopting, deciding

    adopting, deciding = asyncio.run(run())
    assert adopting < LONGEST_SHARE
    assert deciding < LONGEST_SHARE
