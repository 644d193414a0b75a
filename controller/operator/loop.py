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
from controller.operator.policies import Care, Policies
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
        policy_of: Callable[[Care], Policy | None],
        group_of: Callable[[Target], str],
        may_act: Callable[[], bool],
        report: Callable[[Sequence[tuple[Care, Outcome]]], None],
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

    def take(self, care: Care) -> None:
        """Take in a policy that is new or was edited."""
        if care.target is None:
            self.schedule.drop(care.uid)
            return
        group, interval_s = self._group_of(care.target), care.target.spec.interval_s
        self.schedule.put(care.uid, group, interval_s, self._clock.now_s())
        if not care.remembered:
            self._histories.want(care)

    def leave(self, care: Care) -> None:
        """Let go of a policy."""
        self.schedule.drop(care.uid)

    async def run(self, stop: asyncio.Event) -> None:
        """Tick until stopped, then let what is under way end."""
        while not stop.is_set():
            now_s = self._clock.now_s()
            due = [care for care in map(self._policies.get, self.schedule.due(now_s)) if care and care.in_hand is None]
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

    def _start(self, due: Sequence[Care], now_s: float) -> None:
        tick = asyncio.create_task(self._tick(due, now_s), name="tick")
        self._ticks.add(tick)
        tick.add_done_callback(self._ticks.discard)

    async def _tick(self, due: Sequence[Care], now_s: float) -> None:
        by_policy: dict[int, tuple[Policy, list[tuple[Care, Target]]]] = {}  # by the policy's identity
        try:
            for care in due:
                care.in_hand = now_s
            async for care in in_turns(due):
                target, policy = care.target, self._policy_of(care)
                if target is not None and policy is not None and self._is_prepared(care, target, now_s):
                    by_policy.setdefault(id(policy), (policy, []))[1].append((care, target))
                    async for _ in in_turns(self._learn(target)):
                        pass
            await asyncio.gather(*(self._decide(policy, prepared, now_s) for policy, prepared in by_policy.values()))
            self._ended(self._clock.now_s() - now_s)
        except Exception:
            log.exception("a tick of %d policies failed", len(due))
        finally:
            for care in due:
                if care.in_hand == now_s:  # not in a later tick's hand already
                    care.in_hand = None

    async def _decide(self, policy: Policy, prepared: Sequence[tuple[Care, Target]], now_s: float) -> None:
        """Decide on the targets that were prepared; one that was edited since is decided on as it was, for nothing."""
        cares = {id(target): care for care, target in prepared}
        targets = [target for _, target in prepared]
        async for outcomes in in_parts(targets, self._ports, policy, now_s, PATIENCE_S):
            self._tell([(cares[id(outcome.target)], outcome) for outcome in outcomes])

    def _tell(self, seen: Sequence[tuple[Care, Outcome]]) -> None:
        for care, outcome in seen:
            care.in_hand = None
            if care.target is outcome.target:
                care.looked_s = self._clock.now_s()
                self._catch_up(care, outcome)
            elif care.looked_s is not None:  # edited meanwhile: the next look is no first one for that
                care.looked_s = self._clock.now_s()
        self._report(seen)

    def _is_prepared(self, care: Care, target: Target, now_s: float) -> bool:
        try:
            self._prepare(care, target, now_s)
        except Exception as error:
            self._tell([(care, unforeseen(target, error))])
            return False
        return True

    def _prepare(self, care: Care, target: Target, now_s: float) -> None:
        """Set the wishes of this moment, and what stands against a change."""
        target.spec, holds = wishes_at(target.resource, self._clock.unix_s())
        if care.startup_s is not None and target.spec.startup_s is None:
            target.spec = replace(target.spec, startup_s=care.startup_s)
        target.holds = (*holds, Reason.JUST_STARTED) if self._has_just_started(care, target, now_s) else holds

    def _catch_up(self, care: Care, outcome: Outcome) -> None:
        """Ask for the history again when demand is back after a gap longer than what the memory bridges."""
        gap_s = care.unknown_s
        state = outcome.target.state
        since_s = state.not_whole_since_s
        care.unknown_s = 0.0 if since_s is None else self._clock.now_s() - since_s
        if care.remembered and care.unknown_s == 0.0 and gap_s > RECENT_STEPS * STEP_S:
            self._histories.want(care, gap_s)

    def _has_just_started(self, care: Care, target: Target, now_s: float) -> bool:
        """Nothing is changed on the strength of one look at a workload, nor in its first interval."""
        age_s = now_s - care.adopted_s
        is_waiting = not care.remembered and age_s < STARTING_S
        return care.looked_s is None or age_s < target.spec.interval_s or is_waiting
