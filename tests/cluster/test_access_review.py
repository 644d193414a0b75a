"""Rights that are missing, as a real API server with RBAC sees it."""

import asyncio
from pathlib import Path

from controller.cluster.access_review import EVERYWHERE, READING, WRITING, leading, missing
from controller.cluster.api import ApiSettings, KubeApi


def missing_for(cluster, subject, namespaces):
    kubeconfig = cluster.certificates.kubeconfig(cluster.address, subject)

    async def ask():
        async with KubeApi(ApiSettings(kubeconfig=Path(kubeconfig))) as api:
            return await missing(api, (*READING, *WRITING, *leading("forescale"), *EVERYWHERE), namespaces)

    return asyncio.run(ask())


def test_what_is_missing_is_named_with_its_purpose(cluster):
    for made in (
        ("clusterrole", "lister-of-rights", "--verb=list", "--resource=deployments.apps"),
        ("clusterrolebinding", "lister-of-rights", "--clusterrole=lister-of-rights", "--user=lister-of-rights"),
    ):
        assert cluster.kubectl("create", *made).returncode == 0
    found = missing_for(cluster, "/CN=lister-of-rights", ())
    assert "patch deployments/scale.apps (scaling)" in found
    assert "create events (events)" in found
    assert "watch deployments.apps (sizes and readiness)" in found
    assert "list deployments.apps (sizes and readiness)" not in found


def test_an_administrator_misses_nothing_anywhere(cluster):
    assert missing_for(cluster, "/O=system:masters/CN=admin-of-rights", ("default", "kube-system")) == []
