"""Reads the settings that come from the environment, and collects everything wrong with them.

A production process refuses to start half configured, and says all that is missing at once.
"""

import ipaddress
import json
import os
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ImproperlyConfigured

_TRUE = {"1", "true", "yes", "on"}
# How sample values begin; the last is change-me in base 64, as a webhook secret has it.
SAMPLES = ("django-insecure", "development-only", "change-me", "whsec_Y2hhbmdlLW1l")
_FALSE = {"", "0", "false", "no", "off"}


class Environment:
    """Typed access to environment variables.

    Reading never raises; problems add up and ``require_sound()`` raises them together.
    """

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = os.environ if variables is None else variables
        self._problems: list[str] = []
        name = self.text("FINTECH_ENV", "production")
        if name not in {"production", "development"}:
            self.problem(f"FINTECH_ENV is {name!r}; it must be 'production' or 'development'.")
        self.is_production = name != "development"

    def problem(self, text: str) -> None:
        """Note something wrong; it is reported by ``require_sound()``."""
        self._problems.append(text)

    def text(self, name: str, default: str = "") -> str:
        """The variable without surrounding blanks, or the default where it is unset or empty."""
        return self._variables.get(name, "").strip() or default

    def required(self, name: str, *, development: str) -> str:
        """The variable; in development a stand-in, in production a problem where it is missing."""
        value = self.text(name)
        if value:
            return value
        if self.is_production:
            self.problem(f"{name} is not set.")
        return development

    def secret(self, name: str, *, development: str, least: int = 50) -> str:
        """A secret of at least ``least`` characters that was not left at a sample value."""
        value = self.required(name, development=development)
        if self.is_production and value != development:
            if len(value) < least:
                self.problem(f"{name} is shorter than {least} characters.")
            if value.startswith(SAMPLES):
                self.problem(f"{name} still has a sample value.")
        elif self.is_production and self.text(name):
            self.problem(f"{name} still has a sample value.")
        return value

    def number(self, name: str, default: int) -> int:
        """A whole number of zero or more."""
        value = self.text(name, str(default))
        if not (value.isascii() and value.isdigit()):
            self.problem(f"{name} is {value!r}; it must be a whole number.")
            return default
        return int(value)

    def percent(self, name: str, default: str) -> str:
        """A decimal text of zero or more and below a hundred."""
        value = self.text(name, default)
        try:
            sound = 0 <= Decimal(value) < 100
        except InvalidOperation:
            sound = False
        if not sound:
            self.problem(f"{name} is {value!r}; it must be a decimal from 0 to below 100.")
            return default
        return value

    def table(self, name: str) -> dict[str, Any]:
        """A JSON object; empty where the variable is not set."""
        try:
            value = json.loads(self.text(name, "{}"))
        except ValueError:
            value = None
        if not isinstance(value, dict):
            self.problem(f"{name} must be a JSON object.")
            return {}
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """``true`` or ``false`` (also 1/0, yes/no, on/off)."""
        value = self._variables.get(name)
        if value is None:
            return default
        lowered = value.strip().lower()
        if lowered not in _TRUE | _FALSE:
            self.problem(f"{name} is {value!r}; it must be true or false.")
        return lowered in _TRUE

    def words(self, name: str, default: str = "") -> list[str]:
        """A comma-separated list."""
        return [word.strip() for word in self.text(name, default).split(",") if word.strip()]

    def numbers(self, name: str, default: str) -> list[int]:
        """A comma-separated list of whole numbers of zero or more."""
        words = self.words(name, default)
        if not all(word.isascii() and word.isdigit() for word in words):
            self.problem(f"{name} must be whole numbers with commas between.")
            words = []
        return [int(word) for word in words]

    def networks(self, name: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """A comma-separated list of networks, such as 10.0.0.0/8; empty where it is not set."""
        found = []
        for word in self.words(name):
            try:
                found.append(ipaddress.ip_network(word))
            except ValueError:
                self.problem(f"{name} has {word!r}, which is not a network such as 10.0.0.0/8.")
        return found

    def require_sound(self) -> None:
        """Raise ``ImproperlyConfigured`` with every problem noted so far."""
        if self._problems:
            listed = "\n".join(f"  - {problem}" for problem in self._problems)
            raise ImproperlyConfigured(
                f"The settings are not complete (see .env.example):\n{listed}"
            )
