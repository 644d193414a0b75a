"""Files that a user names: which manifests are read, and results that are either whole or not there."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from scaling.errors import InputError

FILES = Annotated[
    list[Path] | None,
    typer.Option(
        "--file",
        "-f",
        metavar="FILE",
        help="ScalingPolicies to read: a file of YAML or JSON, a folder of them, or - for stdin. Repeatable.",
    ),
]
RECURSIVE = Annotated[bool, typer.Option("--recursive", "-R", help="Read the folders below a folder as well.")]


def make_folder(folder: Path) -> Path:
    """The folder, made if it is missing. Raises InputError if it cannot be a folder that we write to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"folder {folder}: cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"folder {folder}: not writable")
    return folder


def write_whole(path: Path, content: bytes) -> Path:
    """Write beside the file and replace it in one step, so that no reader ever sees half of it.

    Raises InputError if that fails; the file is then as it was before.
    """
    try:
        _replace(path, content)
    except OSError as error:
        raise InputError(f"file {path}: cannot be written: {error.strerror}") from error
    return path


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.chmod(0o644)  # mkstemp's 0600 would keep a shared report folder from being read
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
