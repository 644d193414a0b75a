"""Serves a registry of Prometheus metrics on a port for as long as a command runs."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from scaling.errors import InputError


@contextmanager
def metrics_page(port: int | None, host: str, registry: CollectorRegistry | None = None) -> Iterator[CollectorRegistry]:
    """Serve a registry, a new one by default, and yield it; nothing is served without a port.

    Raises InputError if the port cannot be listened on.
    """
    served = CollectorRegistry() if registry is None else registry
    if port is None:
        yield served
        return
    try:
        server, thread = start_http_server(port, host, served)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "no such address"
        raise InputError(f"--metrics-port: {host}:{port} cannot be listened on ({why})") from error
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
