"""What is made of outcomes: status, events, metrics and a line in the log; and what the loop learns from them."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from controller.cluster.conditions import Facts
from controller.cluster.reporter import Reporter
from controller.cluster.startup import Startups
from controller.operator.clock import Clock
from controller.operator.exporter import OperatorMetrics
from controller.operator.policies import Care
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

    def note(self, seen: Sequence[tuple[Care, Outcome]]) -> None:
        """Take in outcomes."""
        for care, outcome in seen:
            if outcome.changed and outcome.decision is not None:
                log.info(
                    "%s: %d to %d replicas (%s)",
                    outcome.target.name,
                    outcome.decision.current_replicas,
                    outcome.decision.final_replicas,
                    ", ".join(outcome.decision.reasons),
                )
            if care.target is None or (care.target is not outcome.target and not outcome.changed):
                continue  # edited or deleted since
            if self._is_still_starting(care, outcome):
                continue
            facts = self._facts(care, outcome.target)
            self._reporter.note(facts, outcome)
            would_be = self._would_be(outcome.target) if self._would_be else None
            self._metrics.note(facts, outcome, would_be, self._newest_at_s(outcome.target))
            self._measure(care, outcome)

    def _is_still_starting(self, care: Care, outcome: Outcome) -> bool:
        waits = isinstance(outcome.scale, Refused) and outcome.scale.reason == "NotSynced"
        return waits and self._clock.now_s() - care.adopted_s < SYNCED_WITHIN_S

    def note_invalid(self, care: Care) -> None:
        """Take in that a resource cannot be read."""
        self._metrics.forget(care.uid)
        self._reporter.note_invalid(self._facts(care, None), care.problem)

    def forget(self, care: Care) -> None:
        """A policy is gone."""
        self._reporter.forget(care.uid)
        self._metrics.forget(care.uid)
        self._book.forget(care.uid)

    def _facts(self, care: Care, target: Target | None) -> Facts:
        asked = self._book.find(care) if target else None
        return Facts(
            namespace=care.namespace,
            name=care.name,
            uid=care.uid,
            generation=care.generation,
            unix_s=self._clock.unix_s(),
            before=care.status,
            policy_sha256=asked.policy.sha256 if asked else "",
            policy_problem=asked.problem if asked else "",
            notice=care.notice,
            dry_run=self._would_be is not None,
        )

    def _measure(self, care: Care, outcome: Outcome) -> None:
        """Measure the start-up of the target's pods where that is due and nobody stated it."""
        now_s = self._clock.now_s()
        if not isinstance(outcome.scale, Scale) or outcome.target.resource.spec.startup_s is not None:
            return
        if self._startups.due(outcome.target, outcome.scale, now_s):
            task = asyncio.create_task(self._take_measure(care, outcome.target, now_s))
            self._measuring.add(task)
            task.add_done_callback(self._measuring.discard)

    async def _take_measure(self, care: Care, target: Target, now_s: float) -> None:
        measured_s = await self._startups.measure(target, now_s)
        if measured_s is not None:
            care.startup_s = measured_s
