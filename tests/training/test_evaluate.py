"""The comparison on series whose outcome is known, and its summary."""

import numpy as np
import pytest

from scaling.policy import RULES
from sim.traces import read_load_csv
from training.contenders import HINDSIGHT, RIVALS
from training.evaluate import EvaluateConfig, Row, evaluate

STEPS = 960


def a_trace(folder, name, values):
    path = folder / f"{name}.csv"
    path.write_text("t_seconds,value\n" + "".join(f"{15 * k},{value:.6f}\n" for k, value in enumerate(values)))
    return read_load_csv(path)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traces")
    time = np.arange(STEPS)
    calm = 100 + 20 * np.sin(time / 300)
    spikes = np.where(time % 120 < 20, 400.0, 40.0)
    short = np.full(STEPS // 2, 50.0)
    traces = [a_trace(folder, "calm", calm), a_trace(folder, "short", short), a_trace(folder, "spiky", spikes)]
    config = EvaluateConfig(hindsight=True)
    return evaluate(traces, RULES["snvt"], config, lambda step, steps: None)


def figures(rows: list[Row], trace: str, policy: str):
    (row,) = [row for row in rows if (row.trace, row.policy) == (trace, policy)]
    return row.measures


def test_every_contender_has_one_row_a_trace(rows):
    names = [row.policy for row in rows if row.trace == "calm"]
    assert len(names) == len(set(names))
    assert {contender.name for contender in RIVALS} < set(names)
    assert {"default", "static-peak", "clairvoyant", "hpa-hindsight-j30"} < set(names)
    assert not {contender.name for contender in HINDSIGHT} & set(names)


def test_classes_follow_the_hpas_bad_share(rows):
    classes = {row.trace: row.trace_class for row in rows}
    assert classes == {"calm": "calm", "short": "calm", "spiky": "bursty"}


def test_nobody_is_cheaper_than_the_clairvoyant_without_serving_worse(rows):
    for row in rows:
        assert row.measures.cost >= 1.0 or row.measures.bad_ratio > 0.01, row


def test_the_clairvoyant_costs_one_and_serves(rows):
    for trace in ("calm", "short", "spiky"):
        assert figures(rows, trace, "clairvoyant").cost == 1.0
        assert figures(rows, trace, "clairvoyant").bad_ratio <= 0.011


def test_constant_demand_is_served_at_the_hpas_own_target(rows):
    hpa = figures(rows, "short", "hpa-50")
    assert hpa.pod_seconds == pytest.approx(60 * 15 * STEPS / 2, rel=0.12)  # a mean of 30 pods, within the tolerance
    assert hpa.bad_ratio < 1e-4  # the tail of the service time alone: exp(-10)


def test_a_static_peak_never_acts(rows):
    assert figures(rows, "spiky", "static-peak").actions == 0
    assert figures(rows, "spiky", "static-peak").bad_ratio < 1e-3


def test_hindsight_is_at_least_as_good_as_any_hpa_at_its_price(rows):
    for trace in ("calm", "spiky"):
        best = figures(rows, trace, "hpa-hindsight-j30").j(30.0)
        assert best <= min(figures(rows, trace, f"hpa-{target}").j(30.0) for target in (50, 60, 70, 80)) + 1e-12


def test_our_rule_asked_as_the_default_policy_equals_itself_as_a_rival(rows):
    for trace in ("calm", "spiky"):
        assert figures(rows, trace, "default") == figures(rows, trace, "snvt")
