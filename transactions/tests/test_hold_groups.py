"""Groups of holds, all or none; and what the sweeper does."""

import logging
import uuid
from typing import Any

import pytest
from django.db import OperationalError

from fintech_core.exceptions import NotFound
from transactions import accounts, declines, services, tasks
from transactions.models import Transaction
from transactions.services import holds as hold_services
from transactions.tests.factories import balance_of, make_payee, make_payer, wallet_of
from transactions.tests.hold_factories import (
    ask,
    hold_status,
    make_hold,
    make_overdue_hold,
    standing,
)
from wallet.services import freeze_wallet

pytestmark = pytest.mark.usefixtures("committed")


def test_a_group_is_captured_in_order_under_one_key() -> None:
    payers, payee = [make_payer("10.00"), make_payer("10.00")], make_payee()
    ids = [make_hold(payer, payee, "6.00") for payer in payers]
    ids.append(make_hold(payers[0], payee, "1.00"))
    request = ask(payee)
    outcomes = services.capture_holds(hold_ids=ids, request=request)
    assert [outcome.hold.id for outcome in outcomes] == ids
    keys = [outcome.act.idempotency_key for outcome in outcomes]
    assert keys == [request.idempotency_key + end for end in ("", " 2", " 3")]
    assert (balance_of(payee), [balance_of(p) for p in payers]) == ("13.00", ["3.00", "4.00"])
    again = services.capture_holds(hold_ids=ids, request=request)
    assert all(outcome.is_replay for outcome in again)
    assert [o.hold for o in again] == [o.hold for o in outcomes]
    assert balance_of(payee) == "13.00"


def test_one_refusal_stops_a_group_and_is_recorded_once() -> None:
    payers, payee = [make_payer("10.00") for _ in range(3)], make_payee()
    ids = [make_hold(payer, payee, "6.00") for payer in payers]
    freeze_wallet(wallet_id=wallet_of(payers[1]).pk, acting_user=payee, reason="test")
    before, request = standing(*payers, payee), ask(payee)
    for is_replay in (False, True):
        [outcome] = services.capture_holds(hold_ids=ids, request=request)
        assert (outcome.act.decline_code, outcome.is_replay) == ("wallet_frozen", is_replay)
        assert outcome.act.facts == {"hold": str(ids[1])}
    assert standing(*payers, payee) == before
    assert [hold_status(hold_id) for hold_id in ids] == ["open"] * 3
    assert Transaction.objects.filter(initiated_by=payee).count() == 1


def test_a_group_that_would_overfill_its_recipient_captures_nothing() -> None:
    payer, payee = make_payer("2000.00"), make_payee(tier=0)
    ids = [make_hold(payer, payee, "600.00") for _ in range(2)]
    [outcome] = services.capture_holds(hold_ids=ids, request=ask(payee))
    assert outcome.act.decline_code == "balance_limit_exceeded"
    assert (balance_of(payee), wallet_of(payer).held) == ("0.00", 1200)


def test_a_group_is_voided_or_none_of_it() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    ids = [make_hold(payer, payee, "2.00") for _ in range(3)]
    services.void_hold(hold_id=ids[2], request=ask(payee))
    [refused] = services.void_holds(hold_ids=ids, request=ask(payee))
    assert refused.act.facts == {"hold": str(ids[2]), "hold_status": "voided"}
    assert wallet_of(payer).held == 4
    services.void_holds(hold_ids=ids[:2], request=ask(payee))
    assert wallet_of(payer).held == 0


def test_a_group_holds_nothing_of_others() -> None:
    payer, payee, other = make_payer("10.00"), make_payee(), make_payee()
    ids = [make_hold(payer, payee, "2.00"), make_hold(payer, other, "2.00")]
    for strange in (ids, [ids[0], uuid.uuid4()]):
        with pytest.raises(NotFound):
            services.capture_holds(hold_ids=strange, request=ask(payee))
    with pytest.raises(declines.NotTheRecipient):
        services.capture_holds(hold_ids=ids, request=ask(payer))
    assert wallet_of(payer).held == 4


def test_the_sweeper_gives_back_what_ran_out_and_is_harmless_twice() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    running = make_hold(payer, payee, "1.00")
    overdue = [make_overdue_hold(payer, payee, "2.00") for _ in range(2)]
    for _ in range(2):
        tasks.expire_holds_task()
        assert (wallet_of(payer).held, hold_status(running)) == (1, "open")
    for hold_id in overdue:
        assert hold_status(hold_id) == "expired"
        [child] = Transaction.objects.filter(parent_id=hold_id)
        assert (child.status, child.initiated_by_id) == ("expired", None)


def test_one_wallet_in_trouble_does_not_stop_the_sweeper(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    payers, payee = [make_payer("10.00") for _ in range(3)], make_payee()
    ids = [make_overdue_hold(payer, payee, "2.00") for payer in payers]
    broken = wallet_of(payers[0]).pk
    original = accounts.open_accounts

    def open_accounts(**asked: Any) -> Any:
        if broken in asked["wallets"]:
            raise OperationalError("broken")
        return original(**asked)

    monkeypatch.setattr(hold_services, "open_accounts", open_accounts)
    monkeypatch.setattr(hold_services, "_CHUNK", 2)
    with caplog.at_level(logging.ERROR):
        services.expire_holds()
    assert [hold_status(hold_id) for hold_id in ids] == ["open", "expired", "expired"]
    assert [record.wallet for record in caplog.records] == [str(broken)]  # type: ignore[attr-defined]
    monkeypatch.undo()
    services.expire_holds()
    assert hold_status(ids[0]) == "expired"
