import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forescale.series import any_in, bucket_starts, envelope, spans, sums_in, worst_in


def test_a_short_series_is_drawn_whole():
    assert envelope(np.arange(20.0), buckets=10).tolist() == list(range(20))


@given(st.integers(1, 3000), st.integers(1, 50), st.integers(0, 9))
def test_an_envelope_keeps_the_extremes_of_every_bucket_and_both_ends(n_steps, buckets, seed):
    values = np.random.default_rng(seed).normal(size=n_steps)
    kept = envelope(values, buckets)
    assert len(kept) <= max(2 * buckets + 2, 1)
    assert kept[0] == 0
    assert kept[-1] == n_steps - 1
    starts = bucket_starts(n_steps, buckets)
    for start, end in zip(starts, np.append(starts[1:], n_steps), strict=True):
        inside = values[kept[(kept >= start) & (kept < end)]]
        assert inside.min() == values[start:end].min()
        assert inside.max() == values[start:end].max()


def test_an_envelope_skips_what_is_not_a_number():
    values = np.full(1000, np.nan)
    values[500] = 3.0
    assert 500 in envelope(values, buckets=10)


@given(st.lists(st.booleans(), min_size=1, max_size=300), st.integers(1, 40))
def test_spans_cover_every_event_and_start_no_bucket_early(mask, buckets):
    held = np.array(mask)
    found = spans(held, 15.0, buckets)
    bucket_s = np.ceil(len(held) / min(buckets, len(held))) * 15.0
    times_s = np.flatnonzero(held) * 15.0
    assert all(any(start <= t < start + length for start, length in found) for t in times_s)
    for start, length in found:
        inside = times_s[(times_s >= start) & (times_s < start + length)]
        assert inside[0] - start < bucket_s
        assert start + length - inside[-1] <= bucket_s


def test_one_step_is_one_bucket_when_there_are_few():
    assert spans(np.array([False, True, True, False]), 15.0) == [(15.0, 30.0)]


def test_buckets_lose_no_count_and_find_the_worst_step():
    values = np.random.default_rng(1).normal(size=997)
    starts = bucket_starts(997, 10)
    assert sums_in(values, starts).sum() == pytest.approx(values.sum())
    assert values[worst_in(values, starts)].max() == values.max()
    assert any_in(values == values.max(), starts).sum() == 1
