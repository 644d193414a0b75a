"""The dry-run for notebooks: values in, values out. Nothing is printed, and no file is written unless asked for."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from controller.crd.resource import PolicyResource, load_policies, parse_policy
from controller.policy_choice import policy_in, policy_named, policy_of
from controller.policy_store import builtin_names
from forescale.load import LoadRequest, Loads
from forescale.rehearsal import Outcome, document_of, example, outcome_of, step_s
from forescale.summary import CLAIRVOYANT, FORESCALE, HPA, headline, rows
from scaling.decision import Decision
from scaling.errors import InputError
from scaling.policy import RULES, Policy
from sim.measures import PRICES, PolicyRun, Run
from sim.trace_array import trace_of_points, trace_of_values
from sim.traces import Trace

PathLike = str | os.PathLike[str]
Points = tuple[ArrayLike, ArrayLike]


def dry_run(
    resource: PathLike | Mapping[str, Any] | PolicyResource | None = None,
    *,
    trace: PathLike | Points | ArrayLike | Trace | None = None,
    generate: str | None = None,
    hours: float | None = None,
    history_hours: float | None = None,
    mean_rps: float | None = None,
    column: str | None = None,
    seed: int = 0,
    policy: PathLike | Policy | None = None,
) -> "DryRun":
    """Run one ScalingPolicy against a simulated cluster, beside an exact HPA and the clairvoyant bound.

    The same arguments give the same result as `forescale dry-run`. Other arguments than these change nothing: no
    environment variable, no clock, no global generator.

    resource: a YAML file with one ScalingPolicy, its body as a mapping, or what `read_policy` gave. Default: an
        example.
    trace: a CSV file; a tuple (times, values) with times in seconds or as datetime64, or an (n, 2) array of such rows;
        or an (n,) array with one value for each control interval (`intervalSeconds`). Values are in the unit of the
        policy's `targetPerReplica`, and each is the mean of the interval that starts at its time.
    generate: in place of a trace: day (default), flash-crowd, weekly, on-off, noisy or idle.
    hours: length of the run. Default: 24 generated hours, or the whole trace.
    history_hours: load before the run that the policy remembers. Default: 48 generated hours, 0 of a trace.
    mean_rps: scale the load to this mean. column: the series of a CSV file with several.
    seed: of load and cluster.
    policy: a name or a folder as `load_policy` takes it, or what it gave. Default: the one that the resource names.

    Raises InputError, whose text is one line that names the value and the limit.
    """
    workload = read_policy(resource)
    if trace is not None and generate is not None:
        raise InputError(f"trace and generate {generate!r}: give one of them")
    load_of = _trace(trace, workload.spec.interval_s)
    request = LoadRequest(load_of, column, generate, hours, mean_rps, history_hours, _seed(seed))
    source = Loads(request)
    load = source.of(f"{workload.namespace}/{workload.name}", workload.spec, step_s(workload.spec.interval_s))
    decider = _policy(policy, workload)
    return DryRun(outcome_of(workload, load, request, decider, lambda frame: None, source.unit), source.unit)


@dataclass(frozen=True, eq=False)
class DryRun:
    """What one dry-run came to."""

    outcome: Outcome
    unit: str
    """Of demand."""

    @property
    def resource(self) -> PolicyResource:
        """The ScalingPolicy that ran."""
        return self.outcome.resource

    @property
    def run(self) -> Run:
        """The run as the report draws it."""
        return self.outcome.run

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Every decision, with its reasons, oldest first."""
        return tuple(self.outcome.decisions)

    @cached_property
    def series(self) -> dict[str, NDArray[np.float64]]:
        """Every step of the run, (n_steps,) each, read-only: `time_s`, `demand`, and for each of `forescale`, `hpa` and
        `clairvoyant` its `NAME_replicas`, `NAME_ready_replicas`, `NAME_requests`, `NAME_bad_requests` and
        `NAME_latency_p95_s`. `units` has the unit of each."""
        series = {"time_s": self.run.time_s, "demand": self.run.demand_rps}
        for policy in self.run.policies:
            series |= {f"{policy.name}_{what}": values for what, values in _series_of(policy).items()}
        return {name: _read_only(values) for name, values in series.items()}

    @property
    def units(self) -> dict[str, str]:
        """The unit of each series, by its name."""
        units = {"time_s": "s", "demand": self.unit}
        for policy in self.run.policies:
            units |= {f"{policy.name}_{what}": unit for what, unit in _UNITS.items()}
        return units

    @property
    def summary(self) -> dict[str, dict[str, float]]:
        """For each of `forescale`, `hpa` and `clairvoyant`: `replica_hours`; `cost`, pod-seconds over those of the
        clairvoyant; `bad_ratio`, share of requests over the objective or dropped; `actions`; and `j10`, `j30`, `j100`,
        which are cost + price x bad_ratio. NaN where a figure is not defined."""
        return {
            row.name: {
                "replica_hours": row.measures.replica_hours,
                "cost": row.measures.cost,
                "bad_ratio": row.measures.bad_ratio,
                "actions": float(row.measures.actions),
                **{f"j{price:g}": row.measures.j(price) for price in PRICES},
            }
            for row in rows(self.run)
        }

    @property
    def comparisons(self) -> dict[str, dict[str, float]]:
        """For each of `hpa` and `clairvoyant`: forescale's figures of `summary` over theirs, NaN over zero. Below 1 is
        better."""
        ours = self.summary[FORESCALE]
        return {
            rival: {name: _ratio(ours[name], theirs) for name, theirs in self.summary[rival].items()}
            for rival in (HPA, CLAIRVOYANT)
        }

    def document(self) -> dict[str, Any]:
        """What `forescale dry-run -o json` prints, as values; docs/dry-run.md has every field."""
        return document_of([self.outcome], self.unit)

    def to_json(self) -> str:
        """The document as JSON on one line."""
        return json.dumps(self.document(), allow_nan=False)

    def report(self, folder: PathLike) -> Path:
        """Write report.html and report.png into a folder and return the path of the page.

        Needs the extra `report`. Raises InputError if it is missing or the folder cannot be written to.
        """
        from forescale.extras import REPORT, require

        require(REPORT, "report()")
        from forescale.report import write_report

        return write_report(self.run, self.decisions, Path(folder), self.outcome.origin).html

    def __repr__(self) -> str:
        return f"<DryRun of {self.run.title}: {headline(self.run)}>"


