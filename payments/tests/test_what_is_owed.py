"""What a wallet could not take when its provider said so is owed until it can."""

import dataclasses
import itertools

from django.utils import timezone

from events.models import AuditRecord, OutboxEvent
from payments import services
from payments.models import PaymentIntent, PaymentIssue, Payout, Refund
from payments.providers.base import PaymentState, PayoutState, RefundState
from payments.services import Applied
from payments.tests.fakes import (
    FakeProvider,
    make_intent,
    make_paid_intent,
    make_payout,
    make_refund,
    reread,
    tell,
)
from payments.tests.test_payouts import money_of
from transactions.tests.factories import balance_of, make_payer, wallet_of
from users.models import User
from wallet.services import freeze_wallet, unfreeze_wallet


def freeze(user: User) -> None:
    freeze_wallet(wallet_id=wallet_of(user).pk, acting_user=user, reason="test")


def thaw(user: User) -> None:
    unfreeze_wallet(wallet_id=wallet_of(user).pk, acting_user=user, reason="test")


def sweep(row: PaymentIntent | Refund | Payout) -> None:
    """What a worker does when the row's pause is over; nothing where none is planned."""
    rows = type(row)._default_manager.filter(pk=row.pk, next_attempt_at__isnull=False)
    rows.update(next_attempt_at=timezone.now())
    if isinstance(row, PaymentIntent):
        services.check_intent(row.pk)
    elif isinstance(row, Refund):
        services.check_refund(row.pk)
    else:
        services.check_payout(row.pk)


def test_a_credit_that_was_refused_is_owed_in_every_order_of_events(fake: FakeProvider) -> None:
    states = (PaymentState.PROCESSING, PaymentState.FAILED, PaymentState.SUCCEEDED)
    for order in itertools.permutations(states):
        intent = make_intent()
        user = User.objects.get(pk=intent.user_id)
        freeze(user)
        fake.become(fake.payment_of(intent), PaymentState.SUCCEEDED)
        for state in [*order, *order]:
            if tell(fake, intent, state, now=False) is Applied.DOUBT:
                tell(fake, intent, PaymentState.SUCCEEDED, fetched=True)
        after = reread(intent)
        assert (after.status, after.owed, balance_of(user)) == ("processing", "credit", "0.00")
        assert after.next_attempt_at is not None
        told = set(OutboxEvent.objects.filter(subject_id=intent.pk).values_list("type", flat=True))
        thaw(user)
        sweep(intent)
        after = reread(intent)
        assert (after.status, after.owed, after.next_attempt_at) == ("succeeded", "", None), order
        assert balance_of(user) == "25.00"
        # Only a failure that came before the money did was told.
        assert told <= ({"payment_intent.failed"} if order[2] == PaymentState.SUCCEEDED else set())


def test_a_late_failure_does_not_end_a_credit_that_is_owed(fake: FakeProvider) -> None:
    intent = make_intent()
    user = User.objects.get(pk=intent.user_id)
    tell(fake, intent, PaymentState.PROCESSING)
    freeze(user)
    assert tell(fake, intent, PaymentState.SUCCEEDED) is Applied.DONE
    for state in (PaymentState.FAILED, PaymentState.PROCESSING, PaymentState.CANCELED):
        assert tell(fake, intent, state, now=False) is Applied.DOUBT
    assert (reread(intent).status, reread(intent).owed) == ("processing", "credit")
    assert not OutboxEvent.objects.filter(subject_id=intent.pk).exists()
    # Its provider's word now ends it.
    tell(fake, intent, PaymentState.FAILED, fetched=True)
    assert (reread(intent).status, reread(intent).owed) == ("failed", "")


