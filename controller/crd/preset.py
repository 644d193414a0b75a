"""The fields of `spec.demand.preset`: a part of the tables of `tables.py`, in a file of its own for its size.

What the queries of a preset are, and which parameters go with which kind, is in `controller.promql.presets`.
"""

from collections.abc import Iterator, Mapping

from controller.crd.fields import Build, Field, ListOf, Named, Rule, Text, Within, boolean, choice, duration
from controller.promql.presets import PARAMETERS, LabelValue, Preset, PresetKind, Reporter
from scaling.limits import Limit

MOST_LABELS = 16
"""Chosen: a series with more to tell it apart wants a query of its own."""

NAME_CHARACTERS = 253
"""Of queues, topics and the like, as of most names in Kubernetes; Kafka's end at 249, RabbitMQ's at 255 bytes."""

WINDOW = Limit("spec.demand.preset.window", 10, 3600)
"""Seconds. Chosen: from two scrapes of 5 s to what no longer shows a peak."""


def _rules() -> Iterator[Rule]:
    """What goes with which kind, as `Preset` checks it, too."""
    for parameter in PARAMETERS.values():
        name, kinds = parameter.spelled, [kind.value for kind in parameter.kinds]
        yield Rule(f"!has(self.{name}) || self.kind in {kinds}", f"goes with kind {' or '.join(kinds)} only", name)
        if parameter.required:
            message = f"required for kind {' or '.join(kinds)}"
            yield Rule(f"has(self.{name}) || !(self.kind in {kinds})", message, name, missing=True)


kubernetes_name = Named(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?", 253, "a name as Kubernetes has them")
metric_name = Named(r"[a-zA-Z_:][a-zA-Z0-9_:]*", 200, "a metric's name")
label_name = Named(r"_?[a-zA-Z][a-zA-Z0-9_]*", 128, "a label's name")  # those with two underscores are Prometheus' own
some_name = Text(NAME_CHARACTERS)

LABEL_VALUE: Mapping[str, Field] = {
    "name": Field(label_name, "name", required=True, about="Label of the series."),
    "value": Field(some_name, "value", required=True, about="Value that it must have."),
}

PRESET: Mapping[str, Field] = {
    "kind": Field(
        choice(PresetKind),
        "kind",
        required=True,
        about="Where the load is measured. Requests per second: NginxIngress (ingress-nginx), Istio, Envoy, "
        "HttpMetrics (the target's own). Cores: CpuUsage (cAdvisor), of a Deployment, StatefulSet or Rollout. Messages "
        "that wait: RabbitMQ, Kafka (kafka_exporter).",
    ),
    "window": Field(
        Within(WINDOW, duration),
        "window_s",
        about="What a rate is taken over: four scrapes or more. Not for queues.",
        absent="1m",
    ),
    "labels": Field(
        ListOf(Build(LabelValue, LABEL_VALUE), most=MOST_LABELS),
        "labels",
        about="More labels that the series must have, such as the cluster, each once and none that the preset sets "
        f"itself; for HttpMetrics in place of namespace and service. 1 to {MOST_LABELS} entries.",
    ),
    "ingress": Field(
        kubernetes_name,
        "ingress",
        about="NginxIngress: the Ingress, in the target's namespace.",
        absent="the target's name",
    ),
    "honorLabels": Field(
        boolean,
        "honor_labels",
        about="NginxIngress: whether its scrape honours labels, so that they are namespace and service instead of "
        "exported_namespace and exported_service.",
        absent="false",
    ),
    "reporter": Field(
        choice(Reporter),
        "reporter",
        about="Istio: which proxy counts: destination is the target's own sidecar, waypoint the waypoint of ambient "
        "mode.",
        absent="destination",
    ),
    "workload": Field(
        kubernetes_name,
        "workload",
        about="Istio: destination_workload, in the target's namespace.",
        absent="the target's name, unless service is given",
    ),
    "service": Field(
        kubernetes_name,
        "service",
        about="NginxIngress: the Service, where an Ingress leads to several. Istio: destination_service_name.",
    ),
    "cluster": Field(some_name, "cluster", about="Envoy: envoy_cluster_name. Required there."),
    "metric": Field(
        metric_name,
        "metric",
        about="HttpMetrics: the counter of requests, or the count of a histogram of seconds, such as "
        "http_server_request_duration_seconds_count (OpenTelemetry); another than this needs a bucket that ends at "
        "service.objectiveSeconds. RabbitMQ: the gauge of messages, such as "
        "rabbitmq_queue_messages_ready where /metrics/per-object is scraped.",
        absent="http_requests_total, rabbitmq_detailed_queue_messages_ready",
    ),
    "statusLabel": Field(
        label_name,
        "status_label",
        about="HttpMetrics: the label with the status of the answer, for the share of bad requests.",
        absent="code; http_response_status_code with OpenTelemetry's metric",
    ),
    "container": Field(
        kubernetes_name, "container", about="CpuUsage: one container of the pods.", absent="all of them together"
    ),
    "containerLabel": Field(
        boolean,
        "container_label",
        about="CpuUsage: whether cAdvisor's series name their container; false takes those of whole pods.",
        absent="true",
    ),
    "queueName": Field(some_name, "queue_name", about="RabbitMQ: the queue. Required there."),
    "vhostName": Field(some_name, "vhost_name", about="RabbitMQ: its virtual host.", absent="whichever has the queue"),
    "consumerGroup": Field(some_name, "consumer_group", about="Kafka: the target's consumer group. Required there."),
    "topic": Field(some_name, "topic", about="Kafka: one topic.", absent="all that the group consumes"),
}

read_preset = Build(Preset, PRESET, rules=tuple(_rules()))
