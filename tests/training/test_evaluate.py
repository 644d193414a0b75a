"""The comparison on series whose outcome is known, and its summary."""

import math

import numpy as np
import pytest

from scaling.errors import InputError
from scaling.policy import RULES
from sim.rivals import Rule
from sim.traces import read_load_csv
from tests.scaling.builders import ScriptedPolicy, a_network_policy
from training.contenders import HINDSIGHT, RIVALS, Contender, judged
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
    assert {"judged-snvt", "static-peak", "clairvoyant", "hpa-hindsight-j30"} < set(names)
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


def test_our_rule_judged_as_a_policy_equals_itself_as_a_rival(rows):
    for trace in ("calm", "spiky"):
        assert figures(rows, trace, "judged-snvt") == figures(rows, trace, "snvt")


@pytest.mark.parametrize(
    ("name", "shown"),
    [("mine", "mine"), ("default", "default"), ("snvt", "judged-snvt"), ("hpa-70", "judged-hpa-70")],
)
def test_the_judged_policy_stands_under_its_own_name_at_three_prices(name, shown):
    assert [contender.name for contender in judged(name)] == [shown, f"{shown}-cost", f"{shown}-latency"]


# what the operator does not let a policy decide


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    time = np.arange(STEPS // 2)
    return [a_trace(tmp_path_factory.mktemp("waves"), "waves", np.where(time % 60 < 15, 300.0, 60.0))]


def judge(traces, policy):
    rows = evaluate(traces, policy, EvaluateConfig(), lambda step, steps: None)
    (row,) = [row for row in rows if row.judged and row.policy == policy.name]
    return row, rows


def test_a_policy_is_judged_by_the_rule_that_stands_in_where_training_saw_nothing(waves):
    row, rows = judge(waves, a_network_policy(bad=(0.9, 0.95)))
    assert row.out_of_distribution_ratio == 1.0
    assert row.measures == figures(rows, "waves", "snvt")


def test_a_policy_on_familiar_ground_decides_itself(waves):
    row, rows = judge(waves, a_network_policy())
    assert row.out_of_distribution_ratio == 0.0
    assert row.measures != figures(rows, "waves", "snvt")


class OwnGate:
    """A network that itself answers as the rule where it knows nothing, and is never kept from answering."""

    def __init__(self, network):
        self.network, self.name, self.sha256, self.band = network, network.name, network.sha256, network.band
        self.strange: list[bool] = []

    def answer(self, features):
        strange = [bool(self.network.unfamiliar(row)) for row in features]
        self.strange += strange[:1]
        return np.where(np.array(strange)[:, None], np.float32(0), self.network.answer(features))

    def unfamiliar(self, features):
        return ()


def test_the_rule_stands_in_only_while_something_is_unfamiliar(waves):
    network = a_network_policy(since_add=(0.0, 0.2))
    own = OwnGate(network)
    row, _ = judge(waves, network)
    gated, _ = judge(waves, own)
    assert row.measures == gated.measures
    assert row.out_of_distribution_ratio == pytest.approx(np.mean(own.strange))
    assert 0.1 < row.out_of_distribution_ratio < 0.9


def test_an_answer_that_is_no_number_leaves_the_hpas_rule_inside_the_envelope(waves, monkeypatch):
    enveloped = Contender("enveloped-hpa", Rule.HPA, enveloped=True)
    monkeypatch.setattr("training.evaluate.RIVALS", (*RIVALS, enveloped))
    row, rows = judge(waves, ScriptedPolicy(answers=(math.nan, 0.0)))
    assert row.measures == figures(rows, "waves", "enveloped-hpa")
    assert row.out_of_distribution_ratio == 0.0


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"days": math.nan}, "days: nan is not a number from 0.01 to 3660"),
        ({"mean_pods": 0.5}, "mean_pods: 0.5 is not a number from 1 to 1000"),
        ({"startup_s": math.inf}, "startup_s: inf is not a number from 1 to 900"),
    ],
)
def test_a_setting_beyond_its_limit_is_refused_by_name(setting, line):
    with pytest.raises(InputError) as refused:
        EvaluateConfig(**setting)
    assert str(refused.value) == line
