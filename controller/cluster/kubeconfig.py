"""What a kubeconfig says of one context: each field of v1 is read, has no meaning here, or is refused by name.

Owns files, merging, types and relative paths, as client-go treats them. What the values do to a connection is left to
`api_session.py`. Nothing that stands in a kubeconfig is repeated in a message, but for names and lengths of fields.

Source: https://github.com/kubernetes/client-go/blob/v0.37.2/tools/clientcmd/api/v1/types.go
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from scaling.errors import InputError
from scaling.limits import shown

MOST_BYTES = 4 * 1024 * 1024
"""Of one file (chosen: several hundred clusters with their certificates)."""

Fields = Mapping[str, Any]
"""The values of an object by the names of its fields; one that is absent is empty."""

Reader = Callable[[Any, str, Path], Any]
"""Takes a value, its path for messages, and the kubeconfig's folder; raises InputError."""


@dataclass(frozen=True)
class Kubeconfig:
    """One context's cluster and user."""

    cluster: Fields = field(repr=False)
    user: Fields = field(repr=False)


def read_kubeconfig(files: Sequence[Path], context: str | None) -> Kubeconfig:
    """Read one context, by default the current one; of equal names the first file's counts.

    Raises InputError for what cannot be read or is not honoured; files that do not exist are passed over.
    """
    contents = [(_content(file), file.absolute().parent) for file in files if file.exists()]
    chosen = context or next((named for content, _ in contents if (named := _current(content))), None)
    if chosen is None:
        raise InputError('it has no "current-context"')
    where = _find(contents, "contexts", "context", chosen, CONTEXT)
    cluster = _find(contents, "clusters", "cluster", where["cluster"], CLUSTER)
    user = _find(contents, "users", "user", where["user"], USER) if where["user"] else _fields({}, "user", Path(), USER)
    return Kubeconfig(cluster, user)


def _content(file: Path) -> Fields:
    text = _bytes(file)
    if len(text) > MOST_BYTES:
        raise InputError(f"cannot be used: more than {MOST_BYTES} bytes, the limit")
    try:
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:  # its text may be a token
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"cannot be used: not YAML{line}") from None
    except (yaml.YAMLError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
        raise InputError("cannot be used: not YAML") from None
    if not isinstance(content, dict):
        raise InputError("cannot be used: not an object with clusters, users and contexts")
    return content


def _bytes(file: Path) -> bytes:
    """As much of a file as tells whether it is too long."""
    try:
        with file.open("rb") as opened:
            return opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or type(error).__name__}") from None


def _current(content: Fields) -> str:
    return str(_text(content.get("current-context"), "current-context", Path()))


def _find(
    contents: Sequence[tuple[Fields, Path]], plural: str, kind: str, name: str, table: Mapping[str, Reader]
) -> Fields:
    """The named entry of the first file that has one."""
    for content, folder in contents:
        found = [each for each in _list(content.get(plural) or [], plural, folder) if _name(each, plural) == name]
        if len(found) > 1:
            raise InputError(f"it has two of the {plural} named {shown(name)}")
        if found:
            return _fields(found[0].get(kind) or {}, kind, folder, table)
    raise InputError(f"it has no {kind} {shown(name)}")


def _name(entry: Any, plural: str) -> Any:
    if not isinstance(entry, dict) or "name" not in entry:
        raise InputError(f"{plural}: an entry has no name")
    return entry["name"]


def _fields(value: Any, path: str, folder: Path, table: Mapping[str, Reader]) -> Fields:
    """The fields of an object; what is not in the table is refused, as it may narrow what we are allowed to do."""
    given = _object(value, path, folder)
    for name in given:
        if name not in table:
            raise InputError(f"{path}.{shown(name)[1:-1]}: an unknown field, which forescale cannot honour")
    return {name: read(given.get(name), f"{path}.{name}", folder) for name, read in table.items()}


def _typed(kind: type, empty: Any, words: str, value: Any, path: str, folder: Path) -> Any:
    if value is None:
        return empty
    if not isinstance(value, kind):
        raise InputError(f"{path}: is not {words}")
    return value


_text: Reader = partial(_typed, str, "", "a string")
_flag: Reader = partial(_typed, bool, False, "true or false")
_list: Reader = partial(_typed, list, [], "a list")
_object: Reader = partial(_typed, dict, {}, "an object")


