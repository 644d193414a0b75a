"""Faults of the API server under the real operator: it is killed, hangs, sheds load, forgets who we are, and more.

One operator lives through all of them, in the order below. What was written is counted by the API server's audit log.
"""

import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from itertools import groupby

import pytest

from tests.cluster.audit import writes
from tests.cluster.load_exporter import NAMESPACE
from tests.cluster.loopback import as_user, ask
from tests.cluster.scene import CRDS, NEEDED, wait_for
from tests.cluster.stage import (
    GROUP,
    INTERVAL_S,
    PATIENCE_S,
    SETTLED_S,
    SYSTEM,
    Subject,
    a_binding,
    about,
    made,
    measured,
    page_of,
    policies,
    stage,
    with_token,
)
from tests.cluster.test_faults_webhook import a_webhook
from tests.required import require

pytestmark = pytest.mark.slow

HOG = "hog"
HOGGED = "/api/v1/namespaces/hogged"
ACCOUNT = f"system:serviceaccount:{SYSTEM}:forescale"
ACCOUNTS = f"/api/v1/namespaces/{SYSTEM}/serviceaccounts"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/forescale"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/scalingpolicies.forescale.dev"
FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"
MUTATING_WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"

LEASE_S, RENEW_DEADLINE_S = 15.0, 10.0
AWAY_S = 12.0
"""Longer than a leader believes in its Lease."""
LONGEST_REQUEST_S = 60.0
"""The API server's own limit of a request."""
MOST_TRIES = 5
"""Of one call that is told when to come back."""
DEADLINE_S, OTHERS_S = 10.0, 5.0
"""Of one call; and what all other calls of its kind may take together meanwhile, those of five seconds apart."""
FOUND_OUT_WITHIN_S = 150.0
"""kopf can miss a definition that comes back. Listings tell within two minutes, and then kopf begins anew."""
HUNG_S = 40.0
"""Several deadlines, and longer than its Lease lasts."""

GROWTH = (6, 9, 12, 16, 22, 30, 41, 56, 76)
"""Sizes that are too far from each other for the HPA's tolerance, whatever the load of one is answered with."""
LAST = 96
"""What is needed in the end: more than the last of these may be answered with."""


class Ground:
    """One operator, and two workloads: one whose load grows with every fault, and one whose load stays."""

    def __init__(self, put_on, operator, token):
        self.stage, self.scene, self.cluster = put_on, put_on.scene, put_on.scene.cluster
        self.operator, self.token, self.pid = operator, token, operator.process.pid
        self.steady = put_on.subject(NAMESPACE, "steady", 3)
        self.web = put_on.subject(NAMESPACE, "web", 4)
        self.size = 4
        """The web's, when it was last looked at."""
        self._growth = iter(GROWTH)

    def load_grows(self):
        """The web's load needs more replicas from now on: how many."""
        replicas = next(self._growth)
        self.web.needs(replicas)
        return replicas

    def goes_on(self, replicas, since_s):
        """The load that came meanwhile is answered soon after the fault, in few steps, and nothing else is touched."""
        size = self.web.grows_to(replicas)
        written = [write for write in self.web.written(ACCOUNT, since_s=since_s) if write.done]
        assert len(written) <= 3  # none where etcd wakes up and does what the API server has given up
        assert all(self.size < write.replicas < about(replicas).stop for write in written)
        self.size = size
        assert self.steady.sizes(ACCOUNT) == [3]
        return size

    def leads(self):
        return measured(self.operator, "forescale_leader") == 1.0


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """The operator is a service account with a token in a file."""
    require(*NEEDED)
    folder = tmp_path_factory.mktemp("api-server")
    with stage(folder) as put_on:
        put_on.scene.make(
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            a_binding("forescale", [("User", ACCOUNT)], "cluster-admin"),
        )
        token = folder / "token"
        token.write_text(a_token(put_on.scene))
        kubeconfig = with_token(put_on.scene.cluster.kubeconfig, token, folder / "kubeconfig")
        with put_on.operator("forescale", f"--kubeconfig={kubeconfig}") as operator:
            put_on.users.add(ACCOUNT)
            own = Ground(put_on, operator, token)
            for subject in (own.web, own.steady):
                subject.says("ScalingActive", "True", "ValidMetricFound")
            yield own


@pytest.fixture(autouse=True)
def lives_on(ground):
    """The same process, well, and all that it wrote within bounds."""
    yield
    assert ground.operator.is_running()
    assert ground.operator.process.pid == ground.pid
    wait_for(lambda: page_of(ground.operator, "/healthz").code, lambda code: code == 200, PATIENCE_S)
    ground.stage.check()


