import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.promql.grouping import shape_of
from controller.promql.pod_names import HASH
from controller.promql.presets import (
    PARAMETERS,
    LabelValue,
    Preset,
    PresetKind,
    Reporter,
    Subject,
    bad_ratio_query,
    demand_query,
    hint,
)
from controller.promql.syntax import selectors
from scaling.errors import InputError

WEB = Subject("shop", "apps", "Deployment", "web")


def a_preset(kind, **changes):
    needed = {name: "web" for name, parameter in PARAMETERS.items() if parameter.required and kind in parameter.kinds}
    return Preset(kind=PresetKind(kind), **{**needed, **changes})


def demand(kind, subject=WEB, **changes):
    return demand_query(a_preset(kind, **changes), subject)


def bad_ratio(kind, objective_s=0.25, **changes):
    return bad_ratio_query(a_preset(kind, **changes), WEB, objective_s)


@pytest.mark.parametrize(
    ("query", "written"),
    [
        (
            demand("NginxIngress", ingress="front", service="web"),
            'sum(rate(nginx_ingress_controller_requests{exported_namespace="shop",ingress="front",exported_service="web"}[1m]))',
        ),
        (
            demand("NginxIngress", honor_labels=True, service="web", window_s=90.0),
            'sum(rate(nginx_ingress_controller_requests{namespace="shop",ingress="web",service="web"}[90s]))',
        ),
        (
            demand("Istio"),
            'sum(rate(istio_requests_total{reporter="destination",destination_workload_namespace="shop",'
            'destination_workload="web"}[1m]))',
        ),
        (
            demand("Istio", service="web"),
            'sum(rate(istio_requests_total{reporter="destination",destination_service_namespace="shop",'
            'destination_service_name="web"}[1m]))',
        ),
        (
            demand("Istio", reporter=Reporter.WAYPOINT),
            'sum(rate(istio_requests_total{reporter="waypoint",destination_workload_namespace="shop",'
            'destination_workload="web"}[1m]))',
        ),
        (
            demand("CpuUsage", Subject("shop", "apps", "StatefulSet", "db"), container_label=False),
            'sum(rate(container_cpu_usage_seconds_total{namespace="shop",pod=~"db-[0-9]+",container=""}[1m]))',
        ),
        (
            demand("Envoy", cluster="httproute/shop/web/rule/0"),
            'sum(rate(envoy_cluster_upstream_rq_total{envoy_cluster_name="httproute/shop/web/rule/0"}[1m]))',
        ),
        (demand("HttpMetrics"), 'sum(rate(http_requests_total{namespace="shop",service="web"}[1m]))'),
        (
            demand("HttpMetrics", metric="hits_total", labels=(LabelValue("job", 'a"b\\'),)),
            'sum(rate(hits_total{job="a\\"b\\\\"}[1m]))',
        ),
        (
            demand("CpuUsage"),
            'sum(rate(container_cpu_usage_seconds_total{namespace="shop",'
            f'pod=~"web-{HASH}{{1,10}}-{HASH}{{5}}",container!="",container!="POD"}}[1m]))',
        ),
        (
            demand("CpuUsage", Subject("shop", "apps", "StatefulSet", "db.eu"), container="db"),
            'sum(rate(container_cpu_usage_seconds_total{namespace="shop",pod=~"db\\\\.eu-[0-9]+",container="db"}[1m]))',
        ),
        (
            demand("RabbitMQ", queue_name="orders", vhost_name="/", labels=(LabelValue("cluster", "eu"),)),
            'sum(rabbitmq_detailed_queue_messages_ready{vhost="/",queue="orders",cluster="eu"})',
        ),
        (demand("Kafka", topic="t"), 'sum(kafka_consumergroup_lag_sum{consumergroup="web",topic="t"})'),
    ],
)
def test_demand_is_asked_for_as_the_exporter_names_it(query, written):
    assert query == written


