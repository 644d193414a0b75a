"""A dry-run's own Prometheus metrics, on a port while it runs."""

from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from controller.frame import Frame
from scaling.decision import Decision
from scaling.errors import InputError

_WORKLOAD = ("namespace", "name")


class Exporter:
    """Serves the newest frame of each workload; use it as a context manager."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.registry = CollectorRegistry()
        self._demand = self._gauge("demand", "Load on the target, in the unit of its demand query.")
        self._current = self._gauge("current_replicas", "Replicas before the decision.")
        self._desired = self._gauge("desired_replicas", "Replicas that the decision chose.")
        self._proposed = self._gauge("proposed_replicas", "Replicas that the policy proposed.")
        self._reference = self._gauge("reference_replicas", "Replicas that the HPA rule would run.")
        self._ready = self._gauge("ready_replicas", "Replicas that serve.")
        self._edge = self._gauge("band_replicas", "Edges of the band that the policy asked for.", "edge")
        self._latency = self._gauge("latency_p95_seconds", "95th percentile of latency.")
        self._bad = self._gauge("bad_ratio_last_hour", "Share of bad requests in the last hour.")
        self._hours = self._gauge("replica_hours", "Replica-hours used since the start.", "policy")
        self._decisions = self._counter("decisions", "Decisions taken.", "action")
        self._reasons = self._counter("decision_reasons", "Decisions that gave the reason.", "reason")
        self._counted: Decision | None = None

    def __enter__(self) -> Self:
        try:
            self._server, self._thread = start_http_server(self._port, registry=self.registry)
        except OSError as error:
            raise InputError(f"--metrics-port: {self._port} cannot be listened on ({error.strerror})") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def update(self, namespace: str, name: str, frame: Frame) -> None:
        """Take a workload's newest step in."""
        workload, decision = (namespace, name), frame.decision
        self._demand.labels(*workload).set(frame.demand_rps)
        self._current.labels(*workload).set(decision.current_replicas)
        self._desired.labels(*workload).set(decision.final_replicas)
        self._proposed.labels(*workload).set(decision.proposed_replicas)
        self._reference.labels(*workload).set(decision.reference_replicas)
        self._ready.labels(*workload).set(frame.ready)
        if decision.band is not None:
            self._edge.labels(*workload, "lo").set(decision.band.lo)
            self._edge.labels(*workload, "hi").set(decision.band.hi)
        self._latency.labels(*workload).set(frame.latency_p95_s)
        self._bad.labels(*workload).set(frame.bad_ratio_last_hour)
        self._hours.labels(*workload, "forescale").set(frame.replica_hours)
        self._hours.labels(*workload, "hpa").set(frame.hpa_replica_hours)
        self._hours.labels(*workload, "clairvoyant").set(frame.clairvoyant_replica_hours)
        if decision is self._counted:  # steps can be shorter than intervals
            return
        self._counted = decision
        self._decisions.labels(*workload, decision.action.value).inc()
        for reason in decision.reasons:
            self._reasons.labels(*workload, reason.value).inc()

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"forescale_{name}", meaning, (*_WORKLOAD, *labels), registry=self.registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"forescale_{name}", meaning, (*_WORKLOAD, *labels), registry=self.registry)
