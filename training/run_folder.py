"""The files of a training run's folder, each whole or not there.

`model.zip` is the best network so far in Stable-Baselines3's form, `run.json` says that the run has ended and what came
of it, `checkpoint.pt` is where it can be continued.
"""

import json
import os
from pathlib import Path
from typing import Any

from scaling.errors import InputError

MODEL_FILE = "model.zip"
RUN_FILE = "run.json"
CHECKPOINT_FILE = "checkpoint.pt"


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file in one step; a process that is killed meanwhile leaves the old one.

    One run at a time writes to a folder. Raises InputError if the file cannot be written; it is then as it was.
    """
    draft = path.with_name(f".{path.name}.new")
    try:
        with open(draft, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InputError(f"file {path}: cannot be written: {error.strerror}") from error


def write_run(folder: Path, run: dict[str, Any]) -> None:
    """Write `run.json`, the last file of a run."""
    write_whole(folder / RUN_FILE, (json.dumps(run, indent=1) + "\n").encode())


def is_finished(folder: Path) -> bool:
    """Whether the folder holds a run that has ended."""
    return (folder / RUN_FILE).exists()


def is_begun(folder: Path) -> bool:
    """Whether the folder holds a run that can be continued, or has ended."""
    return (folder / CHECKPOINT_FILE).exists()


def begin_run(folder: Path) -> None:
    """Make the folder of a new run, in place of a finished one.

    Raises InputError if it cannot be made, or holds a run that has not ended and can be continued.
    """
    if (folder / CHECKPOINT_FILE).exists() and not is_finished(folder):
        raise InputError(f"folder {folder}: its run has not ended; --resume continues it, or name another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (RUN_FILE, CHECKPOINT_FILE):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"folder {folder}: cannot be made: {error.strerror}") from error


def read_run(folder: Path) -> dict[str, Any]:
    """What `write_run` wrote. Raises InputError if the folder holds no run that has ended."""
    for name in (MODEL_FILE, RUN_FILE):
        if not (folder / name).is_file():
            unfinished = (folder / CHECKPOINT_FILE).is_file()
            hint = f"; forescale train --resume --out {folder} finishes it" if unfinished else ""
            raise InputError(f"{folder / name}: no such file; {folder} is not a finished training run{hint}")
    try:
        run = json.loads((folder / RUN_FILE).read_text())
        return {name: run[name] for name in ("config", "validation", "seen_low", "seen_high")}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{folder / RUN_FILE}: is not what forescale train writes") from error