@pytest.mark.parametrize(
    ("query", "written"),
    [
        (
            bad_ratio("HttpMetrics"),
            '1 - sum(rate(http_requests_total{namespace="shop",service="web",code=~"[1-4].."}[1m]))'
            ' / sum(rate(http_requests_total{namespace="shop",service="web"}[1m]))',
        ),
        (
            bad_ratio("HttpMetrics", metric="http_server_request_duration_seconds_count", objective_s=0.3),
            '1 - sum(rate(http_server_request_duration_seconds_bucket{namespace="shop",service="web",'
            'http_response_status_code=~"[1-4]..",le="0.25"}[1m]))'
            ' / sum(rate(http_server_request_duration_seconds_count{namespace="shop",service="web"}[1m]))',
        ),
        (
            bad_ratio("HttpMetrics", metric="my_seconds_count", status_label="status", objective_s=0.3),
            '1 - sum(rate(my_seconds_bucket{namespace="shop",service="web",status=~"[1-4]..",le="0.3"}[1m]))'
            ' / sum(rate(my_seconds_count{namespace="shop",service="web"}[1m]))',
        ),
        (
            bad_ratio("Envoy"),
            '(1 - sum(rate(envoy_cluster_upstream_rq_xx{envoy_cluster_name="web",'
            'envoy_response_code_class=~"[1-4]"}[1m]))'
            ' / sum(rate(envoy_cluster_upstream_rq_xx{envoy_cluster_name="web"}[1m])))'
            ' + (1 - sum(rate(envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="web",le=~"250|250\\\\.0"}[1m]))'
            ' / sum(rate(envoy_cluster_upstream_rq_time_count{envoy_cluster_name="web"}[1m])))',
        ),
        (bad_ratio("CpuUsage"), None),
        (bad_ratio("RabbitMQ"), None),
        (bad_ratio("Kafka"), None),
    ],
)
def test_a_bad_request_failed_or_took_too_long(query, written):
    assert query == written


@pytest.mark.parametrize(
    ("kind", "objective_s", "bucket"),
    [
        ("NginxIngress", 0.25, 'le="0.25"'),
        ("NginxIngress", 0.26, 'le="0.25"'),
        ("NginxIngress", 1.0, 'le=~"1|1\\\\.0"'),
        ("NginxIngress", 10.0, 'le=~"10|10\\\\.0"'),
        ("Istio", 0.25, 'le=~"250|250\\\\.0"'),
        ("Istio", 0.001, 'le=~"1|1\\\\.0"'),
        ("Istio", 300.0, 'le=~"300000|300000\\\\.0"'),
    ],
)
def test_late_is_what_the_last_bucket_within_the_objective_leaves_out(kind, objective_s, bucket):
    assert f'[1-4]..",{bucket}' in bad_ratio(kind, objective_s)


@pytest.mark.parametrize("objective_s", [0.001, 10.1, 300.0])
def test_an_objective_outside_the_buckets_leaves_the_failed(objective_s):
    """Beyond the last bucket, 10 s, all that took longer would count as late, good ones too."""
    for kind, metric in (("NginxIngress", None), ("HttpMetrics", "http_server_request_duration_seconds_count")):
        query = bad_ratio(kind, objective_s, metric=metric)
        assert "le=" not in query
        assert query.count(metric or "nginx_ingress_controller_requests") == 2


