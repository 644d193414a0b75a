"""Results as documents for programs: one clean JSON, YAML or CSV document on stdout."""

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from scaling.errors import InputError


class OutputFormat(StrEnum):
    """How a command prints its result."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"


OUTPUT = Annotated[
    OutputFormat,
    typer.Option(
        "--output", "-o", help="Form of the result. All but text is one document on stdout, and all else is on stderr."
    ),
]

JSON_ALIAS = Annotated[bool, typer.Option("--json", help="The same as -o json.")]
"""What `-o json` was called first."""

Rows = Sequence[Mapping[str, Any]]


def chosen(form: OutputFormat, as_json: bool) -> OutputFormat:
    """The form that both options ask for. Raises InputError if they differ."""
    if as_json and form not in (OutputFormat.TEXT, OutputFormat.JSON):
        raise InputError(f"--json and -o {form.value}: give one of them")
    return OutputFormat.JSON if as_json else form


def write_document(
    form: OutputFormat, document: Mapping[str, Any], rows: Rows, columns: Sequence[str] | None = None
) -> None:
    """Print a document, or `rows` of it as CSV. Not for `TEXT`. Columns: by default the keys of the first row."""
    _write_whole(rendered(form, document, rows, columns))


def _write_whole(text: str) -> None:
    """Print a text of any length. Raises OSError where it does not fit.

    With PYTHONUNBUFFERED a text stream writes once, and says nothing of what did not fit on a disk that is nearly full.
    """
    stream = sys.stdout
    stream.flush()
    binary = getattr(stream, "buffer", None)
    if binary is None:  # a stream of text alone, as in tests
        stream.write(text)
        return
    rest = memoryview(text.encode(stream.encoding, stream.errors or "strict"))
    while rest:
        written = binary.write(rest)
        if not written:
            raise BlockingIOError("stdout takes nothing more")
        rest = rest[written:]
    stream.flush()


def rendered(form: OutputFormat, document: Mapping[str, Any], rows: Rows, columns: Sequence[str] | None = None) -> str:
    """A document as text that ends in a line break. Raises ValueError for a number that JSON lacks, such as NaN."""
    if form is OutputFormat.CSV:
        return _csv(rows, columns if columns is not None else list(rows[0]) if rows else [])
    text = json.dumps(document, allow_nan=False)
    if form is OutputFormat.YAML:
        import yaml

        return yaml.safe_dump(json.loads(text), sort_keys=False, allow_unicode=True, width=120)
    return f"{text}\n"


def _csv(rows: Rows, columns: Sequence[str]) -> str:
    file = io.StringIO()
    table = csv.DictWriter(file, columns, lineterminator="\n")
    table.writeheader()
    table.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    return file.getvalue()
