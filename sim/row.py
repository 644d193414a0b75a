"""One row of a fleet: what a workload decides, what it reads afterwards, and what the step cost.

The same functions run one cluster in plain Python and thousands compiled (`sim.fleet`).
"""

from scaling.band import clamp_to_band
from scaling.guardrails import fit
from scaling.kernel import Record, kernel
from scaling.reading import take_reading
from scaling.workload import RECENT_STEPS
from sim.rivals import CONSTANT, propose


@kernel
def decide_row(
    rule: int, argument: float, w: Record, r: Record, terms: Record, c: Record, raise_by: float, release_by: float
) -> int:
    """Replicas that a row asks for next: its rule's band inside the envelope, or what it has without a metric.

    A constant is not scaled by anyone: it knows no envelope.
    """
    current = c["desired"]
    if rule == CONSTANT:
        return int(argument)
    if c["metric_missing"] == 1 or w["steps"] == 0:
        return int(current)
    lo, hi = propose(rule, argument, w, r, terms, current, raise_by, release_by)
    target, _ = fit(clamp_to_band(current, lo, hi), current, c["ready"], 0, 0, w, terms)
    if target > current:
        w["since_add"] = 0
    return target


@kernel
def observe_row(w: Record, terms: Record, c: Record) -> None:
    """Take a row's readings into its memory, unless the metric is missing.

    The first reading after a gap stands for the steps that were missed too, as in `scaling.decide`.
    """
    if c["metric_missing"] == 1:
        c["missed_steps"] += 1
        return
    steps = min(RECENT_STEPS, 1 + c["missed_steps"])
    take_reading(w, terms, c["metric_rps"] / terms["stated_capacity"], c["metric_bad_ratio"], c["ready"], steps)
    c["missed_steps"] = 0


@kernel
def reward_row(terms: Record, c: Record, params: Record, moved: int) -> float:
    """Minus what the step cost, in pod-steps: pods, bad requests at their price, and pods moved at theirs."""
    per_pod_step = params["workers"] / params["service_s"] * params["step_s"]
    return float(-(c["replicas"] + terms["price"] * c["late"] / per_pod_step + terms["action_price"] * abs(moved)))
