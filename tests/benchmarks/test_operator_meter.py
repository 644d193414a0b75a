"""What `make bench-operator` reads its figures from, on pages and logs of a few lines."""

import json
import math
import os

import pytest

from benchmarks.operator_meter import AuditLog, Samples, cpu_s, interpolated, memory_mib, quantile_s, total


@pytest.mark.parametrize(
    ("buckets", "q", "expected"),
    [
        pytest.param([(1.0, 10), (2.0, 10), (math.inf, 10)], 0.5, 0.5, id="within-the-first-bucket"),
        pytest.param([(1.0, 10), (2.0, 30), (math.inf, 30)], 0.5, 1.25, id="a-share-of-the-second"),
        pytest.param([(1.0, 10), (2.0, 10), (math.inf, 40)], 0.99, 2.0, id="beyond-the-last-bound-is-the-last-bound"),
    ],
)
def test_a_quantile_is_interpolated_as_prometheus_does(buckets, q, expected):
    assert interpolated(buckets, q) == pytest.approx(expected)


def test_a_quantile_of_nothing_is_not_a_number():
    assert math.isnan(interpolated([(1.0, 0), (math.inf, 0)], 0.5))


def test_only_what_came_between_two_pages_counts():
    def page(fast, slow):
        return {("lag_bucket", (("le", "1.0"),)): fast, ("lag_bucket", (("le", "+Inf"),)): fast + slow}

    assert quantile_s(page(1000.0, 0.0), page(1010.0, 0.0), "lag", 0.9) == pytest.approx(0.9)


def test_series_are_summed_by_the_labels_that_are_named():
    page: Samples = {
        ("asked", (("code", "200"), ("path", "a"))): 2.0,
        ("asked", (("code", "500"), ("path", "a"))): 3.0,
    }
    assert total(page, "asked", path="a") == 5.0
    assert total(page, "asked", path="a", code="500") == 3.0
    assert total(page, "other") == 0.0


def an_event(user, verb, resource, stage="ResponseComplete"):
    event = {"user": {"username": user}, "verb": verb, "objectRef": {"resource": resource}, "stage": stage}
    return json.dumps(event) + "\n"


def test_requests_are_counted_from_a_mark_on_by_user_with_leases_apart(tmp_path):
    log = tmp_path / "audit.log"
    log.write_text(an_event("us", "patch", "deployments"))
    audit = AuditLog(log)
    audit.mark()
    after = [
        ("us", "get", "pods"),
        ("us", "patch", "scalingpolicies"),
        ("us", "update", "leases"),
        ("them", "get", "x"),
    ]
    begun = an_event("us", "watch", "deployments", "ResponseStarted")
    with log.open("a") as more:
        more.write("".join(an_event(*each) for each in after) + begun + '{"half')
    asked = audit.asked("us")
    assert asked.verbs == {"get": 1, "patch": 1}
    assert (asked.total, asked.writes, asked.leases) == (2, 1, 1)


def test_a_process_is_measured_by_its_number():
    now_mib, peak_mib = memory_mib(os.getpid())
    assert 10 < now_mib <= peak_mib
    before_s = cpu_s(os.getpid())
    sum(range(3_000_000))
    assert cpu_s(os.getpid()) > before_s > 0
