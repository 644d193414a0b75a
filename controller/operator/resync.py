"""The full listings now and then that find what no watch told: objects deleted while a watch was away.

A watch that begins anew lists what there is; what is gone it cannot list. And where what is there is never told of, the
watch is not one: kopf can miss a definition that comes back. Only names are asked for.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from controller.cluster.api import KubeApi
from controller.cluster.api_answer import ApiError

log = logging.getLogger(__name__)

RESYNC_S = 300.0
"""Between listings. Chosen: a policy whose target is gone holds at worst that long, and writes nothing, as its version
is no longer there; a kind in so long is no load."""

RETRY_S = 15.0
"""After one that was not answered, until when a missing target may be taken for one not told of yet; after one that
listed what was not told of; and while there is nothing to serve, whose definition may just have come (chosen)."""

UNTOLD_S = 45.0
"""How long a watch may take to tell anything of what is listed (chosen: kopf tells of 5,000 policies within 20 s)."""


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


class Resync:
    """Compares records with listings."""

    def __init__(self, api: KubeApi, kept: Sequence[Kept], namespaces: Sequence[str]) -> None:
        self._api, self._kept, self._namespaces = api, kept, namespaces
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
            self._early = False
            for kept in self._kept:
                await self._compare(kept)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), RETRY_S if self._early else RESYNC_S)

    async def _compare(self, kept: Kept) -> None:
        there: set[str] = set()
        for namespace in self._namespaces or ("",):
            known = kept.known()
            listed = await self._listed(kept, namespace)
            if listed is not None:
                there |= listed.keys()
                kept.keep(namespace, listed, known)
        if kept.on_untold is not None:
            untold = frozenset(there) - frozenset(kept.known())
            self._early |= bool(untold) or (kept.are_all and not kept.known())
            self._look_at(kept.plural, untold, kept.on_untold)

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

    async def _listed(self, kept: Kept, namespace: str) -> dict[str, str] | None:
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
