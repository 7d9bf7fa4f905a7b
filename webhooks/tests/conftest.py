"""Every test here may send to this machine, and nowhere else."""

import pytest
from pytest_django import Settings

from webhooks.tests.factories import LOOPBACK


@pytest.fixture(autouse=True)
def loopback(settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = LOOPBACK
