"""Reading wallets, always by who may see them."""

import uuid
from decimal import Decimal

from django.db.models import F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, Now

from fintech_core.exceptions import NotFound
from fintech_core.fields import AmountField
from users.models import User
from wallet.models import Hold, HoldStatus, Wallet

# What holds that ran out and are not swept yet still count in ``held``: all of a wallet's in one probe of
# the index of its open holds.
_OVERDUE = Coalesce(
    Subquery(
        Hold.objects.filter(wallet=OuterRef("pk"), status=HoldStatus.OPEN, expires_at__lte=Now())
        .order_by()
        .values("wallet")
        .annotate(
            total=Sum(F("amount") - F("captured_amount") + F("fee") - F("captured_fee")),
        )
        .values("total"),
        output_field=AmountField(),
    ),
    Decimal(0),
    output_field=AmountField(),
)


def wallets_as_they_are() -> QuerySet[Wallet]:
    """Wallets that know what of ``held`` is ``overdue``, and when they were read (``read_at``)."""
    # The model declares them, so that whoever reads them is checked.
    return Wallet.objects.annotate(overdue=_OVERDUE, read_at=Now())  # type: ignore[no-redef]


def list_wallets_of(user: User) -> QuerySet[Wallet]:
    """The user's own wallets."""
    return wallets_as_they_are().filter(owner_id=user.pk)


def wallet_ids_of(user: User) -> list[uuid.UUID]:
    """The ids of the user's own wallets."""
    return list(Wallet.objects.filter(owner_id=user.pk).values_list("pk", flat=True))


def get_primary_wallet(user: User) -> Wallet:
    """The user's primary wallet."""
    return wallets_as_they_are().get(user_id=user.pk)


def get_wallet(wallet_id: uuid.UUID) -> Wallet:
    """A wallet by its id, for whoever may see any."""
    return wallets_as_they_are().get(pk=wallet_id)


def get_wallet_of(user: User, wallet_id: uuid.UUID) -> Wallet:
    """One of the user's own wallets. Raises ``NotFound`` for anybody else's."""
    wallet = list_wallets_of(user).filter(pk=wallet_id).first()
    if wallet is None:
        raise NotFound
    return wallet
