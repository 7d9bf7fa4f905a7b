"""Money in and out as docs/api.md promises it."""

import dataclasses
import itertools
import json
import uuid
from typing import Any

import pytest
from django.core.cache import cache

from payments import services
from payments.models import PaymentIntent
from payments.providers import registry
from payments.providers.base import PaymentState, PayoutState
from payments.tests.fakes import FakeProvider, fake, tell
from tests.contract.test_transfer_over_http import require_problem
from transactions.models import Transaction
from transactions.tests.factories import balance_of, make_payee, make_payer, wallet_of
from transactions.tests.hold_factories import standing
from users.models import User
from users.tests.factories import JSONClient, api_client, at_once, make_staff
from wallet.services import freeze_wallet, open_wallet

__all__ = ["fake"]

INTENTS = "/api/payments/intents/"
PAYOUTS = "/api/payments/payouts/"
INTENT_MEMBERS = {
    *("id", "status", "amount", "currency", "provider", "client_secret", "checkout_url"),
    *("failure_code", "refunded_amount", "transaction", "created_at"),
}
REFUND_MEMBERS = {
    *("id", "intent", "amount", "currency", "status", "failure_code", "transaction", "created_at"),
}
PAYOUT_MEMBERS = {
    *("id", "status", "amount", "currency", "destination", "provider", "failure_code"),
    *("transaction", "created_at"),
}


class Simulating(FakeProvider):
    """A provider by the simulator's name that does what it is told."""

    name = "simulator"

    def simulate(self, reference: str, outcome: str) -> None:
        self.become(self._payment(reference), PaymentState(outcome))


def pay_in(client: JSONClient, amount: str = "25.00", **members: Any) -> Any:
    return client.post(INTENTS, {"amount": amount, "idempotency_key": uuid.uuid4().hex, **members})


def pay_out(client: JSONClient, amount: str = "10.00", **members: Any) -> Any:
    body = {"amount": amount, "destination": "acct_test", "idempotency_key": uuid.uuid4().hex}
    return client.post(PAYOUTS, body | members)


def act(client: JSONClient, intent_id: str, what: str, **members: Any) -> Any:
    return client.post(f"{INTENTS}{intent_id}/{what}/", members)


def refund(client: JSONClient, intent_id: str, **members: Any) -> Any:
    members.setdefault("idempotency_key", uuid.uuid4().hex)
    return act(client, intent_id, "refund", **members)


def succeed(fake: FakeProvider, intent_id: str) -> None:
    tell(fake, PaymentIntent.objects.get(pk=intent_id), PaymentState.SUCCEEDED, fetched=True)


def paid(fake: FakeProvider, user: User, amount: str = "25.00") -> str:
    intent_id: str = pay_in(api_client(user), amount).json()["id"]
    succeed(fake, intent_id)
    return intent_id


@pytest.mark.smoke
def test_a_payment_from_its_making_to_the_balance(fake: FakeProvider) -> None:
    user = make_payee()
    client = api_client(user)
    made = pay_in(client)
    told = made.json()
    assert (made.status_code, set(told)) == (201, INTENT_MEMBERS)
    assert told["status"] == "requires_confirmation"
    assert (told["amount"], told["currency"], told["provider"]) == ("25.00", "USD", "fake")
    assert told["client_secret"].startswith("secret_")
    assert (told["transaction"], told["failure_code"]) == (None, None)
    assert (told["refunded_amount"], told["created_at"][-1]) == ("0.00", "Z")
    confirmed = act(client, told["id"], "confirm")
    assert (confirmed.status_code, confirmed.json()["status"]) == (200, "processing")
    succeed(fake, told["id"])
    shown = client.get(f"{INTENTS}{told['id']}/").json()
    assert (shown["status"], balance_of(user)) == ("succeeded", "25.00")
    path = f"/api/transactions/transactions/{shown['transaction']}/"
    posted = client.get(path).json()
    assert (posted["kind"], posted["amount"], posted["to_user_email"]) == (
        "deposit",
        "25.00",
        user.email,
    )


