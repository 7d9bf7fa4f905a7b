"""What is due is handed to workers until its provider has said the last word, webhook or not."""

import dataclasses
import datetime
import itertools
import uuid
from collections.abc import Callable, Iterator

import pytest
from django.utils import timezone

from events.relay import publisher
from fintech_core.fields import uuid7
from payments import feeds, services, tasks
from payments.models import PaymentIntent, PaymentIssue, Payout, Refund
from payments.providers import breaker, registry
from payments.providers.base import PaymentState, PayoutState, RefundState
from payments.tests.fakes import (
    FakeProvider,
    asking,
    dollars,
    make_intent,
    make_paid_intent,
    make_payout,
    make_refund,
    reread,
    tell,
)
from payments.tests.test_payouts import money_of
from transactions.tests.factories import balance_of, make_payee, make_payer
from users.models import User
from users.tests.factories import at_once

TASKS = {
    task.name: task
    for task in (tasks.check_intent_task, tasks.check_refund_task, tasks.check_payout_task)
}
FEEDS = (feeds.hand_over_intents, feeds.hand_over_refunds, feeds.hand_over_payouts)


@pytest.fixture
def work(fake: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """One round of the relay, and of workers who get all that it publishes; returns the ids of the
    rows."""
    relayed = _relayed(monkeypatch)

    def one_round() -> list[str]:
        messages = relayed()
        for message in messages:
            message.work()
        return [message.row_id for message in messages]

    return one_round


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    queue: str
    task: str
    row_id: str
    attempts: int

    def work(self) -> None:
        """As a worker does that got it."""
        TASKS[self.task](self.row_id, self.attempts)


@pytest.fixture
def relay(fake: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Message]]:
    """One round of the relay; returns what it publishes, which no worker gets by itself."""
    return _relayed(monkeypatch)


def _relayed(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Message]]:
    published: list[Message] = []
    # What other tests left is theirs: their providers are gone.
    since = uuid7()

    def publish(task: str, row_id: uuid.UUID, attempts: int, *, queue: str) -> None:
        published.append(Message(queue, task, str(row_id), attempts))

    monkeypatch.setattr(publisher, "publish", publish)
    monkeypatch.setattr(publisher, "room_in", lambda queue: 1_000)

    def one_round() -> list[Message]:
        for feed in FEEDS:
            while feed():
                pass
        mine = [message for message in published if uuid.UUID(message.row_id) > since]
        published.clear()
        return mine

    return one_round


def hurry(row: PaymentIntent | Refund | Payout) -> None:
    """As it is when the pause is over."""
    type(row)._default_manager.filter(pk=row.pk).update(next_attempt_at=timezone.now())


def test_without_any_webhook_everything_ends_as_it_should(
    fake: FakeProvider, work: Callable[[], list[str]]
) -> None:
    user = make_payer("100.00")
    payout, refund = make_payout(user, "40.00"), make_refund(make_paid_intent(fake, user))
    intent = make_intent(user, "7.00")
    services.confirm_intent(user=user, intent_id=intent.pk)
    work()
    assert {payout.pk, refund.pk} <= {*fake.payouts, *fake.refunds}
    fake.payouts[payout.pk] = dataclasses.replace(fake.payouts[payout.pk], state=PayoutState.PAID)
    fake.refunds[refund.pk] = dataclasses.replace(
        fake.refunds[refund.pk], state=RefundState.SUCCEEDED
    )
    fake.become(fake.payment_of(intent), PaymentState.SUCCEEDED)
    for row in (payout, refund, intent):
        hurry(row)
    work()
    for row, status in ((payout, "paid"), (refund, "succeeded"), (intent, "succeeded")):
        row.refresh_from_db()
        assert (row.status, row.next_attempt_at) == (status, None)
    assert money_of(user) == ("67.00", "0.00")
    assert {str(row.pk) for row in (payout, refund, intent)}.isdisjoint(work())


def test_a_provider_that_is_away_costs_pauses_that_grow(
    fake: FakeProvider, work: Callable[[], list[str]]
) -> None:
    payout = make_payout(make_payer("100.00"))
    fake.away = True
    pauses = []
    for _ in range(10):
        hurry(payout)
        assert str(payout.pk) in work()
        assert str(payout.pk) not in work()
        payout.refresh_from_db()
        assert payout.next_attempt_at is not None
        pauses.append((payout.next_attempt_at - timezone.now()).total_seconds())
    # The rounds themselves take a moment.
    assert all(later > earlier - 5 for earlier, later in itertools.pairwise(pauses))
    assert pauses[0] <= 15
    assert 3_500 < pauses[-1] <= 3_600
    fake.away = False
    hurry(payout)
    work()
    assert payout.pk in fake.payouts


