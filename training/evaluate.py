"""The comparison: every contender over every trace, in one fleet, with the same chance for all rows of a trace.

Measures are those of `sim.measures`; what they mean is written in docs/evaluation.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.decision import Reason
from scaling.errors import InputError
from scaling.gate import gate
from scaling.policy import Policy
from scaling.terms import TERMS
from scaling.workload import STEP_S
from sim.clairvoyant import CERTAIN, clairvoyant_replicas
from sim.cluster import capacity_rps, draw, new_params, params_rows
from sim.fleet import Fleet
from sim.measures import PRICES, Measures
from sim.rivals import Rule
from sim.traces import Trace, resample, scale_to_pods
from training.contenders import HINDSIGHT, RIVALS, Contender, judged, terms_row

Progress = Callable[[int, int], None]

CALM_BELOW, BURSTY_FROM = 0.01, 0.05
"""Shares of bad requests that tell the classes apart: see `_with_classes`."""
PROGRESS_STEPS = 500


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """One comparison. Raises InputError for a number beyond its limits."""

    mean_pods: float = 30.0
    """Traces are scaled to this mean demand, in pods (chosen: the middle of 3..300 on a log scale)."""
    startup_s: float = 45.0
    days: float | None = None
    """At most so much of each trace; None is all of it."""
    hindsight: bool = False
    """Also an HPA tuned per trace and price in hindsight: 64 rows more a trace."""
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {"mean_pods": (1.0, 1000.0), "startup_s": (1.0, 900.0), "days": (0.01, 3660.0)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise InputError(f"{name}: {value} is not a number from {low:g} to {high:g}")


@dataclass(frozen=True)
class Row:
    """One policy on one trace."""

    trace: str
    trace_class: str  # calm, moderate or bursty
    resolution: str
    policy: str
    measures: Measures
    out_of_distribution_ratio: float = 0.0
    """Share of the policy's decisions in which SNVT stood in for it, as in the operator: see `scaling.gate`."""
    judged: bool = False
    """Whether this is the policy that the comparison is about."""

    def document(self) -> dict[str, Any]:
        """The row as JSON."""
        figures = self.measures
        prices = {f"j{price:g}": figures.j(price) for price in PRICES}
        return {
            "trace": self.trace,
            "class": self.trace_class,
            "resolution": self.resolution,
            "policy": self.policy,
            "judged": self.judged,
            "cost": figures.cost,
            "bad_ratio": figures.bad_ratio,
            "actions": figures.actions,
            **prices,
            "pod_seconds": figures.pod_seconds,
            "out_of_distribution_ratio": self.out_of_distribution_ratio,
        }


@dataclass(frozen=True)
class _Entry:
    """One contender on one trace: a row of the fleet."""

    trace: Trace
    contender: Contender
    demand_rps: NDArray[np.float64]
    clairvoyant: NDArray[np.int64]


def evaluate(
    traces: Sequence[Trace],
    policy: Policy,
    config: EvaluateConfig,
    progress: Progress,
    among: Sequence[str] | None = None,
) -> list[Row]:
    """Measures of every contender on every trace, `policy` among them. `progress(step, steps)` as it goes.

    `among`: names of all traces of the comparison, as `order_of` gives them, where these are a part of them. Chance is
    drawn for all, so that a part comes to what it comes to within the whole.
    """
    params = new_params(startup_s=config.startup_s)
    entries = _entries(traces, policy.name, config, params)
    field = _Field(entries, params, config.seed, among)
    for step in range(int(field.lengths[0])):
        if step % PROGRESS_STEPS == 0:
            progress(step, int(field.lengths[0]))
        field.step(step, policy)
    rows = [
        Row(
            entry.trace.name,
            "",
            entry.trace.resolution,
            entry.contender.name,
            field.measures(index),
            float(field.unfamiliar[index] / field.lengths[index]),
            entry.contender.trained,
        )
        for index, entry in enumerate(entries)
    ]
    return _with_classes(_with_hindsight(rows))


