"""An announcement that cannot be told keeps nobody behind it waiting, whoever refuses it."""

from typing import Any

import psycopg
import pytest
from django.db import Error, InterfaceError, InternalError, NotSupportedError, OperationalError
from django.utils import timezone

from events.models import OutboxEvent
from transactions.tests.factories import make_payee
from webhooks import telling
from webhooks.models import Delivery, UntoldAnnouncement, WebhookEvent
from webhooks.tests.factories import fan_out, make_endpoint, tell

pytestmark = pytest.mark.usefixtures("committed")


def test_what_the_database_refuses_is_set_aside_and_stops_nobody_behind_it() -> None:
    fan_out()
    owner = make_payee()
    endpoint = make_endpoint(owner)
    subjects = [tell(owner) for _ in range(20)]
    poison = OutboxEvent.objects.get(subject_id=subjects[7])
    WebhookEvent.objects.create(
        announcement_id=poison.pk,
        owner_id=owner.pk,
        type=poison.type,
        subject_id=subjects[7],
        sequence=1,
        body="{}",
        occurred_at=timezone.now(),
        created_at=timezone.now(),
    )
    telling.tell_endpoints()
    told = Delivery.objects.filter(endpoint=endpoint).values_list("event__subject_id", flat=True)
    assert set(told) == set(subjects) - {subjects[7]}
    aside = UntoldAnnouncement.objects.get(pk=poison.pk)
    assert aside.trouble.startswith("IntegrityError")
    assert "\n" not in aside.trouble
    aside.delete()


@pytest.mark.parametrize(
    ("trouble", "cause"),
    [
        (OperationalError, psycopg.errors.LockNotAvailable()),
        (OperationalError, psycopg.errors.AdminShutdown()),
        (InterfaceError, psycopg.InterfaceError("the connection is closed")),
        (InternalError, psycopg.errors.IdleInTransactionSessionTimeout()),
        (NotSupportedError, psycopg.errors.FeatureNotSupported("cached plan")),
    ],
)
def test_trouble_that_passes_sets_nothing_aside(
    trouble: type[Error], cause: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    fan_out()
    owner = make_payee()
    make_endpoint(owner)
    subject = tell(owner)

    def fail(_: Any) -> int:
        raise trouble from cause

    with monkeypatch.context() as patched:
        patched.setattr(telling, "keep_stories", fail)
        with pytest.raises(trouble):
            telling.tell_endpoints()
    assert not UntoldAnnouncement.objects.filter(subject_id=subject).exists()
    fan_out()
    assert Delivery.objects.filter(event__subject_id=subject).count() == 1
