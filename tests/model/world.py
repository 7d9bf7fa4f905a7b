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
from tests.model.books import Spent, Told
from tests.model.reference import Bank
from tests.model.requests import Asked, Conversion, Deposit, Order, Reversal, Settlement
from transactions import accounts, services
from transactions.instructions import (
    HoldOutcome,
    Outcome,
    Recipient,
    Request,
    TransferInstruction,
)
from transactions.models import TransactionKind
from transactions.rates import Price
from transactions.services import conversions, holds, transfers
from users.models import KycStatus, User
from wallet.models import Wallet, WalletKind
from wallet.services import (
    freeze_wallet,
    open_platform_wallet,
    set_overdraft,
    unfreeze_wallet,
)

CURRENCIES = ("USD", "EUR", "JPY")
# Small enough to be met often.
MOST_HOLDS = 6
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
    },
    "conversion": {"*": {"USD": {"flat": "0.05"}, "*": {"percent": "0.5"}}},
}
RATES = {
    ("USD", "EUR"): Decimal("0.913742"),
    ("EUR", "USD"): Decimal("1.08321"),
    ("USD", "JPY"): Decimal("151.377"),
    ("JPY", "USD"): Decimal("0.0065219"),
    ("EUR", "JPY"): Decimal("163.913"),
    ("JPY", "EUR"): Decimal("0.0060541"),
}
# A wallet that nobody has.
NOWHERE = "nowhere"
START = datetime.datetime(2004, 1, 30, 21, tzinfo=datetime.UTC)
END = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)


