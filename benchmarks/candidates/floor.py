"""L0: one call of a function in PostgreSQL per transfer, or per hundred, driven by pgbench."""

import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.candidates import Unavailable
from benchmarks.database import Server
from benchmarks.turns import Turn
from benchmarks.workload import AMOUNT, HOT, Case, slice_of

SQL = Path(__file__).resolve().parent.parent / "sql" / "l0.sql"
ROWS = 10_000
OPENING = 1_000_000_000_000
BATCH = 100
THREADS = 2


def make_schema(server: Server, database: str) -> None:
    """A fresh database with L0's functions and its funded accounts."""
    server.create(database)
    with server.connect(database) as connection:
        connection.execute(SQL.read_bytes())
        connection.execute(
            "INSERT INTO account SELECT n, %s FROM generate_series(0, %s) AS n", [OPENING, ROWS - 1]
        )
        connection.execute("VACUUM ANALYZE account")


def violations(server: Server, database: str) -> list[str]:
    """What of L0's books does not hold."""
    with server.connect(database) as connection:
        rows = connection.execute("SELECT fact, subject FROM violation(%s)", [OPENING])
        return [f"{fact}: {subject}" for fact, subject in rows]


class Floor:
    """The least that a transfer can cost here, in calls of one or of a hundred."""

    def __init__(self, server: Server, accounts: int, size: int) -> None:
        self.name = "L0" if size == 1 else f"L0x{size}"
        self.database = f"bench_{self.name.lower()}"
        self._server = server
        self._accounts = accounts
        self._size = size
        self._program = server.program("pgbench")

    def takes(self, case: Case) -> bool:
        return case.level == "service" and case.size == self._size

    def prepare(self) -> None:
        if self._program is None:
            raise Unavailable("pgbench is neither beside the server's programs nor on PATH")
        make_schema(self._server, self.database)

    def turn(self, case: Case, seconds: int) -> Turn:
        # More clients than the server has connections for make it no faster.
        clients = min(case.callers, self._server.free_connections())
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "transfer.sql"
            script.write_text(_script(case, clients, self._accounts))
            command = [str(self._program), "--no-vacuum", "--protocol=prepared", "--log"]
            command += [f"--client={clients}", f"--jobs={min(THREADS, clients)}"]
            command += [f"--time={seconds}", "--file=transfer.sql"]
            finished = subprocess.run(
                [*command, self._server.owner_url(self.database)],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            latencies = [
                int(line.split()[2]) / 1000
                for log in Path(folder).glob("pgbench_log.*")
                for line in log.read_text().splitlines()
            ]
        problems: Counter[str] = Counter()
        if finished.returncode:
            problems[finished.stderr.strip().splitlines()[-1][:120]] += 1
        posted = len(latencies) * case.size
        return Turn(
            posted=posted,
            seconds=_measured(finished.stdout, posted, case.size, seconds),
            latencies=latencies,
            made=posted,
            problems=problems,
            note=f"{clients} connections" if clients < case.callers else "",
        )

    def check(self) -> list[str]:
        return violations(self._server, self.database)

    def close(self) -> None:
        """Nothing outlives a turn."""


def _measured(told: str, posted: int, size: int, seconds: int) -> float:
    """The seconds that pgbench measured, without those in which its clients connected."""
    for line in told.splitlines():
        if line.startswith("tps = "):
            rate = float(line.split()[2])
            return posted / size / rate if rate else float(seconds)
    return float(seconds)


def _script(case: Case, clients: int, accounts: int) -> str:
    """One transfer of ``benchmarks.workload.draw``, or a call that draws its hundred itself."""
    if case.size > 1:
        return f"SELECT transfer_drawn('{case.rung}', :client_id, {clients}, {accounts}, {case.size});\n"
    width = slice_of(caller=0, callers=clients, accounts=accounts).width
    own = f":first + random(0, {width - 1})"
    # pgbench rounds to the nearest whole number, hence the halves.
    zipfian = f"int(pow({accounts}, random(0, 999999999) / 1000000000.0) - 1.5)"
    sides = {
        "disjoint": (own, f":first + (:payer - :first + random(1, {width - 1})) % {width}"),
        "zipfian": (zipfian, zipfian),
        "ten": ("random(0, 9)", "(:payer + random(1, 9)) % 10"),
        "hot-recipient": (own, str(HOT)),
        "hot-payer": (str(HOT), own),
    }
    payer, recipient = sides[case.rung]
    return "\n".join(
        [
            r"\set key random(1, 9000000000000000000)",
            rf"\set first {HOT + 1} + :client_id * {width}",
            rf"\set payer {payer}",
            rf"\set other {recipient}",
            rf"\set recipient case when :other = :payer then (:payer + 1) % {accounts} else :other end",
            f"SELECT transfer(:key, :payer, :recipient, {AMOUNT});\n",
        ]
    )
