"""Statuses and events on a real API server: all of them fit, a hold writes nothing, and people can read them."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from controller.cluster.api import ApiSettings, KubeApi
from controller.cluster.conditions import MESSAGE_CHARACTERS, Facts
from controller.cluster.reporter import Reporter
from controller.cluster.status import invalid_status, is_material, patch_of, status_of
from controller.crd.status import fitting, rfc3339
from controller.crd.tables import QUERY_CHARACTERS
from controller.ports import Refused
from scaling.decision import Reason
from scaling.features import FEATURES
from scaling.observation import Unknown, Value
from scaling.spec import MOST_REPLICAS, Mode
from tests.controller.cluster.test_events import BLIND, COMPETITOR, FALLEN, NAN, OFF
from tests.controller.cluster.test_status import ADD, AT_MAX, SHADOWED, a_target, an_outcome, without_scale
from tests.controller.crd.test_resource import a_body
from tests.controller.crd.test_schema import DEFINITION, ON_A_CLUSTER

SPACE = "/apis/forescale.dev/v1alpha1/namespaces/reports/scalingpolicies"
EVENTS = "/api/v1/namespaces/reports/events"
USER = "reporter"
MERGE = "application/merge-patch+json"
SERVED_WITHIN_S = 30.0
WRITTEN_WITHIN_S = 20.0


@pytest.fixture(scope="module")
def space(cluster):
    """A namespace, in a cluster that knows ScalingPolicy."""
    applied = cluster.kubectl("apply", "-f", str(DEFINITION))
    assert applied.returncode == 0, applied.stderr
    assert cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": "reports"}}).code == 201
    wait_for(lambda: cluster.request("GET", SPACE).code == 200, SERVED_WITHIN_S)
    return cluster


def wait_for(holds, within_s):
    give_up_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up_s, "it did not come about"
        time.sleep(0.05)


def made(space, name, changes=None):
    """A new policy, and what the reporter needs to know of it."""
    answer = space.make(SPACE, a_body({"metadata/name": name, **(changes or {})}, a_body(ON_A_CLUSTER)))
    assert answer.code == 201, answer.body
    return facts_of(answer.body)


def facts_of(body, later_s=0.0):
    metadata, status = body["metadata"], body.get("status", {})
    identity = metadata["namespace"], metadata["name"], metadata["uid"], metadata["generation"]
    return Facts(*identity, time.time() + later_s, status)


def stored(space, name):
    return space.request("GET", f"{SPACE}/{name}").body


@asynccontextmanager
async def reporting(space):
    """A reporter of a user of its own, which the audit log names."""
    kubeconfig = space.certificates.kubeconfig(space.address, f"/O=system:masters/CN={USER}")
    stop = asyncio.Event()
    async with KubeApi(ApiSettings(kubeconfig=kubeconfig)) as api:
        reporter = Reporter(api, lambda: True, "forescale-0")
        running = asyncio.create_task(reporter.run(stop))
        yield reporter
        stop.set()
        await running


def writes(space):
    """Verb and resource of each write so far, by the audit log."""
    refs = [(each["verb"], each["objectRef"]) for each in space.audited() if each["user"]["username"] == USER]
    return [(verb, "/".join(filter(None, (ref["resource"], ref.get("subresource"))))) for verb, ref in refs]


async def written(space, count):
    """Wait for so many writes; a tenth of a second more shows those that are too many."""
    give_up_s = time.monotonic() + WRITTEN_WITHIN_S
    while len(writes(space)) < count and time.monotonic() < give_up_s:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.1)
    return writes(space)


# All of them fit


def every_outcome():
    """One of each kind, the ends of every range, and words that nobody would choose."""
    yield from (an_outcome(), ADD, AT_MAX, BLIND, FALLEN, COMPETITOR, NAN, OFF, without_scale())
    yield from (an_outcome(reasons=(reason,)) for reason in Reason)
    yield an_outcome(reasons=tuple(Reason))
    yield from (an_outcome(0, MOST_REPLICAS), an_outcome(MOST_REPLICAS, 0), an_outcome(2**31 - 1, 2**31 - 1))
    yield from (an_outcome(reading=Value(number)) for number in (0.0, 5e-324, 0.1 + 0.2, 123456789.0, 1.7e308))
    yield from (an_outcome(target=a_target(mode)) for mode in Mode)
    yield an_outcome(target=a_target(**{"spec/demand/query": "x" * QUERY_CHARACTERS}))
    yield an_outcome(reading=Unknown(Reason.METRIC_ERROR, "\x00\n\ud800é" * MESSAGE_CHARACTERS))
    yield replace(ADD, decision=replace(ADD.decision, out_of_distribution=tuple(each.name for each in FEATURES)))
    yield replace(ADD, decision=replace(ADD.decision, policy_name="p" * 253))
    yield replace(ADD, decision=None, failure="ValueError: " + "x" * 9999)
    yield from (replace(ADD, write=Refused(word, "403")) for word in ("Forbidden", "", "two words", "ü", "x" * 2000))


def test_every_status_is_stored_as_it_is_whatever_stood_there(space):
    facts = replace(made(space, "every-status"), policy_sha256="a" * 64)
    statuses = [status_of(outcome, facts) for outcome in every_outcome()]
    statuses += [invalid_status("spec.maxReplicas: 0 is outside 1..150000", facts)]
    path = f"{SPACE}/every-status/status?fieldValidation=Strict"
    for status in statuses:
        answer = space.request("PATCH", path, {"status": patch_of(status)}, MERGE)
        assert (answer.code, answer.body.get("status")) == (200, status), answer.body.get("message")
        assert fitting(answer.body["status"]) == status
        assert not is_material(answer.body["status"], status)


# What is written


HOLDS = [
    an_outcome(reading=Value(312.0)),
    an_outcome(reading=Value(340.0), reasons=(Reason.ABOVE_BAND, Reason.SCALE_DOWN_STABILIZED), proposed=3),
    an_outcome(reading=Value(290.0), reasons=(Reason.ABOVE_BAND, Reason.FLOOR_UTILIZATION), proposed=3),
]


def test_a_hold_with_moving_demand_writes_nothing_and_a_change_costs_two_writes(space):
    policies = [made(space, f"calm-{number}") for number in range(20)]

    async def story():
        before = len(writes(space))
        async with reporting(space) as reporter:
            for tick in range(40):
                for number, facts in enumerate(policies):
                    told = replace(facts, unix_s=facts.unix_s + 15 * tick)
                    reporter.note(told, HOLDS[(tick + number) % len(HOLDS)])
                if tick == 0:  # what is under way on a busy machine would be followed by the newest
                    first = await written(space, before + len(policies))
                await asyncio.sleep(0.01)
            assert await written(space, len(first)) == first
            assert first[before:] == [("patch", "scalingpolicies/status")] * len(policies)

            for tick in range(40, 44):  # the watch has told of what we wrote
                for number, facts in enumerate(policies):
                    body = stored(space, facts.name)
                    reporter.note(facts_of(body, 15.0 * tick), HOLDS[(tick + number) % len(HOLDS)])
            reporter.note(replace(policies[0], unix_s=policies[0].unix_s + 900), ADD)
            reporter.note(replace(policies[0], unix_s=policies[0].unix_s + 915), an_outcome(6, 6))
            second = await written(space, len(first) + 2)
            assert sorted(second[len(first) :]) == [("create", "events"), ("patch", "scalingpolicies/status")]

        async with reporting(space) as restarted:  # and after a restart nothing is new
            for number, facts in enumerate(policies[1:]):
                body = stored(space, facts.name)
                restarted.note(facts_of(body, 1000.0), HOLDS[number % len(HOLDS)])
            assert await written(space, len(second)) == second
        body = stored(space, "calm-0")
        assert body["status"]["lastScaleTime"] == rfc3339(policies[0].unix_s + 900)

    asyncio.run(story())


def test_an_event_is_shown_with_its_policy(space):
    facts = made(space, "eventful")

    async def story():
        async with reporting(space) as reporter:
            reporter.note(facts, ADD)
            reporter.note(replace(facts, unix_s=facts.unix_s + 15), COMPETITOR)
            await written(space, len(writes(space)) + 3)  # the newest status alone, and both events

    asyncio.run(story())
    described = space.kubectl("describe", "scalingpolicies", "eventful", "--namespace=reports").stdout
    events = [line.split() for line in described.partition("Events:")[2].splitlines()]
    assert ["Normal", "Scaled"] in [words[:2] for words in events]
    assert ["Warning", "Conflict"] in [words[:2] for words in events]
    assert all(words[3] == "forescale" for words in events if words and words[0] in ("Normal", "Warning"))


def test_a_policy_that_is_gone_is_refused_and_not_made_again(space, caplog):
    facts = made(space, "gone-meanwhile")
    assert space.request("DELETE", f"{SPACE}/gone-meanwhile").code == 200

    async def story():
        before = len(writes(space))
        async with reporting(space) as reporter:
            reporter.note(facts, an_outcome())
            await written(space, before + 1)
            reporter.forget(facts.uid)

    asyncio.run(story())
    assert stored(space, "gone-meanwhile")["code"] == 404
    assert "404 NotFound" in caplog.text


def test_get_reads_well(space):
    shown = {
        "web": ADD,
        "shadow": SHADOWED,
        "blind": BLIND,
        "at-max": AT_MAX,
        "gone": without_scale(),
    }
    for name, outcome in shown.items():
        facts = made(space, name, {"spec/mode": outcome.target.spec.mode.value})
        body = {"status": patch_of(status_of(outcome, facts))}
        assert space.request("PATCH", f"{SPACE}/{name}/status", body, MERGE).code == 200
    printed = space.kubectl("get", "scalingpolicies", *shown, "--namespace=reports", "--output=wide").stdout
    rows = {row[0]: row[1:] for row in map(str.split, printed.splitlines())}
    assert rows["web"][4:8] == ["6", "6", "Add", "BelowBand"]
    assert rows["shadow"][1:8] == ["Shadow", "1", "60", "4", "6", "Add", "BelowBand"]
    assert rows["blind"][4:9] == ["4", "4", "Hold", "MetricEmpty", "5"]
    assert rows["gone"][4] == "False"  # neither sizes nor a decision
    assert rows["at-max"][7] == "TooManyReplicas"
