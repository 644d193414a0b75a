"""What the fault tests stand on: workloads with policies that decide every five seconds, and operators to watch.

A `Stage` is a scene, and what was put on it. A fault that takes minutes to show is a story: begun early in a thread of
its own, with a namespace and an operator of its own, and told to the test that asks for it.
"""

import json
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from scaling.hpa_settings import TOLERANCE
from tests.cluster.audit import Write, sizes, writes
from tests.cluster.controlplane import Cluster
from tests.cluster.daemon import Daemon, running
from tests.cluster.door import Door, door
from tests.cluster.loopback import Answer, as_user, ask, serving_tls
from tests.cluster.scene import Scene, Wishes, a_deployment, operator, scene, wait_for

TARGET_RPS = 70.0
INTERVAL_S = 5.0
"""Between decisions: the shortest that a policy may ask for."""

SETTLED_S = INTERVAL_S + 4.0 + 8.0
"""What has not happened after this does not happen: an interval, Prometheus' deadline, and some for a busy machine."""

PATIENCE_S = 180.0
"""How long a state is waited for that comes within an interval or two: no test fails because a machine is busy."""

APPS = 64
GROUP = "operators"
MERGE = "application/merge-patch+json"
SYSTEM = "forescale-system"
MOST_STORIES = 7

Story = Callable[["Stage"], Any]


def about(replicas: int) -> range:
    """Sizes that may answer the load for so many, see `Subject.needs`.

    A load that still rose may have left a size within the HPA's tolerance. A scrape that a busy machine holds up for
    half a second reads a tenth more, as the rate is over five.
    """
    needed = replicas - 0.5
    return range(math.ceil(needed / (1 + TOLERANCE)), math.ceil(needed * (1 + TOLERANCE)) + 1)


@dataclass(frozen=True)
class Subject:
    """A Deployment and the ScalingPolicy of its name."""

    scene: Scene
    namespace: str
    name: str
    app: str
    """Whose load it serves."""
    initial: int
    spec: dict[str, Any]

    @property
    def deployment(self) -> str:
        """Its path."""
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{self.name}"

    @property
    def policy(self) -> str:
        """Its policy's path."""
        return f"{policies(self.namespace)}/{self.name}"

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        """One request as the administrator; a PATCH is a merge."""
        return self.scene.cluster.request(method, path, body, MERGE if method == "PATCH" else "application/json")

    def needs(self, replicas: int) -> None:
        """Let the application have load for so many replicas: half a replica less, so that no noise asks for more."""
        self.scene.load.set([self.app], (replicas - 0.5) * TARGET_RPS)

    def size(self) -> int:
        """Replicas that are asked for."""
        return int(self.ask("GET", self.deployment).body["spec"]["replicas"])

    def grows_to(self, replicas: int, within_s: float = PATIENCE_S, most: int | None = None) -> int:
        """Wait until about so many are asked for.

        `most`: of a policy that adds headroom to a load that has risen.
        """
        expected = about(replicas)
        allowed = range(expected.start, most + 1) if most else expected
        return int(wait_for(self.size, lambda seen: seen in allowed, within_s))

    def status(self) -> dict[str, Any]:
        """Of the policy, as people read it."""
        return dict(self.ask("GET", self.policy).body.get("status") or {})

    def condition(self, type_: str) -> tuple[str, str, str]:
        """Status, reason and message; empty before there is one."""
        for each in self.status().get("conditions", ()):
            if each["type"] == type_:
                return each["status"], each["reason"], each["message"]
        return "", "", ""

    def says(self, type_: str, status: str, reason: str, within_s: float = PATIENCE_S) -> str:
        """Wait until a condition says so; its message."""
        seen = wait_for(lambda: self.condition(type_), lambda seen: seen[:2] == (status, reason), within_s)
        return str(seen[2])

    def events(self) -> list[str]:
        """Reasons of the events about the policy."""
        listed = self.ask("GET", f"/api/v1/namespaces/{self.namespace}/events").body["items"]
        of_policies = [each for each in listed if each["involvedObject"].get("kind") == "ScalingPolicy"]
        return [each["reason"] for each in of_policies if each["involvedObject"]["name"] == self.name]

    def written(self, *users: str, since_s: float = 0.0) -> list[Write]:
        """Writes to its scale, by the audit log."""
        where = {"namespace": self.namespace, "name": self.name}
        return writes(self.scene.cluster, users=users, since_s=since_s, **where)

    def sizes(self, *users: str) -> list[int]:
        """What these users made of it, by the audit log."""
        return sizes(self.initial, self.written(*users))