def read_policy(resource: PathLike | Mapping[str, Any] | PolicyResource | None = None) -> PolicyResource:
    """A ScalingPolicy from a YAML file that holds one, or from its body as a mapping. Default: an example.

    Raises InputError with one line that names the field, the value and the limit.
    """
    if isinstance(resource, PolicyResource):
        return resource
    if isinstance(resource, Mapping):
        return parse_policy(resource)
    if resource is not None and not isinstance(resource, str | os.PathLike):
        raise InputError(f"resource: {type(resource).__name__} is not a file, a mapping or a ScalingPolicy")
    found = example() if resource is None else load_policies(Path(resource))
    if len(found) != 1:
        names = ", ".join(policy.name for policy in found[:5])
        raise InputError(f"{resource}: holds {len(found)} ScalingPolicies ({names}), expected 1; give one as a mapping")
    return found[0]


def load_policy(name_or_folder: PathLike) -> Policy:
    """A policy that decides: `default`, a rule (`snvt`, `hpa`, `quantile`), or the exported one in a folder.

    Raises InputError for what is wrong with it.
    """
    if isinstance(name_or_folder, str) and name_or_folder in {"auto", *RULES, *builtin_names()}:
        return policy_named(name_or_folder)
    return policy_in(Path(name_or_folder))


def _policy(policy: PathLike | Policy | None, workload: PolicyResource) -> Policy:
    """Who decides: what was given, or whom the resource names."""
    if policy is None:
        return policy_of(workload)
    return load_policy(policy) if isinstance(policy, str | os.PathLike) else policy


def _seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed: {seed!r} is not a whole number from 0 on")
    return int(seed)


def _trace(trace: Any, interval_s: float) -> Path | Trace | None:
    """The load as `LoadRequest` takes it."""
    if trace is None or isinstance(trace, Trace):
        return trace
    if isinstance(trace, str | os.PathLike):
        return Path(trace)
    if isinstance(trace, tuple) and len(trace) == 2 and all(np.ndim(part) == 1 for part in trace):
        return trace_of_points(*trace)
    values = np.asarray(trace)
    if values.ndim == 2 and values.shape[1] == 2:
        return trace_of_points(values[:, 0], values[:, 1])
    return trace_of_values(values, interval_s)


_UNITS = {
    "replicas": "replicas",
    "ready_replicas": "replicas",
    "requests": "requests in the step",
    "bad_requests": "requests in the step",
    "latency_p95_s": "s",
}


def _series_of(policy: PolicyRun) -> dict[str, NDArray[np.float64]]:
    """The series of one policy, in the order of `_UNITS`."""
    return dict(
        zip(
            _UNITS,
            (policy.replicas, policy.ready, policy.requests, policy.late, policy.latency_p95_s),
            strict=True,
        )
    )


def _read_only(values: NDArray[np.float64]) -> NDArray[np.float64]:
    copy = values.copy()
    copy.flags.writeable = False
    return copy


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs if theirs else math.nan
