"""Identity checks: handing in, deciding, running out."""

import logging
import uuid
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import IO

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.files.base import ContentFile
from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models.fields.files import FieldFile
from django.utils import timezone

from events.services import announce, record_audit
from fintech_core.database import exactly_once
from fintech_core.exceptions import InvalidInput, NotFound
from fintech_core.sqlstates import constraint_of
from users.attempts import count_attempt
from users.documents import UnacceptableImage, redraw
from users.errors import KycAlreadyDecided, KycApproved, KycPending, OwnSubmission
from users.locks import lock_submission, lock_user
from users.models import KycStatus, KycSubmission, SubmissionStatus, User
from users.selectors import get_submission
from users.signals import standing_will_change
from users.storage import document_name, document_storage

logger = logging.getLogger(__name__)

DECIDE = "users.decide_kyc"
TIERS = (1, 2)
REASON_MAX_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Identity:
    """What a user says about themselves; a front end has checked its shape."""

    legal_name: str
    date_of_birth: date
    country: str
    address: str
    document_type: str
    document_number: str


@dataclass(frozen=True, slots=True)
class Document:
    """The uploaded pictures, as they came."""

    front: IO[bytes]
    back: IO[bytes] | None = None


def submit_kyc(*, user: User, identity: Identity, document: Document) -> KycSubmission:
    """Hand in an identity for a decision; the pictures are redrawn and kept in private.

    Raises ``KycPending`` or ``KycApproved`` where nothing may be handed in now, ``TooManyRequests``
    past the day's number of files, ``InvalidInput`` for a file that is no picture.
    """
    _require_open(User.objects.get(pk=user.pk))
    uploads = {"document_front": document.front}
    if document.back is not None:
        uploads["document_back"] = document.back
    count_attempt(
        scope="kyc_files",
        subject=str(user.pk),
        window=timedelta(days=1),
        limit=settings.KYC_FILES_PER_DAY,
        by=len(uploads),
    )
    pictures = _redrawn(uploads)
    storage = document_storage()
    names: dict[str, str] = {}
    try:
        for field, picture in pictures.items():
            names[field] = storage.save(document_name(None, ""), picture)
        return _insert_submission(user, identity, names)
    except (OperationalError, InterfaceError):
        raise  # It may have committed: rather a file too many than a submission without pictures.
    except BaseException:
        for name in names.values():
            storage.delete(name)
        raise


def _require_open(user: User) -> None:
    if user.kyc_status == KycStatus.PENDING:
        raise KycPending
    if user.kyc_status == KycStatus.APPROVED:
        raise KycApproved


def _redrawn(uploads: dict[str, IO[bytes]]) -> "dict[str, ContentFile[bytes]]":
    pictures: dict[str, ContentFile[bytes]] = {}
    problems: dict[str, list[str]] = {}
    for field, upload in uploads.items():
        try:
            pictures[field] = redraw(upload)
        except UnacceptableImage as error:
            problems[field] = [str(error)]
    if problems:
        raise InvalidInput(problems, {field: ["invalid_image"] for field in problems})
    return pictures


def _insert_submission(user: User, identity: Identity, names: dict[str, str]) -> KycSubmission:
    try:
        with transaction.atomic(durable=True):
            locked = lock_user(user.pk)
            _require_open(locked)
            submission = KycSubmission.objects.create(user=locked, **asdict(identity), **names)
            before = {"status": locked.kyc_status, "tier": locked.kyc_tier}
            locked.kyc_status, locked.kyc_reason = KycStatus.PENDING, ""
            locked.save(update_fields=["kyc_status", "kyc_reason"])
            _audit("kyc.submitted", locked, user.pk, before=before, submission=submission)
    except IntegrityError as error:
        if constraint_of(error) != "one_pending_submission_per_user":
            raise
        raise KycPending from None
    return submission


def approve_kyc(*, submission_id: uuid.UUID, acting_user: User, tier: int) -> KycSubmission:
    """Accept the identity and let its user move money within the tier, until it runs out.

    Raises ``NotFound``, ``OwnSubmission``, ``KycAlreadyDecided``, ``InvalidInput`` and
    ``PermissionDenied``. No transfer that commits after this decided on the old standing.
    """
    if tier not in TIERS:
        raise InvalidInput({"tier": ["The tier is 1 or 2."]}, {"tier": ["invalid_choice"]})
    return _decide(submission_id, acting_user, tier=tier)


def reject_kyc(*, submission_id: uuid.UUID, acting_user: User, reason: str) -> KycSubmission:
    """Turn the identity down; its user is told why and may hand in again. Raises as approve."""
    if not reason.strip() or len(reason) > REASON_MAX_LENGTH:
        raise InvalidInput(
            {"reason": [f"Give a reason of at most {REASON_MAX_LENGTH} characters."]}
        )
    return _decide(submission_id, acting_user, reason=reason)


