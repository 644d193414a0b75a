"""Settings that all tests share."""

import os

from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tests.reruns import pytest_collection_modifyitems, pytest_terminal_summary

__all__ = ["pytest_collection_modifyitems", "pytest_terminal_summary"]

TOGETHER = ("tests/cluster/", "tests/image/")
"""Folders whose tests run in one process: they share a control plane, or images by their names."""


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives a process a whole file at a time, or a whole folder of `TOGETHER`."""

    def _split_scope(self, nodeid):
        path = nodeid.partition("::")[0]
        return next((folder for folder in TOGETHER if path.startswith(folder)), path)


def pytest_xdist_make_scheduler(config, log):
    """For `--dist loadscope`, as in `make test`; with pytest 9.2, xdist 3.8 does not see the groups of `loadgroup`."""
    return ByFile(config, log) if config.getvalue("dist") == "loadscope" else None


# Cores are shared, so a slow example is not a failure. CI repeats the same examples; people try new ones every time.
settings.register_profile("forescale", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("forescale")
