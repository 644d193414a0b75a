"""The official Kubernetes client as an outside check of ours: with one kubeconfig both are the same user."""

import json

import pytest
from kubernetes import client, config

from tests.cluster.test_api import asked, with_token_file

REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"


def official_user(kubeconfig):
    """Name and groups of the user that the API server takes the official client for."""
    with config.new_client_from_config(str(kubeconfig)) as api:
        review = client.AuthenticationV1Api(api).create_self_subject_review(client.V1SelfSubjectReview())
        user = api.sanitize_for_serialization(review)["status"]["userInfo"]
    return user["username"], sorted(user["groups"])


def our_user(kubeconfig):
    """The same of our client."""

    async def calls(api):
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        return (await api.post(REVIEWS, body))["status"]["userInfo"]

    user = asked(kubeconfig, calls)
    return user["username"], sorted(user["groups"])


def with_server_name(cluster, folder):
    """A kubeconfig that names another of the certificate's names than the address."""
    content = json.loads(cluster.kubeconfig.read_text())
    content["clusters"][0]["cluster"]["tls-server-name"] = "localhost"
    (folder / "kubeconfig").write_text(json.dumps(content))
    return folder / "kubeconfig"


def token_of(cluster):
    """A token of a service account that is made for it."""
    cluster.request("POST", ACCOUNTS, {"metadata": {"name": "outside-check"}})
    answer = cluster.request("POST", f"{ACCOUNTS}/outside-check/token", {"spec": {"expirationSeconds": 3600}})
    return answer.body["status"]["token"]


@pytest.mark.parametrize("form", ["certificate", "token-file", "server-name"])
def test_both_clients_are_the_same_user_with_one_kubeconfig(cluster, tmp_path, form):
    if form == "certificate":
        kubeconfig = cluster.kubeconfig
    elif form == "server-name":
        kubeconfig = with_server_name(cluster, tmp_path)
    else:
        kubeconfig = with_token_file(cluster, tmp_path, token_of(cluster))
    assert our_user(kubeconfig) == official_user(kubeconfig)