@dataclass(frozen=True)
class Part:
    """Some traces of a comparison, to be evaluated by themselves."""

    traces: tuple[Trace, ...]
    policy: Policy
    config: EvaluateConfig
    among: tuple[str, ...]


def evaluate_part(part: Part) -> list[Row]:
    """The rows of a part; the same as within the whole."""
    return evaluate(part.traces, part.policy, part.config, lambda step, steps: None, part.among)


def parts_of(traces: Sequence[Trace], policy: Policy, config: EvaluateConfig) -> list[Part]:
    """The comparison as one part a trace, the longest first."""
    order, by_name = order_of(traces, config), {trace.name: trace for trace in traces}
    return [Part((by_name[name],), policy, config, tuple(order)) for name in order]


def order_of(traces: Sequence[Trace], config: EvaluateConfig) -> list[str]:
    """Names of the traces, longest first: the order in which chance is drawn for them."""
    params = new_params(startup_s=config.startup_s)
    lengths = {trace.name: len(_demand_rps(trace, config, params)) for trace in traces}
    return sorted(lengths, key=lambda name: (-lengths[name], name))


def _entries(
    traces: Sequence[Trace], policy_name: str, config: EvaluateConfig, params: dict[str, float]
) -> list[_Entry]:
    """Rows of the fleet, longest trace first, so that the rows still running are always the first ones."""
    contenders = (*judged(policy_name), *RIVALS, *(HINDSIGHT if config.hindsight else ()))
    entries: list[_Entry] = []
    for trace in traces:
        demand_rps = _demand_rps(trace, config, params)
        clairvoyant = clairvoyant_replicas(demand_rps, params)
        peak = Contender("static-peak", Rule.CONSTANT, float(clairvoyant.max()))
        known = Contender("clairvoyant", Rule.CONSTANT, float(clairvoyant[0]))
        entries.extend(_Entry(trace, contender, demand_rps, clairvoyant) for contender in (*contenders, peak, known))
    return sorted(entries, key=lambda entry: (-len(entry.demand_rps), entry.trace.name))


def _demand_rps(trace: Trace, config: EvaluateConfig, params: dict[str, float]) -> NDArray[np.float64]:
    pods = scale_to_pods(resample(trace, STEP_S, seed=config.seed), config.mean_pods)
    if config.days is not None:
        pods = pods[: max(2, round(config.days * 86_400 / STEP_S))]
    return pods * capacity_rps(params)


