"""The full listings now and then that find what no watch told: objects deleted, or changed, without an event.

A watch that begins anew lists what there is; what is gone it cannot list. And where what is there is never told of, the
watch is not one: kopf can miss a definition that comes back. Only names and versions are asked for. An object at
another version than the watch last told of is read whole, whichever of the two is newer: a cluster that was restored
from a backup counts from an earlier version.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from controller.cluster.api import KubeApi, Listed
from controller.cluster.api_answer import ApiError
from controller.operator.told import Told

log = logging.getLogger(__name__)

RESYNC_S = 300.0
"""Between listings. Chosen: a policy whose target is gone holds at worst that long, and writes nothing, as its version
is no longer there; a kind in so long is no load."""

RETRY_S = 15.0
"""After one that was not answered, until when a missing target may be taken for one not told of yet; after one that
listed what was not told of; and while there is nothing to serve, whose definition may just have come (chosen)."""

UNTOLD_S = 45.0
"""How long a watch may take to tell anything of what is listed (chosen: kopf tells of 5,000 policies within 20 s)."""


SETTLES_S = 5.0
"""How long the watch may take to tell of a version that is listed, before the object is read (chosen: it tells within a
second)."""

MOST_READ = 100
"""Objects of a kind that are read after one listing; where more changed untold, the watches begin anew (chosen)."""


@dataclass(frozen=True)
class Kept:
    """One kind of object of which somebody keeps records."""

    group: str
    version: str
    plural: str
    known: Callable[[], Collection[str]]
    """The uids that are kept."""
    keep: Callable[[str, Mapping[str, str], Collection[str]], None]
    """Takes the namespace that was listed, "" for all, what was listed, uid to namespace/name, and what was known
    before."""
    on_failure: Callable[[str], None] = lambda why: None
    """Hears why a listing failed."""
    on_untold: Callable[[], None] | None = None
    """Hears that of what was listed nothing was told for `UNTOLD_S`. Who has it, keeps all that is told."""
    are_all: bool = False
    """Whether there is nothing to do without them."""
    told: Told | None = None
    """Which versions the watch told of, and who takes an object that was read because of that."""


@dataclass(frozen=True)
class _Changed:
    """An object that was listed at another version than the watch had told of."""

    kept: Kept
    uid: str
    namespace: str
    name: str
    told: str
    """The version that the watch told of."""

    def still(self) -> bool:
        """Whether the watch has told of nothing since."""
        return self.kept.told is not None and self.kept.told.version(self.namespace, self.uid) == self.told


class Resync:
    """Compares records with listings."""

    def __init__(
        self,
        api: KubeApi,
        kept: Sequence[Kept],
        namespaces: Sequence[str],
        reset: Callable[[], None] = lambda: None,
    ) -> None:
        """`reset`: has the watches list everything."""
        self._api, self._kept, self._namespaces = api, kept, namespaces
        self._reset = reset
        self._wanted = asyncio.Event()
        self._early = False
        """Whether the next listing comes early."""
        self._untold: dict[str, tuple[frozenset[str], float]] = {}
        """What was listed and not told of, by kind, and since when."""

    def soon(self) -> None:
        """Have the next listing come now: a watch has begun anew, and what was deleted before that it does not tell."""
        self._wanted.set()

    async def run(self) -> None:
        """List at the start, which tells what is missing from what was not told yet, and every few minutes; until
        cancelled."""
        while True:
            self._wanted.clear()
            await self.compare()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), RETRY_S if self._early else RESYNC_S)

    async def compare(self) -> None:
        """List everything once, drop what is gone, and read what has changed untold."""
        self._early = False
        changed = [each for kept in self._kept for each in await self._compare(kept)]
        if changed:
            await asyncio.sleep(SETTLES_S)
            await self._repair(changed)

    async def _compare(self, kept: Kept) -> list[_Changed]:
        """Drop what is gone; return what has changed untold, as far as is known yet."""
        there: set[str] = set()
        changed: list[_Changed] = []
        for namespace in self._namespaces or ("",):
            known = kept.known()
            versions = {} if kept.told is None else kept.told.versions(namespace)
            listed = await self._listed(kept, namespace)
            if listed is not None:
                there |= listed.keys()
                kept.keep(namespace, {uid: each.place for uid, each in listed.items()}, known)
                if kept.told is not None:
                    kept.told.keep(namespace, listed, versions)
                changed += _changed(kept, listed, versions)
        if kept.on_untold is not None:
            untold = frozenset(there) - frozenset(kept.known())
            self._early |= bool(untold) or (kept.are_all and not kept.known())
            self._look_at(kept.plural, untold, kept.on_untold)
        return changed

    async def _repair(self, changed: Sequence[_Changed]) -> None:
        """Read what the watch still tells nothing of."""
        by_kind: dict[str, list[_Changed]] = {}
        for each in changed:
            if each.still():
                by_kind.setdefault(each.kept.plural, []).append(each)
        for plural, silent in by_kind.items():
            log.warning("%d %s changed, and no event said so: they are read", len(silent), plural)
            await asyncio.gather(*map(self._read, silent[:MOST_READ]))
        if any(len(silent) > MOST_READ for silent in by_kind.values()):
            self._reset()

    async def _read(self, changed: _Changed) -> None:
        """Take in the object as it is now; a list of one, since all kinds may be listed and few may be got."""
        kept = changed.kept
        path = f"/apis/{kept.group}/{kept.version}/namespaces/{changed.namespace}/{kept.plural}"
        try:
            answer = await self._api.get(path, {"fieldSelector": f"metadata.name={changed.name}"})
        except ApiError as error:
            log.warning("no reading of %s %s/%s: %s", kept.plural, changed.namespace, changed.name, error)
            return
        kind = {"apiVersion": answer["apiVersion"], "kind": answer["kind"].removesuffix("List")}
        for body in answer.get("items") or ():  # what is gone, the next listing tells
            if kept.told is not None and body["metadata"]["uid"] == changed.uid and changed.still():
                kept.told.note(None, {**kind, **body})

    def _look_at(self, plural: str, untold: frozenset[str], on_untold: Callable[[], None]) -> None:
        """A watch that is slow tells some of it meanwhile."""
        now_s = asyncio.get_running_loop().time()
        before, since_s = self._untold.get(plural, (frozenset(), 0.0))
        if not before or not before <= untold:
            self._untold[plural] = untold, now_s
        elif now_s - since_s >= UNTOLD_S:
            log.warning("%d %s are listed that no watch tells of: the watches begin anew", len(untold), plural)
            self._untold.clear()
            on_untold()

    async def _listed(self, kept: Kept, namespace: str) -> dict[str, Listed] | None:
        folder = f"/apis/{kept.group}/{kept.version}"
        within = f"{folder}/namespaces/{namespace}" if namespace else folder
        try:
            return await self._api.list_names(f"{within}/{kept.plural}")
        except ApiError as error:
            if error.code == 404 or (error.code == 403 and await self._is_unserved(folder)):
                return {}  # the kind is gone, and all of it
            self._early |= error.code != 403  # which only people change
            log.warning("no listing of %s: %s", kept.plural, error)
            kept.on_failure(str(error))
            return None

    async def _is_unserved(self, folder: str) -> bool:
        """Whether a group's version is not there at all: what nobody has a right to, the API server forbids first."""
        try:
            await self._api.get(folder)
        except ApiError as error:
            return error.code == 404
        return False


def _changed(kept: Kept, listed: Mapping[str, Listed], versions: Mapping[str, str]) -> list[_Changed]:
    found = []
    for uid, each in listed.items():
        if versions.get(uid, each.version) != each.version:
            namespace, _, name = each.place.partition("/")
            found.append(_Changed(kept, uid, namespace, name, versions[uid]))
    return found
