"""Settings that all tests share."""

import os

import pytest
from hypothesis import settings

from tests.reruns import pytest_collection_modifyitems, pytest_terminal_summary

__all__ = ["pytest_collection_modifyitems", "pytest_terminal_summary"]


def pytest_itemcollected(item):
    """Keep what shares a costly fixture in one process where tests run in several: `--dist loadgroup`."""
    if "shared_stage" in item.fixturenames:
        item.add_marker(pytest.mark.xdist_group("stage"))
    elif item.nodeid.startswith("tests/image/"):
        item.add_marker(pytest.mark.xdist_group("image"))  # they share images by their names
    elif any(item.get_closest_marker(name) for name in ("slow", "cluster")):
        item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


# Cores are shared, so a slow example is not a failure. CI repeats the same examples; people try new ones every time.
settings.register_profile("forescale", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("forescale")
