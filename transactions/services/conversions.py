"""Conversions: money of one currency becomes money of another, between two wallets of one owner."""

import datetime
import random
import uuid
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from django.conf import settings

from fintech_core.database import exactly_once
from fintech_core.exceptions import DomainError, InvalidInput
from fintech_core.fields import uuid7
from fintech_core.money import Money
from transactions import rules
from transactions.accounts import Account, Opened, open_accounts
from transactions.declines import (
    CallerInactive,
    Decline,
    QuoteNotFound,
    QuoteUsed,
)
from transactions.fees import fee_of
from transactions.instructions import Outcome, Request, TransactionRecord
from transactions.ledger import Journal
from transactions.models import Quote, TransactionKind, TransactionStatus
from transactions.rates import Exchange, Price, exchange, price_of
from transactions.selectors import records_by_key
from transactions.services.quotes import exchanged_of, own_wallets, parse_amount
from transactions.services.recording import KEYS, declined, fee_wallets, replay, require_unclaimed
from wallet.models import WalletKind
from wallet.services import platform_wallet_id


@dataclass(frozen=True, slots=True)
class ConversionInstruction:
    """A request to convert ``amount`` (its text as sent) from one own wallet into another."""

    caller_id: uuid.UUID
    request: Request
    source_wallet_id: uuid.UUID
    target_wallet_id: uuid.UUID
    amount: str
    quote_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class _Terms:
    """What a conversion is made at: of a quote, or of the current rate."""

    amount: Money
    exchanged: Exchange
    fee: Decimal
    facts: dict[str, str]
    quote: Quote | None = None


@dataclass(frozen=True, slots=True)
class _Platform:
    """The platform's wallets that a conversion moves money through."""

    bought: uuid.UUID
    sold: uuid.UUID
    rounding: uuid.UUID
    fees: uuid.UUID | None

    @property
    def ids(self) -> list[uuid.UUID]:
        return [pk for pk in (self.bought, self.sold, self.rounding, self.fees) if pk]


def convert(instruction: ConversionInstruction) -> Outcome:
    """Convert money between two own wallets, once per idempotency key.

    The outcome is posted or declined: ``WalletFrozen``, ``WalletClosed``, ``CurrencyMismatch``,
    ``QuoteExpired``, ``InsufficientFunds``, ``BalanceLimitExceeded``. What an owner converts is not sent:
    it needs no identity check and counts for no limit but the target currency's largest balance. Raises,
    with nothing written: ``SourceWalletNotFound``, ``InvalidInput``, ``QuoteNotFound``, ``QuoteUsed``,
    ``RateUnavailable``, ``IdempotencyKeyReused``, ``CallerInactive``, and what ``exactly_once`` raises.
    """
    source, target = own_wallets(
        instruction.caller_id, instruction.source_wallet_id, instruction.target_wallet_id
    )
    money = parse_amount(instruction.amount, source.currency)
    if source.currency == target.currency:
        work = partial(_convert, instruction, money, None, None)
        return exactly_once(work, keys=KEYS)
    # Asked before any lock is taken: a provider may be slow.
    price: Price | DomainError | None = None
    if instruction.quote_id is None:
        try:
            price = price_of(source.currency, target.currency)
        except DomainError as refusal:
            price = refusal
    platform = _platform_wallets(source.currency, target.currency)
    return exactly_once(partial(_convert, instruction, money, price, platform), keys=KEYS)


def _convert(
    instruction: ConversionInstruction,
    money: Money,
    price: Price | DomainError | None,
    platform: _Platform | None,
) -> Outcome:
    # Lock.
    caller_id, request = instruction.caller_id, instruction.request
    key = (caller_id, request.idempotency_key)
    wallets = [instruction.source_wallet_id, instruction.target_wallet_id]
    opened = open_accounts(
        wallets=[*wallets, *(platform.ids if platform else ())], users=[caller_id], keys=[key]
    )
    source, target = (opened.accounts[pk] for pk in wallets)
    # Replay: a retry gets the first answer even when the rate or the quote is gone by now; another
    # request is told a 400 or 404 before a reused key.
    found = records_by_key(opened.known_transactions)
    terms = _terms(instruction, money, price, source, target) if platform else None
    is_refused = isinstance(terms, DomainError)
    if key in found and (found[key].fingerprint == request.fingerprint or not is_refused):
        return replay(found[key], request.fingerprint)
    if isinstance(terms, DomainError):
        raise terms
    require_unclaimed(opened, *key)
    if not opened.standings[caller_id].is_active:
        raise CallerInactive
    # Rules.
    legs = _accounts(opened, platform)
    record = _record(instruction, money, terms, opened, [source, target, *legs.values()])
    journal = Journal(opened)
    quote = terms.quote if terms else None
    try:
        rules.decide_conversion(
            source=source,
            target=target,
            amount=money.amount + record.fee,
            to_amount=record.to_amount or Decimal(0),
            is_expired=quote is not None and quote.expires_at <= record.created_at,
        )
    except Decline as decline:
        declined(record, decline, journal)
    else:
        assert terms is not None  # noqa: S101  # nosec B101 - the currencies differ
        _post(record, terms, source, target, legs, journal)
    # Ledger.
    journal.write()
    if quote is not None and record.status == TransactionStatus.POSTED:
        Quote.objects.filter(pk=quote.pk).update(transaction_id=record.id)
    return Outcome(record)


