"""One window of spec.guardrails.freezeWindows: when it begins, how long it lasts, and its one effect.

Owns the value and the form of a schedule and a time zone. When a window is open is left to `controller.windows`.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from scaling.decision import Reason
from scaling.limits import Limit

MOST_WINDOWS = 20
"""Windows in one policy. Chosen: nobody oversees more."""

SCHEDULE_CHARACTERS = 128
ZONE_CHARACTERS = 64
MOST_STEPS = 600
"""Days and hours that are looked at for the next start. Chosen: 29 February takes 230, a Friday the 13th up to 430; all
windows of a policy then take some ten milliseconds."""

WINDOW_DURATION = Limit("spec.guardrails.freezeWindows[].duration", 60, 7 * 86_400)
"""Seconds. Chosen: cron knows nothing shorter than a minute, and windows that begin every day make up a month."""


@dataclass(frozen=True, kw_only=True)
class FreezeWindow:
    """A recurring window with exactly one effect."""

    schedule: str
    """When it begins: cron in five fields."""

    duration_s: float
    """How long it is open, in seconds that pass: a day with a change of clocks has 23 or 25 hours of them."""

    time_zone: str = "UTC"
    """Whose clocks the schedule is read on: a name of the IANA database."""

    hold: Reason | None = None
    """FROZEN or NO_SCALE_DOWN while it is open."""

    min_replicas: int | None = None
    """Fewest replicas while it is open."""

    max_replicas: int | None = None
    """Most replicas while it is open."""


CRON_WORD = "[0-9A-Za-z*,/#-]+"
SCHEDULE = f"({CRON_WORD} +){{4}}{CRON_WORD}"
"""As much of a schedule's form as one can read in a pattern; the rest is for `check_schedule`."""
ZONE = r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}"


class Starts(CronSim):
    """Iterates over the starts of a schedule, and ends where the next one takes too many steps to find."""

    def __init__(self, schedule: str, begin: datetime, reverse: bool = False) -> None:
        self._steps_left = MOST_STEPS
        super().__init__(schedule, begin, reverse)

    def __next__(self) -> datetime:
        self._steps_left = MOST_STEPS
        return super().__next__()

    def match_day(self, d: date) -> bool:
        """Look at one day."""
        self._step()
        return super().match_day(d)

    def tick(self, seconds: int = 1) -> None:
        """Go on within a day."""
        self._step()
        super().tick(seconds)

    def _step(self) -> None:
        self._steps_left -= 1
        if self._steps_left < 0:
            raise StopIteration


@lru_cache(maxsize=1024)
def check_schedule(schedule: str) -> None:
    """Refuse, with a ValueError that says why, what has the form of a schedule and is none."""
    try:
        next(Starts(schedule, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise ValueError(f"is not a cron schedule: {str(error).lower()}") from error
    except StopIteration:
        raise ValueError("is a cron schedule that never comes, or hardly ever") from None


@lru_cache(maxsize=1024)
def zone_of(name: str) -> tzinfo:
    """The time zone of a name; ValueError that says why there is none. UTC is known without any database."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(_why_unknown()) from error


def _why_unknown() -> str:
    try:
        ZoneInfo("Etc/UTC")  # any database has it
    except ZoneInfoNotFoundError:
        return (
            "cannot be looked up: there is no time zone database here; install the Python package tzdata, or write "
            "the schedule in UTC"
        )
    return "is not a time zone of the IANA database"
