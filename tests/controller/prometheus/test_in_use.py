from controller.prometheus.in_use import MOST_NEW, TURN_S, InUse


class Words:
    """What is worked out, and a clock that the test moves."""

    def __init__(self, now_s=0.0):
        self.now_s = now_s
        self.worked_out = []
        self.in_use = InUse(self.upper, lambda: self.now_s)

    def upper(self, key):
        """Note what could have been kept."""
        self.worked_out.append(key)
        return key.upper()

    def ask(self, now_s, *keys):
        """Ask for the values of keys at a time."""
        self.now_s = now_s
        assert [self.in_use.of(key) for key in keys] == [key.upper() for key in keys]


def test_ten_thousand_that_come_and_go_leave_no_more_behind_than_two_turns_of_them():
    """Beside two thousand that stay, each of which is worked out twice at most: 500 others every five minutes."""
    words, kept = Words(), []
    for tick in range(20):
        words.ask(300.0 * tick, *(f"stays-{k}" for k in range(2000)), *(f"goes-{tick}-{k}" for k in range(500)))
        kept.append(len(words.in_use))
    assert len(words.worked_out) <= 2 * 2000 + 10_000
    assert max(kept) <= 2000 + 4 * 500


def test_however_many_come_and_go_at_once_a_thousand_of_them_are_kept():
    words = Words()
    for tick in range(20):
        words.ask(15.0 * tick, *(f"goes-{tick}-{k}" for k in range(5000)))
    assert MOST_NEW <= len(words.in_use) < 3 * MOST_NEW  # the filter takes a few of 100,000 for ones that stay


def test_however_many_stay_each_of_them_is_worked_out_twice_at_most():
    words = Words()
    for tick in range(20):
        words.ask(15.0 * tick, *(f"stays-{k}" for k in range(10 * MOST_NEW)))
    assert len(words.worked_out) <= 2 * 10 * MOST_NEW
    assert len(words.in_use) == 10 * MOST_NEW


def test_what_nobody_asked_for_in_a_turn_is_worked_out_again():
    words = Words()
    words.ask(0.0, "often", "rare")
    for turn in range(1, 4):
        words.ask(turn * TURN_S, "often")
    words.ask(3.5 * TURN_S, "often", "rare")
    assert words.worked_out == ["often", "rare", "rare"]


def test_a_clock_that_goes_back_does_not_stop_the_turns():
    words = Words(now_s=1e6)
    words.ask(1e6, "before")
    words.ask(10.0, "after")
    words.ask(10.0 + TURN_S, "after")
    assert len(words.in_use) == 1
