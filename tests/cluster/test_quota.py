"""The ResourceQuota that the docs show as a backstop, on a real API server."""

import re
from pathlib import Path

import yaml

DOCS = Path(__file__).parents[2] / "docs" / "operations.md"


def shown_quota():
    """The manifest in the docs."""
    blocks = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (quota,) = [body for body in map(yaml.safe_load, blocks) if body["kind"] == "ResourceQuota"]
    return quota


def test_the_api_server_takes_the_quota_of_the_docs(cluster):
    quota = shown_quota()
    namespace = quota["metadata"]["namespace"] = "backstop"
    made = cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    assert made.code == 201
    answer = cluster.request("POST", f"/api/v1/namespaces/{namespace}/resourcequotas?fieldValidation=Strict", quota)
    assert answer.code == 201
    assert answer.body["spec"]["hard"] == quota["spec"]["hard"]
    assert "count/scalingpolicies.forescale.dev" in quota["spec"]["hard"]
