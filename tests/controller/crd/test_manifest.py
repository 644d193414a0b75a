import io
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.crd import manifest
from controller.crd.manifest import MOST_BYTES, MOST_VALUES, STDIN, read_documents
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


def test_anchors_and_merge_keys_are_filled_in(a_file):
    content = "a: &x {d: 1, e: 2}\nb: *x\nc: {<<: *x, e: 3}\nl: [[&y {<<: *x, e: 4}]]\nf: {<<: *y}\n"
    assert read_documents(a_file(content)) == [
        {"a": {"d": 1, "e": 2}, "b": {"d": 1, "e": 2}, "c": {"d": 1, "e": 3}, "l": [[{"d": 1, "e": 4}]]}
        | {"f": {"d": 1, "e": 4}}
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", False),
        ("on", True),
        ("'no'", "no"),
        ("1:30", "1:30"),
        ("1:30.5", "1:30.5"),
        ("2026-01-02", "2026-01-02"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("1_000", 1000),
        ("0x10", 16),
        ("010", 8),
        ("~", None),
        ("1.5", 1.5),
    ],
)
def test_values_are_those_that_kubectl_would_send(a_file, text, value):
    assert read_documents(a_file(f"a: {text}\n")) == [{"a": value}]


def test_json_is_read_with_its_tabs_escapes_and_documents(a_file):
    content = '\n{\n\t"a": "\\ud83d\\ude00\\/",\n\t"b": [1, null]\n}\n{"c": true}\n'
    assert read_documents(a_file(content)) == [{"a": "\U0001f600/", "b": [1, None]}, {"c": True}]
    assert read_documents(a_file("{a: 1}\n---\n{b: 2}\n")) == [{"a": 1}, {"b": 2}]


def test_stdin_is_a_file_too(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfa: 1\n")))
    assert read_documents(STDIN) == [{"a": 1}]


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
        ("a: !!timestamp 2026-99-99\n", "line 1: not usable YAML: cannot be read as 'tag:yaml.org,2002:timestamp'"),
        ("a: !!bool maybe\n", "line 1: not usable YAML: cannot be read as 'tag:yaml.org,2002:bool'"),
        ("a: !!int ''\n", "line 1: not usable YAML: cannot be read as 'tag:yaml.org,2002:int'"),
        ("a: " + "1" * 5000 + "\n", "line 1: not usable YAML: cannot be read as 'tag:yaml.org,2002:int'"),
        (b"a: \x00\n", "not usable YAML: unacceptable character"),
        (b"a: \xff\n", "not UTF-8 text: byte 0xff at offset 3"),
        ("[" * 1500, "nested too deeply"),
        ("a: !" + "x" * 5000 + " 1\n", "line 1: not usable YAML: could not determine"),
        (b"#" * (MOST_BYTES + 1), "more than 4194304 bytes, the limit"),
        ("&a [*a]\n", "line 1: not usable YAML: an anchor holds itself"),
        ("a: 0x" + "f" * 100 + "\n", "line 1: not usable YAML: cannot be read as 'tag:yaml.org,2002:int'"),
        ('{"a": 1, "a": 2}', "not usable JSON: 'a' is given twice"),
        ('{"a": NaN}', "not usable JSON: NaN is no number of JSON"),
        ('{"a": ' + "1" * 5000 + "}", "not usable JSON: a number of 5000 digits, limit 64"),
        ('{"a":' * 100_000, "nested too deeply"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_yaml_is_refused_in_one_line(a_file, content, message):
    with pytest.raises(InputError) as caught:
        read_documents(a_file(content))
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


BOMB = "a0: &a0 {k0: 1, k1: 1, k2: 1, k3: 1, k4: 1, k5: 1, k6: 1, k7: 1, k8: 1}\n"


def doubling(level: str) -> str:
    """Seven levels, each of which holds nine times the one before."""
    lines = (level.format(new=f"a{k}", old=", ".join([f"*a{k - 1}"] * 9)) for k in range(1, 8))
    return BOMB + "".join(lines)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(doubling("{new}: &{new} {{<<: [{old}]}}\n"), id="merge-keys"),
        pytest.param(doubling("{new}: &{new} [{old}]\n"), id="aliases"),
        pytest.param(
            "a: &a {" + ", ".join(f"k{k}: 1" for k in range(2000)) + "}\nb:\n" + "- <<: *a\n" * 200, id="wide"
        ),
        pytest.param("a\n---\n" * (MOST_VALUES + 1), id="documents"),
        pytest.param("[" + "1," * (MOST_VALUES + 1) + "]", id="values"),
        pytest.param('{"a": [' + ",".join(["1"] * (2 * MOST_VALUES + 2)) + "]}", id="json"),
    ],
)
def test_what_a_file_comes_to_is_bounded_before_it_is_built(a_file, content, monkeypatch):
    def build(*given: object, **how: object) -> None:
        pytest.fail("a value was built")

    monkeypatch.setattr(manifest._Loader, "construct_mapping", build)
    with pytest.raises(InputError, match=f"holds more than {MOST_VALUES} values, the limit"):
        read_documents(a_file(content))


@pytest.mark.parametrize("level", ["[", "- ", "? ", "{a: ", "a:\n "])
def test_deep_nesting_is_refused_before_anything_follows_it(a_file, level):
    content = "".join(f"{' ' * k}a:\n" for k in range(500)) if level == "a:\n " else level * 200_000
    with pytest.raises(InputError, match="nested too deeply: more than 64 levels"):
        read_documents(a_file(content))


def test_reading_takes_time_in_proportion_to_the_size(a_file):
    """Eight times the content takes less than 32 times as long; what is quadratic takes 64 times."""
    for piece in ("- {a: 1, b: x}\n", "a{k}: &a{k} x\n", "- 'x''x'\n", "# x\n", "- |\n x\n"):
        small, large = ("".join(piece.replace("{k}", str(k)) for k in range(count)) for count in (2000, 16_000))
        assert time_of(a_file(large)) < 32 * time_of(a_file(small)) + 0.1, piece


def time_of(path):
    """The shortest of three, in seconds of this thread's own work."""
    spent_s = []
    for _ in range(3):
        began_s = time.thread_time()
        read_documents(path)
        spent_s.append(time.thread_time() - began_s)
    return min(spent_s)


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
