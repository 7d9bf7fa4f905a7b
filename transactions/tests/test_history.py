"""Histories and past balances: what they cost, and by which index they are read."""

import datetime
import math

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from transactions import selectors, services
from transactions.models import LedgerEntry
from transactions.selectors import HistoryFilter, Place, list_history
from transactions.tests.factories import instruct, wallet_of
from transactions.tests.ledgers import make_busy_payer, make_pair, plan_of

pytestmark = pytest.mark.usefixtures("committed")

NOW = datetime.datetime.now(datetime.UTC)
SENT, RECEIVED = "sent_by_wallet_and_time", "received_by_wallet_and_time"


@pytest.mark.parametrize(
    ("wanted", "indexes"),
    [
        (HistoryFilter(), {SENT, RECEIVED}),
        (HistoryFilter(direction="out"), {SENT}),
        (HistoryFilter(direction="in"), {RECEIVED}),
        (HistoryFilter(since=NOW, before=NOW + datetime.timedelta(days=1)), {SENT, RECEIVED}),
        (HistoryFilter(kind="transfer"), {SENT, RECEIVED}),
        (HistoryFilter(status="posted"), {SENT, RECEIVED}),
        (HistoryFilter(status="declined", direction="out"), {SENT}),
        (HistoryFilter(currency="USD"), {SENT, RECEIVED}),
        (HistoryFilter(min_amount=1, max_amount=2), {SENT, RECEIVED}),  # type: ignore[arg-type]
        (HistoryFilter(text="coffee"), {SENT, RECEIVED}),
    ],
    ids=["all", "out", "in", "time", "kind", "status", "declined", "currency", "amount", "text"],
)
@pytest.mark.parametrize("to_newer", [False, True], ids=["older", "newer"])
@pytest.mark.parametrize("has_place", [False, True], ids=["first page", "further page"])
def test_every_filter_is_read_along_an_index_in_order(
    wanted: HistoryFilter, indexes: set[str], to_newer: bool, has_place: bool
) -> None:
    pair = make_pair()
    identity = pair.post("1.00", "2026-01-01T00:00:00+00:00")
    place = Place(NOW, identity) if has_place else None
    with CaptureQueriesContext(
        connection,
    ) as captured:
        list_history(pair.payer, wanted, place=place, to_newer=to_newer, size=50)
    keys = [q["sql"] for q in captured if "LIMIT" in q["sql"] and "transactions_tra" in q["sql"]]
    assert keys
    for statement in keys:
        nodes = plan_of(statement)
        scans = [n for n in nodes if n.get("Relation Name") == "transactions_transaction"]
        assert {scan["Index Name"] for scan in scans} == indexes
        assert not [n for n in nodes if "Sort" in n["Node Type"] or "Hash" in n["Node Type"]]


def test_a_past_balance_reads_so_many_rows_as_halving_takes() -> None:
    payer, _ = make_busy_payer(1_000)
    wallet = wallet_of(payer)
    first = LedgerEntry.objects.get(wallet=wallet, sequence=1).created_at
    statement = f"SELECT * FROM last_entry_before('{wallet.pk}', '{first.isoformat()}')"
    with connection.cursor() as cursor:
        cursor.execute(statement)  # Plans what is in it.
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}")
        [([told],)] = cursor.fetchall()
    # Each look reads a page of each level of the index and one of the table.
    assert told["Plan"]["Shared Hit Blocks"] < 6 * (math.log2(wallet.last_sequence) + 3)


def test_a_past_balance_is_that_after_the_last_entry_until_then() -> None:
    pair = make_pair()
    days = [3, 3, 5, 8, 8, 8, 13]
    for day in days:
        pair.post("1.00", f"2026-01-{day:02}T12:00:00+00:00")
    wallet = wallet_of(pair.payee)
    for day in range(1, 15):
        for hour, least in ((11, day), (12, day + 1)):
            at = datetime.datetime(2026, 1, day, hour, tzinfo=datetime.UTC)
            seen = selectors.get_past_balance(wallet, at)
            assert seen.as_of_sequence == seen.balance == sum(d < least for d in days)


def test_declines_by_others_do_not_lengthen_what_is_looked_through() -> None:
    pair = make_pair("0")
    services.transfer_many([instruct(pair.payer, pair.payee, "1.00") for _ in range(20)])
    with CaptureQueriesContext(connection) as captured:
        page = list_history(pair.payee, HistoryFilter(), place=None, to_newer=False, size=50)
    assert page.rows == []
    [keys] = [query["sql"] for query in captured if "LIMIT" in query["sql"]]
    assert {n["Index Name"] for n in plan_of(keys) if "Index Name" in n} == {SENT, RECEIVED}
