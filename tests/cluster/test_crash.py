"""An operator that is killed between a size and its status: the rates of spec.behavior hold all the same."""

import time

import pytest

from tests.cluster.scene import wait_for
from tests.cluster.stage import INTERVAL_S, PATIENCE_S

pytestmark = pytest.mark.slow

PERIOD_S, LEASE_S = 90, 15.0


def test_a_rate_holds_when_killed_between_a_size_and_its_status(shared_stage):
    namespace = shared_stage.namespace("crash")
    slowly = {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": PERIOD_S}]}}
    subject = shared_stage.subject(namespace, "web", 2, behavior=slowly)
    with shared_stage.door("crash") as (door, through_it):
        wishes = (f"--namespace={namespace}", "--lease-name=crash", through_it)
        with shared_stage.operator("crash", *wishes) as operator:
            subject.says("ScalingActive", "True", "ValidMetricFound")
            status = door.hold("PATCH [^ ]*/scalingpolicies/web/status")
            subject.needs(8)
            wait_for(subject.size, lambda seen: seen == 3, PATIENCE_S)
            assert status.came.wait(PATIENCE_S)
            operator.kill()
            assert "recentChanges" not in subject.status()
            operator.start()
            status.let_through()
            started_s = time.monotonic()
            while time.monotonic() - started_s < PERIOD_S - INTERVAL_S:
                assert subject.size() == 3
                time.sleep(1)
            wait_for(subject.size, lambda seen: seen == 4, LEASE_S + PERIOD_S)
    assert subject.sizes("crash") == [2, 3, 4]
    shared_stage.check()
