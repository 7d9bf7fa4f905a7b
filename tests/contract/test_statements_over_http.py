"""Statements over HTTP: they add up, they chain, any spreadsheet and reader takes them."""

import csv
import datetime
import io
import itertools
import json
import tracemalloc
import uuid
from decimal import Decimal
from typing import Any

import psycopg
import pypdf
import pytest
from django.db import OperationalError, connection

from tests.contract.test_transfer_over_http import require_problem
from transactions import selectors, services
from transactions.selectors import statements
from transactions.serializers import render_statement
from transactions.serializers.statement_pdf import ROWS_PER_PAGE
from transactions.tests.factories import instruct, make_payee, make_payer, wallet_of
from transactions.tests.ledgers import Pair, make_busy_payer, make_pair
from users.models import User
from users.tests.factories import api_client

pytestmark = pytest.mark.usefixtures("committed")

TODAY = datetime.datetime.now(datetime.UTC).date().isoformat()


def path_of(user: User) -> str:
    return f"/api/wallet/wallets/{wallet_of(user).pk}/statement/"


def statement_of(user: User, first: str, last: str, form: str = "json", **headers: str) -> Any:
    query = {"from": first, "to": last, "format": form}
    response: Any = api_client(user).get(path_of(user), query, headers=headers)
    assert response.status_code == 200, response.content
    return response


def told(user: User, first: str, last: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(statement_of(user, first, last).getvalue())
    return body


def rows_of(user: User, first: str, last: str) -> list[dict[str, str]]:
    text = statement_of(user, first, last, "csv").getvalue().decode()
    assert text.endswith("\r\n")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def pdf_of(user: User, first: str, last: str) -> pypdf.PdfReader:
    content = statement_of(user, first, last, "pdf").getvalue()
    return pypdf.PdfReader(io.BytesIO(content), strict=True)


def three_days() -> Pair:
    """Transfers at both ends of a UTC day, before it and after it."""
    pair = make_pair()
    pair.post("1.00", "2026-01-30T10:00:00+00:00")
    pair.post("2.00", "2026-01-31T00:00:00+00:00", description="first")
    pair.post("4.00", "2026-01-31T23:59:59.999999+00:00", description="last")
    pair.post("8.00", "2026-02-01T00:00:00+00:00")
    return pair


def require_sum(body: dict[str, Any]) -> None:
    running = Decimal(body["opening_balance"])
    for entry in body["entries"]:
        running += Decimal(entry["amount"])
        assert entry["balance_after"] == str(running)
    assert body["closing_balance"] == str(running)


def test_a_statement_tells_what_was_before_every_entry_and_what_was_then() -> None:
    pair = three_days()
    body = told(pair.payer, "2026-01-31", "2026-01-31")
    assert [entry["amount"] for entry in body["entries"]] == ["-2.00", "-4.00"]
    assert [entry["description"] for entry in body["entries"]] == ["first", "last"]
    assert (body["opening_balance"], body["closing_balance"]) == ("-1.00", "-7.00")
    assert (body["from"], body["to"], body["currency"]) == ("2026-01-31", "2026-01-31", "USD")
    require_sum(body)
    assert set(body) == {
        *("wallet", "currency", "from", "to", "opening_balance", "entries", "closing_balance"),
        "as_of_sequence",
    }
    entry = body["entries"][0]
    assert set(entry) == {
        *("sequence", "created_at", "kind", "transaction", "reference", "counterparty"),
        *("description", "amount", "balance_after"),
    }
    assert entry["counterparty"] == pair.payee.email
    assert entry["created_at"] == "2026-01-31T00:00:00.000000Z"
    theirs = told(pair.payee, "2026-01-31", "2026-01-31")
    assert [e["amount"] for e in theirs["entries"]] == ["2.00", "4.00"]
    assert theirs["entries"][0]["counterparty"] == pair.payer.email


def test_statements_of_neighbouring_days_chain() -> None:
    pair = three_days()
    days = ["2026-01-29", "2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02"]
    bodies = [told(pair.payer, day, day) for day in days]
    for before, after in itertools.pairwise(bodies):
        assert before["closing_balance"] == after["opening_balance"]
    assert [len(body["entries"]) for body in bodies] == [0, 1, 2, 1, 0]
    whole = told(pair.payer, days[0], days[-1])
    assert whole["entries"] == [entry for body in bodies for entry in body["entries"]]


def test_a_wallet_without_entries_has_a_statement() -> None:
    user = make_payee()
    body = told(user, "2020-01-01", TODAY)
    assert (body["opening_balance"], body["entries"], body["closing_balance"]) == (
        "0.00",
        [],
        "0.00",
    )
    assert [row["row"] for row in rows_of(user, "2020-01-01", TODAY)] == ["opening", "closing"]
    assert len(pdf_of(user, "2020-01-01", TODAY).pages) == 1


def test_a_statement_is_of_one_moment_while_transfers_go_on() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    services.transfer(instruct(payer, payee, "1.00"))
    today = datetime.date.fromisoformat(TODAY)
    statement = selectors.open_statement(wallet_of(payer), first_day=today, last_day=today)
    lines = statement.lines()
    first = next(lines)
    services.transfer(instruct(payer, payee, "2.00"))
    amounts = [first.amount, *(line.amount for line in lines)]
    assert amounts == [Decimal("10.00"), Decimal("-1.00")]
    assert statement.opening_balance + sum(amounts) == statement.closing_balance == Decimal("9.00")


def test_a_connection_lost_midway_breaks_no_statement_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "CHUNK", 2)
    pair = three_days()
    first_day, last_day = datetime.date(2026, 1, 30), datetime.date(2026, 2, 1)
    statement = selectors.open_statement(
        wallet_of(pair.payer), first_day=first_day, last_day=last_day
    )
    lines = statement.lines()
    read = [next(lines), next(lines)]
    connection.connection.close()
    assert [line.sequence for line in [*read, *lines]] == [1, 2, 3, 4]


