"""The dry-run is the operator's decision code on the simulator, with an honest HPA beside it."""

import asyncio

import numpy as np
import pytest

from controller.crd.resource import parse_policy
from controller.dryrun.rehearsal import Load, run_policy
from controller.dryrun.simulated import SimulatedWorkload, TwinHpa
from controller.frame import Frame
from controller.ports import Ports, Target
from controller.reconcile import reconcile
from scaling.decision import Action, Reason
from scaling.observation import Unknown
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
    (outcome,) = asyncio.run(reconcile([target], Ports(world, world), RULES["snvt"], 15.0))
    assert outcome.decision is not None
    assert (outcome.decision.action, outcome.decision.reasons[0]) == (Action.HOLD, Reason.METRIC_EMPTY)
    hpa = TwinHpa(ScalingSpec(max_replicas=40, target_per_replica=1.0), world)
    hpa.sync(15.0)
    assert world.wanted == 5
