"""Scales of real workloads: read from the watches where they tell, and written under two fences, the Lease and the
resourceVersion.

Owns reading and writing /scale; `ClusterWorkloads` is the only code that can patch one, and a dry run has no use for
it. What a body means is left to `watched.py`, where a kind is served to `discovery.py`, and who else writes to
`competitors.py`.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from controller.cluster.api import ApiError, Body
from controller.cluster.backoff import SPREAD, backoff_of, with_next_look
from controller.cluster.competitors import Competitors
from controller.cluster.discovery import Discovery, Reads, Scalable
from controller.cluster.manager_conflicts import MANAGER, Key
from controller.cluster.owners import Owner, owner_of, scaled_by_owner, set_by_owner
from controller.cluster.watched import WatchedWorkloads, Workload, is_newer
from controller.ports import Refused, Scale, Target
from scaling.decision import Reason
from scaling.spec import Mode

KEPT_S = 60.0
"""How long a scale that nobody watches is believed: at 15 s intervals a quarter of the requests. Chosen; a write is
fenced by the version that was read, whatever its age."""

NEWS_KEPT_S = 120.0
"""How long our own writes are believed before the watch tells of them. Chosen: a watch tells within seconds, and a
cluster that was restored from a backup never does, as it counts versions from an earlier one."""

WRITE_WITHIN_S = 4.0
"""How long a write may take once it is sent. Another instance may write 15 s after our last renewal, and we believe in
ours for 10 s of them: an allowed write has to be over in what is left (chosen, with 1 s to spare)."""

CHANGED = "ChangedMeanwhile"
NOT_LEADER = Refused("NotLeader", "another instance holds the Lease, or ours was not renewed in time")


class Writes(Reads, Protocol):
    """The API client with what writing a scale takes."""

    async def patch(
        self, path: str, body: Body, query: Mapping[str, str] = ..., within_s: float | None = ...
    ) -> dict[str, Any]:
        """A merge patch, whose body is made when its turn has come; raises ApiError."""


class _WithheldError(Exception):
    """A write that is not sent, and why."""

    def __init__(self, refusal: Refused) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class _Kept:
    until_s: float
    answer: Workload | Refused
    kept_s: float


def _kept(answer: Workload | Refused, key: Key, now_s: float, before: _Kept | None) -> _Kept:
    """An answer, for as long as it is believed; `before`: the one that it follows."""
    kept_s = backoff_of(answer).after(_before_s(answer, before)) if isinstance(answer, Refused) else KEPT_S
    return _Kept(now_s + kept_s * _spread(key), answer, kept_s)


class ReadOnlyWorkloads:
    """Reads scales.

    A Deployment's or StatefulSet's comes from the watch, without a request, also while the API server is away. Any
    other kind's is asked for and kept a minute; its replicas that exist count as ready, since /scale knows no better.
    """

    def __init__(
        self,
        api: Reads,
        watched: WatchedWorkloads,
        kinds: Discovery,
        competitors: Competitors,
        on_new_target: Callable[[Target], None] = lambda target: None,
    ) -> None:
        """`on_new_target` hears, before the scale is returned, that a target is another object than it was: deleted and
        made again, or another one named. What is remembered of its load belongs to the old one."""
        self._reads, self._watched, self._kinds, self._competitors = api, watched, kinds, competitors
        self._on_new_target = on_new_target
        self._asked: dict[Key, _Kept] = {}
        self._told: set[Key] = set()
        """Of those that are asked for, whose replicas were ever told of."""
        self._news: dict[Key, tuple[Workload, float]] = {}
        """What we wrote or were answered, and when, until the watch has caught up."""
        self._now_s = 0.0
        """The latest time at which a scale was asked for."""
        self._uids: dict[str, str] = {}
        self.on_backoff: Callable[[str], None] = lambda reason: None
        """Hears the reason when a target that could not be read is put off for longer."""

    def ask_again(self) -> None:
        """Forget who did not answer: the API server is back."""
        self._kinds.ask_again()
        silent = [key for key, kept in self._asked.items() if _is_silence(kept.answer)]
        for key in silent:
            del self._asked[key]

    async def scale(self, target: Target, now_s: float) -> Scale | Refused:
        """The target's present scale and what stands against a change; never older than our own last write."""
        self._now_s = now_s
        await self._ask_where_due(target, now_s)
        seen = self._known(_key(target))
        if isinstance(seen, Refused):
            return seen
        unsure = self._competitors.unknown(target)
        if unsure is not None:
            return unsure
        owned = await self._owned(target, seen, now_s)
        if owned is not None:
            return owned
        if self._uids.setdefault(target.name, seen.uid) != seen.uid:
            self._uids[target.name] = seen.uid
            self._competitors.manager_conflicts.forget(_key(target))
            self._on_new_target(target)
        self._competitors.manager_conflicts.note_scale(_key(target), seen, now_s)
        return self._as_scale(target, seen, now_s)

    def selector(self, target: Target) -> str:
        """The query for the target's pods as last read; empty where it is not known."""
        key = _key(target)
        if self._watched.watches(key[1]):
            seen: Workload | Refused | None = self._watched.find(*key)
        else:
            seen = self._asked[key].answer if key in self._asked else None
        return seen.selector if isinstance(seen, Workload) else ""

    def forget(self, target: Target) -> None:
        """Drop all that is kept of a target that is no longer served."""
        key = _key(target)
        self._uids.pop(target.name, None)
        if not self._competitors.is_shared(target):
            self._asked.pop(key, None)
            self._told.discard(key)
            self._news.pop(key, None)
            self._competitors.manager_conflicts.forget(key)

    def _known(self, key: Key) -> Workload | Refused:
        seen: Workload | Refused
        if self._watched.watches(key[1]):
            seen = self._watched.find(*key)
        elif key in self._asked:
            seen = self._asked[key].answer
        else:
            seen = Refused("NotSynced", f"{_named(key)} has not been asked for")
        if isinstance(seen, Refused):
            return seen
        if seen.deleting:
            return Refused("TargetNotFound", f"{_named(key)} is being deleted")
        return self._with_news(key, seen)

    def _with_news(self, key: Key, seen: Workload) -> Workload:
        news, at_s = self._news.get(key, (None, 0.0))
        if news is None:
            return seen
        is_believed = self._now_s - at_s < NEWS_KEPT_S and news.uid == seen.uid
        if is_believed and is_newer(news.resource_version, seen.resource_version):
            ready = seen.ready if seen.ready_known else news.replicas
            return replace(seen, replicas=news.replicas, ready=ready, resource_version=news.resource_version)
        del self._news[key]
        return seen

    async def _ask_where_due(self, target: Target, now_s: float) -> None:
        key = _key(target)
        kept = self._asked.get(key)
        if not self._watched.watches(key[1]) and (kept is None or now_s >= kept.until_s):
            answer = await self._ask(key, now_s)
            if not target.superseded:  # and forgotten meanwhile, maybe for good
                self._keep_asked(key, answer, now_s, kept)

    def _keep_asked(self, key: Key, answer: Workload | Refused, now_s: float, before: _Kept | None) -> None:
        if isinstance(answer, Refused):
            if _before_s(answer, before) is not None:
                self.on_backoff(answer.reason)
            answer = with_next_look(answer)
        self._news.pop(key, None)  # this was read after any write of ours
        self._asked[key] = _kept(answer, key, now_s, before)

    async def _ask(self, key: Key, now_s: float) -> Workload | Refused:
        place = await self._kinds.find(key[1], now_s, key[0])
        if isinstance(place, Refused):
            return place
        owner = await self._owner(place, key)
        if isinstance(owner, Refused):
            return owner
        found = await self._get(place, key)
        return replace(found, owner=owner) if isinstance(found, Workload) else found

    async def _owner(self, place: Scalable, key: Key) -> Owner | Refused | None:
        """Whose it is, which /scale does not tell; None, too, where that may not be read, and Refused if it is gone."""
        try:
            return owner_of(await self._reads.get(place.path(key[0], key[1].name)))
        except ApiError as error:  # what of any other matters, /scale says
            return _refused(error, "get", place, key) if error.code == 404 else None

    async def _owned(self, target: Target, seen: Workload, now_s: float) -> Refused | None:
        """Refuse what its owner scales: the owner has a scale of its own, or its controller sets the size."""
        if seen.owner is None or target.spec.mode is Mode.SHADOW:
            return None
        named, ref = _named(_key(target)), seen.owner.ref
        is_scaled = ref is not None and isinstance(
            await self._kinds.find(ref, now_s, target.resource.namespace), Scalable
        )
        if is_scaled or target.resource.target.kind == "ReplicaSet":
            return scaled_by_owner(named, seen.owner)
        return set_by_owner(named, seen.owner)

    async def _get(self, place: Scalable, key: Key) -> Workload | Refused:
        try:
            seen = _read_scale(await self._reads.get(place.scale_path(key[0], key[1].name)))
        except ApiError as error:
            return _refused(error, "get", place, key)
        if seen.ready > 0 and seen.ready_known:
            self._told.add(key)
        return _unless_never_told(seen, key in self._told)

    def _as_scale(self, target: Target, seen: Workload, now_s: float) -> Scale:
        competitor = self._competitors.of(target, now_s)
        holds = (Reason.CONFLICT,) * (competitor is not None) + (Reason.ROLLOUT,) * seen.rollout
        return Scale(
            seen.replicas, seen.ready, holds, competitor, self._competitors.waiting(target), seen.ready_known, seen.uid
        )


