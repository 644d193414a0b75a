"""Which objects `-f` names, as kubectl has it: files, folders and stdin, lists opened, other kinds set apart.

Reading a file is left to `manifest.py`, what a policy means to `resource.py`.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.crd.manifest import MOST_DEPTH, STDIN, read_documents
from controller.crd.tables import API_GROUP, KIND
from scaling.errors import InputError
from scaling.limits import shown

SUFFIXES = (".json", ".yaml", ".yml")
"""Files of a folder that are read, as kubectl reads them."""


@dataclass(frozen=True)
class Document:
    """One object of a file."""

    file: str
    position: str
    """Where in the file, as in `document 2: items[0]`; empty for the only object of a file."""
    value: object

    @property
    def place(self) -> str:
        """File and position, to begin a message with."""
        return f"{self.file}: {self.position}" if self.position else self.file

    @property
    def is_foreign(self) -> bool:
        """Whether it says that it is of another kind than ours. What does not say its kind is taken for ours."""
        kind, group = self._kind(), self._group()
        if kind is None or group is None:
            return False
        return group != API_GROUP if kind == KIND else not group.endswith(API_GROUP)

    @property
    def label(self) -> str:
        """Kind and name, as in `Service shop/web`."""
        metadata = self.value.get("metadata") if isinstance(self.value, Mapping) else None
        names = [metadata.get(part) for part in ("namespace", "name")] if isinstance(metadata, Mapping) else []
        full_name = "/".join(name for name in names if isinstance(name, str))
        text = f"{self._kind() or 'object'} {full_name}".strip()
        return text if text.isprintable() and len(text) <= 200 else shown(text)

    def _kind(self) -> str | None:
        kind = self.value.get("kind") if isinstance(self.value, Mapping) else None
        return kind if isinstance(kind, str) else None

    def _group(self) -> str | None:
        """The part of apiVersion before the slash; empty for Kubernetes' core."""
        version = self.value.get("apiVersion") if isinstance(self.value, Mapping) else None
        return version.rpartition("/")[0] if isinstance(version, str) else None


def files_of(path: Path, recursive: bool = False) -> list[Path]:
    """The file itself, or a folder's manifests in the order of their names; `recursive` goes into folders below.

    Raises InputError for a folder without any, or one that cannot be read.
    """
    if path == STDIN or not path.is_dir():
        return [path]
    try:
        found = sorted(_below(path) if recursive else path.iterdir())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    files = [file for file in found if file.suffix in SUFFIXES and file.is_file()]
    if not files:
        raise InputError(
            f"{path}: no {', '.join(SUFFIXES)} in this folder{'' if recursive else ' (-R looks below it)'}"
        )
    return files


def documents_of(path: Path) -> list[Document]:
    """The objects of one file, those of lists one by one; raises InputError that starts with the file's name."""
    name = "stdin" if path == STDIN else str(path) if str(path).isprintable() else shown(str(path))
    try:
        values = read_documents(path)
        several = len(values) > 1
        return [
            document
            for number, value in enumerate(values, 1)
            for document in _opened(Document(name, f"document {number}" if several else "", value))
        ]
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _below(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder, onerror=_refuse):
        yield from (Path(parent) / name for name in names)


def _refuse(error: OSError) -> None:
    raise error


def _opened(document: Document, depth: int = 0) -> Iterator[Document]:
    """The entries of a list of any kind, or the document itself."""
    if not _is_list(document.value):
        yield document
        return
    if depth > MOST_DEPTH:
        raise InputError(f"lists inside each other: more than {MOST_DEPTH} levels")
    assert isinstance(document.value, Mapping)
    for index, item in enumerate(document.value.get("items") or []):
        before = f"{document.position}: " if document.position else ""
        yield from _opened(Document(document.file, f"{before}items[{index}]", _named(item, document.value)), depth + 1)


def _is_list(value: object) -> bool:
    """As Kubernetes tells a list: by its kind's ending and by its items."""
    if not isinstance(value, Mapping) or not str(value.get("kind")).endswith("List"):
        return False
    items = value.get("items")
    return isinstance(items, list) or (items is None and ("items" in value or value["kind"] == "List"))


def _named(item: object, of: Mapping[Any, Any]) -> object:
    """The API server leaves out of a typed list's entries what the list says for all of them."""
    kind = of["kind"].removesuffix("List")
    if not kind or not isinstance(item, Mapping) or "kind" in item:
        return item
    return {"apiVersion": of.get("apiVersion"), "kind": kind, **item}
