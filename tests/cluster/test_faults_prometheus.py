"""Prometheus is gone, hangs, or answers nonsense in every manner that `hostile` knows: nothing is ever removed for it.

Removals are counted by the API server's audit log. All of the workloads have too many replicas for their load, so that
whoever took nonsense for a number would remove some; one whose answers are right does.
"""

import time
from dataclasses import dataclass, field

import pytest

from tests.cluster.audit import removals
from tests.cluster.hostile import BODIES, FORWARD, STATUSES, hostile_prometheus
from tests.cluster.scene import wait_for
from tests.cluster.stage import INTERVAL_S, RESUMED_WITHIN_S, Subject, measured, page_of

pytestmark = pytest.mark.slow

MANNERS = (*BODIES, *STATUSES, "hang", "drip", "hang-up", "reset", "no-http")
SIZE, LOAD = 4, 1
RELEASED_WITHIN_S = 180.0
"""A band gives up replicas that nobody has asked for in two minutes; this is some more."""

FALLBACKS = {
    "FallbackReference": {"after": "10s"},
    "FallbackHold": {"after": "10s", "to": "Hold"},
    "FallbackReplicas": {"after": "10s", "replicas": SIZE + 1},
}
LATE_S = 2.0
"""A decision whose source answers may be so late while others wait: a second is the loop's patience."""


@dataclass
class Told:
    """What came of the answers that were no numbers."""

    said: dict[str, str] = field(default_factory=dict)
    """The message of ScalingActive by manner."""
    fell_back: dict[str, str] = field(default_factory=dict)
    """What Fallback was called, and should be."""
    sizes: dict[str, list[int]] = field(default_factory=dict)
    """By manner, when answers were right again."""
    known: list[int] = field(default_factory=list)
    """Those of the one whose answers were always right."""
    oldest_s: float = 0.0
    """Its oldest decision meanwhile."""


def nonsense(stage):
    """Every policy is answered in a manner of its own, all at the same time."""
    scene, namespace = stage.scene, stage.namespace("nonsense")
    with hostile_prometheus(FORWARD, scene.prometheus.port) as proxy:
        options = (f"--namespace={namespace}", "--lease-name=nonsense", f"--prometheus-url={proxy.url}")
        with stage.operator("nonsense", *options) as operator:
            known = stage.subject(namespace, "known", SIZE, policyRef={"name": "snvt"})
            known.needs(LOAD)
            subjects = {
                manner: a_subject(stage, namespace, manner, known.app, list(FALLBACKS.values())[number % 3])
                for number, manner in enumerate(MANNERS)
            }
            told = Told()
            for subject in subjects.values():
                subject.says("ScalingActive", "True", "ValidMetricFound", RESUMED_WITHIN_S)
            proxy.manners = {manner: manner for manner in MANNERS}
            take_notes(told, operator, known, subjects)
            proxy.manners = {}
            for subject in subjects.values():
                subject.says("ScalingActive", "True", "ValidMetricFound")
            known.needs(2 * SIZE)
            for subject in subjects.values():
                wait_for(subject.size, lambda seen: seen >= 2 * SIZE, RESUMED_WITHIN_S)
            return told


def a_subject(stage, namespace, manner, app, fallback):
    """Its query has a matcher that changes nothing but how the proxy answers."""
    name = f"as-{manner}"
    query = stage.scene.demand(app).replace("}", f',job!="{manner}"}}')
    wishes = {
        "demand": {"query": query, "targetPerReplica": "70"},
        "policyRef": {"name": "snvt"},
        "guardrails": {"staleAfterSeconds": 10, "fallback": fallback},
    }
    return stage.subject(namespace, name, SIZE, app=app, **wishes)


def take_notes(told, operator, known, subjects):
    """While nothing is known but to one, until that one has removed what it has too much."""
    age = f'forescale_policy_decision_age_seconds{{namespace="{known.namespace}",policy="known"}}'
    for manner, subject in subjects.items():
        told.said[manner] = subject.says("ScalingActive", "False", "FailedGetExternalMetric")
    give_up_s = time.monotonic() + RELEASED_WITHIN_S
    while known.size() == SIZE and time.monotonic() < give_up_s:
        told.oldest_s = max(told.oldest_s, measured(operator, age))
        time.sleep(0.2)
    told.known = known.sizes("nonsense")
    for number, (manner, subject) in enumerate(subjects.items()):
        status, reason, _ = subject.condition("Fallback")
        told.fell_back[manner] = f"{status} {reason}, not {list(FALLBACKS)[number % 3]}"
        told.sizes[manner] = subject.sizes("nonsense")


@pytest.mark.story(begin=nonsense)
def test_nothing_is_removed_on_nonsense_and_whose_answers_are_right_does_not_wait(shared_stage):
    told = shared_stage.told(nonsense)
    assert removals(told.known) >= 1  # whoever knows the load gives replicas back
    assert told.oldest_s < INTERVAL_S + LATE_S
    assert {manner for manner, sizes in told.sizes.items() if removals(sizes)} == set()
    fixed = list(MANNERS[2::3])
    assert {manner for manner, sizes in told.sizes.items() if sizes == [SIZE, SIZE + 1]} == set(fixed)
    assert {manner for manner, sizes in told.sizes.items() if sizes == [SIZE]} == set(MANNERS) - set(fixed)
    for manner, told_of_it in told.fell_back.items():
        reason = told_of_it.rpartition(" ")[2]
        assert told_of_it == f"True {reason}, not {reason}", manner
    assert "Empty" in told.said["empty"]
    assert "401" in told.said["status-401"]
    assert "within 4 s" in told.said["hang"]
    shared_stage.check()


@pytest.fixture(scope="module")
def read(shared_stage):
    """A workload whose operator asks the real Prometheus, and asks it nothing else."""
    shared_stage.settle()
    namespace = shared_stage.namespace("scrapes")
    subject: Subject = shared_stage.subject(namespace, "web", SIZE)
    with shared_stage.operator("reader", f"--namespace={namespace}", "--lease-name=reader") as operator:
        yield subject, operator


@pytest.mark.parametrize(("manner", "words", "size"), [("kill", "refused", 6), ("pause", "within 4 s", 9)])
def test_without_prometheus_all_is_held_and_goes_on_with_it(shared_stage, read, manner, words, size):
    (subject, operator), daemon = read, shared_stage.scene.prometheus.daemon
    subject.says("ScalingActive", "True", "ValidMetricFound", RESUMED_WITHIN_S)
    before = subject.sizes("reader")
    getattr(daemon, manner)()
    try:
        subject.needs(LOAD)
        assert words in subject.says("ScalingActive", "False", "FailedGetExternalMetric")
        subject.says("Fallback", "True", "FallbackReference", RESUMED_WITHIN_S)
        assert subject.sizes("reader") == before
        assert page_of(operator, "/healthz").code == 200
    finally:
        subject.needs(size)
        daemon.start() if manner == "kill" else daemon.resume()
    subject.says("ScalingActive", "True", "ValidMetricFound", RESUMED_WITHIN_S)
    subject.grows_to(size)
    subject.says("Fallback", "False", "NotNeeded")
    assert removals(subject.sizes("reader")) == 0
    assert {"HeldOnMissingMetrics", "FallbackEntered"} <= set(subject.events())
    shared_stage.check()