class World:
    """``bank`` and the database hold the same; ``ids`` are the database's names for the bank's.

    The service believes the bank's clock. It begins years ago and ends before now: the database refuses
    what is dated ahead of its own.
    """

    def __init__(self) -> None:
        self.ids: dict[str, uuid.UUID] = {NOWHERE: uuid.uuid4()}
        self.users: dict[str, User] = {}
        self._of_number: dict[int, uuid.UUID] = {}
        self._number_of: dict[uuid.UUID, int] = {}
        self.bank = Bank(limits=LIMITS, fees=FEES, rates=RATES, most_holds=MOST_HOLDS, now=START)
        for currency in CURRENCIES:
            for purpose, kind in _PLATFORM.items():
                self._open_platform_wallet(f"{purpose} {currency}", kind, currency)
        for number, tier in enumerate((2, 2, 1, 1, 0)):
            self._open_user(f"user{number}", tier)
        for owner, currency in (
            *(("user0", "USD"), ("user0", "EUR"), ("user0", "EUR"), ("user1", "EUR")),
            *(("user1", "JPY"), ("user2", "USD"), ("user2", "JPY"), ("user3", "EUR")),
        ):
            self._open_wallet(owner, currency)
        self.names = {pk: name for name, pk in self.ids.items()}

    def _open_platform_wallet(self, name: str, kind: WalletKind, currency: str) -> None:
        purpose = f"model {self.ids[NOWHERE].hex} {name}"
        wallet = open_platform_wallet(purpose=purpose, kind=kind, currency=currency)
        self.ids[name] = wallet.pk
        self.bank.open_wallet(name, None, currency)

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
        fees = {currency: self.ids[f"fees {currency}"] for currency in CURRENCIES}

        def at_our_time(*found: Any) -> accounts.Opened:
            opened = read(*found)
            opened.read_at = self.bank.now
            return opened

        def price(source: str, target: str) -> Price:
            return Price(RATES[source, target], START, "model")

        def exchanging(source: str, target: str) -> conversions._Platform:
            names = (f"fx {source}", f"fx {target}", f"rounding {target}", f"fees {source}")
            return conversions._Platform(*(self.ids[name] for name in names))

        with (
            override_settings(LIMITS=LIMITS, FEES=FEES, HOLDS_PER_WALLET=MOST_HOLDS),
            mock.patch.object(accounts, "_opened", at_our_time),
            mock.patch.object(transfers, "fee_wallets", return_value=fees),
            mock.patch.object(holds, "fee_wallets_of", return_value=fees),
            mock.patch.object(conversions, "price_of", price),
            mock.patch.object(conversions, "_platform_wallets", exchanging),
        ):
            yield

    # The service, in the bank's words ------------------------------------------------------------

    def do(self, name: str, asked: Any) -> list[Told]:
        """What the operation of this name is told; it is asked again while somebody is in its way."""
        while True:
            try:
                found = getattr(self, f"_{name}")(asked)
            except RequestInProgress:
                continue
            except DomainError as error:
                found = error
            return [self.told(one) for one in (found if isinstance(found, list) else [found])]

    def _transfer(self, order: Order) -> Outcome:
        return services.transfer(self.instruction(order))

    def _transfer_many(self, orders: Sequence[Order]) -> list[Outcome | DomainError]:
        return services.transfer_many([self.instruction(order) for order in orders])

    def _transfer_all_or_none(self, orders: Sequence[Order]) -> list[Outcome]:
        return services.transfer_all_or_none([self.instruction(order) for order in orders])

    def _deposit(self, asked: Deposit) -> Outcome:
        return services.deposit(
            source_id=self.ids[asked.source],
            target_id=self.ids[asked.target],
            amount=Money(asked.amount, self.bank.wallets[asked.target].currency),
            request=self._request(asked),
        )

    def _capture(self, asked: Settlement) -> HoldOutcome | list[HoldOutcome]:
        ids = [self._of_number[number] for number in asked.numbers]
        request, is_operator = self._request(asked), asked.is_operator
        if len(ids) > 1:
            return services.capture_holds(hold_ids=ids, request=request, is_operator=is_operator)
        return services.capture_hold(
            hold_id=ids[0],
            request=request,
            is_operator=is_operator,
            amount=asked.amount,
            final=asked.final,
        )

    def _void(self, asked: Settlement) -> HoldOutcome | list[HoldOutcome]:
        ids = [self._of_number[number] for number in asked.numbers]
        request, is_operator = self._request(asked), asked.is_operator
        if len(ids) > 1:
            return services.void_holds(hold_ids=ids, request=request, is_operator=is_operator)
        return services.void_hold(hold_id=ids[0], request=request, is_operator=is_operator)

    def _reverse(self, asked: Reversal) -> Outcome:
        return services.reverse_transaction(
            transaction_id=self._of_number[asked.number],
            request=self._request(asked),
            is_operator=asked.is_operator,
            amount=asked.amount,
        )

    def _convert(self, asked: Conversion) -> Outcome:
        request = self._request(asked)
        assert request.caller_id is not None
        return services.convert(
            services.ConversionInstruction(
                caller_id=request.caller_id,
                request=request,
                source_wallet_id=self.ids[asked.source],
                target_wallet_id=self.ids[asked.target],
                amount=asked.amount,
            )
        )

    def _close(self, wallet: str) -> str:
        owner = self.bank.wallets[wallet].owner
        assert owner is not None
        services.close_wallet(wallet_id=self.ids[wallet], owner_id=self.ids[owner])
        return "done"

    def _set_overdraft(self, asked: tuple[str, str]) -> str:
        wallet, limit = asked
        operator = self.users["user0"]
        set_overdraft(wallet_id=self.ids[wallet], limit=limit, acting_user=operator)
        return "done"

    def _request(self, asked: Asked) -> Request:
        caller_id = self.ids[asked.caller] if asked.caller else None
        return Request(caller_id, self._key(asked.key), _sha256(asked.printed))

    def instruction(self, order: Order) -> TransferInstruction:
        recipient = Recipient(wallet_id=self.ids[order.to])
        if order.to in self.users:
            recipient = Recipient(email=self.users[order.to].email)
        request = self._request(order)
        assert request.caller_id is not None
        return TransferInstruction(
            caller_id=request.caller_id,
            idempotency_key=request.idempotency_key,
            fingerprint=request.fingerprint,
            recipient=recipient,
            amount=order.amount,
            currency=order.currency,
            source_wallet_id=self.ids[order.source] if order.source else None,
            hold_for=order.hold_for,
        )

    def _key(self, key: str) -> str:
        """A platform's key is everybody's, so the worlds must not share one."""
        return f"{self.ids[NOWHERE].hex}:{key}"

    def told(self, result: Outcome | HoldOutcome | DomainError | str) -> Told:
        """An outcome or refusal in the bank's words; ``number`` is the database's id for now."""
        if isinstance(result, str):
            return Told(result)
        if isinstance(result, DomainError):
            facts = {name: value for name, value in result.facts.items() if name in _SAID}
            record = result.facts.get("transaction")
            return Told(result.code, facts, uuid.UUID(record).int if record else None)
        record = result.act if isinstance(result, HoldOutcome) else result.transaction
        facts = {
            "kind": str(record.kind),
            "source": self.names[record.from_wallet_id],
            "target": self.names[record.to_wallet_id],
            "amount": record.amount,
            "currency": record.currency,
            "fee": record.fee,
            "at": record.created_at,
        }
        facts |= {name: v for name, v in (record.facts or {}).items() if name not in _UNSAID}
        if isinstance(facts.get("hold"), dict):
            shown = {n: v for n, v in facts["hold"].items() if n not in {"expires_at", "posted_at"}}
            facts["hold"] = shown
        else:
            # Which of a group was refused.
            facts.pop("hold", None)
        if record.kind == TransactionKind.CONVERSION:
            facts["to_amount"] = record.to_amount
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

    def freeze(self, wallet: str) -> None:
        freeze_wallet(wallet_id=self.ids[wallet], acting_user=self.users["user0"], reason="model")
        self.bank.wallets[wallet].status = "frozen"

    def thaw(self, wallet: str) -> None:
        unfreeze_wallet(wallet_id=self.ids[wallet], acting_user=self.users["user0"], reason="model")
        self.bank.wallets[wallet].status = "active"

    def set_standing(self, user: str, *, tier: int, is_active: bool) -> None:
        status = KycStatus.APPROVED if tier else KycStatus.NOT_SUBMITTED
        User.objects.filter(pk=self.ids[user]).update(
            kyc_tier=tier, kyc_status=status, is_active=is_active
        )
        self.bank.users[user].tier, self.bank.users[user].is_active = tier, is_active


_PLATFORM = {
    "cash": WalletKind.CASH,
    "fees": WalletKind.FEES,
    "fx": WalletKind.EXCHANGE,
    "rounding": WalletKind.ROUNDING,
}
# What a record keeps that is no part of what the model knows.
_UNSAID = {"rate", "rate_source", "rate_as_of"}
# What a refusal says besides its word.
_SAID = {"limit", "limit_amount", "remaining", "index"}


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
