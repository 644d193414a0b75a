"""Manifest files as kubectl reads them: YAML or JSON documents of plain values, nothing executed, nothing lost.

Owns reading, size and syntax. Which documents are policies is left to `documents.py`, what they mean to `resource.py`.

Values are those that the API server would be sent: JSON's. YAML 1.1's `yes`, `no`, `on` and `off` are booleans, as
kubectl has them; dates and numbers to the base of 60, which JSON lacks, stay text.

The bounds count what a document comes to once its aliases and merge keys are filled in. A document of 400 bytes can
come to millions of values, and each of them costs time.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from scaling.errors import InputError

STDIN = Path("-")

MOST_BYTES = 4 * 1024 * 1024
"""Of a file. Chosen: room for a thousand policies as `kubectl get -o yaml` prints them."""

MOST_VALUES = 300_000
"""Keys and values of a file, aliases and merge keys filled in. Chosen: what `MOST_BYTES` of policies come to."""

MOST_DEPTH = 64
"""Lists and objects inside each other. Chosen: a policy needs 8."""

MOST_DIGITS = 64
"""Of a whole number. Chosen: far beyond 64 bits, and read at once."""

MESSAGE_CHARACTERS = 200
"""How much of the parser's words a message repeats; they may hold a user's text of any length."""


def read_documents(path: Path) -> list[object]:
    """Return the documents of a YAML or JSON file, empty ones left out; `-` is stdin.

    Raises InputError, without the file's name, for a file that cannot be read, is too large, holds too much or is
    neither YAML nor JSON.
    """
    text = _read_text(path)
    if text.lstrip().startswith("{"):
        try:
            return _read_json(text)
        except json.JSONDecodeError as error:
            if path.suffix == ".json":
                raise InputError(f"line {error.lineno}: not usable JSON: {error.msg}") from error
    return _read_yaml(text)


# YAML


def _read_yaml(text: str) -> list[object]:
    try:
        _check_depth(text)
        return list(_constructed(text))
    except yaml.MarkedYAMLError as error:
        raise InputError(_one_line(error.problem or "not YAML", error.problem_mark)) from error
    except yaml.YAMLError as error:
        raise InputError(_one_line(str(error), None)) from error


def _check_depth(text: str) -> None:
    """Refuse what is nested too deeply before anything calls itself for each level of it."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MOST_DEPTH:
            line = 1 if event.start_mark is None else event.start_mark.line + 1
            raise InputError(f"line {line}: nested too deeply: more than {MOST_DEPTH} levels")


def _constructed(text: str) -> Iterator[object]:
    """The documents that are not empty."""
    loader = _Loader(text)
    values = 0
    try:
        while loader.check_node():
            node = loader.get_node()
            values += _Size(node).values
            if values > MOST_VALUES:
                raise InputError(f"holds more than {MOST_VALUES} values, the limit (aliases and merge keys filled in)")
            document = loader.construct_document(node)
            if document is not None:
                yield document
    finally:
        loader.dispose()


@dataclass
class _Size:
    """Counts what a document comes to, each alias as often as it is used; refuses a key given twice and a cycle.

    Every node is visited once: what is below an anchor is remembered.
    """

    node: Node
    known: dict[int, int] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)

    @property
    def values(self) -> int:
        return self._of(self.node)

    def _of(self, node: Node) -> int:
        if isinstance(node, ScalarNode):
            return 1
        if id(node) in self.open:
            raise ConstructorError(None, None, "an anchor holds itself", node.start_mark)
        if id(node) not in self.known:
            self.open.add(id(node))
            self.known[id(node)] = 1 + sum(map(self._of, self._below(node)))
            self.open.discard(id(node))
        return self.known[id(node)]

    def _below(self, node: Node) -> Iterable[Node]:
        if isinstance(node, MappingNode):
            _refuse_duplicate_keys(node)
            return (part for pair in node.value for part in pair)
        return node.value if isinstance(node, SequenceNode) else ()


def _refuse_duplicate_keys(node: MappingNode) -> None:
    seen = set()
    for key in (key for key, _ in node.value if isinstance(key, ScalarNode)):
        if key.value in seen:
            raise ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
        seen.add(key.value)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # C where libyaml is there
    """The safe loader, less what PyYAML lets escape and what JSON does not have."""

    yaml_implicit_resolvers: ClassVar = {
        first: [entry for entry in entries if entry[0] != "tag:yaml.org,2002:timestamp"]
        for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # PyYAML lets these escape for scalars such as `!!bool maybe`.
            raise ConstructorError(None, None, f"cannot be read as {node.tag!r}", node.start_mark) from error

    def construct_number(self, node: ScalarNode) -> object:
        """A number as YAML 1.1 writes it, except to the base of 60: 1:30 is text."""
        if ":" in node.value:
            return node.value
        if node.tag.endswith("float"):
            return self.construct_yaml_float(node)
        if len(node.value) > MOST_DIGITS:
            raise ValueError
        return self.construct_yaml_int(node)


for _number in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_number}", _Loader.construct_number)


# JSON


def _read_json(text: str) -> list[object]:
    """One JSON document after another, with the limits of a YAML file."""
    if len(re.findall(r"[,:\[{]", text)) > 2 * MOST_VALUES:
        raise InputError(f"holds more than {MOST_VALUES} values, the limit")
    decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number, parse_int=_whole_number)
    documents, end = [], 0
    try:
        while (start := re.compile(r"\s*").match(text, end).end()) < len(text):  # type: ignore[union-attr]  # it matches
            document, end = decoder.raw_decode(text, start)
            documents.append(document)
    except RecursionError as error:
        raise InputError(f"nested too deeply: more than {MOST_DEPTH} levels") from error
    return documents


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise InputError(f"not usable JSON: {name!r} is given twice"[:MESSAGE_CHARACTERS])
        found[name] = value
    return found


def _no_number(word: str) -> object:
    raise InputError(f"not usable JSON: {word} is no number of JSON")


def _whole_number(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise InputError(f"not usable JSON: a number of {len(digits)} digits, limit {MOST_DIGITS}")
    return int(digits)


# The file


def _read_text(path: Path) -> str:
    try:
        if path == STDIN:
            content = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise InputError(getattr(error, "strerror", None) or "not a file name") from error
    if len(content) > MOST_BYTES:
        raise InputError(f"more than {MOST_BYTES} bytes, the limit")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text: byte 0x{content[error.start]:02x} at offset {error.start}") from error


def _one_line(problem: str, mark: yaml.Mark | None) -> str:
    place = f"line {mark.line + 1}: " if mark is not None else ""
    line = "".join(sign if sign.isprintable() else "?" for sign in " ".join(problem.split()))
    return f"{place}not usable YAML: {line[:MESSAGE_CHARACTERS]}"
