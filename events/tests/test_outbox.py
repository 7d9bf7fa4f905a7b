"""The outbox: an event commits with what it tells, and each is taken once."""

import threading
import uuid

import pytest
from django.db import ProgrammingError, connection, transaction

from events.models import OutboxEvent
from events.services import announce, take_announcements

pytestmark = pytest.mark.usefixtures("committed")


def _announce(owner_id: uuid.UUID, number: int) -> None:
    announce(
        "test.happened", owner_id=owner_id, subject_id=owner_id, sequence=number, data={"n": 1}
    )


def _take_until_mine(owner_id: uuid.UUID, *, keep: bool = True) -> list[int | None]:
    with transaction.atomic():
        mine = [
            event.sequence for event in take_announcements(10_000) if event.owner_id == owner_id
        ]
        if not keep:
            transaction.set_rollback(True)
    return mine


def test_an_event_needs_the_transaction_of_what_it_tells() -> None:
    with pytest.raises(transaction.TransactionManagementError):
        _announce(uuid.uuid4(), 1)
    with pytest.raises(transaction.TransactionManagementError):
        take_announcements(1)


def test_what_was_rolled_back_is_not_announced() -> None:
    owner_id = uuid.uuid4()
    with transaction.atomic():
        _announce(owner_id, 1)
        transaction.set_rollback(True)
    assert _take_until_mine(owner_id) == []


def test_events_are_taken_in_order_and_come_back_when_their_taker_fails() -> None:
    owner_id = uuid.uuid4()
    with transaction.atomic():
        for number in (1, 2, 3):
            _announce(owner_id, number)
    assert _take_until_mine(owner_id, keep=False) == [1, 2, 3]
    assert _take_until_mine(owner_id) == [1, 2, 3]
    assert _take_until_mine(owner_id) == []


def test_several_takers_share_the_events_without_waiting() -> None:
    owner_id = uuid.uuid4()
    with transaction.atomic():
        for number in range(40):
            _announce(owner_id, number)
    taken: list[list[int | None]] = []
    together = threading.Barrier(4)

    def take() -> None:
        try:
            with transaction.atomic():
                mine = [e.sequence for e in take_announcements(10) if e.owner_id == owner_id]
                together.wait(10)
            taken.append(mine)
        finally:
            connection.close()

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rest = _take_until_mine(owner_id)
    numbers = [number for mine in taken for number in mine] + rest
    assert len(taken) == 4
    assert sorted(numbers, key=lambda n: n or 0) == list(range(40))


def test_the_application_cannot_rewrite_an_event() -> None:
    owner_id = uuid.uuid4()
    with transaction.atomic():
        _announce(owner_id, 1)
    with pytest.raises(ProgrammingError), transaction.atomic():
        OutboxEvent.objects.filter(owner_id=owner_id).update(type="test.other")
    assert _take_until_mine(owner_id) == [1]
