"""Calls to providers: bounded in time, and in how many threads they may keep."""

import socket
import threading
import time

import httpcore
import pytest

from payments.providers import transport
from payments.providers.transport import TRANSPORT_FAILURES, bounded_client, deadline


def test_a_provider_that_hangs_keeps_few_threads_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "CALLS_AT_ONCE", 2)
    took: list[tuple[float, type[Exception]]] = []
    # Whoever listens and never accepts lets everybody connect, and answers nobody.
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        client = bounded_client(f"http://127.0.0.1:{listener.getsockname()[1]}", {})

        def call() -> None:
            began = time.monotonic()
            try:
                with deadline(3):
                    client.get("/")
            except TRANSPORT_FAILURES as error:
                took.append((time.monotonic() - began, type(error)))

        threads = [threading.Thread(target=call) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        client.close()
    took.sort(key=lambda each: each[0])
    turned_away, waited = took[:4], took[4:]
    assert [error for _, error in turned_away] == [httpcore.PoolTimeout] * 4
    assert max(seconds for seconds, _ in turned_away) < 2.5 < min(seconds for seconds, _ in waited)
