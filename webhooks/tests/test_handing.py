"""What is kept while the relay looks is handed out by this look or by the next, and never forgotten."""

import threading
import uuid
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.db import connections, transaction

from fintech_core.calls import call
from transactions.tests.factories import make_payee
from webhooks import services, telling
from webhooks.models import Delivery, Endpoint
from webhooks.tests.factories import make_endpoint, tell, until

pytestmark = pytest.mark.usefixtures("committed")

_PAUSED = 0x77656268


def _make_pausing(owner: psycopg.Connection[Any], endpoint: Endpoint) -> None:
    """The function, but it waits between seeing that the endpoint is due and locking it."""
    found = owner.execute("SELECT pg_get_functiondef('hand_out_deliveries'::regproc)").fetchone()
    assert found is not None
    due = "WHERE e.status = 'enabled' AND "
    wait = f"(e.id <> '{endpoint.pk}' OR pg_advisory_xact_lock_shared({_PAUSED}) IS NOT NULL) AND "
    text = found[0].replace("public.hand_out_deliveries(", "public.hand_out_with_a_pause(")
    assert due in text
    owner.execute(text.replace(due, due + wait))
    owner.commit()


def _waits(owner: psycopg.Connection[Any]) -> bool:
    waiting = owner.execute(
        "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted",
        [_PAUSED],
    ).fetchone()
    owner.commit()
    return waiting is not None


def test_a_delivery_kept_between_the_look_and_its_lock_is_not_forgotten(
    owner: psycopg.Connection[Any],
) -> None:
    user = make_payee()
    endpoint = make_endpoint(user)
    tell(user)
    # Nothing is pending, and a look is due, as after an answer; before anybody else's.
    long_ago = datetime(2000, 1, 1, tzinfo=UTC)
    Endpoint.objects.filter(pk=endpoint.pk).update(has_succeeded=True, due_at=long_ago)
    _make_pausing(owner, endpoint)
    handed: list[uuid.UUID] = []

    def look() -> None:
        try:
            with transaction.atomic():
                rows = call("hand_out_with_a_pause", 1, 4, "60 s", True, True)
                handed.extend(row[0] for row in rows)
        finally:
            connections.close_all()

    owner.execute("SELECT pg_advisory_lock(%s)", [_PAUSED])
    relay = threading.Thread(target=look)
    try:
        relay.start()
        until(lambda: _waits(owner))
        telling.tell_endpoints()
    finally:
        owner.execute("SELECT pg_advisory_unlock(%s)", [_PAUSED])
        owner.commit()
        relay.join()
        owner.execute("DROP FUNCTION hand_out_with_a_pause")
        owner.commit()
    handed.extend(each.delivery_id for each in services.hand_out())
    assert Delivery.objects.get(endpoint=endpoint).pk in handed
