"""A trained policy put to work, rolled back and refused through a ConfigMap, on the real API server and operator."""

import pytest
import yaml

from forescale.config_map import apply_config_map
from scaling.errors import InputError
from tests.cluster.scene import wait_for
from tests.controller.test_policy_config_map import a_config_map, a_policy

NAMESPACE = "trained"


@pytest.fixture
def kubeconfig(shared_stage, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(shared_stage.scene.cluster.kubeconfig))


def asked(subject):
    """Name and SHA-256 of the policy behind the last decision."""
    policy = subject.status().get("lastDecision", {}).get("policy", {})
    return policy.get("name"), policy.get("sha256")


def refer(subject, **ref):
    """Edit the policy so that it names the ConfigMap in another way; null drops a field."""
    wishes = {"key": None, "sha256": None, **ref}
    edited = subject.ask("PATCH", subject.policy, {"spec": {"policyRef": {"configMap": wishes}}})
    assert edited.code == 200, edited.body


def test_a_policy_is_put_to_work_rolled_back_and_refused_by_one_line(shared_stage, kubeconfig):
    namespace = shared_stage.namespace(NAMESPACE)
    old, new = a_policy("old", 1), a_policy("new", 2)
    body = a_config_map(old, name="web-policy")
    body["metadata"]["namespace"] = namespace
    assert apply_config_map(body) == f"{namespace}/web-policy"
    subject = shared_stage.subject(namespace, "web", 2, policyRef={"configMap": {"name": "web-policy"}})
    is_old, is_new = (("old", old[0].manifest.sha256), ("new", new[0].manifest.sha256))
    with shared_stage.operator("trained", f"--namespace={namespace}", "--lease-name=trained"):
        wait_for(lambda: asked(subject), lambda seen: seen == is_old)
        both = a_config_map(old, new, name="web-policy")
        both["metadata"]["namespace"] = namespace
        apply_config_map(both)
        refer(subject, key="new")
        wait_for(lambda: asked(subject), lambda seen: seen == is_new)
        refer(subject, key="old")
        wait_for(lambda: asked(subject), lambda seen: seen == is_old)

        refer(subject, key="new", sha256=is_old[1])
        said = subject.says("PolicyHealthy", "False", "PolicyNotLoaded")
        assert said.startswith(f"ConfigMap {namespace}/web-policy: policy new: weights.sha256 is {is_new[1][:8]}…")
        assert said.endswith("; old stays in charge")
        wait_for(subject.events, lambda events: "PolicyUnusable" in events)
        assert asked(subject) == is_old
        refer(subject, key="old", sha256=is_old[1])
        subject.says("PolicyHealthy", "True", "PolicyAnswered")

    listed = shared_stage.scene.cluster.kubectl(
        "get", "configmap", f"--namespace={namespace}", "--selector=forescale.dev/policy", "--output=yaml"
    )
    (found,) = yaml.safe_load(listed.stdout)["items"]
    assert found["metadata"]["annotations"]["forescale.dev/cost.mean"] == "1.2100"


def test_who_may_not_write_the_config_map_is_told_in_one_line(shared_stage, tmp_path, monkeypatch):
    cluster = shared_stage.scene.cluster
    nobody = cluster.certificates.kubeconfig(cluster.address, "/CN=nobody")
    monkeypatch.setenv("KUBECONFIG", str(nobody))
    with pytest.raises(InputError, match=r"^ConfigMap default/web: refused with 403 Forbidden$"):
        apply_config_map(a_config_map())
    (tmp_path / "gone").write_text(nobody.read_text().replace(str(cluster.port), "1"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "gone"))
    with pytest.raises(InputError, match=r"^ConfigMap default/web: the API server cannot be reached: "):
        apply_config_map(a_config_map())
