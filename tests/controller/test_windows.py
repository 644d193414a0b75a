"""Freeze windows: when they are open, across changes of clocks too, and what they come to."""

import random
import sys
import zoneinfo
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from controller import windows
from controller.crd.freeze_window import Starts, zone_of
from controller.crd.resource import parse_policy
from controller.windows import wishes_at
from scaling.decision import Reason
from scaling.errors import InputError
from scaling.spec import FallbackTo

BERLIN = "Europe/Berlin"
DAY_HOURS = 23
"""Of the shortest day; no test looks at what comes after."""


def a_resource(*freeze_windows, name="web", fallback=None):
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": 2,
        "maxReplicas": 60,
        "demand": {"targetPerReplica": "70"},
        "guardrails": {"freezeWindows": list(freeze_windows), "fallback": fallback or {}},
    }
    body = {"apiVersion": "forescale.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": name}, "spec": spec}
    return parse_policy(body)


def a_window(schedule="0 8 * * *", duration="2h", zone=None, **effect):
    place = {"timeZone": zone} if zone else {}
    return {"schedule": schedule, "duration": duration, **place, **(effect or {"action": "Freeze"})}


def at(text, zone=UTC, fold=0):
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def is_open(window, unix_s):
    return wishes_at(a_resource(window), unix_s)[1] == (Reason.FROZEN,)


def opened_and_closed(window, day, zone):
    """Wall times, with their distance from UTC, at which a window opens or closes, seen every minute of a day."""
    resource, begin, seen = a_resource(window), at(day, ZoneInfo(zone)), []
    before = bool(wishes_at(resource, begin - 60)[1])
    for minute in range(DAY_HOURS * 60):
        now = bool(wishes_at(resource, begin + 60 * minute)[1])
        if now is not before:
            seen.append(datetime.fromtimestamp(begin + 60 * minute, ZoneInfo(zone)).strftime("%d %H:%M %z"))
        before = now
    return seen


# When


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-11-23T07:59:59.999", False),
        ("2026-11-23T08:00:00", True),
        ("2026-11-23T09:59:59.999", True),
        ("2026-11-23T10:00:00", False),
    ],
)
def test_a_window_is_open_from_its_start_until_its_duration_has_passed(when, expected):
    assert is_open(a_window(), at(when)) is expected


@pytest.mark.parametrize(
    ("schedule", "duration", "when", "expected"),
    [
        ("0 8 * * 1-5", "2h", "2026-11-21T08:30", False),  # a Saturday
        ("0 8 * * mon-fri", "2h", "2026-11-23T08:30", True),
        ("0 22 * * *", "8h", "2026-11-23T05:59", True),  # since yesterday
        ("*/10 * * * *", "20m", "2026-11-23T05:59", True),  # the next begins before the last ends
        ("*/10 * * * *", "5m", "2026-11-23T05:55", False),
        ("0 0 29 2 *", "24h", "2028-02-29T12:00", True),
        ("0 0 29 2 *", "24h", "2026-03-01T12:00", False),
        ("0 0 L * *", "24h", "2026-11-30T12:00", True),
        ("0 0 * 12 *", "24h", "2026-12-31T23:59", True),
        ("0 0 * 12 *", "24h", "2027-01-01T00:00", False),
    ],
)
def test_schedules_are_read_as_cron_reads_them(schedule, duration, when, expected):
    assert is_open(a_window(schedule, duration), at(when)) is expected


def test_a_schedule_is_read_on_the_clocks_of_its_zone():
    window = a_window("0 8 * * *", "1h", BERLIN)
    assert is_open(window, at("2026-07-01T06:30"))
    assert not is_open(window, at("2026-12-01T06:30"))
    assert is_open(window, at("2026-12-01T07:30"))


@pytest.mark.parametrize(
    ("schedule", "duration", "seen"),
    [
        ("0 1 * * *", "2h", ["28 01:00 +0100", "28 04:00 +0200"]),  # two hours pass
        ("30 2 * * *", "1h", ["28 03:00 +0200", "28 04:00 +0200"]),  # 02:30 is skipped: right after the gap
        ("0 3 * * *", "1h", ["28 03:00 +0200", "28 04:00 +0200"]),
    ],
)
def test_when_clocks_go_forward(schedule, duration, seen):
    """In Berlin on 2027-03-28, 02:00 +0100 is 03:00 +0200."""
    assert opened_and_closed(a_window(schedule, duration, BERLIN), "2027-03-28", BERLIN) == seen


