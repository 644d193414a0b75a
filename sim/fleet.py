"""Thousands of clusters at once: loops over the kernels, compiled and parallel when numba is installed.

Nothing is computed here: every row is the kernels of `sim.row` and `sim.cluster` on its own records.
"""

from typing import Any

import numpy as np

from scaling.band import aim, begin_band
from scaling.features import N_FEATURES, encode
from scaling.reference import begin_reference, reference_hpa
from scaling.workload import empty_workloads, observe
from sim.cluster import CLUSTER, begin_cluster, begin_metrics, transition
from sim.compiled import choose_threads, compiler
from sim.rivals import HOLT_WINTERS, RIVAL, observe_season
from sim.row import decide_row, observe_row, reward_row

jit, prange = compiler()


class Fleet:
    """Clusters, their workloads' memories and their terms, row by row; `begin` every row before the first step.

    `terms`: (n,) of `scaling.terms.TERMS`; `params`: (n,) of `sim.cluster.PARAMS`; `rules`: (n,) of `sim.rivals.Rule`;
    `arguments`: (n,) of the rules. `actions` counts the steps in which a row changed its desired replicas.
    """

    def __init__(self, terms: Any, params: Any, rules: Any, arguments: Any) -> None:
        count = len(terms)
        self.terms, self.params = terms, params
        self.rules = np.asarray(rules, np.int64)
        self.arguments = np.asarray(arguments, np.float64)
        self.workloads = empty_workloads(count)
        self.rivals = np.zeros(count, RIVAL)
        self.clusters = np.zeros(count, CLUSTER)
        self.actions = np.zeros(count, np.int64)
        self.rewards = np.zeros(count, np.float32)
        self.observations = np.zeros((count, N_FEATURES), np.float32)

    def begin(self, rows: Any, replicas: Any) -> None:
        """Begin some rows afresh with so many ready replicas."""
        self.workloads[rows] = empty_workloads(len(rows))
        self.rivals[rows] = np.zeros(len(rows), RIVAL)
        self.actions[rows] = 0
        for row, size in zip(rows, replicas, strict=True):
            begin_cluster(self.clusters[row], int(size), self.params[row])
            begin_reference(self.workloads[row], int(size))
            begin_band(self.workloads[row], int(size))

    def copy_rows(self, rows: Any, source: "Fleet") -> None:
        """Take some rows over from another fleet, as they stand there."""
        theirs = source.arrays()
        for name, array in self.arrays().items():
            array[rows] = theirs[name][rows]

    def arrays(self) -> dict[str, Any]:
        """Every array that changes as a fleet runs, by name, as it stands; one row each."""
        names = ("terms", "params", "workloads", "rivals", "clusters", "actions", "rewards", "observations")
        return {name: getattr(self, name) for name in names}

    def remember(self, rows: Any, demand_rps: Any) -> None:
        """Let some rows' memories observe the demand that went before, (len(rows), n_steps), as after a range query."""
        demand_rps = np.ascontiguousarray(demand_rps, np.float64)
        choose_threads(len(demand_rps))
        _remember(self.workloads, self.rivals, self.terms, self.rules, np.asarray(rows, np.int64), demand_rps)

    def observe_first(self, row: int, demand_rps: float) -> None:
        """Give a row its first reading, so that its first decision has something to go by."""
        w, c, terms = self.workloads[row], self.clusters[row], self.terms[row]
        begin_metrics(c, demand_rps)
        observe_row(w, terms, c)
        encode(w, terms, c["desired"], c["ready"], self.observations[row])

    def step(self, demand_rps: Any, answers: Any, draws: Any) -> None:
        """Decide with the rows' rules and answers, then let one step pass.

        `demand_rps`: (k,), `answers`: (k, 2) in [-1, 1], `draws`: (k, DRAWS) of `sim.cluster.draw`; the first k rows
        move, which is all of them unless some have come to their end.
        """
        k = len(demand_rps)
        choose_threads(k)
        _step(
            self.workloads[:k],
            self.rivals[:k],
            self.clusters[:k],
            self.terms[:k],
            self.params[:k],
            self.rules[:k],
            self.arguments[:k],
            np.ascontiguousarray(answers[:k], np.float32),  # another type or layout would be compiled anew
            np.ascontiguousarray(demand_rps, np.float64),
            draws,
            self.actions[:k],
            self.rewards[:k],
            self.observations[:k],
        )


@jit
def _step(
    workloads: Any,
    rivals: Any,
    clusters: Any,
    terms: Any,
    params: Any,
    rules: Any,
    arguments: Any,
    answers: Any,
    demand_rps: Any,
    draws: Any,
    actions: Any,
    rewards: Any,
    observations: Any,
) -> None:
    for i in prange(clusters.shape[0]):
        w, c = workloads[i], clusters[i]
        current = c["desired"]
        target = decide_row(rules[i], arguments[i], w, rivals[i], terms[i], c, answers[i, 0], answers[i, 1])
        if target != current:
            actions[i] += 1
        transition(c, target, demand_rps[i], params[i], draws[i])
        observe_row(w, terms[i], c)
        rewards[i] = reward_row(terms[i], c, params[i], target - current)
        encode(w, terms[i], target, c["ready"], observations[i])


@jit
def _remember(workloads: Any, rivals: Any, terms: Any, rules: Any, rows: Any, demand_rps: Any) -> None:
    for k in prange(rows.shape[0]):
        i = rows[k]
        for t in range(demand_rps.shape[1]):
            observe(
                workloads[i], demand_rps[k, t] / terms[i]["stated_capacity"], terms[i]["price"], terms[i]["horizon"]
            )
            reference_hpa(workloads[i], terms[i])
            if rules[i] == HOLT_WINTERS:
                observe_season(workloads[i], rivals[i])
        aim(workloads[i], terms[i]["horizon"])
