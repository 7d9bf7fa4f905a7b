"""A statement on paper: A4 across, with a running balance beside the entries."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain

from reportlab.lib.pagesizes import A4, landscape

from fintech_core.money import format_amount
from fintech_core.pdf import FONT, PagedPDF, fitting
from transactions.selectors import Statement, StatementLine

_WIDTH, _HEIGHT = landscape(A4)
_MARGIN = 36
_SIZE = 7.5
_ROW_HEIGHT = 13
_FIRST_ROW = _HEIGHT - 124
ROWS_PER_PAGE = int((_FIRST_ROW - 52) // _ROW_HEIGHT) + 1
# Pages are sent this many bytes at a time, or somewhat more.
_PIECE_BYTES = 32_768


@dataclass(frozen=True, slots=True)
class _Column:
    """A column by its head, its left edge and its width.

    Amounts stand at its right edge. Free text is shortened to it; the rest always fits.
    """

    head: str
    x: float
    width: float
    is_amount: bool = False
    is_free: bool = False


_COLUMNS = (
    _Column("No.", 36, 40),
    _Column("Time (UTC)", 80, 76),
    _Column("Kind", 160, 44),
    _Column("Counterparty", 208, 140, is_free=True),
    _Column("Description", 352, 142, is_free=True),
    _Column("Reference", 498, 140),
    _Column("Amount", 642, 78, is_amount=True),
    _Column("Balance", 724, 82, is_amount=True),
)


def render_pdf(statement: Statement) -> Iterator[bytes]:
    """The pages, some at a time, then what ends the file."""
    title = f"Statement {statement.first_day} to {statement.last_day}"
    document = PagedPDF(size=(_WIDTH, _HEIGHT), title=title)
    # An opening and a closing row stand beside the entries.
    pages = -(-(statement.length + 2) // ROWS_PER_PAGE)
    rows = _rows(statement)
    pending = b""
    for number in range(1, pages + 1):
        _draw_frame(document, statement, f"Page {number} of {pages}")
        for index in range(ROWS_PER_PAGE):
            if (row := next(rows, None)) is not None:
                _draw_row(document, row, _FIRST_ROW - index * _ROW_HEIGHT)
        pending += document.end_page()
        if len(pending) >= _PIECE_BYTES:
            yield pending
            pending = b""
    yield pending
    yield from document.end()


def _rows(statement: Statement) -> Iterator[tuple[str, ...]]:
    """The texts of each row; the last tells what came in and what went out."""
    currency = statement.wallet.currency
    totals = {True: Decimal(0), False: Decimal(0)}

    def counted(lines: Iterable[StatementLine]) -> Iterator[tuple[str, ...]]:
        for line in lines:
            totals[line.amount > 0] += line.amount
            yield _texts(line, currency)

    def closing() -> Iterator[tuple[str, ...]]:
        came, went = (format_amount(totals[is_in], currency) for is_in in (True, False))
        balance = format_amount(statement.closing_balance, currency)
        yield ("", "", "", "Closing balance", f"In {came}, out {went}", "", "", balance)

    opening = format_amount(statement.opening_balance, currency)
    first = [("", "", "", "Opening balance", "", "", "", opening)]
    return chain(first, counted(statement.lines()), closing())


def _texts(line: StatementLine, currency: str) -> tuple[str, ...]:
    return (
        str(line.sequence),
        line.created_at.strftime("%Y-%m-%d %H:%M:%S"),
        line.kind,
        line.counterparty or "",
        line.description,
        line.reference,
        format_amount(line.amount, currency),
        format_amount(line.balance_after, currency),
    )


def _draw_row(document: PagedPDF, texts: tuple[str, ...], y: float) -> None:
    canvas = document.canvas
    for column, text in zip(_COLUMNS, texts, strict=True):
        if column.is_amount:
            canvas.drawRightString(column.x + column.width, y, text)
        elif text:
            shown = fitting(text, _SIZE, column.width) if column.is_free else text
            canvas.drawString(column.x, y, shown)


def _draw_frame(document: PagedPDF, statement: Statement, page: str) -> None:
    """What stands on every page: whose statement, of when, the balances, the columns, the number."""
    canvas, wallet = document.canvas, statement.wallet
    owner = wallet.owner
    name = f"{owner.first_name} {owner.last_name}".strip() if owner else wallet.purpose
    opening, closing = (
        format_amount(amount, wallet.currency)
        for amount in (statement.opening_balance, statement.closing_balance)
    )
    half = _WIDTH / 2 - _MARGIN
    canvas.setFont(FONT, 15)
    canvas.drawString(_MARGIN, _HEIGHT - 48, "Account statement")
    canvas.setFont(FONT, 9)
    canvas.drawString(
        _MARGIN, _HEIGHT - 66, fitting(f"{name}  {owner.email if owner else ''}".strip(), 9, half)
    )
    canvas.drawString(
        _MARGIN, _HEIGHT - 80, fitting(f"{wallet.name} · {wallet.currency} · {wallet.pk}", 9, half)
    )
    right = _WIDTH - _MARGIN
    period = f"{statement.first_day} to {statement.last_day} (UTC)"
    canvas.drawRightString(right, _HEIGHT - 48, period)
    canvas.drawRightString(right, _HEIGHT - 66, f"Opening balance {opening} {wallet.currency}")
    canvas.drawRightString(right, _HEIGHT - 80, f"Closing balance {closing} {wallet.currency}")
    canvas.setFont(FONT, _SIZE)
    _draw_row(document, tuple(column.head for column in _COLUMNS), _FIRST_ROW + 19)
    canvas.setLineWidth(0.5)
    canvas.line(_MARGIN, _FIRST_ROW + 14, right, _FIRST_ROW + 14)
    canvas.drawRightString(right, 30, page)