@pytest.mark.parametrize(
    ("schedule", "duration", "seen"),
    [
        ("0 1 * * *", "2h", ["25 01:00 +0200", "25 02:00 +0100"]),
        ("30 2 * * *", "1h", ["25 02:30 +0200", "25 02:30 +0100"]),  # once, the first time
        ("30 2 * * *", "20m", ["25 02:30 +0200", "25 02:50 +0200"]),
        ("0 3 * * *", "1h", ["25 03:00 +0100", "25 04:00 +0100"]),
    ],
)
def test_when_clocks_go_back(schedule, duration, seen):
    """In Berlin on 2026-10-25, 03:00 +0200 is 02:00 +0100, so that 02:30 comes twice."""
    assert opened_and_closed(a_window(schedule, duration, BERLIN), "2026-10-25", BERLIN) == seen


@pytest.mark.parametrize("day", ["2027-03-28", "2026-10-25", "2026-11-23"])
def test_a_window_of_every_hour_opens_in_every_hour_that_passes(day):
    assert len(opened_and_closed(a_window("0 * * * *", "30m", BERLIN), day, BERLIN)) == 2 * DAY_HOURS


def test_a_window_of_every_minute_stays_open_in_the_hour_that_comes_twice():
    resource = a_resource(a_window("* * * * *", "1m", BERLIN))
    second_pass_s = at("2026-10-25T02:30", ZoneInfo(BERLIN), fold=1)
    assert all(wishes_at(resource, second_pass_s + seconds)[1] for seconds in (0, 30, 59.5, 3600))


CHANGES_OF_CLOCKS = ("2026-03-29T01:00", "2026-10-25T01:00", "2026-11-01T06:00", "2026-04-04T15:00")
"""Berlin's, one of New York's, and Lord Howe's by half an hour."""


