"""Candidates that Python processes call: this project's services, and other ways to write a transfer."""

import os
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.candidates import Unavailable
from benchmarks.database import Server
from benchmarks.orders import ROOT, Loader, LoadFailed
from benchmarks.turns import Turn
from benchmarks.workload import Case

# Beyond this many callers those that keep a connection each only queue, on any server.
MOST_CALLERS = 32
HEADSTART = 0.05


class Called:
    """A candidate behind an adapter, called by the threads of ``processes`` load processes."""

    def __init__(
        self,
        name: str,
        adapter: str,
        *,
        server: Server,
        accounts: int,
        processes: int,
        takes: Callable[[Case], bool],
    ) -> None:
        self.name = name
        self.database = f"bench_{name.replace(' ', '_').lower()}"
        self.takes = takes
        self._adapter = adapter
        self._server = server
        self._accounts = accounts
        self._processes = processes
        self._loaders: list[Loader] = []

    # What the adapter said of the accounts it made.
    facts: Any = None

    def prepare(self) -> None:
        self.make_database()
        self.facts = self.open_loaders(is_new=True)

    def make_database(self) -> None:
        self._server.create(self.database)

    def open_loaders(self, *, is_new: bool) -> Any:
        """Start the load processes; the first of them makes the accounts, whose facts are returned."""
        self._loaders = [
            Loader("benchmarks.callers", [self._adapter], self.environment(), self.python())
            for _ in range(self._processes)
        ]
        try:
            facts = self._loaders[0].ask(do="prepare", accounts=self._accounts) if is_new else None
            for loader in self._loaders:
                loader.ask(do="open", accounts=self._accounts)
        except LoadFailed as error:
            raise Unavailable(str(error)) from error
        return facts

    def environment(self) -> dict[str, str]:
        return {"DATABASE_URL": self._server.owner_url(self.database)}

    def python(self) -> str:
        return sys.executable

    def turn(self, case: Case, seconds: int) -> Turn:
        """All processes start at one moment, after each caller has made one call."""
        self._require_loaders()
        try:
            return together(self._run(case, seconds))
        except LoadFailed:
            # Whoever is left may still owe an answer; the next turn gets new processes.
            self.dismiss()
            raise

    def _run(self, case: Case, seconds: int) -> list[dict[str, Any]]:
        loaders = self._loaders[: min(len(self._loaders), case.callers)]
        first = 0
        for index, loader in enumerate(loaders):
            count = (case.callers - first) // (len(loaders) - index)
            loader.send(
                do="muster",
                rung=case.rung,
                first=first,
                count=count,
                callers=case.callers,
                size=case.size,
                accounts=self._accounts,
            )
            first += count
        for loader in loaders:
            loader.receive()
        start = time.monotonic() + HEADSTART
        for loader in loaders:
            loader.send(do="run", start=start, seconds=seconds)
        return [loader.receive() for loader in loaders]

    def _require_loaders(self) -> None:
        if not self._loaders:
            self.open_loaders(is_new=False)

    def check(self) -> list[str]:
        self._require_loaders()
        found: list[str] = self._loaders[0].ask(do="check")
        return found

    def dismiss(self) -> None:
        """End the load processes."""
        for loader in self._loaders:
            loader.close()
        self._loaders = []

    def close(self) -> None:
        self.dismiss()


def together(answers: Sequence[dict[str, Any]]) -> Turn:
    """What several load processes did in one turn."""
    problems: Counter[str] = Counter()
    for answer in answers:
        problems.update(answer["problems"])
    return Turn(
        posted=sum(answer["posted"] for answer in answers),
        seconds=max(answer["seconds"] for answer in answers),
        latencies=[ms for answer in answers for ms in answer["latencies"]],
        made=sum(answer["made"] for answer in answers),
        cpu=max(answer["cpu"] for answer in answers),
        problems=problems,
    )


class Ours(Called):
    """This project: migrated by the owner, called with the rights of the application's role."""

    def environment(self) -> dict[str, str]:
        return ours_environment(self._server, self.database)

    def make_database(self) -> None:
        super().make_database()
        migrate(self.environment())


class Ungrouped(Called):
    """This project on the other's database, by the entry that waits for no group."""

    def __init__(self, ours: Ours, *, server: Server, accounts: int) -> None:
        super().__init__(
            "ours ungrouped",
            "benchmarks.adapters.ours:Ungrouped",
            server=server,
            accounts=accounts,
            processes=1,
            takes=lambda case: (
                case.level == "service"
                and (case.rung, case.callers, case.size) == ("disjoint", 1, 1)
            ),
        )
        self.database = ours.database

    def environment(self) -> dict[str, str]:
        return ours_environment(self._server, self.database)

    def prepare(self) -> None:
        self.open_loaders(is_new=False)


def ours_environment(server: Server, database: str) -> dict[str, str]:
    """What points this project at a database of the benchmark's."""
    return {
        "DJANGO_SETTINGS_MODULE": "fintech_core.settings",
        "DATABASE_URL": server.application_url(database),
        "DATABASE_OWNER_URL": server.owner_url(database),
        "ACCESS_TOKEN_MINUTES": "1440",
    }


def migrate(environment: dict[str, str]) -> None:
    """Make this project's tables. Raises ``Unavailable`` with what ``manage.py`` says last."""
    finished = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--no-input", "--verbosity", "0"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise Unavailable(f"migrate failed: {finished.stderr.strip()[-300:]}")


class Hordak(Called):
    """django-hordak, installed from the package index for this run alone."""

    @cached_property
    def _folder(self) -> "tempfile.TemporaryDirectory[str]":
        return tempfile.TemporaryDirectory(prefix="bench-hordak-")

    def prepare(self) -> None:
        try:
            venv.create(self._folder.name, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Unavailable(f"no environment for it could be made: {error}") from error
        command = [self.python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        finished = subprocess.run(
            [*command, "django-hordak", "psycopg[binary]", "setuptools"],
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode:
            raise Unavailable("django-hordak could not be installed from the package index")
        super().prepare()

    def python(self) -> str:
        return str(Path(self._folder.name) / "bin" / "python")

    def close(self) -> None:
        super().close()
        self._folder.cleanup()


class PgLedger(Called):
    """pgledger, from the files that the runner was pointed at."""

    files: Sequence[Path] = ()

    def prepare(self) -> None:
        if not self.files:
            raise Unavailable("give its SQL files by --pgledger FILE [FILE ...]")
        missing = [str(file) for file in self.files if not file.is_file()]
        if missing:
            raise Unavailable(f"there is no {missing[0]}")
        super().prepare()

    def environment(self) -> dict[str, str]:
        files = os.pathsep.join(str(file.resolve()) for file in self.files)
        return {**super().environment(), "BENCH_SQL_FILES": files}


def is_service(case: Case) -> bool:
    """Any number of callers and transfers, below HTTP."""
    return case.level == "service"


def is_single(case: Case) -> bool:
    """One transfer per call, from as many callers as a connection each is reasonable for."""
    return case.level == "service" and case.size == 1 and case.callers <= MOST_CALLERS
