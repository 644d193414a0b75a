"""A PostgreSQL of this machine's packages for tests: on the loopback, in its own folder, without rights."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.daemon import Daemon, free_ports, running
from tests.required import require_command

USER = "nobody"
"""PostgreSQL refuses to run as root."""


def _program(name: str) -> str:
    """Debian keeps PostgreSQL's programs off the PATH."""
    found = sorted(str(path) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not found:
        require_command(name)
    return found[-1] if found else name


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """The URL of a database that is empty."""
    initdb, server, pg_isready = (_program(name) for name in ("initdb", "postgres", "pg_isready"))
    data = folder / "data"
    data.mkdir()
    as_user: tuple[str, ...] = ()
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("no setpriv on PATH")
        shutil.chown(data, USER)
        for parent in (folder, *folder.parents):
            parent.chmod(parent.stat().st_mode | 0o011)
        as_user = ("setpriv", "--reuid", USER, "--clear-groups", "--")
    made = subprocess.run(
        [*as_user, initdb, "--pgdata", str(data), "--username=forescale", "--auth=trust", "--no-sync"],
        capture_output=True, text=True, cwd="/",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    (port,) = free_ports(1)
    command = [*as_user, server, "-D", str(data), "-p", str(port), "-k", "", "-h", "127.0.0.1", "-c", "fsync=off"]

    def is_ready() -> bool:
        asked = [pg_isready, "--host=127.0.0.1", f"--port={port}", "--quiet"]
        return subprocess.run(asked, check=False).returncode == 0

    with running(Daemon("postgres", command, folder / "postgres.log", is_ready)):
        yield f"postgresql://forescale@127.0.0.1:{port}/postgres"
