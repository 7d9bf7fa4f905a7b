"""Quotes: what a conversion would bring and cost; and the rates that they are made from."""

import datetime
import uuid
from decimal import Decimal

from django.conf import settings
from django.db import transaction

from events.services import record_audit
from fintech_core.exceptions import InvalidInput
from fintech_core.money import InvalidMoney, Money
from transactions.declines import CurrencyMismatch, SourceWalletNotFound
from transactions.fees import fee_of
from transactions.limits import offered_currencies
from transactions.models import HIGHEST_RATE, LOWEST_RATE, ExchangeRate, Quote, TransactionKind
from transactions.rates import Exchange, exchange, price_of
from users.models import User
from wallet.models import Wallet

# What the database takes for an amount ends here (``is_exact_money``).
_TOO_LARGE = Decimal(10) ** 15
_PLACES_OF_A_RATE = 12


def quote_conversion(
    *, owner: User, source_wallet_id: uuid.UUID, target_wallet_id: uuid.UUID, amount: str
) -> Quote:
    """What converting the amount brings and costs, promised for ``QUOTE_LIFETIME`` and one conversion.

    Raises ``SourceWalletNotFound``, ``InvalidInput``, ``CurrencyMismatch``, ``RateUnavailable``. Whether
    the money is there is judged when it is converted.
    """
    source, target = own_wallets(owner.pk, source_wallet_id, target_wallet_id)
    money = parse_amount(amount, source.currency)
    if source.currency == target.currency:
        raise CurrencyMismatch
    price = price_of(source.currency, target.currency)
    now = datetime.datetime.now(datetime.UTC)
    return Quote.objects.create(
        owner=owner,
        from_wallet=source,
        to_wallet=target,
        amount=money.amount,
        currency=money.currency,
        to_amount=exchanged_of(money, price.rate, target.currency).bought,
        to_currency=target.currency,
        rate=price.rate,
        fee=fee_of(TransactionKind.CONVERSION, owner.kyc_tier_at(now), money),
        rate_source=price.source,
        rate_as_of=price.as_of,
        created_at=now,
        expires_at=now + settings.QUOTE_LIFETIME,
    )


def prune_quotes() -> int:
    """Forget quotes that ran out a day ago and served nothing. Returns how many."""
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    count, _ = Quote.objects.filter(expires_at__lt=yesterday, transaction=None).delete()
    return count


def own_wallets(
    owner_id: uuid.UUID, source_id: uuid.UUID, target_id: uuid.UUID
) -> tuple[Wallet, Wallet]:
    """Both wallets, which never change owner or currency. Raises ``SourceWalletNotFound``."""
    found = Wallet.objects.in_bulk([source_id, target_id])
    own = {pk: wallet for pk, wallet in found.items() if wallet.owner_id == owner_id}
    if source_id not in own or target_id not in own:
        raise SourceWalletNotFound
    return own[source_id], own[target_id]


def parse_amount(amount: str, currency: str) -> Money:
    """The amount of a text. Raises ``InvalidInput``."""
    try:
        return Money.parse(amount, currency)
    except InvalidMoney as error:
        raise InvalidInput({"amount": [str(error)]}) from None


def exchanged_of(money: Money, rate: Decimal, currency: str) -> Exchange:
    """What the amount buys. Raises ``InvalidInput`` where that is nothing, or more than can be kept."""
    exchanged = exchange(money.amount, rate, currency)
    if not exchanged.bought:
        text = f"This buys less than the smallest amount of {currency}."
        raise InvalidInput({"amount": [text]}, {"amount": ["too_small"]})
    if exchanged.sold >= _TOO_LARGE:
        text = f"This buys more {currency} than a wallet can hold."
        raise InvalidInput({"amount": [text]}, {"amount": ["too_large"]})
    return exchanged


def add_rate(
    *,
    base: str,
    quote: str,
    rate: Decimal,
    source: str,
    as_of: datetime.datetime | None = None,
    acting_user: User | None = None,
) -> ExchangeRate:
    """From its ``as_of`` on (now, unless said) the pair is worth this; on record.

    Raises ``InvalidInput`` for currencies that are not offered, a pair against its direction (codes in
    alphabetical order), and a rate outside of 0.000001 to 1000000 or with more than 12 places.
    """
    errors: dict[str, list[str]] = {}
    for field, currency in (("base", base), ("quote", quote)):
        if currency not in offered_currencies():
            errors[field] = ["This currency is not offered."]
    if not errors and base >= quote:
        errors["base"] = ["The codes come in alphabetical order: give the inverse rate."]
    if not rate.is_finite() or not LOWEST_RATE <= rate <= HIGHEST_RATE:
        errors["rate"] = ["A rate lies between 0.000001 and 1000000."]
    elif rate != round(rate, _PLACES_OF_A_RATE):
        errors["rate"] = [f"A rate has at most {_PLACES_OF_A_RATE} decimal places."]
    if not source.strip():
        errors["source"] = ["Say who gives the rate."]
    if errors:
        raise InvalidInput(errors)
    with transaction.atomic():
        row = ExchangeRate.objects.create(
            base=base,
            quote=quote,
            rate=rate,
            source=source,
            as_of=as_of or datetime.datetime.now(datetime.UTC),
        )
        record_audit(
            action="exchange_rate.added",
            subject_type="exchange_rate",
            subject_id=row.pk,
            actor_id=acting_user.pk if acting_user else None,
            after={
                "pair": f"{base}/{quote}",
                "rate": f"{rate:f}",
                "as_of": row.as_of.isoformat(),
                "source": source,
            },
        )
    return row
