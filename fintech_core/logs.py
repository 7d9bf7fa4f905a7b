"""JSON lines on standard error: one event, one line, whatever text it holds."""

import datetime
import logging
import re

import orjson
import structlog

from fintech_core.middleware import REQUEST_LOGGER, REQUEST_MEMBERS, current_request_id
from fintech_core.times import format_time

# From the label to the end of the message; a quoted value may hold line breaks of its own.
_DETAIL = re.compile(r"^DETAIL:.*?(?=^CONTEXT:|^HINT:|^$|\Z)", re.MULTILINE | re.DOTALL)

# Takes over what a caller passed as ``extra``.
_EXTRA_ADDER = structlog.stdlib.ExtraAdder()


def _without_row_values(
    logger: logging.Logger, name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Take PostgreSQL's ``DETAIL`` out of a stack: it quotes the row, and so addresses and numbers."""
    if "exception" in event:
        event["exception"] = _DETAIL.sub("", event["exception"])
    return event


def _with_request_id(
    logger: logging.Logger, name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Name the request that a line belongs to, so that an answer's ``request_id`` finds it."""
    if request_id := current_request_id():
        event.setdefault("request_id", request_id)
    return event


class JSONFormatter(structlog.stdlib.ProcessorFormatter):
    """Each record as one JSON object; the one of a request, whose members are known, by the short way."""

    def format(self, record: logging.LogRecord) -> str:
        told = record.__dict__
        if record.name != REQUEST_LOGGER or any(name not in told for name in REQUEST_MEMBERS):
            return super().format(record)
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "event": record.msg,
            "level": record.levelname.lower(),
            "logger": record.name,
            **{name: told[name] for name in REQUEST_MEMBERS},
            "timestamp": format_time(moment),
        }
        return orjson.dumps(line).decode()


def json_formatter() -> logging.Formatter:
    """A formatter that writes each record as one JSON object with a UTC time."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _EXTRA_ADDER,
        _with_request_id,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    return JSONFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _without_row_values,
            structlog.processors.JSONRenderer(separators=(",", ":")),
        ],
    )
