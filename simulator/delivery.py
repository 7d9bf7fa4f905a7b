"""Sends events to the platform, each until it is taken, and lets objects take steps by themselves."""

import base64
import hashlib
import hmac
import http.client
import json
import queue
import random
import sqlite3
import sys
import threading
import time
import urllib.parse

from simulator import objects
from simulator.behaviour import OLD_SECONDS
from simulator.configuration import Configuration
from simulator.store import Store

SENDERS = 8
TIMEOUT_SECONDS = 10.0
AT_ONCE = 100
IDLE_SECONDS = 0.5
_FORGERS_KEY = b"not the secret that both of us know"


def sign(secret: bytes, identity: str, timestamp: int, body: bytes) -> str:
    """A Standard Webhooks signature of version 1."""
    told = f"{identity}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, told, hashlib.sha256)).decode()


class Sender:
    """Background threads: one looks for what is due, others send it."""

    def __init__(self, store: Store, configuration: Configuration) -> None:
        self._store = store
        self._configuration = configuration
        self._due: queue.SimpleQueue[sqlite3.Row] = queue.SimpleQueue()
        self._under_way: set[int] = set()
        self._changed = threading.Event()

    def start(self) -> None:
        """Begin; the threads end with the process."""
        for target in (self._look, *[self._send_all] * SENDERS):
            threading.Thread(target=target, daemon=True).start()

    def wake(self) -> None:
        """Something may be due now."""
        self._changed.set()

    def target(self) -> str:
        """Where events go: what the control says, else the environment."""
        with self._store.transaction() as database:
            row = database.execute(
                "SELECT value FROM control WHERE name = 'webhook_url'"
            ).fetchone()
        return str(row["value"]) if row else self._configuration.webhook_url

    def _look(self) -> None:
        while True:
            self._changed.clear()
            try:
                self._take_steps()
                pause = self._queue_due()
            except sqlite3.Error as error:
                complain(f"The database fails: {error}")
                pause = IDLE_SECONDS
            self._changed.wait(pause)

    def _take_steps(self) -> None:
        with self._store.transaction() as database:
            for row in database.execute(
                "SELECT * FROM objects WHERE step_at <= ? ORDER BY step_at LIMIT ?",
                (time.time(), AT_ONCE),
            ).fetchall():
                objects.advance(database, row, self._configuration.pace)

    def _queue_due(self) -> float:
        """Hand out what is due; returns how long to wait before the next look."""
        if len(self._under_way) >= AT_ONCE or not self.target():
            return IDLE_SECONDS
        # Copied before the look: what ends meanwhile is told in the rows, and must not be sent again.
        busy = set(self._under_way)
        with self._store.transaction() as database:
            waiting = database.execute(
                "SELECT * FROM deliveries WHERE next_at IS NOT NULL ORDER BY next_at LIMIT ?",
                (2 * AT_ONCE,),
            ).fetchall()
            step = database.execute("SELECT min(step_at) FROM objects").fetchone()[0]
        now = time.time()
        moments = [now + IDLE_SECONDS] if step is None else [now + IDLE_SECONDS, step]
        for row in waiting:
            if row["id"] in busy:
                continue
            if row["next_at"] > now:
                moments.append(row["next_at"])
                break
            self._under_way.add(row["id"])
            self._due.put(row)
        return max(0.0, min(moments) - now)

    def _send_all(self) -> None:
        line = Line()
        while True:
            row = self._due.get()
            try:
                answer = line.post(self.target(), *self._compose(row))
            except (OSError, http.client.HTTPException, ValueError) as error:
                answer = type(error).__name__
            try:
                self._note(row, answer)
            except sqlite3.Error as error:
                complain(f"The database fails: {error}")
            self._under_way.discard(row["id"])
            self.wake()

    def _compose(self, row: sqlite3.Row) -> tuple[bytes, dict[str, str]]:
        body = row["body"].encode()
        now = time.time()
        if row["signing"] == "old" and row["tries"] == 0:
            now -= OLD_SECONDS
        forged = row["signing"] == "forged"
        key = _FORGERS_KEY if forged else self._configuration.webhook_secret
        host = self._configuration.webhook_host
        return body, {
            **({"Host": host} if host else {}),
            "Content-Type": "application/json",
            "User-Agent": "fintech-simulator",
            "webhook-id": row["event"],
            "webhook-timestamp": str(int(now)),
            "webhook-signature": sign(key, row["event"], int(now), body),
        }

    def _note(self, row: sqlite3.Row, answer: str) -> None:
        """Done after a 2xx, a forger after any answer; else again after a growing pause."""
        tries = row["tries"] + 1
        pauses = self._configuration.retry_pauses
        jitter = random.uniform(0.9, 1.1)  # noqa: S311  # nosec B311
        pause = pauses[min(tries, len(pauses)) - 1] * jitter
        done = answer.startswith("2") or (row["signing"] == "forged" and answer.isdigit())
        with self._store.transaction() as database:
            database.execute(
                "UPDATE deliveries SET next_at = ?, tries = ?, last_answer = ? WHERE id = ?"
                " AND next_at IS NOT NULL",
                (None if done else time.time() + pause, tries, answer, row["id"]),
            )


class Line:
    """One connection to the platform, kept open between events."""

    def __init__(self) -> None:
        self._connection: http.client.HTTPConnection | None = None
        self._base = ""

    def post(self, url: str, body: bytes, headers: dict[str, str]) -> str:
        """The status of the answer; redirects are not followed. One more try where the platform had
        closed the line meanwhile."""
        parts = urllib.parse.urlsplit(url)
        base = f"{parts.scheme}://{parts.netloc}"
        was_open = self._connection is not None and base == self._base
        if not was_open:
            self._open(parts)
            self._base = base
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            return self._exchange(path, body, headers)
        except (ConnectionError, http.client.RemoteDisconnected):
            if not was_open:
                raise
            self._open(parts)
            return self._exchange(path, body, headers)

    def _open(self, parts: urllib.parse.SplitResult) -> None:
        if self._connection is not None:
            self._connection.close()
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        if parts.scheme not in kinds or not parts.hostname:
            self._connection = None
            raise ValueError("No http or https URL.")
        self._connection = kinds[parts.scheme](parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)

    def _exchange(self, path: str, body: bytes, headers: dict[str, str]) -> str:
        if self._connection is None:
            raise ConnectionError
        try:
            self._connection.request("POST", path or "/", body, headers)
            response = self._connection.getresponse()
            response.read(64 * 1024)
            if not response.isclosed():
                self._connection.close()
            return str(response.status)
        except BaseException:
            self._connection.close()
            raise


def complain(text: str) -> None:
    """A line of the log, as JSON like the platform's."""
    line = {"level": "error", "logger": "simulator", "event": text}
    sys.stderr.write(json.dumps(line) + "\n")
