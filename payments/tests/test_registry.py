"""Which providers there are is the settings' word; one instance of each serves all threads."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from django.conf import settings
from django.test import override_settings

from payments.checks import providers_are_whole
from payments.providers.base import Provider
from payments.providers.registry import (
    UnknownProvider,
    default_provider,
    enabled_providers,
    get_provider,
    registered,
)


class Stub:
    name = "stub"


@pytest.mark.parametrize("name", ["paypal", "", "simulator ", "Simulator", "stripe"])
def test_what_is_not_switched_on_is_unknown(name: str) -> None:
    with override_settings(PAYMENT_PROVIDERS=["simulator"]), pytest.raises(UnknownProvider) as told:
        get_provider(name)
    assert (told.value.status, told.value.field) == (400, "provider")


def test_no_provider_at_all_is_said() -> None:
    with override_settings(PAYMENT_PROVIDERS=[], DEFAULT_PAYMENT_PROVIDER=""):
        assert enabled_providers() == []
        with pytest.raises(UnknownProvider):
            default_provider()


def test_the_default_is_named_or_the_first() -> None:
    with override_settings(PAYMENT_PROVIDERS=["a", "b"], DEFAULT_PAYMENT_PROVIDER="b"):
        assert default_provider() == "b"
    with override_settings(PAYMENT_PROVIDERS=["a", "b"], DEFAULT_PAYMENT_PROVIDER=""):
        assert default_provider() == "a"


def test_a_test_may_bring_its_own() -> None:
    stub = cast("Provider", Stub())
    with registered(stub):
        assert get_provider("stub") is stub
        assert "stub" in enabled_providers()
    with pytest.raises(UnknownProvider):
        get_provider("stub")


def test_all_threads_share_one_instance() -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len({id(get_provider("simulator")) for _ in pool.map(int, range(8))}) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"PAYMENT_PROVIDERS": ["simulator"], "SIMULATOR_API_KEY": ""}, "payments.E002"),
        ({"PAYMENT_PROVIDERS": ["stripe"], "STRIPE_API_KEY": "sk_test_x"}, "payments.E002"),
        ({"PAYMENT_PROVIDERS": ["paypal"]}, "payments.E001"),
    ],
)
def test_a_provider_without_its_keys_is_an_error(changes: dict[str, Any], code: str) -> None:
    with override_settings(**changes):
        assert [message.id for message in providers_are_whole()] == [code]


def test_production_has_no_provider_until_it_names_one_with_its_keys() -> None:
    told = _check({})
    assert "SIMULATOR" not in told
    told = _check({"PAYMENT_PROVIDERS": "simulator", "SIMULATOR_API_KEY": "short"})
    assert "SIMULATOR_API_KEY is shorter" in told
    assert "SIMULATOR_WEBHOOK_SECRET is not set" in told


def test_stripe_needs_a_secret_key_and_a_webhook_secret_and_tls() -> None:
    assert "STRIPE" not in _check({})
    assert "STRIPE_WEBHOOK_SECRETS must be set" in _check(
        {"PAYMENT_PROVIDERS": "stripe", "STRIPE_API_KEY": "sk_live_x"}
    )
    told = _check({"STRIPE_API_KEY": "pk_live_x", "STRIPE_API_BASE": "http://stripe.example"})
    assert "STRIPE_API_KEY must be a secret or restricted key" in told
    assert "STRIPE_API_BASE must start with https://" in told
    assert "pk_live_x" not in told


def _check(changes: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=settings.BASE_DIR,
        env={"PATH": os.environ["PATH"], **changes},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr


def test_a_provider_that_is_not_switched_on_costs_no_start_up() -> None:
    """Stripe's library alone takes longer to import than most commands run."""
    code = (
        "import django, sys; django.setup(); import fintech_core.urls, fintech_core.celery;"
        "from payments.providers import registry; registry.enabled_providers();"
        "sys.exit('stripe' in sys.modules)"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "fintech_core.settings"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)
