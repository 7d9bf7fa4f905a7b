"""The same users and wallets twice: in the database, and in the reference bank."""

import datetime
import hashlib
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from unittest import mock

from django.test import override_settings

from fintech_core.exceptions import DomainError, RequestInProgress
from fintech_core.money import Money
from tests.model.reference import Bank, Order, Spent, Told
from transactions import accounts, services
from transactions.declines import BatchRefused
from transactions.instructions import Outcome, Recipient, Request, TransferInstruction
from transactions.services import transfers
from users.models import KycStatus, User
from wallet.models import Wallet, WalletKind
from wallet.services import freeze_wallet, open_platform_wallet, unfreeze_wallet

CURRENCIES = ("USD", "EUR", "JPY")
# Small enough to be met often.
LIMITS = {
    tier: {
        currency: {
            "per_transfer": str(per_transfer * factor),
            "per_day": str(per_day * factor),
            "per_month": str(per_month * factor),
            "largest_balance": str(largest * factor),
        }
        for currency, factor in {"USD": 1, "EUR": 1, "JPY": 100}.items()
    }
    for tier, per_transfer, per_day, per_month, largest in (
        (0, 0, 0, 0, 400),
        (1, 100, 250, 1_000, 2_000),
        (2, 1_000, 4_000, 20_000, 20_000),
    )
}
FEES: dict[str, dict[int | str, dict[str, dict[str, str]]]] = {
    "transfer": {
        1: {"USD": {"flat": "0.10", "percent": "1.5", "minimum": "0.25", "maximum": "1.00"}},
        "*": {"EUR": {"percent": "0.333"}, "JPY": {"percent": "2.5"}},
    }
}
# A wallet that nobody has.
NOWHERE = "nowhere"
START = datetime.datetime(2024, 1, 30, 21, tzinfo=datetime.UTC)


