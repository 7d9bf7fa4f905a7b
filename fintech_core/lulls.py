"""A moment for those who were answered together: they come back one by one, and are served together.

Who serves all that wait, as soon as there is one, would else serve the first of them alone and the rest
behind it: many groups of one, each of which costs as much as ten more in a full one.
"""

import time
from collections.abc import Callable

# All who come back are there when nobody came for so long; none is waited for any longer than that.
LULL_SECONDS = 0.000_05
LONGEST_SECONDS = 0.005


class Lull:
    """Knows how many were served together lately. Where each was alone, nobody waits."""

    def __init__(self) -> None:
        self._lately = 1

    def wait(self, waiting: Callable[[], int]) -> None:
        """Wait until about as many are here as lately, or nobody comes any more.

        ``waiting`` tells how many are here beside the one who is to be served in any case.
        """
        until, before = time.monotonic() + LONGEST_SECONDS, -1
        while before < (now := waiting()) < self._lately - 1 and time.monotonic() < until:
            before = now
            time.sleep(LULL_SECONDS)

    def served(self, number: int) -> None:
        """So many were served together. One small group among large ones does not count for much."""
        self._lately = max(number, self._lately * 3 // 4)
