"""One control plane for all cluster tests of a run; without its programs they are skipped, and in CI they fail."""

import pytest

from tests.cluster.controlplane import control_plane
from tests.cluster.scene import NEEDED as OF_A_SCENE
from tests.cluster.stage import stage
from tests.required import require

NEEDED = ("etcd", "kube-apiserver", "kubectl")


def pytest_configure(config):
    """A test with this marker asks for a story of the stage, which begins with the first test on it."""
    config.addinivalue_line("markers", "story(begin): waits for a story that takes minutes; see stage.py")


def pytest_itemcollected(item):
    """Everything in this folder waits behind the marker."""
    item.add_marker("cluster")


def pytest_collection_modifyitems(items):
    """Ask for the stories when all others are through: nobody waits for them before that."""
    items.sort(key=lambda item: item.get_closest_marker("story") is not None)


def pytest_runtest_setup():
    """Skip here and not in a fixture: pytest then prints one line for all of them."""
    require(*NEEDED)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """etcd and kube-apiserver, shared: a test takes names of its own."""
    with control_plane(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="session")
def shared_stage(request, tmp_path_factory):
    """A scene with operators, shared by the faults that leave its API server alone."""
    require(*OF_A_SCENE)
    with stage(tmp_path_factory.mktemp("stage")) as put_on:
        for story in {
            marker.kwargs["begin"] for item in request.session.items for marker in item.iter_markers("story")
        }:
            put_on.begin(story)
        yield put_on
