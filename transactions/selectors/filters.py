"""The history of a user's wallets: newest first, filtered, a page at a time.

A history is the merge of what each own wallet sent and what it received, each read along an index on
(wallet, time, id). So a page costs the same in a wallet of a million transactions as in one of ten. What
no index narrows (kind, status, currency, amount, text) is judged on the way, over at most ``SCAN``
transactions of each side: a page that finds less than it may hold then tells where to go on.
"""

import base64
import binascii
import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from transactions.models import Transaction, TransactionStatus, reference_of
from transactions.selectors.history import transactions_with_parties
from transactions.selectors.plans import in_index_order
from users.models import User
from wallet.models import Hold, HoldStatus
from wallet.selectors import get_wallet_of, wallet_ids_of

# So many transactions of each side are looked through for one page.
SCAN = 10_000


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """What is asked for; None asks for all. Times are those of making: ``since`` on, and ``before``.

    ``text`` is part of the description, the beginning of the other side's email address, or a whole
    reference or id.
    """

    wallet_id: uuid.UUID | None = None
    direction: str | None = None
    since: datetime.datetime | None = None
    before: datetime.datetime | None = None
    kind: str | None = None
    status: str | None = None
    currency: str | None = None
    min_amount: Decimal | None = None
    max_amount: Decimal | None = None
    text: str | None = None


@dataclass(frozen=True, order=True, slots=True)
class Place:
    """Where a transaction stands in a history."""

    at: datetime.datetime
    id: uuid.UUID

    def __str__(self) -> str:
        since_epoch = self.at - _EPOCH
        return f"{since_epoch // datetime.timedelta(microseconds=1)}.{self.id}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """The reverse of ``str()``. Raises ``ValueError``."""
        micros, _, identity = text.partition(".")
        if not (micros.isascii() and micros.isdigit() and len(micros) <= 17):
            raise ValueError(text[:20])
        return cls(_EPOCH + datetime.timedelta(microseconds=int(micros)), uuid.UUID(identity))


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Some transactions, newest first, and from which places on there are older and newer ones."""

    rows: list[Transaction]
    older: Place | None
    newer: Place | None


def list_history(
    user: User, wanted: HistoryFilter, *, place: Place | None, to_newer: bool, size: int
) -> HistoryPage:
    """The page of the user's history that follows ``place``, to older ones or to newer ones.

    Raises ``NotFound`` where the wallet is not the user's.
    """
    sides = [_beyond(side, place, to_newer) for side in history_of(user, wanted)]
    end = None
    with in_index_order():
        if any(_judged(wanted, side.counterparty) for side in sides):
            end = _end_of_scan(sides, to_newer)
        found = _places(sides, wanted, end, to_newer, size + 1)
    is_cut = len(found) > size
    found = found[:size]
    last = found[-1] if is_cut else end
    rows = _rows_of(found)
    if to_newer:
        older = found[0] if found else place and _beside(place, 1)
        return HistoryPage(rows[::-1], older=older, newer=last)
    newer = None
    if place is not None:
        newer = found[0] if found else last or _beside(place, -1)
    return HistoryPage(rows, older=last, newer=newer)


_LISTED = (TransactionStatus.POSTED, TransactionStatus.PENDING, TransactionStatus.DECLINED)


@dataclass(frozen=True, slots=True)
class Side:
    """What one wallet sent, or what it received; ``counterparty`` leads to the other side's owner."""

    queryset: QuerySet[Transaction]
    counterparty: str


def history_of(user: User, wanted: HistoryFilter) -> list[Side]:
    """What each of the user's wallets sent and received, as far as an index tells it.

    What was declined is shown to the payer who asked for it, and to nobody else. One between own wallets
    is told once. What ended a hold without moving money is no line of its own: it shows in the hold.
    """
    if wanted.wallet_id is not None:
        own = [get_wallet_of(user, wanted.wallet_id).pk]
    else:
        own = wallet_ids_of(user)
    scope = Q(status__in=_LISTED)
    if wanted.since is not None:
        scope &= Q(created_at__gte=wanted.since)
    if wanted.before is not None:
        scope &= Q(created_at__lt=wanted.before)
    if wanted.text is not None and (named := _named(wanted.text, own)) is not None:
        scope &= Q(created_at=named.at, pk=named.id)
    transactions = Transaction.objects.filter(scope)
    asked = ~Q(status=TransactionStatus.DECLINED) | Q(initiated_by_id=user.pk)
    sent = [Side(transactions.filter(asked, from_wallet_id=pk), "to_wallet__owner") for pk in own]
    received = [
        Side(
            transactions.filter(to_wallet_id=pk).exclude(status=TransactionStatus.DECLINED),
            "from_wallet__owner",
        )
        for pk in own
    ]
    if wanted.direction is not None:
        return sent if wanted.direction == "out" else received
    foreign = [
        Side(side.queryset.exclude(from_wallet_id__in=own), side.counterparty) for side in received
    ]
    return sent + foreign


