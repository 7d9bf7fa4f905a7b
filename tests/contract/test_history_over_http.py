"""The history over HTTP: every filter, alone and together, page by page, over all own wallets."""

import datetime
import itertools
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.contract.test_transfer_over_http import require_problem
from transactions import services
from transactions.instructions import Recipient
from transactions.selectors import filters
from transactions.tests.factories import instruct, make_payee, make_payer, wallet_of
from transactions.tests.ledgers import make_pair
from users.models import User
from users.tests.factories import api_client, unique_email
from wallet.models import Wallet

pytestmark = pytest.mark.usefixtures("committed")

HISTORY = "/api/transactions/transactions/"
Row = dict[str, Any]


def history(user: User, **query: Any) -> list[Row]:
    """All pages of the history, newest first."""
    client = api_client(user)
    page = client.get(HISTORY, query).json()
    rows: list[Row] = page["results"]
    while page["next"]:
        page = client.get(page["next"]).json()
        rows += page["results"]
    return rows


def descriptions(rows: list[Row]) -> list[str]:
    return [row["description"] for row in rows]


def open_pot(user: User) -> Wallet:
    primary = wallet_of(user)
    return Wallet.objects.create(owner=user, currency="USD", name="Pot", limits_wallet=primary)


def varied() -> User:
    """A user with transfers of many kinds: sent, received, declined, put aside."""
    user, friend = make_payer("100.00"), make_payer("100.00")
    pot = open_pot(user)
    for number, amount in enumerate(("1.00", "5.00", "20.00", "500.00")):
        services.transfer(instruct(user, friend, amount, description=f"Lunch {number}"))
        services.transfer(instruct(friend, user, amount, description=f"Refund {number}"))
    aside = instruct(user, user, "3.00", recipient=Recipient(wallet_id=pot.pk), description="aside")
    services.transfer(aside)
    return user


Judge = Callable[[Row], bool]
FILTERS: list[tuple[dict[str, str], Judge]] = [
    ({"kind": "deposit"}, lambda r: r["kind"] == "deposit"),
    ({"status": "declined"}, lambda r: r["status"] == "declined"),
    ({"currency": "USD"}, lambda r: True),
    ({"currency": "EUR"}, lambda r: False),
    ({"min_amount": "5.00"}, lambda r: Decimal(r["amount"]) >= 5),
    ({"max_amount": "5", "currency": "USD"}, lambda r: Decimal(r["amount"]) <= 5),
    ({"min_amount": "5", "max_amount": "20.0"}, lambda r: 5 <= Decimal(r["amount"]) <= 20),
    ({"min_amount": "0"}, lambda r: True),
    ({"q": "lunch"}, lambda r: "Lunch" in r["description"]),
    ({"q": "%"}, lambda r: False),
    ({"q": "LUNCH 1", "kind": "transfer"}, lambda r: r["description"] == "Lunch 1"),
    ({"from": "2020-01-01", "to": "2020-12-31"}, lambda r: False),
    ({"from": "2020-01-01", "to": "9999-12-31"}, lambda r: True),
]


@pytest.mark.parametrize(("query", "judge"), FILTERS, ids=[str(query) for query, _ in FILTERS])
def test_a_filter_shows_all_that_fits_and_nothing_else(query: dict[str, str], judge: Judge) -> None:
    user = varied()
    everything = history(user)
    assert len(everything) == 10 - 1
    assert history(user, **query) == [row for row in everything if judge(row)]


def test_all_own_wallets_count_and_what_moves_between_them_is_told_once() -> None:
    user = varied()
    pot = Wallet.objects.get(owner=user, user=None)
    own = {str(pot.pk), str(wallet_of(user).pk)}
    everything = history(user)
    assert descriptions(everything).count("aside") == 1
    assert descriptions(history(user, wallet=str(pot.pk))) == ["aside"]
    sent, received = history(user, direction="out"), history(user, direction="in")
    assert {row["from_wallet"] for row in sent} <= own
    assert {row["to_wallet"] for row in received} <= own
    assert len(sent) + len(received) == len(everything) + 1
    [aside] = [row for row in everything if row["description"] == "aside"]
    [in_pot] = history(user, wallet=str(pot.pk), direction="in")
    assert (in_pot["balance_after"], aside["balance_after"]) == ("3.00", "97.00")
    detail = api_client(user).get(f"{HISTORY}{aside['id']}/").json()
    assert [entry["amount"] for entry in detail["entries"]] == ["-3.00", "3.00"]


def test_a_history_is_searched_by_the_other_side_and_by_reference() -> None:
    user, friend = make_payer("50.00"), make_payee()
    User.objects.filter(pk=friend.pk).update(email=unique_email("zoe"))
    friend.refresh_from_db()
    one = services.transfer(instruct(user, friend, "1.00", description="one")).transaction
    services.transfer(instruct(user, make_payee(), "1.00", description="two"))
    assert descriptions(history(user, q="ZOE")) == ["one"]
    assert descriptions(history(user, q=friend.email)) == ["one"]
    assert history(user, q="oe") == []
    assert descriptions(history(friend, q=user.email[:12])) == ["one"]
    [found] = history(user, q=str(one.id))
    assert descriptions(history(user, q=found["reference"])) == ["one"]
    assert descriptions(history(user, q=found["reference"].lower())) == ["one"]
    assert history(make_payee(), q=found["reference"]) == []
    assert history(user, q=str(uuid.uuid4())) == []


