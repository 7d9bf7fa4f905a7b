"""The settlement report: a line for whatever has been moved, in smallest units of its currency."""

import csv
import datetime
import io
import json
import sqlite3
from typing import Any

from simulator.events import control_names
from simulator.objects import Refused, moment

COLUMNS = ("kind", "reference", "merchant_reference", "amount", "fee", "currency", "settled_at")


def day(text: str, name: str) -> datetime.date:
    """A UTC day; raises ``Refused`` 400."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise Refused(400, "invalid_request", f"{name} must be a day such as 2026-11-22.") from None


def report(
    database: sqlite3.Connection, first: datetime.date, last: datetime.date
) -> list[dict[str, Any]]:
    """The rows of these days, both included; wrong where that was asked for.

    What the control asks for happens to the last row.
    """
    midnight = datetime.time(tzinfo=datetime.UTC)
    moves = database.execute(
        "SELECT * FROM moves WHERE settled_at >= ? AND settled_at < ? ORDER BY sequence",
        (
            datetime.datetime.combine(first, midnight).timestamp(),
            datetime.datetime.combine(last, midnight).timestamp() + 86_400,
        ),
    ).fetchall()
    everywhere = control_names(database)
    rows: list[dict[str, Any]] = []
    for place, move in enumerate(moves):
        wrong = set(move["behaviours"].split())
        if place == len(moves) - 1:
            wrong |= everywhere
        rows += _rows_of(move, wrong)
    return rows


def _rows_of(move: sqlite3.Row, wrong: set[str]) -> list[dict[str, Any]]:
    row = {name: move[name] for name in COLUMNS} | {"settled_at": moment(move["settled_at"])}
    extra = {**row, "reference": f"{row['reference']}_extra", "merchant_reference": ""}
    if "report_differs" in wrong:
        row["amount"] += 1
    rows = [] if "report_missing" in wrong else [row]
    return [*rows, extra] if "report_extra" in wrong else rows


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    """RFC 4180, with a line of names first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_json(rows: list[dict[str, Any]]) -> bytes:
    """The same as one object."""
    return json.dumps({"rows": rows}).encode()
