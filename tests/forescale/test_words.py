import numpy as np
import pytest

from forescale import words
from scaling.decision import Reason
from tests.forescale.builders import a_run


def test_every_reason_has_words():
    assert set(words.REASONS) == set(Reason)
    assert len({entry.label for entry in words.REASONS.values()}) == len(Reason)
    assert max(len(entry.label) for entry in words.REASONS.values()) <= 22  # the margin beside the chart's lanes


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0.0, "0.00 %"), (0.00001, "<0.01 %"), (0.0123, "1.23 %"), (1.0, "100.00 %"), (np.nan, "\N{EN DASH}")],
)
def test_a_small_share_never_reads_as_zero(ratio, text):
    assert words.percent(ratio) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(-0.126, "\N{MINUS SIGN}12.6 %"), (0.3, "+30.0 %"), (-0.0, "0.0 %"), (1e-9, "0.0 %"), (np.inf, "\N{EN DASH}")],
)
def test_changes_carry_their_sign(ratio, text):
    assert words.change(ratio) == text


@pytest.mark.parametrize(
    ("time_s", "text"), [(0, "00:00:00"), (22_530, "06:15:30"), (86_400, "1 d 00:00:00"), (93_784.9, "1 d 02:03:05")]
)
def test_clocks_count_days(time_s, text):
    assert words.clock(time_s) == text


def test_rates_keep_what_matters():
    assert [words.rate(value) for value in (0.0, 0.0123, 45.67, 1234.5, 2e6)] == [
        "0",
        "0.0123",
        "45.7",
        "1,234",
        "2,000,000",
    ]


def test_durations_take_the_unit_that_suits_them():
    assert [words.duration(value) for value in (0.25, 1.5, np.nan)] == ["250 ms", "1.5 s", "\N{EN DASH}"]


def test_moves_and_bands_read_plainly():
    _, decisions = a_run()
    added = next(decision for decision in decisions if decision.final_replicas > decision.current_replicas)
    assert words.move(added) == f"Add {added.final_replicas - added.current_replicas}"
    assert words.band(None) == "\N{EN DASH}"