@dataclass
class Stage:
    """A scene, and who is on it."""

    scene: Scene
    subjects: list[Subject] = field(default_factory=list)
    users: set[str] = field(default_factory=set)
    """Those of our operators."""
    _apps: Iterator[int] = field(default_factory=count)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(MOST_STORIES))
    _making: threading.Lock = field(default_factory=threading.Lock)  # certificates are numbered in a file
    _stories: "dict[Story, Future[Any]]" = field(default_factory=dict)

    def namespace(self, name: str) -> str:
        """Make a namespace."""
        self.scene.make("/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def subject(
        self, namespace: str, name: str, replicas: int, *, startup_s: float = 0.0, app: str = "", **spec: Any
    ) -> Subject:
        """A Deployment with a policy, which at first has load for just its size."""
        if any((each.namespace, each.name) == (namespace, name) for each in self.subjects):
            name = f"{name}-{len(self.subjects)}"  # the test is run again, and counts what is written
        own = Subject(self.scene, namespace, name, app or f"web-{next(self._apps)}", replicas, {})
        if not app:
            own.needs(replicas)
        self.scene.make(f"/apis/apps/v1/namespaces/{namespace}/deployments", a_deployment(name, replicas, startup_s))
        return self.policed(own, **spec)

    def policed(self, subject: Subject, **spec: Any) -> Subject:
        """The same with a policy, which may differ from the usual one."""
        wishes = {**a_spec(subject.name, self.scene.demand(subject.app)), **spec}
        own = Subject(subject.scene, subject.namespace, subject.name, subject.app, subject.initial, wishes)
        self.scene.make(policies(subject.namespace), a_policy(subject.name, wishes))
        self.subjects.append(own)
        return own

    @contextmanager
    def operator(self, name: str, *options: str, group: str = GROUP) -> Iterator[Daemon]:
        """A running operator with all rights, but for those of an administrator, whom the API server lets pass."""
        daemon = self.an_operator(name, *options, group=group)
        with running(daemon):
            yield daemon

    def an_operator(self, name: str, *options: str, group: str = GROUP) -> Daemon:
        """The same, not started."""
        self.users.add(name)
        with self._making:
            return self._made(name, options, group)

    def _made(self, name: str, options: Sequence[str], group: str) -> Daemon:
        keys = self.scene.cluster.certificates
        # made first: a certificate is made once for each name, and the scene would make an administrator's
        kubeconfig = keys.kubeconfig(self.scene.cluster.address, f"/O={group}/CN={name}")
        return operator(self.scene, f"--kubeconfig={kubeconfig}", *options, name=name)

    @contextmanager
    def door(self, name: str) -> Iterator[tuple[Door, str]]:
        """A door to the API server for the operator of that name, and the option that sends it there."""
        cluster, subject = self.scene.cluster, f"/O={GROUP}/CN={name}"
        with self._making:
            kubeconfig = cluster.certificates.kubeconfig(cluster.address, subject)
            asking = as_user(cluster.certificates, subject)
        with door(cluster.port, serving_tls(cluster.certificates), asking) as own:
            content = kubeconfig.read_text().replace(cluster.address, own.url)
            other = kubeconfig.with_suffix(".door")
            other.write_text(content)
            yield own, f"--kubeconfig={other}"

    def begin(self, story: Story) -> None:
        """Begin a story, once."""
        if story not in self._stories:
            self._stories[story] = self._pool.submit(story, self)

    def told(self, story: Story) -> Any:
        """What a story came to, as soon as it is over."""
        self.begin(story)
        return self._stories[story].result()

    def settle(self) -> None:
        """Wait for all stories that have begun, whatever they come to."""
        wait(self._stories.values())

    def check(self) -> None:
        """What must hold whatever happens: every write to a scale is fenced, and within the policy's bounds."""
        bounds = {(each.namespace, each.name): each.spec for each in self.subjects}
        for write in writes(self.scene.cluster, users=self.users):
            spec = bounds[write.namespace, write.name]
            assert write.verb == "patch", write
            if write.replicas is None and not write.done:
                continue  # refused before anybody read what it asks for
            assert write.fence, write
            assert write.replicas is not None, write
            assert spec["minReplicas"] <= write.replicas <= spec["maxReplicas"], write

    def close(self) -> None:
        """Wait for the stories that nobody asked for."""
        self._pool.shutdown(cancel_futures=True)


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """A scene with many applications, and a group that may do everything but is not the administrators'."""
    with scene(folder, Wishes(apps=APPS)) as own:
        put_on = Stage(own)
        put_on.namespace(SYSTEM)
        own.make(f"{RBAC}/clusterrolebindings", a_binding("operators", [("Group", GROUP)], "cluster-admin"))
        try:
            yield put_on
        finally:
            put_on.close()


