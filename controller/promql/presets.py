"""Queries written for whoever names where load is measured: for demand, and for the share of bad requests where it is.

Owns which metrics and labels an exporter has, and which parameters go with it. What a policy asks with them is shown in
its status; nothing that asks the queries knows of presets. Names that a user gave become quoted values of matchers.
A query that finds no series answers nothing, which is not known rather than zero: none ends in `or vector(0)`.

A bad share is 1 - good / all and not bad / all: a workload without a single error has no series of errors at all. Good
is said by its status codes, so that without such a label no share is known; to `!~"5.."` all would be good.

Sources:
https://github.com/kubernetes/ingress-nginx/blob/038b023dd00c470e79460dc7ad16d2577f5edb74/internal/ingress/metric/collectors/socket.go
https://github.com/istio/istio.io/blob/0d3a9e890c553efbbcd9b6d4f9ebb594bd23c81d/content/en/docs/reference/config/metrics/index.md
https://github.com/envoyproxy/envoy/blob/02aefdc5a51ed38bfe670e522ff98bd94179804e/docs/root/configuration/upstream/cluster_manager/cluster_stats.rst
https://github.com/open-telemetry/semantic-conventions/blob/004d76c76de13ef46592731a7b595cfba1c99290/docs/http/http-metrics.md
https://github.com/google/cadvisor/blob/0210b111852215963d362f66654e9418abd3025e/docs/storage/prometheus.md
https://github.com/rabbitmq/rabbitmq-server/blob/018b04a1ea98452347ffc0215f861ac13ed847d5/deps/rabbitmq_prometheus/metrics-detailed.md
https://github.com/danielqsj/kafka_exporter/blob/04beadb5f62a307aaa0cdb27cbdd0bee53b31533/kafka_exporter.go
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from controller.promql.matchers import literal
from controller.promql.pod_names import ending_of_pods
from controller.promql.syntax import quoted
from scaling.errors import InputError

WINDOW_S = 60.0
"""What a rate is taken over by default: 4 scrapes of 15 s, so that a lost one or two leave a rate."""


class Reporter(StrEnum):
    """Which of Istio's proxies counts a request, as its metrics spell it."""

    DESTINATION = "destination"
    WAYPOINT = "waypoint"


class PresetKind(StrEnum):
    """Where load is measured."""

    NGINX_INGRESS = "NginxIngress"
    ISTIO = "Istio"
    ENVOY = "Envoy"
    HTTP_METRICS = "HttpMetrics"
    CPU_USAGE = "CpuUsage"
    RABBITMQ = "RabbitMQ"
    KAFKA = "Kafka"


@dataclass(frozen=True)
class Parameter:
    """A field of a preset: how the resource spells it, which kinds take it, and whether they need it."""

    spelled: str
    kinds: tuple[PresetKind, ...]
    required: bool = False


SET_BY = {"reporter": "reporter", "container": "containerLabel"}
"""Labels that a field sets, and that are wanted otherwise now and then."""

QUEUES = (PresetKind.RABBITMQ, PresetKind.KAFKA)
PARAMETERS = {
    "window_s": Parameter("window", tuple(kind for kind in PresetKind if kind not in QUEUES)),
    "ingress": Parameter("ingress", (PresetKind.NGINX_INGRESS,)),
    "honor_labels": Parameter("honorLabels", (PresetKind.NGINX_INGRESS,)),
    "reporter": Parameter("reporter", (PresetKind.ISTIO,)),
    "workload": Parameter("workload", (PresetKind.ISTIO,)),
    "service": Parameter("service", (PresetKind.NGINX_INGRESS, PresetKind.ISTIO)),
    "cluster": Parameter("cluster", (PresetKind.ENVOY,), required=True),
    "metric": Parameter("metric", (PresetKind.HTTP_METRICS, PresetKind.RABBITMQ)),
    "status_label": Parameter("statusLabel", (PresetKind.HTTP_METRICS,)),
    "container": Parameter("container", (PresetKind.CPU_USAGE,)),
    "container_label": Parameter("containerLabel", (PresetKind.CPU_USAGE,)),
    "queue_name": Parameter("queueName", (PresetKind.RABBITMQ,), required=True),
    "vhost_name": Parameter("vhostName", (PresetKind.RABBITMQ,)),
    "consumer_group": Parameter("consumerGroup", (PresetKind.KAFKA,), required=True),
    "topic": Parameter("topic", (PresetKind.KAFKA,)),
}
"""By the name of the dataclass's field; `labels` go with every kind."""


