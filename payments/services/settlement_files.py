"""Settlement reports as CSV files: columns ``kind,reference,own_id,amount,fee,currency,settled_at``.

UTF-8, with that header. Amounts are decimal texts, below zero with a minus sign; ``own_id`` may be
empty; times are RFC 3339 with their offset.
"""

import csv
import datetime
import hashlib
import re
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import BinaryIO

from fintech_core.money import InvalidMoney, Money
from payments.providers.base import SettlementRow

COLUMNS = ["kind", "reference", "own_id", "amount", "fee", "currency", "settled_at"]
KINDS = ("payment", "refund", "payout", "other")
_NAMED_LINES = 100
_LINE_BYTES = 4_096
_AMOUNT = re.compile(r"-?(0|[1-9][0-9]{0,11})(\.[0-9]+)?", re.ASCII)
_REFERENCE = re.compile(r"[!-~]{1,255}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)


class InvalidReport(Exception):
    """A file is not a settlement report; ``problems`` name its bad lines, the first hundred of them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SettlementFile:
    """Reads a file line by line. When all is read ``digest`` is the SHA-256 of its bytes.

    Reading raises ``InvalidReport`` at its end, where a line was bad: so that all bad ones are
    named, and nothing is to be done with the good ones.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    @property
    def digest(self) -> bytes:
        return self._digest.digest()

    def __iter__(self) -> Iterator[SettlementRow]:
        problems: list[str] = []
        reader = csv.reader(self._lines(), strict=True)
        number = 1
        try:
            if next(reader, None) != COLUMNS:
                raise InvalidReport([f"line 1: the header must be {','.join(COLUMNS)}"])
            number = 2
            while (cells := next(reader, None)) is not None:
                try:
                    row = _row(cells)
                except (InvalidMoney, ValueError) as error:
                    problems.append(f"line {number}: {error}")
                    if len(problems) >= _NAMED_LINES:
                        break
                else:
                    yield row
                number = reader.line_num + 1
        except (csv.Error, UnicodeDecodeError) as error:
            # Where the lines after it begin is not known any more.
            problems.append(f"line {number}: {error}")
        if problems:
            raise InvalidReport(problems)

    def _lines(self) -> Iterator[str]:
        while line := self._file.readline(_LINE_BYTES + 1):
            self._digest.update(line)
            if len(line) > _LINE_BYTES:
                raise csv.Error(f"longer than {_LINE_BYTES} bytes")
            if b"\0" in line:
                raise csv.Error("a NUL byte")
            yield line.decode("utf-8")


def _row(cells: list[str]) -> SettlementRow:
    if len(cells) != len(COLUMNS):
        raise ValueError(f"{len(cells)} columns, not {len(COLUMNS)}")
    kind, reference, own_id, amount, fee, currency, settled_at = cells
    if kind not in KINDS:
        raise ValueError(f"kind: one of {', '.join(KINDS)}")
    if not _REFERENCE.fullmatch(reference):
        raise ValueError("reference: 1 to 255 printable ASCII characters without blanks")
    return SettlementRow(
        kind=kind,
        reference=reference,
        own_id=_own_id(own_id),
        amount=_money("amount", amount, currency),
        fee=_money("fee", fee, currency),
        settled_at=_time(settled_at),
    )


def _own_id(text: str) -> uuid.UUID | None:
    if not text:
        return None
    try:
        return uuid.UUID(text)
    except ValueError:
        raise ValueError("own_id: a UUID or nothing") from None


def _money(name: str, text: str, currency: str) -> Money:
    if not _AMOUNT.fullmatch(text):
        raise ValueError(f"{name}: a decimal such as -50.00")
    try:
        return Money(Decimal(text), currency)
    except InvalidMoney as error:
        raise ValueError(f"{name}: {error}") from None


def _time(text: str) -> datetime.datetime:
    if not _TIME.fullmatch(text):
        raise ValueError("settled_at: a time such as 2026-01-31T23:59:59Z")
    try:
        return datetime.datetime.fromisoformat(text).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise ValueError("settled_at: no such time") from None
