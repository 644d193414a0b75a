"""What each preset asks, of a real Prometheus that scrapes series as the exporters have them.

Counters gain a fixed number a second, of which sums differ, so that an answer tells what was summed.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from controller.promql.presets import LabelValue, Preset, PresetKind, Reporter, Subject, bad_ratio_query, demand_query
from scaling.observation import Value
from tests.controller.prometheus.real import a_prometheus, read

pytestmark = pytest.mark.slow

WINDOW_S = 4.0
"""Of rates: eight scrapes."""

COUNTED_S = 1000.0
"""How long counters had counted when the test began: the rate of one that begins within its window is not exact."""


def a_histogram(name: str, labels: str, bounds: str, requests: Mapping[str, float]) -> Iterator[str]:
    """Requests a second by the bucket that they fall into."""
    total = 0.0
    for bound in [*bounds.split(), "+Inf"]:
        total += requests.get(bound, 0.0)
        yield f'{name}_bucket{{{labels},le="{bound}"}} {total}/s'
    yield f"{name}_sum{{{labels}}} {total}/s"
    yield f"{name}_count{{{labels}}} {total}/s"


def lines(*parts: str | Iterator[str]) -> str:
    return "\n".join(part.strip() if isinstance(part, str) else "\n".join(part) for part in parts)


# ingress-nginx: its own namespace and service give way to those of its pod, unless the scrape honours labels

GO_BOUNDS = "0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10"


def of_nginx(ingress: str, service: str, status: int, requests: Mapping[str, float]) -> str:
    labels = (
        'canary="",controller_class="k8s.io/ingress-nginx",controller_namespace="ingress-nginx",'
        f'controller_pod="ingress-nginx-1",host="shop.example",ingress="{ingress}",method="GET",namespace="shop",'
        f'path="/",service="{service}",status="{status}"'
    )
    histogram = a_histogram("nginx_ingress_controller_request_duration_seconds", labels, GO_BOUNDS, requests)
    return lines(f"nginx_ingress_controller_requests{{{labels}}} {sum(requests.values())}/s", histogram)


NGINX = lines(
    "# TYPE nginx_ingress_controller_requests counter",
    "# TYPE nginx_ingress_controller_request_duration_seconds histogram",
    of_nginx("web", "web", 200, {"0.1": 30, "0.25": 6, "0.5": 4}),
    of_nginx("web", "web", 404, {"0.005": 2}),
    of_nginx("web", "web", 500, {"0.005": 8}),
    of_nginx("web", "other", 200, {"0.05": 16}),
    of_nginx("api", "api", 500, {"0.05": 128}),
)

# Istio: both proxies of a request count it

ENVOY_BOUNDS = (
    "0.5 1 5 10 25 50 100 250 500 1000 2500 5000 10000 30000 60000 300000 600000 1800000 3600000"  # milliseconds
)


def of_istio(reporter: str, status: int, requests: Mapping[str, float], workload: str = "web") -> str:
    labels = (
        f'reporter="{reporter}",source_workload="gateway",source_workload_namespace="istio-system",'
        f'destination_workload="{workload}",destination_workload_namespace="shop",destination_app="web",'
        'destination_service="web.shop.svc.cluster.local",destination_service_name="web",'
        f'destination_service_namespace="shop",request_protocol="http",response_code="{status}",'
        f'response_flags="{"-" if status else "DC"}",connection_security_policy="mutual_tls"'
    )
    histogram = a_histogram("istio_request_duration_milliseconds", labels, ENVOY_BOUNDS, requests)
    return lines(f"istio_requests_total{{{labels}}} {sum(requests.values())}/s", histogram)


ISTIO = lines(
    "# TYPE istio_requests_total counter",
    "# TYPE istio_request_duration_milliseconds histogram",
    of_istio("destination", 200, {"100": 16, "500": 4}),
    of_istio("destination", 0, {"25": 1, "500": 2}),
    of_istio("destination", 503, {"5": 5}),
    of_istio("destination", 200, {"5": 32}, workload="web-v2"),
    of_istio("source", 200, {"5": 64}),
    of_istio("waypoint", 200, {"100": 12}),
    of_istio("waypoint", 503, {"5": 4}),
)

# Envoy: its times do not tell the status


def of_envoy(cluster: str, by_class: Mapping[int, float], requests: Mapping[str, float]) -> str:
    label = f'envoy_cluster_name="{cluster}"'
    classes = (
        f'envoy_cluster_upstream_rq_xx{{envoy_response_code_class="{digit}",{label}}} {count}/s'
        for digit, count in by_class.items()
    )
    total = f"envoy_cluster_upstream_rq_total{{{label}}} {sum(requests.values())}/s"
    return lines(total, classes, a_histogram("envoy_cluster_upstream_rq_time", label, ENVOY_BOUNDS, requests))


ENVOY = lines(
    "# TYPE envoy_cluster_upstream_rq_total counter",
    "# TYPE envoy_cluster_upstream_rq_xx counter",
    "# TYPE envoy_cluster_upstream_rq_time histogram",
    of_envoy("shop/web/80", {2: 20, 4: 1, 5: 4}, {"100": 18, "1000": 7}),
    of_envoy("shop/api/80", {5: 64}, {"1000": 64}),
)

# The target's own metrics: a counter as of client_golang, a histogram of one's own, and one of OpenTelemetry

OTEL_BOUNDS = "0.005 0.01 0.025 0.05 0.075 0.1 0.25 0.5 0.75 1 2.5 5 7.5 10"
OTEL = 'http_request_method="GET",http_route="/",url_scheme="http",http_response_status_code'

HTTP = lines(
    "# TYPE http_requests_total counter",
    'http_requests_total{code="200",handler="/",method="get"} 30/s',
    'http_requests_total{code="500",handler="/",method="get"} 10/s',
    "# TYPE my_request_seconds histogram",
    a_histogram("my_request_seconds", 'code="200"', "0.1 0.3 2", {"0.1": 12, "0.3": 4, "2": 4}),
    a_histogram("my_request_seconds", 'code="500"', "0.1 0.3 2", {"0.1": 5}),
    "# TYPE http_server_request_duration_seconds histogram",
    a_histogram("http_server_request_duration_seconds", f'{OTEL}="200"', OTEL_BOUNDS, {"0.25": 9, "0.5": 3}),
    a_histogram("http_server_request_duration_seconds", f'{OTEL}="500"', OTEL_BOUNDS, {"0.1": 3}),
)

# cAdvisor: a pod's containers, its pause container, and the sum of all; the node

LONG = "w" * 50
HASH_10, HASH_6 = "7d4b9c6f5x", "7d4b9c"


def of_pod(pod: str, app: float, namespace: str = "shop") -> Iterator[str]:
    for container, cores in {"app": app, "sidecar": app / 2, "POD": app / 8, "": app * 1.75}.items():
        yield (
            f'container_cpu_usage_seconds_total{{container="{container}",cpu="total",id="/kubepods/{pod}/{container}",'
            f'image="",name="",namespace="{namespace}",pod="{pod}"}} {cores}/s'
        )


CADVISOR = lines(
    "# TYPE container_cpu_usage_seconds_total counter",
    'container_cpu_usage_seconds_total{container="",cpu="total",id="/",image="",name="",namespace="",pod=""} 16/s',
    of_pod("web-7d4b9c6f5-x2k4z", 0.5),
    of_pod("web-7d4b9c6f5-bbbbb", 1.0),
    of_pod("web-agent-x2k4z", 8.0),
    of_pod("web-api-7d4b9c6f5-x2k4z", 16.0),
    of_pod("web-7d4b9c6f5-x2k4z", 32.0, namespace="eu"),
    of_pod("db-0", 0.25),
    of_pod("db-10", 2.0),
    of_pod(f"{LONG}-{HASH_10}-"[:58] + "x2k4z", 0.125),
    of_pod(f"{LONG}-{HASH_6}-x2k4z", 4.0),
)

# Queues

RABBITMQ = """
# TYPE rabbitmq_detailed_queue_messages_ready gauge
rabbitmq_detailed_queue_messages_ready{vhost="/",queue="orders"} 7
rabbitmq_detailed_queue_messages_ready{vhost="eu",queue="orders"} 9
rabbitmq_detailed_queue_messages_ready{vhost="/",queue="returns"} 100
"""

KAFKA = """
# TYPE kafka_consumergroup_lag gauge
kafka_consumergroup_lag{consumergroup="web",partition="0",topic="orders"} 20
kafka_consumergroup_lag{consumergroup="web",partition="1",topic="orders"} -1
kafka_consumergroup_lag{consumergroup="web",partition="0",topic="returns"} 4
# TYPE kafka_consumergroup_lag_sum gauge
kafka_consumergroup_lag_sum{consumergroup="web",topic="orders"} 20
kafka_consumergroup_lag_sum{consumergroup="web",topic="returns"} 4
kafka_consumergroup_lag_sum{consumergroup="api",topic="orders"} 100
"""


@dataclass(frozen=True)
class Scrape:
    """What is exposed under a path, and how a job takes it up."""

    text: str
    labels: str = ""
    """Of the target, as the Prometheus Operator adds them."""
    honor_labels: bool = False


OF_CONTROLLER = "namespace: ingress-nginx, service: ingress-nginx-metrics"
SCRAPES = {
    "nginx": Scrape(NGINX, OF_CONTROLLER),
    "nginx-honoured": Scrape(NGINX, OF_CONTROLLER, honor_labels=True),
    "istio": Scrape(ISTIO, "namespace: shop"),
    "envoy": Scrape(ENVOY, "namespace: gateway"),
    "http": Scrape(HTTP, "namespace: shop, service: web"),
    "http-of-another": Scrape(HTTP, "namespace: shop, service: api"),
    "cadvisor": Scrape(CADVISOR, "namespace: kube-system, service: kubelet", honor_labels=True),
    "rabbitmq": Scrape(RABBITMQ),
    "kafka": Scrape(KAFKA),
}


class Exposing(BaseHTTPRequestHandler):
    """Answers with the present values, each with the time that it is from."""

    began_s = time.time()

    def do_GET(self) -> None:
        now_ms = round(time.time() * 1000)
        text = "".join(self.line(line, now_ms) for line in SCRAPES[self.path.strip("/")].text.splitlines() if line)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(text.encode())

    def line(self, line: str, now_ms: int) -> str:
        series, _, value = line.rpartition(" ")
        if line.startswith("#"):
            return f"{line}\n"
        if value.endswith("/s"):
            value = repr(float(value.removesuffix("/s")) * (now_ms / 1000 - self.began_s + COUNTED_S))
        return f"{series} {value} {now_ms}\n"

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def port(tmp_path_factory: Any) -> Any:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Exposing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    target = f"127.0.0.1:{server.server_port}"
    jobs = (
        f"  - {{job_name: {name}, metrics_path: /{name}, honor_labels: {str(scrape.honor_labels).lower()}, "
        f'static_configs: [{{targets: ["{target}"], labels: {{{scrape.labels}}}}}]}}'
        for name, scrape in SCRAPES.items()
    )
    ready = f"count(sum_over_time(up[{WINDOW_S:g}s]) == 8) == {len(SCRAPES)}"
    try:
        with a_prometheus(tmp_path_factory.mktemp("presets"), lines("scrape_configs:", jobs), ready) as running:
            yield running
    finally:
        server.shutdown()
        server.server_close()


def soon(port: int, query: str | None, number: float) -> bool:
    """Whether a query answers this; not at once where the machine was too busy for some scrape."""
    assert query is not None
    for _ in range(600):
        reading = read(port, query)
        if isinstance(reading, Value) and reading.value == pytest.approx(number, rel=0.01, abs=0.001):
            return True
        time.sleep(0.2)
    raise AssertionError(f"{reading} instead of {number}: {query}")


def a_subject(kind: str = "Deployment", name: str = "web") -> Subject:
    return Subject("shop", "apps", kind, name)


def a_preset(kind: str, **wishes: Any) -> Preset:
    rated = kind not in ("RabbitMQ", "Kafka")
    return Preset(kind=PresetKind(kind), window_s=WINDOW_S if rated else None, **wishes)


@pytest.mark.parametrize(
    ("kind", "wishes", "demand"),
    [
        ("Istio", {"reporter": Reporter.WAYPOINT}, 16),
        ("NginxIngress", {}, 66),
        ("NginxIngress", {"service": "web"}, 50),
        ("NginxIngress", {"honor_labels": True, "service": "other"}, 16),
        ("Istio", {}, 28),
        ("Istio", {"service": "web"}, 28 + 32),
        ("Envoy", {"cluster": "shop/web/80"}, 25),
        ("HttpMetrics", {}, 40),
        ("HttpMetrics", {"labels": (LabelValue("job", "http"), LabelValue("code", "500"))}, 10),
        ("HttpMetrics", {"metric": "my_request_seconds_count"}, 25),
        ("HttpMetrics", {"metric": "http_server_request_duration_seconds_count"}, 15),
        ("CpuUsage", {}, 1.5 * 1.5),
        ("CpuUsage", {"container": "app"}, 1.5),
        ("CpuUsage", {"container_label": False}, 1.5 * 1.75),
        ("RabbitMQ", {"queue_name": "orders"}, 16),
        ("RabbitMQ", {"queue_name": "orders", "vhost_name": "/"}, 7),
        ("Kafka", {"consumer_group": "web"}, 24),
        ("Kafka", {"consumer_group": "web", "topic": "orders"}, 20),
    ],
)
def test_the_demand_of_a_preset_is_what_its_series_were_made_to_have(port, kind, wishes, demand):
    assert soon(port, demand_query(a_preset(kind, **wishes), a_subject()), demand)


@pytest.mark.parametrize(("kind", "name", "cores"), [("StatefulSet", "db", 2.25), ("Deployment", LONG, 4.125)])
def test_pods_of_every_kind_and_of_long_names_are_found(port, kind, name, cores):
    assert soon(port, demand_query(a_preset("CpuUsage", container="app"), a_subject(kind, name)), cores)


@pytest.mark.parametrize(
    ("kind", "wishes", "objective_s", "bad"),
    [
        ("NginxIngress", {}, 0.25, 12 / 66),
        ("NginxIngress", {"service": "web"}, 0.25, 12 / 50),
        ("NginxIngress", {"honor_labels": True}, 1.0, 8 / 66),
        ("NginxIngress", {}, 30.0, 8 / 66),
        ("NginxIngress", {"service": "other"}, 0.25, 0.0),
        ("Istio", {}, 0.25, 11 / 28),
        ("Istio", {}, 0.5, 5 / 28),
        ("Envoy", {"cluster": "shop/web/80"}, 0.25, 4 / 25 + 7 / 25),
        ("Envoy", {"cluster": "shop/web/80"}, 1.0, 4 / 25),
        ("HttpMetrics", {}, 0.25, 10 / 40),
        ("HttpMetrics", {"metric": "my_request_seconds_count"}, 0.3, 9 / 25),
        ("HttpMetrics", {"metric": "my_request_seconds_count"}, 2.0, 5 / 25),
        ("HttpMetrics", {"metric": "http_server_request_duration_seconds_count"}, 0.3, 6 / 15),
        ("HttpMetrics", {"metric": "http_server_request_duration_seconds_count"}, 60.0, 3 / 15),
    ],
)
def test_the_share_of_bad_requests_of_a_preset_is_what_its_series_were_made_to_have(
    port, kind, wishes, objective_s, bad
):
    assert soon(port, bad_ratio_query(a_preset(kind, **wishes), a_subject(), objective_s), bad)


def test_a_histogram_without_a_bucket_at_the_objective_leaves_the_share_unknown(port):
    query = bad_ratio_query(a_preset("HttpMetrics", metric="my_request_seconds_count"), a_subject(), 0.25)
    assert query is not None
    assert not isinstance(read(port, query), Value)