@dataclass(frozen=True)
class LabelValue:
    """A label that series must have, with this value."""

    name: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Where the load of a target is measured, and under which names; None is the kind's own default."""

    kind: PresetKind
    labels: tuple[LabelValue, ...] = ()
    """More matchers for every series; of HttpMetrics in place of those of its own."""
    window_s: float | None = None
    ingress: str | None = None
    honor_labels: bool | None = None
    reporter: Reporter | None = None
    workload: str | None = None
    service: str | None = None
    cluster: str | None = None
    metric: str | None = None
    status_label: str | None = None
    container: str | None = None
    container_label: bool | None = None
    queue_name: str | None = None
    vhost_name: str | None = None
    consumer_group: str | None = None
    topic: str | None = None

    def __post_init__(self) -> None:
        for name, parameter in PARAMETERS.items():
            path, given = f"spec.demand.preset.{parameter.spelled}", getattr(self, name) is not None
            if given and self.kind not in parameter.kinds:
                raise InputError(f"{path}: goes with kind {' or '.join(parameter.kinds)}, not {self.kind}")
            if parameter.required and not given and self.kind in parameter.kinds:
                raise InputError(f"{path} is required for kind {self.kind}, but missing")
        if self.container is not None and self.container_label is False:
            raise InputError("spec.demand.preset.container: series without containerLabel do not name containers")
        names = [label.name for label in self.labels]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"spec.demand.preset.labels: {name} is given {names.count(name)} times")


@dataclass(frozen=True)
class Subject:
    """Whose load it is."""

    namespace: str
    api_group: str
    kind: str
    name: str


def demand_query(preset: Preset, subject: Subject) -> str:
    """The PromQL for the whole load on a target: requests a second, cores, or messages that wait.

    Raises InputError for a target whose series are not known, and for labels that the preset has matchers of.
    """
    match preset.kind:
        case PresetKind.NGINX_INGRESS:
            return _rate(preset, "nginx_ingress_controller_requests", _of_ingress(preset, subject))
        case PresetKind.ISTIO:
            return _rate(preset, "istio_requests_total", _of_mesh(preset, subject))
        case PresetKind.ENVOY:
            return _rate(preset, "envoy_cluster_upstream_rq_total", _of_cluster(preset))
        case PresetKind.HTTP_METRICS:
            return _rate(preset, preset.metric or HTTP_REQUESTS, _of_service(preset, subject))
        case PresetKind.CPU_USAGE:
            return _rate(preset, "container_cpu_usage_seconds_total", _of_containers(preset, subject))
        case PresetKind.RABBITMQ:
            return f"sum({_series(preset, preset.metric or QUEUE_MESSAGES, _of_queue(preset))})"
        case PresetKind.KAFKA:
            return f"sum({_series(preset, CONSUMERS_LAG, _of_consumers(preset))})"


def bad_ratio_query(preset: Preset, subject: Subject, objective_s: float) -> str | None:
    """The PromQL for the share of requests that failed (5xx) or took longer than the objective; None without requests.

    Late are requests beyond the last bucket that ends within the objective, where the exporter has a histogram that
    reaches so far.
    """
    match preset.kind:
        case PresetKind.NGINX_INGRESS:
            return _bad_of_ingress(preset, subject, _bucket(objective_s, GO_BUCKETS_S))
        case PresetKind.ISTIO:
            return _bad_of_mesh(preset, subject, _bucket(objective_s * 1000, ENVOY_BUCKETS_MS))
        case PresetKind.ENVOY:
            return _bad_of_cluster(preset, _bucket(objective_s * 1000, ENVOY_BUCKETS_MS))
        case PresetKind.HTTP_METRICS:
            return _bad_of_service(preset, subject, objective_s)
        case PresetKind.CPU_USAGE | PresetKind.RABBITMQ | PresetKind.KAFKA:
            return None


def hint(preset: Preset) -> str:
    """What to look at when the demand's query finds no series, in a clause for the end of a message."""
    match preset.kind:
        case PresetKind.NGINX_INGRESS if preset.honor_labels is None:
            return "if the scrape of ingress-nginx honours labels, set honorLabels: true"
        case PresetKind.ISTIO if preset.reporter is None:
            return "in ambient mode, where a waypoint counts requests, set reporter: waypoint"
        case PresetKind.HTTP_METRICS if not preset.labels:
            return "if the series have other labels than namespace and service, set labels"
        case PresetKind.CPU_USAGE if preset.container is None and preset.container_label is None:
            return "if cAdvisor's series have no container label, set containerLabel: false"
        case PresetKind.RABBITMQ if preset.metric is None:
            return f"if /metrics/per-object is scraped, set metric: {PER_OBJECT_MESSAGES}"
    return "compare the names in the query, shown in status.queries, with the labels of your series"


