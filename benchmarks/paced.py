"""A load process: transfers to users who have webhook endpoints, at a rate, or all in one commit.

Run by the runner as ``python -m benchmarks.paced``; see ``benchmarks.orders``.
"""

import time
from typing import Any

from benchmarks.adapters.ours import Ours, email_of
from benchmarks.orders import obey
from benchmarks.workload import Transfer


class Paced:
    """The first half of the accounts pays, the others listen: each at a path of its own."""

    def __init__(self) -> None:
        self._ours = Ours()
        self._accounts = 0

    def prepare(self, accounts: int) -> None:
        """Make the accounts."""
        self._ours.prepare(accounts)
        self._ours.open(accounts)
        self._accounts = accounts

    def listen(self, port: int, listeners: int) -> dict[str, str]:
        """Give as many accounts an endpoint as are to listen; returns the secret of each by its path."""
        from users.models import User
        from webhooks.services import create_endpoint

        secrets = {}
        for listener in range(listeners):
            path = f"/{listener}"
            _, secrets[path] = create_endpoint(
                acting_user=User.objects.get(email=email_of(self._accounts - 1 - listener)),
                url=f"http://127.0.0.1:{port}{path}",
                events=["transaction.posted"],
            )
        return secrets

    def pay(self, count: int, rate: float, listeners: int) -> list[tuple[str, float]]:
        """So many transfers, the listeners in turn; of each its id and when its commit was answered.

        Where ``rate`` (transfers a second) is 0 they are one call and one commit. The pace does not wait
        for anybody: what is late makes up for it. Raises ``RuntimeError`` where one is not posted.
        """
        transfers = [self._transfer(number, listeners) for number in range(count)]
        if not rate:
            return self._post(transfers)
        start, done = time.monotonic(), []
        for number, transfer in enumerate(transfers):
            time.sleep(max(0.0, start + number / rate - time.monotonic()))
            done += self._post([transfer])
        return done

    def _transfer(self, number: int, listeners: int) -> Transfer:
        return Transfer(number % (self._accounts // 2), self._accounts - 1 - number % listeners)

    def _post(self, transfers: list[Transfer]) -> list[tuple[str, float]]:
        records = self._ours.post(transfers)
        at = time.monotonic()
        return [(str(record.id), at) for record in records]

    def check(self) -> list[str]:
        return self._ours.check()


def main() -> None:
    """Obey the runner's orders."""
    load = Paced()
    handlers: dict[str, Any] = {
        "prepare": load.prepare,
        "listen": load.listen,
        "pay": load.pay,
        "check": load.check,
    }
    obey(handlers)


if __name__ == "__main__":
    main()
