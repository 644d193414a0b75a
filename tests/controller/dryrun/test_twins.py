"""Twins live as if every decision had been written, on real demand; the real workload is only ever read."""

import asyncio
from dataclasses import replace

import pytest

from controller.dryrun.twins import GONE, Twins, twin_ports
from controller.ports import Refused, Scale, Target, WouldBe
from controller.reconcile import reconcile
from scaling.decision import Reason
from scaling.observation import Reading, Unknown, Value
from scaling.policy import RULES
from tests.controller.dryrun.test_rehearsal import a_resource

STEP_S = 15.0


class Cluster:
    """The real workload, which nobody scales, and the real demand."""

    def __init__(self, replicas=3, demand=200.0):
        self.scale: Scale | Refused = Scale(replicas, replicas)
        self.reading: Reading = Value(demand)

    async def read(self, target, now_s):
        return self.scale

    async def demand(self, target, now_s):
        return self.reading

    async def bad_ratio(self, target, now_s):
        raise AssertionError("the real bad share says nothing about the twin")

    async def healthy(self, target, now_s):
        return True


def a_target(**spec):
    """One replica is asked for 70 and can serve 100; pods take 45 s to start."""
    return Target(a_resource(**{"startupSeconds": 45, **spec}))


def ticks(cluster, target, twins, count, begin_s=0.0):
    """So many ticks of the operator's own code; the last outcome."""

    async def run():
        for tick in range(count):
            (outcome,) = await reconcile(
                [target], twin_ports(cluster, twins), RULES["snvt"], begin_s + (tick + 1) * STEP_S
            )
        return outcome

    return asyncio.run(run())


def scale_of(twins, target, now_s):
    return asyncio.run(twins.scale(target, now_s))


def figures_of(twins, target):
    would_be = twins.would_be(target)
    assert isinstance(would_be, WouldBe)
    return would_be


def test_a_twin_begins_at_the_real_size_and_follows_the_decisions_on_real_demand():
    cluster, target = Cluster(replicas=3, demand=200.0), a_target()
    twins = Twins(cluster.read)
    assert ticks(cluster, target, twins, 1).scale == Scale(3, 3)
    cluster.reading = Value(2000.0)
    outcome = ticks(cluster, target, twins, 40, begin_s=STEP_S)
    assert outcome.scale.replicas >= 20
    assert outcome.scale.ready == outcome.scale.replicas
    assert cluster.scale == Scale(3, 3)


def test_added_pods_start_before_they_serve_and_demand_above_them_is_bad_meanwhile():
    cluster, target = Cluster(replicas=3), a_target()
    twins = Twins(cluster.read)
    scale = scale_of(twins, target, 0.0)
    twins.observe(target, 900.0, 0.0)
    asyncio.run(twins.set_replicas(target, scale, 12, 0.0))
    seen = [(scale_of(twins, target, now_s), figures_of(twins, target)) for now_s in (15.0, 30.0, 120.0, 240.0)]
    assert [scale.ready for scale, _ in seen] == [3, 3, 12, 12]
    assert {scale.replicas for scale, _ in seen} == {12}
    bad = [would_be.bad_ratio for _, would_be in seen]
    assert bad[1] > 0.2  # of the last minute half
    assert bad[3] < 0.01
    assert seen[0][1].latency_p95_s > 0.5 > seen[3][1].latency_p95_s


def test_the_policy_sees_the_twins_bad_share_where_one_is_measured():
    service = {"badRatioQuery": "bad / all"}
    cluster, target = Cluster(replicas=3, demand=900.0), a_target(service=service, mode="UpOnly", maxReplicas=3)
    assert ticks(cluster, target, Twins(cluster.read), 10).observation.bad_ratio > 0.3
    assert ticks(cluster, a_target(), Twins(cluster.read), 10).observation.bad_ratio is None


