"""Where the API server has a kind's objects, and whether they can be scaled: its own discovery, asked and remembered.

Owns the way from the apiVersion and kind of a scaleTargetRef to a path. What is read and written there is left to
`workloads.py`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol
from weakref import WeakValueDictionary

from controller.cluster.api import ApiError
from controller.cluster.backoff import KIND_MISSING, KIND_SILENT
from controller.crd.tables import TargetRef
from controller.ports import Refused
from scaling.limits import shown

KEPT_S = 600.0
"""How long an answer is believed. Chosen: kinds come and go with releases, and a target that is gone shows at once."""

REFUSAL_KEPT_S = KIND_MISSING.first_s
"""How long it is where a kind is missing from it."""

MOST_GROUPS = 256
"""Versions of groups whose answers are remembered long beyond their time (chosen: more than a cluster has)."""


class Reads(Protocol):
    """The half of the API client that cannot write."""

    async def get(self, path: str, query: Mapping[str, str] = ..., namespace: str = ...) -> dict[str, Any]:
        """One object or list; raises ApiError. `namespace`: for whom, where the path does not say so."""


@dataclass(frozen=True)
class Scalable:
    """A kind that can be scaled: the folder of its group's version, and its name in paths."""

    folder: str
    plural: str

    def path(self, namespace: str, name: str) -> str:
        """Of one object; both names are as strict as a ScalingPolicy's fields, so that nothing is escaped."""
        return f"{self.folder}/namespaces/{namespace}/{self.plural}/{name}"

    def scale_path(self, namespace: str, name: str) -> str:
        """Of its scale."""
        return f"{self.path(namespace, name)}/scale"


@dataclass(frozen=True)
class _Answer:
    kinds: Mapping[str, str]
    """Plural of each namespaced kind."""
    scaled: frozenset[str]
    """The plurals that have a scale."""


@dataclass(frozen=True)
class _Kept:
    until_s: float
    answer: _Answer | Refused
    kept_s: float


class Discovery:
    """What the API server serves; each group's version is asked for once, whoever wants to know."""

    def __init__(self, api: Reads) -> None:
        self._api = api
        self._answers: dict[str, _Kept] = {}
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def find(self, ref: TargetRef, now_s: float, namespace: str = "") -> Scalable | Refused:
        """Where a target's kind is; KindNotFound, NoScaleSubresource, Forbidden or ApiUnavailable where it is not.

        `namespace`: for whose policy it is asked.
        """
        answer = await self._answer(ref, now_s, namespace)
        if isinstance(answer, Refused):
            return answer
        plural = answer.kinds.get(ref.kind)
        if plural is not None and plural in answer.scaled:
            return Scalable(_folder(ref.api_version), plural)
        kept = self._answers[ref.api_version]
        self._answers[ref.api_version] = replace(kept, until_s=min(now_s + REFUSAL_KEPT_S, kept.until_s))
        if plural is None:
            return Refused("KindNotFound", f"{ref.api_version} has no kind {ref.kind} with objects in namespaces")
        return Refused("NoScaleSubresource", f"{ref.api_version} {ref.kind} has no scale subresource")

    def ask_again(self) -> None:
        """Forget that no answer came: the API server is back."""
        self._answers = {name: kept for name, kept in self._answers.items() if not _is_silence(kept.answer)}

    async def _answer(self, ref: TargetRef, now_s: float, namespace: str) -> _Answer | Refused:
        async with self._asking.setdefault(ref.api_version, asyncio.Lock()):
            kept = self._answers.get(ref.api_version)
            if kept is not None and now_s < kept.until_s:
                return kept.answer
            fresh = _kept(await self._ask(ref, namespace), kept, now_s)
            self._forget_ended(now_s)
            self._answers[ref.api_version] = fresh
            return fresh.answer

    def _forget_ended(self, now_s: float) -> None:
        """Whoever writes policies can name any number of groups. What ended a moment ago counts for the next pause."""
        if len(self._answers) >= MOST_GROUPS:
            longest_s = KIND_MISSING.longest_s
            self._answers = {name: kept for name, kept in self._answers.items() if now_s < kept.until_s + longest_s}

    async def _ask(self, ref: TargetRef, namespace: str) -> _Answer | Refused:
        folder = _folder(ref.api_version)
        try:
            return _read((await self._api.get(folder, namespace=namespace)).get("resources") or ())
        except ApiError as error:
            if error.code == 404:
                return Refused("KindNotFound", f"the API server does not serve {ref.api_version}")
            reason = "Forbidden" if error.code == 403 else "ApiUnavailable"
            return Refused(reason, f"get of {folder}: {shown(error.message)}")


def _kept(fresh: _Answer | Refused, before: _Kept | None, now_s: float) -> _Kept:
    """An answer, for as long as it is believed; `before`: the one that it follows."""
    if isinstance(fresh, _Answer):
        return _Kept(now_s + KEPT_S, fresh, KEPT_S)
    backoff = KIND_SILENT if _is_silence(fresh) else KIND_MISSING
    if before is not None and isinstance(before.answer, _Answer):
        if fresh.reason != "KindNotFound":  # a server that does not answer has forgotten no kind
            return _Kept(now_s + REFUSAL_KEPT_S, before.answer, KEPT_S)
        before = None
    same = before is not None and before.answer == fresh
    kept_s = backoff.after(before.kept_s if before is not None and same else None)
    return _Kept(now_s + kept_s, fresh, kept_s)


def _is_silence(answer: _Answer | Refused) -> bool:
    return isinstance(answer, Refused) and answer.reason == "ApiUnavailable"


def _folder(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _read(resources: Any) -> _Answer:
    """An APIResourceList; a subresource stands in it as `deployments/scale`."""
    names = {each["name"]: each for each in resources if each.get("namespaced")}
    kinds = {each["kind"]: name for name, each in names.items() if "/" not in name}
    return _Answer(kinds, frozenset(name.removesuffix("/scale") for name in names if name.endswith("/scale")))
