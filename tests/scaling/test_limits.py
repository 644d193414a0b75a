import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.errors import InputError
from scaling.limits import SHOWN_CHARACTERS, Limit, check_limits, finite_number, shown, whole_number

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.text()),
    st.just({"a": []}),
)


@pytest.mark.parametrize("value", [True, 3.0, "3", None, [3], math.nan])
def test_a_whole_number_is_an_integer_and_nothing_like_one(value):
    with pytest.raises(InputError, match=r"^replicas: .* is not a whole number$"):
        whole_number(value, "replicas")


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, pytest.param(10**5000, id="5001-digits")])
def test_a_whole_number_has_at_most_64_bits(value):
    with pytest.raises(InputError, match="64-bit"):
        whole_number(value, "replicas")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", None, False])
def test_a_number_is_finite(value):
    with pytest.raises(InputError, match=r"^price: .* is not a (finite )?number$"):
        finite_number(value, "price")


@pytest.mark.parametrize("value", [5, 5.0, 300])
def test_both_ends_are_inside(value):
    Limit("interval", 5, 300).check(value)


@pytest.mark.parametrize("value", [4.999, 301, -1, 10**400])
def test_outside_names_path_value_and_range(value):
    with pytest.raises(InputError) as refusal:
        Limit("interval", 5, 300).check(value)
    assert str(refusal.value) == f"interval: {shown(value)} is outside 5..300"


def test_a_ratio_is_told_in_the_unit_of_the_resource():
    with pytest.raises(InputError, match=r"^share: 7 is outside 10\.\.100$"):
        Limit("share", 10, 100, factor=100).check(0.07)


def test_none_passes_only_where_it_is_allowed():
    Limit("startup", 0, 10, optional=True).check(None)
    with pytest.raises(InputError, match="null is not a number"):
        Limit("startup", 0, 10).check(None)


def test_every_named_attribute_is_checked():
    with pytest.raises(InputError, match=r"^real: 3 is outside 4\.\.5$"):
        check_limits(3, {"imag": Limit("imag", 0, 1), "real": Limit("real", 4, 5)})


@given(ANYTHING)
def test_whatever_is_shown_fits_one_short_printable_line(value):
    assert shown(value).isprintable()
    assert len(shown(value)) <= 12 * SHOWN_CHARACTERS + 5  # an emoji is two escapes of six
