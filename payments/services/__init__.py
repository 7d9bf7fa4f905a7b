"""Money in and out of the platform: one public function per use case."""

from payments.services.deposits import record_deposit

__all__ = ["record_deposit"]
