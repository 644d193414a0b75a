"""The ScalingPolicies that the operator serves, as the watch told of them: read, kept up to date, and given up.

Owns what is remembered of each. A body that cannot be read or is not served is kept too, as the problem that its status
must name.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.crd.resource import PolicyResource, parse_policy
from controller.crd.status import fitting
from controller.operator.ceilings import Age, Ceilings, Queue
from controller.operator.off_limits import OffLimits
from controller.operator.query_rules import QueryRules
from controller.ports import Target
from controller.shared_texts import SharedTexts
from scaling.errors import InputError

log = logging.getLogger(__name__)

NOTHING = OffLimits()
NO_CEILINGS = Ceilings()
ANY_PROMQL = QueryRules()


@dataclass
class PolicyRecord:
    """One ScalingPolicy: its identity, what it asks for, and how far we are with it."""

    uid: str
    namespace: str
    name: str
    generation: int
    adopted_s: float
    """When it was first seen, on the operator's clock."""
    created: str = ""
    """Its creationTimestamp."""
    resource: PolicyResource | None = None
    """As it was read, whether it is served or not; None while it cannot be read."""
    status: Mapping[str, Any] = field(default_factory=dict)
    """As the watch last told it."""
    target: Target | None = None
    """None while the resource cannot be read, which `problem` explains."""
    problem: str = ""
    notice: str = ""
    """What the operator's limits changed of it; empty for nothing."""
    last_evaluated_s: float | None = None
    """When it was last seen to: decided on, or found to have no scale to decide on."""
    in_flight_since_s: float | None = None
    """When the tick began that is at it."""
    remembered: bool = False
    """Its history was asked for, whatever came of that."""
    unknown_s: float = 0.0
    """For how long all of its demand had not been known when it was last looked at."""
    startup_s: float | None = None
    """How long its target's pods were seen to take from creation to readiness, in seconds."""

    def reset(self, now_s: float) -> None:
        """Forget how far we were: the next look at it is a first one."""
        self.adopted_s, self.last_evaluated_s, self.remembered, self.unknown_s = now_s, None, False, 0.0

    @property
    def age(self) -> Age:
        """Sorts the oldest first."""
        return self.created, self.name, self.uid

    @property
    def since_s(self) -> float:
        """Since when it has waited to be looked at."""
        return self.adopted_s if self.last_evaluated_s is None else self.last_evaluated_s


