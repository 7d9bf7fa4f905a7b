"""Secrets under a new key, and events past their age."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connections
from django.db.models import F
from pytest_django import Settings

from transactions.tests.factories import make_payee
from webhooks import services, tasks
from webhooks.models import Delivery, DeliveryAttempt, Endpoint, WebhookEvent
from webhooks.sealing import Unreadable, seal, unseal
from webhooks.services import parking, pruning
from webhooks.tests.factories import (
    deliver_all,
    deliver_due,
    fan_out,
    make_due,
    make_endpoint,
    tell,
)
from webhooks.tests.receivers import receiver

pytestmark = pytest.mark.usefixtures("committed")


def test_what_an_old_key_sealed_is_readable_while_it_is_named(settings: Settings) -> None:
    settings.WEBHOOK_SECRETS_KEY = "an old key of at least forty-three characters"
    sealed = seal("whsec_x")
    settings.WEBHOOK_SECRETS_KEY = "a new key of at least forty-three characters."
    with pytest.raises(Unreadable):
        unseal(sealed)
    settings.WEBHOOK_SECRETS_OLD_KEYS = ["an old key of at least forty-three characters"]
    assert unseal(sealed) == "whsec_x"


def test_after_a_change_of_key_all_secrets_are_sealed_anew_and_still_sign(
    settings: Settings,
) -> None:
    Endpoint.objects.exclude(status="deleted").filter(secret="").update(status="deleted")
    owner = make_payee()
    with receiver() as site:
        endpoint = make_endpoint(owner, site)
        old = settings.WEBHOOK_SECRETS_KEY
        settings.WEBHOOK_SECRETS_KEY = "a new key of at least forty-three characters."
        with pytest.raises(CommandError, match="WEBHOOK_SECRETS_OLD_KEYS"):
            call_command("reseal_webhook_secrets", stdout=StringIO())
        settings.WEBHOOK_SECRETS_OLD_KEYS = [old]
        call_command("reseal_webhook_secrets", stdout=StringIO())
        settings.WEBHOOK_SECRETS_OLD_KEYS = []
        tell(owner)
        deliver_all(endpoint)
        assert site.refused == []
        assert len(site.received) == 1
        settings.WEBHOOK_SECRETS_KEY, settings.WEBHOOK_SECRETS_OLD_KEYS = (
            old,
            ["a new key of at least forty-three characters."],
        )
        call_command("reseal_webhook_secrets", stdout=StringIO())


def test_a_secret_that_no_key_reads_fails_its_deliveries_and_breaks_nothing(
    settings: Settings,
) -> None:
    owner = make_payee()
    with receiver() as site:
        endpoint = make_endpoint(owner, site)
        tell(owner)
        fan_out()
        key = settings.WEBHOOK_SECRETS_KEY
        settings.WEBHOOK_SECRETS_KEY = "another key of at least forty-three characters"
        assert deliver_due(endpoint) == 1
        attempt = DeliveryAttempt.objects.get(delivery__endpoint=endpoint)
        assert (attempt.status_code, attempt.error) == (None, "secret_unreadable")
        settings.WEBHOOK_SECRETS_KEY = key
        make_due(endpoint)
        deliver_all(endpoint)
    assert len(site.received) == 1


def test_each_part_of_a_backlog_is_parked_in_a_transaction_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    services.park_leftovers()
    owner = make_payee()
    endpoint = make_endpoint(owner)
    for _ in range(5):
        tell(owner)
    fan_out()
    Endpoint.objects.filter(pk=endpoint.pk).update(status="disabled", reason="gone", due_at=None)
    left: list[int] = []

    def park(locked: Endpoint) -> int:
        # What others see: the parts before this one are committed.
        with ThreadPoolExecutor(1) as pool:
            left.append(pool.submit(_pending_of, locked).result())
        return parking.park(locked)

    monkeypatch.setattr(parking, "CHUNK", 2)
    monkeypatch.setattr(pruning, "CHUNK", 2)
    monkeypatch.setattr(pruning, "park", park)
    assert services.park_leftovers() == 5
    assert left == [5, 3, 1]


def _pending_of(endpoint: Endpoint) -> int:
    try:
        return Delivery.objects.filter(endpoint=endpoint, status="pending").count()
    finally:
        connections.close_all()


def test_events_past_their_age_go_with_their_deliveries_and_tries(settings: Settings) -> None:
    owner = make_payee()
    with receiver() as site:
        endpoint = make_endpoint(owner, site)
        for _ in range(3):
            tell(owner)
        deliver_all(endpoint)
    mine = WebhookEvent.objects.filter(owner_id=owner.pk).order_by("id")
    old, waiting, _ = mine.values_list("pk", flat=True)
    tasks.prune()
    assert mine.count() == 3
    delivery = Delivery.objects.get(event_id=waiting)
    services.redeliver(acting_user=owner, delivery_id=delivery.pk)
    settings.WEBHOOK_RETENTION = timedelta(0)
    tasks.prune()
    assert list(mine.values_list("pk", flat=True)) == [waiting]
    assert not Delivery.objects.filter(event_id=old).exists()


def test_a_deleted_endpoint_goes_with_its_last_delivery(settings: Settings) -> None:
    owner = make_payee()
    with receiver() as site:
        endpoint = make_endpoint(owner, site)
        tell(owner)
        deliver_all(endpoint)
    services.delete_endpoint(acting_user=owner, endpoint_id=endpoint.pk)
    tasks.prune()
    assert Endpoint.objects.filter(pk=endpoint.pk).exists()
    settings.WEBHOOK_RETENTION = timedelta(0)
    tasks.prune()
    assert not Endpoint.objects.filter(pk=endpoint.pk).exists()


@pytest.mark.parametrize("table", [WebhookEvent, DeliveryAttempt])
def test_what_was_told_is_never_rewritten(table: type[WebhookEvent | DeliveryAttempt]) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"):
        table._default_manager.update(id=F("id"))