HTTP_REQUESTS = "http_requests_total"
"""As Prometheus' own guides name it, with the code in the label `code` as client_golang's promhttp has it.

Source: https://github.com/prometheus/client_golang/blob/de4d4ffe63b9eff7f27484fdef6e421597e6abb4/prometheus/promhttp/instrument_server.go
"""

OTEL_DURATION = "http_server_request_duration_seconds"
OTEL_STATUS = "http_response_status_code"

QUEUE_MESSAGES = "rabbitmq_detailed_queue_messages_ready"
"""Of /metrics/detailed; a plain /metrics has no queues by name, and /metrics/per-object calls them otherwise."""

PER_OBJECT_MESSAGES = "rabbitmq_queue_messages_ready"

CONSUMERS_LAG = "kafka_consumergroup_lag_sum"
"""Of a topic's partitions together. Of each, without `_sum`, it is -1 where the group has committed no offset yet."""

GOOD_STATUS = "[1-4].."
"""2xx too, as ingress-nginx reports with --report-status-classes."""

GOOD_RESPONSE = f"0|{GOOD_STATUS}"
"""Istio has 0 where no answer had begun, as a rule because the client left: late, if it waited for the objective.

Source: https://github.com/envoyproxy/envoy/blob/v1.31.0/docs/root/configuration/observability/access_log/usage.rst
"""

GO_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Source: https://github.com/prometheus/client_golang/blob/v1.20.0/prometheus/histogram.go (DefBuckets)"""

OTEL_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

ENVOY_BUCKETS_MS = (0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 3e5)
"""Up to the longest objective. Source: https://github.com/envoyproxy/envoy/blob/v1.31.0/source/common/stats/histogram_impl.cc"""


# Which series are the target's


def _of_ingress(preset: Preset, subject: Subject) -> list[str]:
    """The exporter's own labels give way to those of its pod, unless the scrape honours them."""
    prefix = "" if preset.honor_labels else "exported_"
    matchers = [_is(f"{prefix}namespace", subject.namespace), _is("ingress", preset.ingress or subject.name)]
    return [*matchers, *_given(f"{prefix}service", preset.service)]


def _of_mesh(preset: Preset, subject: Subject) -> list[str]:
    """As the target's own proxies or its waypoint count, one of them, so that no request counts twice."""
    workload = preset.workload or (None if preset.service else subject.name)
    named = [*_given("destination_workload", workload), *_given("destination_service_name", preset.service)]
    whose = "destination_workload_namespace" if workload else "destination_service_namespace"
    reporter = preset.reporter or Reporter.DESTINATION
    return [_is("reporter", reporter), _is(whose, subject.namespace), *named]


def _of_cluster(preset: Preset) -> list[str]:
    return _given("envoy_cluster_name", preset.cluster)


def _of_service(preset: Preset, subject: Subject) -> list[str]:
    """As the Prometheus Operator labels what a ServiceMonitor finds, for a Service that is named like its target."""
    if preset.labels:
        return []
    return [_is("namespace", subject.namespace), _is("service", subject.name)]


def _of_containers(preset: Preset, subject: Subject) -> list[str]:
    """The pods by the names that their controllers give; the sums over a pod and its pause container left out, or the
    sums over pods alone."""
    named = literal(subject.name) + _ending_of_pods(subject)
    pods = [_is("namespace", subject.namespace), f"pod=~{quoted(named)}"]
    containers = _given("container", preset.container) or ['container!=""', 'container!="POD"']
    if preset.container_label is False:
        containers = ['container=""']
    return [*pods, *containers]


def _ending_of_pods(subject: Subject) -> str:
    try:
        return ending_of_pods(subject.api_group, subject.kind, subject.name)
    except InputError as error:
        message = f"spec.demand.preset.kind: CpuUsage finds pods by their names, and {error}; write spec.demand.query"
        raise InputError(message) from error


def _of_queue(preset: Preset) -> list[str]:
    return [*_given("vhost", preset.vhost_name), *_given("queue", preset.queue_name)]


def _of_consumers(preset: Preset) -> list[str]:
    return [*_given("consumergroup", preset.consumer_group), *_given("topic", preset.topic)]


# Bad shares


