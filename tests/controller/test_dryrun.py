"""The dry-run is the operator's decision code on the simulator, with an honest HPA beside it."""

import asyncio
import dataclasses

import numpy as np
import pytest

from controller.crd.resource import parse_policy
from controller.dryrun import Load, SimulatedWorkload, TwinHpa, run_policy
from controller.frame import Frame
from controller.ports import Ports, Target
from controller.reconcile import reconcile
from scaling.decision import Action, Reason
from scaling.observation import Unknown, Value
from scaling.policy import RULES
from scaling.spec import ScalingSpec
from sim.cluster import begin_metrics, new_params

NOTHING = np.zeros(0)


def a_resource(**spec):
    body = {
        "apiVersion": "forescale.dev/v1alpha1",
        "kind": "ScalingPolicy",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "maxReplicas": 40,
            "policyRef": {"name": "snvt"},
            "demand": {"targetPerReplica": "70"},
            **spec,
        },
    }
    return parse_policy(body)


def a_load(demand, history=NOTHING, step_s=15.0):
    return Load(np.asarray(demand, float), step_s, np.asarray(history, float))


def a_hill(n_steps=240):
    return 500 + 400 * np.sin(np.linspace(0, np.pi, n_steps))


def nobody(frame):
    pass


def test_the_same_seed_gives_the_same_run():
    first, again, other = (run_policy(a_resource(), a_load(a_hill()), seed, nobody) for seed in (1, 1, 2))
    assert first[1] == again[1]
    assert np.array_equal(first[0].policy("forescale").late, again[0].policy("forescale").late)
    assert first[1] != other[1]


def test_every_policy_sees_the_same_requests():
    run, _ = run_policy(a_resource(), a_load(a_hill()), 0, nobody)
    assert [policy.name for policy in run.policies] == ["forescale", "hpa", "clairvoyant"]
    for policy in run.policies:
        assert policy.requests == pytest.approx(run.policies[0].requests)
        assert (policy.late <= policy.requests + 1e-9).all()
        assert (policy.ready <= policy.replicas).all()


def test_replicas_follow_the_decisions():
    run, decisions = run_policy(a_resource(), a_load(a_hill()), 0, nobody)
    assert len(decisions) == 239  # one an interval, after the first step
    assert any(decision.action is Action.ADD for decision in decisions)
    assert any(decision.action is Action.REMOVE for decision in decisions)
    assert run.policy("forescale").replicas[1:].tolist() == [decision.final_replicas for decision in decisions]


def test_shadow_decides_and_writes_nothing():
    run, decisions = run_policy(a_resource(mode="Shadow"), a_load(a_hill()), 0, nobody)
    assert any(decision.action is not Action.HOLD for decision in decisions)
    assert len(set(run.policy("forescale").replicas)) == 1


def test_bounds_are_kept_by_all():
    run, _ = run_policy(a_resource(minReplicas=6, maxReplicas=8), a_load(a_hill()), 0, nobody)
    for policy in run.policies:
        assert policy.replicas.min() >= 6, policy.name
        assert policy.replicas.max() <= 8, policy.name


def test_a_longer_interval_decides_less_often():
    _, decisions = run_policy(a_resource(intervalSeconds=60), a_load(a_hill()), 0, nobody)
    assert [decision.time_s for decision in decisions] == [60.0 * k for k in range(1, 60)]


def test_the_twin_hpa_settles_where_the_formula_says():
    run, _ = run_policy(a_resource(), a_load(np.full(120, 700.0)), 0, nobody)
    assert 9 <= run.policy("hpa").replicas[-1] <= 11  # 700 / 70, within the tolerance of 10 %


def test_the_clairvoyant_is_the_cheapest_that_serves():
    run, _ = run_policy(a_resource(), a_load(a_hill()), 0, nobody)
    ideal = run.policy("clairvoyant")
    assert ideal.late.sum() <= 0.011 * ideal.requests.sum()
    assert ideal.replicas.sum() <= run.policy("hpa").replicas.sum()


def test_history_is_remembered_before_the_first_decision():
    noisy = 500 * np.exp(np.random.default_rng(0).normal(0, 0.3, 5760))
    _, without = run_policy(a_resource(), a_load(np.full(20, 500.0)), 0, nobody)
    _, after_noise = run_policy(a_resource(), a_load(np.full(20, 500.0), noisy), 0, nobody)
    assert after_noise[0].band is not None
    assert without[0].band is not None
    assert after_noise[0].band.lo > without[0].band.lo


def test_frames_add_up_to_the_run():
    frames: list[Frame] = []
    run, decisions = run_policy(a_resource(), a_load(a_hill()), 0, frames.append)
    assert len(frames) == 240
    assert frames[-1].decision == decisions[-1]
    assert frames[-1].replica_hours == pytest.approx(run.policy("forescale").replicas.sum() * 15 / 3600)
    assert frames[-1].hpa_replica_hours == pytest.approx(run.policy("hpa").replicas.sum() * 15 / 3600)


def a_world(replicas=5, **params):
    world = SimulatedWorkload(new_params(**params), replicas, 1.0, reads_bad=False)
    begin_metrics(world.cluster, 100.0)
    return world


def test_a_gap_in_the_metric_is_unknown_and_holds_both_sides():
    world = a_world()
    world.cluster["metric_missing"] = 1
    assert isinstance(world.reading(), Unknown)
    target = Target(a_resource())
    (decision,) = asyncio.run(reconcile([target], Ports(world, world), RULES["snvt"], 15.0))
    assert (decision.action, decision.reasons) == (Action.HOLD, (Reason.METRIC_EMPTY,))
    hpa = TwinHpa(ScalingSpec(max_replicas=40, target_per_replica=1.0), world)
    hpa.sync(15.0)
    assert world.wanted == 5


def test_only_changes_are_written():
    class Refusing(SimulatedWorkload):
        async def set_replicas(self, target, replicas):
            raise AssertionError(f"wrote {replicas}")

    world = Refusing(new_params(), 3, 1.0, reads_bad=False)
    begin_metrics(world.cluster, 240.0)
    assert world.reading() == Value(240.0)
    target = Target(a_resource(minReplicas=3, maxReplicas=3))
    (decision,) = asyncio.run(reconcile([target], Ports(world, world), RULES["snvt"], 15.0))
    assert decision.action is Action.HOLD


def test_one_targets_missing_metric_leaves_the_others_alone():
    worlds = {"web": a_world(), "api": a_world()}
    worlds["web"].cluster["metric_missing"] = 1

    class Both:
        async def demand(self, target, now_s):
            return await worlds[target.resource.name].demand(target, now_s)

        async def bad_ratio(self, target, now_s):
            return None

        async def scale(self, target):
            return await worlds[target.resource.name].scale(target)

        async def set_replicas(self, target, replicas):
            await worlds[target.resource.name].set_replicas(target, replicas)

    targets = [Target(a_resource()), Target(dataclasses.replace(a_resource(), name="api"))]
    decisions = asyncio.run(reconcile(targets, Ports(Both(), Both()), RULES["snvt"], 15.0))
    assert decisions[0].reasons == (Reason.METRIC_EMPTY,)
    assert decisions[1].demand == 100.0
