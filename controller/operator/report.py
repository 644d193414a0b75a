"""What is made of outcomes: status, events, metrics and a line in the log; and what the loop learns from them."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from controller.cluster.conditions import Facts
from controller.cluster.reporter import Reporter
from controller.cluster.startup import Startups
from controller.operator.clock import Clock
from controller.operator.exporter import OperatorMetrics
from controller.operator.policies import PolicyRecord
from controller.operator.policy_book import PolicyBook
from controller.ports import Refused, Scale, Target, WouldBe
from controller.reconcile import Outcome

log = logging.getLogger(__name__)

SYNCED_WITHIN_S = 15.0
"""How long after a start it is no news that the watches have not told of everything yet (chosen: one interval)."""


class Reports:
    """Takes what a tick came to, and passes it on; never waits."""

    def __init__(
        self,
        reporter: Reporter,
        metrics: OperatorMetrics,
        book: PolicyBook,
        startups: Startups,
        clock: Clock,
        would_be: Callable[[Target], WouldBe | None] | None = None,
        newest_at_s: Callable[[Target], float | None] = lambda target: None,
    ) -> None:
        """`would_be`: of a dry-run, what its twins are like. `newest_at_s`: when a target's newest sample was taken."""
        self._newest_at_s = newest_at_s
        self._reporter, self._metrics, self._book = reporter, metrics, book
        self._startups, self._clock, self._would_be = startups, clock, would_be
        self._measuring: set[asyncio.Task[None]] = set()

    def note(self, seen: Sequence[tuple[PolicyRecord, Outcome]]) -> None:
        """Take in outcomes."""
        for record, outcome in seen:
            if outcome.changed and outcome.decision is not None:
                log.info(
                    "%s: %d to %d replicas (%s)",
                    outcome.target.name,
                    outcome.decision.current_replicas,
                    outcome.decision.final_replicas,
                    ", ".join(outcome.decision.reasons),
                )
            if record.target is None or (record.target is not outcome.target and not outcome.changed):
                continue  # edited or deleted since
            if self._is_still_starting(record, outcome):
                continue
            facts = self._facts(record, outcome.target)
            self._reporter.note(facts, outcome)
            would_be = self._would_be(outcome.target) if self._would_be else None
            self._metrics.note(facts, outcome, would_be, self._newest_at_s(outcome.target))
            self._measure(record, outcome)

    def _is_still_starting(self, record: PolicyRecord, outcome: Outcome) -> bool:
        waits = isinstance(outcome.scale, Refused) and outcome.scale.reason == "NotSynced"
        return waits and self._clock.now_s() - record.adopted_s < SYNCED_WITHIN_S

    def note_invalid(self, record: PolicyRecord) -> None:
        """Take in that a resource cannot be read."""
        self._metrics.forget(record.uid)
        self._reporter.note_invalid(self._facts(record, None), record.problem)

    def forget(self, record: PolicyRecord) -> None:
        """A policy is gone."""
        self._reporter.forget(record.uid)
        self._metrics.forget(record.uid)
        self._book.forget(record.uid)

    def _facts(self, record: PolicyRecord, target: Target | None) -> Facts:
        asked = self._book.find(record) if target else None
        return Facts(
            namespace=record.namespace,
            name=record.name,
            uid=record.uid,
            generation=record.generation,
            unix_s=self._clock.unix_s(),
            before=record.status,
            policy_sha256=asked.policy.sha256 if asked else "",
            policy_problem=asked.problem if asked else "",
            notice=record.notice,
            dry_run=self._would_be is not None,
        )

    def _measure(self, record: PolicyRecord, outcome: Outcome) -> None:
        """Measure the start-up of the target's pods where that is due and nobody stated it."""
        now_s = self._clock.now_s()
        if not isinstance(outcome.scale, Scale) or outcome.target.resource.spec.startup_s is not None:
            return
        if self._startups.due(outcome.target, outcome.scale, now_s):
            task = asyncio.create_task(self._take_measure(record, outcome.target, now_s))
            self._measuring.add(task)
            task.add_done_callback(self._measuring.discard)

    async def _take_measure(self, record: PolicyRecord, target: Target, now_s: float) -> None:
        measured_s = await self._startups.measure(target, now_s)
        if measured_s is not None:
            record.startup_s = measured_s