class ClusterWorkloads(ReadOnlyWorkloads):
    """Reads scales, and writes them while this instance holds the Lease; implements `controller.ports.Workloads`."""

    def __init__(
        self,
        api: Writes,
        watched: WatchedWorkloads,
        kinds: Discovery,
        competitors: Competitors,
        may_write: Callable[[], bool],
        on_new_target: Callable[[Target], None] = lambda target: None,
    ) -> None:
        super().__init__(api, watched, kinds, competitors, on_new_target)
        self._api, self._may_write = api, may_write
        self._forbidden: dict[Key, _Kept] = {}

    async def set_replicas(self, target: Target, seen: Scale, replicas: int, now_s: float) -> Refused | None:
        """Ask for so many replicas; refused where the scale is no longer the one that was seen. Nothing is ever forced.

        The version may have moved on without the size, by a status for instance: then it is tried once more.
        """
        key = _key(target)
        place = await self._kinds.find(key[1], now_s, key[0])
        if isinstance(place, Refused):
            return place
        forbidden = self._forbidden.get(key)
        if forbidden is not None and now_s < forbidden.until_s and isinstance(forbidden.answer, Refused):
            return forbidden.answer
        written = await self._written(target, seen, replicas, place, now_s)
        if isinstance(written, Refused):
            self._note_refusal(key, written, now_s)
            return written
        self._forbidden.pop(key, None)
        if not target.superseded:  # and forgotten meanwhile, maybe for good
            self._news[key] = written, self._now_s
            self._competitors.manager_conflicts.note_write(key, written)
        return None if written.replicas == replicas else _overruled(key, replicas, written)

    def forget(self, target: Target) -> None:
        """Drop all that is kept of a target that is no longer served."""
        if not self._competitors.is_shared(target):
            self._forbidden.pop(_key(target), None)
        super().forget(target)

    def _note_refusal(self, key: Key, refused: Refused, now_s: float) -> None:
        before = self._forbidden.pop(key, None)
        if refused.reason == "Forbidden":
            self._forbidden[key] = _kept(refused, key, now_s, before)
        elif refused.reason in (CHANGED, "TargetNotFound"):
            self._asked.pop(key, None)
        elif refused.reason == "ApiUnavailable":  # and maybe done
            self._competitors.manager_conflicts.note_lost_write(key)

    async def _written(
        self, target: Target, seen: Scale, replicas: int, place: Scalable, now_s: float
    ) -> Workload | Refused:
        """What a write made of it; a second one after a conflict knows what the first did not."""

        def body() -> Mapping[str, Any]:
            known = self._still(target, seen, replicas, now_s)
            return {"metadata": {"resourceVersion": known.resource_version}, "spec": {"replicas": replicas}}

        written = await self._patched(place, _key(target), body)
        if not isinstance(written, ApiError):
            return written
        fresh = await self._get(place, _key(target))
        if isinstance(fresh, Refused):
            return fresh
        if fresh.uid != seen.uid:
            return _made_again(_key(target))
        if not target.superseded:
            self._news[_key(target)] = fresh, self._now_s
        written = await self._patched(place, _key(target), body)
        return _refused(written, "patch", place, _key(target)) if isinstance(written, ApiError) else written

    async def _patched(self, place: Scalable, key: Key, body: Body) -> Workload | Refused | ApiError:
        """What it was made; the error where the version has moved on."""
        path = place.scale_path(key[0], key[1].name)
        try:
            return _read_scale(await self._api.patch(path, body, {"fieldManager": MANAGER}, WRITE_WITHIN_S))
        except ApiError as error:
            return error if error.code == 409 else _refused(error, "patch", place, key)
        except _WithheldError as withheld:
            return withheld.refusal

    def _still(self, target: Target, seen: Scale, replicas: int, now_s: float) -> Workload:
        """The workload as it is known at the moment of a write; _WithheldError where that must not be."""
        key = _key(target)
        if target.superseded:
            raise _WithheldError(Refused(CHANGED, f"{target.name} was edited or deleted since we decided"))
        known = self._known(key)
        if isinstance(known, Refused):
            raise _WithheldError(known)
        if known.uid != seen.uid:
            raise _WithheldError(_made_again(key))
        owned = known.owner and set_by_owner(_named(key), known.owner)
        if owned:
            raise _WithheldError(owned)
        if known.replicas != seen.replicas:
            self._competitors.manager_conflicts.note_forestalled(key, replicas)
            raise _WithheldError(_changed(key, seen.replicas, known.replicas))
        now = self._as_scale(target, known, now_s)
        if now.competitor is not None:
            raise _WithheldError(now.competitor)
        if replicas < known.replicas and not set(now.holds) <= set(seen.holds):
            raise _WithheldError(Refused(CHANGED, f"a rollout of {_named(key)} has begun since we decided"))
        if not self._may_write():
            raise _WithheldError(NOT_LEADER)
        return known