def test_an_id_in_a_description_is_found_as_text() -> None:
    user, order = make_payer("5.00"), str(uuid.uuid4())
    services.transfer(instruct(user, make_payee(), "1.00", description=f"order {order}"))
    assert descriptions(history(user, q=order)) == [f"order {order}"]


def test_from_and_to_are_utc_days_or_moments_and_count_in_full() -> None:
    pair = make_pair()
    times = ["2026-01-30T23:59:59.999999Z", "2026-01-31T00:00:00Z", "2026-01-31T23:59:59.999999Z"]
    for at in [*times, "2026-02-01T00:00:00Z"]:
        pair.post("1.00", at, description=at)
    newest_first = times[::-1]
    for query, expected in (
        ({"from": "2026-01-31", "to": "2026-01-31"}, newest_first[:2]),
        ({"to": "2026-01-31"}, newest_first),
        ({"from": times[1], "to": times[1]}, [times[1]]),
        ({"from": "2026-01-31T01:00:00+01:00", "to": "2026-01-31"}, newest_first[:2]),
    ):
        assert descriptions(history(pair.payer, **query)) == expected
        entries = api_client(pair.payer).get(
            f"/api/wallet/wallets/{wallet_of(pair.payer).pk}/entries/", query
        )
        assert descriptions(entries.json()["results"]) == expected


@pytest.mark.parametrize("query", [{}, {"q": "odd"}], ids=["all", "filtered"])
@pytest.mark.parametrize("scan", [3, 10_000])
def test_pages_show_everything_once_in_both_directions_however_little_a_page_looks_through(
    monkeypatch: pytest.MonkeyPatch, query: dict[str, str], scan: int
) -> None:
    monkeypatch.setattr(filters, "SCAN", scan)
    pair = make_pair()
    same = "2026-01-01T00:00:00+00:00"
    made = [
        pair.post("1.00", same, description="odd" if number % 4 == 1 else "even")
        for number in range(14)
    ]
    back = list(reversed(made if not query else made[1::4]))
    client = api_client(pair.payer)
    page = client.get(HISTORY, {**query, "page_size": "2"}).json()
    assert page["previous"] is None
    seen = [row["id"] for row in page["results"]]
    for _ in range(20):
        if not page["next"]:
            break
        page = client.get(page["next"]).json()
        assert len(page["results"]) <= 2
        seen += [row["id"] for row in page["results"]]
    assert seen == [str(identity) for identity in back]
    forth = [row["id"] for row in reversed(page["results"])]
    for _ in range(20):
        if not page["previous"]:
            break
        page = client.get(page["previous"]).json()
        forth += [row["id"] for row in reversed(page["results"])]
    assert forth == [str(identity) for identity in reversed(back)]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("direction=sideways", "direction"),
        ("direction=IN", "direction"),
        ("currency=usd", "currency"),
        ("currency=XXX", "currency"),
        ("from=yesterday", "from"),
        ("from=2026-02-30", "from"),
        ("from=20260101", "from"),
        ("to=2026-01-01T00:00:00", "to"),
        ("from=2026-01-02&to=2026-01-01", "to"),
        ("min_amount=1e2", "min_amount"),
        ("min_amount=-1", "min_amount"),
        ("max_amount=1,00", "max_amount"),
        ("max_amount=1.00000", "max_amount"),
        ("min_amount=0.5&currency=JPY", "min_amount"),
        ("min_amount=2&max_amount=1", "max_amount"),
        ("q=", "q"),
        ("q=%00", "q"),
        (f"q={'x' * 101}", "q"),
        ("wallet=1", "wallet"),
        ("kind=transfer&kind=deposit", "kind"),
        ("amount=1", "amount"),
    ],
)
def test_a_filter_that_means_nothing_is_refused_on_its_field(query: str, field: str) -> None:
    response = api_client(make_payee()).get(f"{HISTORY}?{query}")
    problem = require_problem(response, 400, "validation_error")
    assert field in problem["errors"]


def test_the_history_of_somebody_elses_wallet_is_not_found() -> None:
    response = api_client(make_payee()).get(HISTORY, {"wallet": str(wallet_of(make_payee()).pk)})
    require_problem(response, 404, "not_found")


def test_a_past_balance_tells_no_holds_and_one_to_come_is_that_of_now() -> None:
    user = make_payer("5.00")
    path = f"/api/wallet/wallets/{wallet_of(user).pk}/balance/"
    past = api_client(user).get(path, {"at": "2020-01-01T00:00:00Z"}).json()
    assert (past["balance"], past["held"], past["available"], past["holds"]) == (
        *("0.00", None, None),
        None,
    )
    now = datetime.datetime.now(datetime.UTC)
    for days in (1, 100_000):
        at = (now + datetime.timedelta(days=days)).isoformat()
        assert api_client(user).get(path, {"at": at}).json() == api_client(user).get(path).json()
    for bad in ("2026-01-01", "2026-01-01T00:00:00", "now"):
        problem = require_problem(api_client(user).get(path, {"at": bad}), 400, "validation_error")
        assert "at" in problem["errors"]


def test_neighbouring_moments_of_a_batch_are_in_the_order_they_were_made() -> None:
    user, friend = make_payer("50.00"), make_payee()
    services.transfer_many(
        [instruct(user, friend, "1.00", description=str(number)) for number in range(8)]
    )
    numbers = [int(text) for text in descriptions(history(user, page_size=3)) if text]
    assert all(before > after for before, after in itertools.pairwise(numbers))