def _nothing(value: Any, path: str, folder: Path) -> None:
    """Has no meaning here."""


def _header(value: Any, path: str, folder: Path) -> str:
    """A text that can be the value of a header."""
    text = str(_text(value, path, folder))
    if not text.isprintable():
        raise InputError(f"{path}: is not one printable line")
    return text


def _secret(value: Any, path: str, folder: Path) -> str:
    text = str(_text(value, path, folder)).strip()
    if not text.isascii() or not text.isprintable():
        raise InputError(f"{path}: is not one line of printable ASCII")
    return text


def _data(value: Any, path: str, folder: Path) -> bytes:
    try:
        return base64.b64decode("".join(_text(value, path, folder).split()), validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"{path}: is not base64") from None


def _file(value: Any, path: str, folder: Path) -> Path | None:
    """A path, relative to the kubeconfig that names it."""
    text = _text(value, path, folder)
    if "\0" in text:
        raise InputError(f"{path}: is not a file name")
    return folder / text if text else None


def _command(value: Any, path: str, folder: Path) -> str:
    """A command with a slash is relative to the kubeconfig that names it; others are looked for in PATH."""
    text = _text(value, path, folder)
    if not text or "\0" in text:
        raise InputError(f"{path}: is not a command")
    return str(folder / text) if "/" in text else text


def _texts(value: Any, path: str, folder: Path) -> list[str]:
    return [_argument(each, f"{path}[]", folder) for each in _list(value, path, folder)]


def _argument(value: Any, path: str, folder: Path) -> str:
    text = str(_text(value, path, folder))
    if "\0" in text:
        raise InputError(f"{path}: holds a null character")
    return text


def _headers(value: Any, path: str, folder: Path) -> list[str]:
    return [_header(each, f"{path}[]", folder) for each in _list(value, path, folder)]


def _extra(value: Any, path: str, folder: Path) -> dict[str, list[str]]:
    """Lists of texts by key."""
    return {
        _header(key, path, folder): _headers(each, path, folder) for key, each in _object(value, path, folder).items()
    }


def _variables(value: Any, path: str, folder: Path) -> dict[str, str]:
    """Environment variables from a list of name and value."""
    read = [_fields(each, f"{path}[]", folder, VARIABLE) for each in _list(value, path, folder)]
    if any(not each["name"] or "=" in each["name"] for each in read):
        raise InputError(f"{path}: an entry has no usable name")
    return {each["name"]: each["value"] for each in read}


def _extensions(value: Any, path: str, folder: Path) -> dict[str, Any]:
    """By name; only an exec plugin's own is ever used."""
    entries = _list(value, path, folder)
    return {str(each["name"]): each.get("extension") for each in entries if isinstance(each, dict) and "name" in each}


def _exec(value: Any, path: str, folder: Path) -> Fields | None:
    return None if value is None else _fields(value, path, folder, EXEC)


def _auth_provider(value: Any, path: str, folder: Path) -> None:
    if value is not None:
        raise InputError(f"{path}: auth-provider is no longer supported; use an exec plugin, as its documentation says")


CONTEXT: Mapping[str, Reader] = {
    "cluster": _text,
    "user": _text,
    "namespace": _nothing,  # which namespaces are served is an option of the operator
    "extensions": _nothing,
}
CLUSTER: Mapping[str, Reader] = {
    "server": _text,
    "tls-server-name": _text,
    "insecure-skip-tls-verify": _flag,
    "certificate-authority": _file,
    "certificate-authority-data": _data,
    "proxy-url": _text,
    "disable-compression": _flag,
    "extensions": _extensions,
}
USER: Mapping[str, Reader] = {
    "client-certificate": _file,
    "client-certificate-data": _data,
    "client-key": _file,
    "client-key-data": _data,
    "token": _secret,
    "tokenFile": _file,
    "as": _header,
    "as-uid": _header,
    "as-groups": _headers,
    "as-user-extra": _extra,
    "username": _text,
    "password": _text,
    "auth-provider": _auth_provider,
    "exec": _exec,
    "extensions": _nothing,
}
EXEC: Mapping[str, Reader] = {
    "command": _command,
    "args": _texts,
    "env": _variables,
    "apiVersion": _text,
    "installHint": _text,
    "provideClusterInfo": _flag,
    "interactiveMode": _text,
}
VARIABLE: Mapping[str, Reader] = {"name": _argument, "value": _argument}
