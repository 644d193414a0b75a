"""Who proposes, and what a network knows about its own training."""

import numpy as np
import pytest

from scaling.features import FEATURES, HIGH, LOW, N_FEATURES
from scaling.policy import ACTIONS, RANGE_MARGIN, RULES, feature_schema
from scaling.spec import POLICY_NAMES
from tests.scaling.builders import a_network_policy


def test_every_rule_can_be_named_in_a_spec():
    assert set(RULES) == set(POLICY_NAMES) - {"auto", "default"}
    assert [rule.name for rule in RULES.values()] == list(RULES)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_rules_answer_nothing_and_find_nothing_strange(rule):
    answers = rule.answer(np.full((3, N_FEATURES), 99.0, np.float32))
    assert answers.tolist() == [[0.0, 0.0]] * 3
    assert rule.unfamiliar(np.full(N_FEATURES, np.inf, np.float32)) == ()
    assert rule.sha256 == ""


def test_a_network_answers_within_its_actions():
    policy = a_network_policy()
    features = np.random.default_rng(0).uniform(LOW, HIGH, (50, N_FEATURES)).astype(np.float32)
    answers = policy.answer(features)
    assert answers.shape == (50, len(ACTIONS))
    assert np.abs(answers).max() <= 1.0
    assert np.ptp(answers, axis=0).min() > 0.1
    assert (policy.name, policy.sha256) == ("random", "5" * 64)


def test_a_feature_is_strange_beyond_the_seen_range_and_a_margin():
    policy = a_network_policy(bad=(0.2, 0.6))
    index = [feature.name for feature in FEATURES].index("bad")
    seen = {}
    for value in (0.0, 0.14, 0.16, 0.6, 0.64, 0.66, 1.0):
        features = ((LOW + HIGH) / 2).astype(np.float32)
        features[index] = value
        seen[value] = policy.unfamiliar(features) == ()
    assert RANGE_MARGIN == 0.05
    assert [value for value, familiar in seen.items() if familiar] == [0.16, 0.6, 0.64]


def test_everything_in_range_is_familiar_to_a_network_that_saw_it_all():
    policy = a_network_policy()
    assert policy.unfamiliar(LOW) == policy.unfamiliar(HIGH) == ()


def test_the_schema_lists_the_features_as_a_manifest_must():
    assert [row[0] for row in feature_schema()] == [feature.name for feature in FEATURES]
    assert feature_schema()[0] == ("level", "log10 pods", -1.0, 4.0)
