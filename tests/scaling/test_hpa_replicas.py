"""What one metric asks for: arithmetic, tolerance, and pods that cannot be believed."""

import math

import pytest

from scaling.errors import InputError
from scaling.hpa import HpaSettings, Metric, MetricKind, Pod, PodSample, Workload, average_value_replicas
from scaling.hpa_kernels import MAX_REPLICAS, capped_ceil, value_replicas, within_tolerance
from scaling.hpa_pods import group_pods
from scaling.hpa_replicas import MAX_INT64, Calculation, MetricError, MetricFailure, calculate_replicas

NOW_S = 1000.0
SETTINGS = HpaSettings(cpu_initialization_s=120, initial_readiness_delay_s=10)


def a_pod(name: str, **changes: object) -> Pod:
    return Pod(**{"name": name, "request_milli": 1000, **changes})  # type: ignore[arg-type]


def pods(count: int) -> tuple[Pod, ...]:
    return tuple(a_pod(f"p{k}") for k in range(count))


def samples(*usage_milli: int) -> dict[str, PodSample]:
    return {f"p{k}": PodSample(value, at_s=NOW_S) for k, value in enumerate(usage_milli)}


def cpu(target_percent: int, *usage_milli: int) -> Metric:
    return Metric(MetricKind.RESOURCE_UTILIZATION, target_percent, samples=samples(*usage_milli), resource="cpu")


def calculate(metric: Metric, workload_pods: tuple[Pod, ...], replicas: int | None = None) -> Calculation:
    current = len(workload_pods) if replicas is None else replicas
    return calculate_replicas(metric, Workload(current, current, "app=web", workload_pods), SETTINGS, NOW_S)


def external(kind: MetricKind, target_milli: int, *values_milli: int) -> Metric:
    return Metric(kind, target_milli, values_milli=values_milli)


@pytest.mark.parametrize(
    ("ratio", "inside"),
    [(0.9, True), (math.nextafter(0.9, 0), False), (1.1, True), (math.nextafter(1.1, 2), False), (1.0, True)],
)
def test_both_ends_of_the_tolerance_are_inside(ratio, inside):
    assert within_tolerance(ratio, 0.1, 0.1) is inside


def test_each_direction_has_its_own_tolerance():
    assert within_tolerance(1.4, 0.1, 0.5)
    assert not within_tolerance(0.6, 0.1, 0.5)


def test_the_ceiling_is_plain_float64_and_stays_inside_int32():
    assert [capped_ceil(quantity) for quantity in (112 / 100 * 25, 28.0, -0.5, 0.0)] == [29, 28, 0, 0]
    assert [capped_ceil(quantity) for quantity in (1e30, math.inf, -1e30)] == [
        MAX_REPLICAS,
        MAX_REPLICAS,
        -MAX_REPLICAS,
    ]


@pytest.mark.parametrize(
    ("total", "status", "replicas"),
    [
        pytest.param(710.0, 10, 10, id="a-ratio-of-1.014-holds"),
        pytest.param(910.0, 10, 13, id="a-ratio-of-1.3-does-not"),
        pytest.param(910.0, 13, 13, id="what-counts-is-the-status"),
        pytest.param(140.0, 0, 2, id="from-zero-there-is-no-tolerance"),
        pytest.param(0.0, 0, 0, id="zero-of-zero"),
    ],
)
def test_an_average_value_asks_for_the_total_over_the_target(total, status, replicas):
    assert average_value_replicas(total, 70.0, status, 0.1, 0.1) == replicas
    exact = external(MetricKind.EXTERNAL_AVERAGE_VALUE, 70_000, int(total * 1000))
    assert calculate(exact, (), status).replicas == replicas


def test_an_average_value_reports_the_usage_of_a_replica_rounded_up():
    kind = MetricKind.OBJECT_AVERAGE_VALUE
    assert calculate(external(kind, 5000, 20_001), (), 4).usage_milli == 5001
    assert calculate(external(kind, 5000, 20_001), (), 0).usage_milli == 0


def test_totals_saturate_at_int64_and_replicas_at_int32():
    huge = external(MetricKind.EXTERNAL_AVERAGE_VALUE, 1, MAX_INT64, MAX_INT64)
    assert calculate(huge, (), 1) == Calculation(MAX_REPLICAS, MAX_INT64)
    assert calculate(external(MetricKind.EXTERNAL_VALUE, 1, MAX_INT64, 1), pods(2)).usage_milli == MAX_INT64


