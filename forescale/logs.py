"""Log records on stderr: a line of text for people, or a line of JSON for what collects logs in a cluster."""

import datetime
import json
import logging
import os
from collections.abc import Mapping
from enum import StrEnum

from scaling.errors import InputError

LEVELS = ("debug", "info", "warning", "error")
CHATTY = ("kopf", "aiohttp", "asyncio", "kubernetes", "matplotlib")
"""Libraries whose records are shown from warnings on."""


class LogFormat(StrEnum):
    """How a record is written."""

    TEXT = "text"
    JSON = "json"


def start_logging(level: str, form: LogFormat) -> None:
    """Write records from `level` on to stderr. Raises InputError for a level that there is not."""
    if level not in LEVELS:
        raise InputError(f"--log-level: {level} is not {', '.join(LEVELS)}")
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form is LogFormat.JSON else logging.Formatter(TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for library in CHATTY:
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLogger().level))


def usual_format(environment: Mapping[str, str] = os.environ) -> LogFormat:
    """JSON in a pod, text elsewhere."""
    return LogFormat.JSON if environment.get("KUBERNETES_SERVICE_HOST") else LogFormat.TEXT


TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonFormatter(logging.Formatter):
    """A record as one JSON object on one line: time, level, logger, message and, after a failure, exception."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
