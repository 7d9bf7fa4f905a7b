"""Sending again has an end, for each user by themselves."""

import datetime
from datetime import timedelta

import pytest
from django.utils import timezone

from fintech_core.exceptions import TooManyRequests
from transactions.tests.factories import make_payee
from users.models import User
from webhooks import services
from webhooks.models import Delivery, Endpoint
from webhooks.services import redelivery
from webhooks.tests.factories import fan_out, make_endpoint, tell

pytestmark = pytest.mark.usefixtures("committed")


def _with_delivery() -> tuple[User, Endpoint, Delivery]:
    owner = make_payee()
    endpoint = make_endpoint(owner)
    tell(owner)
    fan_out()
    return owner, endpoint, Delivery.objects.get(endpoint=endpoint)


def _redeliver_range(owner: User, endpoint: Endpoint) -> tuple[int, bool]:
    now: datetime.datetime = timezone.now()
    return services.redeliver_range(
        acting_user=owner,
        endpoint_id=endpoint.pk,
        since=now - timedelta(hours=1),
        before=now + timedelta(hours=1),
    )


def test_a_user_may_have_so_much_sent_again_and_then_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redelivery, "_LIMIT", 3)
    owner, _, delivery = _with_delivery()
    for _ in range(3):
        services.redeliver(acting_user=owner, delivery_id=delivery.pk)
    with pytest.raises(TooManyRequests) as refusal:
        services.redeliver(acting_user=owner, delivery_id=delivery.pk)
    assert 0 < (refusal.value.wait or 0) <= redelivery._WINDOW.total_seconds()
    other, _, others = _with_delivery()
    services.redeliver(acting_user=other, delivery_id=others.pk)


def test_a_span_of_time_counts_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redelivery, "_LIMIT", 2 * redelivery._OF_A_RANGE + 1)
    owner, endpoint, delivery = _with_delivery()
    assert _redeliver_range(owner, endpoint) == (1, False)
    assert _redeliver_range(owner, endpoint) == (1, False)
    services.redeliver(acting_user=owner, delivery_id=delivery.pk)
    with pytest.raises(TooManyRequests):
        _redeliver_range(owner, endpoint)


def test_what_happened_while_an_endpoint_was_disabled_comes_by_no_redelivery() -> None:
    owner, endpoint, _ = _with_delivery()
    _switch(owner, endpoint, "disabled")
    tell(owner)
    fan_out()
    _switch(owner, endpoint, "enabled")
    assert _redeliver_range(owner, endpoint) == (1, False)


def _switch(owner: User, endpoint: Endpoint, status: str) -> None:
    services.update_endpoint(acting_user=owner, endpoint_id=endpoint.pk, changes={"status": status})