def _is_silence(answer: Workload | Refused) -> bool:
    return isinstance(answer, Refused) and answer.reason == "ApiUnavailable"


def _key(target: Target) -> Key:
    return target.resource.namespace, target.resource.target


def _named(key: Key) -> str:
    return f"{key[1].kind} {key[0]}/{key[1].name}"


def _read_scale(body: Mapping[str, Any]) -> Workload:
    """A Scale of autoscaling/v1, in which a size of 0 is left out."""
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    replicas, existing = spec.get("replicas") or 0, status.get("replicas")
    return Workload(
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        replicas=replicas,
        ready=replicas if existing is None else existing,
        selector=status.get("selector") or "",
        ready_known=existing is not None,
    )


def _unless_never_told(seen: Workload, told: bool) -> Workload:
    """The workload, with its readiness unknown where no replica of it was ever told of.

    The API server answers 0 where the field that the definition's statusReplicasPath names is not there.
    Source: https://github.com/kubernetes/apiextensions-apiserver/blob/v0.37.2/pkg/registry/customresource/etcd.go
    (scaleFromCustomResource)
    """
    if told or seen.ready > 0 or seen.replicas == 0:
        return seen
    return replace(seen, ready=seen.replicas, ready_known=False)


def _changed(key: Key, seen: int, found: int) -> Refused:
    return Refused(CHANGED, f"{_named(key)} was at {seen} replicas when we decided and is at {found}")