RBAC = "/apis/rbac.authorization.k8s.io/v1"


def a_binding(name: str, subjects: list[tuple[str, str]], role: str, kind: str = "ClusterRole") -> dict[str, Any]:
    """Gives a role to users or groups; a service account is a user of a long name."""
    group = "rbac.authorization.k8s.io"
    given = [{"kind": kind_of, "apiGroup": group, "name": subject} for kind_of, subject in subjects]
    return {"metadata": {"name": name}, "subjects": given, "roleRef": {"apiGroup": group, "kind": kind, "name": role}}


@contextmanager
def made(cluster: Cluster, place: str, name: str, body: dict[str, Any]) -> Iterator[None]:
    """An object of the cluster, for a while."""
    answer = cluster.request("POST", place, {"metadata": {"name": name}, **body})
    assert answer.code == 201, answer.body
    try:
        yield
    finally:
        assert cluster.request("DELETE", f"{place}/{name}").code == 200


def policies(namespace: str) -> str:
    """Where the ScalingPolicies of a namespace are."""
    return f"/apis/forescale.dev/v1alpha1/namespaces/{namespace}/scalingpolicies"


def a_policy(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A ScalingPolicy."""
    return {
        "apiVersion": "forescale.dev/v1alpha1",
        "kind": "ScalingPolicy",
        "metadata": {"name": name},
        "spec": spec,
    }


def a_spec(name: str, query: str) -> dict[str, Any]:
    """One that answers load with the size that the HPA's formula gives, as soon as it may."""
    return {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": 1,
        "maxReplicas": 100,
        "intervalSeconds": int(INTERVAL_S),
        "demand": {"query": query, "targetPerReplica": str(TARGET_RPS)},
        "policyRef": {"name": "hpa"},
        "startupSeconds": "0",
        "guardrails": {"staleAfterSeconds": 10, "fallback": {"after": "10s"}},
    }


def page_of(operator: Daemon, path: str) -> Answer:
    """One of an operator's pages; within a minute, or OSError."""
    port = next(int(word.removeprefix("--port=")) for word in operator.command if word.startswith("--port="))
    return ask(port, None, "GET", path, timeout_s=60.0)


def measured(operator: Daemon, series: str) -> float:
    """The sum of an operator's samples whose line begins so."""
    lines = page_of(operator, "/metrics").body.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(series))


def with_token(kubeconfig: Path, token: Path, into: Path) -> Path:
    """A kubeconfig of somebody who has nothing but a token in a file."""
    content = json.loads(kubeconfig.read_text())
    content["users"] = [{"name": "test", "user": {"tokenFile": str(token)}}]
    into.write_text(json.dumps(content))
    return into
