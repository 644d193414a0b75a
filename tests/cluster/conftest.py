"""One control plane for all cluster tests of a run; without its programs they are skipped, and in CI they fail."""

import functools
import os

import pytest

from tests.cluster.build_controlplane import absent
from tests.cluster.controlplane import control_plane

NEEDED = ("etcd", "kube-apiserver", "kubectl")
why_not = functools.cache(absent)


def pytest_itemcollected(item):
    """Everything in this folder waits behind the marker."""
    item.add_marker("cluster")


def pytest_runtest_setup():
    """Skip here and not in a fixture: pytest then prints one line for all of them."""
    require(*NEEDED)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """etcd and kube-apiserver, shared: a test takes names of its own."""
    with control_plane(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def require(*names):
    """Skip what needs these programs where one of them is not there; in CI that is a failure."""
    reason = why_not(names)
    if reason is not None and os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    if reason is not None:
        pytest.skip(reason)