def test_an_intent_that_its_payer_pays_at_the_checkout_is_noticed(
    fake: FakeProvider, work: Callable[[], list[str]]
) -> None:
    intent = make_intent()
    assert str(intent.pk) not in work()
    due = reread(intent).next_attempt_at
    assert due is not None
    assert due - timezone.now() > datetime.timedelta(minutes=4)
    fake.become(fake.payment_of(intent), PaymentState.SUCCEEDED)
    hurry(intent)
    work()
    assert balance_of(User.objects.get(pk=intent.user_id)) == "25.00"


def test_an_intent_that_failed_and_is_paid_after_all_is_noticed(
    fake: FakeProvider, work: Callable[[], list[str]]
) -> None:
    intent = make_intent()
    user = User.objects.get(pk=intent.user_id)
    services.confirm_intent(user=user, intent_id=intent.pk)
    tell(fake, intent, PaymentState.FAILED)
    due = reread(intent).next_attempt_at
    assert due is not None
    assert due - timezone.now() > datetime.timedelta(minutes=14)
    # Another card is tried: that is the payer's to confirm.
    fake.become(fake.payment_of(intent), PaymentState.REQUIRES_CONFIRMATION)
    calls = fake.calls.count("confirm")
    hurry(intent)
    work()
    assert (reread(intent).status, fake.calls.count("confirm")) == ("failed", calls)
    fake.become(fake.payment_of(intent), PaymentState.SUCCEEDED)
    hurry(intent)
    work()
    assert (reread(intent).status, balance_of(user)) == ("succeeded", "25.00")


def test_an_intent_that_failed_is_not_asked_about_for_ever(
    fake: FakeProvider, work: Callable[[], list[str]]
) -> None:
    intent, looks, waited = make_intent(), 0, datetime.timedelta()
    tell(fake, intent, PaymentState.PROCESSING)
    tell(fake, intent, PaymentState.FAILED)
    while (due := reread(intent).next_attempt_at) is not None:
        waited += due - timezone.now()
        hurry(intent)
        assert str(intent.pk) in work()
        looks += 1
    assert looks < 25
    assert datetime.timedelta(days=6) < waited < datetime.timedelta(days=8)
    fake.refusal = "declined"
    user = make_payee()
    refused = services.create_intent(user=user, amount="1.00", request=asking(user))
    assert refused.intent is not None
    assert (refused.intent.status, refused.intent.next_attempt_at) == ("failed", None)


