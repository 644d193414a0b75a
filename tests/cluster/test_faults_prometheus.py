"""Prometheus is gone, hangs, or answers nonsense in every manner that `hostile` knows: nothing is ever removed for it.

Removals are counted by the API server's audit log. All of the workloads have too many replicas for their load, so that
whoever took nonsense or nothing for a number would remove some; one whose answers are right does, in the same time.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from statistics import quantiles

import pytest

from controller.prometheus.standing import LONGEST_PAUSE_S
from tests.cluster.audit import removals
from tests.cluster.daemon import Daemon
from tests.cluster.hostile import BODIES, FORWARD, STATUSES, hostile_prometheus
from tests.cluster.prometheus import prometheus
from tests.cluster.scene import wait_for
from tests.cluster.stage import INTERVAL_S, PATIENCE_S, Subject, measured, page_of

pytestmark = pytest.mark.slow

MANNERS = (*BODIES, *STATUSES, "hang", "drip", "hang-up", "reset", "no-http")
SIZE, LOAD = 4, 1
RELEASED_WITHIN_S = 180.0
"""A band gives up replicas that nobody has asked for in two minutes; this is some more."""

FALLBACK_AFTER_S = 10.0
FALLBACKS = {
    "FallbackReference": {"after": "10s"},
    "FallbackHold": {"after": "10s", "to": "Hold"},
    "FallbackReplicas": {"after": "10s", "replicas": SIZE + 1},
}
OUTAGES = {"kill": "refused", "pause": "within 4 s", "refuse": "refused"}
"""What becomes of Prometheus, or of the way there, and what status says of it."""
OUTLASTS_S = 30.0
"""An outage goes on for so long after one who knows the load has given replicas back: six intervals."""
CALM_S = 4 * INTERVAL_S
"""So long decisions are looked at before others are given nonsense."""
LATE = 1.4
"""Nine of ten looks find a decision no older than this times what they find when nobody waits: an interval is the most
then, and with Prometheus' deadline of 4 s it would be 1.8 times that."""


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
    calm_ages_s: list[float] = field(default_factory=list)
    """How old its last decision was at every look while all answers were right."""
    ages_s: list[float] = field(default_factory=list)
    """And while the others' were not."""


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
                subject.says("ScalingActive", "True", "ValidMetricFound")
            calm_until_s = time.monotonic() + CALM_S
            while time.monotonic() < calm_until_s:
                told.calm_ages_s.append(age_of(operator, known))
                time.sleep(0.2)
            proxy.manners = {manner: manner for manner in MANNERS}
            take_notes(told, operator, known, subjects)
            proxy.manners = {}
            for subject in subjects.values():  # a query that kept failing beside others that did not pauses
                subject.says("ScalingActive", "True", "ValidMetricFound", LONGEST_PAUSE_S + PATIENCE_S)
            known.needs(2 * SIZE)
            for subject in subjects.values():
                subject.grows_to(2 * SIZE, most=4 * SIZE)
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


def age_of(operator, subject):
    """How old the latest decision on a policy is."""
    labels = f'namespace="{subject.namespace}",policy="{subject.name}"'
    return measured(operator, f"forescale_policy_decision_age_seconds{{{labels}}}")


def take_notes(told, operator, known, subjects):
    """While nothing is known but to one, until that one has removed what it has too much."""
    for manner, subject in subjects.items():
        told.said[manner] = subject.says("ScalingActive", "False", "FailedGetExternalMetric")
    give_up_s = time.monotonic() + RELEASED_WITHIN_S
    while known.size() == SIZE and time.monotonic() < give_up_s:
        told.ages_s.append(age_of(operator, known))
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
    # not the oldest: a busy machine holds up one or the other; who waits for the hanging ones is late most of the time
    assert quantiles(told.ages_s, n=10)[-1] < LATE * quantiles(told.calm_ages_s, n=10)[-1]
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


@dataclass
class Away:
    """What came of a Prometheus that was away for longer than it takes to give replicas back."""

    cause: str
    """The message of ScalingActive."""
    before: list[int]
    """Sizes of the workload up to then."""
    meanwhile: list[int] = field(default_factory=list)
    """Some time after the one whose load was known had been made smaller."""
    events: list[str] = field(default_factory=list)
    health: int = 0
    at_last: list[int] = field(default_factory=list)
    """When it had answered the load that there was when Prometheus was back."""


