"""Where policies lie: a folder of the user's, or the ones that ship inside this package.

Owns the disk: only regular files, only inside the folder, never more than the limit read. What the bytes must say is
left to `scaling.policy_file`.
"""

import os
import stat
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from scaling.errors import InputError
from scaling.policy_file import MAX_FILE_BYTES, LoadedPolicy, check_name, parse_policy
from scaling.policy_manifest import FeatureSchema, shown

WEIGHTS = ".safetensors"
MANIFEST = ".json"


def load_policy_folder(folder: Path, expected_features: FeatureSchema) -> LoadedPolicy:
    """Load the one policy in a folder: NAME.safetensors beside NAME.json.

    Links are followed while they stay inside the folder, which is how a mounted ConfigMap is laid out.
    """
    name = _only_name(folder)
    check_name(name)
    weights, manifest = _read_inside(folder, name + WEIGHTS), _read_inside(folder, name + MANIFEST)
    return parse_policy(weights, manifest, expected_features, name)


def load_builtin(name: str, expected_features: FeatureSchema) -> LoadedPolicy:
    """Load a policy that ships with forescale."""
    if name not in (names := builtin_names()):
        raise InputError(f"policy {shown(name)} is not built in, expected one of: {', '.join(names) or 'none yet'}")
    weights, manifest = ((_builtin_folder() / (name + suffix)).read_bytes() for suffix in (WEIGHTS, MANIFEST))
    return parse_policy(weights, manifest, expected_features, name)


def builtin_names() -> tuple[str, ...]:
    """The policies that ship with forescale, in alphabetical order."""
    folder = _builtin_folder()
    return _names_of(entry.name for entry in folder.iterdir()) if folder.is_dir() else ()


def _builtin_folder() -> Traversable:
    return files("controller") / "policies"


def _names_of(file_names: Iterable[str]) -> tuple[str, ...]:
    """The policies of which at least one of the two files is there, so that the other's absence can be named."""
    return tuple(sorted({Path(name).stem for name in file_names if Path(name).suffix in (WEIGHTS, MANIFEST)}))


def _only_name(folder: Path) -> str:
    try:
        names = _names_of(os.listdir(folder))
    except OSError as error:
        raise InputError(f"policy folder {folder}: cannot be read: {error.strerror}") from error
    if len(names) != 1:
        found = ", ".join(names[:5]) or "none"
        raise InputError(f"policy folder {folder}: holds {len(names)} policies ({found}), expected 1")
    return names[0]


def _read_inside(folder: Path, file_name: str) -> bytes:
    """A regular file's first bytes, one more than the limit, so that a file over it is seen to be."""
    try:
        path = (folder / file_name).resolve(strict=True)
        if not path.is_relative_to(folder.resolve()):
            raise InputError(f"policy file {file_name}: links to {path}, outside its folder {folder}")
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InputError(f"policy file {file_name}: is not a regular file")
            return file.read(MAX_FILE_BYTES + 1)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        raise InputError(f"policy file {file_name}: cannot be read from {folder}: {_cause(error)}") from error


def _open_at_once(path: str, flags: int) -> int:
    """Open without following a last link put there since, and without waiting for a pipe's other end."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _cause(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