def test_a_negative_total_asks_for_less_than_nothing_and_never_for_everything():
    assert calculate(external(MetricKind.EXTERNAL_AVERAGE_VALUE, 1000, -3000), (), 4).replicas == -3


def test_a_value_scales_the_pods_that_are_running_and_ready():
    crew = (a_pod("p0"), a_pod("p1", ready=False), a_pod("p2", phase="Pending"), a_pod("p3", ready=None))
    assert calculate(external(MetricKind.EXTERNAL_VALUE, 1000, 3000), crew) == Calculation(3, 3000)


def test_a_value_needs_pods_only_where_it_scales_them():
    kind = MetricKind.OBJECT_VALUE
    assert calculate(external(kind, 1000, 1050), (), 4).replicas == 4
    assert calculate(external(kind, 1000, 1050), (), 0).replicas == 2
    with pytest.raises(MetricError, match="no pods"):
        calculate(external(kind, 1000, 5000), (), 4)


def test_a_value_from_zero_ignores_the_tolerance():
    assert value_replicas(1.05, 0, 0, 0.1, 0.1) == 2


def test_utilization_is_a_ratio_of_sums_cut_to_whole_percent():
    # 300 + 500 + 700 of 3 x 1000 is 50 %; over a target of 30 % that is 5/3 of 3 pods.
    assert calculate(cpu(30, 300, 500, 700), pods(3)) == Calculation(5, 500, 50)
    # 1099 of 1000 is 109 %, inside the tolerance of a 100 % target although 109.9 % rounds to 110.
    assert calculate(cpu(100, 1099), pods(1)).utilization_percent == 109


def test_averages_per_pod_truncate_before_they_are_compared():
    metric = Metric(MetricKind.PODS_AVERAGE_VALUE, 10, samples=samples(11, 11, 12))
    assert calculate(metric, pods(3)) == Calculation(3, 11)  # 34 / 3 = 11: a ratio of 1.1, which holds
    below_zero = Metric(MetricKind.PODS_AVERAGE_VALUE, 10, samples=samples(-1, -2))
    assert calculate(below_zero, pods(2)).usage_milli == -1  # towards zero


def test_missing_pods_count_as_on_target_when_shrinking():
    # 10 % on two pods, two unseen: (100 + 100 + 1000 + 1000) of 4000 is 55 %, which over 50 % is 1.1: hold.
    assert calculate(cpu(50, 100, 100), pods(4)).replicas == 4
    # Seen alone the two would give ceil(0.2 x 2) = 1.
    assert calculate(cpu(50, 100, 100), pods(2)).replicas == 1


def test_missing_pods_count_as_the_target_itself_above_100_percent():
    # (100 + 100 + 3000) of 3000 is 106 %: ceil(106 / 300 x 3) = 2. At 100 % of the request it would be 40 %, hence 1.
    assert calculate(cpu(300, 100, 100), pods(3)).replicas == 2


def test_missing_pods_count_as_idle_when_growing():
    # 200 % on one pod of three: 2000 of 3000 is 66 %, over 50 % is 1.32 x 3 = 3.96.
    assert calculate(cpu(50, 2000), pods(3)).replicas == 4


def test_a_change_that_turns_round_once_the_gaps_are_filled_is_dropped():
    # 60 % on one pod of three over 50 % would grow; with two idle pods it is 20 %, which would shrink.
    assert calculate(cpu(50, 600), pods(3)).replicas == 3


def test_a_count_that_moves_against_the_filled_ratio_is_dropped():
    # Five pods for a size of two: 10 % seen and three unseen give 64 % of 80 %, but ceil(0.8 x 5) = 4 is more than 2.
    assert calculate(cpu(80, 100, 100), pods(5), replicas=2).replicas == 2


def test_unready_pods_only_slow_growth_down():
    fresh = a_pod("p2", started_s=NOW_S - 5, ready_changed_s=NOW_S - 5, ready=False)
    assert calculate(cpu(50, 1000, 1000, 1000), (*pods(2), fresh)).replicas == 4  # 2000 of 3000: 66 % / 50 % x 3
    assert calculate(cpu(50, 800, 800, 1000), (*pods(2), fresh)).replicas == 3  # 1600 of 3000: 53 %, in the tolerance
    assert calculate(cpu(50, 100, 100, 1000), (*pods(2), fresh)).replicas == 1  # shrinking leaves it out: 0.2 x 2


