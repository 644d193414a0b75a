"""YAML files as the Kubernetes tools read them: documents of plain values, nothing executed, nothing lost.

Owns reading, size and syntax. What the documents mean is left to `resource.py`.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode

from scaling.errors import InputError

MOST_BYTES = 1024 * 1024
"""Chosen: room for more than a thousand policies, and read within seconds."""

MESSAGE_CHARACTERS = 200
"""How much of the parser's words a message repeats; they may hold a user's text of any length."""


def read_documents(path: Path) -> list[object]:
    """Return the documents of a YAML file, empty ones left out.

    Raises InputError, without the file's name, for a file that cannot be read, is too large or is not YAML.
    """
    try:
        return [document for document in yaml.load_all(_read_text(path), _Loader) if document is not None]
    except yaml.MarkedYAMLError as error:
        raise InputError(_one_line(error.problem or "not YAML", error.problem_mark)) from error
    except yaml.YAMLError as error:
        raise InputError(_one_line(str(error), None)) from error
    except RecursionError as error:
        raise InputError("not YAML: nested too deeply") from error


class _Loader(yaml.SafeLoader):
    """The safe loader, less what it lets pass in silence: a key given twice."""

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, ScalarNode)):
            if key.value in seen:
                raise ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # PyYAML lets these escape for scalars such as 2026-99-99, `!!bool maybe` or 5,000 digits.
            raise ConstructorError(None, None, f"cannot be read as {node.tag!r}", node.start_mark) from error


def _read_text(path: Path) -> str:
    try:
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
    return f"{place}not usable YAML: {' '.join(problem.split())[:MESSAGE_CHARACTERS]}"