@dataclass
class Audience:
    """A workload, the operator that looks after it, and how to take that one's Prometheus away and bring it back."""

    subject: Subject
    operator: Daemon
    lose: Callable[[], None] = lambda: None
    find: Callable[[], None] = lambda: None


def outages(stage):
    """Load ends, just when Prometheus is lost in three ways to an operator each. A fourth knows of it."""
    with ExitStack() as stack:
        known = an_audience(stage, stack, "known", stage.scene.prometheus.url)
        lost = {manner: lost_audience(stage, stack, manner) for manner in OUTAGES}
        everybody = [known.subject, *(each.subject for each in lost.values())]
        for subject in everybody:
            subject.says("ScalingActive", "True", "ValidMetricFound")
            subject.needs(SIZE)
        for subject in everybody:
            subject.grows_to(SIZE, most=2 * SIZE)  # each one acts
        time.sleep(2 * INTERVAL_S)
        for each in lost.values():
            each.lose()
        stage.scene.load.set([subject.app for subject in everybody], 0.0)
        told = {manner: begun(each) for manner, each in lost.items()}
        wait_for(lambda: removals(known.subject.sizes("known")), bool, RELEASED_WITHIN_S)
        time.sleep(OUTLASTS_S)
        for manner, each in lost.items():
            goes_on(each, manner, told[manner])
        return told


def an_audience(stage, stack, name, url):
    """One who asks this Prometheus."""
    namespace = stage.namespace(f"prometheus-{name}")
    options = (f"--namespace={namespace}", f"--lease-name={name}", f"--prometheus-url={url}")
    operator = stack.enter_context(stage.operator(name, *options))
    return Audience(stage.subject(namespace, "web", SIZE - 1, policyRef={"name": "snvt"}), operator)


def lost_audience(stage, stack, manner):
    """One who will lose theirs."""
    port = stage.scene.load.port
    if manner == "refuse":
        proxy = stack.enter_context(hostile_prometheus(FORWARD, stage.scene.prometheus.port))
        own = an_audience(stage, stack, manner, proxy.url)
        own.lose, own.find = partial(setattr, proxy, "manner", "refuse"), partial(setattr, proxy, "manner", FORWARD)
        return own
    folder = stage.scene.folder / f"prometheus-{manner}"
    folder.mkdir()
    server = stack.enter_context(prometheus(folder, {"load": port}))
    own = an_audience(stage, stack, manner, server.url)
    daemon = server.daemon
    own.lose, own.find = (daemon.kill, daemon.start) if manner == "kill" else (daemon.pause, daemon.resume)
    return own


def begun(audience):
    """What is said within an interval, and what acts soon."""
    subject = audience.subject
    cause = subject.says("ScalingActive", "False", "FailedGetExternalMetric")
    subject.says("Fallback", "True", "FallbackReference", PATIENCE_S)
    return Away(cause, subject.sizes(audience.operator.name))


def goes_on(audience, manner, told):
    """Note what came of it, and let it be over."""
    subject, operator = audience.subject, audience.operator
    told.meanwhile, told.health = subject.sizes(manner), page_of(operator, "/healthz").code
    subject.needs(3 * SIZE)
    audience.find()
    subject.says("ScalingActive", "True", "ValidMetricFound")
    subject.grows_to(3 * SIZE, most=6 * SIZE)
    subject.says("Fallback", "False", "NotNeeded")
    told.at_last, told.events = subject.sizes(manner), subject.events()


@pytest.mark.parametrize(("manner", "words"), OUTAGES.items())
@pytest.mark.story(begin=outages)
def test_without_prometheus_all_is_held_for_longer_than_it_takes_to_release_and_goes_on_with_it(
    shared_stage, manner, words
):
    told = shared_stage.told(outages)[manner]  # it waits until one whose load is known has given replicas back
    assert words in told.cause
    assert told.meanwhile == told.before
    assert told.health == 200
    assert removals(told.at_last) == 0
    assert {"HeldOnMissingMetrics", "FallbackEntered"} <= set(told.events)
    shared_stage.check()
