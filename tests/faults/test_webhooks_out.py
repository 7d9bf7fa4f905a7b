"""Every event reaches its receivers whatever happens to broker, relay, workers and other receivers."""

import os
import signal
import statistics
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.faults.brokers import (
    OwnRedis,
    Processes,
    environment,
    own_redis,
    point_at,
    running,
    until,
    worker_command,
)
from transactions import services as money
from transactions.tests.factories import instruct, make_payee, make_payer, wallet_of
from users.models import User
from users.tests.factories import make_staff
from wallet.services import freeze_wallet
from webhooks.models import Delivery, DeliveryAttempt, Endpoint
from webhooks.tests.factories import LOOPBACK, make_due, make_endpoint, tell
from webhooks.tests.receivers import Receiver, receiver

pytestmark = [
    pytest.mark.faults,
    pytest.mark.usefixtures("committed"),
    pytest.mark.timeout(300),
]


class Floor:
    """A broker, a relay, and workers for both queues, on the test's database."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.redis: OwnRedis = stack.enter_context(own_redis())
        self._stack, self._folder = stack, folder
        self._env = environment(
            self.redis.url,
            WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8",
            WEBHOOK_RETRY_PAUSES="1,1,1,1,1,1,1,1,1,1",
            WEBHOOK_LEASE_SECONDS="2",
            LOG_LEVEL="WARNING",
        )

    def relay(self, count: int = 1) -> Processes:
        return self._run("manage.py", "relay", name="relay", count=count)

    def worker(self, queue: str = "webhooks", threads: int = 16) -> Processes:
        options = worker_command(queue, "-P", "threads", "-c", str(threads))
        return self._run(*options, name=queue)

    def _run(self, *command: str, name: str, count: int = 1) -> Processes:
        log = self._folder / f"{name}.log"
        return self._stack.enter_context(running(*command, env=self._env, log=log, count=count))


@pytest.fixture
def floor(tmp_path: Path, settings: Settings) -> Iterator[Floor]:
    settings.WEBHOOK_ALLOWED_NETWORKS = LOOPBACK
    with ExitStack() as stack:
        yield Floor(stack, tmp_path)


def _transfers(payer: User, payee: User, count: int) -> list[str]:
    """So many posted transfers, and a few that are refused; the ids of the posted ones."""
    ids = []
    for number in range(count):
        ids.append(str(money.transfer(instruct(payer, payee, "0.10")).transaction.id))
        if number % 20 == 0:
            declined = money.transfer(instruct(payer, payee, "5000.00")).transaction
            assert declined.status == "declined"
    return ids


def _told_of(site: Receiver) -> list[str]:
    return [str(received.payload["data"]["id"]) for received in list(site.received)]


def test_100_transfers_while_the_broker_is_down_are_100_delivered_events_once_it_is_back(
    floor: Floor,
) -> None:
    payer, payee = make_payer("100.00"), make_payee()
    floor.redis.stop()
    floor.relay(2)
    floor.worker()
    with receiver() as site:
        make_endpoint(payee, site)
        ids = _transfers(payer, payee, 100)
        time.sleep(1)
        assert site.received == []
        floor.redis.start()
        until(lambda: len(set(site.ids())) >= 100, 90)
        time.sleep(1)
        assert sorted(set(_told_of(site))) == sorted(ids)
        assert len(set(site.ids())) == 100
        assert set(site.types()) == {"transaction.posted"}
        assert site.refused == []


def test_what_is_announced_while_the_broker_is_down_is_told_once_it_is_back(
    floor: Floor, settings: Settings
) -> None:
    owner, operator = make_payee(), make_staff()
    point_at(settings, floor.redis.url)
    floor.redis.stop()
    with receiver() as site:
        make_endpoint(owner, site)
        wallet = wallet_of(owner)
        freeze_wallet(wallet_id=wallet.pk, acting_user=operator, reason="test")
        floor.redis.start()
        floor.relay()
        floor.worker()
        until(lambda: bool(site.received), 30)
    assert site.types() == ["wallet.frozen"]
    assert _told_of(site) == [str(wallet.pk)]


def test_a_broker_that_is_emptied_over_and_over_loses_no_event(floor: Floor) -> None:
    payer, payee = make_payer("100.00"), make_payee()
    floor.relay()
    floor.worker()
    over = threading.Event()

    def empty() -> None:
        client = floor.redis.client()
        while not over.wait(0.05):
            client.flushall()

    with receiver() as site:
        make_endpoint(payee, site)
        emptying = threading.Thread(target=empty)
        emptying.start()
        try:
            ids = _transfers(payer, payee, 60)
            time.sleep(2)
        finally:
            over.set()
            emptying.join()
        until(lambda: len(set(_told_of(site))) >= 60, 90)
    assert sorted(set(_told_of(site))) == sorted(ids)
    assert len(set(site.ids())) == 60


def test_a_worker_killed_between_send_and_record_sends_again_under_the_same_id(
    floor: Floor,
) -> None:
    owner = make_payee()
    floor.relay()
    worker = floor.worker()
    killed = threading.Event()

    def kill() -> None:
        if not killed.is_set():
            killed.set()
            for pid in worker.pids:
                worker.kill(pid)

    with receiver(on_request=kill) as site:
        endpoint = make_endpoint(owner, site)
        tell(owner)
        until(killed.is_set, 60)
        delivery = Delivery.objects.get(endpoint=endpoint)
        assert delivery.status == "pending"
        assert delivery.claim is not None
        make_due(endpoint)  # Its lease is over.
        until(lambda: _is_delivered(endpoint, 1), 60)
    assert len(site.received) == 2
    assert len(set(site.ids())) == 1
    assert len({received.body for received in site.received}) == 1
    assert DeliveryAttempt.objects.filter(delivery=delivery).count() == 1


def test_relay_and_workers_killed_at_random_lose_no_event(floor: Floor) -> None:
    payer, payee = make_payer("100.00"), make_payee()
    victims = [floor.relay(), floor.worker()]
    over = threading.Event()

    def kill() -> None:
        turn = 0
        while not over.wait(2.5):
            for pid in victims[turn % 2].pids:
                victims[turn % 2].kill(pid)
            turn += 1

    with receiver() as site:
        endpoint = make_endpoint(payee, site)
        killing = threading.Thread(target=kill)
        killing.start()
        try:
            for _ in range(4):
                _transfers(payer, payee, 10)
                time.sleep(2.5)
        finally:
            over.set()
            killing.join()
        until(lambda: Delivery.objects.filter(endpoint=endpoint).count() == 40, 60)
        make_due(endpoint)  # The leases of the killed ones are over.
        until(lambda: _is_delivered(endpoint, 40), 90)
    assert len(set(site.ids())) == 40


def _is_delivered(endpoint: Endpoint, count: int) -> bool:
    return Delivery.objects.filter(endpoint=endpoint, status="delivered").count() == count


def test_receivers_that_hang_or_are_dead_do_not_delay_one_that_answers(floor: Floor) -> None:
    floor.relay()
    floor.worker()
    floor.worker("webhooks_slow", threads=8)
    with ExitStack() as stack:
        pits = [stack.enter_context(receiver(delay=60)) for _ in range(10)]
        site = stack.enter_context(receiver())
        healthy = make_payee()
        endpoint = make_endpoint(healthy, site)
        tell(healthy)
        until(lambda: _is_delivered(endpoint, 1), 60)
        quiet = [_latency(healthy, site) for _ in range(10)]

        owners = []
        for pit in pits:
            owners.append(make_payee())
            make_endpoint(owners[-1], pit)
            make_endpoint(owners[-1], url="http://127.0.0.1:1024/dead")
        busy = []
        for _ in range(20):
            for owner in owners:
                for _ in range(3):
                    tell(owner)
            busy.append(_latency(healthy, site))
        assert sum(len(pit.received) for pit in pits) >= len(pits)
    print(
        f"\ncommit to receipt: quiet p50 {statistics.median(quiet) * 1000:.0f} ms,"
        f" beside 20 receivers in trouble p50 {statistics.median(busy) * 1000:.0f} ms,"
        f" worst {max(busy) * 1000:.0f} ms"
    )
    assert statistics.median(busy) < max(1, 3 * statistics.median(quiet))
    assert max(busy) < 3


def test_what_waited_for_one_receiver_comes_at_a_pace(floor: Floor) -> None:
    """A look of the relay hands out four at once; the workers go on by themselves."""
    owner = make_payee()
    with receiver() as site:
        endpoint = make_endpoint(owner, site)
        for _ in range(400):
            tell(owner)
        floor.relay()
        floor.worker()
        until(lambda: len(site.received) > 1, 60)
        begun = time.monotonic()
        until(lambda: len(set(site.ids())) == 400, 120)
        took = time.monotonic() - begun
        until(lambda: _is_delivered(endpoint, 400), 10)
    print(f"\n400 waiting deliveries to one receiver: {400 / took:.0f} each second")


def _latency(owner: User, site: Receiver) -> float:
    """From the commit of what is told to its receipt."""
    subject, before = uuid.uuid4(), len(site.received)
    tell(owner, subject_id=subject)
    begun = time.time()
    until(lambda: len(site.received) > before, 30)
    return site.received[-1].at - begun


def test_signals_end_a_worker_in_good_order(floor: Floor) -> None:
    """What is under way when a worker is asked to stop is recorded, and nothing is sent twice."""
    owner = make_payee()
    floor.relay()
    worker = floor.worker()
    with receiver(delay=1) as site:
        endpoint = make_endpoint(owner, site)
        tell(owner)
        until(lambda: bool(site.received), 60)
        for process in worker.pids:
            os.kill(process, signal.SIGTERM)
        until(lambda: _is_delivered(endpoint, 1), 30)
    assert len(site.received) == 1
