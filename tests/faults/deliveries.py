"""Deliveries by the thousand: duplicates, forgeries, any order; and what must have come of them."""

import random
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.db import connections
from django.test import Client

from fintech_core import signing
from payments.models import IntentStatus, PaymentIntent
from payments.providers.base import PaymentState
from tests.faults.fake_provider import Delivery, FakeProvider
from tests.faults.payments import credits_of, deliver, make_payment, told_of
from users.tests.factories import make_user

_THIEF = signing.new_secret()


@dataclass
class Mail:
    """Deliveries of which some are forged: duplicates are the same object twice."""

    honest: list[Delivery]
    forged: list[Delivery]

    def shuffled(self, chance: random.Random) -> list[tuple[Delivery, int]]:
        """Each with the status that it must get."""
        mixed = [(one, 200) for one in self.honest] + [(one, 400) for one in self.forged]
        chance.shuffle(mixed)
        return mixed


def write_mail(
    provider: FakeProvider, count: int, chance: random.Random, *, prefix: str
) -> tuple[Mail, list[PaymentIntent]]:
    """So many deliveries: 30 % duplicates, 5 % forged, of payments with four events each.

    Half of the payments succeed; the others fail, or are called off.
    """
    forgeries, duplicates = count * 5 // 100, count * 30 // 100
    originals = count - forgeries - duplicates
    intents: list[PaymentIntent] = []
    honest: list[Delivery] = []
    users = [make_user(tier=2) for _ in range(max(4, originals // 200))]
    while len(honest) < originals:
        intent = make_payment(chance.choice(users), amount=f"{chance.randint(1, 900) / 100:.2f}")
        intents.append(intent)
        end = chance.choice(
            [
                PaymentState.SUCCEEDED,
                PaymentState.SUCCEEDED,
                PaymentState.FAILED,
                PaymentState.CANCELED,
            ]
        )
        story = [
            PaymentState.REQUIRES_CONFIRMATION,
            PaymentState.PROCESSING,
            PaymentState.FAILED,
            end,
        ]
        provider.tell(told_of(intent, end))
        honest += [
            Delivery(told_of(intent, state), event_id=f"{prefix}{uuid.uuid4().hex}")
            for state in story
        ]
    honest = honest[:originals] + [chance.choice(honest[:originals]) for _ in range(duplicates)]
    forged = []
    for _ in range(forgeries):
        # Somebody without the secret claims that a payment has succeeded.
        told = told_of(chance.choice(intents), PaymentState.SUCCEEDED)
        forged.append(Delivery(told, event_id=f"{prefix}forged_{uuid.uuid4().hex}", secret=_THIEF))
    return Mail(honest, forged), intents


def send_all(mail: list[tuple[Delivery, int]]) -> list[tuple[str, int]]:
    """Send everything by eight clients; what was answered otherwise than it must be."""
    left = iter(mail)
    taking = threading.Lock()
    wrong = []

    def send(_: int) -> None:
        client = Client(HTTP_HOST="localhost")
        try:
            while True:
                with taking:
                    item = next(left, None)
                if item is None:
                    return
                delivery, expected = item
                # Each delivery is signed when it is sent, as providers do.
                status = deliver(delivery.sign(), client)
                if status != expected:
                    wrong.append((delivery.event_id, status))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(send, range(8)))
    return wrong


def check_ends(provider: FakeProvider, intents: list[PaymentIntent]) -> None:
    """Of a payment all of whose events came, what is here is what the provider knows."""
    deposits: dict[uuid.UUID, int] = {}
    rows = {row.pk: row for row in PaymentIntent.objects.filter(pk__in=[i.pk for i in intents])}
    for row in rows.values():
        if row.transaction_id is not None:
            deposits[row.transaction_id] = deposits.get(row.transaction_id, 0) + 1
    assert len(credits_of(intents)) == len(deposits)
    assert set(deposits.values()) <= {1}
    # The last payment's events may have been cut off.
    for intent in intents[:-1]:
        row = rows[intent.pk]
        known = provider.fetch_payment(intent.provider_reference)
        assert row.status == known.state.value, row.pk
        assert (row.transaction_id is not None) == (row.status == IntentStatus.SUCCEEDED)
