"""The Lease against a real API server: two sides, of which one acts; short times, so that nobody waits long."""

import asyncio
import contextlib
import re
from dataclasses import dataclass, field

import pytest

from controller.cluster.api import ApiSettings, KubeApi
from controller.cluster.lease import Lease, LeaseSettings
from tests.cluster.daemon import resumed

DURATION_S, RENEW_DEADLINE_S = 4.5, 3.0
"""A busy machine may take a second for one call."""
WITHIN_S = 120.0
LONG_S = 3600.0
"""Nobody waits for a Lease of this length to lapse."""
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


@dataclass
class Side:
    """One operator."""

    lease: Lease
    told: list[bool]
    task: "asyncio.Task[None]"
    stop: asyncio.Event = field(default_factory=asyncio.Event)


@contextlib.asynccontextmanager
async def side(kubeconfig, name, namespace="default", duration_s=DURATION_S):
    """A side with a client of its own; at the end it is cut off, as by a crash."""
    told: list[bool] = []
    stop = asyncio.Event()
    async with KubeApi(ApiSettings(kubeconfig=kubeconfig, deadline_s=5.0)) as api:
        settings = LeaseSettings(
            namespace=namespace,
            name=name,
            duration_s=duration_s,
            renew_deadline_s=RENEW_DEADLINE_S,
            retry_s=0.2,
            renew_s=0.3,
        )
        lease = Lease(api, settings, told.append)
        task = asyncio.create_task(lease.run(stop))
        try:
            yield Side(lease, told, task, stop)
        finally:
            task.cancel()
            await asyncio.wait([task])


async def until(holds):
    async with asyncio.timeout(WITHIN_S):
        while not holds():
            await asyncio.sleep(0.005)


def spec_of(cluster, name):
    return cluster.request("GET", f"{LEASES}/{name}").body["spec"]


def test_the_other_takes_over_after_a_crash_and_never_both_hold_it(cluster):
    async def run():
        async with side(cluster.kubeconfig, "crash") as a, side(cluster.kubeconfig, "crash") as b:
            await until(lambda: a.lease.held() or b.lease.held())
            leader, other = (a, b) if a.lease.held() else (b, a)
            await until(lambda: other.lease.holder == leader.lease.settings.identity)
            await asyncio.sleep(2 * DURATION_S)  # it is renewed
            assert (leader.told, other.told) == ([True], [])
            leader.task.cancel()
            both = []

            def taken_over():
                both.append(a.lease.held() and b.lease.held())
                return other.lease.held()

            await until(taken_over)
            assert not any(both)

    asyncio.run(run())
    spec = spec_of(cluster, "crash")
    assert (spec["leaseTransitions"], spec["leaseDurationSeconds"]) == (1, 5)


def test_a_stop_hands_over_at_once(cluster):
    async def run():
        async with side(cluster.kubeconfig, "stop", duration_s=LONG_S) as a:
            await until(a.lease.held)
            a.stop.set()
            await a.task
            assert spec_of(cluster, "stop")["holderIdentity"] == ""
            assert a.told == [True, False]
            async with side(cluster.kubeconfig, "stop", duration_s=LONG_S) as b:
                await until(b.lease.held)

    asyncio.run(run())


def test_it_lapses_while_the_api_server_hangs_and_is_taken_again_after(cluster):
    async def run():
        async with side(cluster.kubeconfig, "hang") as a:
            await until(a.lease.held)
            cluster.api_server.pause()
            await until(lambda: a.told == [True, False])
            assert not a.lease.held()
            assert "did not answer" in a.lease.problem
            cluster.api_server.resume()
            await until(a.lease.held)
            assert a.lease.problem == ""

    with resumed(cluster.api_server):
        asyncio.run(run())


def test_edits_and_a_deletion_are_survived(cluster):
    async def run():
        async with side(cluster.kubeconfig, "edit") as a:
            await until(a.lease.held)
            labelled = {"metadata": {"labels": {"team": "web"}}}
            kind = "application/merge-patch+json"
            assert cluster.request("PATCH", f"{LEASES}/edit", labelled, kind).code == 200
            before = spec_of(cluster, "edit")["renewTime"]
            await until(lambda: spec_of(cluster, "edit")["renewTime"] > before)
            assert a.told == [True]
            assert cluster.request("GET", f"{LEASES}/edit").body["metadata"]["labels"] == {"team": "web"}
            assert cluster.request("DELETE", f"{LEASES}/edit").code == 200
            await until(lambda: cluster.request("GET", f"{LEASES}/edit").code == 200)
            await until(a.lease.held)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("user", "namespace", "words"),
    [
        ("admin", "nowhere", 'POST .*404 NotFound: namespaces "nowhere" not found'),
        ("nobody", "default", 'GET .*403 Forbidden: .*"nobody" cannot get resource "leases"'),
    ],
)
def test_a_lease_that_cannot_be_used_is_explained(cluster, user, namespace, words):
    kubeconfig = cluster.kubeconfig
    if user != "admin":
        kubeconfig = cluster.certificates.kubeconfig(cluster.address, f"/CN={user}")

    async def run():
        async with side(kubeconfig, "mine", namespace) as a:
            await until(lambda: a.lease.problem)
            assert not a.lease.held()
            assert not a.task.done()
            return a.lease.problem

    assert re.search(words, asyncio.run(run()))
