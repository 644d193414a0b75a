"""Puts a serialised policy on disk: NAME.safetensors beside NAME.json, both new or both as they were.

Owns the order of writing. What the bytes say is left to `scaling.policy_file`.
"""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from scaling.errors import InputError
from scaling.policy_file import check_name


def write_policy(folder: Path, name: str, weights: bytes, manifest: bytes) -> None:
    """Write or replace a policy; on an error the folder is left as it was.

    A reader never sees half a file; one that comes between the two renames sees a sha256 that does not fit and refuses.
    """
    check_name(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".policy-", dir=folder) as draft_folder:
            drafts = Path(draft_folder)
            (drafts / "weights").write_bytes(weights)
            (drafts / "manifest").write_bytes(manifest)
            _swap_in(drafts, folder / f"{name}.safetensors", folder / f"{name}.json")
    except OSError as error:
        raise InputError(f"policy {name}: cannot be written to {folder}: {error.strerror}") from error


def _swap_in(drafts: Path, weights: Path, manifest: Path) -> None:
    """Rename both drafts into place; when the second cannot be, the first is undone."""
    previous = drafts / "previous"
    if weights.exists():
        shutil.copyfile(weights, previous)

    os.replace(drafts / "weights", weights)
    try:
        os.replace(drafts / "manifest", manifest)
    except OSError:
        if previous.exists():
            os.replace(previous, weights)
        else:
            weights.unlink()
        raise
