"""The operator's `decide` and a row of the simulated fleet take the same decisions, step by step."""

import numpy as np
import pytest

from controller.policy_choice import policy_named
from scaling.band import begin_band
from scaling.decide import PolicyState, decide
from scaling.decision import Reason
from scaling.features import N_FEATURES, encode
from scaling.gate import gate
from scaling.observation import Observation, Value
from scaling.reference import begin_reference
from scaling.spec import Guardrails, Mode, ScalingSpec
from scaling.terms import terms_of
from scaling.workload import STEP_S, new_workload, record_to_dict
from sim.cluster import CLUSTER
from sim.demand import generate, sample_scenario
from sim.rivals import Rule
from sim.row import decide_row, observe_row

RUNS, STEPS = 250, 400
"""100,000 decisions."""

ENVELOPE_REASONS = {
    Reason.CEILING_RATIO,
    Reason.FLOOR_UTILIZATION,
    Reason.MIN_READY,
    Reason.UP_ONLY,
    Reason.SCALE_UP_LIMIT,
    Reason.TOO_FEW_REPLICAS,
    Reason.TOO_MANY_REPLICAS,
}
"""All that a fleet's row knows; holds, fallbacks and behavior are the operator's alone."""


def a_random_spec(rng):
    low = int(rng.integers(1, 6))
    return ScalingSpec(
        min_replicas=low,
        max_replicas=low + int(rng.integers(0, 60)),
        target_per_replica=float(rng.uniform(0.5, 1.0) * 70.0),
        capacity_per_replica=float(70.0 / rng.uniform(0.6, 1.0)),
        startup_s=float(rng.uniform(1.0, 180.0)),
        price=float(rng.uniform(5.0, 150.0)),
        mode=Mode.UP_ONLY if rng.random() < 0.1 else Mode.AUTO,
        guardrails=Guardrails(
            floor_utilization_ratio=float(rng.uniform(0.5, 1.0)),
            ceiling_ratio=float(rng.uniform(1.0, 3.0)),
            min_ready_ratio=float(rng.uniform(0.0, 1.0)),
        ),
    )


def a_random_load(rng, spec):
    scenario = sample_scenario(rng)
    demand = generate(scenario, STEPS, STEP_S, rng)
    return demand / demand.mean() * spec.stated_capacity * rng.uniform(1.0, 40.0)


@pytest.mark.slow
def test_the_operator_and_a_fleets_row_take_the_same_100_000_decisions():
    rng, policy, seen = np.random.default_rng(20261201), policy_named("default"), set()
    for _ in range(RUNS):
        spec = a_random_spec(rng)
        seen |= run_side_by_side(spec, a_random_load(rng, spec), policy, rng)
    assert ENVELOPE_REASONS | {Reason.OUT_OF_DISTRIBUTION} <= seen


def run_side_by_side(spec, demand, policy, rng):
    """Drive both over one load with random readiness and bad requests; the reasons that were met."""
    terms, state, memory = terms_of(spec), PolicyState(), new_workload()
    cluster = record_to_dict(np.zeros(1, CLUSTER)[0])
    current, reasons = int(rng.integers(1, 10)), set()
    begin_reference(memory, current)
    begin_band(memory, current)
    for step, load in enumerate(demand):
        ready, bad = int(rng.integers(current // 2, current + 1)), float(rng.choice([0.0, 0.02, 0.2]))
        ready = current if step % 4 == 0 else ready  # pods that never become ready hold the operator, and no row
        now_s = step * STEP_S
        decision = decide(
            Observation(Value(float(load), covered=True), current, ready, bad), spec, state, policy, now_s
        )

        cluster |= {"metric_rps": float(load), "metric_bad_ratio": bad, "desired": current, "ready": ready}
        observe_row(memory, terms, cluster)
        features = np.zeros(N_FEATURES, np.float32)
        encode(memory, terms, current, ready, features)
        gated = gate(policy, features, policy.answer(features[np.newaxis])[0])
        size = decide_row(int(Rule.ANSWERS), 0.0, memory, {}, terms, cluster, *map(float, gated.answer))
        assert size == decision.final_replicas, (step, spec)
        reasons |= set(decision.reasons)
        current = size
    for name in memory.keys() - {"since_add"}:  # the operator learns of an addition when it sees the new size
        assert np.array_equal(memory[name], state.memory[name]), name
    return reasons