def test_a_spreadsheet_computes_nothing_from_a_statement() -> None:
    pair = make_pair()
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", 'a,"b"\r\nc', "plain", "\uff1dx", "1=2"]
    for text in texts:
        pair.post("1.00", "2026-03-01T00:00:00+00:00", description=text)
    rows = rows_of(pair.payer, "2026-03-01", "2026-03-02")
    assert list(rows[0]) == [
        *("row", "sequence", "created_at", "kind", "transaction", "reference", "counterparty"),
        *("description", "amount", "balance_after", "currency"),
    ]
    assert [row["row"] for row in rows] == ["opening", *["entry"] * len(texts), "closing"]
    shown = [row["description"] for row in rows[1:-1]]
    assert shown == [f"'{t}" if t[0] in "=+-@\t\uff1d" else t for t in texts]
    assert (rows[0]["balance_after"], rows[-1]["balance_after"]) == ("0.00", "-9.00")
    assert [row["amount"] for row in rows[1:-1]] == ["-1.00"] * len(texts)
    assert {row["currency"] for row in rows} == {"USD"}


def test_the_answer_is_a_file_of_the_format_asked_for_whatever_is_accepted() -> None:
    pair = three_days()
    for form, media_type in (
        ("json", "application/json"),
        ("csv", "text/csv; charset=utf-8; header=present"),
        ("pdf", "application/pdf"),
    ):
        response = statement_of(
            pair.payer, "2026-01-30", "2026-02-01", form, Accept="application/x-nothing"
        )
        assert response["Content-Type"] == media_type
        name = f"statement-{wallet_of(pair.payer).pk}-2026-01-30-2026-02-01.{form}"
        assert response["Content-Disposition"] == f'attachment; filename="{name}"'
        assert response["Cache-Control"] == "no-store"
        assert response.streaming


def test_a_pdf_shows_owner_period_balances_and_pages() -> None:
    pair = make_pair()
    User.objects.filter(pk=pair.payer.pk).update(first_name="Ægir", last_name="Ωμέγα")
    count = 2 * ROWS_PER_PAGE
    for number in range(count):
        pair.post("1.00", "2026-03-01T12:34:56+00:00", description=f"Кофе № {number}")
    reader = pdf_of(pair.payer, "2026-03-01", "2026-03-01")
    pages = [page.extract_text() for page in reader.pages]
    assert len(pages) == 3
    for number, text in enumerate(pages, 1):
        assert f"Page {number} of 3" in text
        assert "Ægir Ωμέγα" in text
        assert pair.payer.email in text
        assert str(wallet_of(pair.payer).pk) in text
        assert "2026-03-01 to 2026-03-01 (UTC)" in text
        assert "Opening balance 0.00 USD" in text
        assert f"Closing balance -{count}.00 USD" in text
    whole = "\n".join(pages)
    for number in range(count):
        assert f"Кофе № {number}\n" in whole
        assert f"\n-{number + 1}.00\n" in whole
    assert f"In 0.00, out -{count}.00" in pages[-1]


