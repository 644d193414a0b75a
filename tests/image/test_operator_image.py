"""The operator's image against a real API server and Prometheus: a container without rights scales a Deployment."""

import base64
import json

import pytest

from tests.cluster.daemon import free_ports
from tests.cluster.load_exporter import steady
from tests.cluster.scene import NEEDED, POLICIES, Wishes, scene, wait_for
from tests.image.test_image import LIMITS, ROOT, TAG, build, did
from tests.required import require

pytestmark = pytest.mark.slow

RPS, TARGET_RPS = 100.0, 10
FILES = {"client-certificate": "client-certificate-data", "client-key": "client-key-data"}


def self_contained(kubeconfig):
    """The same with certificates and keys within it, as a container cannot see the files."""
    config = json.loads(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    cluster["certificate-authority-data"] = encoded(cluster.pop("certificate-authority"))
    for name, embedded in FILES.items():
        user[embedded] = encoded(user.pop(name))
    return json.dumps(config)


def encoded(file):
    with open(file, "rb") as content:
        return base64.b64encode(content.read()).decode()


def test_a_container_without_rights_scales_a_deployment(base, tmp_path):
    require(*NEEDED)
    tag = TAG.format(target="operator")
    build(tag, base, "--target=operator", str(ROOT))
    try:
        with scene(tmp_path, Wishes(load=steady(RPS))) as stage:
            config = tmp_path / "config"
            config.mkdir()
            (config / "kubeconfig").write_text(self_contained(stage.cluster.kubeconfig))
            (config / "kubeconfig").chmod(0o644)
            stage.make("/api/v1/namespaces", {"metadata": {"name": "forescale-system"}})
            stage.deploy("web", 2)
            stage.make(POLICIES, a_policy(stage))
            stage.load.play()
            (port,) = free_ports(1)
            options = ["--kubeconfig=/config/kubeconfig", f"--prometheus-url={stage.prometheus.url}", f"--port={port}"]
            run = ["podman", "--runtime=runc", "run", "--detach", f"--volume={config}:/config:ro", *LIMITS, tag]
            container = did(*run, "operator", *options).strip()
            try:
                wait_for(lambda: stage.replicas("web")[0], lambda replicas: replicas >= RPS / TARGET_RPS)
            finally:
                did("podman", "--runtime=runc", "rm", "--force", "--time=5", container)
    finally:
        did("buildah", "rmi", "--force", tag)


def a_policy(stage):
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    demand = {"query": stage.demand("web"), "targetPerReplica": str(TARGET_RPS)}
    spec = {"scaleTargetRef": target, "maxReplicas": 20, "intervalSeconds": 5, "demand": demand}
    return {"apiVersion": "forescale.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": "web"}, "spec": spec}
