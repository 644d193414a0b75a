"""Generated scenarios as traces, for comparisons on a machine that has no recorded load."""

import numpy as np

from scaling.workload import STEP_S
from sim.demand import SCENARIOS, generate
from sim.trace_array import trace_of_values
from sim.traces import Trace

DAY_STEPS = round(86_400 / STEP_S)


def generated_traces(days: float, seed: int) -> list[Trace]:
    """Return one trace of so many days for each scenario, in requests/s; the same seed gives the same ones."""
    steps = max(2, round(days * DAY_STEPS))
    return [
        trace_of_values(generate(scenario, steps, STEP_S, np.random.default_rng([seed, number])), STEP_S, name)
        for number, (name, scenario) in enumerate(SCENARIOS.items())
    ]
