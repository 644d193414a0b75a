"""The client against a real API server: TLS, certificates, tokens, RBAC, fences, pages, and a server that hangs."""

import asyncio
import json
import re
import time

import pytest

from controller.cluster import api as api_module
from controller.cluster import api_access as access_module
from controller.cluster.api import ApiError, ApiSettings, KubeApi
from tests.cluster.daemon import resumed
from tests.cluster.test_controlplane import DEPLOYMENT

NAMESPACE = "/api/v1/namespaces/api-tests"
DEPLOYMENTS = "/apis/apps/v1/namespaces/api-tests/deployments"
SCALE = f"{DEPLOYMENTS}/web/scale"
ACCOUNTS = f"{NAMESPACE}/serviceaccounts"


@pytest.fixture(scope="module")
def space(cluster):
    """A namespace with a Deployment and a service account."""
    for path, body in (
        ("/api/v1/namespaces", {"metadata": {"name": "api-tests"}}),
        (DEPLOYMENTS, DEPLOYMENT),
        (ACCOUNTS, {"metadata": {"name": "me"}}),
    ):
        assert cluster.request("POST", path, body).code == 201
    return cluster


def asked(kubeconfig, calls, **wishes):
    """What `calls(api)` returns."""

    async def run():
        async with KubeApi(ApiSettings(kubeconfig=kubeconfig, **wishes)) as api:
            return await calls(api)

    return asyncio.run(run())


def refused(kubeconfig, calls, **wishes):
    with pytest.raises(ApiError) as caught:
        asked(kubeconfig, calls, **wishes)
    return caught.value


def with_token_file(space, folder, token):
    """A kubeconfig of somebody who has nothing but a token in a file."""
    (folder / "token").write_text(token)
    content = json.loads(space.kubeconfig.read_text())
    content["users"] = [{"name": "test", "user": {"tokenFile": str(folder / "token")}}]
    (folder / "kubeconfig").write_text(json.dumps(content))
    return folder / "kubeconfig"


def test_a_scale_is_read_and_written_behind_its_fence(space):
    async def calls(api):
        seen = await api.get(SCALE)
        fence = {"metadata": {"resourceVersion": seen["metadata"]["resourceVersion"]}}
        written = await api.patch(SCALE, fence | {"spec": {"replicas": 4}})
        with pytest.raises(ApiError) as caught:
            await api.patch(SCALE, fence | {"spec": {"replicas": 5}})
        return written["spec"]["replicas"], caught.value

    replicas, late = asked(space.kubeconfig, calls)
    assert (replicas, late.code, late.reason) == (4, 409, "Conflict")


@pytest.mark.parametrize(
    ("user", "path", "body", "code", "reason", "words"),
    [
        ("admin", f"{DEPLOYMENTS}/none/scale", {}, 404, "NotFound", '"none" not found'),
        ("admin", SCALE, {"spec": {"replicas": -1}}, 422, "Invalid", "greater than or equal to 0"),
        ("nobody", SCALE, {"spec": {"replicas": 1}}, 403, "Forbidden", 'User "nobody" cannot patch'),
    ],
)
def test_a_refusal_carries_the_servers_reason(space, user, path, body, code, reason, words):
    kubeconfig = space.kubeconfig if user == "admin" else space.certificates.kubeconfig(space.address, f"/CN={user}")
    error = refused(kubeconfig, lambda api: api.patch(path, body))
    assert (error.code, error.reason) == (code, reason)
    assert words in error.message


def test_names_come_in_pages(space, monkeypatch):
    monkeypatch.setattr(api_module, "PAGE", 2)
    maps = f"{NAMESPACE}/configmaps"

    async def calls(api):
        made = [await api.post(maps, {"metadata": {"name": f"m{place}"}}) for place in range(5)]
        return made, await api.list_names(maps)

    made, listed = asked(space.kubeconfig, calls)
    metadata = [one["metadata"] for one in made]
    assert listed == {each["uid"]: (f"api-tests/{each['name']}", each["resourceVersion"]) for each in metadata}
    pages = [event for event in space.audited() if re.search(r"\blimit=2\b", event["requestURI"])]
    assert len(pages) == 3


