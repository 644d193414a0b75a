"""The Helm chart on a real API server: every profile, a whole life of a release, and the operator under its rights."""

import json
import re
import shutil
import time
from pathlib import Path

import pytest
import yaml

from tests.cluster.chart import CHART, EVERYTHING, NAMESPACE, PROFILES, URL, Helm, a_definition, as_account, sets
from tests.cluster.daemon import running
from tests.cluster.load_exporter import NAMESPACE as SHOP
from tests.cluster.load_exporter import steady
from tests.cluster.scene import DEPLOYMENTS, NEEDED, POLICIES, Wishes, a_deployment, operator, scene, wait_for
from tests.required import require

RPS = 100.0
OF_PROMETHEUS_OPERATOR = {
    "ServiceMonitor": "servicemonitors",
    "PodMonitor": "podmonitors",
    "PrometheusRule": "prometheusrules",
}
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    require(*NEEDED, "helm")
    with scene(tmp_path_factory.mktemp("chart"), Wishes(load=steady(RPS))) as running_scene:
        cluster = running_scene.cluster
        others = [("monitoring.coreos.com", *each) for each in OF_PROMETHEUS_OPERATOR.items()]
        for group, kind, plural in (*others, ("ray.io", "RayJob", "rayjobs")):
            body = a_definition(group, "v1", kind, plural)
            cluster.make("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)
        cluster.make("/api/v1/namespaces", {"metadata": {"name": NAMESPACE, "labels": RESTRICTED}})
        cluster.request(
            "DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/scalingpolicies.forescale.dev"
        )
        wait_for(lambda: cluster.request("GET", POLICIES).code, lambda code: code == 404)
        yield running_scene


@pytest.fixture(scope="module")
def helm(stage, tmp_path_factory):
    return Helm(stage.cluster, tmp_path_factory.mktemp("helm"))


def kinds(bodies):
    return sorted(f"{body['kind']}/{body['metadata']['name']}" for body in bodies)


def test_helm_finds_nothing_to_complain_about(helm):
    helm.did("lint", "--strict", str(CHART), *sets([URL]))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    "more", [(), EVERYTHING, (*EVERYTHING, "tuning.ray=true")], ids=["plain", "everything", "on-ray"]
)
def test_the_api_server_takes_every_object_of_every_profile(stage, helm, profile, more):
    bodies = helm.rendered(*PROFILES[profile], *more)
    text = "\n---\n".join(json.dumps(body) for body in bodies)
    applied = stage.cluster.kubectl(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "--force-conflicts", "--filename=-",
        stdin=text,
    )  # fmt: skip
    assert applied.returncode == 0, applied.stderr
    assert "violate" not in applied.stderr  # PodSecurity warns of Deployments and Jobs
    assert len(applied.stdout.splitlines()) == len(bodies)