def test_a_client_that_left_before_istio_had_an_answer_is_no_failure_of_the_server():
    query = bad_ratio("Istio", 0.25)
    assert 'response_code=~"0|[1-4].."' in query


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"kind": PresetKind.ENVOY}, "spec.demand.preset.cluster is required for kind Envoy, but missing"),
        (
            {"kind": PresetKind.CPU_USAGE, "container": "web", "container_label": False},
            "spec.demand.preset.container: series without containerLabel do not name containers",
        ),
        ({"kind": PresetKind.ISTIO, "topic": "t"}, "spec.demand.preset.topic: goes with kind Kafka, not Istio"),
        (
            {"kind": PresetKind.ISTIO, "labels": (LabelValue("a", "1"), LabelValue("a", "2"))},
            "spec.demand.preset.labels: a is given 2 times",
        ),
    ],
)
def test_a_parameter_of_another_kind_is_refused(wishes, message):
    with pytest.raises(InputError) as caught:
        Preset(**wishes)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("kind", "label", "wishes", "own"),
    [
        ("Istio", "reporter", {}, 'reporter="destination"; set spec.demand.preset.reporter'),
        ("NginxIngress", "exported_service", {"service": "web"}, 'exported_service="web"'),
        ("CpuUsage", "pod", {}, f'pod=~"web-{HASH}{{1,10}}-{HASH}{{5}}"'),
        ("CpuUsage", "container", {}, 'container!="POD"; set spec.demand.preset.containerLabel'),
        ("RabbitMQ", "queue", {}, 'queue="web"'),
    ],
)
def test_a_label_that_the_preset_sets_itself_is_refused(kind, label, wishes, own):
    with pytest.raises(InputError) as caught:
        demand(kind, labels=(LabelValue(label, "x"),), **wishes)
    assert str(caught.value) == f"spec.demand.preset.labels: {label} is the preset's own: {own}"


def test_a_label_that_only_the_share_of_bad_requests_sets_is_refused_there():
    labels = (LabelValue("service", "web"), LabelValue("code", "200"))
    assert demand("HttpMetrics", labels=labels) == 'sum(rate(http_requests_total{service="web",code="200"}[1m]))'
    with pytest.raises(InputError, match="code is the preset's own: code=~"):
        bad_ratio("HttpMetrics", labels=labels)


@pytest.mark.parametrize(
    ("kind", "wishes", "words"),
    [
        ("Istio", {}, "set reporter: waypoint"),
        ("Istio", {"reporter": Reporter.WAYPOINT}, "compare the names"),
        ("CpuUsage", {}, "set containerLabel: false"),
        ("CpuUsage", {"container": "web"}, "compare the names"),
        ("NginxIngress", {}, "set honorLabels: true"),
        ("HttpMetrics", {}, "set labels"),
        ("RabbitMQ", {}, "set metric: rabbitmq_queue_messages_ready"),
        ("Kafka", {}, "compare the names"),
        ("Envoy", {}, "compare the names"),
    ],
)
def test_a_preset_that_finds_nothing_has_a_hint_at_what_is_often_otherwise(kind, wishes, words):
    assert words in hint(a_preset(kind, **wishes))


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        (Subject("shop", "example.org", "GameServers", "web"), "are known, not of a GameServers"),
        (Subject("shop", "example.org", "Deployment", "web"), "are known, not of a Deployment"),
        (Subject("shop", "apps", "Deployment", "w" * 58), "hold 57 characters of a name, and this one has 58"),
    ],
)
def test_pods_whose_names_are_not_known_are_refused_with_what_to_write_instead(subject, words):
    with pytest.raises(InputError) as caught:
        demand("CpuUsage", subject)
    assert str(caught.value).startswith("spec.demand.preset.kind: CpuUsage finds pods by their names, and ")
    assert str(caught.value).endswith(f"{words}; write spec.demand.query")


@given(st.sampled_from(["queue_name", "vhost_name"]), st.text(alphabet=st.characters(categories=["L", "P", "S", "N"])))
def test_no_name_leaves_its_quotes(name, text):
    query = demand("RabbitMQ", **{name: text})
    (selector,) = selectors(query)
    assert query == f"sum({selector.text})"


@pytest.mark.parametrize("kind", PresetKind)
def test_what_presets_ask_can_be_asked_together(kind):
    other = Subject("shop", "apps", "Deployment", "api")
    one, two = (demand_query(a_preset(kind), subject) for subject in (WEB, other))
    shapes = shape_of(one), shape_of(two)
    assert None not in shapes
    assert len({shape.key for shape in shapes if shape}) == 1
    bad = bad_ratio_query(a_preset(kind), WEB, 0.25)
    assert bad is None or shape_of(bad) is not None