class Policies:
    """All of them, by uid.

    `on_change` hears of one that is new or asks for something else, `on_gone` of one that was deleted, and `on_release`
    of a target that is not served any more: it is gone, cannot be read, or names another.
    """

    def __init__(
        self,
        now_s: Callable[[], float],
        off_limits: OffLimits = NOTHING,
        ceilings: Ceilings = NO_CEILINGS,
        rules: QueryRules = ANY_PROMQL,
    ) -> None:
        self._now_s, self._off_limits, self._ceilings, self._rules = now_s, off_limits, ceilings, rules
        self._queue = Queue(ceilings.policies)
        self._records: dict[str, PolicyRecord] = {}
        self._uids: dict[tuple[str, str], str] = {}
        self._going: dict[str, str] = {}
        """Namespaces by uid of those that are asked to go, and kept by a finalizer."""
        self.on_change: Callable[[PolicyRecord], None] = lambda record: None
        self.on_gone: Callable[[PolicyRecord], None] = lambda record: None
        self.on_release: Callable[[Target], None] = lambda target: None

    def __iter__(self) -> Iterator[PolicyRecord]:
        return iter(list(self._records.values()))

    def __len__(self) -> int:
        return len(self._records)

    def get(self, uid: str) -> PolicyRecord | None:
        """The policy of that uid."""
        return self._records.get(uid)

    def named(self, namespace: str, name: str) -> PolicyRecord | None:
        """The policy of that name."""
        return self._records.get(self._uids.get((namespace, name), ""))

    def known(self) -> frozenset[str]:
        """The uids of all that was told of and exists, for `keep`."""
        return frozenset(self._records) | self._going.keys()

    def note(self, event: str | None, body: Mapping[str, Any]) -> None:
        """Take in an event of the watch: None for a body that was listed, or ADDED, MODIFIED, DELETED."""
        metadata = body["metadata"]
        if event == "DELETED" or metadata.get("deletionTimestamp"):
            self._going[metadata["uid"]] = metadata["namespace"]
            if event == "DELETED":
                del self._going[metadata["uid"]]
            self._give_up(metadata["uid"])
            return
        record = self._records.get(metadata["uid"])
        if record is None:
            record = self._records[metadata["uid"]] = self._adopt(metadata)
        elif record.generation == metadata.get("generation", 0):
            record.status = _status(body)  # nothing else can have changed; a label is nobody's business here
            return
        record.generation, record.status = metadata.get("generation", 0), _status(body)
        self._read(record, body)
        self.on_change(record)

    def keep(self, namespace: str, listed: Mapping[str, str], known_before: Collection[str]) -> None:
        """Give up what a full listing (uid to name) of a namespace, or of all for "", no longer has: a deletion that no
        watch told of.

        `known_before`: `known` as it was before the listing, as what came while it was made is not in it.
        """
        within = self._going | {uid: record.namespace for uid, record in self._records.items()}
        gone = {uid for uid in known_before if uid not in listed and namespace in ("", within.get(uid))}
        for uid in gone:
            self._going.pop(uid, None)
        for uid in gone & self._records.keys():
            log.warning(
                "policy %s/%s is gone, and no event said so", self._records[uid].namespace, self._records[uid].name
            )
            self._give_up(uid)

    def _adopt(self, metadata: Mapping[str, Any]) -> PolicyRecord:
        self._uids[metadata["namespace"], metadata["name"]] = metadata["uid"]
        record = PolicyRecord(
            uid=metadata["uid"],
            namespace=metadata["namespace"],
            name=metadata["name"],
            generation=-1,
            adopted_s=self._now_s(),
            created=str(metadata.get("creationTimestamp") or ""),
        )
        self._settle_again(self._queue.join(record.namespace, record.age))
        return record

    def _give_up(self, uid: str) -> None:
        record = self._records.pop(uid, None)
        if record is None:
            return
        if self._uids.get((record.namespace, record.name)) == uid:  # a namesake may have been made since
            del self._uids[record.namespace, record.name]
        self._replace(record, None)
        self.on_gone(record)
        self._settle_again(self._queue.leave(record.namespace, record.age))

    def _read(self, record: PolicyRecord, body: Mapping[str, Any]) -> None:
        record.resource, record.problem = None, ""
        try:
            resource = parse_policy({key: value for key, value in body.items() if key != "status"})
            self._off_limits.check(resource)
            record.resource, record.notice = self._ceilings.lowered(self._rules.applied(resource))
        except InputError as error:
            record.problem = str(error)
        self._settle(record)

    def _settle_again(self, uid: str | None) -> None:
        """One has lost its place to an older one, or has one now."""
        record = self._records.get(uid or "")
        if record is not None and record.resource is not None:
            self._settle(record)
            self.on_change(record)

    def _settle(self, record: PolicyRecord) -> None:
        """Serve what was read, if it may be served."""
        resource = record.resource
        if resource is not None:
            has_place = self._queue.has_place(record.namespace, record.age)
            record.problem = "" if has_place else self._queue.refusal(record.namespace)
        if resource is None or record.problem:
            self._replace(record, None)
            return
        if record.target is not None and _same_load(record.target.resource, resource):
            self._replace(record, Target(resource, record.target.state))
        else:
            self._replace(record, Target(resource))
            record.reset(self._now_s())

    def _replace(self, record: PolicyRecord, target: Target | None) -> None:
        """Put a target in place of the one before; a tick that is at that one writes nothing any more."""
        before, record.target = record.target, target
        if before is None:
            return
        before.superseded = True
        if target is None or target.resource.target != before.resource.target:
            self.on_release(before)


def _same_load(before: PolicyResource, after: PolicyResource) -> bool:
    """Whether what is remembered still means the same: load, its unit, and whose it is."""
    return (
        before.target == after.target
        and before.queries.demand == after.queries.demand
        and before.spec.stated_capacity == after.spec.stated_capacity
    )


_TEXTS = SharedTexts()


def _status(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of a status fits its schema: no more can be the operator's, and anybody may have written the rest."""
    return {name: _shared(value) for name, value in fitting(body.get("status")).items()}


def _shared(part: Any) -> Any:
    """The same with equal texts kept once: of thousands of statuses most say the same, each in words of its own."""
    match part:
        case str():
            return _TEXTS.share(part)
        case Mapping():
            return {name: _shared(value) for name, value in part.items()}
        case list():
            return [_shared(each) for each in part]
    return part
