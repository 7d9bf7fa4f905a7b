"""What the relay asks before it gives a feed its turn, and what the feeds would find."""

from typing import Any

import psycopg
from django.conf import settings
from django.utils import timezone

from events.tests.test_relay import make_due
from payments.models import PaymentIntent, Payout, ProviderEvent, Refund
from payments.tests.fakes import (
    FakeProvider,
    make_intent,
    make_paid_intent,
    make_payout,
    make_refund,
)
from transactions.tests.factories import make_payer
from webhooks.models import Endpoint
from webhooks.tests.factories import make_endpoint

_MOMENTS = {
    "provider_events": (ProviderEvent, "next_attempt_at"),
    "payouts": (Payout, "next_attempt_at"),
    "refunds": (Refund, "next_attempt_at"),
    "intents": (PaymentIntent, "next_attempt_at"),
    "deliveries": (Endpoint, "due_at"),
}


def named(owner: "psycopg.Connection[Any]") -> set[str]:
    return {
        name
        for function in settings.RELAY_LOOKS
        for (name,) in owner.execute(f"SELECT feed FROM {function}()").fetchall()
    }


def test_a_look_names_exactly_the_feeds_that_have_something_due(
    fake: FakeProvider, owner: "psycopg.Connection[Any]"
) -> None:
    user = make_payer("100.00")
    make_intent()
    make_refund(make_paid_intent(fake), "1.00")
    make_payout(user)
    endpoint = make_endpoint(user)
    Endpoint.objects.filter(pk=endpoint.pk).update(due_at=timezone.now())
    make_due(1)
    # What other tests left is put off, in a transaction that never ends well.
    for model, column in _MOMENTS.values():
        put_off = f"UPDATE {model._meta.db_table} SET {column} = now() + interval '1 hour'"
        owner.execute(f"{put_off} WHERE {column} IS NOT NULL")
    kept = owner.execute("DELETE FROM events_outboxevent RETURNING 1").fetchall()
    assert kept
    assert named(owner) == set()
    for name, (model, column) in _MOMENTS.items():
        table = model._meta.db_table
        owner.execute("SAVEPOINT one")
        owner.execute(
            f"UPDATE {table} SET {column} = now() WHERE id ="
            f" (SELECT id FROM {table} WHERE {column} IS NOT NULL ORDER BY id DESC LIMIT 1)"
        )
        assert named(owner) == {name}
        owner.execute("ROLLBACK TO one")
    owner.rollback()
    assert named(owner) >= {"announcements"}
    assert {*_MOMENTS, "announcements"} == set(settings.RELAY_FEEDS)
