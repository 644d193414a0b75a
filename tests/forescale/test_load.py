"""The load of a dry-run: what fits a policy, and what is warned of."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from controller.crd.resource import load_policies
from controller.dryrun.rehearsal import run_policy
from forescale.load import LoadRequest, Loads, warning
from scaling.spec import ScalingSpec
from sim.clairvoyant import BAD_LIMIT
from sim.demand import SCENARIOS

ROOT = Path(__file__).parents[2]
EXAMPLES = [
    resource for path in sorted((ROOT / "deploy" / "examples").glob("*.yaml")) for resource in load_policies(path)
]
WEEK_HOURS = 168.0


def a_spec(**changes: float) -> ScalingSpec:
    return replace(ScalingSpec(max_replicas=60, target_per_replica=70.0), **changes)  # type: ignore[arg-type]


def a_load(spec: ScalingSpec, scenario: str = "day", **request: float) -> np.ndarray:
    asked = LoadRequest(scenario=scenario, history_hours=0.0, **request)  # type: ignore[arg-type]
    return Loads(asked).of("shop/web", spec, 15.0).demand


@pytest.mark.parametrize("target", [0.5, 70.0, 5e7], ids=["cores", "requests", "bytes"])
@pytest.mark.parametrize("scenario", ["day", "weekly", "noisy"])
def test_a_generated_load_is_ten_replicas_worth_in_the_policys_unit(scenario, target):
    demand = a_load(a_spec(target_per_replica=target), scenario, hours=WEEK_HOURS)
    assert demand.mean() / target == pytest.approx(10.0, rel=0.3)


def test_the_shape_of_a_generated_load_does_not_depend_on_the_unit():
    requests, cores = (a_load(a_spec(target_per_replica=target), hours=24.0) for target in (70.0, 0.7))
    assert cores == pytest.approx(requests / 100, rel=1e-12)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("max_replicas", [1, 4, 60])
def test_all_replicas_can_serve_a_generated_load(scenario, max_replicas):
    spec = a_spec(max_replicas=max_replicas)
    demand = a_load(spec, scenario, hours=48.0)
    assert 0 < demand.max() <= 0.9001 * max_replicas * spec.stated_capacity
    assert demand.mean() > 0.02 * min(max_replicas, 10) * spec.target_per_replica


def test_many_replicas_at_least_are_given_load_for_so_many():
    demand = a_load(a_spec(min_replicas=40, max_replicas=400), hours=WEEK_HOURS)
    assert demand.mean() / 70.0 == pytest.approx(40.0, rel=0.2)


def test_a_mean_that_was_asked_for_is_not_fitted():
    assert a_load(a_spec(), hours=WEEK_HOURS, mean_rps=9_000.0).mean() == pytest.approx(9_000.0, rel=0.2)


def test_a_generated_load_is_never_warned_of():
    for scenario in SCENARIOS:
        spec = a_spec(max_replicas=2)
        load = Loads(LoadRequest(scenario=scenario)).of("shop/web", spec, 15.0)
        assert warning(load, spec, "requests/s") is None


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("resource", EXAMPLES, ids=lambda resource: resource.name)
def test_the_clairvoyant_serves_every_generated_load_of_the_shipped_examples(resource, scenario):
    load = Loads(LoadRequest(scenario=scenario, hours=4.0)).of(resource.name, resource.spec, 15.0)
    run, decisions = run_policy(resource, load, 0, lambda frame: None)
    ideal = run.policy("clairvoyant")
    assert ideal.late.sum() <= BAD_LIMIT * ideal.requests.sum()
    assert decisions
