"""What a memory keeps of demand, checked against the demand itself."""

import math

import numpy as np
import pytest

from scaling.newsvendor import NOISE_PODS
from scaling.workload import (
    DAY_MINUTES,
    MINUTE_STEPS,
    PEAK_BLOCK_STEPS,
    PEAK_BLOCKS,
    RECENT_STEPS,
    WORKLOAD,
    empty_workloads,
    level_a_day_ago,
    lookahead_minutes,
    new_workload,
    observe,
)
from tests.scaling.builders import HORIZON, a_memory, a_walk

DAY_STEPS = DAY_MINUTES * MINUTE_STEPS


def log_pods(levels):
    return np.log(np.asarray(levels) + NOISE_PODS)


def minutes_of(levels):
    """Each level for a minute."""
    return np.repeat(np.asarray(levels, float), MINUTE_STEPS).tolist()


@pytest.fixture(scope="module")
def numbered_minutes():
    """A day and a bit in which minute m has a demand of m pods, ending with minute 1499."""
    return a_memory(minutes_of(range(1500)))


def test_an_empty_memory_holds_plain_numbers_and_its_own_arrays():
    memory = new_workload()
    assert tuple(memory) == WORKLOAD.names
    scalars = [value for value in memory.values() if not isinstance(value, np.ndarray)]
    assert all(type(value) in (int, float) for value in scalars)
    memory["recent"][:] = 1.0
    assert new_workload()["recent"].max() == 0.0


def test_an_empty_memory_believes_what_is_stated_and_has_never_added():
    memory = new_workload()
    assert (memory["capacity_ratio"], memory["spare_ratio"], memory["since_add"]) == (1.0, 1.0, 1_000_000)


def test_the_first_demand_reads_as_if_it_had_always_been_so():
    memory = a_memory([7.0])
    for name in ("recent", "peaks", "mean_5m", "mean_1h", "mean_6h", "mean_24h"):
        assert memory[name] == pytest.approx(math.log(7.3)), name
    assert memory["variance_5m"] == memory["variance_1h"] == 0.0


def test_every_reading_counts_a_step():
    memory = a_memory([3.0, 5.0, 4.0])
    assert (memory["steps"], memory["level"], memory["since_add"]) == (3, 4.0, 1_000_003)


@pytest.mark.parametrize("n_steps", [2, 63, 64, 65, 200])
def test_recent_holds_the_last_readings_newest_last(n_steps):
    levels = a_walk(n_steps, start=7.0)
    padded = [levels[0]] * RECENT_STEPS + levels
    assert a_memory(levels)["recent"] == pytest.approx(log_pods(padded[-RECENT_STEPS:]))


@pytest.mark.parametrize(("name", "minutes"), [("mean_5m", 5), ("mean_1h", 60), ("mean_6h", 360), ("mean_24h", 1440)])
def test_a_mean_has_gone_63_percent_of_a_step_after_its_time_constant(name, minutes):
    memory = a_memory([2.0] + [20.0] * (minutes * MINUTE_STEPS))
    gone = (memory[name] - math.log(2.3)) / (math.log(20.3) - math.log(2.3))
    assert gone == pytest.approx(1 - math.exp(-1))


@pytest.mark.parametrize(("name", "minutes"), [("variance_5m", 5), ("variance_1h", 60)])
def test_a_variance_has_gone_63_percent_to_the_squared_log_change_after_its_time_constant(name, minutes):
    memory = a_memory([4.0] + [8.0, 4.0] * (minutes * MINUTE_STEPS // 2))
    assert memory[name] == pytest.approx(math.log(8.3 / 4.3) ** 2 * (1 - math.exp(-1)))


@pytest.mark.parametrize("n_steps", [1, 19, 20, 21, 333])
def test_peaks_are_the_maxima_of_five_minute_blocks(n_steps):
    levels = a_walk(n_steps, seed=3, start=7.0)
    blocks: dict[int, float] = {}
    for step, level in enumerate(levels, start=1):
        blocks[step // PEAK_BLOCK_STEPS] = max(level, blocks.get(step // PEAK_BLOCK_STEPS, 0.0))
    expected = ([levels[0]] * PEAK_BLOCKS + list(blocks.values()))[-PEAK_BLOCKS:]
    assert a_memory(levels)["peaks"] == pytest.approx(log_pods(expected))


@pytest.mark.parametrize("minutes_ahead", [1, 2, 5, 16])
def test_a_day_ago_is_what_demand_did_next_back_then(numbered_minutes, minutes_ahead):
    assert level_a_day_ago(numbered_minutes, minutes_ahead) == 1500 - DAY_MINUTES + minutes_ahead


def test_a_minute_is_the_mean_of_its_readings():
    memory = a_memory([1.0, 2.0, 3.0, 6.0, 9.0])
    assert memory["minutes"][0] == 3.0
    assert (memory["minute"], memory["minute_sum"]) == (1, 9.0)


def test_before_a_day_is_known_a_day_ago_is_now():
    levels = minutes_of(np.arange(DAY_MINUTES) % 50 + 1.0)
    memory = a_memory(levels[:-1])
    assert level_a_day_ago(memory, 2) == memory["level"] == 40.0
    observe(memory, levels[-1], 30.0, HORIZON)
    assert level_a_day_ago(memory, 2) == 3.0


@pytest.mark.parametrize("horizon", [3, HORIZON, 62])
def test_a_look_ahead_is_scored_against_the_minute_that_it_was_made_for(horizon):
    minutes_ahead, scored = lookahead_minutes(horizon), 30
    today = np.random.default_rng(1).uniform(1.0, 30.0, DAY_MINUTES + minutes_ahead + scored)
    memory = a_memory(minutes_of(today), horizon=horizon)
    expected, kept = 1.0, 1 - (1 - math.exp(-15 / 3600)) * MINUTE_STEPS
    for minute in range(DAY_MINUTES + minutes_ahead, len(today)):
        error = abs(math.log((today[minute] + NOISE_PODS) / (today[minute - DAY_MINUTES] + NOISE_PODS)))
        expected = expected * kept + min(error, 2.0) * (1 - kept)
    assert memory["lookahead_error"] == pytest.approx(expected)


def test_demand_that_repeats_itself_is_looked_ahead_without_error():
    yesterday = np.random.default_rng(2).uniform(1.0, 30.0, DAY_MINUTES)
    memory = a_memory(minutes_of([*yesterday, *yesterday]))
    assert memory["lookahead_error"] < 1e-6


def test_a_daily_rhythm_is_looked_ahead_well_and_a_new_one_badly():
    wave = (10 + 8 * np.sin(np.arange(0, 2 * DAY_STEPS + 1200) * 2 * np.pi / 960)).tolist()  # six waves a day
    assert a_memory(wave)["lookahead_error"] < 0.05
    assert a_memory(wave[: 2 * DAY_STEPS] + wave[480 : 480 + 1200])["lookahead_error"] > 0.3


@pytest.mark.parametrize(("horizon", "minutes"), [(1, 1), (4, 1), (5, 2), (7, 2), (8, 2), (9, 3), (62, 16)])
def test_yesterday_is_looked_ahead_until_pods_added_now_serve(horizon, minutes):
    assert lookahead_minutes(horizon) == minutes


def test_a_row_of_a_fleet_and_a_dict_remember_the_same():
    levels = a_walk(300, start=7.0)
    row, memory = empty_workloads(1)[0], a_memory(levels)
    for level in levels:
        observe(row, level, 30.0, HORIZON)
    for name in WORKLOAD.names or ():
        assert np.array_equal(row[name], memory[name]), name