def a_token(scene):
    """Of a service account that is made again: tokens of the one before are nobody's."""
    scene.cluster.request("DELETE", f"{ACCOUNTS}/forescale")
    scene.make(ACCOUNTS, {"metadata": {"name": "forescale"}})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    answer = scene.cluster.request("POST", f"{ACCOUNTS}/forescale/token", request)
    return answer.body["status"]["token"]


def test_after_a_crash_of_the_api_server_it_goes_on_within_half_a_minute_and_without_a_burst(ground):
    began_s = time.time()
    ground.cluster.api_server.kill()
    replicas = ground.load_grows()
    wait_for(ground.leads, lambda leads: not leads, RENEW_DEADLINE_S + 5)
    assert page_of(ground.operator, "/healthz").code == 200
    ground.cluster.api_server.start()
    ground.goes_on(replicas, began_s)


@pytest.mark.parametrize("part", ["etcd", "kube-apiserver"])
def test_while_a_part_hangs_calls_end_and_nothing_is_believed_of_the_lease(ground, part):
    frozen, began_s = ground.scene.parts[part], time.time()
    ended = 'forescale_api_requests_total{code="Timeout"'
    before, calls = measured(ground.operator, ended), durations(ground.operator)
    frozen.pause()
    try:
        replicas = ground.load_grows()
        wait_for(ground.leads, lambda leads: not leads, RENEW_DEADLINE_S + 5)
        time.sleep(max(0.0, began_s + HUNG_S - time.time()))
        assert measured(ground.operator, ended) > before
        assert not ground.leads()
    finally:
        frozen.resume()
    ground.goes_on(replicas, began_s)
    assert longest_calls(ground.operator, calls) == {}


def durations(operator):
    """By verb and resource of calls to the API server, by what of them: the seconds of all, their count, and how many
    ended within five seconds, and within ten."""
    found: dict[str, dict[str, float]] = {}
    series = r'forescale_api_request_duration_seconds_(?:bucket\{le="(10.0|5.0)",|(sum|count)\{)(.+)\} (.+)'
    for limit, name, call, value in re.findall(series, page_of(operator, "/metrics").body):
        found.setdefault(call, {})[limit or name] = float(value)
    return found


def longest_calls(operator, before):
    """Calls since then of which one may have taken much longer than the deadline, and how long at most, in seconds."""
    longest = {}
    for call, now in durations(operator).items():
        since = {each: number - before.get(call, {}).get(each, 0.0) for each, number in now.items()}
        late = since["count"] - since["10.0"]  # what ends at the deadline ends a moment after it
        if late > 0:
            longest[call] = since["sum"] - DEADLINE_S * (late - 1) - 5.0 * (since["10.0"] - since["5.0"])
    return {call: seconds for call, seconds in longest.items() if seconds > DEADLINE_S + OTHERS_S}


def test_what_is_refused_with_429_waits_as_it_is_asked_to(ground):
    began_s = time.time()
    with crowded(ground.cluster):
        refused_s = wait_for(lambda: refusals(ground.cluster, began_s), bool, PATIENCE_S)[0]
        replicas = ground.load_grows()
        time.sleep(AWAY_S)
        refused = [at_s for at_s in refusals(ground.cluster, began_s) if at_s < refused_s + AWAY_S]
    # two clients, of which one is for the Lease: each asks when the second that it was told to wait is over
    assert 3 <= len(refused) <= 3 * AWAY_S
    ground.goes_on(replicas, began_s)


def test_a_change_that_is_refused_with_429_is_carried_out_as_soon_as_there_is_room(ground):
    """All else goes through, so that it leads and decides."""
    began_s = time.time()

    def tried():
        return ground.web.written(ACCOUNT, since_s=began_s)

    with crowded(ground.cluster, "patch", "deployments/scale"):
        replicas = ground.load_grows()
        first = wait_for(tried, bool, PATIENCE_S)[0]
        ground.web.says("AbleToScale", "False", "ApiUnavailable")
        assert ground.leads()
        assert {write.code for write in tried()} == {429}
        decisions = 2 + (time.time() - first.asked_s) / INTERVAL_S
        assert 2 <= len(tried()) <= MOST_TRIES * decisions
    ground.goes_on(replicas, began_s)


