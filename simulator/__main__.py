"""``python -m simulator``: serve until told to stop."""

import os
import signal
import sys
import threading

from simulator.api import Api
from simulator.configuration import BadConfiguration, configured
from simulator.delivery import Sender
from simulator.server import Server
from simulator.store import Store


def main() -> int:
    """Status 0 after SIGTERM or SIGINT, 1 where it cannot start."""
    try:
        configuration = configured(os.environ)
        store = Store(configuration.database)
        sender = Sender(store, configuration)
        api = Api(configuration, store, sender)
        server = Server((configuration.host, configuration.port), api)
    except (BadConfiguration, OSError) as error:
        sys.stderr.write(f"The simulator cannot start: {error}\n")
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        # In a thread of its own: shutdown() waits for the loop that this handler interrupts.
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    sender.start()
    sys.stderr.write(f"The simulator listens on {configuration.host}:{server.server_port}.\n")
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
