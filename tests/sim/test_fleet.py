"""Fleets: compiled and plain Python give the same run, a row decides as `decide` does, and rows do not touch."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scaling.band import begin_band
from scaling.decide import PolicyState, decide
from scaling.decision import Reason
from scaling.features import N_FEATURES, encode
from scaling.observation import Observation, Unknown, Value
from scaling.policy import RULES
from scaling.reference import begin_reference
from scaling.spec import ScalingSpec
from scaling.terms import TERMS, terms_of
from scaling.workload import STEP_S, new_workload, observe, record_to_dict
from sim.cluster import begin_cluster, begin_metrics, draw, new_cluster, new_params, params_rows, transition
from sim.compiled import COMPILED
from sim.fleet import Fleet
from sim.rivals import RIVAL, Rule
from sim.row import decide_row, observe_row, reward_row
from tests.sim.builders import NO_GUARDS, Params, a_fleet, a_terms, no_chance, quiet_params

compiled_only = pytest.mark.skipif(not COMPILED, reason="numba is not installed, so there is nothing to compare with")

ARGUMENTS = {Rule.QUANTILE: 3.0, Rule.CONSTANT: 12.0}
WILD = {"crash_per_pod_hour": 2.0, "gap_per_hour": 20.0, "metric_noise": 0.03}


def demand_of_pods(seed: int, n_steps: int, count: int, pod_rps: float) -> NDArray[np.float64]:
    """(n_steps, count): noise around levels that jump, with idle stretches."""
    rng = np.random.default_rng(seed)
    levels = np.repeat(np.exp(rng.normal(2.3, 1.0, (n_steps // 20 + 1, count))), 20, axis=0)[:n_steps]
    levels *= np.repeat(rng.random((n_steps // 20 + 1, count)) < 0.9, 20, axis=0)[:n_steps]
    return np.asarray(pod_rps * levels * np.exp(0.1 * rng.standard_normal((n_steps, count))), np.float64)


class PlainRow:
    """One row of a fleet in plain Python, on dicts."""

    def __init__(self, rule: Rule, argument: float, terms: dict[str, Any], params: Params, replicas: int) -> None:
        self.rule, self.argument, self.terms, self.params = rule, argument, terms, params
        self.memory, self.rival = new_workload(), record_to_dict(np.zeros(1, RIVAL)[0])
        self.cluster = new_cluster()
        self.reward = 0.0
        self.features = np.zeros(N_FEATURES, np.float32)
        begin_cluster(self.cluster, replicas, params)
        begin_reference(self.memory, replicas)
        begin_band(self.memory, replicas)

    def observe_first(self, demand_rps: float) -> None:
        begin_metrics(self.cluster, demand_rps)
        observe_row(self.memory, self.terms, self.cluster)

    def step(self, demand_rps: float, answers: Any, draws: Any) -> None:
        current = self.cluster["desired"]
        raise_by, release_by = float(answers[0]), float(answers[1])
        target = decide_row(
            self.rule, self.argument, self.memory, self.rival, self.terms, self.cluster, raise_by, release_by
        )
        transition(self.cluster, target, demand_rps, self.params, draws)
        observe_row(self.memory, self.terms, self.cluster)
        self.reward = reward_row(self.terms, self.cluster, self.params, target - current)
        encode(self.memory, self.terms, target, self.cluster["ready"], self.features)


def assert_same(record: np.void, fields: dict[str, Any], where: str) -> None:
    """Integers exactly, floats to 1e-9 of the field's size, float32 to its own precision.

    What comes of quantiles to 1e-6: the last one lies a billionth below the total, and so shows each rounding of it.
    """
    for name, value in fields.items():
        seen, wanted = np.asarray(record[name]), np.asarray(value)
        if seen.dtype.kind == "i":
            assert np.array_equal(seen, wanted), f"{where}: {name} {seen} != {wanted}"
        else:
            coarse = seen.dtype == np.float32 or name.startswith(("quantiles", "spare", "aim"))
            rel = 1e-6 if coarse else 1e-9
            size = max(1.0, float(np.abs(wanted).max()))
            assert np.allclose(seen, wanted, rtol=rel, atol=rel * size), f"{where}: {name} {seen} != {wanted}"


@compiled_only
@pytest.mark.parametrize(
    "params",
    [
        pytest.param(new_params(**WILD), id="default-pods"),
        pytest.param(
            new_params(workers=2.0, service_s=0.3, objective_s=2.4, startup_s=120.0, pods_per_node=5.0, **WILD),
            id="heavy-requests",
        ),
    ],
)
def test_compiled_rows_are_the_plain_ones_for_every_rule(params: Params) -> None:
    rules = list(Rule)
    arguments = [ARGUMENTS.get(rule, 0.0) for rule in rules]
    fleet, terms = a_fleet(rules, params, arguments), a_terms(params)
    rows = [PlainRow(rule, ARGUMENTS.get(rule, 0.0), terms, params, 12) for rule in rules]
    demand_rps = demand_of_pods(1, 300, len(rules), params["workers"] / params["service_s"])
    fleet.begin(np.arange(len(rules)), [12] * len(rules))
    for index, row in enumerate(rows):
        row.observe_first(float(demand_rps[0, index]))
        fleet.observe_first(index, float(demand_rps[0, index]))
    rng = np.random.default_rng(2)
    for step in range(len(demand_rps)):
        answers, draws = rng.uniform(-1, 1, (len(rules), 2)).astype(np.float32), draw(rng, len(rules))
        fleet.step(demand_rps[step], answers, draws)
        for index, row in enumerate(rows):
            row.step(float(demand_rps[step, index]), answers[index], draws[index])
            assert fleet.clusters[index]["desired"] == row.cluster["desired"], f"step {step}, {row.rule.name}"
        if step % 20 == 19:
            assert_rows_equal(fleet, rows, step)
    assert all(fleet.actions[index] > 20 for index, rule in enumerate(rules) if rule is not Rule.CONSTANT)


def assert_rows_equal(fleet: Fleet, rows: list[PlainRow], step: int) -> None:
    for index, row in enumerate(rows):
        where = f"step {step}, {row.rule.name}"
        assert_same(fleet.workloads[index], row.memory, where)
        assert_same(fleet.rivals[index], row.rival, where)
        assert_same(fleet.clusters[index], row.cluster, where)
        assert fleet.rewards[index] == pytest.approx(row.reward, rel=1e-6), where
        assert fleet.observations[index] == pytest.approx(row.features, rel=1e-5, abs=1e-5), where


@pytest.mark.parametrize(("rule", "policy"), [(Rule.ANSWERS, "snvt"), (Rule.HPA, "hpa"), (Rule.QUANTILE, "quantile")])
def test_a_row_decides_as_decide_does_through_gaps_and_crashes(rule: Rule, policy: str) -> None:
    params = new_params(**WILD, gap_s=30.0)  # shorter than the fallback's delay, which fleets leave out
    spec = ScalingSpec(max_replicas=80, min_replicas=2, target_per_replica=112.0, startup_s=45.0)
    terms = terms_of(spec)
    fleet = Fleet(np.array([tuple(terms.values())], TERMS), params_rows([params]), [rule], [3.0])
    fleet.begin([0], [12])
    demand_rps = demand_of_pods(5, 400, 1, 160.0)
    fleet.observe_first(0, float(demand_rps[0, 0]))
    state = PolicyState()
    reasons: set[Reason] = set()
    for step, draws in enumerate(draw(np.random.default_rng(6), len(demand_rps))):
        decision = decide(what_is_seen(fleet.clusters[0]), spec, state, RULES[policy], step * STEP_S)
        reasons.update(decision.reasons)
        fleet.step(demand_rps[step], np.zeros((1, 2), np.float32), draws[None, :])
        assert fleet.clusters[0]["desired"] == decision.final_replicas, f"step {step}: {decision.reasons}"
    assert {Reason.METRIC_EMPTY, Reason.BELOW_BAND, Reason.ABOVE_BAND} <= reasons


def what_is_seen(cluster: np.void) -> Observation:
    known = Value(float(cluster["metric_rps"]), covered=True)
    reading = Unknown(Reason.METRIC_EMPTY, "") if cluster["metric_missing"] else known
    return Observation(
        demand=reading,
        current_replicas=int(cluster["desired"]),
        ready_replicas=int(cluster["ready"]),
        bad_ratio=float(cluster["metric_bad_ratio"]),
    )


def test_without_the_compiler_a_fleet_runs_all_the_same() -> None:
    code = (
        "import numpy as np\n"
        "from sim.compiled import COMPILED\n"
        "from tests.sim.test_fleet import a_short_run\n"
        "print(COMPILED, [round(float(x), 3) for x in a_short_run()])"
    )
    environment = os.environ | {"FORESCALE_PLAIN": "1", "OMP_NUM_THREADS": "1"}
    plain = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=600
    )
    assert plain.stdout.strip() == f"False {[round(float(x), 3) for x in a_short_run()]}"


def a_short_run() -> NDArray[np.float64]:
    """Rewards of the last of twenty steps."""
    fleet = begun(list(Rule)[:4])
    demand_rps = demand_of_pods(1, 20, 4, 160.0)
    for step, rates in enumerate(demand_rps):
        fleet.step(rates, np.zeros((4, 2), np.float32), draw(np.random.default_rng(step), 4))
    return fleet.rewards.astype(np.float64)


def begun(rules: list[Rule], replicas: int = 12, demand_rps: float = 1600.0, **terms: Any) -> Fleet:
    fleet = a_fleet(rules, new_params(**WILD), **terms)
    fleet.begin(np.arange(len(rules)), [replicas] * len(rules))
    for row in range(len(rules)):
        fleet.observe_first(row, demand_rps)
    return fleet


def everything(fleet: Fleet, row: int) -> bytes:
    parts = (fleet.workloads, fleet.rivals, fleet.clusters, fleet.observations, fleet.rewards, fleet.actions)
    return b"".join(part[row].tobytes() for part in parts)


def drive(fleet: Fleet, order: list[int], n_steps: int = 30, running: int | None = None) -> None:
    """The same demand and chance for each row wherever it stands."""
    demand_rps = demand_of_pods(3, n_steps, len(order), 160.0)
    rng = np.random.default_rng(4)
    for rates in demand_rps:
        draws = draw(rng, len(order))
        fleet.step(rates[order][:running], np.zeros((len(order), 2), np.float32), draws[order][:running])


def test_rows_do_not_touch_each_other() -> None:
    rules = [Rule.ANSWERS, Rule.HPA, Rule.HOLT_WINTERS, Rule.STEP]
    fleet, turned = begun(rules), begun(rules[::-1])
    drive(fleet, [0, 1, 2, 3])
    drive(turned, [3, 2, 1, 0])
    assert [everything(fleet, row) for row in range(4)] == [everything(turned, row) for row in (3, 2, 1, 0)]


def test_rows_past_the_demand_given_stand_still() -> None:
    fleet = begun([Rule.ANSWERS] * 3)
    still = everything(fleet, 2)
    drive(fleet, [0, 1, 2], running=2)
    assert everything(fleet, 2) == still
    assert everything(fleet, 0) != everything(fleet, 1)


def test_a_row_begun_anew_forgets_everything() -> None:
    fleet = begun([Rule.HOLT_WINTERS] * 2)
    drive(fleet, [0, 1])
    fleet.begin([1], [12])
    fleet.observe_first(1, 1600.0)
    drive(fleet, [0, 1])
    fresh = begun([Rule.HOLT_WINTERS] * 2)
    drive(fresh, [0, 1])
    assert everything(fleet, 1) == everything(fresh, 1)


def test_remembered_demand_is_observed_one_reading_a_step() -> None:
    fleet = a_fleet([Rule.ANSWERS] * 2, quiet_params())
    fleet.begin([0, 1], [12, 12])
    demand_rps = demand_of_pods(8, 90, 1, 160.0).T
    fleet.remember([1], demand_rps)
    memory, terms = new_workload(), a_terms(quiet_params())
    for rate in demand_rps[0]:
        observe(memory, float(rate) / terms["stated_capacity"], terms["price"], terms["horizon"])
    names = ("steps", "level", "recent", "peaks", "mean_24h", "rises_pods", "quantiles_ratio", "minutes")
    assert_same(fleet.workloads[1], {name: memory[name] for name in names}, "remembered")
    assert fleet.workloads[0]["steps"] == 0


@pytest.mark.parametrize(("read_pods", "replicas"), [(4.0, 5), (1.0, 3)], ids=["adds-one", "removes-one"])
def test_a_reward_is_minus_pods_and_late_requests_and_moves_at_their_prices(read_pods: float, replicas: int) -> None:
    fleet = begun([Rule.STEP], replicas=4, demand_rps=read_pods * 160.0, price=20.0, action_price=2.5, **NO_GUARDS)
    fleet.step(np.array([5 * 160.0]), np.zeros((1, 2), np.float32), no_chance()[None, :])
    cluster = fleet.clusters[0]
    assert cluster["replicas"] == replicas
    assert cluster["late"] > 0
    late_pod_steps = float(cluster["late"]) / (160.0 * 15.0)
    assert fleet.rewards[0] == pytest.approx(-(replicas + 20.0 * late_pod_steps + 2.5), rel=1e-6)
    assert fleet.actions[0] == 1


def test_a_row_without_a_metric_holds() -> None:
    fleet = begun([Rule.HPA], replicas=4, demand_rps=160.0)
    fleet.clusters["metric_missing"] = 1
    fleet.step(np.array([9000.0]), np.zeros((1, 2), np.float32), no_chance()[None, :])
    assert fleet.clusters[0]["desired"] == 4
