"""Users with money, and transfers between them."""

import datetime
import json
import uuid
from decimal import Decimal
from typing import Any, Self

from fintech_core.money import Money
from payments.services import record_deposit
from transactions import services
from transactions.hashing import entry_hash, transaction_digest
from transactions.instructions import Recipient, TransactionRecord, TransferInstruction
from transactions.models import Transaction
from users.models import KycStatus, User
from wallet.models import Wallet


def make_payer(balance: str = "100.00", *, tier: int = 2) -> User:
    """A user whose identity is approved and whose wallet holds the balance by a real deposit."""
    user = make_payee(tier=tier)
    if Decimal(balance):
        record_deposit(
            provider="test",
            user=user,
            amount=Money(Decimal(balance), "USD"),
            reference=str(uuid.uuid4()),
        )
    return user


def make_payee(*, tier: int = 2) -> User:
    """A user with an empty wallet and no password."""
    approved = KycStatus.APPROVED if tier else KycStatus.NOT_SUBMITTED
    return User.objects.create_user(
        f"{uuid.uuid4().hex}@example.com", kyc_status=approved, kyc_tier=tier
    )


def instruct(payer: User, payee: User, amount: str, **overrides: Any) -> TransferInstruction:
    """An instruction with a new key unless one is given; its fingerprint follows payee and amount."""
    values: dict[str, Any] = {
        "caller_id": payer.pk,
        "idempotency_key": uuid.uuid4().hex,
        "recipient": Recipient(email=payee.email),
        "amount": amount,
        **overrides,
    }
    values.setdefault("fingerprint", uuid.uuid5(payee.pk, str(values["amount"])).bytes * 2)
    return TransferInstruction(**values)


def wallet_of(user: User) -> Wallet:
    """The user's primary wallet as it is in the database now."""
    return Wallet.objects.get(user=user)


def balance_of(user: User) -> str:
    """The user's balance as the API writes it."""
    wallet = wallet_of(user)
    return str(wallet.money(wallet.balance))


def posted() -> Transaction:
    """A transfer of 10.00 out of 100.00."""
    payer, payee = make_payer("100.00"), make_payee()
    outcome = services.transfer(instruct(payer, payee, "10.00"))
    return Transaction.objects.select_related("from_wallet", "to_wallet").get(
        pk=outcome.transaction.id
    )


def asked(like: Transaction, **columns: Any) -> dict[str, Any]:
    """A new posted transaction of 10.00 between the same wallets, as ``post_ledger()`` takes it."""
    return {
        "id": str(uuid.uuid4()),
        "kind": "transfer",
        "status": "posted",
        "amount": "10.00",
        "currency": "USD",
        "fee": "0.00",
        "from_wallet_id": str(like.from_wallet_id),
        "to_wallet_id": str(like.to_wallet_id),
        "initiated_by_id": str(like.initiated_by_id),
        "idempotency_key": uuid.uuid4().hex,
        "fingerprint": "\\x" + "00" * 32,
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(),
        **columns,
    }


# All rows are given as JSON.
POST_LEDGER = """
    SELECT post_ledger(
        ARRAY(SELECT json_populate_recordset(NULL::posted_transaction, %s)),
        ARRAY(SELECT json_populate_recordset(NULL::posted_entry, %s)),
        ARRAY(SELECT json_populate_recordset(NULL::posted_wallet, %s)), %s)
"""


_IDS = ("id", "from_wallet_id", "to_wallet_id", "initiated_by_id", "parent_id")


def _hex(data: "bytes | memoryview[int]") -> str:
    """A ``bytea`` in JSON."""
    return f"\\x{bytes(data).hex()}"


class RawPosting:
    """Arguments of ``post_ledger()`` as its caller should make them, for rows and legs it should refuse.

    Sequences, balances and hashes follow from what the wallets hold now.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.entries: list[dict[str, Any]] = []
        self._wallets: dict[uuid.UUID, Wallet] = {}

    def add(self, row: dict[str, Any], *legs: tuple[uuid.UUID, str]) -> Self:
        """One more transaction with these (wallet, amount) legs."""
        self.rows.append(row)
        ids = {name: uuid.UUID(row[name]) for name in _IDS if row.get(name) is not None}
        values = {name: value for name, value in row.items() if value is not None} | ids
        digest = transaction_digest(
            TransactionRecord(
                **values
                | {
                    "fingerprint": bytes.fromhex(row["fingerprint"].removeprefix("\\x")),
                    "created_at": datetime.datetime.fromisoformat(row["created_at"]),
                }
            )
        )
        for number, (wallet_id, amount) in enumerate(legs, 1):
            wallet = self._wallets.setdefault(wallet_id, Wallet.objects.get(pk=wallet_id))
            previous = bytes(wallet.head_hash)
            wallet.last_sequence += 1
            wallet.balance += Decimal(amount)
            wallet.last_entry_at = datetime.datetime.fromisoformat(row["created_at"])
            wallet.head_hash = entry_hash(
                previous,
                digest,
                wallet_id=wallet_id,
                sequence=wallet.last_sequence,
                leg=number,
                amount=Decimal(amount),
                balance_after=wallet.balance,
            )
            self.entries.append(
                {
                    "t": row["id"],
                    "leg": number,
                    "w": str(wallet_id),
                    "sequence": wallet.last_sequence,
                    "amount": amount,
                    "currency": wallet.currency,
                    "balance_after": str(wallet.balance),
                    "previous_hash": _hex(previous),
                    "hash": _hex(wallet.head_hash),
                    "at": row["created_at"],
                }
            )
        return self

    @property
    def arguments(self) -> list[str]:
        """For ``POST_LEDGER``."""
        wallets = [
            {
                "id": str(wallet.pk),
                "balance": str(wallet.balance),
                "held": str(wallet.held),
                "last_sequence": wallet.last_sequence,
                "head_hash": _hex(wallet.head_hash),
                "last_entry_at": wallet.last_entry_at and wallet.last_entry_at.isoformat(),
            }
            for wallet in self._wallets.values()
        ]
        return [*map(json.dumps, (self.rows, self.entries, wallets)), "[]"]
