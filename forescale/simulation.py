"""A load of the recommendation API through the simulated cluster: forescale beside an HPA, on a grid for a chart."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.api.models import SideOut, SimulationOut, SimulationRequest, StepOut
from forescale.api import DryRun, dry_run

CAPACITY = 70.0
"""Load that one replica of the example serves, in requests per second."""
TARGET_RATIO = 0.7
"""What the HPA of the example aims at, as a share of that capacity."""
MAX_REPLICAS = 200
MOST_POINTS = 480
"""Of a chart: a step is a pixel or two on a wide screen."""
HISTORY_HOURS = 24.0
"""Of a generated load, before the run: what the policy remembers."""


def simulate(request: SimulationRequest) -> SimulationOut:
    """Run it. Raises InputError for a load that cannot be run."""
    result = dry_run(_resource(request), **_load(request), seed=request.seed)
    series, every = result.series, max(1, -(-len(result.series["time_s"]) // MOST_POINTS))
    return SimulationOut(
        time_s=_thinned(series["time_s"] - series["time_s"][0], every),
        demand=_thinned(series["demand"], every),
        capacity_per_replica=CAPACITY,
        unit=result.unit,
        forescale=_side(result, "forescale", every),
        hpa=_side(result, "hpa", every),
        decisions=[
            StepOut(
                reasons=list(decision.reasons),
                lo=None if decision.band is None else decision.band.lo,
                hi=None if decision.band is None else decision.band.hi,
                proposed=decision.proposed_replicas,
            )
            for decision in result.decisions[::every]
        ],
    )


def _resource(request: SimulationRequest) -> dict[str, Any]:
    return {
        "apiVersion": "forescale.dev/v1alpha1",
        "kind": "ScalingPolicy",
        "metadata": {"name": "example"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "example"},
            "minReplicas": 1,
            "maxReplicas": MAX_REPLICAS,
            "startupSeconds": request.startup_seconds,
            "demand": {"targetPerReplica": f"{CAPACITY * TARGET_RATIO:g}", "capacityPerReplica": f"{CAPACITY:g}"},
            "objective": {"price": f"{request.price:g}"},
        },
    }


def _load(request: SimulationRequest) -> dict[str, Any]:
    """The load as a dry-run takes it."""
    if request.load is None:
        generate = request.generate or "day"
        return {"generate": generate, "hours": request.hours, "history_hours": HISTORY_HOURS}
    times_s = np.arange(len(request.load)) * float(request.step_seconds)
    return {"trace": (times_s, np.array(request.load))}


def _side(result: DryRun, name: str, every: int) -> SideOut:
    figures = result.summary[name]
    return SideOut(
        replicas=[round(value) for value in _thinned(result.series[f"{name}_replicas"], every)],
        replica_hours=round(figures["replica_hours"], 2),
        bad_percent=round(100 * float(np.nan_to_num(figures["bad_ratio"])), 3),
        changes=int(figures["actions"]),
    )


def _thinned(values: NDArray[np.float64], every: int) -> list[float]:
    return [round(float(value), 3) for value in values[::every]]
