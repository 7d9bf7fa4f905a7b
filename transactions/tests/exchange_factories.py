"""Pots with money, and rates between their currencies."""

import uuid
from decimal import Decimal
from typing import Any

from fintech_core.money import Money
from transactions import services
from transactions.instructions import Outcome, Request
from transactions.models import ExchangeRate
from transactions.rates import Rate
from transactions.services import ConversionInstruction
from users.models import User
from wallet.models import Wallet, WalletKind
from wallet.services import open_wallet, platform_wallet_id


def fund(wallet: Wallet, amount: str) -> Wallet:
    """The wallet with that much more, by a real deposit."""
    services.deposit(
        source_id=platform_wallet_id(
            purpose="cash:test", kind=WalletKind.CASH, currency=wallet.currency
        ),
        target_id=wallet.pk,
        amount=Money(Decimal(amount), wallet.currency),
        request=keyed(None),
    )
    return fresh(wallet)


def open_pot(owner: User, currency: str = "USD", balance: str = "0") -> Wallet:
    """A further wallet of the user, with money in it."""
    wallet = open_wallet(owner=owner, currency=currency, name="Pot")
    return fund(wallet, balance) if Decimal(balance) else wallet


def fresh(wallet: Wallet) -> Wallet:
    """The wallet as it is in the database now."""
    return Wallet.objects.get(pk=wallet.pk)


def text_of(wallet: Wallet) -> str:
    """The balance now, as the API writes it."""
    now = fresh(wallet)
    return str(now.money(now.balance))


def keyed(caller: User | None, key: str = "") -> Request:
    """A request with a new key, unless one is given."""
    return Request(caller.pk if caller else None, key or uuid.uuid4().hex, b"f" * 32)


def conversion(
    caller: User, source: Wallet, target: Wallet, amount: str, **changes: Any
) -> ConversionInstruction:
    """An instruction with a new key."""
    values = {
        "caller_id": caller.pk,
        "request": keyed(caller),
        "source_wallet_id": source.pk,
        "target_wallet_id": target.pk,
        "amount": amount,
        **changes,
    }
    return ConversionInstruction(**values)


def convert(caller: User, source: Wallet, target: Wallet, amount: str, **changes: Any) -> Outcome:
    """Convert, with a new key."""
    return services.convert(conversion(caller, source, target, amount, **changes))


def set_rate(base: str, quote: str, rate: str) -> ExchangeRate:
    """From now on the pair is worth this."""
    return services.add_rate(base=base, quote=quote, rate=Decimal(rate), source="test")


class NoRates:
    """A provider that is away."""

    def rate(self, base: str, quote: str) -> Rate:
        from transactions.declines import RateUnavailable

        raise RateUnavailable
