"""What every test of payments may ask for."""

from payments.tests.fakes import fake

__all__ = ["fake"]
