"""What the tests' own control plane promises: crashes leave the data, clusters do not meet, writes are counted."""

import pytest

from tests.cluster.controlplane import control_plane
from tests.cluster.loopback import ask

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "none"}]},
        },
    },
}
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


@pytest.fixture
def own(tmp_path):
    """A cluster of the test's own, to be killed."""
    with control_plane(tmp_path) as running:
        yield running


def scaled(cluster, replicas, version=None):
    """The answer to one write of the scale, fenced by a resourceVersion if one is given."""
    patch = {"metadata": {"resourceVersion": version} if version else {}, "spec": {"replicas": replicas}}
    return cluster.request("PATCH", f"{DEPLOYMENTS}/web/scale", patch, "application/merge-patch+json")


def test_a_crash_of_either_process_leaves_the_data_and_the_address(own):
    assert own.request("POST", DEPLOYMENTS, DEPLOYMENT).code == 201
    own.api_server.kill()
    with pytest.raises(OSError, match="refused"):
        own.request("GET", "/readyz")
    own.api_server.start()
    own.etcd.kill()
    own.etcd.start()
    assert scaled(own, 5).code == 200
    assert own.request("GET", f"{DEPLOYMENTS}/web/scale").body["spec"]["replicas"] == 5


def test_a_paused_server_answers_nothing_and_goes_on_where_it_was(own):
    own.api_server.pause()
    with pytest.raises(TimeoutError):
        ask(own.port, own.tls, "GET", "/readyz", timeout_s=0.5)
    own.api_server.resume()
    assert own.request("GET", "/readyz").code == 200


def test_a_paused_server_is_stopped_within_the_bound(own):
    own.api_server.pause()
    own.api_server.stop()
    assert not own.api_server.is_running()


def test_what_an_earlier_try_has_left_is_made_anew(own):
    first, second = (own.make(DEPLOYMENTS, DEPLOYMENT) for _ in range(2))
    assert (first.code, second.code) == (201, 201)
    assert first.body["metadata"]["uid"] != second.body["metadata"]["uid"]
    namespace = {"metadata": {"name": "kept"}}
    assert [own.make("/api/v1/namespaces", namespace).code for _ in range(2)] == [201, 200]


def test_writes_are_counted_by_user_and_with_what_they_asked_for(own):
    assert own.request("POST", DEPLOYMENTS, DEPLOYMENT).code == 201
    assert scaled(own, 7).code == 200
    assert scaled(own, 9, version="1").code == 409
    writes = [event for event in own.audited() if event.get("objectRef", {}).get("subresource") == "scale"]
    assert [(e["user"]["username"], e["verb"], e["responseStatus"]["code"]) for e in writes] == [
        ("admin", "patch", 200),
        ("admin", "patch", 409),
    ]
    assert writes[0]["requestObject"]["spec"] == {"replicas": 7}


def test_two_clusters_at_once_do_not_trust_each_other(cluster, own):
    assert own.port != cluster.port
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(cluster.port, own.tls, "GET", "/readyz")
