"""One request to a program on this machine, past every proxy and library that would retry or cache."""

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any

from tests.cluster.certificates import ADMIN, Certificates

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Answer:
    """Status code and body; an object in JSON is read, whatever the server calls it."""

    code: int
    body: Any


def ask(
    port: int,
    tls: ssl.SSLContext | None,
    method: str,
    path: str,
    body: object = None,
    kind: str = "application/json",
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """One request over a connection of its own; OSError where nobody answers in time."""
    connection = _connection(port, tls, timeout_s)
    sent = None if body is None else json.dumps(body)
    try:
        connection.request(method, path, sent, {"Content-Type": kind, "Accept": "application/json"})
        response = connection.getresponse()
        text = response.read().decode()
        return Answer(response.status, json.loads(text) if text.startswith("{") else text)
    finally:
        connection.close()


def is_healthy(port: int, tls: ssl.SSLContext | None, path: str) -> bool:
    """Whether a program says so itself; one that does not answer yet is not."""
    try:
        return ask(port, tls, "GET", path, timeout_s=5.0).code == 200
    except (OSError, http.client.HTTPException):
        return False


def as_administrator(certificates: Certificates) -> ssl.SSLContext:
    """TLS as a cluster's administrator."""
    return as_user(certificates, ADMIN)


def as_user(certificates: Certificates, subject: str) -> ssl.SSLContext:
    """TLS as a user of a cluster, who trusts this cluster's authority alone."""
    tls = ssl.create_default_context(cafile=str(certificates.authority.certificate))
    pair = certificates.client(subject)
    tls.load_cert_chain(pair.certificate, pair.key)
    return tls


def serving_tls(certificates: Certificates) -> ssl.SSLContext:
    """TLS of a server on the loopback that a cluster's clients trust."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    pair = certificates.server()
    tls.load_cert_chain(pair.certificate, pair.key)
    return tls


def trusting_anyone() -> ssl.SSLContext:
    """TLS to a program that made its certificate itself."""
    tls = ssl.create_default_context()
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    return tls


def _connection(port: int, tls: ssl.SSLContext | None, timeout_s: float) -> http.client.HTTPConnection:
    if tls is None:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout_s, context=tls)
