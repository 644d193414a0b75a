"""Which version of each object the watch last told of, to compare with what a listing shows."""

from collections.abc import Callable, Container, Mapping
from typing import Any

Note = Callable[[str | None, Mapping[str, Any]], None]


class Told:
    """Versions of the objects of one kind; passes every event on to `note`."""

    def __init__(self, note: Note) -> None:
        self._note = note
        self._versions: dict[str, dict[str, str]] = {}
        """By namespace and uid."""

    def note(self, event: str | None, body: Mapping[str, Any]) -> None:
        """Take in an event: None for a body that was listed or read, or ADDED, MODIFIED, DELETED."""
        meta = body["metadata"]
        if event == "DELETED":
            self._drop(meta["namespace"], meta["uid"])
        else:
            self._versions.setdefault(meta["namespace"], {})[meta["uid"]] = meta.get("resourceVersion", "")
        self._note(event, body)

    def versions(self, namespace: str) -> dict[str, str]:
        """Return the version of each object by uid, in a namespace or in all of them ("")."""
        if namespace:
            return dict(self._versions.get(namespace, {}))
        return {uid: version for versions in self._versions.values() for uid, version in versions.items()}

    def version(self, namespace: str, uid: str) -> str | None:
        """Return the version of an object; None if no event told of it."""
        return self._versions.get(namespace, {}).get(uid)

    def keep(self, namespace: str, listed: Container[str], known_before: Container[str]) -> None:
        """Drop what was known before a listing of a namespace, or of all (""), and is not in it."""
        for place in [namespace] if namespace else list(self._versions):
            for uid in [uid for uid in self._versions.get(place, ()) if uid in known_before and uid not in listed]:
                self._drop(place, uid)

    def _drop(self, namespace: str, uid: str) -> None:
        versions = self._versions.get(namespace, {})
        versions.pop(uid, None)
        if not versions:
            self._versions.pop(namespace, None)
