"""What every test of payments may ask for."""

from payments.tests.fakes import provider

__all__ = ["provider"]
