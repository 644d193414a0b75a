"""The second run of cluster tests, on runs of pytest inside this one."""

import pytest

pytest_plugins = ["pytester"]

INI = """
[pytest]
addopts = --strict-markers -p no:cacheprovider
markers = cluster: stands for the real one
"""
FAILS_AT_FIRST = """
import pathlib, pytest
{marker}
def test_it():
    seen = pathlib.Path({seen!r})
    tries = len(seen.read_text()) if seen.exists() else 0
    seen.write_text("x" * (tries + 1))
    assert tries >= {fails}, "the server stood\\nstill"
"""


@pytest.fixture
def run(pytester):
    """Run a test that fails so many times first; the result, and how often it was run."""
    pytester.makefile(".ini", pytest=INI)
    pytester.makeconftest("from tests.reruns import pytest_collection_modifyitems, pytest_terminal_summary")
    seen = pytester.path / "seen"

    def run(fails, marker="@pytest.mark.cluster"):
        pytester.makepyfile(FAILS_AT_FIRST.format(seen=str(seen), fails=fails, marker=marker))
        return pytester.runpytest_inprocess(), len(seen.read_text())

    return run


def test_a_cluster_test_that_fails_once_is_run_again_and_listed_with_why(run):
    result, runs = run(fails=1)
    assert runs == 2
    assert result.ret == pytest.ExitCode.OK
    assert result.parseoutcomes() == {"passed": 1, "rerun": 1}
    result.stdout.fnmatch_lines(["*= run again =*", "RERUN *::test_it (call): AssertionError: the server stood still*"])


def test_a_cluster_test_that_fails_twice_fails_the_run(run):
    result, runs = run(fails=2)
    assert runs == 2
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes() == {"failed": 1, "rerun": 1}
    result.stdout.fnmatch_lines(["RERUN *::test_it (call): *"])


def test_any_other_test_has_one_run(run):
    result, runs = run(fails=1, marker="")
    assert runs == 1
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes() == {"failed": 1}
    result.stdout.no_fnmatch_line("*run again*")


def test_a_run_without_a_rerun_lists_none(run):
    result, runs = run(fails=0)
    assert runs == 1
    assert result.parseoutcomes() == {"passed": 1}
    result.stdout.no_fnmatch_line("*run again*")


def test_every_test_of_the_control_plane_has_a_second_run(request):
    """As this run collected them; none of the others has one."""
    for item in request.session.items:
        flaky = item.get_closest_marker("flaky")
        in_cluster = item.path.parent.name == "cluster" and item.path.parent.parent.name == "tests"
        assert (flaky is not None) == in_cluster, item.nodeid
