"""Proving the ledger, whole or what is new, and stopping the postings where it does not hold."""

from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.utils import timezone

from transactions.models import Checkpoint, Verification
from transactions.selectors import (
    Extent,
    Progress,
    Violation,
    find_violations,
    last_verified_checkpoint,
)
from transactions.services.halts import raise_halt

# Where much is broken, the first of it tells enough.
_MOST = 20


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification read, and what of it does not hold, the first first."""

    extent: Extent
    violations: list[Violation] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        return not self.violations

    def as_dict(self) -> dict[str, Any]:
        return {
            "sound": self.is_sound,
            "full": self.extent.is_full,
            "after_checkpoint": self.extent.after,
            "until_checkpoint": self.extent.until,
            "entries": self.extent.entries,
            "transactions": self.extent.transactions,
            "holds": self.extent.holds,
            "checkpoints": self.extent.checkpoints,
            "violations": [violation.as_dict() for violation in self.violations],
        }


def verify(*, after_checkpoint: int | None = None, progress: Progress = lambda *_: None) -> Report:
    """Read what was posted after a checkpoint: with 0 everything, with None what no run has verified yet.

    A run to the end is kept; a sound one is where the next may begin. Raises Django's database errors
    where it could not be run, and ``ImproperlyConfigured`` for keys that cannot be read.
    """
    after = last_verified_checkpoint() if after_checkpoint is None else after_checkpoint
    if not Checkpoint.objects.filter(number=after).exists():
        # Nothing was signed yet, or what was is gone: then nothing may be left out.
        after = 0
    started_at = timezone.now()
    extent = Extent(after=after)
    violations = list(islice(find_violations(extent, progress), _MOST))
    Verification.objects.create(
        started_at=started_at,
        is_full=extent.is_full,
        after_checkpoint=extent.after,
        until_checkpoint=extent.until,
        entry_count=extent.entries,
        is_sound=not violations,
        violation=violations[0].as_dict() if violations else None,
    )
    return Report(extent, violations)


def verify_or_halt(*, after_checkpoint: int | None = None) -> Report:
    """``verify()``; where something does not hold, no money moves until an operator lets it."""
    report = verify(after_checkpoint=after_checkpoint)
    if report.violations:
        raise_halt(reason=str(report.violations[0]))
    return report
