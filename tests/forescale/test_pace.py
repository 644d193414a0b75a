import math

import pytest

from forescale.pace import Pace
from scaling.errors import InputError


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.mark.parametrize(("speed", "took_s"), [(0.0, 0.0), (1.0, 60.0), (120.0, 0.5)])
def test_a_run_takes_its_length_over_its_speed(speed, took_s):
    clock = Clock()
    pace = Pace(speed, clock, clock.sleep)
    pace.start()
    for time_s in (0.0, 15.0, 30.0, 45.0, 60.0):
        pace.wait(time_s)
    assert clock.now_s == pytest.approx(100.0 + took_s)


def test_time_lost_in_one_step_is_caught_up_in_the_next():
    clock = Clock()
    pace = Pace(1.0, clock, clock.sleep)
    clock.now_s += 20.0
    pace.wait(15.0)
    assert clock.now_s == 120.0
    pace.wait(30.0)
    assert clock.now_s == 130.0


@pytest.mark.parametrize("speed", [-1.0, math.nan, math.inf])
def test_a_speed_that_is_none_is_refused(speed):
    with pytest.raises(InputError, match="--speed"):
        Pace(speed)
