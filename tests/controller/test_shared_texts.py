"""Equal texts are kept once, and only so many of them."""

from controller.promql import grouping, matchers
from controller.promql.grouping import shape_of
from controller.shared_texts import MOST_CHARACTERS, MOST_OF_ONE, SharedTexts


def a_text(number, size=100):
    return f"{number}" + "x" * size


def test_equal_texts_become_one():
    texts = SharedTexts()
    assert texts.share(a_text(1)) is texts.share(a_text(1))


def test_a_full_store_is_emptied_and_shares_again():
    texts = SharedTexts(most_characters=1000)
    for number in range(100):
        texts.share(a_text(number))
        assert sum(map(len, texts._texts)) <= 1000
    assert texts.share(a_text(99)) is texts.share(a_text(99))


def test_a_long_text_is_returned_as_it_is():
    texts = SharedTexts()
    texts.share("x" * (MOST_OF_ONE + 1))
    assert len(texts) == 0


def test_queries_that_nobody_asks_any_more_are_not_kept_for_ever():
    for number in range(2_000):
        shape_of(f'sum(m{number}{"x" * 4000}{{app="web", pod=~"web-[a-z]{{{number}}}"}})')
    for texts in (grouping.TEXTS, matchers.ENDINGS):
        assert len(texts) > 0
        assert sum(map(len, texts._texts)) <= MOST_CHARACTERS
