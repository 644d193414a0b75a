"""Five minutes of 500: the API server refuses writes of one kind, as a webhook that must agree to them is dead."""

import time

import pytest

from tests.cluster.audit import writes
from tests.cluster.scene import wait_for
from tests.cluster.stage import INTERVAL_S, PATIENCE_S, made, page_of

pytestmark = pytest.mark.slow

WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
DEAD_S = 300.0
LONGEST_REST_S = 300.0
"""Between two tries of a status, in the end."""
USER = "refused"


def a_webhook(name, group, version, resource, namespace, port=9):
    """One that must agree to writes in a namespace, at a port where nobody does."""
    return {
        "name": f"{name}.forescale.test",
        "clientConfig": {"url": f"https://127.0.0.1:{port}/"},
        "failurePolicy": "Fail",
        "timeoutSeconds": 30 if port != 9 else 1,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [
            {
                "apiGroups": [group],
                "apiVersions": [version],
                "resources": [resource],
                "operations": ["CREATE", "UPDATE"],
            }
        ],
    }


def refused(stage):
    """One namespace's scales cannot be written for five minutes, another one's statuses, and a third has no trouble."""
    namespaces = [stage.namespace(name) for name in ("held", "mute", "well")]
    options = [*(f"--namespace={name}" for name in namespaces), "--lease-name=refused"]
    with stage.operator(USER, *options) as operator:
        held, mute, well = (stage.subject(name, name, 2) for name in namespaces)
        for subject in (held, mute, well):
            subject.says("ScalingActive", "True", "ValidMetricFound")
        hooks = [
            a_webhook("scales", "apps", "v1", "deployments/scale", "held"),
            a_webhook("statuses", "forescale.dev", "v1alpha1", "scalingpolicies/status", "mute"),
        ]
        with made(stage.scene.cluster, WEBHOOKS, "dead", {"webhooks": hooks}):
            began_s = time.monotonic()
            time.sleep(2.0)  # the API server takes a webhook up by a watch of its own
            meanwhile = while_dead(held, mute, well, began_s)
        held.grows_to(4)
        held.says("AbleToScale", "True", "SucceededRescale")
        wait_for(lambda: mute.status()["currentReplicas"], lambda seen: seen == 4, LONGEST_REST_S + PATIENCE_S)
        return *meanwhile, held.sizes(USER), page_of(operator, "/healthz").code


def while_dead(held, mute, well, began_s):
    """What is said and written; the load of who is well grows to the last."""
    held.needs(4)
    mute.needs(4)
    message = held.says("AbleToScale", "False", "ApiUnavailable")
    mute.grows_to(4)
    for size in (4, 8, 16):
        well.needs(size)
        well.grows_to(size)
        time.sleep(DEAD_S / 4)
    time.sleep(max(0.0, began_s + DEAD_S - time.monotonic()))
    tried = [write for write in held.written(USER) if not write.done]
    statuses = writes(held.scene.cluster, "scalingpolicies/status", namespace="mute")
    return message, held.sizes(USER), mute.status()["currentReplicas"], tried, [w for w in statuses if not w.done]


@pytest.mark.story(begin=refused)
def test_a_webhook_that_nobody_answers_for_five_minutes_stops_writes_of_one_kind_alone(shared_stage):
    message, sizes, told, tried, statuses, sizes_after, health = shared_stage.told(refused)
    assert "failed calling webhook" in message
    assert sizes == [2]
    assert told == 2
    assert DEAD_S / INTERVAL_S / 2 < len(tried) <= 2 * DEAD_S / INTERVAL_S
    assert 1 <= len(statuses) <= 6  # tried again after 15 s, 30 s, 1 min, 2 min, 4 min
    assert sizes_after == [2, 4]
    assert health == 200
    shared_stage.check()
