"""The closed loop on a real control plane: the operator takes a Deployment through a peak and back, and beside it the
real HPA an equal one, which the simulator's HPA is held against."""

import itertools

import numpy as np
import pytest

from scaling.hpa import TOLERANCE
from tests.cluster.audit import sizes, writes
from tests.cluster.closed_loop import (
    CAPACITY_RPS,
    HPA,
    OURS,
    TARGET_RPS,
    Course,
    Recording,
    Setting,
    read_recording,
    record,
)
from tests.cluster.curves import Difference, phase_of, ready, real, replayed, shortage, simulated, table_of
from tests.cluster.load_exporter import Load
from tests.cluster.picture import draw
from tests.cluster.scene import NEEDED, OPERATOR_USER, scene
from tests.required import require

LOW_RPS, HIGH_RPS = 100.0, 9.5 * TARGET_RPS
MOST_NEEDED = 10
"""Replicas at the peak; half a replica from either neighbour, as a scrape that is late reads some percent more."""

RISEN_S, FALLS_S, FALLEN_S, END_S = 15, 35, 40, 200
"""A band is released two minutes after the last decision that asked for it, and no setting shortens that."""

AT_ONCE = {"stabilizationWindowSeconds": 15, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 5}]}
SETTING = Setting(
    load=Load(
        np.interp(np.arange(END_S), [0, RISEN_S, FALLS_S, FALLEN_S], [LOW_RPS, HIGH_RPS, HIGH_RPS, LOW_RPS]), 1.0
    ),
    startup_s=5.0,
    interval_s=5,
    scrape_interval_s=1,
    rate_window_s=5,
    scale_down=AT_ONCE,
    settled_s=8.0,
)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """The recording of a play, and what the audit log says that our operator made of its Deployment."""
    require(*NEEDED)
    with scene(tmp_path_factory.mktemp("loop"), SETTING.wishes) as stage:
        recording = record(stage, SETTING)
        return recording, sizes(SETTING.first, writes(stage.cluster, users=[OPERATOR_USER], name=OURS))


@pytest.fixture
def recording(played):
    return played[0]


def test_replicas_follow_a_peak_up_and_come_back(recording):
    followed = real(recording, OURS)
    assert followed[0] == SETTING.first
    assert MOST_NEEDED <= followed.max() <= 2 * MOST_NEEDED
    assert followed[:FALLEN_S].max() > 2 * followed[0]
    assert followed[-1] <= followed.max() / 2
    assert (np.diff(followed)[:FALLEN_S] >= 0).all()


def test_every_size_stays_within_the_bounds_and_is_one_write_of_the_operator(played):
    recording, written = played
    seen = real(recording, OURS)
    changes = [int(seen[0]), *(int(after) for before, after in itertools.pairwise(seen) if after != before)]
    assert set(changes) <= set(written)
    assert len(written) - len(changes) in (0, 1)  # one may come as the play ends
    assert all(1 <= size <= SETTING.most for size in written)


def test_ready_replicas_can_serve_the_load_once_those_that_the_peak_asked_for_have_started(recording):
    started_s = RISEN_S + 3 * SETTING.interval_s + int(SETTING.startup_s)
    assert shortage(recording, OURS)[started_s:].max() == 0
    assert ready(recording, OURS)[-1] * CAPACITY_RPS >= LOW_RPS


def test_the_operator_shows_in_its_metrics_what_it_does(recording):
    shown, asked = np.array(recording.desired, float), real(recording, OURS)
    assert (np.abs(shown - asked) == 0).mean() > 0.8  # a scrape is up to a second late
    highest = np.nanmax(np.array(recording.reference, float))
    assert HIGH_RPS / (TARGET_RPS * highest) == pytest.approx(1.0, abs=TOLERANCE)
    assert np.array(recording.asked_rps, float).max() == pytest.approx(HIGH_RPS, rel=0.1)


def test_the_exact_algorithm_repeats_the_real_hpa_on_the_same_answers(recording):
    gap = Difference.of(replayed(recording, SETTING), real(recording, HPA))
    assert gap.equal_ratio >= 0.9
    assert gap.hours_ratio == pytest.approx(1.0, abs=0.05)


def test_the_simulators_hpa_goes_the_way_of_the_real_one(recording):
    twin, own = simulated(recording, SETTING, phase_of(recording)), real(recording, HPA)
    gap = Difference.of(twin, own)
    assert gap.mean <= 1.0
    assert gap.hours_ratio == pytest.approx(1.0, abs=0.2)
    assert abs(twin.max() - own.max()) <= 1
    assert twin[-1] == own[-1]


def test_a_recording_is_read_back_drawn_and_told(recording, tmp_path):
    recording.write(tmp_path / "recording.json")
    again = read_recording(tmp_path / "recording.json")
    assert again == recording
    draw(again, tmp_path, SETTING)
    assert (tmp_path / "closed-loop.png").stat().st_size > 20_000
    assert "| the real HPA |" in table_of(again, SETTING)


def test_a_difference_says_how_much_and_which_way():
    late = np.repeat([2.0, 2.0, 6.0, 6.0, 2.0, 2.0], 10)
    early = np.repeat([2.0, 6.0, 6.0, 2.0, 2.0, 2.0], 10)
    gap = Difference.of(late, early)
    assert gap.mean == pytest.approx(8 / 6)
    assert (gap.lag_s, gap.hours_ratio) == (10, 1.0)
    assert gap.equal_ratio == gap.within_one_ratio == pytest.approx(4 / 6)


def test_requests_above_what_is_ready_are_counted():
    course = Course(replicas=[3, 3], ready=[1, 3])
    recording = Recording("made up", 15, [150.0, 250.0], [], [], [], {OURS: course}, [])
    assert shortage(recording, OURS).tolist() == [50.0, 0.0]