def test_the_same_seed_and_readings_give_the_same_twins_whoever_else_there_is():
    def lived(seed, others, own="web"):
        cluster, target = Cluster(), Target(replace(a_resource(), name=own))
        twins = Twins(cluster.read, seed)
        for name in others:
            scale_of(twins, Target(replace(a_resource(), name=name)), 0.0)
        for step in range(60):
            scale = scale_of(twins, target, step * STEP_S)
            twins.observe(target, 150.0 + 5 * step, step * STEP_S)
            asyncio.run(twins.set_replicas(target, scale, 3 + step // 10, step * STEP_S))
        return figures_of(twins, target), twins._twins[target.name].world.cluster["metric_rps"]

    assert lived(1, ()) == lived(1, ("api", "shop"))
    assert lived(1, ()) != lived(2, ())
    assert lived(1, ()) != lived(1, (), own="api")


def test_time_passes_on_the_grid_however_often_the_twin_is_looked_at():
    def lived(looks_s):
        cluster, target = Cluster(), a_target()
        twins = Twins(cluster.read)
        scale_of(twins, target, 0.0)
        twins.observe(target, 500.0, 0.0)
        for now_s in looks_s:
            scale_of(twins, target, now_s)
        return figures_of(twins, target)

    assert lived([600.0]) == lived([5.0 * look for look in range(121)]) == lived([599.0, 300.0, 600.0])


def test_demand_that_is_not_known_leaves_the_last_one():
    cluster, target = Cluster(demand=250.0), a_target()
    twins = Twins(cluster.read)
    ticks(cluster, target, twins, 4)
    cluster.reading = Unknown(Reason.METRIC_EMPTY)
    outcome = ticks(cluster, target, twins, 4, begin_s=60.0)
    assert outcome.decision.reasons == (Reason.METRIC_EMPTY, Reason.HISTORY_SHORT)
    assert figures_of(twins, target).bad_ratio < 0.01


def test_nothing_would_be_before_demand_was_seen():
    cluster, target = Cluster(), a_target()
    twins = Twins(cluster.read)
    assert twins.would_be(target) is None
    twins.observe(target, 100.0, 0.0)  # of a twin that is not there
    scale_of(twins, target, 0.0)
    assert scale_of(twins, target, 900.0) == Scale(3, 3)
    assert twins.would_be(target) is None


def test_in_shadow_the_twin_has_the_real_size():
    cluster, target = Cluster(replicas=3, demand=250.0), a_target(mode="Shadow")
    twins = Twins(cluster.read)
    ticks(cluster, target, twins, 3)
    cluster.scale = Scale(7, 6)
    assert ticks(cluster, target, twins, 1, begin_s=45.0).scale == Scale(7, 6)
    scale_of(twins, target, 75.0)
    assert figures_of(twins, target).replicas == 7


def test_what_stands_against_a_change_of_the_real_workload_holds_its_twin():
    cluster, target = Cluster(replicas=3, demand=2000.0), a_target()
    cluster.scale = Scale(3, 3, (Reason.CONFLICT,), Refused("HorizontalPodAutoscaler", "an HPA scales it"))
    outcome = ticks(cluster, target, Twins(cluster.read), 10)
    assert outcome.scale.replicas == 3
    assert outcome.scale.competitor.message == "an HPA scales it"


@pytest.mark.parametrize(("reason", "replicas"), [(GONE, 5), ("Timeout", 9)])
def test_a_deleted_target_is_forgotten_and_an_unreachable_one_is_not(reason, replicas):
    cluster, target = Cluster(replicas=3), a_target()
    twins = Twins(cluster.read)
    asyncio.run(twins.set_replicas(target, scale_of(twins, target, 0.0), 9, 0.0))
    cluster.scale = refused = Refused(reason, "it is away")
    assert scale_of(twins, target, 15.0) == refused
    cluster.scale = Scale(5, 5)
    assert scale_of(twins, target, 30.0).replicas == replicas


def test_a_twin_that_was_forgotten_meanwhile_is_not_written():
    cluster, target = Cluster(replicas=3), a_target()
    twins = Twins(cluster.read)
    seen = scale_of(twins, target, 0.0)
    twins.forget(target.name)
    assert isinstance(asyncio.run(twins.set_replicas(target, seen, 9, 0.0)), Refused)
    cluster.scale = Scale(4, 4)
    assert scale_of(twins, target, 15.0).replicas == 4
    assert isinstance(asyncio.run(twins.set_replicas(target, seen, 9, 0.0)), Refused)


def test_a_policy_that_points_elsewhere_gets_a_twin_of_that():
    cluster = Cluster(replicas=3)
    twins = Twins(cluster.read)
    asyncio.run(twins.set_replicas(a_target(), scale_of(twins, a_target(), 0.0), 9, 0.0))
    cluster.scale = Scale(5, 5)
    elsewhere = a_target(scaleTargetRef={"apiVersion": "apps/v1", "kind": "Deployment", "name": "web-2"})
    assert scale_of(twins, elsewhere, 15.0).replicas == 5


def test_what_cannot_be_simulated_is_refused_in_one_line():
    refused = scale_of(Twins(Cluster().read), a_target(startupSeconds=1800), 0.0)
    assert isinstance(refused, Refused)
    assert "startup_s" in refused.message


def test_an_edit_changes_what_pods_are_like_and_not_how_many():
    cluster, target = Cluster(replicas=3), a_target()
    twins = Twins(cluster.read)
    asyncio.run(twins.set_replicas(target, scale_of(twins, target, 0.0), 9, 0.0))
    twins.observe(target, 850.0, 0.0)
    scale_of(twins, target, 600.0)
    assert figures_of(twins, target).bad_ratio < 0.05
    weaker = a_target(demand={"targetPerReplica": "35"})
    assert scale_of(twins, weaker, 900.0).replicas == 9
    assert figures_of(twins, weaker).bad_ratio > 0.2
