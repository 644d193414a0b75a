import re
import time
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.promql.patterns import fault_of


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("[", "[ is not closed"),
        ("[^]", "[ is not closed"),
        ("a[]b", "[ is not closed"),
        ("(a", "( is not closed"),
        ("a)(", ") closes nothing"),
        ("a\\", "nothing follows \\"),
        ("*a", "* repeats nothing"),
        ("a|+", "+ repeats nothing"),
        ("(*)", "* repeats nothing"),
        ("?", "? repeats nothing"),
    ],
)
def test_what_is_surely_no_pattern_is_told(pattern, fault):
    assert fault_of(pattern) == fault


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "",
            "web-[a-z0-9]{5}",
            "(?:a|b)-[^-]+",
            "[]a]",
            "[^]a]",
            "[[:alpha:]_]",
            "[[:^alpha:]]",
            "(?i)a",
            "(?P<n>a)*?",
        ),
        *("\\(", "[(]", "[\\]]", "\\Q[\\E", "a||b", "()", ".*", "\\pN+", "{", "}", "a{,5}"),
    ],
)
def test_patterns_are_taken(pattern):
    assert fault_of(pattern) is None


@given(st.text(alphabet="ab()[]|\\^.", max_size=12))
def test_what_python_reads_as_a_pattern_is_one(pattern):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # some day "[[" may begin a set within a set
            re.compile(pattern)
    except re.error:
        return
    assert fault_of(pattern) is None


@pytest.mark.parametrize("piece", ["[", "(", "[[:", "\\", "[a]", "(?", "[^", "[]"])
def test_a_pattern_is_read_in_a_time_by_its_length(piece):
    def cpu_s(pattern: str) -> float:
        began_s = time.process_time()
        fault_of(pattern)
        return time.process_time() - began_s

    assert cpu_s((piece * 8192)[:8192]) < 20 * cpu_s("ab." * 2730) + 0.01