def _post(
    record: TransactionRecord,
    terms: _Terms,
    source: Account,
    target: Account,
    platform: dict[str, Account],
    journal: Journal,
) -> None:
    """The platform buys one currency, sells the other, and keeps residue and fee."""
    amount, exchanged = terms.amount.amount, terms.exchanged
    legs = [
        (source, -(amount + record.fee)),
        (target, exchanged.bought),
        (platform["bought"], amount),
        (platform["sold"], -exchanged.sold),
        (platform["rounding"], exchanged.residue),
    ]
    if record.fee:
        legs.append((platform["fees"], record.fee))
    journal.post(record, *(leg for leg in legs if leg[1]))


def _record(
    instruction: ConversionInstruction,
    money: Money,
    terms: _Terms | None,
    opened: Opened,
    accounts: list[Account],
) -> TransactionRecord:
    source, target, *_ = accounts
    request = instruction.request
    return TransactionRecord(
        id=uuid7(),
        kind=TransactionKind.CONVERSION,
        status=TransactionStatus.POSTED,
        amount=money.amount,
        currency=money.currency,
        fee=terms.fee if terms else money.amount * 0,
        to_amount=terms.exchanged.bought if terms else None,
        to_currency=target.currency if terms else "",
        facts=terms.facts if terms else None,
        from_wallet_id=source.id,
        to_wallet_id=target.id,
        initiated_by_id=instruction.caller_id,
        idempotency_key=request.idempotency_key,
        fingerprint=request.fingerprint,
        created_at=opened.moment(*accounts),
        request_id=request.request_id,
        client_address=request.client_address,
        from_user_email=opened.email_of(source),
        to_user_email=opened.email_of(target),
    )


def _terms(
    instruction: ConversionInstruction,
    money: Money,
    price: Price | DomainError | None,
    source: Account,
    target: Account,
) -> _Terms | DomainError:
    """What the conversion is made at, or why it cannot be; without a price it is a quote's."""
    try:
        if price is None:
            return _quoted(instruction, money)
        if isinstance(price, DomainError):
            return price
        return _Terms(
            amount=money,
            exchanged=exchanged_of(money, price.rate, target.currency),
            fee=fee_of(TransactionKind.CONVERSION, source.tier, money),
            facts=_facts(price.rate, price.source, price.as_of),
        )
    except DomainError as refusal:
        return refusal


def _quoted(instruction: ConversionInstruction, money: Money) -> _Terms:
    """The terms of a quote; read under the lock of its source wallet, so that it is used once."""
    own = Quote.objects.filter(owner_id=instruction.caller_id)
    quote = own.filter(pk=instruction.quote_id).first() if instruction.quote_id else None
    if quote is None:
        raise QuoteNotFound
    asked = (instruction.source_wallet_id, instruction.target_wallet_id, money.amount)
    if asked != (quote.from_wallet_id, quote.to_wallet_id, quote.amount):
        raise InvalidInput({"quote": ["The quote is for other wallets or another amount."]})
    if quote.transaction_id is not None:
        raise QuoteUsed
    return _Terms(
        amount=money,
        exchanged=exchange(money.amount, quote.rate, quote.to_currency),
        fee=money.amount * 0 + quote.fee,
        facts={**_facts(quote.rate, quote.rate_source, quote.rate_as_of), "quote": str(quote.pk)},
        quote=quote,
    )


def _facts(rate: Decimal, source: str, as_of: datetime.datetime) -> dict[str, str]:
    return {
        "rate": f"{rate.normalize():f}",
        "rate_source": source,
        "rate_as_of": as_of.isoformat(),
    }


def _platform_wallets(source_currency: str, target_currency: str) -> _Platform:
    """One of several rows for what many conversions touch, at random: so they do not queue."""
    stripe = random.randrange(settings.PLATFORM_WALLET_STRIPES)  # noqa: S311  # nosec B311
    position = partial(platform_wallet_id, purpose=f"fx/{stripe}", kind=WalletKind.EXCHANGE)
    return _Platform(
        bought=position(currency=source_currency),
        sold=position(currency=target_currency),
        rounding=platform_wallet_id(
            purpose="rounding", kind=WalletKind.ROUNDING, currency=target_currency
        ),
        fees=fee_wallets().get(source_currency),
    )


def _accounts(opened: Opened, platform: _Platform | None) -> dict[str, Account]:
    """The platform's accounts by what they are for."""
    if platform is None:
        return {}
    names = ("bought", "sold", "rounding", "fees")
    wallets = {name: getattr(platform, name) for name in names}
    return {name: opened.accounts[pk] for name, pk in wallets.items() if pk}