def test_a_return_of_a_payout_is_owed_until_its_wallet_takes_it(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    payout = make_payout(user, "40.00")
    services.check_payout(payout.pk)

    def tell_payout(state: PayoutState, *, fetched: bool) -> Applied:
        told = dataclasses.replace(fake.payouts[payout.pk], state=state)
        if fetched:
            fake.payouts[payout.pk] = told
        return services.apply_payout("fake", told, fetched=fetched)

    tell_payout(PayoutState.PAID, fetched=True)
    freeze(user)
    assert tell_payout(PayoutState.FAILED, fetched=True) is Applied.DONE
    for state in PayoutState:
        assert tell_payout(state, fetched=False) is Applied.DOUBT
    sweep(payout)
    payout.refresh_from_db()
    assert (payout.status, payout.owed, money_of(user)) == ("paid", "return", ("60.00", "0.00"))
    assert payout.next_attempt_at is not None
    assert PaymentIssue.objects.get(subject_id=payout.pk).kind == "return_refused"
    thaw(user)
    sweep(payout)
    after = Payout.objects.get(pk=payout.pk)
    assert (after.status, after.owed, after.next_attempt_at) == ("failed", "", None)
    assert money_of(user) == ("100.00", "0.00")
    issue = PaymentIssue.objects.get(subject_id=payout.pk)
    assert issue.resolution == f"The wallet took it: transaction {after.return_transaction_id}."


def test_a_return_of_a_refund_is_owed_until_its_wallet_takes_it(fake: FakeProvider) -> None:
    intent = make_paid_intent(fake)
    user = User.objects.get(pk=intent.user_id)
    for was in (RefundState.PENDING, RefundState.SUCCEEDED):
        refund = make_refund(intent)
        fake.refunded_becomes = was
        services.check_refund(refund.pk)
        failed = dataclasses.replace(fake.refunds[refund.pk], state=RefundState.FAILED)
        fake.refunds[refund.pk] = failed
        freeze(user)
        assert services.apply_refund("fake", failed, fetched=True) is Applied.DONE
        for state in RefundState:
            told = dataclasses.replace(failed, state=state)
            assert services.apply_refund("fake", told, fetched=False) is Applied.DOUBT
        refund.refresh_from_db()
        assert (refund.status, refund.owed, balance_of(user)) == (was, "return", "0.00")
        thaw(user)
        sweep(refund)
        refund.refresh_from_db()
        assert (refund.status, refund.owed, refund.next_attempt_at) == ("failed", "", None)
        assert balance_of(user) == "25.00"


def test_an_older_answer_does_not_end_what_a_refund_owes(fake: FakeProvider) -> None:
    intent = make_paid_intent(fake)
    user = User.objects.get(pk=intent.user_id)
    refund = make_refund(intent)
    fake.refunded_becomes = RefundState.PENDING
    services.check_refund(refund.pk)
    failed = dataclasses.replace(fake.refunds[refund.pk], state=RefundState.FAILED)
    fake.refunds[refund.pk] = failed
    freeze(user)
    services.apply_refund("fake", failed, fetched=True)
    # Asked before it failed, and slower.
    succeeded = dataclasses.replace(failed, state=RefundState.SUCCEEDED)
    for _ in range(2):
        assert services.apply_refund("fake", succeeded, fetched=True) is Applied.DONE
        refund.refresh_from_db()
        assert (refund.status, refund.owed) == ("succeeded", "return")
        assert refund.next_attempt_at is not None
    thaw(user)
    sweep(refund)
    refund.refresh_from_db()
    assert (refund.status, refund.owed, refund.next_attempt_at) == ("failed", "", None)
    assert balance_of(user) == "25.00"


def issues_of(row: PaymentIntent | Refund | Payout) -> list[tuple[str, bool]]:
    """What was noted of it, and whether it is open."""
    issues = PaymentIssue.objects.filter(subject_id=row.pk).order_by("opened_at")
    return [(issue.kind, issue.resolved_at is None) for issue in issues]


def test_an_issue_about_what_is_owed_is_closed_by_the_credit(fake: FakeProvider) -> None:
    intent = make_intent()
    user = User.objects.get(pk=intent.user_id)
    freeze(user)
    tell(fake, intent, PaymentState.SUCCEEDED, fetched=True)
    sweep(intent)
    assert issues_of(intent) == [("credit_refused", True)]
    thaw(user)
    sweep(intent)
    issue = PaymentIssue.objects.get(subject_id=intent.pk)
    made = reread(intent).transaction_id
    assert issue.resolved_at is not None
    assert (issue.resolved_by, issue.resolution) == (
        None,
        f"The wallet took it: transaction {made}.",
    )
    [trail] = AuditRecord.objects.filter(subject_id=issue.pk)
    assert (trail.action, trail.actor_id, trail.reason) == (
        "payment_issue.resolved",
        None,
        issue.resolution,
    )


def test_an_issue_about_what_is_owed_is_closed_when_its_provider_takes_it_back(
    fake: FakeProvider,
) -> None:
    intent = make_intent()
    freeze(User.objects.get(pk=intent.user_id))
    tell(fake, intent, PaymentState.SUCCEEDED, fetched=True)
    tell(fake, intent, PaymentState.FAILED, fetched=True)
    assert issues_of(intent) == [("credit_refused", False)]
    issue = PaymentIssue.objects.get(subject_id=intent.pk)
    assert issue.resolution == "Its provider says that it is failed."
    # Owed again, it is noted again.
    tell(fake, intent, PaymentState.SUCCEEDED, fetched=True)
    assert issues_of(intent) == [("credit_refused", False), ("credit_refused", True)]
