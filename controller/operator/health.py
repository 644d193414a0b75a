"""Whether the operator is well, as its probes ask: /healthz restarts it, /readyz says that it takes part."""

from controller.cluster.lease import Lease
from controller.operator.clock import Clock
from controller.operator.policies import Policies
from controller.operator.watch import Watch

OVERDUE_INTERVALS = 4
"""A policy that was not looked at for so many intervals is overdue: no decision, nor the finding that none can be made.
Chosen: at 15 s the slowest tick, two deadlines of Prometheus and one of the API server, fits with room to spare."""

GRACE_S = 30.0
"""More for the start of thousands, and for taking over a Lease (chosen)."""


class Health:
    """The answers."""

    def __init__(self, policies: Policies, lease: Lease, watch: Watch, clock: Clock) -> None:
        self._policies, self._lease, self._watch, self._clock = policies, lease, watch, clock
        self._led_s: float | None = None

    def wrong(self) -> str | None:
        """Why the process should be restarted; a standby decides nothing, and is well."""
        if not self._watch.is_running():
            return "the watches have ended"
        now_s = self._clock.now_s()
        if not self._lease.held():
            self._led_s = None
            return None
        self._led_s = now_s if self._led_s is None else self._led_s
        for record in self._policies:
            if record.target is None:
                continue
            late_s = now_s - max(record.since_s, self._led_s)
            limit_s = OVERDUE_INTERVALS * record.target.spec.interval_s + GRACE_S * (record.last_evaluated_s is None)
            if late_s > limit_s:
                return f"no look at {record.namespace}/{record.name} since {late_s:.0f} s, limit {limit_s:.0f} s"
        return None

    def unready(self) -> str | None:
        """Why it does not take part: it watches nothing yet, or the Lease cannot be used at all."""
        if not self._watch.has_begun():
            return "the watches have not begun"
        if not self._lease.was_asked_for:
            return "the Lease has not been asked for yet"
        return self._lease.problem or None