@pytest.mark.parametrize("zone", ["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("change", CHANGES_OF_CLOCKS)
def test_looking_back_and_ahead_finds_the_starts_that_come_up_one_by_one(zone, change):
    rng, change_s = random.Random(7), at(change)
    for schedule in ("30 2 * * *", "0,15 1-3 * * *", "*/20 * * * *", "15 * * * *", "59 23 * * 0", "30 1 25-31 3,10 0"):
        long_before = datetime.fromtimestamp(change_s - 9 * 86_400, zone_of(zone))
        starts = [start.timestamp() for start, _ in zip(CronSim(schedule, long_before), range(800), strict=False)]
        for unix_s in [change_s + rng.uniform(-2, 2) * 3600 for _ in range(20)]:
            minute = int(unix_s // 60)
            passed = [start for start in starts if start <= 60 * minute]
            assert windows._next_start_s(schedule, zone, minute) == starts[len(passed)], (schedule, unix_s)
            if passed:
                assert windows._last_start_s(schedule, zone, minute) == passed[-1], (schedule, unix_s)


# What


def wishes(*freeze_windows, when="2026-11-23T08:30", **resource):
    spec, holds = wishes_at(a_resource(*freeze_windows, **resource), at(when))
    return spec.min_replicas, spec.max_replicas, holds


SHUT = "0 20 * * *"


@pytest.mark.parametrize(
    ("freeze_windows", "expected"),
    [
        ([], (2, 60, ())),
        ([a_window()], (2, 60, (Reason.FROZEN,))),
        ([a_window(action="NoScaleDown")], (2, 60, (Reason.NO_SCALE_DOWN,))),
        ([a_window(minReplicas=20)], (20, 60, ())),
        ([a_window(maxReplicas=20)], (2, 20, ())),
        ([a_window(SHUT), a_window(SHUT, minReplicas=20)], (2, 60, ())),
        ([a_window(minReplicas=20), a_window(minReplicas=30), a_window(minReplicas=10)], (30, 60, ())),
        ([a_window(maxReplicas=20), a_window(maxReplicas=30), a_window(SHUT, maxReplicas=10)], (2, 20, ())),
        ([a_window(minReplicas=30), a_window(maxReplicas=20)], (20, 20, ())),
        ([a_window(), a_window(), a_window(action="NoScaleDown")], (2, 60, (Reason.FROZEN, Reason.NO_SCALE_DOWN))),
        ([a_window(), a_window(minReplicas=20)], (20, 60, (Reason.FROZEN,))),
    ],
)
def test_open_windows_come_to_bounds_and_holds(freeze_windows, expected):
    assert wishes(*freeze_windows) == expected


def test_a_spec_without_an_open_window_is_the_resources_own():
    resource = a_resource(a_window(SHUT, minReplicas=20))
    assert wishes_at(resource, at("2026-11-23T08:30"))[0] is resource.spec


@pytest.mark.parametrize(("bounds", "fixed"), [({"minReplicas": 20}, 20), ({"maxReplicas": 5}, 5), ({}, 10)])
def test_a_fallback_keeps_the_bounds_of_the_window(bounds, fixed):
    resource = a_resource(a_window(**bounds), fallback={"replicas": 10})
    fallback = wishes_at(resource, at("2026-11-23T08:30"))[0].guardrails.fallback
    assert (fallback.to, fallback.replicas) == (FallbackTo.REPLICAS, fixed)


# Cost


def test_nothing_is_worked_out_again_before_it_can_change(monkeypatch):
    asked, answer = [], windows._answer

    def counted(policy, unix_s):
        asked.append(unix_s)
        return answer(policy, unix_s)

    monkeypatch.setattr(windows, "_answer", counted)
    resource = a_resource(a_window(), a_window("0 9 * * *", minReplicas=9))
    for step in range(6 * 240):
        wishes_at(resource, at("2026-11-23T06:00") + 15 * step)
    changes = ["06:00", "08:00", "09:00", "10:00", "11:00"]  # the first look, then each opening and closing
    assert asked == [at(f"2026-11-23T{change}") for change in changes]


def test_policies_with_the_same_schedule_share_what_was_found(monkeypatch):
    asked = []

    class Counted(Starts):
        def __init__(self, *arguments):
            asked.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(windows, "Starts", Counted)
    for index in range(50):
        wishes_at(a_resource(a_window("7 3 * * *"), name=f"web-{index}"), at("2026-11-23T08:30"))
    assert len(asked) == 2  # backwards and forwards


def test_a_clock_that_goes_back_is_told_the_truth():
    resource = a_resource(a_window())
    assert [bool(wishes_at(resource, at(f"2026-11-23T{when}"))[1]) for when in ("10:30", "09:30", "07:30")] == [
        False,
        True,
        False,
    ]


def test_a_policy_that_is_gone_is_forgotten():
    before = len(windows._ANSWERS)
    resource = a_resource(a_window(), name="passing")
    wishes_at(resource, at("2026-11-23T08:30"))
    assert len(windows._ANSWERS) == before + 1
    del resource
    assert len(windows._ANSWERS) == before


# Machines without a time zone database


@pytest.fixture
def without_zones(monkeypatch):
    """No database in the system's folders, and no package tzdata."""
    for name in {"tzdata", *(name for name in sys.modules if name.startswith("tzdata."))}:
        monkeypatch.setitem(sys.modules, name, None)
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=())
    ZoneInfo.clear_cache()
    zone_of.cache_clear()
    yield
    zoneinfo.reset_tzpath(to=before)
    ZoneInfo.clear_cache()
    zone_of.cache_clear()


@pytest.mark.usefixtures("without_zones")
def test_without_a_time_zone_database_utc_is_known_and_anything_else_says_what_is_missing():
    assert is_open(a_window(), at("2026-11-23T08:30"))
    with pytest.raises(
        InputError,
        match=r'freezeWindows\[0\]\.timeZone: "Europe/Berlin" cannot be looked up: there is '
        "no time zone database here; install the Python package tzdata, or write the schedule in UTC",
    ):
        a_resource(a_window(zone=BERLIN))
