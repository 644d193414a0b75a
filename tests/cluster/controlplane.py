"""A control plane on the loopback for tests: etcd and kube-apiserver, with RBAC, certificates and an audit log.

`control_plane(folder)` starts both, waits until they serve, and stops them in reverse order. Everything it writes lies
in the folder. Ports are free ones and the authority is the cluster's own, so two clusters at once do not meet. What
makes pods of Deployments is in companions.py.

Source: https://github.com/kubernetes/kubernetes/tree/v1.37.2/cmd/kube-apiserver/app/options
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from http import HTTPStatus
from pathlib import Path
from ssl import SSLContext
from typing import Any

from tests.cluster.build_controlplane import path_of
from tests.cluster.certificates import Certificates
from tests.cluster.daemon import Daemon, free_ports, running
from tests.cluster.loopback import TIMEOUT_S, Answer, as_administrator, ask, is_healthy

NAMESPACES = "/api/v1/namespaces"
GONE_WITHIN_S = 60.0

AUDIT_POLICY = {  # of a write to a scale also what it asked for; of the rest who and when
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Request", "verbs": ["update", "patch"], "resources": [{"group": "apps", "resources": ["*/scale"]}]},
        {"level": "Metadata"},
    ],
}


@dataclass
class Cluster:
    """A running control plane: its processes, and ways to talk to it as its administrator."""

    folder: Path
    port: int
    certificates: Certificates
    kubeconfig: Path
    etcd: Daemon
    api_server: Daemon

    @property
    def address(self) -> str:
        """The API server's URL."""
        return f"https://127.0.0.1:{self.port}"

    def kubectl(self, *arguments: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run kubectl without the settings and caches of whoever runs the tests; whether it failed is the caller's."""
        command = [path_of("kubectl"), f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.folder / 'kubectl'}"]
        return subprocess.run(
            [*command, *arguments],
            input=stdin,
            env=os.environ | {"KUBERC": "off"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def request(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Answer:
        """One request to the API server."""
        return ask(self.port, self.tls, method, path, body, kind)

    def make(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Create an object; one that an earlier try of the same test has left is removed first. A namespace stays."""
        answer = self.request("POST", path, body)
        if answer.code != HTTPStatus.CONFLICT:
            return answer
        own = f"{path}/{body['metadata']['name']}"
        if path == NAMESPACES:
            return self.request("GET", own)
        self.request("DELETE", own)
        give_up_s = time.monotonic() + GONE_WITHIN_S
        while self.request("GET", own).code != HTTPStatus.NOT_FOUND and time.monotonic() < give_up_s:
            time.sleep(0.1)
        return self.request("POST", path, body)

    @cached_property
    def tls(self) -> SSLContext:
        """The administrator's side of a connection."""
        return as_administrator(self.certificates)

    def audited(self) -> list[dict[str, Any]]:
        """What the API server has answered so far, by its audit log; of whom it did not let in the name is empty."""
        whole, _, _half_written = (self.folder / "audit.log").read_text().rpartition("\n")
        events = [json.loads(line) for line in whole.splitlines()]
        for event in events:
            event["user"].setdefault("username", "")
        return events


@contextmanager
def control_plane(folder: Path, options: Sequence[str] = ()) -> Iterator[Cluster]:
    """A cluster with its data in an empty folder; options go to kube-apiserver."""
    etcd_port, peer_port, port = free_ports(3)
    certificates = Certificates(folder / "certificates")
    etcd = _etcd(folder, etcd_port, peer_port)
    command = [*_api_server(folder, etcd_port, port), *_identity(certificates), *options]
    is_ready = partial(is_healthy, port, as_administrator(certificates), "/readyz")
    api_server = Daemon("kube-apiserver", command, folder / "kube-apiserver.log", is_ready)
    kubeconfig = certificates.kubeconfig(f"https://127.0.0.1:{port}")
    with ExitStack() as stack:
        stack.enter_context(running(etcd))
        stack.enter_context(running(api_server))
        yield Cluster(folder, port, certificates, kubeconfig, etcd, api_server)


def _etcd(folder: Path, port: int, peer_port: int) -> Daemon:
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    command = [
        path_of("etcd"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",  # a test's data need not survive the machine
        "--log-level=warn",
    ]
    return Daemon("etcd", command, folder / "etcd.log", partial(is_healthy, port, None, "/health"))


def _api_server(folder: Path, etcd_port: int, port: int) -> list[str]:
    policy = folder / "audit-policy.json"
    policy.write_text(json.dumps(AUDIT_POLICY))
    return [
        path_of("kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",  # a loopback address is no endpoint of a service
        f"--secure-port={port}",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--authorization-mode=RBAC",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={folder / 'audit.log'}",
    ]


def _identity(certificates: Certificates) -> list[str]:
    server, accounts = certificates.server(), certificates.service_accounts()
    return [
        f"--tls-cert-file={server.certificate}",
        f"--tls-private-key-file={server.key}",
        f"--client-ca-file={certificates.authority.certificate}",
        f"--service-account-key-file={accounts}",
        f"--service-account-signing-key-file={accounts}",
        "--service-account-issuer=https://kubernetes.default.svc",
    ]
