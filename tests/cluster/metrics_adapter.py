"""External metrics for the real HPA controller: an aggregated API whose every GET is one query to a Prometheus.

A process of its own behind an APIService of the cluster: `external.metrics.k8s.io`, each of its metrics a PromQL
template in which `$matchers` stands for the namespace and the labels that the HPA selects.

Source: https://github.com/kubernetes/metrics/blob/v0.37.2/pkg/apis/external_metrics/v1beta1/types.go
"""

import argparse
import logging
import re
import ssl
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import aiohttp
from aiohttp import web

from tests.cluster.controlplane import Cluster
from tests.cluster.daemon import Daemon, free_ports, running
from tests.cluster.loopback import is_healthy, trusting_anyone

GROUP = "external.metrics.k8s.io"
PLACE = f"/apis/{GROUP}/v1beta1"
APISERVICE = f"/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.{GROUP}"
AVAILABLE_WITHIN_S = 30.0
DEADLINE_S = 5.0
EQUALS = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)==?([A-Za-z0-9._-]*)")
"""A label of a selector; HPAs of tests use no others."""


class Adapter:
    """Answers the API's three paths."""

    def __init__(self, prometheus: str, templates: Mapping[str, str]) -> None:
        self._url, self._templates = f"{prometheus}/api/v1/query", templates
        self._session: aiohttp.ClientSession | None = None

    def application(self) -> web.Application:
        """The routes, and a connection to Prometheus as long as they are served."""
        application = web.Application()
        application.router.add_get(PLACE, self.resources)
        application.router.add_get(PLACE + "/namespaces/{namespace}/{metric}", self.values)
        application.cleanup_ctx.append(self._connected)
        return application

    async def resources(self, request: web.Request) -> web.Response:
        """Discovery, which is also how the API server finds out that we are there."""
        kind = {"kind": "ExternalMetricValueList", "namespaced": True, "singularName": "", "verbs": ["get"]}
        resources = [{"name": name, **kind} for name in self._templates]
        return web.json_response(
            {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/v1beta1", "resources": resources}
        )

    async def values(self, request: web.Request) -> web.Response:
        """A metric's values; none where Prometheus answers nothing, and an error where it does not answer."""
        name = request.match_info["metric"]
        if name not in self._templates:
            return _failed(404, f"no metric {name}")
        try:
            matchers = _matchers(request.match_info["namespace"], request.query.get("labelSelector", ""))
            numbers = await self._ask(self._templates[name].replace("$matchers", matchers))
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
            return _failed(503, f"{type(error).__name__}: {error}")
        return web.json_response(_value_list(name, numbers))

    async def _ask(self, query: str) -> list[float]:
        assert self._session is not None
        async with self._session.post(self._url, data={"query": query}) as response:
            response.raise_for_status()
            body = await response.json()
        return [float(series["value"][1]) for series in body["data"]["result"]]

    async def _connected(self, application: web.Application) -> Any:
        timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as self._session:
            yield


def _matchers(namespace: str, selector: str) -> str:
    labels = {"namespace": namespace}
    for part in filter(None, selector.split(",")):
        found = EQUALS.fullmatch(part)
        if found is None:
            raise ValueError(f"cannot select by {part!r}")
        labels[found[1]] = found[2]
    return ",".join(f'{name}="{value}"' for name, value in labels.items())


def _value_list(name: str, numbers: list[float]) -> dict[str, Any]:
    """A quantity has no decimal point here: it counts thousandths."""
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    items = [
        {"metricName": name, "metricLabels": {}, "timestamp": moment, "value": f"{round(number * 1000)}m"}
        for number in numbers
    ]
    return {"kind": "ExternalMetricValueList", "apiVersion": f"{GROUP}/v1beta1", "metadata": {}, "items": items}


def _failed(code: int, message: str) -> web.Response:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return web.json_response(status, status=code)


def main() -> int:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True, help="on the loopback")
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--prometheus", required=True, metavar="URL")
    parser.add_argument("--metric", action="append", default=[], metavar="NAME=PROMQL", help="repeatable")
    wishes = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(wishes.certificate, wishes.key)
    adapter = Adapter(wishes.prometheus, dict(metric.split("=", 1) for metric in wishes.metric))
    web.run_app(adapter.application(), host="127.0.0.1", port=wishes.port, ssl_context=tls, print=None, access_log=None)
    return 0


# The other side: what starts it and makes it known


@contextmanager
def metrics_adapter(cluster: Cluster, prometheus: str, templates: Mapping[str, str]) -> Iterator[Daemon]:
    """An adapter that the cluster's HPAs can read these metrics from; `prometheus` is a URL."""
    (port,) = free_ports(1)
    pair = cluster.certificates.server()
    options = {"port": port, "certificate": pair.certificate, "key": pair.key, "prometheus": prometheus}
    command = [sys.executable, "-m", "tests.cluster.metrics_adapter", *(f"--{k}={v}" for k, v in options.items())]
    command += [f"--metric={name}={template}" for name, template in templates.items()]
    is_ready = partial(is_healthy, port, trusting_anyone(), PLACE)
    with running(Daemon("metrics-adapter", command, cluster.folder / "metrics-adapter.log", is_ready)) as daemon:
        _register(cluster, port)
        yield daemon


def _register(cluster: Cluster, port: int) -> None:
    """An aggregated API on the loopback needs a Service by that name; the API server trusts whom it finds there."""
    metadata = {"name": "metrics-adapter", "namespace": "kube-system"}
    ports = [{"port": port}]
    service = {"type": "ExternalName", "externalName": "localhost", "ports": ports}
    _made(cluster, "/api/v1/namespaces/kube-system/services", {"metadata": metadata, "spec": service})
    spec = {
        "group": GROUP,
        "version": "v1beta1",
        "service": {**metadata, "port": port},
        "insecureSkipTLSVerify": True,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    _made(cluster, APISERVICE.rpartition("/")[0], {"metadata": {"name": f"v1beta1.{GROUP}"}, "spec": spec})
    give_up_s = time.monotonic() + AVAILABLE_WITHIN_S
    while "True" not in (seen := _availability(cluster)):
        if time.monotonic() > give_up_s:
            raise TimeoutError(f"{GROUP} is not available after {AVAILABLE_WITHIN_S:.0f} s: {seen}")
        time.sleep(0.1)


def _availability(cluster: Cluster) -> str:
    conditions = cluster.request("GET", APISERVICE).body.get("status", {}).get("conditions", [])
    return "; ".join(f"{one['status']} {one['message']}" for one in conditions if one["type"] == "Available")


def _made(cluster: Cluster, path: str, body: object) -> None:
    answer = cluster.request("POST", path, body)
    if answer.code != 201:
        raise RuntimeError(f"{path}: {answer.body}")


if __name__ == "__main__":
    sys.exit(main())
