"""Who is due when."""

import random

import pytest

from controller.operator.schedule import BEHIND_SCRAPE_S, STAYS_FOR, Schedule


def a_schedule(**members):
    schedule = Schedule(random.Random(0))
    for member, (group, interval_s) in members.items():
        schedule.put(member, group, interval_s, 0.0)
    return schedule


def test_a_group_is_due_together_once_an_interval():
    schedule = a_schedule(a=("g", 15), b=("g", 15), c=("h", 15))
    times: dict[str, list[int]] = {member: [] for member in "abc"}
    for second in range(60):
        for member in schedule.due(float(second)):
            times[member].append(second)
    assert times["a"] == times["b"]
    assert [len(when) for when in times.values()] == [4, 4, 4]
    assert {late - early for early, late in zip(times["c"], times["c"][1:], strict=False)} == {15}


def test_beats_begin_at_different_points_within_half_an_interval():
    schedule = a_schedule(**{f"m{k}": (f"g{k}", 15) for k in range(100)})
    sizes = [len(schedule.due(float(second))) for second in range(9)]
    assert sum(sizes) == 100
    assert max(sizes) < 25


def test_beats_that_were_missed_are_not_made_up_for():
    schedule = a_schedule(a=("g", 15))
    assert schedule.due(1000.0) == ["a"]
    assert schedule.due(1001.0) == []
    assert 1001.0 < schedule.next_s(2000.0) <= 1015.0


def test_a_beat_moves_behind_the_scrape_by_coming_sooner():
    schedule = a_schedule(a=("g", 15))
    before_s = schedule.next_s(99.0)
    schedule.follow({"a": before_s - 6.0})
    assert schedule.next_s(99.0) == pytest.approx(before_s - 6.0 + BEHIND_SCRAPE_S)
    schedule.follow({"a": before_s - 36.0})  # two scrapes ago: the same point
    assert schedule.next_s(99.0) == pytest.approx(before_s - 6.0 + BEHIND_SCRAPE_S)


def test_members_that_are_scraped_at_different_times_move_their_beat_once():
    """Told in parts, as a tick's outcomes come: each part wants another point."""
    schedule = a_schedule(**{f"m{k}": ("g", 15) for k in range(100)})
    before_s = schedule.next_s(99.0)
    for _ in range(3):
        for part in range(0, 100, 20):
            schedule.follow({f"m{k}": before_s - 15.0 + k * 0.1 for k in range(part, part + 20)})
    assert schedule.next_s(99.0) == pytest.approx(before_s - 15.0 + 1.9 + BEHIND_SCRAPE_S)


def test_a_beat_moves_again_after_a_while():
    schedule = a_schedule(a=("g", 15))
    moved = 0
    for second in range(3600):
        schedule.due(float(second))
        before_s = schedule.next_s(0.0)
        schedule.follow({"a": second * 1.01})  # scrapes whose times run away
        moved += schedule.next_s(0.0) != before_s
    assert 3600 / (15 * (STAYS_FOR + 1)) - 1 <= moved <= 3600 / (15 * (STAYS_FOR - 1)) + 1


def test_a_member_moves_with_its_group_and_leaves_nothing_behind():
    schedule = a_schedule(a=("g", 15))
    schedule.put("a", "h", 5, 0.0)
    assert schedule.due(100.0) == ["a"]
    schedule.drop("a")
    assert schedule.due(200.0) == []
    assert schedule.next_s(7.0) == 7.0
