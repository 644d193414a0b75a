"""Reads the ConfigMaps that ScalingPolicies name, and puts the policies in them in charge.

Every ConfigMap is read once in 30 s however many ScalingPolicies share it, and at once for a ScalingPolicy that is new
or edited. It is not watched: that would need the right to list every ConfigMap of the cluster. A request that fails for
a passing reason changes nothing.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Protocol
from weakref import WeakValueDictionary

from controller.cluster.api_answer import ApiError
from controller.crd.config_map import ConfigMapRef
from controller.operator.policies import Policies, PolicyRecord
from controller.operator.policy_book import PolicyBook
from controller.policy_config_map import policy_in_config_map
from scaling.errors import InputError
from scaling.policy import NetworkPolicy
from scaling.policy_manifest import seal_manifest

log = logging.getLogger(__name__)

EVERY_S = 30.0
"""Between two readings of a ConfigMap (chosen: a new policy is in charge before the next look at a dashboard)."""

AT_ONCE = 8
"""Requests under way together (chosen)."""

PERMANENT = (400, 403, 404)
"""Codes of an answer that the next reading would get as well, unless somebody changes something."""

Place = tuple[str, str]
"""Namespace and name of a ConfigMap."""


class Reads(Protocol):
    """What reading needs of the API server: `KubeApi`."""

    async def get(self, path: str) -> dict[str, Any]: ...


class PolicyReader:
    """Keeps the policies in ConfigMaps current in a `PolicyBook`."""

    def __init__(self, api: Reads, policies: Policies, book: PolicyBook) -> None:
        self._api, self._policies, self._book = api, policies, book
        self._wake = asyncio.Event()
        self._wanted: set[str] = set()
        """Uids of ScalingPolicies that are new or edited."""
        self._loaded: WeakValueDictionary[bytes, NetworkPolicy] = WeakValueDictionary()
        """By the sealed manifest: equal copies in many namespaces are one policy, and answer in one batch."""

    def want(self, record: PolicyRecord) -> None:
        """Read the ConfigMap of a ScalingPolicy at once, if it names one."""
        if _ref(record) is not None:
            self._wanted.add(record.uid)
            self._wake.set()

    async def run(self) -> None:
        """Read until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            until_s = loop.time() + EVERY_S
            self._wanted.clear()
            self._wake.clear()
            await self._read(list(self._policies))
            while (left_s := until_s - loop.time()) > 0 and await self._is_woken(left_s):
                wanted, self._wanted = self._wanted, set()
                await self._read([record for uid in wanted if (record := self._policies.get(uid)) is not None])

    async def _is_woken(self, within_s: float) -> bool:
        try:
            await asyncio.wait_for(self._wake.wait(), within_s)
        except TimeoutError:
            return False
        self._wake.clear()
        return True

    async def _read(self, policies: Iterable[PolicyRecord]) -> None:
        """Read the ConfigMaps of these ScalingPolicies, each once."""
        places: dict[Place, list[PolicyRecord]] = defaultdict(list)
        for record in policies:
            if (ref := _ref(record)) is not None:
                places[record.namespace, ref.name].append(record)
        free = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._read_one(place, records, free) for place, records in places.items()))

    async def _read_one(self, place: Place, records: list[PolicyRecord], free: asyncio.Semaphore) -> None:
        namespace, name = place
        async with free:
            try:
                body = await self._api.get(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
            except ApiError as error:
                for record in records:
                    self._unread(record, error)
                return
        for ref in {ref for record in records if (ref := _ref(record)) is not None and ref.name == name}:
            await self._take(body, ref, [record for record in records if _ref(record) == ref])

    def _unread(self, record: PolicyRecord, error: ApiError) -> None:
        if error.code in PERMANENT or self._book.find(record) is None:
            self._reject(record, f"cannot be read: {error}")

    async def _take(self, body: Mapping[str, Any], ref: ConfigMapRef, records: list[PolicyRecord]) -> None:
        try:
            policy = await asyncio.to_thread(self._load, body, ref)
        except InputError as error:
            for record in records:
                self._reject(record, str(error))
            return
        for record in [record for record in records if _ref(record) == ref]:  # it may have been edited meanwhile
            asked = self._book.find(record)
            if asked is None or asked.problem or asked.policy is not policy:
                log.info(
                    "%s/%s: policy %s (%s…) is in charge", record.namespace, record.name, policy.name, policy.sha256[:8]
                )
            self._book.put(record.uid, policy)

    def _load(self, body: Mapping[str, Any], ref: ConfigMapRef) -> NetworkPolicy:
        loaded = policy_in_config_map(body, ref)
        return self._loaded.setdefault(seal_manifest(loaded.manifest), NetworkPolicy(loaded))

    def _reject(self, record: PolicyRecord, why: str) -> None:
        ref = _ref(record)
        if ref is None:
            return
        problem = f"ConfigMap {record.namespace}/{ref.name}: {why}"
        asked = self._book.find(record)
        if asked is None or not asked.problem.startswith(problem):
            log.warning("%s/%s: %s", record.namespace, record.name, problem)
        self._book.reject(record.uid, problem)


def _ref(record: PolicyRecord) -> ConfigMapRef | None:
    return None if record.resource is None else record.resource.config_map
