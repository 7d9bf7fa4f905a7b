"""Publishing to Celery, for the relay alone: short waits, and a plain error when the broker is away."""

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from amqp.exceptions import AMQPError
from django.conf import settings
from kombu import Connection
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from fintech_core.celery import app
from fintech_core.queues import publishing_options

_BROKER_ERRORS = (KombuError, AMQPError, RedisError, OSError)
_SECONDS = 1.0
# How long the length of a queue is taken to be as it was.
_FRESH_SECONDS = 1.0


class BrokerUnavailable(Exception):
    """The broker did not take a message in time; it is not known whether it has it."""


class Publisher(threading.local):
    """One connection to the broker for each thread, opened when it is needed and given up at an error."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._room: dict[str, tuple[float, int]] = {}

    def room_in(self, queue: str) -> int:
        """How many more messages the queue should hold; as of the last second.

        Raises ``BrokerUnavailable``.
        """
        asked_at, room = self._room.get(queue, (0.0, 0))
        if time.monotonic() - asked_at >= _FRESH_SECONDS:
            room = max(0, settings.RELAY_QUEUE_LIMIT - self._length(queue))
            self._room[queue] = (time.monotonic(), room)
        return room

    def publish(self, task: str, row_id: uuid.UUID, *carried: int, queue: str) -> None:
        """Say in a queue that it is time for a task on a row, and how it stood. Raises
        ``BrokerUnavailable``."""
        with self._reporting():
            producer = app.amqp.Producer(self._connected(), auto_declare=False)
            app.send_task(
                task,
                args=[str(row_id), *carried],
                queue=queue,
                producer=producer,
                retry=False,
                timeout=_SECONDS,
                confirm_timeout=_SECONDS,
            )
        asked_at, room = self._room.get(queue, (0.0, 0))
        self._room[queue] = (asked_at, room - 1)

    def close(self) -> None:
        """Give the connection up; the next use opens another."""
        connection, self._connection = self._connection, None
        self._room.clear()
        if connection is not None:
            with suppress(Exception):
                connection.collect(socket_timeout=_SECONDS)

    def _length(self, queue: str) -> int:
        """How many messages wait; the queue is there afterwards."""
        with self._reporting():
            channel: Any = self._connected().default_channel
            app.amqp.queues[queue].bind(channel).declare()
            is_amqp = self._connected().transport.driver_type == "amqp"
            return int(channel.queue_declare(queue=queue, passive=is_amqp).message_count)

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = app.connection_for_write(
                settings.BROKER_URL,
                connect_timeout=_SECONDS,
                transport_options=publishing_options(
                    settings.CELERY_BROKER_TRANSPORT_OPTIONS, seconds=_SECONDS
                ),
            )
        self._connection.ensure_connection(max_retries=0, timeout=1)
        return self._connection

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Turn what the broker's libraries raise into ``BrokerUnavailable``, and start anew after it."""
        try:
            yield
        except _BROKER_ERRORS as error:
            self.close()
            raise BrokerUnavailable(type(error).__name__) from error


def queue_of(task: str) -> str:
    """The queue that a task goes to by its name."""
    return str(app.amqp.router.route({}, task)["queue"].name)
