"""Apply each mutant to a copy of the code and see that its check catches it.

    python3 dev.py with-servers --temporary -- .venv/bin/python -m tests.mutants [NAME ...]

Exit status 1 where a mutant survives, or where a check fails on the code as it is.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from tests.mutants.catalogue import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
TESTS_FAILED = 1


def main() -> int:
    """Run the named mutants, or all."""
    parser = argparse.ArgumentParser(prog="tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of names, such as m1")
    wanted = parser.parse_args().names
    chosen = [m for m in MUTANTS if not wanted or m.name.split()[0] in wanted]
    if not chosen:
        parser.error("there is no such mutant")
    if not _holds("the code as it is", (), {check for mutant in chosen for check in mutant.checks}):
        return 1
    survivors = [mutant.name for mutant in chosen if not _is_caught(mutant)]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants caught")
    return 1 if survivors else 0


def _holds(name: str, edits: Iterable[tuple[str, str, str]], checks: Iterable[str]) -> bool:
    status, seconds, output = _run(edits, checks)
    print(
        f"{name:40} {'all checks pass' if status == 0 else 'FAILS'} ({seconds:.0f} s)", flush=True
    )
    if status:
        print(output)
    return status == 0


def _is_caught(mutant: Mutant) -> bool:
    status, seconds, output = _run(mutant.edits, mutant.checks)
    caught = status == TESTS_FAILED and "FAILED " in output
    print(f"{mutant.name:40} {'caught' if caught else 'SURVIVED'} ({seconds:.0f} s)", flush=True)
    if not caught:
        print(output)
    return caught


def _run(edits: Iterable[tuple[str, str, str]], checks: Iterable[str]) -> tuple[int, float, str]:
    """The exit status of pytest over a copy with these edits, how long it took, and its last lines."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fc-mutant-") as folder:
        copy = Path(folder) / "code"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        for name, before, after in edits:
            _edit(copy / name, before, after)
        command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider"]
        command += ["-m", ""]  # Those that kill processes, too.
        finished = subprocess.run(
            [*command, *sorted(checks)],
            cwd=copy,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    return finished.returncode, time.monotonic() - began, finished.stdout[-4_000:]


def _edit(path: Path, before: str, after: str) -> None:
    content = path.read_text(encoding="utf-8")
    if content.count(before) != 1:
        sys.exit(f"{path.name}: the text to be changed stands there {content.count(before)} times")
    path.write_text(content.replace(before, after), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