def test_a_worker_that_died_between_claim_and_call_has_cost_a_pause(
    fake: FakeProvider, work: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    payout = make_payout(make_payer("100.00"))

    def die(**_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(fake, "pay_out", die)
        with pytest.raises(SystemExit):
            services.check_payout(payout.pk)
    payout.refresh_from_db()
    assert (payout.status, fake.payouts) == ("in_transit", {})
    hurry(payout)
    work()
    assert payout.pk in fake.payouts


def test_a_provider_that_was_switched_off_is_waited_for(
    fake: FakeProvider, work: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_payer("100.00")
    payout, unwanted = make_payout(user), make_payout(user)
    with monkeypatch.context() as patched:
        patched.delitem(registry._registered, "fake")
        assert {str(payout.pk), str(unwanted.pk)} <= set(work())
        services.cancel_payout(user=user, payout_id=unwanted.pk)
    payout.refresh_from_db()
    assert (payout.status, payout.next_attempt_at is not None) == ("pending", True)
    hurry(payout)
    work()
    assert [payout.pk] == list(fake.payouts)


def test_a_message_about_what_is_done_does_nothing(
    fake: FakeProvider, work: Callable[[], list[str]]
) -> None:
    intent = make_paid_intent(fake, make_payee())
    refund = make_refund(intent, "5.00")
    fake.refunded_becomes = RefundState.SUCCEEDED
    work()
    calls = len(fake.calls)
    tasks.check_refund_task(str(refund.pk))
    tasks.check_intent_task(str(intent.pk))
    assert len(fake.calls) == calls


def test_what_is_sent_first_never_stands_behind_a_look(
    fake: FakeProvider, relay: Callable[[], list[Message]]
) -> None:
    user = make_payer("100.00")
    payout, refund = make_payout(user, "40.00"), make_refund(make_paid_intent(fake, user))
    intent = make_intent(user, "7.00")
    hurry(intent)

    def queues() -> dict[str, str]:
        messages = relay()
        for message in messages:
            message.work()
        return {message.row_id: message.queue for message in messages}

    assert queues() == {str(payout.pk): "money", str(refund.pk): "money", str(intent.pk): "looks"}
    for row in (payout, refund, intent):
        hurry(row)
    assert queues() == dict.fromkeys((str(payout.pk), str(refund.pk), str(intent.pk)), "looks")


def test_a_full_queue_of_looks_stops_nothing_that_is_sent_first(
    fake: FakeProvider, relay: Callable[[], list[Message]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "room_in", lambda queue: 0 if queue == "looks" else 1_000)
    intent, payout = make_intent(), make_payout(make_payer("100.00"))
    hurry(intent)
    assert [message.row_id for message in relay()] == [str(payout.pk)]


def test_however_long_messages_wait_a_row_is_looked_at_once(
    fake: FakeProvider, relay: Callable[[], list[Message]]
) -> None:
    intent = make_intent()
    waiting = []
    for _ in range(3):
        # The lease is over, and the message before it waits still.
        hurry(intent)
        waiting += relay()
    assert [message.row_id for message in waiting] == [str(intent.pk)] * 3
    calls = len(fake.calls)
    for message in waiting:
        message.work()
    assert len(fake.calls) == calls + 1
    assert reread(intent).attempts == 1


def test_of_messages_that_come_at_once_one_is_acted_on(
    fake: FakeProvider, relay: Callable[[], list[Message]]
) -> None:
    intent = make_intent()
    hurry(intent)
    [message] = relay()
    calls = len(fake.calls)
    at_once(8, lambda _: message.work())
    assert len(fake.calls) == calls + 1


@pytest.fixture
def hanging(fake: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    """A provider that does not answer, and takes its time not to."""
    monkeypatch.setattr(breaker, "SLOW_SECONDS", 0.0)
    fake.away = True
    yield fake
    breaker.answered(fake.name)


def test_a_provider_that_hangs_is_left_alone_by_turns(
    hanging: FakeProvider, relay: Callable[[], list[Message]], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_payer("100.00")
    payouts = [make_payout(user, "1.00") for _ in range(10)]
    for message in relay():
        message.work()
    assert len(hanging.calls) == breaker.IN_A_ROW
    statuses = [Payout.objects.get(pk=payout.pk).status for payout in payouts]
    assert statuses.count("pending") == 10 - breaker.IN_A_ROW, "what was put off was not sent"
    # The pause is over: one asks whether it is back, and nobody else meanwhile.
    monkeypatch.setattr(breaker, "PAUSE_SECONDS", 0.0)
    breaker.failed(hanging.name, seconds=15)
    assert [breaker.lets_through(hanging.name) for _ in range(3)] == [True, False, False]
    breaker.failed(hanging.name, seconds=15)
    # It is back: all that was put off is due again after its lease.
    hanging.away = False
    for payout in payouts:
        hurry(payout)
    for message in relay():
        message.work()
    assert {payout.pk for payout in payouts} == set(hanging.payouts)


def test_a_provider_that_hangs_delays_no_other_one(
    hanging: FakeProvider, relay: Callable[[], list[Message]]
) -> None:
    for _ in range(breaker.IN_A_ROW):
        breaker.failed(hanging.name, seconds=15)
    assert not breaker.lets_through(hanging.name)
    assert breaker.lets_through("another")


def test_who_got_no_turn_does_not_say_that_it_is_back(
    hanging: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "SLOW_SECONDS", 2.0)
    for _ in range(breaker.IN_A_ROW):
        breaker.failed(hanging.name, seconds=15)
        breaker.failed(hanging.name, seconds=0.25)
    assert not breaker.lets_through(hanging.name)


def test_a_provider_that_fails_at_once_keeps_nobody_waiting_and_is_asked(
    fake: FakeProvider, relay: Callable[[], list[Message]]
) -> None:
    fake.away = True
    user = make_payer("100.00")
    for _ in range(6):
        make_payout(user, "1.00")
    for message in relay():
        message.work()
    assert len(fake.calls) == 6


def test_what_does_not_fit_is_left_to_a_person(
    fake: FakeProvider, work: Callable[[], list[str]]
) -> None:
    user = make_payer("100.00")
    intent, payout = make_intent(user), make_payout(user, "10.00")
    refund = make_refund(make_paid_intent(fake, user), "5.00")
    work()
    more = dollars("99.00")
    fake.become(fake.payment_of(intent), PaymentState.SUCCEEDED, amount=more)
    fake.payouts[payout.pk] = dataclasses.replace(fake.payouts[payout.pk], amount=more)
    fake.refunds[refund.pk] = dataclasses.replace(fake.refunds[refund.pk], amount=more)
    for row in (intent, payout, refund):
        hurry(row)
    work()
    for row in (intent, payout, refund):
        row.refresh_from_db()
        assert row.next_attempt_at is None
        assert PaymentIssue.objects.get(subject_id=row.pk).kind == "amount_mismatch"
    assert money_of(user) == ("120.00", "10.00")
