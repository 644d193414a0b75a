import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.crd.manifest import MOST_BYTES, read_documents
from scaling.errors import InputError


@pytest.fixture
def a_file(tmp_path):
    def write(content):
        path = tmp_path / "policy.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_documents_come_in_order_without_empty_ones(a_file):
    assert read_documents(a_file("---\na: 1\n---\n---\nb: [x]\n...\n")) == [{"a": 1}, {"b": ["x"]}]


def test_a_byte_order_mark_is_no_content(a_file):
    assert read_documents(a_file(b"\xef\xbb\xbfa: 1\n")) == [{"a": 1}]


def test_dates_and_anchors_are_plain_values(a_file):
    assert read_documents(a_file("a: &x {d: 2026-01-02}\nb: *x\n")) == [
        {k: {"d": datetime.date(2026, 1, 2)} for k in "ab"}
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 1\nb: [1\n", "line 3: not usable YAML"),
        ("a: 1\n\tb: 2\n", "line 2: not usable YAML"),
        ("a: 1\nb: 2\na: 3\n", "line 3: not usable YAML: 'a' is given twice"),
        ("a:\n  b: 1\n  b: 1\n", "line 3: not usable YAML: 'b' is given twice"),
        ("a: *nowhere\n", "line 1: not usable YAML: found undefined alias"),
        ("? [a]\n: 1\n", "line 1: not usable YAML: found unhashable key"),
        ("a: !!python/object/apply:os.system [id]\n", "could not determine a constructor"),
        ("a: 2026-99-99\n", "line 1: not usable YAML: cannot be read as 'tag:yaml.org,2002:timestamp'"),
        ("a: !!bool maybe\n", "line 1: not usable YAML: cannot be read as 'tag:yaml.org,2002:bool'"),
        ("a: !!int ''\n", "line 1: not usable YAML: cannot be read as 'tag:yaml.org,2002:int'"),
        ("a: " + "1" * 5000 + "\n", "line 1: not usable YAML: cannot be read as 'tag:yaml.org,2002:int'"),
        (b"a: \x00\n", "not usable YAML: unacceptable character"),
        (b"a: \xff\n", "not UTF-8 text: byte 0xff at offset 3"),
        ("[" * 1500, "nested too deeply"),
        ("a: !" + "x" * 5000 + " 1\n", "line 1: not usable YAML: could not determine"),
        (b"#" * (MOST_BYTES + 1), "more than 1048576 bytes, the limit"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_yaml_is_refused_in_one_line(a_file, content, message):
    with pytest.raises(InputError) as caught:
        read_documents(a_file(content))
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_what_is_no_file_is_refused(tmp_path):
    for path, message in (
        (tmp_path / "none.yaml", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (tmp_path / "a\0b", "not a file name"),
    ):
        with pytest.raises(InputError, match=message):
            read_documents(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.text(alphabet="ab:-[]{}&*!|>'\"#%,?0. \n\t<", max_size=60).map(str.encode))
def test_any_bytes_are_documents_or_refused(a_file, content):
    message = ""
    try:
        read_documents(a_file(content))
    except InputError as error:
        message = str(error)
    assert message.isprintable()
