"""One tick: gather, decide, act. Who is due and what is reported afterwards is left to the caller."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from controller.ports import Ports, Refused, Scale, Target
from scaling.decide import Request, decide_all
from scaling.decision import Action, Decision, Reason
from scaling.observation import Observation, Reading, Unknown
from scaling.policy import Policy
from scaling.spec import Mode

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """What one tick came to for one target."""

    target: Target
    scale: Scale | Refused
    reading: Reading
    observation: Observation | None = None
    """What was decided on; None without a scale."""
    decision: Decision | None = None
    """None without a scale, or when deciding failed, which `failure` explains."""
    acted: bool = False
    """Whether it was tried to carry the decision out."""
    write: Refused | None = None
    """Why that could not be done."""
    failure: str = ""

    @property
    def acts(self) -> bool:
        """Whether the decision is to be carried out, as far as is known now."""
        if self.decision is None or self.decision.action is Action.HOLD:
            return False
        return self.target.spec.mode is not Mode.SHADOW and not self.target.superseded

    @property
    def changed(self) -> bool:
        """Whether replicas were written."""
        return self.acted and self.write is None


async def reconcile(targets: Sequence[Target], ports: Ports, policy: Policy, now_s: float) -> list[Outcome]:
    """Decide for all targets, which share a policy, and write what changes; a target in Shadow is never written.

    Nothing that goes wrong with one target keeps another from its decision.
    """
    return [outcome async for part in in_parts(targets, ports, policy, now_s, None) for outcome in part]


async def in_parts(
    targets: Sequence[Target], ports: Ports, policy: Policy, now_s: float, patience_s: float | None
) -> AsyncIterator[list[Outcome]]:
    """The same, with outcomes as they come: a source that hangs holds up no target but its own.

    `patience_s`: how long what has come waits for more to come with it, without end for None.
    """
    reading: set[asyncio.Future[Outcome]] = set()
    writing: set[asyncio.Future[Outcome]] = set()
    for begun in _reading_batches(targets):
        reading |= {asyncio.ensure_future(_gather(target, ports, now_s)) for target in begun}
        await asyncio.sleep(0)
    while reading or writing:
        done = await _some(reading | writing, patience_s)
        if done & writing:
            yield [task.result() for task in done & writing]
        for read in _batches([task.result() for task in done & reading], DECIDED_AT_ONCE):
            decided = _decide(read, policy, now_s)
            acting = [outcome for outcome in decided if outcome.acts]
            writing |= {asyncio.ensure_future(_act(outcome, ports, now_s)) for outcome in acting}
            yield [outcome for outcome in decided if not outcome.acts]
            await asyncio.sleep(0)  # others have waited for a batch
        reading, writing = reading - done, writing - done


async def _some(pending: set[asyncio.Future[Outcome]], patience_s: float | None) -> set[asyncio.Future[Outcome]]:
    """What is done of these after a while; when nothing is, whatever comes next."""
    done, _ = await asyncio.wait(pending, timeout=patience_s)
    if not done:
        done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    return done


READ_AT_ONCE, DECIDED_AT_ONCE = 250, 50
"""Targets whose reading begins in one turn of the event loop, and decisions taken and reported in one: some 20 ms each
in which nothing else runs (chosen). Questions that are put in one turn can share a query."""

OF_A_CONDITION = 4
"""A query of requireHealthy counts for so many targets: it costs more, as it rarely shares (measured)."""


def _reading_batches(targets: Sequence[Target]) -> Iterator[Sequence[Target]]:
    """Targets that together ask about as much as `READ_AT_ONCE` ordinary ones."""
    begin, weight = 0, 0
    for end, target in enumerate(targets):
        weight += 1 + OF_A_CONDITION * len(target.resource.queries.healthy)
        if weight >= READ_AT_ONCE:
            yield targets[begin : end + 1]
            begin, weight = end + 1, 0
    if begin < len(targets):
        yield targets[begin:]


def _batches(whole: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(whole), size):
        yield whole[start : start + size]


def unforeseen(target: Target, error: Exception) -> Outcome:
    """No decision, and why: whatever failed in a way that nobody foresaw, it is this one target's and no other's."""
    log.error("nothing is known of %s", target.name, exc_info=error)
    said = f"{type(error).__name__}: {error}"
    return Outcome(target, Refused("ReadingFailed", said), Unknown(Reason.METRIC_ERROR, said))


async def _gather(target: Target, ports: Ports, now_s: float) -> Outcome:
    """Read all at once, so that a source that hangs costs one deadline. What was observed waits in the outcome."""
    metrics, queries = ports.metrics, target.resource.queries
    demand = asyncio.ensure_future(metrics.demand(target, now_s))
    bad = asyncio.ensure_future(metrics.bad_ratio(target, now_s)) if queries.bad_ratio else None
    health = asyncio.ensure_future(metrics.healthy(target, now_s)) if queries.healthy else None
    try:
        scale = await ports.workloads.scale(target, now_s)  # as a rule it is known, and a task of its own costs more
        reading = await demand
        bad_ratio = await bad if bad else None
        healthy = await health if health else True
    except Exception as error:
        return unforeseen(target, error)
    finally:
        for asked in (demand, bad, health):
            if asked is not None:
                asked.cancel()
    if isinstance(scale, Refused):
        return Outcome(target, scale, reading)
    holds = (*target.holds, *scale.holds, *(() if healthy else (Reason.UNHEALTHY,)))
    seen = Observation(reading, scale.replicas, scale.ready, bad_ratio, holds, scale.ready_known)
    return Outcome(target, scale, reading, seen)


def _decide(gathered: Sequence[Outcome], policy: Policy, now_s: float) -> list[Outcome]:
    """All in one call; one by one only when that fails, to find out whose fault it is."""
    ready = [outcome for outcome in gathered if outcome.observation is not None]
    try:
        decisions = iter(decide_all([_request(outcome) for outcome in ready], policy, now_s))
    except Exception:
        log.exception("a tick of %d decisions failed; deciding one by one", len(ready))
        return [_decide_alone(outcome, policy, now_s) for outcome in gathered]
    return [
        outcome if outcome.observation is None else replace(outcome, decision=next(decisions)) for outcome in gathered
    ]


def _decide_alone(outcome: Outcome, policy: Policy, now_s: float) -> Outcome:
    if outcome.observation is None:
        return outcome
    try:
        return replace(outcome, decision=decide_all([_request(outcome)], policy, now_s)[0])
    except Exception as error:  # whatever it is, it holds this one policy and no other
        log.exception("no decision for %s", outcome.target.name)
        return replace(outcome, failure=f"{type(error).__name__}: {error}")


def _request(outcome: Outcome) -> Request:
    assert outcome.observation is not None
    return Request(outcome.observation, outcome.target.spec, outcome.target.state)


async def _act(outcome: Outcome, ports: Ports, now_s: float) -> Outcome:
    assert isinstance(outcome.scale, Scale)
    assert outcome.decision is not None
    target, seen, replicas = outcome.target, outcome.scale, outcome.decision.final_replicas
    try:
        write = await ports.workloads.set_replicas(target, seen, replicas, now_s)
    except Exception as error:  # nobody foresaw it, and whether replicas were written the next look shows
        log.exception("no answer to a write of %s", target.name)
        write = Refused("WritingFailed", f"{type(error).__name__}: {error}")
    return replace(outcome, acted=True, write=write)
