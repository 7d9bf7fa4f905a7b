"""Every test here may send to this machine, and nowhere else."""

import pytest
from pytest_django import Settings

from payments.tests.fakes import fake
from webhooks.tests.factories import LOOPBACK

__all__ = ["fake", "loopback"]


@pytest.fixture(autouse=True)
def loopback(settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = LOOPBACK
