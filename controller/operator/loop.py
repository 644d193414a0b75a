"""The loop: who is due, vectorised decisions for them, and what is made known of it.

Level-based: every tick reads the world anew and decides from what it sees. Ticks are tasks of their own, so that one
which waits for a slow source does not hold up the next; a policy is in one tick at a time.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from controller.operator.clock import Clock
from controller.operator.history import Histories
from controller.operator.policies import Policies, PolicyRecord
from controller.operator.schedule import Schedule
from controller.operator.turns import in_turns
from controller.ports import Ports, Target
from controller.reconcile import Outcome, in_parts, unforeseen
from controller.windows import wishes_at
from scaling.decision import Reason
from scaling.policy import Policy
from scaling.workload import RECENT_STEPS, STEP_S

log = logging.getLogger(__name__)

PATIENCE_S = 0.2
"""What was read of a tick waits so long for the rest of it (chosen: what shares a query comes at once)."""

LAST_TICK_S = 5.0
"""What a tick may take to end when we are stopped; a pod has 15 s for all of that (chosen)."""

LONGEST_SLEEP_S = 1.0
STARTING_S = 60.0
"""A policy's history is waited for this long, then it acts on what it has seen itself (chosen)."""


class Loop:
    """Decides for all policies that are due, while `may_act` says so."""

    def __init__(
        self,
        policies: Policies,
        ports: Ports,
        histories: Histories,
        clock: Clock,
        *,
        policy_of: Callable[[PolicyRecord], Policy | None],
        group_of: Callable[[Target], str],
        may_act: Callable[[], bool],
        report: Callable[[Sequence[tuple[PolicyRecord, Outcome]]], None],
        ended: Callable[[float], None],
        learn: Callable[[Target], Iterable[object]] = lambda target: (),
    ) -> None:
        """`report` hears of outcomes as they come, `ended` how many seconds a tick took until the last of them.

        `policy_of`: who answers; None while that is not known, and nothing is decided.

        `learn` works out, a step at a time, what is needed to read a target's load.
        """
        self._learn = learn
        self._policies, self._ports, self._histories, self._clock = policies, ports, histories, clock
        self._policy_of, self._group_of, self._may_act = policy_of, group_of, may_act
        self._report, self._ended = report, ended
        self._ticks: set[asyncio.Task[None]] = set()
        self.schedule = Schedule()

    def take(self, record: PolicyRecord) -> None:
        """Take in a policy that is new or was edited."""
        if record.target is None:
            self.schedule.drop(record.uid)
            return
        group, interval_s = self._group_of(record.target), record.target.spec.interval_s
        self.schedule.put(record.uid, group, interval_s, self._clock.now_s())
        if not record.remembered:
            self._histories.want(record)

    def leave(self, record: PolicyRecord) -> None:
        """Let go of a policy."""
        self.schedule.drop(record.uid)

    async def run(self, stop: asyncio.Event) -> None:
        """Tick until stopped, then let what is under way end."""
        while not stop.is_set():
            now_s = self._clock.now_s()
            due = [
                record
                for record in map(self._policies.get, self.schedule.due(now_s))
                if record and record.in_flight_since_s is None
            ]
            if due and self._may_act():
                self._start(due, now_s)
            wait_s = self.schedule.next_s(now_s + LONGEST_SLEEP_S) - self._clock.now_s()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(LONGEST_SLEEP_S, max(0.01, wait_s)))
        await self._end()

    async def _end(self) -> None:
        """What is under way may end; a tick that waits for too long is given up."""
        if self._ticks:
            _, late = await asyncio.wait(self._ticks, timeout=LAST_TICK_S)
            for tick in late:
                tick.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _start(self, due: Sequence[PolicyRecord], now_s: float) -> None:
        tick = asyncio.create_task(self._tick(due, now_s), name="tick")
        self._ticks.add(tick)
        tick.add_done_callback(self._ticks.discard)

    async def _tick(self, due: Sequence[PolicyRecord], now_s: float) -> None:
        by_policy: dict[int, tuple[Policy, list[tuple[PolicyRecord, Target]]]] = {}  # by the policy's identity
        try:
            for record in due:
                record.in_flight_since_s = now_s
            async for record in in_turns(due):
                target, policy = record.target, self._policy_of(record)
                if target is not None and policy is not None and self._is_prepared(record, target, now_s):
                    by_policy.setdefault(id(policy), (policy, []))[1].append((record, target))
                    async for _ in in_turns(self._learn(target)):
                        pass
            await asyncio.gather(*(self._decide(policy, prepared, now_s) for policy, prepared in by_policy.values()))
            self._ended(self._clock.now_s() - now_s)
        except Exception:
            log.exception("a tick of %d policies failed", len(due))
        finally:
            for record in due:
                if record.in_flight_since_s == now_s:  # not in a later tick's hand already
                    record.in_flight_since_s = None

    async def _decide(self, policy: Policy, prepared: Sequence[tuple[PolicyRecord, Target]], now_s: float) -> None:
        """Decide on the targets that were prepared; one that was edited since is decided on as it was, for nothing."""
        records = {id(target): record for record, target in prepared}
        targets = [target for _, target in prepared]
        async for outcomes in in_parts(targets, self._ports, policy, now_s, PATIENCE_S):
            self._tell([(records[id(outcome.target)], outcome) for outcome in outcomes])

    def _tell(self, seen: Sequence[tuple[PolicyRecord, Outcome]]) -> None:
        for record, outcome in seen:
            record.in_flight_since_s = None
            if record.target is outcome.target:
                record.last_evaluated_s = self._clock.now_s()
                self._catch_up(record, outcome)
            elif record.last_evaluated_s is not None:  # edited meanwhile: the next look is no first one for that
                record.last_evaluated_s = self._clock.now_s()
        self._report(seen)

    def _is_prepared(self, record: PolicyRecord, target: Target, now_s: float) -> bool:
        try:
            self._prepare(record, target, now_s)
        except Exception as error:
            self._tell([(record, unforeseen(target, error))])
            return False
        return True

    def _prepare(self, record: PolicyRecord, target: Target, now_s: float) -> None:
        """Set the wishes of this moment, and what stands against a change."""
        target.spec, holds = wishes_at(target.resource, self._clock.unix_s())
        if record.startup_s is not None and target.spec.startup_s is None:
            target.spec = replace(target.spec, startup_s=record.startup_s)
        target.holds = (*holds, Reason.JUST_STARTED) if self._has_just_started(record, target, now_s) else holds

    def _catch_up(self, record: PolicyRecord, outcome: Outcome) -> None:
        """Ask for the history again when demand is back after a gap longer than what the memory bridges."""
        gap_s = record.unknown_s
        state = outcome.target.state
        since_s = state.not_whole_since_s
        record.unknown_s = 0.0 if since_s is None else self._clock.now_s() - since_s
        if record.remembered and record.unknown_s == 0.0 and gap_s > RECENT_STEPS * STEP_S:
            self._histories.want(record, gap_s)

    def _has_just_started(self, record: PolicyRecord, target: Target, now_s: float) -> bool:
        """Nothing is changed on the strength of one look at a workload, nor in its first interval."""
        age_s = now_s - record.adopted_s
        is_waiting = not record.remembered and age_s < STARTING_S
        return record.last_evaluated_s is None or age_s < target.spec.interval_s or is_waiting