def test_samples_of_unknown_pods_are_passed_over_in_percentages_and_counted_in_averages():
    assert calculate(cpu(50, 500, 500, 9000), pods(2)).utilization_percent == 50
    metric = Metric(MetricKind.PODS_AVERAGE_VALUE, 1000, samples=samples(1000, 1000, 4000))
    assert calculate(metric, pods(2)).usage_milli == 2000


@pytest.mark.parametrize(
    ("metric", "crew", "failure"),
    [
        pytest.param(cpu(50), pods(2), MetricFailure.NO_METRICS, id="no-samples"),
        pytest.param(Metric(MetricKind.RESOURCE_UTILIZATION, 50), pods(2), MetricFailure.NO_METRICS, id="not-read"),
        pytest.param(external(MetricKind.EXTERNAL_VALUE, 1), pods(2), MetricFailure.NO_METRICS, id="no-series"),
        pytest.param(cpu(50, 1), (a_pod("p0", deleted=True),), MetricFailure.NO_METRICS, id="only-leaving-pods"),
        pytest.param(cpu(50, 1), (a_pod("other"),), MetricFailure.NO_MATCH, id="strangers"),
        pytest.param(cpu(50, 1), (a_pod("p0", request_milli=0),), MetricFailure.NO_MATCH, id="nothing-requested"),
        pytest.param(cpu(50, 1), (a_pod("p0", request_milli=None),), MetricFailure.MISSING_REQUEST, id="no-request"),
        pytest.param(cpu(50, 1), (), MetricFailure.NO_PODS, id="no-pods"),
        pytest.param(Metric(MetricKind.UNKNOWN, 0), pods(2), MetricFailure.UNKNOWN_KIND, id="unknown"),
    ],
)
def test_what_cannot_be_told_is_an_error_and_not_a_zero(metric, crew, failure):
    with pytest.raises(MetricError) as error:
        calculate(metric, crew)
    assert error.value.failure is failure


@pytest.mark.parametrize("target", [0, -5, MAX_INT64 + 1])
def test_a_target_outside_int64_or_below_one_is_refused(target):
    with pytest.raises(InputError, match=f"target: {target} is outside 1.."):
        Metric(MetricKind.EXTERNAL_VALUE, target)


@pytest.mark.parametrize(
    ("pod", "group"),
    [
        pytest.param(a_pod("p0"), "ready", id="long-running"),
        pytest.param(a_pod("p0", deleted=True, phase="Pending"), "ignored", id="deleted-before-pending"),
        pytest.param(a_pod("p0", phase="Failed"), "ignored", id="failed"),
        pytest.param(a_pod("p0", phase="Succeeded"), "ignored", id="succeeded"),
        pytest.param(a_pod("p0", phase="Pending"), "unready", id="pending"),
        pytest.param(a_pod("other"), "missing", id="no-sample"),
        pytest.param(a_pod("p0", ready=None), "unready", id="no-ready-condition"),
        pytest.param(a_pod("p0", started_s=None), "unready", id="no-start-time"),
        pytest.param(a_pod("p0", started_s=NOW_S - 119, ready_changed_s=NOW_S - 60), "ready", id="full-window"),
        pytest.param(a_pod("p0", started_s=NOW_S - 119, ready_changed_s=NOW_S - 59), "unready", id="short-window"),
        pytest.param(a_pod("p0", started_s=NOW_S - 120, ready_changed_s=NOW_S), "ready", id="initialised-on-the-dot"),
        pytest.param(
            a_pod("p0", ready=False, started_s=NOW_S - 200, ready_changed_s=NOW_S - 191), "unready", id="never-ready"
        ),
        pytest.param(
            a_pod("p0", ready=False, started_s=NOW_S - 200, ready_changed_s=NOW_S - 190), "ready", id="once-ready"
        ),
    ],
)
def test_pods_are_grouped_by_what_can_be_believed(pod, group):
    groups = group_pods((pod,), samples(100), "cpu", SETTINGS, NOW_S)
    found = {"ready": groups.ready, "unready": len(groups.unready), "missing": len(groups.missing)}
    assert {**found, "ignored": len(groups.ignored)} == {"ready": 0, "unready": 0, "missing": 0, "ignored": 0, group: 1}


def test_readiness_matters_for_cpu_alone():
    early = a_pod("p0", ready=None, started_s=None)
    assert group_pods((early,), samples(100), "memory", SETTINGS, NOW_S).ready == 1
