"""What a log line is, for people and for collectors."""

import json
import logging
import sys

import pytest

from forescale.logs import JsonFormatter, LogFormat, start_logging, usual_format
from scaling.errors import InputError


def a_record(message: str, *values: object, failed: bool = False) -> logging.LogRecord:
    try:
        raise ValueError("broken") if failed else KeyError
    except (ValueError, KeyError):
        error = sys.exc_info() if failed else None
    record = logging.LogRecord("controller.loop", logging.WARNING, "loop.py", 1, message, values, error)
    record.created = 1_767_225_600.25
    return record


def test_a_json_line_has_time_level_logger_and_message():
    line = JsonFormatter().format(a_record("5 of %s\nand more", "web"))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-01-01T00:00:00.250Z",
        "level": "warning",
        "logger": "controller.loop",
        "message": "5 of web\nand more",
    }


def test_a_failure_stands_in_the_same_line():
    line = JsonFormatter().format(a_record("no decision", failed=True))
    assert "\n" not in line
    assert "ValueError: broken" in json.loads(line)["exception"]


def test_json_is_usual_in_a_pod_and_text_elsewhere():
    assert usual_format({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}) is LogFormat.JSON
    assert usual_format({}) is LogFormat.TEXT


def test_a_level_that_there_is_not_is_refused():
    with pytest.raises(InputError, match="--log-level: loud is not debug"):
        start_logging("loud", LogFormat.TEXT)
