"""Candidates behind the web server: this project as ``make run`` serves it, and others beside it."""

import http.client
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import jwt

from benchmarks.candidates import Unavailable, floor
from benchmarks.candidates.service import Called, Ours, ours_environment, together
from benchmarks.database import Server
from benchmarks.orders import ROOT, Loader
from benchmarks.turns import Turn
from benchmarks.workload import Case
from fintech_core.embedded import services
from fintech_core.embedded.folders import DataFolder

READY_SECONDS = 60.0
TRANSFERS = "/api/transactions/transactions/"


class Web:
    """A web server of our own and the process that asks it."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind((services.HOST, 0))
            self.port = int(probe.getsockname()[1])
        self._folder = tempfile.TemporaryDirectory(prefix="bench-web-")
        self._server: subprocess.Popen[bytes] | None = None
        self._client: Loader | None = None
        self.folder = Path(self._folder.name)

    def start(self, command: Sequence[object], environment: Mapping[str, str], path: str) -> None:
        """Serve until ``path`` answers below 500. Raises ``Unavailable``."""
        with (self.folder / "web.log").open("ab") as log:
            self._server = subprocess.Popen(
                [str(word) for word in command],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + READY_SECONDS
        while self.ask("GET", path) not in range(200, 500):
            if self._server.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "web.log").read_text(errors="replace")[-300:]
                raise Unavailable(f"its web server does not answer: {said}")
            time.sleep(0.1)
        self._client = Loader("benchmarks.client", [], {})

    def start_wsgi(self, application: str, environment: Mapping[str, str]) -> None:
        """Serve another program on the same server."""
        command = [sys.executable, "-m", "granian", application]
        command += ["--interface", "wsgi", "--workers", "2", "--blocking-threads", "4"]
        command += ["--host", services.HOST, "--port", str(self.port)]
        command += ["--no-ws", "--http", "1", "--log-level", "warning"]
        self.start(command, environment, "/")

    def start_ours(self, environment: Mapping[str, str]) -> None:
        """Serve this project as ``make run`` does."""
        data = DataFolder(self.folder)
        data.make()
        service = services.web_server(data, {**os.environ, **environment}, self.port)
        self.start(service.command, service.environment, "/api/health/ready/")

    def ask(self, method: str, path: str, token: str = "") -> int:
        """The status of one request without a body; 0 where nobody answers."""
        connection = http.client.HTTPConnection(services.HOST, self.port, timeout=5)
        try:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            connection.request(method, path, b"" if method == "POST" else None, headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def fetch(self, path: str, token: str, limit: int) -> int:
        """The status of a GET, once its body is there or the first ``limit`` bytes of it."""
        connection = http.client.HTTPConnection(services.HOST, self.port, timeout=30)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            response.read(limit)
            return response.status
        finally:
            connection.close()

    def aim(
        self, *, speaks: str, path: str, tokens: list[str], names: list[str], secret: str = ""
    ) -> None:
        """What the client asks for from now on."""
        assert self._client is not None
        self._client.ask(
            do="aim",
            speaks=speaks,
            port=self.port,
            path=path,
            tokens=tokens,
            names=names,
            secret=secret,
        )

    def accepted(self) -> list[str]:
        """The ids of the events that were accepted so far."""
        assert self._client is not None
        ids: list[str] = self._client.ask(do="accepted")
        return ids

    def turn(self, case: Case, seconds: int, accounts: int) -> Turn:
        assert self._client is not None
        answer = self._client.ask(
            do="run",
            rung=case.rung,
            connections=case.callers,
            size=case.size,
            seconds=seconds,
            accounts=accounts,
        )
        return together([answer])

    def stop(self) -> None:
        """End both processes."""
        if self._client is not None:
            self._client.close()
        if self._server is not None:
            self._server.terminate()
            try:
                self._server.wait(15)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
        self._folder.cleanup()


def tokens_of(subjects: Iterable[str], secret: str) -> list[str]:
    """A signed token for each, good for a day."""
    expires = time.time() + 86_400
    return [jwt.encode({"sub": each, "exp": expires}, secret, "HS256") for each in subjects]


class Bare:
    """A token checked and L0's function called, with nothing in between."""

    name = "bare HTTP"
    database = "bench_bare"

    def __init__(self, server: Server, accounts: int) -> None:
        self._server = server
        self._accounts = accounts
        self._secret = secrets.token_urlsafe(48)
        self._web = Web()
        self._tokens: list[str] = []

    def takes(self, case: Case) -> bool:
        return case.level == "HTTP"

    def prepare(self) -> None:
        floor.make_schema(self._server, self.database)
        self._tokens = tokens_of(map(str, range(self._accounts)), self._secret)
        environment = {
            "BENCH_DATABASE_URL": self._server.owner_url(self.database),
            "BENCH_SECRET": self._secret,
        }
        self._web.start_wsgi("benchmarks.bare:application", environment)

    def turn(self, case: Case, seconds: int) -> Turn:
        self._web.aim(speaks="bare", path="/", tokens=self._tokens, names=[])
        return self._web.turn(case, seconds, self._accounts)

    def check(self) -> list[str]:
        return floor.violations(self._server, self.database)

    def close(self) -> None:
        self._web.stop()


class OursHttp:
    """This project behind its own web server, on the books of its service-level candidate."""

    name = "ours HTTP"

    def __init__(self, ours: Ours, *, server: Server, accounts: int) -> None:
        self.database = ours.database
        self._ours = ours
        self._server = server
        self._accounts = accounts
        self.web = Web()

    def takes(self, case: Case) -> bool:
        return case.level == "HTTP"

    def prepare(self) -> None:
        if self._ours.facts is None:
            self._ours.prepare()
        self.web.start_ours(ours_environment(self._server, self.database))

    def turn(self, case: Case, seconds: int) -> Turn:
        facts = self._ours.facts
        path = TRANSFERS + ("transfer/" if case.size == 1 else "batch/")
        if self.web.ask("POST", path, facts["tokens"][0]) == http.HTTPStatus.NOT_FOUND:
            raise Unavailable(f"{path} answers 404")
        self.web.aim(speaks="ours", path=path, tokens=facts["tokens"], names=facts["emails"])
        return self.web.turn(case, seconds, self._accounts)

    def check(self) -> list[str]:
        return self._ours.check()

    def close(self) -> None:
        self.web.stop()
        self._ours.close()


class NaiveHttp:
    """The ORM's transfer behind Django REST framework, on the books of its service-level candidate."""

    name = "naive HTTP"

    def __init__(self, naive: Called, accounts: int) -> None:
        self.database = naive.database
        self._naive = naive
        self._accounts = accounts
        self._secret = secrets.token_urlsafe(48)
        self._tokens: list[str] = []
        self._web = Web()

    def takes(self, case: Case) -> bool:
        return case.level == "HTTP" and case.size == 1

    def prepare(self) -> None:
        if self._naive.facts is None:
            self._naive.prepare()
        self._tokens = tokens_of(self._naive.facts, self._secret)
        environment = {**self._naive.environment(), "BENCH_SECRET": self._secret}
        self._web.start_wsgi("benchmarks.naive.wsgi:application", environment)

    def turn(self, case: Case, seconds: int) -> Turn:
        self._web.aim(
            speaks="ours", path="/transfer/", tokens=self._tokens, names=self._naive.facts
        )
        return self._web.turn(case, seconds, self._accounts)

    def check(self) -> list[str]:
        return self._naive.check()

    def close(self) -> None:
        self._web.stop()
        self._naive.close()