def test_a_token_that_was_renewed_is_read_again(space, tmp_path):
    asking = {"spec": {"expirationSeconds": 600}}
    granted = space.request("POST", f"{ACCOUNTS}/me/token", asking).body["status"]["token"]
    kubeconfig = with_token_file(space, tmp_path, "old")

    async def calls(api):
        (tmp_path / "token").write_text(granted + "\n")
        return await api.get(f"{NAMESPACE}")

    error = refused(kubeconfig, calls)  # let in, and then without a role
    assert error.code == 403
    assert "system:serviceaccount:api-tests:me" in error.message
    (tmp_path / "token").write_text("old")
    assert refused(kubeconfig, lambda api: api.get(NAMESPACE)).code == 401


def test_in_a_pod_the_service_account_is_used_and_read_again(space, tmp_path, monkeypatch):
    granted = space.request("POST", f"{ACCOUNTS}/me/token", {"spec": {}}).body["status"]["token"]
    (tmp_path / "token").write_text("old")
    (tmp_path / "ca.crt").write_bytes(space.certificates.authority.certificate.read_bytes())
    monkeypatch.setattr(access_module, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(space.port))

    async def calls(api):
        (tmp_path / "token").write_text(granted)
        return await api.get("/apis/apps/v1")

    assert asked(None, calls)["groupVersion"] == "apps/v1"


def test_who_acts_for_another_has_the_others_rights_alone(space, tmp_path):
    content = json.loads(space.kubeconfig.read_text())
    user = content["users"][0]["user"]
    user |= {"as": "somebody", "as-groups": ["a-team", "system:authenticated"], "as-user-extra": {"a/b": ["c"]}}
    (tmp_path / "kubeconfig").write_text(json.dumps(content))
    error = refused(tmp_path / "kubeconfig", lambda api: api.get(NAMESPACE))
    assert (error.code, error.reason) == (403, "Forbidden")
    assert 'User "somebody" cannot get' in error.message

    async def calls(api):
        return await api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})

    info = asked(tmp_path / "kubeconfig", calls)["status"]["userInfo"]
    assert (info["username"], info["groups"]) == ("somebody", ["a-team", "system:authenticated"])
    assert info["extra"] == {"a/b": ["c"]}


def test_a_server_that_hangs_costs_three_the_same_deadline_as_one_and_serves_again(space):
    async def hung(api, count):
        began_s = time.monotonic()
        answers = await asyncio.gather(*[api.get(NAMESPACE) for _ in range(count)], return_exceptions=True)
        assert {(type(answer), getattr(answer, "code", "")) for answer in answers} == {(ApiError, None)}
        return time.monotonic() - began_s

    async def calls(api):
        await api.get(NAMESPACE)  # one connection is open
        space.api_server.pause()
        one_s, three_s = await hung(api, 1), await hung(api, 3)
        space.api_server.resume()
        return one_s, three_s, await api.get(NAMESPACE)

    with resumed(space.api_server):
        one_s, three_s, after = asked(space.kubeconfig, calls, deadline_s=4.0, connect_deadline_s=2.0)
    assert three_s < 2 * one_s
    assert after["metadata"]["name"] == "api-tests"


def test_a_server_with_another_authority_is_not_trusted(space, tmp_path):
    content = json.loads(space.kubeconfig.read_text())
    del content["clusters"][0]["cluster"]["certificate-authority"]
    (tmp_path / "kubeconfig").write_text(json.dumps(content))
    error = refused(tmp_path / "kubeconfig", lambda api: api.get(NAMESPACE))
    assert (error.code, error.reason) == (None, "Untrusted")
