"""The command line: ``run``, ``test``, ``check``, ``manage`` and ``with-servers``."""

import sys
from collections.abc import Callable, Sequence

from fintech_core.embedded import interruption
from fintech_core.embedded.commands import check, manage, test, with_servers
from fintech_core.embedded.interruption import Stopped
from fintech_core.embedded.messages import LaunchError, complain
from fintech_core.embedded.run import run

COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "run": lambda _arguments: run(),
    "test": test,
    "check": check,
    "manage": manage,
    "with-servers": with_servers,
}


def main(arguments: Sequence[str]) -> int:
    """Run one command; problems are told in plain words, with exit status 1."""
    if not arguments or arguments[0] not in COMMANDS:
        complain(f"usage: python -m fintech_core.embedded {'|'.join(COMMANDS)} [ARGUMENT ...]")
        return 2
    interruption.install()
    try:
        return COMMANDS[arguments[0]](arguments[1:])
    except LaunchError as error:
        complain(str(error))
        return 1
    except Stopped:
        return 128 + (interruption.requested() or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
