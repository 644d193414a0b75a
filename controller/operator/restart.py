"""What a restart reads back from a policy's status: the changes that count for the rates of spec.behavior, as if the
operator had stayed, and the size that it last knew of.

An operator can be killed after it wrote a size and before it wrote the status. So a size that is not the one in the
status counts as changed at the restart, by whoever it was: later than it was, and never not at all.
"""

from controller.cluster.status import Change, past_of
from controller.operator.clock import Clock
from controller.operator.policies import PolicyRecord
from scaling.behavior import BehaviorLog, log_change

SAME_WITHIN_S = 15.0
"""A status tells when a change was written, our log when it was decided on. Chosen: no write takes that long, and
nobody else leads so soon after it."""


def restore(record: PolicyRecord, clock: Clock) -> None:
    """Add to the target's state what its status tells, where that is news: another operator's, or of a life before."""
    if record.target is None:
        return
    state, now_s, unix_s = record.target.state, clock.now_s(), clock.unix_s()
    past = past_of(record.status, record.generation, unix_s)
    for change in past.changes:
        at_s = now_s - (unix_s - change.at_s)
        if not _is_known(change, at_s, state.behavior):
            sizes = (0, change.replicas) if change.replicas > 0 else (-change.replicas, 0)
            state.behavior = log_change(*sizes, record.target.spec.behavior, state.behavior, at_s)
    added = [now_s - (unix_s - change.at_s) for change in past.changes if change.replicas > 0]
    state.added_s = max(added, default=None)
    state.last_replicas, state.last_decision_s = past.size, now_s


def _is_known(change: Change, at_s: float, log: BehaviorLog) -> bool:
    events = log.up_events if change.replicas > 0 else log.down_events
    return any(abs(event.at_s - at_s) <= SAME_WITHIN_S for event in events)
