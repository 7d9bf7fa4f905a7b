"""Which provider hangs, as this process has seen it lately.

A call to one that hangs takes as long as it may. So after some in a row it is left alone for a moment,
and then asked by one at a time until it answers: the other workers go on with what is not its own.
"""

import threading
import time

# So many in a row, each of which took so long: one that fails at once keeps nobody waiting.
IN_A_ROW = 3
SLOW_SECONDS = 2.0
PAUSE_SECONDS = 5.0
# Nobody else asks while one finds out whether it is back: longer than two calls may take.
_TRIAL_SECONDS = 35.0

_lock = threading.Lock()
_failures: dict[str, int] = {}
_resumes_at: dict[str, float] = {}


def lets_through(provider: str) -> bool:
    """Whether to ask it now; where it hung, True to one caller after each pause."""
    with _lock:
        if _failures.get(provider, 0) < IN_A_ROW:
            return True
        now = time.monotonic()
        if now < _resumes_at[provider]:
            return False
        _resumes_at[provider] = now + _TRIAL_SECONDS
        return True


def failed(provider: str, *, seconds: float) -> None:
    """It did not answer, and took so long not to.

    Where that was quick it says nothing of whether it hangs: others wait for it, and there was no turn.
    """
    with _lock:
        if seconds >= SLOW_SECONDS:
            _failures[provider] = _failures.get(provider, 0) + 1
        _resumes_at[provider] = time.monotonic() + PAUSE_SECONDS


def answered(provider: str) -> None:
    """It answered."""
    with _lock:
        _failures.pop(provider, None)
        _resumes_at.pop(provider, None)
