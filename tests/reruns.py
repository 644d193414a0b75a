"""A second run for tests that need a real control plane: on a busy machine it may stand still longer than any wait.

Only tests marked `cluster` get one, each is listed at the end of the run with why it was needed, and a test that fails
twice fails the run. Everything else must not depend on chance. The hooks are pytest's; `conftest.py` takes them in.
"""

from collections.abc import Sequence

import pytest

RERUNS = 1

WHY_CHARACTERS = 300
"""Of what failed, in the list at the end."""


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Let the tests that need a cluster run once more if they fail."""
    for item in items:
        if item.get_closest_marker("cluster") is not None:
            item.add_marker(pytest.mark.flaky(reruns=RERUNS))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the tests that were run again."""
    again = terminalreporter.getreports("rerun")
    if not again:
        return
    terminalreporter.section("run again", yellow=True)
    for report in again:
        terminalreporter.line(f"RERUN {report.nodeid} ({report.when}): {_why(report)}")


def _why(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    why = str(report.longrepr if crash is None else crash.message)
    return " ".join(why.split())[:WHY_CHARACTERS]
