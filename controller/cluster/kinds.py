"""Where the API server has a kind's objects, and whether they can be scaled: its own discovery, asked and remembered.

Owns the way from the apiVersion and kind of a scaleTargetRef to a path. What is read and written there is left to
`workloads.py`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakValueDictionary

from controller.cluster.api import ApiError
from controller.crd.tables import TargetRef
from controller.ports import Refused
from scaling.limits import shown

KEPT_S = 600.0
"""How long an answer is believed. Chosen: kinds come and go with releases, and a target that is gone shows at once."""

REFUSAL_KEPT_S = 60.0
"""How long a refusal is: somebody may be installing the kind just now (chosen)."""

SILENCE_KEPT_S = 5.0
"""How long it counts that no answer came: a server that is back must be written to at once. Chosen: the shortest
interval between decisions."""


MOST_GROUPS = 256
"""Versions of groups whose answers are remembered beyond their time (chosen: more than a cluster has)."""


class Reads(Protocol):
    """The half of the API client that cannot write."""

    async def get(self, path: str, query: Mapping[str, str] = ...) -> dict[str, Any]:
        """One object or list; raises ApiError."""


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


class Kinds:
    """What the API server serves; each group's version is asked for once, whoever wants to know."""

    def __init__(self, api: Reads) -> None:
        self._api = api
        self._answers: dict[str, tuple[float, _Answer | Refused]] = {}
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def find(self, ref: TargetRef, now_s: float) -> Scalable | Refused:
        """Where a target's kind is; KindNotFound, NoScaleSubresource, Forbidden or ApiUnavailable where it is not."""
        answer = await self._answer(ref, now_s)
        if isinstance(answer, Refused):
            return answer
        plural = answer.kinds.get(ref.kind)
        if plural is not None and plural in answer.scaled:
            return Scalable(_folder(ref.api_version), plural)
        self._answers[ref.api_version] = min(now_s + REFUSAL_KEPT_S, self._answers[ref.api_version][0]), answer
        if plural is None:
            return Refused("KindNotFound", f"{ref.api_version} has no kind {ref.kind} with objects in namespaces")
        return Refused("NoScaleSubresource", f"{ref.api_version} {ref.kind} has no scale subresource")

    async def _answer(self, ref: TargetRef, now_s: float) -> _Answer | Refused:
        async with self._asking.setdefault(ref.api_version, asyncio.Lock()):
            until_s, answer = self._answers.get(ref.api_version, (now_s, None))
            if answer is not None and now_s < until_s:
                return answer
            fresh = await self._ask(ref)
            if isinstance(fresh, Refused) and fresh.reason != "KindNotFound" and isinstance(answer, _Answer):
                fresh = answer  # a server that does not answer has forgotten no kind
                kept_s = REFUSAL_KEPT_S
            else:
                kept_s = _kept_s(fresh)
            self._forget_ended(now_s)
            self._answers[ref.api_version] = now_s + kept_s, fresh
            return fresh

    def _forget_ended(self, now_s: float) -> None:
        """Whoever writes policies can name any number of groups."""
        if len(self._answers) >= MOST_GROUPS:
            self._answers = {name: kept for name, kept in self._answers.items() if now_s < kept[0]}

    async def _ask(self, ref: TargetRef) -> _Answer | Refused:
        folder = _folder(ref.api_version)
        try:
            return _read((await self._api.get(folder)).get("resources") or ())
        except ApiError as error:
            if error.code == 404:
                return Refused("KindNotFound", f"the API server does not serve {ref.api_version}")
            reason = "Forbidden" if error.code == 403 else "ApiUnavailable"
            return Refused(reason, f"get of {folder}: {shown(error.message)}")


def _kept_s(answer: _Answer | Refused) -> float:
    if isinstance(answer, _Answer):
        return KEPT_S
    return SILENCE_KEPT_S if answer.reason == "ApiUnavailable" else REFUSAL_KEPT_S


def _folder(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _read(resources: Any) -> _Answer:
    """An APIResourceList; a subresource stands in it as `deployments/scale`."""
    names = {each["name"]: each for each in resources if each.get("namespaced")}
    kinds = {each["kind"]: name for name, each in names.items() if "/" not in name}
    return _Answer(kinds, frozenset(name.removesuffix("/scale") for name in names if name.endswith("/scale")))