class _Field:
    """All entries on their way through one fleet."""

    def __init__(
        self, entries: list[_Entry], params: dict[str, float], seed: int, among: Sequence[str] | None = None
    ) -> None:
        self.entries, self.rng = entries, np.random.default_rng(seed)
        self.lengths = np.array([len(entry.demand_rps) for entry in entries])
        names = list(dict.fromkeys(entry.trace.name for entry in entries))
        drawn = list(among or names)
        self.trace = np.array([names.index(entry.trace.name) for entry in entries])
        self.n_drawn, self.draw_of = len(drawn), np.array([drawn.index(name) for name in names])
        first = [int(np.flatnonzero(self.trace == index)[0]) for index in range(len(names))]
        self.demand_rps = _padded([entries[row].demand_rps for row in first], self.lengths[0])
        self.clairvoyant = _padded([entries[row].clairvoyant for row in first], self.lengths[0])
        self.known = np.array([entry.contender.name == "clairvoyant" for entry in entries])
        self.trained = np.array([entry.contender.trained for entry in entries])
        self.sums = np.zeros((len(entries), 3))  # pod-steps, requests, bad requests
        self.unfamiliar = np.zeros(len(entries), np.int64)  # decisions in which SNVT stood in for the policy
        self.fleet = self._new_fleet(params)

    def step(self, step: int, policy: Policy) -> None:
        """One step of all rows whose trace goes on."""
        running = int(np.count_nonzero(self.lengths > step))
        fleet, trace = self.fleet, self.trace[:running]
        answers = self._ask(policy, running)
        known = np.flatnonzero(self.known[:running])
        fleet.arguments[known] = self.clairvoyant[step, trace[known]]
        draws = draw(self.rng, self.n_drawn)
        fleet.step(self.demand_rps[step, trace], answers, draws[self.draw_of[trace]])
        clusters = fleet.clusters[:running]
        for column, name in enumerate(("replicas", "arrived", "late")):
            self.sums[:running, column] += clusters[name]

    def _ask(self, policy: Policy, running: int) -> NDArray[np.float32]:
        """Answers of the running rows, (running, 2), as the operator would use them."""
        answers, fleet = np.zeros((running, 2), np.float32), self.fleet
        asked = np.flatnonzero(self.trained[:running])
        features = fleet.observations[asked]
        for row, own, answer in zip(asked, features, policy.answer(features), strict=True):
            gated = gate(policy, own, answer)
            answers[row] = gated.answer
            fleet.rules[row] = Rule.HPA if gated.reason is Reason.POLICY_UNUSABLE else Rule.ANSWERS
            self.unfamiliar[row] += gated.reason is Reason.OUT_OF_DISTRIBUTION
        return answers

    def measures(self, row: int) -> Measures:
        """Measures of one row, after the last step."""
        pod_steps, requests, late = self.sums[row]
        best = float(self.entries[row].clairvoyant.sum())
        if self.known[row]:
            pod_steps = best
        bad_ratio = float(late / requests) if requests > 0 else 0.0
        return Measures(float(pod_steps) * STEP_S, float(pod_steps) / best, bad_ratio, int(self.fleet.actions[row]))

    def _new_fleet(self, params: dict[str, float]) -> Fleet:
        entries = self.entries
        fleet = Fleet(
            np.array([terms_row(entry.contender, params) for entry in entries], TERMS),
            params_rows([params | CERTAIN if known else params for known in self.known]),
            [entry.contender.rule for entry in entries],
            [entry.contender.argument for entry in entries],
        )
        start = [int(entry.clairvoyant[0]) for entry in entries]
        peaks = [entry.contender.name == "static-peak" for entry in entries]
        replicas = [int(e.contender.argument) if peak else n for e, peak, n in zip(entries, peaks, start, strict=True)]
        fleet.begin(np.arange(len(entries)), replicas)
        for row, entry in enumerate(entries):
            fleet.observe_first(row, float(entry.demand_rps[0]))
        return fleet


def _padded(series: list[Any], length: int) -> NDArray[np.float64]:
    """Series as the columns of a (length, len(series)) array, zeros after their end."""
    columns = np.zeros((length, len(series)))
    for index, values in enumerate(series):
        columns[: len(values), index] = values
    return columns


def _with_classes(rows: list[Row]) -> list[Row]:
    """A trace is calm where an HPA at 80 % keeps bad under 1 %, bursty where one at 70 % has 5 % or more."""
    bad = {(row.trace, row.policy): row.measures.bad_ratio for row in rows}

    def classify(trace: str) -> str:
        if bad[trace, "hpa-80"] < CALM_BELOW:
            return "calm"
        return "bursty" if bad[trace, "hpa-70"] >= BURSTY_FROM else "moderate"

    return [replace(row, trace_class=classify(row.trace)) for row in rows]


def _with_hindsight(rows: list[Row]) -> list[Row]:
    """Replace the grid's rows by the best of them for each trace and price."""
    grid_names = {contender.name for contender in HINDSIGHT}
    grid: dict[str, list[Row]] = {}
    for row in rows:
        if row.policy in grid_names:
            grid.setdefault(row.trace, []).append(row)
    best = [
        replace(min(members, key=lambda row: row.measures.j(price)), policy=f"hpa-hindsight-j{price:g}")
        for members in grid.values()
        for price in PRICES
    ]
    return [row for row in rows if row.policy not in grid_names] + best