class World:
    """``bank`` and the database hold the same; ``ids`` are the database's names for the bank's.

    The service believes the bank's clock. It begins years ago: the database refuses what is dated ahead
    of its own.
    """

    def __init__(self) -> None:
        self.ids: dict[str, uuid.UUID] = {NOWHERE: uuid.uuid4()}
        self.users: dict[str, User] = {}
        self._of_number: dict[int, uuid.UUID] = {}
        self._number_of: dict[uuid.UUID, int] = {}
        name = uuid.uuid4().hex
        fees = {currency: f"fees {currency}" for currency in CURRENCIES}
        for currency in CURRENCIES:
            for purpose, kind in ((f"fees {currency}", "fees"), (f"cash {currency}", "cash")):
                self.ids[purpose] = open_platform_wallet(
                    purpose=f"model {name} {kind}", kind=WalletKind(kind), currency=currency
                ).pk
        self.bank = Bank(limits=LIMITS, fees=FEES, fee_wallets=fees, now=START)
        for currency in CURRENCIES:
            self.bank.open_wallet(f"cash {currency}", None, currency)
        for number, tier in enumerate((2, 2, 1, 1, 0)):
            self._open_user(f"user{number}", tier)
        for owner, currency in (
            *(("user0", "USD"), ("user0", "EUR"), ("user0", "EUR"), ("user1", "EUR")),
            *(("user1", "JPY"), ("user2", "USD"), ("user2", "JPY"), ("user3", "EUR")),
        ):
            self._open_wallet(owner, currency)
        self.names = {pk: name for name, pk in self.ids.items()}

    def _open_user(self, name: str, tier: int) -> None:
        user = User.objects.create_user(
            f"{uuid.uuid4().hex}@example.com",
            kyc_status=KycStatus.APPROVED if tier else KycStatus.NOT_SUBMITTED,
            kyc_tier=tier,
        )
        self.users[name] = user
        self.ids[name] = user.pk
        self.ids[f"{name} USD"] = user.wallet.pk
        self.bank.open_user(name, f"{name} USD", "USD", tier=tier)

    def _open_wallet(self, owner: str, currency: str) -> None:
        first = self.bank.first.get((owner, currency))
        name = f"{owner} {currency}" + (" pot" if first else "")
        self.ids[name] = Wallet.objects.create(
            owner_id=self.ids[owner],
            currency=currency,
            name="Pot",
            limits_wallet_id=self.ids[first] if first else None,
        ).pk
        self.bank.open_wallet(name, owner, currency)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """The world's limits, fees, fee wallets and clock are the service's."""
        read = accounts._opened
        fee_wallets = {currency: self.ids[f"fees {currency}"] for currency in CURRENCIES}

        def at_our_time(found: dict[str, Any]) -> accounts.Opened:
            opened = read(found)
            opened.read_at = self.bank.now
            return opened

        with (
            override_settings(LIMITS=LIMITS, FEES=FEES),
            mock.patch.object(accounts, "_opened", at_our_time),
            mock.patch.object(transfers, "fee_wallets", return_value=fee_wallets),
        ):
            yield

    # The service, in the bank's words ------------------------------------------------------------

    def transfer(self, order: Order) -> Told:
        """One transfer; asked again while somebody else holds what it needs."""
        while True:
            try:
                return self.told(services.transfer(self.instruction(order)))
            except RequestInProgress:
                continue
            except DomainError as error:
                return self.told(error)

    def transfer_many(self, orders: Sequence[Order]) -> list[Told]:
        return [self.told(r) for r in services.transfer_many(list(map(self.instruction, orders)))]

    def transfer_all_or_none(self, orders: Sequence[Order]) -> list[Told]:
        try:
            outcomes = services.transfer_all_or_none(list(map(self.instruction, orders)))
        except BatchRefused as refused:
            return [self.told(refused)]
        return [self.told(outcome) for outcome in outcomes]

    def deposit(self, source: str, target: str, amount: Decimal, key: str, printed: str) -> Told:
        currency = self.bank.wallets[target].currency
        try:
            outcome = services.deposit(
                source_id=self.ids[source],
                target_id=self.ids[target],
                amount=Money(amount, currency),
                request=Request(None, self._key(key), _sha256(printed)),
            )
        except DomainError as error:
            return self.told(error)
        return self.told(outcome)

    def instruction(self, order: Order) -> TransferInstruction:
        recipient = Recipient(wallet_id=self.ids[order.to])
        if order.to in self.users:
            recipient = Recipient(email=self.users[order.to].email)
        return TransferInstruction(
            caller_id=self.ids[order.caller],
            idempotency_key=self._key(order.key),
            fingerprint=_sha256(order.printed),
            recipient=recipient,
            amount=order.amount,
            currency=order.currency,
            source_wallet_id=self.ids[order.source] if order.source else None,
            hold_for=order.hold_for,
        )

    def _key(self, key: str) -> str:
        """A platform's key is everybody's, so the worlds must not share one."""
        return f"{self.ids[NOWHERE].hex}:{key}"

    def told(self, result: Outcome | DomainError) -> Told:
        """An outcome or refusal in the bank's words; ``number`` is the database's id for now."""
        if isinstance(result, DomainError):
            facts = {name: value for name, value in result.facts.items() if name in _SAID}
            record = result.facts.get("transaction")
            return Told(result.code, facts, uuid.UUID(record).int if record else None)
        record = result.transaction
        facts = {
            "kind": str(record.kind),
            "source": self.names[record.from_wallet_id],
            "target": self.names[record.to_wallet_id],
            "amount": record.amount,
            "currency": record.currency,
            "fee": record.fee,
            "at": record.created_at,
        }
        for name, value in (record.facts or {}).items():
            facts[name] = value
        if record.balances_after:
            facts["left"] = {self.names[pk]: left for pk, left in record.balances_after.items()}
        code = record.decline_code or str(record.status)
        return Told(code, facts, record.id.int, result.is_replay)

    # Comparing -----------------------------------------------------------------------------------

    def is_same(self, real: Told, meant: Told) -> bool:
        """The answers are the same, whatever their transactions are called."""
        if real.code != meant.code or (real.number is None) != (meant.number is None):
            return False
        if "kind" in real.facts and real.is_replay != meant.is_replay:
            return False
        return real.facts == {
            name: value
            for name, value in meant.facts.items()
            if "kind" in real.facts or name in _SAID
        }

    def require_same(self, real: Sequence[Told], meant: Sequence[Told]) -> None:
        """All answers are the same, and so are the transactions that they tell of."""
        assert len(real) == len(meant), (real, meant)
        for one, other in zip(real, meant, strict=True):
            assert self.is_same(one, other), f"\nthe service: {one}\nthe model:   {other}"
            if one.number is not None and other.number is not None:
                pk = uuid.UUID(int=one.number)
                assert self._of_number.setdefault(other.number, pk) == pk
                assert self._number_of.setdefault(pk, other.number) == other.number

    def require_same_money(self) -> None:
        """Every wallet holds, keeps back and has counted the same."""
        today = self.bank.now.date()
        rows = {self.names[w.pk]: w for w in Wallet.objects.filter(pk__in=self.names)}
        assert set(rows) == set(self.bank.wallets)
        for name, meant in self.bank.wallets.items():
            row = rows[name]
            real = (row.balance, row.held, row.last_sequence, row.status, row.last_entry_at)
            told = (meant.balance, meant.held, meant.entries, meant.status, meant.last_at)
            assert real == told, f"{name}: {real} in the service, {told} in the model"
            if self.bank.first[meant.owner, meant.currency] == name and meant.owner:
                counted = Spent(row.spent_on, row.spent_in_day, row.spent_in_month)
                assert counted.today(today) == self.bank.spent_of(meant).today(today), name
        for currency in CURRENCIES:
            assert self.bank.total(currency) == 0

    # Changes around the money --------------------------------------------------------------------

    def set_status(self, wallet: str, status: str) -> None:
        """Freeze, thaw or close it."""
        operator = self.users["user0"]
        change = {"frozen": freeze_wallet, "active": unfreeze_wallet}.get(status)
        if change is None:
            Wallet.objects.filter(pk=self.ids[wallet]).update(status=status)
        else:
            change(wallet_id=self.ids[wallet], acting_user=operator, reason="model")
        self.bank.wallets[wallet].status = status

    def set_overdraft(self, wallet: str, limit: Decimal) -> None:
        Wallet.objects.filter(pk=self.ids[wallet]).update(overdraft_limit=limit)
        self.bank.wallets[wallet].overdraft = limit

    def set_standing(self, user: str, *, tier: int, is_active: bool) -> None:
        status = KycStatus.APPROVED if tier else KycStatus.NOT_SUBMITTED
        User.objects.filter(pk=self.ids[user]).update(
            kyc_tier=tier, kyc_status=status, is_active=is_active
        )
        self.bank.users[user].tier, self.bank.users[user].is_active = tier, is_active


# What a refusal says besides its word.
_SAID = {"limit", "limit_amount", "remaining", "index"}


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