def _made_again(key: Key) -> Refused:
    return Refused(CHANGED, f"{_named(key)} was made again since we decided")


def _overruled(key: Key, asked: int, written: Workload) -> Refused:
    """By a webhook, for instance."""
    return Refused("Overruled", f"{asked} replicas were asked for {_named(key)}, and {written.replicas} were set")


def _refused(error: ApiError, verb: str, place: Scalable, key: Key) -> Refused:
    said = f"{verb} of {place.plural}/scale in namespace {key[0]}: {error.message}"
    if error.reason == "Throttled":  # not sent at all
        return Refused("Throttled", said)
    match error.code:
        case 403:
            return Refused("Forbidden", said)
        case 404:
            return Refused("TargetNotFound", f"{_named(key)} does not exist")
        case 409:
            return Refused(CHANGED, f"{_named(key)} was changed by somebody else at the same time")
        case 400 | 422:
            return Refused("Invalid", said)
        case 500 if "replicas field" in error.message or "accessor error" in error.message:  # of a custom resource
            return Refused("InvalidScale", f"{_named(key)} lacks what its definition makes /scale of: {said}")
    return Refused("ApiUnavailable", said)


def _before_s(refused: Refused, before: _Kept | None) -> float | None:
    """How long the same refusal counted before; None where it is the first."""
    again = before is not None and isinstance(before.answer, Refused) and before.answer.reason == refused.reason
    return before.kept_s if before is not None and again else None


def _spread(key: Key) -> float:
    """A factor, so that what was first asked together is not asked together for ever."""
    return 1 - SPREAD + 2 * SPREAD * zlib.crc32(f"{key[0]}/{key[1]}".encode()) / 2**32
