from controller.prometheus.group_sizes import MOST_REMEMBERED, MOST_SHARED, REMEMBERED_S, GroupSizes


def test_what_failed_together_is_asked_in_quarters_until_each_is_alone():
    sizes, questions, found = GroupSizes(), list(range(250)), []
    while len(questions) > 1:
        sizes.quarter(questions, 0.0)
        found.append(sizes.most_with(questions[0], 1.0))
        questions = questions[: found[-1]]
    assert found == [63, 16, 4, 1]
    assert sizes.most_with("another", 1.0) == MOST_SHARED


def test_a_size_is_forgotten_after_an_hour_and_when_the_clock_goes_back():
    sizes = GroupSizes()
    sizes.quarter("abcd", 5000.0)
    assert sizes.most_with("a", 5000.0 + REMEMBERED_S - 1) == 1
    assert sizes.most_with("a", 5000.0 + REMEMBERED_S) == MOST_SHARED
    assert sizes.most_with("a", 10.0) == MOST_SHARED


def test_sizes_of_questions_that_come_and_go_do_not_pile_up():
    sizes = GroupSizes()
    for tick in range(100):
        sizes.quarter([f"{tick}-{k}" for k in range(500)], 15.0 * tick)
        assert len(sizes) <= MOST_REMEMBERED + 500
    sizes.quarter(["last"], 1e6)
    assert len(sizes) == 1