@pytest.mark.parametrize("profile", [name for name in PROFILES if "shadow" in name])
def test_the_shadow_profile_has_no_write_verb_on_any_scale(helm, profile):
    rules = [
        rule
        for body in helm.rendered(*PROFILES[profile], *EVERYTHING)
        if body["kind"] in ("Role", "ClusterRole")
        for rule in body["rules"]
        if any(resource.endswith("/scale") or resource == "*" for resource in rule["resources"])
    ]
    assert rules
    assert all(rule["verbs"] == ["get"] for rule in rules)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["promtheus.url=x"], "'promtheus' not allowed"),
        (["operator.replica=3"], "'replica' not allowed"),
        (["tuning.workers=2"], "tuning.storageSecret: empty, needs the Secret with the study's url"),
        (["training.steps=0"], "at '/training/steps': minimum"),
        (["training.schedule=weekly"], "at '/training/schedule'"),
        (["training.configMap=Web"], "at '/training/configMap'"),
        (["rbac.mode=Activ"], "'Active', 'Shadow'"),
        (["operator.replicas=0"], "at '/operator/replicas': minimum"),
        (["prometheus.url=prometheus"], "at '/prometheus/url'"),
        (["prometheus.url="], "prometheus.url: empty, needs the address of Prometheus"),
        (["rbac.scope=Namespaced"], "namespaces: empty, needs at least one"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(helm, values, words):
    given = values if any(value.startswith("prometheus.url") for value in values) else [URL, *values]
    refused = helm.run("template", "forescale", str(CHART), *sets(given))
    assert refused.returncode != 0
    assert words in refused.stderr


def test_a_release_is_installed_upgraded_rolled_back_and_leaves_the_definition_alone(stage, helm, tmp_path):
    cluster = stage.cluster
    before = installed(cluster)
    helm.did("install", "forescale", str(CHART), *sets([URL]))
    wait_for(lambda: cluster.request("GET", POLICIES).code, lambda code: code == 200)
    assert installed(cluster) > before

    newer = tmp_path / "forescale"
    shutil.copytree(CHART, newer)
    definition = newer / "files" / "scalingpolicies.yaml"
    body = yaml.safe_load(definition.read_text())
    body["spec"]["names"]["shortNames"] = ["newer"]
    definition.write_text(yaml.safe_dump(body))
    helm.did("upgrade", "forescale", str(newer), *sets([URL, "operator.replicas=3"]))
    assert short_names(cluster) == ["newer"]
    assert replicas_of_the_operator(cluster) == 3
    helm.did("rollback", "forescale", "1")
    assert short_names(cluster) == ["scalepol"]
    assert replicas_of_the_operator(cluster) == 2

    helm.did("uninstall", "forescale")
    wait_for(lambda: installed(cluster), lambda left: left == before)
    assert short_names(cluster) == ["scalepol"]
    helm.did("install", "forescale", str(CHART), *sets([URL]))  # the definition that stayed is taken over
    helm.did("uninstall", "forescale")


def installed(cluster):
    """Names of all that the chart can leave behind, the definition apart."""
    wanted = "deploy,svc,sa,cm,secret,pdb,networkpolicy,role,rolebinding,job,cronjob,"
    wanted += ",".join(OF_PROMETHEUS_OPERATOR.values())
    found = [
        cluster.kubectl("get", wanted, f"--namespace={NAMESPACE}", "--output=name").stdout,
        cluster.kubectl("get", "clusterrole,clusterrolebinding", "--output=name").stdout,
    ]
    return {line for text in found for line in text.splitlines() if "kube-root-ca" not in line}


def short_names(cluster):
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/scalingpolicies.forescale.dev"
    return cluster.request("GET", path).body["spec"]["names"]["shortNames"]


def replicas_of_the_operator(cluster):
    return cluster.request("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/forescale").body["spec"][
        "replicas"
    ]


def test_a_pod_that_asks_for_more_than_restricted_allows_is_refused(stage, helm):
    (deployment,) = [body for body in helm.rendered() if body["kind"] == "Deployment"]
    template = deployment["spec"]["template"]
    pod = {"metadata": {**template["metadata"], "name": "operator"}, "spec": template["spec"]}
    del pod["spec"]["serviceAccountName"]
    path = f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All&fieldValidation=Strict"
    account = {"metadata": {"name": "default"}}
    stage.cluster.request("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account)
    assert stage.cluster.request("POST", path, pod).code == 201
    pod["spec"]["containers"][0]["securityContext"]["capabilities"] = {"add": ["NET_ADMIN"]}
    refused = stage.cluster.request("POST", path, pod)
    assert refused.code == 403
    assert "restricted" in refused.body["message"]


def a_policy(stage, name, **spec):
    wishes = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "maxReplicas": 20,
        "intervalSeconds": 5,
        "startupSeconds": None,
        "demand": {"query": stage.demand("web"), "targetPerReplica": "10"},
    }
    body = {"apiVersion": "forescale.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": name}}
    spec = {key: value for key, value in {**wishes, **spec}.items() if value is not None}
    stage.make(POLICIES, {**body, "spec": spec})


def under_the_chart(stage, tmp_path, *options):
    """The operator with a token of the chart's ServiceAccount."""
    kubeconfig = as_account(stage.cluster, "forescale", tmp_path)
    own = ("--lease-name=forescale", f"--lease-namespace={NAMESPACE}", f"--kubeconfig={kubeconfig}")
    return operator(stage, *own, *options, name=f"chart-{time.monotonic_ns()}")


def condition(stage, name, wanted):
    status = stage.cluster.request("GET", f"{POLICIES}/{name}").body.get("status", {})
    return {each["type"]: each for each in status.get("conditions", ())}.get(wanted, {})


ACCOUNT = f"system:serviceaccount:{NAMESPACE}:forescale"


NOT_ASKED_HERE = {
    ("get", "apps", "deployments/scale"),  # the watch tells sizes; asked for where it has not told them yet
    ("get", "apps", "statefulsets/scale"),
    ("watch", "keda.sh", "scaledobjects"),  # KEDA is not installed
}
"""Rights that the operator needs in other circumstances."""


