"""Every event of an owner reaches each endpoint that wants it, signed, as often as it takes."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings
from standardwebhooks import Webhook

from transactions.tests.factories import make_payee
from webhooks import services, tasks
from webhooks.models import Delivery, DeliveryAttempt, Endpoint, WebhookEvent
from webhooks.tests.factories import (
    deliver_all,
    deliver_due,
    fan_out,
    make_due,
    make_endpoint,
    retried,
    tell,
)
from webhooks.tests.receivers import receiver

pytestmark = pytest.mark.usefixtures("committed")


def _only_delivery(endpoint: Endpoint) -> Delivery:
    return Delivery.objects.get(endpoint=endpoint)


def test_an_event_is_delivered_as_the_specification_says() -> None:
    owner = make_payee()
    with receiver() as site:
        endpoint = make_endpoint(owner, site)
        subject = tell(owner, data={"status": "approved", "tier": 1})
        deliver_all(endpoint)
    [got] = site.received
    assert site.refused == []
    event = WebhookEvent.objects.get(deliveries__endpoint=endpoint)
    assert got.payload == {
        "id": str(event.pk),
        "type": "kyc.approved",
        "created_at": got.payload["created_at"],
        "sequence": 1,
        "data": {"status": "approved", "tier": 1},
    }
    assert got.payload["created_at"].endswith("Z")
    assert got.id == str(event.pk)
    assert got.headers["content-type"] == "application/json"
    assert event.subject_id == subject
    delivery = _only_delivery(endpoint)
    [attempt] = DeliveryAttempt.objects.filter(delivery=delivery)
    assert (delivery.status, attempt.status_code, attempt.error) == ("delivered", 200, "")


def test_after_a_500_the_same_id_and_body_come_again_with_a_new_time_and_signature() -> None:
    owner = make_payee()
    with receiver(answers=[(500, {})]) as site:
        endpoint = make_endpoint(owner, site)
        tell(owner)
        fan_out()
        assert deliver_due(endpoint) == 1
        delivery = _only_delivery(endpoint)
        assert delivery.status == "pending"
        assert delivery.next_attempt_at is not None
        pause = delivery.next_attempt_at - timezone.now()
        assert timedelta(seconds=3.5) < pause < timedelta(seconds=6)
        assert deliver_due(endpoint) == 0
        first_second = int(site.received[0].headers["webhook-timestamp"])
        while int(datetime.now(UTC).timestamp()) == first_second:
            pass
        assert retried(endpoint) == 1
    first, second = site.received
    assert site.refused == []
    assert (first.id, first.body) == (second.id, second.body)
    assert int(second.headers["webhook-timestamp"]) > first_second
    assert first.signatures != second.signatures
    delivery.refresh_from_db()
    assert delivery.status == "delivered"
    codes = DeliveryAttempt.objects.filter(delivery=delivery).order_by("id")
    assert [attempt.status_code for attempt in codes] == [500, 200]


def test_two_endpoints_with_two_filters_each_get_their_types_and_have_their_secrets() -> None:
    owner = make_payee()
    with receiver() as one, receiver() as other:
        first = make_endpoint(owner, one, events=["kyc.approved"])
        second = make_endpoint(owner, other, events=["kyc.rejected", "wallet.frozen"])
        for event_type in ("kyc.rejected", "kyc.approved", "wallet.frozen", "payout.paid"):
            tell(owner, event_type)
        deliver_all(first, second)
    assert one.types() == ["kyc.approved"]
    assert other.types() == ["kyc.rejected", "wallet.frozen"]
    assert one.refused + other.refused == []
    assert one.secret != other.secret


def test_two_endpoints_that_want_one_event_get_it_under_one_id() -> None:
    owner = make_payee()
    with receiver() as one, receiver() as other:
        endpoints = make_endpoint(owner, one), make_endpoint(owner, other)
        tell(owner)
        deliver_all(*endpoints)
    assert one.ids() == other.ids()


def test_nothing_is_kept_of_what_nobody_wants() -> None:
    owner, stranger = make_payee(), make_payee()
    endpoint = make_endpoint(owner, events=["payout.paid"])
    tell(owner)
    tell(stranger, "payout.paid")
    fan_out()
    assert not WebhookEvent.objects.filter(owner_id__in=[owner.pk, stranger.pk]).exists()
    assert not Delivery.objects.filter(endpoint=endpoint).exists()


def test_while_a_rotation_is_fresh_both_secrets_verify(settings: Settings) -> None:
    owner = make_payee()
    with receiver() as site:
        endpoint = make_endpoint(owner, site)
        old = site.secret
        _, new = services.rotate_secret(acting_user=owner, endpoint_id=endpoint.pk)
        tell(owner)
        deliver_all(endpoint)
        [got] = site.received
        assert len(got.signatures) == 2
        assert Webhook(new).verify(got.body, got.headers)
        assert Webhook(old).verify(got.body, got.headers)
        Endpoint.objects.filter(pk=endpoint.pk).update(previous_expires_at=timezone.now())
        site.secret = new
        tell(owner)
        deliver_all(endpoint)
        assert len(site.received[1].signatures) == 1
    assert site.refused == []


def test_a_410_disables_the_endpoint_and_parks_what_was_pending() -> None:
    owner = make_payee()
    with receiver(answers=[(410, {})]) as site:
        endpoint = make_endpoint(owner, site)
        for _ in range(3):
            tell(owner)
        fan_out()
        assert deliver_due(endpoint) == 1  # It has yet to answer well: one at a time.
        endpoint.refresh_from_db()
        assert (endpoint.status, endpoint.reason) == ("disabled", "gone")
        statuses = Delivery.objects.filter(endpoint=endpoint).values_list("status", flat=True)
        assert list(statuses) == ["parked"] * 3
        tell(owner)
        fan_out()
        assert retried(endpoint) == 0
        assert Delivery.objects.filter(endpoint=endpoint).count() == 3
    assert len(site.received) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed_for_the_whole_endpoint(status: int) -> None:
    owner = make_payee()
    with receiver(answers=[(status, {"retry-after": "120"})]) as site:
        endpoint = make_endpoint(owner, site)
        tell(owner)
        fan_out()
        deliver_due(endpoint)
        delivery = _only_delivery(endpoint)
        assert delivery.next_attempt_at is not None
        assert delivery.next_attempt_at - timezone.now() > timedelta(seconds=110)
        endpoint.refresh_from_db()
        assert endpoint.resume_at is not None
        assert endpoint.resume_at - timezone.now() > timedelta(seconds=110)
        tell(owner)
        fan_out()
        assert deliver_due(endpoint) == 0
    assert len(site.received) == 1


def test_an_endless_retry_after_is_obeyed_within_reason(settings: Settings) -> None:
    owner = make_payee()
    with receiver(answers=[(503, {"retry-after": "999999999"})]) as site:
        endpoint = make_endpoint(owner, site)
        tell(owner)
        fan_out()
        deliver_due(endpoint)
    delivery = _only_delivery(endpoint)
    assert delivery.next_attempt_at is not None
    longest = timezone.now() + settings.WEBHOOK_LONGEST_WAIT
    assert delivery.next_attempt_at <= longest + timedelta(seconds=1)


def test_a_redirect_is_a_failure_and_is_not_followed() -> None:
    owner = make_payee()
    with receiver() as elsewhere, receiver() as site:
        site.answers = [(307, {"location": elsewhere.url})]
        endpoint = make_endpoint(owner, site)
        tell(owner)
        fan_out()
        deliver_due(endpoint)
    assert elsewhere.received == []
    attempt = DeliveryAttempt.objects.get(delivery__endpoint=endpoint)
    assert (attempt.status_code, attempt.error) == (307, "redirect_refused")


def test_after_the_last_pause_a_delivery_is_dead_and_a_replay_brings_it_under_the_same_id(
    settings: Settings,
) -> None:
    settings.WEBHOOK_RETRY_PAUSES = [1, 1]
    owner = make_payee()
    with receiver(answers=[(500, {})] * 3) as site:
        endpoint = make_endpoint(owner, site)
        tell(owner)
        fan_out()
        assert [deliver_due(endpoint), retried(endpoint), retried(endpoint)] == [1, 1, 1]
        delivery = _only_delivery(endpoint)
        assert delivery.status == "dead"
        assert retried(endpoint) == 0
        services.redeliver(acting_user=owner, delivery_id=delivery.pk)
        assert deliver_due(endpoint) == 1
    delivery.refresh_from_db()
    assert delivery.status == "delivered"
    assert len(site.received) == 4
    assert len(set(site.ids())) == 1


def test_the_pauses_grow_and_add_up_to_three_days(settings: Settings) -> None:
    pauses = settings.WEBHOOK_RETRY_PAUSES
    assert sum(pauses) == pytest.approx(timedelta(days=3).total_seconds(), rel=0.01)
    assert pauses[:-1] == sorted(pauses[:-1])


def test_an_endpoint_that_failed_for_days_is_disabled_and_its_owner_may_enable_it(
    settings: Settings,
) -> None:
    owner = make_payee()
    with receiver(answers=[(500, {})]) as site:
        endpoint = make_endpoint(owner, site)
        tell(owner)
        fan_out()
        long_ago = timezone.now() - settings.WEBHOOK_DISABLE_AFTER - timedelta(minutes=1)
        Endpoint.objects.filter(pk=endpoint.pk).update(failing_since=long_ago, failures=9)
        assert retried(endpoint) == 1
        endpoint.refresh_from_db()
        assert (endpoint.status, endpoint.reason) == ("disabled", "failing")
        services.update_endpoint(
            acting_user=owner, endpoint_id=endpoint.pk, changes={"status": "enabled"}
        )
        tell(owner)
        deliver_all(endpoint)
    endpoint.refresh_from_db()
    assert (endpoint.status, endpoint.reason, endpoint.failing_since) == ("enabled", "", None)
    assert len(site.received) == 2


def test_a_lost_message_costs_no_more_than_the_lease(settings: Settings) -> None:
    settings.WEBHOOK_LEASE = timedelta(milliseconds=200)
    owner = make_payee()
    with receiver() as site:
        endpoint = make_endpoint(owner, site)
        tell(owner)
        fan_out()
        delivery = _only_delivery(endpoint)
        assert delivery.pk in {handed.delivery_id for handed in services.hand_out()}
        deliver_all(endpoint)
    assert len(site.received) == 1


def test_a_message_that_comes_late_or_twice_sends_nothing_more() -> None:
    owner = make_payee()
    with receiver(answers=[(500, {})]) as site:
        endpoint = make_endpoint(owner, site)
        tell(owner)
        fan_out()
        assert deliver_due(endpoint) == 1
        delivery = _only_delivery(endpoint)
        tasks.deliver(str(delivery.pk))
        tasks.deliver(str(uuid.uuid4()))
        assert len(site.received) == 1
        retried(endpoint)
        tasks.deliver(str(delivery.pk))
    assert len(site.received) == 2


def test_what_ends_after_its_lease_changes_nothing_but_is_recorded() -> None:
    owner = make_payee()
    with receiver() as site:
        endpoint = make_endpoint(owner, site)
        tell(owner)
        fan_out()
        services.hand_out()
        delivery = _only_delivery(endpoint)
        claimed = services.claim_delivery(delivery.pk)
        assert claimed is not None
        assert services.claim_delivery(delivery.pk) is None
        make_due(endpoint)
        services.hand_out()
        again = services.claim_delivery(delivery.pk)
        assert again is not None
        from webhooks.sending import send

        services.record_attempt(claimed, send(claimed, at=1))
        delivery.refresh_from_db()
        assert (delivery.status, delivery.claim) == ("pending", again.claim)
        services.record_attempt(again, send(again, at=1))
    delivery.refresh_from_db()
    assert delivery.status == "delivered"
    assert DeliveryAttempt.objects.filter(delivery=delivery).count() == 2


def test_a_deleted_endpoint_is_told_nothing_more_and_its_secrets_are_gone() -> None:
    owner = make_payee()
    with receiver() as site:
        endpoint = make_endpoint(owner, site)
        tell(owner)
        fan_out()
        services.delete_endpoint(acting_user=owner, endpoint_id=endpoint.pk)
        tell(owner)
        fan_out()
        assert retried(endpoint) == 0
    endpoint.refresh_from_db()
    assert (endpoint.status, endpoint.secret, endpoint.previous_secret) == ("deleted", "", "")
    assert site.received == []
    assert _only_delivery(endpoint).status == "parked"


def test_no_secret_stands_readable_in_the_database() -> None:
    owner = make_payee()
    with receiver() as site:
        endpoint = make_endpoint(owner, site)
    endpoint.refresh_from_db()
    assert site.secret.removeprefix("whsec_") not in json.dumps(endpoint.secret)


def test_client_secrets_of_payments_are_never_told() -> None:
    owner = make_payee()
    with receiver() as site:
        endpoint = make_endpoint(owner, site)
        tell(owner, "payment_intent.succeeded", data={"id": "1", "client_secret": "pi_secret"})
        deliver_all(endpoint)
    assert site.received[0].payload["data"] == {"id": "1"}