@contextmanager
def crowded(cluster, verb="*", resource="*"):
    """No room for what our operator asks: another user has taken all there is, and who comes is told to come back in a
    second."""
    limited = {"nominalConcurrencyShares": 0, "lendablePercent": 0, "borrowingLimitPercent": 0}
    level = {"type": "Limited", "limited": {**limited, "limitResponse": {"type": "Reject"}}}
    flow = {
        "priorityLevelConfiguration": {"name": "no-room"},
        "matchingPrecedence": 2,
        "rules": [a_rule(ACCOUNT, verb, resource), a_rule(HOG, "*", "*")],
    }
    with (
        made(cluster, f"{FLOW}/prioritylevelconfigurations", "no-room", {"spec": level}),
        made(cluster, f"{FLOW}/flowschemas", "no-room", {"spec": flow}),
    ):
        wait_for(lambda: is_in_force(cluster, f"{FLOW}/flowschemas/no-room"), bool)
        with hogged(cluster):
            yield


def a_rule(user, verb, resource):
    """Of a FlowSchema."""
    asked = {"verbs": [verb], "apiGroups": ["*"], "resources": [resource], "namespaces": ["*"], "clusterScope": True}
    return {"subjects": [{"kind": "User", "user": {"name": user}}], "resourceRules": [asked]}


def is_in_force(cluster, flow):
    """Whether the API server has taken a FlowSchema up: it says so of one that has its priority level."""
    conditions = cluster.request("GET", flow).body["status"].get("conditions", ())
    return {each["type"]: each["status"] for each in conditions}.get("Dangling") == "False"


@contextmanager
def hogged(cluster):
    """A user whose only write waits for webhooks that say nothing, and takes the room of its priority level meanwhile.

    They are asked one after the other, and each is given up after the ten seconds that a TLS handshake may take. So the
    room is never free for as much as a moment within the minute that a request may take.
    """
    over = threading.Event()
    tls = as_user(cluster.certificates, f"/O={GROUP}/CN={HOG}")

    def hog():
        while not over.is_set():
            body = {"metadata": {"generateName": "hog-"}}
            if ask(cluster.port, tls, "POST", f"{HOGGED}/secrets", body, timeout_s=LONGEST_REQUEST_S + 5).code == 429:
                over.wait(1.0)  # who hammers makes the API server ask everybody for more patience

    cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": "hogged"}})
    with socket.create_server(("127.0.0.1", 0)) as mute, ThreadPoolExecutor(1) as pool:
        mute.settimeout(PATIENCE_S)
        port = mute.getsockname()[1]
        hooks = [a_webhook(f"hog-{number}", "", "v1", "secrets", "hogged", port) for number in range(6)]
        hooks = [hook | {"failurePolicy": "Ignore"} for hook in hooks]
        with made(cluster, MUTATING_WEBHOOKS, "hog", {"webhooks": hooks}):
            hogging = pool.submit(hog)
            try:
                with mute.accept()[0]:
                    yield
            finally:
                over.set()
                mute.close()  # it is through at once
        hogging.result()


def refusals(cluster, since_s):
    """When the operator was refused with 429, from a moment on."""
    times_s = [
        came_s(event)
        for event in cluster.audited()
        if event.get("responseStatus", {}).get("code") == 429 and event["user"]["username"] == ACCOUNT
    ]
    return sorted(time_s for time_s in times_s if time_s >= since_s)


def test_with_a_new_token_in_its_file_it_is_let_in_again_within_ten_seconds(ground):
    began_s = time.time()
    token = a_token(ground.scene)
    wait_for(lambda: measured(ground.operator, 'forescale_api_requests_total{code="401"'), bool, 2 * LEASE_S)
    replicas = ground.load_grows()
    ground.token.write_text(token)
    given_s = time.time()
    wait_for(lambda: renewed_after(ground, given_s), bool, 10.0)
    ground.goes_on(replicas, began_s)


def renewed_after(ground, moment_s):
    lease = ground.cluster.request("GET", LEASE).body
    return datetime.fromisoformat(lease["spec"]["renewTime"]).timestamp() > moment_s


