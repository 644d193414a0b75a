"""Programs that tests need. Without one they are skipped, and in CI they fail, where nobody sees what is skipped."""

import functools
import os
import shutil

import pytest

from tests.cluster.build_controlplane import absent

why_not = functools.cache(absent)


def require(*names):
    """Ask for programs of `build_controlplane`."""
    _require_that(why_not(names))


def require_command(name):
    """Ask for a program of the system."""
    _require_that(None if shutil.which(name) else f"no {name} on PATH")


def _require_that(reason):
    if reason is not None and os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    if reason is not None:
        pytest.skip(reason)