def _decide(
    submission_id: uuid.UUID, acting_user: User, *, tier: int | None = None, reason: str = ""
) -> KycSubmission:
    if not (acting_user.is_staff and acting_user.has_perm(DECIDE)):
        raise PermissionDenied
    user_id = get_submission(submission_id).user_id
    if user_id == acting_user.pk:
        raise OwnSubmission
    now = timezone.now()

    def work() -> KycSubmission:
        standing_will_change.send(sender=User, user_id=user_id)
        user = lock_user(user_id)
        submission = lock_submission(submission_id)
        if submission.decided_at == now and submission.decided_by_id == acting_user.pk:
            return submission  # This very call, whose commit landed unseen.
        if submission.status != SubmissionStatus.PENDING:
            raise KycAlreadyDecided
        before = {"status": user.kyc_status, "tier": user.kyc_tier}
        submission.status = SubmissionStatus.APPROVED if tier else SubmissionStatus.REJECTED
        submission.tier, submission.reason = tier, reason
        submission.decided_at, submission.decided_by = now, acting_user
        submission.save(update_fields=["status", "tier", "reason", "decided_at", "decided_by"])
        user.kyc_status = KycStatus.APPROVED if tier else KycStatus.REJECTED
        user.kyc_tier, user.kyc_reason = tier or 0, reason
        user.kyc_expires_at = now + settings.KYC_VALIDITY if tier else None
        user.save(update_fields=["kyc_status", "kyc_tier", "kyc_reason", "kyc_expires_at"])
        action = "kyc.approved" if tier else "kyc.rejected"
        _audit(action, user, acting_user.pk, before=before, submission=submission)
        _announce(action, user, submission)
        return submission

    return exactly_once(work)


def _announce(action: str, user: User, submission: KycSubmission) -> None:
    """Tell the user; decisions on them are counted, under their lock."""
    decided = KycSubmission.objects.filter(user_id=user.pk, decided_at__isnull=False)
    announce(
        action,
        owner_id=user.pk,
        subject_id=user.pk,
        sequence=decided.count(),
        data={
            "status": user.kyc_status,
            "tier": user.kyc_tier,
            "reason": user.kyc_reason,
            "submission": str(submission.pk),
        },
    )


def expire_kyc() -> int:
    """Take the tier from every user whose approval has run out; returns from how many."""
    due = User.objects.filter(kyc_status=KycStatus.APPROVED, kyc_expires_at__lte=timezone.now())
    expired = 0
    for user_id in due.order_by("kyc_expires_at").values_list("pk", flat=True)[:10_000]:
        try:
            expired += _expire(user_id)
        except Exception:  # One account in trouble must not keep the others' approvals alive.
            logger.exception("kyc_not_expired", extra={"user_id": str(user_id)})
    return expired


def _expire(user_id: uuid.UUID) -> bool:
    def work() -> bool:
        standing_will_change.send(sender=User, user_id=user_id)
        user = lock_user(user_id)
        ends = user.kyc_expires_at
        if user.kyc_status != KycStatus.APPROVED or ends is None or ends > timezone.now():
            return False
        before = {"status": user.kyc_status, "tier": user.kyc_tier}
        user.kyc_status, user.kyc_tier = KycStatus.EXPIRED, 0
        user.save(update_fields=["kyc_status", "kyc_tier"])
        _audit("kyc.expired", user, None, before=before)
        return True

    return exactly_once(work)


def open_document(*, submission_id: uuid.UUID, side: str, acting_user: User) -> FieldFile:
    """One picture for an operator's eyes; that it was looked at goes on record.

    ``side`` is ``front`` or ``back``. Raises ``NotFound`` and ``PermissionDenied``.
    """
    if not acting_user.has_perm(DECIDE):
        raise PermissionDenied
    submission = get_submission(submission_id)
    picture = submission.document_back if side == "back" else submission.document_front
    if not picture.name or not picture.storage.exists(picture.name):
        raise NotFound
    with transaction.atomic(durable=True):
        _audit(
            "kyc.document_viewed", submission.user, acting_user.pk, submission=submission, side=side
        )
    return picture


def _audit(
    action: str,
    user: User,
    actor_id: uuid.UUID | None,
    *,
    before: dict[str, object] | None = None,
    submission: KycSubmission | None = None,
    side: str = "",
) -> None:
    """Standing before and after; of the documents nothing but the submission's id."""
    after: dict[str, object] = {"status": user.kyc_status, "tier": user.kyc_tier}
    if submission is not None:
        after["submission"] = str(submission.pk)
    if side:
        after["side"] = side
    record_audit(
        action=action,
        subject_type="user",
        subject_id=user.pk,
        actor_id=actor_id,
        before=before,
        after=after,
        reason=user.kyc_reason,
    )
