"""Settings that all tests share."""

import os

from hypothesis import settings

from tests.reruns import pytest_collection_modifyitems, pytest_terminal_summary

__all__ = ["pytest_collection_modifyitems", "pytest_terminal_summary"]

# Cores are shared, so a slow example is not a failure. CI repeats the same examples; people try new ones every time.
settings.register_profile("forescale", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("forescale")