def has_status(status: str) -> Q:
    """The transactions that are shown with this status now; each hold is looked up by its key."""
    if status == TransactionStatus.DECLINED:
        return Q(status=status)
    running = Q(status=HoldStatus.OPEN, expires_at__gt=Now())
    overdue = Q(status=HoldStatus.OPEN, expires_at__lte=Now())
    became = {
        TransactionStatus.POSTED: Q(status=HoldStatus.CAPTURED),
        TransactionStatus.PENDING: running,
        TransactionStatus.VOIDED: Q(status=HoldStatus.VOIDED),
        TransactionStatus.EXPIRED: Q(status=HoldStatus.EXPIRED) | overdue,
    }[TransactionStatus(status)]
    held = Q(
        Exists(Hold.objects.filter(became, pk=OuterRef("pk"))), status=TransactionStatus.PENDING
    )
    return held | Q(status=status) if status == TransactionStatus.POSTED else held


def _judged(wanted: HistoryFilter, counterparty: str) -> Q:
    """What no index narrows."""
    conditions = Q()
    if wanted.kind is not None:
        conditions &= Q(kind=wanted.kind)
    if wanted.status is not None:
        conditions &= has_status(wanted.status)
    if wanted.currency is not None:
        conditions &= Q(currency=wanted.currency) | Q(to_currency=wanted.currency)
    if wanted.min_amount is not None:
        conditions &= Q(amount__gte=wanted.min_amount)
    if wanted.max_amount is not None:
        conditions &= Q(amount__lte=wanted.max_amount)
    if wanted.text is not None:
        conditions &= (
            Q(description__icontains=wanted.text)
            | Q(**{f"{counterparty}__email__istartswith": wanted.text})
            | Q(pk=_identity(wanted.text))
        )
    return conditions


def _named(text: str, own: Sequence[uuid.UUID]) -> Place | None:
    """Where the own transaction stands that the text names in full, if there is one."""
    identity = _identity(text)
    if identity is None:
        return None
    of_own = Q(from_wallet_id__in=own) | Q(to_wallet_id__in=own)
    key = Transaction.objects.filter(of_own, pk=identity).values_list("created_at", "pk").first()
    return Place(*key) if key else None


def _identity(text: str) -> uuid.UUID | None:
    """The id that is written, as itself or as a reference."""
    try:
        if not text.upper().startswith("TX-"):
            return uuid.UUID(text) if len(text) == 36 else None
        identity = uuid.UUID(bytes=base64.b32decode(f"{text[3:].upper()}======"))
    except (ValueError, binascii.Error):
        return None
    return identity if reference_of(identity) == text.upper() else None


def _beyond(side: Side, place: Place | None, to_newer: bool) -> Side:
    """What stands beyond the place; written so that the time bounds the index, ids only its ties."""
    queryset = side.queryset.order_by(*_order(to_newer))
    if place is not None and to_newer:
        queryset = queryset.filter(
            Q(created_at__gte=place.at) & ~Q(created_at=place.at, pk__lte=place.id)
        )
    elif place is not None:
        queryset = queryset.filter(
            Q(created_at__lte=place.at) & ~Q(created_at=place.at, pk__gte=place.id)
        )
    return Side(queryset, side.counterparty)


def _up_to(end: Place, to_newer: bool) -> Q:
    """What stands at the place or on this side of it."""
    if to_newer:
        return Q(created_at__lte=end.at) & ~Q(created_at=end.at, pk__gt=end.id)
    return Q(created_at__gte=end.at) & ~Q(created_at=end.at, pk__lt=end.id)


def _order(to_newer: bool) -> tuple[str, str]:
    return ("created_at", "pk") if to_newer else ("-created_at", "-pk")


def _end_of_scan(sides: Sequence[Side], to_newer: bool) -> Place | None:
    """How far this page looks: to where the first side has ``SCAN`` transactions; None is to the end."""
    ends = [side.queryset.values_list("created_at", "pk")[SCAN - 1 : SCAN] for side in sides]
    places = [Place(*key) for key in _union(ends)]
    if not places:
        return None
    return min(places) if to_newer else max(places)


def _places(
    sides: Sequence[Side], wanted: HistoryFilter, end: Place | None, to_newer: bool, count: int
) -> list[Place]:
    keys = []
    for side in sides:
        queryset = side.queryset.filter(_judged(wanted, side.counterparty))
        if end is not None:
            queryset = queryset.filter(_up_to(end, to_newer))
        keys.append(queryset.values_list("created_at", "pk")[:count])
    return sorted((Place(*key) for key in _union(keys)), reverse=not to_newer)[:count]


def _union(parts: Sequence[QuerySet[Any, Any]]) -> list[Any]:
    """The rows of all of them, by one statement."""
    return list(parts[0].union(*parts[1:], all=True)) if parts else []


def _rows_of(places: Sequence[Place]) -> list[Transaction]:
    """The transactions at these places, with their parties."""
    found = transactions_with_parties().in_bulk([place.id for place in places])
    return [found[place.id] for place in places]


def _beside(place: Place, step: int) -> Place:
    """Next to the place: from there on, the place itself is part of the page."""
    return Place(place.at, uuid.UUID(int=place.id.int + step))