def used(cluster, since):
    """(verb, resource with group) that the chart's account was allowed, and those that it was refused."""
    allowed: set[tuple[str, str, str]] = set()
    refused: set[tuple[str, str, str]] = set()
    for event in cluster.audited()[since:]:
        place = event.get("objectRef", {})
        if event["user"]["username"] != ACCOUNT or "resource" not in place:
            continue
        resource = "/".join(part for part in (place["resource"], place.get("subresource")) if part)
        if place.get("apiGroup") == "authorization.k8s.io":
            continue  # everybody may ask what they are allowed
        found = refused if event["responseStatus"]["code"] == 403 else allowed
        found.add((event["verb"], place.get("apiGroup", ""), resource))
    return allowed, refused


def granted(bodies):
    return {
        (verb, group, resource)
        for body in bodies
        if body["kind"] in ("Role", "ClusterRole") and not body["metadata"]["name"].endswith(("-edit", "-view"))
        for rule in body["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def test_the_security_page_names_every_right_and_no_other(helm):
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    table = page.partition("## Rights of the operator")[2].partition("## Rights of training")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in table.splitlines() if line.startswith("| ")]
    written = {
        (verb, "" if group == "core" else group.strip("`"), resource)
        for group, resources, verbs in rows[1:]
        for resource in re.findall(r"`([^`]*)`", resources)
        for verb in verbs.split(", ")
    }
    assert written == granted(helm.rendered())


@pytest.mark.parametrize("profile", ["cluster-active", "namespaced-active"])
def test_the_operator_scales_with_the_charts_rights_and_uses_all_of_them(stage, helm, tmp_path, profile):
    cluster, name = stage.cluster, profile
    helm.did("install", "forescale", str(CHART), *sets([URL, *PROFILES[profile]]))
    try:
        wait_for(lambda: cluster.request("GET", POLICIES).code, lambda code: code == 200)
        cluster.request("DELETE", f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/forescale")
        since = len(cluster.audited())
        stage.deploy(name, 2)
        stateful = {**a_deployment(f"{name}-set", 2), "kind": "StatefulSet"}
        stage.make(DEPLOYMENTS.replace("deployments", "statefulsets"), stateful)
        stage.load.play()
        a_policy(stage, name)
        a_policy(
            stage,
            f"{name}-set",
            scaleTargetRef={"apiVersion": "apps/v1", "kind": "StatefulSet", "name": stateful["metadata"]["name"]},
        )
        a_policy(
            stage,
            f"{name}-replicas",
            scaleTargetRef={"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": the_replica_set(stage, name)},
        )
        a_policy(stage, f"{name}-trained", policyRef={"configMap": {"name": "trained"}})
        options = [] if profile.startswith("cluster") else [f"--namespace={SHOP}"]
        with running(under_the_chart(stage, tmp_path, *options)):
            wait_for(lambda: stage.replicas(name)[0], lambda replicas: replicas > 5)
            wait_for(lambda: condition(stage, f"{name}-replicas", "AbleToScale"), bool)
            wanted = granted(helm.rendered(*PROFILES[profile])) - NOT_ASKED_HERE
            wait_for(lambda: wanted - used(cluster, since)[0], lambda left: not left)
        _, refused = used(cluster, since)
        assert refused - {("get", "apps", "replicasets/scale")} == set()
    finally:
        helm.did("uninstall", "forescale")


def the_replica_set(stage, name):
    path = DEPLOYMENTS.replace("deployments", "replicasets")
    found = wait_for(lambda: stage.cluster.request("GET", f"{path}?labelSelector=app%3D{name}").body["items"], bool)
    return found[0]["metadata"]["name"]


def test_under_the_shadow_profile_nothing_can_be_scaled(stage, helm, tmp_path):
    helm.did("install", "forescale", str(CHART), *sets([URL, *PROFILES["cluster-shadow"]]))
    try:
        stage.deploy("shadow", 2)
        stage.load.play()
        a_policy(stage, "shadow")
        with running(under_the_chart(stage, tmp_path)):
            seen = wait_for(lambda: condition(stage, "shadow", "AbleToScale"), lambda it: it.get("status") == "False")
        assert seen["reason"] == "Forbidden"
        assert stage.replicas("shadow")[0] == 2
    finally:
        helm.did("uninstall", "forescale")
