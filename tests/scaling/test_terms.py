"""A spec as the numbers that decisions compute with."""

import numpy as np
import pytest

from scaling.spec import Guardrails, Mode
from scaling.terms import TERMS, horizon_steps, terms_of
from scaling.workload import RECENT_STEPS, REFERENCE_STEPS, TARGET_STEPS
from tests.scaling.builders import a_spec


def test_terms_stand_in_the_order_of_the_record():
    terms = terms_of(a_spec())
    assert tuple(terms) == TERMS.names
    record = np.array(tuple(terms.values()), TERMS)
    assert {name: record[name].item() for name in TERMS.names or ()} == terms


def test_terms_of_the_usual_spec():
    assert terms_of(a_spec(action_price=1.0)) == {
        "stated_capacity": 100.0,
        "min_replicas": 2,
        "max_replicas": 60,
        "price": 30.0,
        "action_price": 1.0,
        "horizon": 7,
        "reference_target": 0.7,
        "reference_window": 20,
        "release_window": 8,
        "hold_after_add": 4,
        "floor_utilization": 0.9,
        "ceiling_ratio": 2.0,
        "min_ready_ratio": 0.5,
        "up_only": 0,
    }


def test_terms_follow_the_spec():
    guardrails = Guardrails(floor_utilization_ratio=0.8, ceiling_ratio=3.0, min_ready_ratio=0.25)
    spec = a_spec(mode=Mode.UP_ONLY, startup_s=0.0, price=100.0, capacity_per_replica=None, guardrails=guardrails)
    terms = terms_of(spec)
    names = ("up_only", "horizon", "price", "floor_utilization", "ceiling_ratio", "min_ready_ratio")
    assert [terms[name] for name in names] == [1, 4, 100.0, 0.8, 3.0, 0.25]
    assert terms["reference_target"] == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("startup_s", "interval_s", "steps"),
    [(0, 15, 4), (1, 15, 4), (15, 15, 4), (60, 15, 7), (61, 15, 8), (60, 5, 7), (60, 60, 10), (60, 300, 26)],
)
def test_the_horizon_ends_when_pods_of_the_next_decision_serve(startup_s, interval_s, steps):
    assert horizon_steps(startup_s, interval_s) == steps


@pytest.mark.parametrize("interval_s", [5.0, 7.0, 15.0, 60.0, 300.0])
@pytest.mark.parametrize("startup_s", [None, 0.0, 3600.0])
def test_what_is_looked_back_on_fits_the_memory(interval_s, startup_s):
    terms = terms_of(a_spec(interval_s=interval_s, startup_s=startup_s))
    assert 1 <= terms["horizon"] <= RECENT_STEPS - 2
    assert 1 <= terms["release_window"] <= TARGET_STEPS
    assert 1 <= terms["reference_window"] < REFERENCE_STEPS
    assert terms["reference_window"] * interval_s <= 300.0
