"""The operator's own Prometheus metrics, in a registry of their own.

Owns what the operator measures of itself, and that the series of a policy go with it. What is exported of a policy and
of decisions is in `controller.policy_metrics`. No metric carries a query, a message or anything else that a user wrote,
names apart.
"""

import asyncio
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from controller.cluster.conditions import Facts, fallback
from controller.policy_metrics import DecisionCounters, PolicyCollector, PolicySample, register_build, unfamiliar_ratio
from controller.ports import Scale, WouldBe
from controller.reconcile import Outcome
from scaling.decision import Reason
from scaling.envelope import envelope
from scaling.observation import usable_ratio

LAG_EVERY_S = 0.5
"""How often the event loop's lag is measured (chosen)."""

SHORT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Buckets of what should take milliseconds, in seconds (chosen)."""
REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)
"""Buckets of requests, up to a little more than the deadline of the slowest (chosen)."""


class OperatorMetrics:
    """All that the operator counts and measures of itself; `registry` is what is scraped."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        """`now_s`: the clock of the decisions."""
        self.registry = CollectorRegistry()
        self._policies = PolicyCollector(now_s)
        self._stands_by = False
        """A tick that was under way when the Lease was lost ends later."""
        self.registry.register(self._policies)
        self._decision_counters = DecisionCounters(self.registry)
        self._undecided = self._counter("undecided", "Looks at a policy without a decision.", "cause")
        self._decision_s = self._histogram("decision_duration", "One tick of decisions, reading included.", REQUEST_S)
        self._asked = self._counter("prometheus_requests", "Requests to Prometheus.", "endpoint", "result")
        self._asked_s = self._histogram("prometheus_request_duration", "To an answer of it.", REQUEST_S, "endpoint")
        self._called = self._counter("api_requests", "Requests to the API server.", "verb", "resource", "code")
        self._called_s = self._histogram("api_request_duration", "To an answer of it.", REQUEST_S, "verb", "resource")
        self._reports = self._counter("reports", "Statuses and events, and what came of them.", "kind", "result")
        self._backoffs = self._counter(
            "target_backoffs", "Times that a target that cannot be read was put off for longer.", "reason"
        )
        self._restarts = self._counter("watch_restarts", "Times that the watches ended and began again.")
        self._lag_s = self._histogram("event_loop_lag", "How late the event loop is.", SHORT_S)
        self._leader = Gauge("forescale_leader", "Whether this instance holds the Lease.", registry=self.registry)
        register_build(self.registry)

    def note(
        self, facts: Facts, outcome: Outcome, would_be: WouldBe | None = None, newest_s: float | None = None
    ) -> None:
        """Take in what a tick came to for one policy, and in a dry-run what its twin is like.

        `newest_s`: when the newest sample behind its load was taken, on the clock of the decisions.
        """
        decision = outcome.decision
        if not self._stands_by:
            records = self._policies.records
            records[facts.uid] = _record(facts, outcome, would_be, newest_s, records.get(facts.uid))
        if decision is None:
            self._undecided.labels("scale" if outcome.observation is None else "failure").inc()
            return
        self._decision_counters.note(decision)

    def forget(self, uid: str) -> None:
        """A policy is gone, and its series go with it."""
        self._policies.records.pop(uid, None)

    def decided(self, seconds: float) -> None:
        """A tick took so long."""
        self._decision_s.observe(seconds)

    def asked_prometheus(self, endpoint: str, ok: bool, seconds: float) -> None:
        """The watcher of `controller.prometheus.http`."""
        self._asked.labels(endpoint, "answered" if ok else "failed").inc()
        self._asked_s.labels(endpoint).observe(seconds)

    def called_api(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """The watcher of `controller.cluster.api`, and of the watches in a thread of theirs."""
        self._called.labels(verb, resource, code).inc()
        self._called_s.labels(verb, resource).observe(seconds)

    def reported(self, kind: str, result: str) -> None:
        """The count of `controller.cluster.reporter`."""
        self._reports.labels(kind, result).inc()

    def backed_off(self, reason: str) -> None:
        """A target could not be read again, for a reason of the operator's own words, and is asked for later."""
        self._backoffs.labels(reason).inc()

    def watch_restarted(self) -> None:
        """The watches ended and begin again; may be told from another thread."""
        self._restarts.inc()

    def leads(self, held: bool) -> None:
        """Whether this instance holds the Lease now; of policies only who does has anything to say."""
        self._leader.set(held)
        self._stands_by = not held
        if not held:
            self._policies.records.clear()

    async def watch_lag(self, stop: asyncio.Event) -> None:
        """Measure how late the event loop wakes us, until stopped."""
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            due_s = loop.time() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            self._lag_s.observe(max(0.0, loop.time() - due_s))

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"forescale_{name}", about, labels, registry=self.registry)

    def _histogram(self, name: str, about: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(
            f"forescale_{name}_seconds", f"Seconds. {about}", labels, buckets=buckets, registry=self.registry
        )


def _record(
    facts: Facts, outcome: Outcome, would_be: WouldBe | None, newest_s: float | None, before: PolicySample | None
) -> PolicySample:
    decision, scale, spec, observed = outcome.decision, outcome.scale, outcome.target.spec, outcome.observation
    seen = scale if isinstance(scale, Scale) else None
    has_load = observed is not None and decision is not None and decision.demand is not None
    last_s = None if before is None else before.decided_s
    return PolicySample(
        namespace=facts.namespace,
        policy=facts.name,
        desired=None if decision is None else decision.final_replicas,
        current=decision.final_replicas if decision and outcome.changed else seen.replicas if seen else None,
        ready=seen.ready if seen else None,
        reference=None if decision is None else decision.reference_replicas,
        demand=None if decision is None else decision.demand,
        target=spec.target_per_replica,
        decided_s=last_s if decision is None else decision.time_s,
        fallback=decision is not None and fallback(outcome, decision).status == "True",
        conflict=observed is not None and Reason.CONFLICT in observed.holds,
        band=None if decision is None else decision.band,
        envelope=envelope(observed, spec, outcome.target.state) if observed is not None and has_load else None,
        bad_ratio=None if observed is None else usable_ratio(observed.bad_ratio),
        newest_s=newest_s,
        reasons=() if decision is None else decision.reasons,
        unfamiliar=unfamiliar_ratio(decision),
        rejected=bool(facts.policy_problem),
        policy_ref=outcome.target.resource.policy_ref,
        sha256=facts.policy_sha256,
        mode=spec.mode.value,
        would_be=would_be,
    )
