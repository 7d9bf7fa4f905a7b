"""What is told of an announcement, as each of its sides may see it.

An announcement of the ledger is only a transaction's id and what became of it. What is told is read from
its rows as of then, never as of now, however late it is told.
"""

import datetime
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from events.services import Announcement
from transactions.instructions import TransactionRecord
from transactions.models import GIVES_BACK, Transaction, TransactionStatus
from transactions.selectors import facts_of_hold, records_of, transactions_by_id
from transactions.serializers import represent_transaction
from wallet.models import Hold
from webhooks.services import Story

# Never told by webhook, whoever asks; and what of an owner's object is not for the platform's receivers.
_SECRET = {"client_secret"}
_OWNERS_ALONE = {"balance", "held", "available", "balance_after", "overdraft_limit"}

_ENDS_A_HOLD = (TransactionStatus.VOIDED, TransactionStatus.EXPIRED)


def stories_of(announcements: Sequence[Announcement]) -> list[Story]:
    """What can be told, in a number of queries that does not grow with theirs."""
    of_ledger = [a for a in announcements if a.data is None]
    ledger = _Ledger.read([a.id for a in of_ledger])
    stories = [ledger.story_of(a) for a in of_ledger if a.id in ledger.rows]
    return stories + [_story_of(a) for a in announcements if a.data is not None]


def _story_of(announcement: Announcement) -> Story:
    """Of what said all itself."""
    data = {k: v for k, v in (announcement.data or {}).items() if k not in _SECRET}
    owner_id = announcement.owner_id
    public = {k: v for k, v in data.items() if k not in _OWNERS_ALONE}

    def represent(asking: uuid.UUID | None) -> dict[str, Any]:
        return data if asking else {**public, "user": str(owner_id) if owner_id else None}

    return Story(
        announcement_id=announcement.id,
        type=announcement.type,
        subject_id=announcement.subject_id or announcement.id,
        sequence=announcement.sequence or 1,
        occurred_at=announcement.created_at or datetime.datetime.now(datetime.UTC),
        owners=frozenset({owner_id} if owner_id else ()),
        represent=represent,
    )


@dataclass(frozen=True, slots=True)
class _Act:
    """A capture, or what ended a hold: what is needed of it to tell of others of the same hold."""

    id: uuid.UUID
    status: str
    kind: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class _Ledger:
    """The rows that some announcements are about, and what they are to be understood by."""

    rows: Mapping[uuid.UUID, Any]
    records: Mapping[uuid.UUID, TransactionRecord]
    # Of each hold, what was done to it, in order.
    acts: Mapping[uuid.UUID, Sequence[_Act]]
    holds: Mapping[uuid.UUID, Hold]

    @classmethod
    def read(cls, transaction_ids: Collection[uuid.UUID]) -> "_Ledger":
        """In at most five queries."""
        rows = transactions_by_id(transaction_ids) if transaction_ids else {}
        parent_ids = {r.parent_id for r in rows.values() if r.parent_id} - rows.keys()
        parents = transactions_by_id(parent_ids) if parent_ids else {}
        known = {**parents, **rows}
        hold_ids = {
            row.parent_id for row in rows.values() if _is_act(row, known.get(row.parent_id))
        }
        ended = {
            row.parent_id
            for row in rows.values()
            if row.parent_id in hold_ids and not (row.facts or {}).get("hold")
        }
        needed = [row for pk, row in known.items() if pk in rows or pk in hold_ids]
        return cls(
            rows=rows,
            records={record.id: record for record in records_of(needed)},
            acts=_acts_of(hold_ids),
            holds=Hold.objects.in_bulk(ended) if ended else {},
        )

    def story_of(self, announcement: Announcement) -> Story:
        """One announcement: of a hold's act the hold as it was after it, else the transaction."""
        row = self.rows[announcement.id]
        is_of_hold = row.parent_id in self.acts and any(
            act.id == row.pk and act.kind not in GIVES_BACK for act in self.acts[row.parent_id]
        )
        subject = self._hold_after(row) if is_of_hold else self.records[row.pk]
        sides = {row.from_wallet.owner_id, row.to_wallet.owner_id} - {None}
        if row.status == TransactionStatus.DECLINED:
            sides &= {row.initiated_by_id}  # As in a history: shown to who asked for it.

        def represent(asking: uuid.UUID | None) -> dict[str, Any]:
            wallets = (row.from_wallet, row.to_wallet)
            own = [wallet.pk for wallet in wallets if asking and wallet.owner_id == asking]
            return represent_transaction(subject, own_wallets=own)

        return Story(
            announcement_id=announcement.id,
            type=announcement.type,
            subject_id=subject.id,
            sequence=1 + self._number_of(row) if is_of_hold else 1,
            occurred_at=row.created_at,
            owners=frozenset(sides),
            represent=represent,
        )

    def _number_of(self, row: Transaction) -> int:
        """Which of its hold's acts this is, from 1.

        They follow each other under the lock of the hold's wallet, so all before this one have committed
        and the number never changes.
        """
        acts = [a for a in self.acts[_parent_of(row)] if a.kind not in GIVES_BACK]
        return next(n for n, act in enumerate(acts, 1) if act.id == row.pk)

    def _hold_after(self, row: Transaction) -> TransactionRecord:
        hold = self.records[_parent_of(row)]
        facts = (row.facts or {}).get("hold") or self._facts_at_its_end(row)
        return replace(hold, facts=facts, balances_after=self.records[row.pk].balances_after)

    def _facts_at_its_end(self, row: Transaction) -> dict[str, Any]:
        """Of what ended a hold without answering anybody, an expiry or a payout: what is left to say is
        what the hold's row says, since nothing changes it any more."""
        given_back = Decimal(0)
        for act in self.acts[_parent_of(row)]:
            if act.id == row.pk:
                break
            given_back += act.amount if act.kind in GIVES_BACK else 0
        hold = self.holds[_parent_of(row)]
        return facts_of_hold(hold, reversed_amount=given_back, at=row.created_at)


def _parent_of(row: Transaction) -> uuid.UUID:
    if row.parent_id is None:
        raise LookupError(row.pk)
    return row.parent_id


def _is_act(row: Transaction, parent: Transaction | None) -> bool:
    """Whether it did something to a hold."""
    if row.status in _ENDS_A_HOLD:
        return True
    is_capture = row.status == TransactionStatus.POSTED and row.kind not in GIVES_BACK
    return is_capture and parent is not None and parent.status == TransactionStatus.PENDING


def _acts_of(hold_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, list[_Act]]:
    """What was done to each hold, and what of its captures was given back, in order."""
    children = (
        Transaction.objects.filter(parent_id__in=list(hold_ids))
        .exclude(status=TransactionStatus.DECLINED)
        .order_by("created_at", "id")
        .values_list("parent_id", "id", "status", "kind", "amount")
    )
    acts: dict[uuid.UUID, list[_Act]] = defaultdict(list)
    for parent_id, pk, status, kind, amount in children if hold_ids else ():
        if parent_id:
            acts[parent_id].append(_Act(pk, status, kind, amount))
    return acts
