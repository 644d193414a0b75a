"""Runs the real command in a process of its own, as a user's shell would."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

WITHOUT = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
sys.argv[0] = "forescale"
from forescale.cli import main
main()
"""


def forescale(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `forescale ARGUMENTS`; `options` are those of `subprocess.run`."""
    return run_python(["-m", "forescale", *arguments], **options)


def forescale_without(modules: Sequence[str], *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `forescale ARGUMENTS` where these modules are not installed."""
    return run_python(["-c", WITHOUT.format(blocked=set(modules)), *arguments], **options)


def run_python(
    arguments: Sequence[str], env: dict[str, str] | None = None, without_env: Sequence[str] = (), **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run Python with this tree's packages and more variables in its environment, or fewer.

    A process whose files are limited writes no bytecode: Python 3.11 keeps what was cut short, for all that come later.
    """
    limited = {"PYTHONDONTWRITEBYTECODE": "1"} if "preexec_fn" in options else {}
    given = {**os.environ, "PYTHONPATH": str(ROOT), **limited, **(env or {})}
    kept = {name: value for name, value in given.items() if name not in without_env}
    if "stdout" not in options and "stderr" not in options:
        options["capture_output"] = True
    return subprocess.run(
        [sys.executable, *arguments], env=kept, timeout=300, encoding="utf-8", errors="replace", **options
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The single line on stderr; there is no traceback."""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]