@pytest.mark.parametrize("flush", [False, True])
def test_a_retry_gets_the_same_bytes_whatever_has_become_of_it(
    fake: FakeProvider, flush: bool
) -> None:
    user = make_payer("100.00")
    client = api_client(user)
    key = uuid.uuid4().hex
    first = pay_in(client, idempotency_key=key)
    intent_id = first.json()["id"]
    succeed(fake, intent_id)
    refunded = refund(client, intent_id, amount="5.00", idempotency_key=f"r{key}")
    paid_out = pay_out(client, idempotency_key=f"p{key}")
    services.check_refund(uuid.UUID(refunded.json()["id"]))
    services.check_payout(uuid.UUID(paid_out.json()["id"]))
    if flush:
        cache.clear()
    again = (
        pay_in(client, idempotency_key=key),
        refund(client, intent_id, amount="5.00", idempotency_key=f"r{key}"),
        pay_out(client, idempotency_key=f"p{key}"),
    )
    for answer, original in zip(again, (first, refunded, paid_out), strict=True):
        assert (answer.status_code, answer.content) == (201, original.content)
        assert answer["Idempotency-Replayed"] == "true"
        assert "Idempotency-Replayed" not in original
    assert balance_of(user) == "120.00"


def test_a_key_belongs_to_one_request(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    client, key = api_client(user), uuid.uuid4().hex
    intent_id = paid(fake, user)
    used = pay_in(client, idempotency_key=key).json()["id"]
    held = pay_out(client).json()["transaction"]
    ledger_key = Transaction.objects.get(pk=held).idempotency_key
    for response in (
        pay_in(client, "26.00", idempotency_key=key),
        pay_out(client, idempotency_key=key),
        refund(client, intent_id, idempotency_key=key),
        pay_in(client, idempotency_key=ledger_key),
    ):
        require_problem(response, 422, "idempotency_key_reused")
    assert pay_in(api_client(make_payee()), idempotency_key=key).json()["id"] != used


def test_declines_are_recorded_and_replayed_with_the_same_bytes(fake: FakeProvider) -> None:
    user = make_payer("5.00")
    client = api_client(user)
    intent_id = paid(fake, user, "1.00")
    before = standing(user)

    def send(what: str, key: str) -> Any:
        if what == "in":
            return pay_in(client, "5000000.00", idempotency_key=key)
        if what == "out":
            return pay_out(client, "6.01", idempotency_key=key)
        return refund(client, intent_id, amount="1.01", idempotency_key=key)

    for what, code in (
        ("in", "balance_limit_exceeded"),
        ("out", "insufficient_funds"),
        ("back", "reversal_exceeds_original"),
    ):
        key = uuid.uuid4().hex
        first, again = send(what, key), send(what, key)
        problem = require_problem(first, 422, code)
        assert first.content == again.content
        assert again["Idempotency-Replayed"] == "true"
        assert Transaction.objects.get(pk=problem["transaction"]).decline_code == code
    assert standing(user) == before


def test_a_provider_that_is_away_is_told_and_the_retry_goes_on(fake: FakeProvider) -> None:
    client, key = api_client(make_payee()), uuid.uuid4().hex
    fake.away = True
    refused = pay_in(client, idempotency_key=key)
    problem = require_problem(refused, 503, "provider_unavailable")
    assert (problem["retryable"], "Retry-After" in refused) == (True, True)
    fake.away = False
    made = pay_in(client, idempotency_key=key)
    assert (made.status_code, "Idempotency-Replayed" in made) == (201, False)
    fake.away = True
    intent_id = made.json()["id"]
    assert act(client, intent_id, "confirm").json()["status"] == "processing"
    for what in ("refresh", "cancel"):
        require_problem(act(client, intent_id, what), 503, "provider_unavailable")


def test_a_state_that_does_not_allow_it_is_told(fake: FakeProvider) -> None:
    user = make_payee()
    client = api_client(user)
    intent_id = paid(fake, user)
    for what in ("confirm", "cancel"):
        problem = require_problem(act(client, intent_id, what), 409, "invalid_state")
        assert problem["payment_status"] == "succeeded"
    waiting = pay_in(client).json()["id"]
    require_problem(refund(client, waiting), 409, "invalid_state")
    assert act(client, waiting, "cancel").json()["status"] == "canceled"
    require_problem(act(client, waiting, "confirm"), 409, "invalid_state")
    assert act(client, intent_id, "refresh").json()["status"] == "succeeded"


def test_a_refresh_brings_what_the_webhook_has_not(fake: FakeProvider) -> None:
    user = make_payee()
    client = api_client(user)
    intent_id = pay_in(client).json()["id"]
    intent = PaymentIntent.objects.get(pk=intent_id)
    fake.become(fake.payment_of(intent), PaymentState.SUCCEEDED)
    at_once(6, lambda _: act(api_client(user), intent_id, "refresh"))
    assert balance_of(user) == "25.00"


def test_the_simulator_says_what_it_is_told_to(fake: FakeProvider) -> None:
    user = make_payee()
    client = api_client(user)
    simulator = Simulating()
    checked: Any = simulator
    with registry.registered(checked):
        intent_id = pay_in(client, provider="simulator").json()["id"]
        said = act(client, intent_id, "simulate", outcome="succeeded")
        assert (said.status_code, said.json()["status"]) == (202, "requires_confirmation")
        assert act(client, intent_id, "refresh").json()["status"] == "succeeded"
        require_problem(act(client, intent_id, "simulate", outcome="failed"), 409, "invalid_state")
        bad = act(client, intent_id, "simulate", outcome="paid")
        require_problem(bad, 400, "validation_error")
    others = pay_in(client).json()["id"]
    require_problem(act(client, others, "simulate", outcome="succeeded"), 404, "not_found")


def test_there_is_no_simulation_where_there_is_no_simulator(
    fake: FakeProvider, settings: Any
) -> None:
    user = make_payee()
    checked: Any = Simulating()
    with registry.registered(checked):
        intent_id = pay_in(api_client(user), provider="simulator").json()["id"]
    settings.PAYMENT_PROVIDERS = []
    answer = act(api_client(user), intent_id, "simulate", outcome="succeeded")
    require_problem(answer, 404, "not_found")


def test_refunds_in_parts_count_down(fake: FakeProvider) -> None:
    user = make_payee()
    client = api_client(user)
    intent_id = paid(fake, user, "10.00")
    made = refund(client, intent_id, amount="4.00")
    told = made.json()
    assert (made.status_code, set(told)) == (201, REFUND_MEMBERS)
    assert (told["status"], told["amount"], told["intent"]) == ("pending", "4.00", intent_id)
    assert client.get(f"{INTENTS}{intent_id}/").json()["refunded_amount"] == "4.00"
    assert refund(client, intent_id).json()["amount"] == "6.00"
    require_problem(refund(client, intent_id), 422, "reversal_exceeds_original")
    assert balance_of(user) == "0.00"


def test_nobody_touches_what_is_anothers(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    intent_id = paid(fake, user)
    payout_id = pay_out(api_client(user)).json()["id"]
    before = standing(user)
    for stranger in (make_payee(), make_staff()):
        client = api_client(stranger)
        require_problem(client.get(f"{INTENTS}{intent_id}/"), 404, "not_found")
        require_problem(client.get(f"{PAYOUTS}{payout_id}/"), 404, "not_found")
        for what in ("confirm", "cancel", "refresh"):
            require_problem(act(client, intent_id, what), 404, "not_found")
        simulated = act(client, intent_id, "simulate", outcome="failed")
        require_problem(simulated, 404, "not_found")
        require_problem(refund(client, intent_id), 404, "not_found")
        require_problem(client.post(f"{PAYOUTS}{payout_id}/cancel/", {}), 404, "not_found")
        assert client.get(INTENTS).json()["results"] == client.get(PAYOUTS).json()["results"] == []
    anonymous = api_client()
    for path in (INTENTS, PAYOUTS, f"{INTENTS}{intent_id}/", f"{PAYOUTS}{payout_id}/"):
        require_problem(anonymous.get(path), 401, "not_authenticated")
    require_problem(anonymous.post(f"{INTENTS}{intent_id}/refund/", {}), 401, "not_authenticated")
    assert standing(user) == before


def test_staff_who_may_send_a_payment_back(fake: FakeProvider) -> None:
    user = make_payee()
    intent_id = paid(fake, user)
    staff = api_client(make_staff("payments.refund_payment"))
    assert refund(staff, intent_id, amount="5.00").status_code == 201
    assert balance_of(user) == "20.00"


def test_a_payout_is_held_sent_and_posted(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    client = api_client(user)
    made = pay_out(client, "40.00")
    told = made.json()
    assert (made.status_code, set(told)) == (201, PAYOUT_MEMBERS)
    assert (told["status"], told["amount"], told["destination"]) == (
        "pending",
        "40.00",
        "acct_test",
    )
    wallet = client.get("/api/wallet/").json()
    assert (wallet["balance"], wallet["held"], wallet["available"]) == ("100.00", "40.00", "60.00")
    payout_id = uuid.UUID(told["id"])
    services.check_payout(payout_id)
    on_its_way = client.post(f"{PAYOUTS}{payout_id}/cancel/", {})
    assert require_problem(on_its_way, 409, "invalid_state")["payment_status"] == "in_transit"
    word = fake.payouts[payout_id] = dataclasses.replace(
        fake.payouts[payout_id], state=PayoutState.PAID
    )
    services.apply_payout("fake", word, fetched=False)
    assert client.get(f"{PAYOUTS}{payout_id}/").json()["status"] == "paid"
    assert client.get("/api/wallet/").json()["balance"] == "60.00"
    shown = client.get(f"/api/transactions/transactions/{told['transaction']}/").json()
    assert (shown["kind"], shown["status"], shown["captured_amount"]) == (
        "withdrawal",
        "posted",
        "40.00",
    )


def test_a_payout_is_called_off(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    client = api_client(user)
    payout_id = pay_out(client).json()["id"]
    # A body may be left out.
    called_off = client.post(f"{PAYOUTS}{payout_id}/cancel/")
    assert (called_off.status_code, called_off.json()["status"]) == (200, "canceled")
    assert wallet_of(user).held == 0


def test_the_ledgers_own_calls_end_no_payment(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    client = api_client(user)
    base = "/api/transactions/transactions"
    deposit_id = client.get(f"{INTENTS}{paid(fake, user)}/").json()["transaction"]
    hold_id = pay_out(client).json()["transaction"]
    before = standing(user)
    staff = api_client(
        make_staff(
            *(
                f"transactions.{name}"
                for name in ("capture_hold", "void_hold", "reverse_transaction")
            )
        )
    )
    for caller in (client, staff):
        for path in (
            f"{base}/{deposit_id}/reverse/",
            f"{base}/{hold_id}/void/",
            f"{base}/{hold_id}/capture/",
            f"{base}/{hold_id}/reverse/",
        ):
            answer = caller.post(path, {"idempotency_key": uuid.uuid4().hex})
            assert answer.status_code in {403, 409}, (path, answer.content)
    assert standing(user) == before


def test_the_order_of_refusals(fake: FakeProvider) -> None:
    """Shape, key, wallet state, currency, identity, limits, funds; each hides those after it."""
    poor, nobody = make_payer("5.00", tier=1), make_payee(tier=0)
    client = api_client(poor)
    require_problem(pay_out(client, "1e2", currency="XXX"), 400, "validation_error")
    keyless = client.post(PAYOUTS, {"amount": "6.00", "destination": "acct"})
    require_problem(keyless, 400, "idempotency_key_required")
    require_problem(pay_out(client, provider="nobody"), 400, "unknown_provider")
    require_problem(pay_out(client, "1.001"), 400, "validation_error")
    require_problem(pay_out(client, currency="EUR"), 422, "currency_mismatch")
    require_problem(pay_out(api_client(nobody), "2000.00"), 403, "kyc_required")
    require_problem(pay_out(client, "1000.01"), 422, "limit_exceeded")
    require_problem(pay_out(client, "5.01"), 422, "insufficient_funds")
    freeze_wallet(wallet_id=wallet_of(poor).pk, acting_user=nobody, reason="test")
    require_problem(pay_out(client, "1000.01"), 422, "wallet_frozen")


def test_the_currency_finds_the_wallet(fake: FakeProvider) -> None:
    user = make_payee()
    client = api_client(user)
    require_problem(pay_in(client, "500", currency="JPY"), 422, "currency_mismatch")
    yen = open_wallet(owner=user, currency="JPY", name="Yen")
    made = pay_in(client, "500", currency="JPY").json()
    assert (made["amount"], made["currency"]) == ("500", "JPY")
    require_problem(pay_in(client, "500.5", currency="JPY"), 400, "validation_error")
    succeed(fake, made["id"])
    yen.refresh_from_db()
    assert yen.balance == 500


AMOUNTS: tuple[object, ...] = (
    *("0", "0.00", "-0.00", "-1.00", "+1", "1e2", "1e-2", "1e400", "NaN", "-NaN", "Infinity"),
    *("1_000", " 1", "1 ", "\u00a010", "\u202e01", "1.001", ".5", "010", "1,000.00", "１００", "½"),
    *("$10", "", "10\u0000", "9999999999999", "999999999999999999999.00", "0x1"),
    *(None, True, 1, 10.5, ["10.00"], {}),
)


@pytest.mark.parametrize("what", ["intent", "payout", "refund"])
def test_an_amount_is_an_exact_text_above_zero(fake: FakeProvider, what: str) -> None:
    user = make_payer("10.00")
    client = api_client(user)
    path = {
        "intent": INTENTS,
        "payout": PAYOUTS,
        "refund": f"{INTENTS}{paid(fake, user)}/refund/",
    }[what]
    before = standing(user)
    for amount in AMOUNTS:
        body: dict[str, Any] = {"amount": amount, "idempotency_key": uuid.uuid4().hex}
        if what == "payout":
            body["destination"] = "acct"
        problem = require_problem(client.post(path, body), 400, "validation_error")
        assert list(problem["errors"]) == ["amount"], amount
    assert standing(user) == before


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"currency": "usd"}, "currency"),
        ({"currency": "XXX"}, "currency"),
        ({"currency": None}, "currency"),
        ({"provider": ""}, "provider"),
        ({"provider": "x" * 41}, "provider"),
        ({"provider": 1}, "provider"),
        ({"status": "succeeded"}, "status"),
        ({"user": 1}, "user"),
        ({"idempotency_key": "x" * 256}, "idempotency_key"),
        ({"idempotency_key": "a b"}, "idempotency_key"),
        ({"idempotency_key": 5}, "idempotency_key"),
    ],
)
def test_what_is_no_payment_names_the_field(
    fake: FakeProvider, members: dict[str, Any], field: str
) -> None:
    client = api_client(make_payer("100.00"))
    for response in (pay_in(client, **members), pay_out(client, **members)):
        assert response.status_code == 400
        assert list(response.json()["errors"]) == [field]
    assert fake.calls == []


def test_a_destination_is_a_word(fake: FakeProvider) -> None:
    client = api_client(make_payer("100.00"))
    for destination in ("", "   ", "x" * 256, None, 5, "a\u0000b", "a\u202eb"):
        response = pay_out(client, destination=destination)
        problem = require_problem(response, 400, "validation_error")
        assert list(problem["errors"]) == ["destination"]


def test_an_id_that_names_nothing_is_a_404(fake: FakeProvider) -> None:
    client = api_client(make_payee())
    ids = ("x", "1", "%00", "1' or 1=1", str(uuid.uuid4()), uuid.uuid4().hex)
    for base, path in itertools.product((INTENTS, PAYOUTS), ids):
        require_problem(client.get(f"{base}{path}/"), 404, "not_found")
        require_problem(client.post(f"{base}{path}/cancel/", {}), 404, "not_found")


@pytest.mark.parametrize("what", ["confirm", "cancel", "refresh"])
def test_an_act_takes_no_members(fake: FakeProvider, what: str) -> None:
    client = api_client(make_payee())
    intent_id = pay_in(client).json()["id"]
    problem = require_problem(act(client, intent_id, what, amount="1"), 400, "validation_error")
    assert list(problem["errors"]) == ["amount"]
    assert client.post(f"{INTENTS}{intent_id}/{what}/").status_code == 200


def test_lists_are_pages_newest_first(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    client = api_client(user)
    for base, make in ((INTENTS, pay_in), (PAYOUTS, pay_out)):
        made = [make(client).json()["id"] for _ in range(3)]
        page = client.get(f"{base}?page_size=2").json()
        assert [row["id"] for row in page["results"]] == made[:0:-1]
        rest = client.get(page["next"]).json()
        assert [row["id"] for row in rest["results"]] == made[:1]
        assert rest["next"] is None
        for bad, code in (("page_size=0", "validation_error"), ("cursor=x", "invalid_cursor")):
            require_problem(client.get(f"{base}?{bad}"), 400, code)


def test_the_schema_names_the_calls(fake: FakeProvider) -> None:
    answer = api_client().get("/api/schema/", headers={"Accept": "application/json"})
    paths = json.loads(answer.content)["paths"]
    for name in ("", "{intent_id}/", *(f"{{intent_id}}/{a}/" for a in ("confirm", "cancel"))):
        assert f"{INTENTS}{name}" in paths
    assert "201" in paths[f"{INTENTS}{{intent_id}}/refund/"]["post"]["responses"]
    assert set(paths[PAYOUTS]) == {"get", "post"}


@pytest.mark.parametrize("what", ["confirm", "cancel", "refresh", "simulate"])
def test_who_has_a_provider_asked_without_end_is_stopped(
    fake: FakeProvider, settings: Any, what: str
) -> None:
    settings.PAYMENTS_PER_HOUR = 2
    settings.PAYMENT_PROVIDERS = [*settings.PAYMENT_PROVIDERS, "simulator"]
    client, key = api_client(make_payee()), uuid.uuid4().hex
    members = {"outcome": "succeeded"} if what == "simulate" else {}
    checked: Any = Simulating()
    with registry.registered(checked):
        intent_id = pay_in(client, provider="simulator").json()["id"]
        assert act(client, intent_id, what, **members).status_code < 300
        for response in (
            act(client, intent_id, what, **members),
            pay_in(client, idempotency_key=key),
        ):
            require_problem(response, 429, "throttled")
            assert int(response["Retry-After"]) > 0
        settings.PAYMENTS_PER_HOUR = 100
        assert pay_in(client, idempotency_key=key).status_code == 201
