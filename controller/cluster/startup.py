"""How long a target's pods take from being asked for to serving, measured on those that are there.

One list of pods when a target is adopted and after a scale-up is complete; no watch, which would cost more than all the
rest. Kubernetes tells whole seconds. What is done with the measure is left to the caller.

Source: https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/api/core/v1/types.go (PodCondition)
"""

import asyncio
import logging
import statistics
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller.cluster.api import ApiError
from controller.cluster.discovery import Reads
from controller.ports import Scale, Target
from scaling.decision import Reason

MOST_PODS = 100
"""Pods that are looked at: a median needs no more, and their list stays below 1 MiB (chosen)."""

APART_S = 300.0
"""Least time between two measures of a target: a long ramp needs no measure a step (chosen)."""

FORBIDDEN_RETRY_S = 3600.0
"""How long a namespace whose pods may not be listed is left alone: rights are given by people (chosen)."""

MOST_AT_ONCE = 4
"""Lists of pods at a time, since 1,000 targets may be adopted at once and writes must not wait behind them (chosen)."""

LONGEST_S = 3600.0
"""More is no start-up: a pod that once lost its readiness counts from when it came back (chosen)."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Course:
    """How far a target is on its way to the next measure."""

    replicas: int
    due: bool = True
    not_before_s: float = 0.0


class Startups:
    """Measures of start-up times, and when the next one is due."""

    def __init__(self, api: Reads, selector_of: Callable[[Target], str]) -> None:
        """`selector_of`: the query for a target's pods, empty where it is not known."""
        self._api, self._selector_of = api, selector_of
        self._courses: dict[str, _Course] = {}
        self._forbidden: dict[str, float] = {}
        self._gate = asyncio.Semaphore(MOST_AT_ONCE)

    def due(self, target: Target, scale: Scale, now_s: float) -> bool:
        """Whether to measure now; to be asked at each tick, or a scale-up may go unnoticed."""
        course = self._courses.setdefault(target.name, _Course(scale.replicas))
        course.due |= scale.replicas > course.replicas
        course.replicas = scale.replicas
        complete = scale.ready >= scale.replicas > 0 and Reason.ROLLOUT not in scale.holds
        waits = now_s < max(course.not_before_s, self._forbidden.get(target.resource.namespace, 0.0))
        return course.due and complete and not waits

    async def measure(self, target: Target, now_s: float) -> float | None:
        """The median start-up in seconds of the pods that are ready and never restarted; None where there is none."""
        course = self._courses.get(target.name)
        if course is None:  # forgotten meanwhile
            return None
        course.not_before_s = now_s + APART_S
        namespace, selector = target.resource.namespace, self._selector_of(target)
        pods = await self._list(namespace, selector, now_s) if selector else []
        if pods is None:
            return None
        course.due = False
        return median_startup_s(pods)

    def forget(self, target: Target) -> None:
        """Begin anew, or end: the target is another one, or no longer served."""
        self._courses.pop(target.name, None)

    async def _list(self, namespace: str, selector: str, now_s: float) -> list[Mapping[str, Any]] | None:
        query = {"labelSelector": selector, "fieldSelector": "status.phase=Running", "limit": str(MOST_PODS)}
        try:
            async with self._gate:
                return list((await self._api.get(f"/api/v1/namespaces/{namespace}/pods", query)).get("items") or ())
        except ApiError as error:
            if error.code == 403:
                self._note_forbidden(namespace, now_s)
            return None

    def _note_forbidden(self, namespace: str, now_s: float) -> None:
        if namespace not in self._forbidden:
            log.warning("start-up is not measured in namespace %s: its pods may not be listed", namespace)
        self._forbidden[namespace] = now_s + FORBIDDEN_RETRY_S


def median_startup_s(pods: Collection[Mapping[str, Any]]) -> float | None:
    """The median over those that tell a first start."""
    told = [seconds for pod in pods if (seconds := _startup_s(pod)) is not None]
    return min(LONGEST_S, max(0.0, statistics.median(told))) if told else None


def _startup_s(pod: Mapping[str, Any]) -> float | None:
    meta, status = pod["metadata"], pod.get("status") or {}
    ready = next((each for each in status.get("conditions") or () if each["type"] == "Ready"), None)
    restarted = any(each.get("restartCount") for each in status.get("containerStatuses") or ())
    told = ready is not None and ready["status"] == "True" and "lastTransitionTime" in ready
    if ready is None or not told or restarted or "deletionTimestamp" in meta:
        return None
    return (_time(ready["lastTransitionTime"]) - _time(meta["creationTimestamp"])).total_seconds()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
