"""The operator's own Prometheus metrics, in a registry of their own.

Owns names and labels, and that the series of a policy go with it. A policy's gauges are one small record, made into
samples when somebody scrapes: for 5,000 policies 2 MiB, where prometheus_client's own gauges take 44 and twice the time
to scrape. No metric carries a query, a message or anything else that a user wrote, names apart.
"""

import asyncio
import platform
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from controller.cluster.conditions import Facts, fallback
from controller.ports import Scale, WouldBe
from controller.reconcile import Outcome
from scaling.decision import Decision, Reason
from scaling.features import N_FEATURES

LAG_EVERY_S = 0.5
"""How often the event loop's lag is measured (chosen)."""

OVERRIDES = (
    Reason.CEILING_RATIO,
    Reason.FLOOR_UTILIZATION,
    Reason.MIN_READY,
    Reason.UP_ONLY,
    Reason.PODS_NOT_READY,
    Reason.ROLLOUT,
    Reason.UNHEALTHY,
    Reason.NO_SCALE_DOWN,
    Reason.FALLBACK_KEPT,
    Reason.TOO_FEW_REPLICAS,
    Reason.TOO_MANY_REPLICAS,
)
"""Reasons by which a guard changed what a policy wanted."""

SHORT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Buckets of what should take milliseconds, in seconds (chosen)."""
REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)
"""Buckets of requests, up to a little more than the deadline of the slowest (chosen)."""


class _Record(NamedTuple):
    """What is exported of one policy; None has no sample."""

    namespace: str
    policy: str
    desired: int | None
    current: int | None
    ready: int | None
    reference: int | None
    demand: float | None
    target: float
    decided_s: float | None
    fallback: bool
    conflict: bool
    unfamiliar: float
    policy_ref: str
    sha256: str
    mode: str
    would_be: WouldBe | None


class OperatorMetrics:
    """All that the operator counts and measures of itself; `registry` is what is scraped."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        """`now_s`: the clock of the decisions."""
        self.registry = CollectorRegistry()
        self._policies = _PolicyCollector(now_s)
        self._stands_by = False
        """A tick that was under way when the Lease was lost ends later."""
        self.registry.register(self._policies)
        self._decisions = self._counter("decisions", "Decisions taken, by the reason that had the last word.", *ACTION)
        self._undecided = self._counter("undecided", "Looks at a policy without a decision.", "cause")
        self._overrides = self._counter("guard_overrides", "Decisions that a guard changed.", "guard")
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
        build = Gauge("forescale_build_info", "What runs.", ("version", "python"), registry=self.registry)
        build.labels(_version(), platform.python_version()).set(1)

    def note(self, facts: Facts, outcome: Outcome, would_be: WouldBe | None = None) -> None:
        """Take in what a tick came to for one policy, and in a dry-run what its twin is like."""
        decision = outcome.decision
        if not self._stands_by:
            records = self._policies.records
            records[facts.uid] = _record(facts, outcome, would_be, records.get(facts.uid))
        if decision is None:
            self._undecided.labels("scale" if outcome.observation is None else "failure").inc()
            return
        self._decisions.labels(decision.action.value, decision.reasons[-1].value if decision.reasons else "").inc()
        for reason in decision.reasons:
            if reason in OVERRIDES:
                self._overrides.labels(reason.value).inc()

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


ACTION = ("action", "reason")


def _version() -> str:
    try:
        return version("forescale")
    except PackageNotFoundError:  # a checkout that was not installed
        return "unknown"


def _record(facts: Facts, outcome: Outcome, would_be: WouldBe | None, before: _Record | None) -> _Record:
    decision, scale, spec = outcome.decision, outcome.scale, outcome.target.spec
    seen = scale if isinstance(scale, Scale) else None
    holds = () if outcome.observation is None else outcome.observation.holds
    last_s = None if before is None else before.decided_s
    return _Record(
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
        conflict=Reason.CONFLICT in holds,
        unfamiliar=_unfamiliar(decision),
        policy_ref=spec.policy_name,
        sha256=facts.policy_sha256,
        mode=spec.mode.value,
        would_be=would_be,
    )


def _unfamiliar(decision: Decision | None) -> float:
    return 0.0 if decision is None else len(decision.out_of_distribution) / N_FEATURES


Read = Callable[[_Record], float | None]

GAUGES: tuple[tuple[str, str, Read], ...] = (
    ("desired_replicas", "Replicas that the last decision chose.", lambda record: record.desired),
    (
        "current_replicas",
        "Replicas that the target's scale asks for, the last decision carried out.",
        lambda record: record.current,
    ),
    ("ready_replicas", "Replicas that serve.", lambda record: record.ready),
    ("reference_replicas", "Replicas that the reference HPA would run.", lambda record: record.reference),
    ("demand", "Load on the target, in the unit of the policy's query.", lambda record: record.demand),
    ("target_per_replica", "Load that one replica is meant to take, in the same unit.", lambda record: record.target),
    ("fallback", "Whether the declared fallback acts, for want of a reading.", lambda record: record.fallback),
    ("conflict", "Whether somebody else scales the target.", lambda record: record.conflict),
    (
        "out_of_distribution_ratio",
        "Share of the network's inputs outside what it was trained on.",
        lambda record: record.unfamiliar,
    ),
)


TWIN_GAUGES: tuple[tuple[str, str, Callable[[WouldBe], float]], ...] = (
    ("replicas", "Replicas that the twin of a dry-run has.", lambda twin: twin.replicas),
    ("ready_replicas", "Replicas of the twin that serve.", lambda twin: twin.ready),
    ("latency_p95_seconds", "95 % of the twin's requests are faster.", lambda twin: twin.latency_p95_s),
    ("bad_ratio", "Share of the twin's requests over the objective or dropped.", lambda twin: twin.bad_ratio),
)


class _PolicyCollector(Collector):
    """Makes samples of the records, one family after the other, so that few of them live at a time."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self.records: dict[str, _Record] = {}

    def describe(self) -> list[Metric]:
        """Nothing beforehand: registering then scrapes nothing."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families; records may come and go meanwhile, in another thread."""
        records = list(self.records.values())
        labels = [{"namespace": record.namespace, "policy": record.policy} for record in records]
        for name, about, read in GAUGES:
            yield _family(f"policy_{name}", about, labels, map(read, records))
        now_s = self._now_s()
        ages = (None if record.decided_s is None else max(0.0, now_s - record.decided_s) for record in records)
        yield _family("policy_decision_age_seconds", "Seconds since the last decision.", labels, ages)
        yield _family(
            "policy_info",
            "What the policy asks for, and the SHA-256 of the network that answers; always 1.",
            [{**each, **_info(record)} for each, record in zip(labels, records, strict=True)],
            (1 for _ in records),
        )
        if any(record.would_be for record in records):
            yield from self._twins(records, labels)

    def _twins(self, records: Sequence[_Record], labels: Sequence[dict[str, str]]) -> Iterator[Metric]:
        for name, about, read in TWIN_GAUGES:
            values = (None if record.would_be is None else read(record.would_be) for record in records)
            yield _family(f"dry_run_{name}", about, labels, values)


def _info(record: _Record) -> dict[str, str]:
    return {"policy_ref": record.policy_ref, "sha256": record.sha256, "mode": record.mode}


def _family(name: str, about: str, labels: Sequence[dict[str, str]], values: Iterator[float | None]) -> Metric:
    family = GaugeMetricFamily(f"forescale_{name}", about)
    family.samples = [
        Sample(family.name, of, float(value)) for of, value in zip(labels, values, strict=True) if value is not None
    ]
    return family