def test_a_pdf_shows_that_there_is_text_its_font_has_not() -> None:
    pair = make_pair()
    pair.post("1.00", "2026-03-01T12:00:00+00:00", description="咖啡 \U0001f600 ok")
    pair.post("1.00", "2026-03-01T12:00:00+00:00", description="long " * 40)
    text = pdf_of(pair.payer, "2026-03-01", "2026-03-01").pages[0].extract_text()
    assert "\ufffd\ufffd \ufffd ok" in text
    assert "long…" in text


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "from"),
        ("from=2026-01-01", "to"),
        ("to=2026-01-01", "from"),
        ("from=20260101&to=2026-01-02", "from"),
        ("from=2026-01-01&to=2026-W01-1", "to"),
        ("from=2026-01-01T00:00:00Z&to=2026-01-02", "from"),
        ("from=2026-02-30&to=2026-03-01", "from"),
        ("from=2026-01-02&to=2026-01-01", "to"),
        ("from=2026-01-01&to=9999-12-31", "to"),
        ("from=2026-01-01&to=2026-01-02&format=xml", "format"),
        ("from=2026-01-01&to=2026-01-02&format=CSV", "format"),
        ("from=2026-01-01&to=2026-01-02&page_size=5", "page_size"),
        ("from=2026-01-01&from=2026-01-01&to=2026-01-02", "from"),
    ],
)
def test_a_bad_query_is_refused_on_its_field(query: str, field: str) -> None:
    user = make_payee()
    problem = require_problem(
        api_client(user).get(f"{path_of(user)}?{query}"), 400, "validation_error"
    )
    assert field in problem["errors"]


def test_a_statement_is_its_owners_alone() -> None:
    owner, query = make_payer("5.00"), {"from": "2026-01-01", "to": TODAY}
    require_problem(api_client(make_payee()).get(path_of(owner), query), 404, "not_found")
    require_problem(api_client().get(path_of(owner), query), 401, "not_authenticated")
    require_problem(api_client(owner).post(path_of(owner), query), 405, "method_not_allowed")
    missing = f"/api/wallet/wallets/{uuid.uuid4()}/statement/"
    require_problem(api_client(owner).get(missing, query), 404, "not_found")


def test_a_statement_four_times_as_long_takes_no_more_memory() -> None:
    today = datetime.date.fromisoformat(TODAY)
    made = []
    for transfers in (500, 2_000):
        wallet = wallet_of(make_busy_payer(transfers)[0])
        made.append(selectors.open_statement(wallet, first_day=today, last_day=today))
        assert made[-1].length == transfers + 1
    for form in ("json", "csv", "pdf"):
        peak_memory(made[0], form)  # What is read once in a process is there.
        short, long = (peak_memory(statement, form) for statement in made)
        assert long < short * 1.25, form


def peak_memory(statement: selectors.Statement, form: str) -> int:
    """Bytes that are in use at once while the statement is made and thrown away."""
    tracemalloc.start()
    for _piece in render_statement(statement, form)[1]:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_a_day_that_has_just_ended_waits_for_what_is_being_posted(
    owner: psycopg.Connection[Any],
) -> None:
    user = make_payer("5.00")
    wallet = wallet_of(user)
    owner.execute("SELECT FROM wallet_wallet WHERE id = %s FOR NO KEY UPDATE", [wallet.pk])
    now = datetime.datetime.now(datetime.UTC)
    assert selectors.last_entry_before(wallet, now - datetime.timedelta(minutes=2))[0] == 0
    assert selectors.last_entry_before(wallet, now + datetime.timedelta(minutes=2))[0] == 1
    with pytest.raises(OperationalError, match="lock timeout"):
        selectors.last_entry_before(wallet, now)
    query = {"at": now.isoformat()}
    response = api_client(user).get(f"/api/wallet/wallets/{wallet.pk}/balance/", query)
    require_problem(response, 409, "request_in_progress")
    owner.rollback()
    assert selectors.last_entry_before(wallet, now)[0] == 1
