"""Production refuses to start half configured, and says all that is wrong at once."""

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from fintech_core.environment import Environment


def problems_of(environment: Environment) -> str:
    with pytest.raises(ImproperlyConfigured) as refusal:
        environment.require_sound()
    return str(refusal.value)


def test_nothing_said_is_production() -> None:
    assert Environment({}).is_production


def test_an_unknown_environment_is_production_and_a_problem() -> None:
    environment = Environment({"FINTECH_ENV": "prod"})
    assert environment.is_production
    assert "FINTECH_ENV" in problems_of(environment)


@pytest.mark.parametrize(
    "value", ["", "short", "django-insecure-" + "x" * 60, "change-me-" + "x" * 60]
)
def test_a_weak_secret_is_refused_in_production(value: str) -> None:
    environment = Environment({"SECRET": value})
    environment.secret("SECRET", development="stand-in")
    assert "SECRET" in problems_of(environment)


def test_the_stand_in_is_no_secret_for_production() -> None:
    environment = Environment({"SECRET": "development-only-" + "x" * 60})
    environment.secret("SECRET", development="development-only-" + "x" * 60)
    assert "sample value" in problems_of(environment)


def test_development_has_stand_ins() -> None:
    environment = Environment({"FINTECH_ENV": "development"})
    assert environment.secret("SECRET", development="stand-in") == "stand-in"
    environment.require_sound()


def test_numbers_and_flags_are_judged() -> None:
    environment = Environment({"N": "x", "F": "maybe"})
    environment.number("N", 1)
    environment.flag("F")
    told = problems_of(environment)
    assert "N is" in told
    assert "F is" in told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ["SECRET_KEY", "JWT_SIGNING_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "REDIS_URL"]),
        ({"WEBHOOK_SECRETS_KEY": "short"}, ["WEBHOOK_SECRETS_KEY"]),
        ({"WEBHOOK_ALLOWED_NETWORKS": "10.0.0.1/8"}, ["WEBHOOK_ALLOWED_NETWORKS"]),
        ({"WEBHOOK_RETRY_PAUSES": "5,x"}, ["WEBHOOK_RETRY_PAUSES"]),
        ({"DEBUG": "true"}, ["DEBUG"]),
        ({"ALLOWED_HOSTS": "*"}, ["ALLOWED_HOSTS"]),
        ({"FINTECH_DEMO": "true"}, ["FINTECH_DEMO"]),
        ({"DATABASE_URL": "sqlite:///x"}, ["DATABASE_URL"]),
        ({"SECRET_KEY": "k" * 60, "JWT_SIGNING_KEY": "k" * 60}, ["must differ"]),
    ],
)
def test_a_production_process_does_not_start_half_configured(
    changes: dict[str, str], told: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=settings.BASE_DIR,
        env={"PATH": os.environ["PATH"], **changes},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert [word for word in told if word not in done.stderr] == []
