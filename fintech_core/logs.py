"""JSON lines on standard error: one event, one line, whatever text it holds."""

import logging

import structlog

# Takes over what a caller passed as ``extra``.
_EXTRA_ADDER = structlog.stdlib.ExtraAdder()


def json_formatter() -> logging.Formatter:
    """A formatter that writes each record as one JSON object with a UTC time."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _EXTRA_ADDER,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )
