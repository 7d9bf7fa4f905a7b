"""``manage.py seed_demo``: the demo's users, with money that real postings put into their wallets."""

import datetime
import itertools
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from fintech_core.money import Money
from payments.services import record_deposit
from transactions.limits import offered_currencies
from transactions.models import ExchangeRate
from transactions.services import add_rate
from users.models import KycStatus, User

USERS = (
    ("user@example.com", "Uma", "User", "+16505550101"),
    ("recipient@example.com", "Rex", "Recipient", "+16505550102"),
)
# Published with the demo, which refuses to run anywhere else.
PASSWORD = "SecurePass123!"  # noqa: S105  # nosec B105
ADMIN = ("admin@example.com", "AdminPass123!")
# What one unit is worth in USD; not today's, but plausible.
WORTH = {"EUR": "1.08", "GBP": "1.27", "JPY": "0.0066", "KWD": "3.25", "USD": "1"}
OPENING_BALANCE = Money(Decimal("1000.00"), "USD")


class Command(BaseCommand):
    help = "Make the demo's users and money. Harmless when run again; refused outside the demo."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("Demo users have known passwords: only with FINTECH_DEMO=true.")
        admin_email, admin_password = ADMIN
        if not User.objects.filter(email=admin_email).exists():
            User.objects.create_superuser(admin_email, admin_password)
        for email, first_name, last_name, phone in USERS:
            user = User.objects.filter(email=email).first() or self._make_user(
                email, first_name, last_name, phone
            )
            record_deposit(
                provider="demo",
                user=user,
                amount=OPENING_BALANCE,
                reference=f"opening:{email}",
                description="Opening balance of the demo",
            )
        self._add_rates()
        self.stdout.write("Demo users are ready.")

    def _add_rates(self) -> None:
        """A rate for every pair of the offered currencies, unless there is one of today."""
        yesterday = timezone.now() - datetime.timedelta(days=1)
        offered = sorted(set(WORTH) & offered_currencies())
        for base, quote in itertools.combinations(offered, 2):
            if not ExchangeRate.objects.filter(
                base=base, quote=quote, as_of__gt=yesterday
            ).exists():
                worth = Decimal(WORTH[base]) / Decimal(WORTH[quote])
                add_rate(base=base, quote=quote, rate=round(worth, 6), source="demo")

    def _make_user(self, email: str, first_name: str, last_name: str, phone: str) -> User:
        now = timezone.now()
        return User.objects.create_user(
            email,
            PASSWORD,
            first_name=first_name,
            last_name=last_name,
            phone=phone,
            phone_verified_at=now,
            email_verified_at=now,
            kyc_status=KycStatus.APPROVED,
            kyc_tier=2,
            kyc_expires_at=now + datetime.timedelta(days=3650),
        )
