"""``manage.py seed_demo``: the demo's users, with money that real postings put into their wallets."""

import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from fintech_core.money import Money
from payments.services import record_deposit
from users.models import KycStatus, User

USERS = (
    ("user@example.com", "Uma", "User", "+16505550101"),
    ("recipient@example.com", "Rex", "Recipient", "+16505550102"),
)
# Published with the demo, which refuses to run anywhere else.
PASSWORD = "SecurePass123!"  # noqa: S105  # nosec B105
ADMIN = ("admin@example.com", "AdminPass123!")
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
        self.stdout.write("Demo users are ready.")

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