def test_what_happened_while_its_watches_had_lost_their_place_is_found_out(ground):
    """410: the API server forgot the version from which the watches would go on, and etcd too."""
    put_on, cluster, began_s = ground.stage, ground.cluster, time.time()
    gone = put_on.subject(NAMESPACE, "gone", 2)
    gone.says("ScalingActive", "True", "ValidMetricFound")
    version = cluster.request("GET", policies(NAMESPACE)).body["metadata"]["resourceVersion"]
    ground.operator.pause()
    try:
        cluster.api_server.kill()
        cluster.api_server.start()
        assert gone.ask("DELETE", gone.policy).code == 200
        late = put_on.subject(NAMESPACE, "late", 2)
        compact(cluster)
        watch = f"{policies(NAMESPACE)}?watch=1&timeoutSeconds=2&resourceVersion={version}"
        answer = cluster.request("GET", watch).body
        assert answer.get("object", answer)["code"] == 410
        gone.needs(9)
        late.needs(4)
        replicas = ground.load_grows()
    finally:
        resumed_s = time.time()
        ground.operator.resume()
    late.grows_to(4)
    ground.goes_on(replicas, began_s)
    time.sleep(2 * INTERVAL_S)
    assert gone.sizes(ACCOUNT) == [2]
    turns = [verb for verb, _ in groupby(event["verb"] for event in watched(cluster, resumed_s))]
    assert turns[:3] == ["watch", "list", "watch"]  # the first one from where it was


def watched(cluster, since_s):
    """What kopf asked about policies, in order, from a moment on: to watch them from a version, or to list them."""
    found = [
        event
        for event in cluster.audited()
        if event["user"]["username"] == ACCOUNT
        and event["verb"] in ("watch", "list")
        and event["objectRef"]["resource"] == "scalingpolicies"
        and event.get("userAgent", "").startswith("kopf")
        and came_s(event) >= since_s
    ]
    return sorted(found, key=came_s)


def came_s(event):
    return datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()


def compact(cluster):
    """Let etcd forget all versions but the newest."""
    (url,) = [word.partition("=")[2] for word in cluster.etcd.command if word.startswith("--listen-client-urls=")]
    port = int(url.rpartition(":")[2])
    found = ask(port, None, "POST", "/v3/kv/range", {"key": "AA=="})
    revision = found.body["header"]["revision"]
    assert ask(port, None, "POST", "/v3/kv/compaction", {"revision": revision, "physical": True}).code == 200


def test_a_status_that_is_refused_keeps_nobody_from_a_decision(ground):
    """422: the schema asks for what no operator of this release writes."""
    began_s, as_it_was = time.time(), ground.cluster.request("GET", CRD).body
    with changed_schema(ground.cluster):
        replicas = ground.load_grows()
        size = ground.goes_on(replicas, began_s)
        time.sleep(INTERVAL_S)
        refused = writes(ground.cluster, "scalingpolicies/status", users=[ACCOUNT], name="web", since_s=began_s)
        refused = [write for write in refused if write.code == 422]
        assert 1 <= len(refused) <= 3
        assert ground.web.status()["currentReplicas"] < size
    assert as_it_was["spec"] == ground.cluster.request("GET", CRD).body["spec"]
    wait_for(lambda: ground.web.status()["currentReplicas"], lambda seen: seen == ground.web.size(), PATIENCE_S)


@contextmanager
def changed_schema(cluster):
    before = cluster.request("GET", CRD).body["spec"]
    stricter = json.loads(json.dumps(before))
    schema = stricter["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    schema["required"] = ["later"]
    schema["properties"]["later"] = {"type": "string"}
    merge = "application/merge-patch+json"
    assert cluster.request("PATCH", CRD, {"spec": {"versions": stricter["versions"]}}, merge).code == 200
    try:
        time.sleep(2.0)  # it is served a moment later
        yield
    finally:
        assert cluster.request("PATCH", CRD, {"spec": {"versions": before["versions"]}}, merge).code == 200


def test_a_definition_that_is_removed_ends_all_scaling_and_may_come_back(ground):
    """Last: with the definition all policies go."""
    replicas, cluster = ground.load_grows(), ground.cluster
    size = ground.web.grows_to(replicas)
    assert cluster.request("DELETE", CRD).code == 200
    wait_for(lambda: cluster.request("GET", CRD).code, lambda code: code == 404)
    removed_s = time.time()
    for subject in (ground.web, ground.steady):
        subject.needs(LAST)
    time.sleep(SETTLED_S)
    assert writes(cluster, users=[ACCOUNT], since_s=removed_s) == []
    applied = cluster.kubectl("apply", "--filename", str(CRDS))
    assert applied.returncode == 0, applied.stderr
    wait_for(lambda: cluster.request("GET", policies(NAMESPACE)).code, lambda code: code == 200)
    web = Subject(ground.scene, NAMESPACE, "web", ground.web.app, size, {})
    ground.stage.policed(web)
    web.grows_to(LAST, FOUND_OUT_WITHIN_S + PATIENCE_S)
    assert ground.steady.sizes(ACCOUNT) == [3]