def _bad_of_ingress(preset: Preset, subject: Subject, bucket: str | None) -> str:
    matchers = _of_ingress(preset, subject)
    good = [*matchers, f"status=~{quoted(GOOD_STATUS)}"]
    if bucket is None:
        return _rest(preset, "nginx_ingress_controller_requests", good, matchers)
    return _rest_of_histogram(preset, "nginx_ingress_controller_request_duration_seconds", [*good, bucket], matchers)


def _bad_of_mesh(preset: Preset, subject: Subject, bucket: str | None) -> str:
    matchers = _of_mesh(preset, subject)
    good = [*matchers, f"response_code=~{quoted(GOOD_RESPONSE)}"]
    if bucket is None:
        return _rest(preset, "istio_requests_total", good, matchers)
    return _rest_of_histogram(preset, "istio_request_duration_milliseconds", [*good, bucket], matchers)


def _bad_of_cluster(preset: Preset, bucket: str | None) -> str:
    """Envoy's times do not tell the status, so the failed and the late are added: who is both counts twice."""
    matchers = _of_cluster(preset)
    failed = _rest(preset, "envoy_cluster_upstream_rq_xx", [*matchers, 'envoy_response_code_class=~"[1-4]"'], matchers)
    if bucket is None:
        return failed
    return (
        f"({failed}) + ({_rest_of_histogram(preset, 'envoy_cluster_upstream_rq_time', [*matchers, bucket], matchers)})"
    )


def _bad_of_service(preset: Preset, subject: Subject, objective_s: float) -> str:
    """A counter tells the status alone; the count of a histogram in seconds has buckets beside it."""
    requests, matchers = preset.metric or HTTP_REQUESTS, _of_service(preset, subject)
    histogram = requests.removesuffix("_count")
    is_otel = histogram == OTEL_DURATION
    status = preset.status_label or (OTEL_STATUS if is_otel else "code")
    good = [*matchers, f"{status}=~{quoted(GOOD_STATUS)}"]
    bucket = _bucket(objective_s, OTEL_BUCKETS_S if is_otel else (objective_s,))
    if bucket is None or not requests.endswith("_seconds_count"):
        return _rest(preset, requests, good, matchers)
    return _rest_of_histogram(preset, histogram, [*good, bucket], matchers)


def _bucket(objective: float, bounds: Sequence[float]) -> str | None:
    """The matcher of the last bucket that ends within the objective, both in the histogram's unit.

    None for an objective outside the buckets: beyond the last, which requests within it took longer is not known.
    """
    within = [bound for bound in bounds if bound <= objective * (1 + 1e-9)]
    if not within or bounds[-1] < objective * (1 - 1e-9):
        return None
    text = f"{within[-1]:.12g}"
    if "." in text:
        return _is("le", text)
    either = f"{text}|{text}\\.0"  # Prometheus 3 and OpenMetrics write 1 as 1.0
    return f"le=~{quoted(either)}"


# Text


def _is(label: str, value: str) -> str:
    return f"{label}={quoted(value)}"


def _given(label: str, value: str | None) -> list[str]:
    return [] if value is None else [_is(label, value)]


def _series(preset: Preset, metric: str, matchers: Sequence[str]) -> str:
    own = {re.split("[=!]", matcher)[0]: matcher for matcher in matchers}
    for label in preset.labels:
        if label.name in own:
            instead = SET_BY.get(label.name)
            advice = f"; set spec.demand.preset.{instead}" if instead else ""
            raise InputError(f"spec.demand.preset.labels: {label.name} is the preset's own: {own[label.name]}{advice}")
    more = (_is(label.name, label.value) for label in preset.labels)
    return f"{metric}{{{','.join([*matchers, *more])}}}"


def _rate(preset: Preset, metric: str, matchers: Sequence[str]) -> str:
    window_ms = round((preset.window_s or WINDOW_S) * 1000)
    window = f"{window_ms}ms" if window_ms % 1000 else f"{window_ms // 1000}s"
    return f"sum(rate({_series(preset, metric, matchers)}[{'1m' if window == '60s' else window}]))"


def _rest(preset: Preset, metric: str, good: Sequence[str], every: Sequence[str]) -> str:
    return f"1 - {_rate(preset, metric, good)} / {_rate(preset, metric, every)}"


def _rest_of_histogram(preset: Preset, histogram: str, good: Sequence[str], every: Sequence[str]) -> str:
    return f"1 - {_rate(preset, f'{histogram}_bucket', good)} / {_rate(preset, f'{histogram}_count', every)}"
