"""Operators' pages of this app."""

from payments import (  # noqa: F401 - they register their pages
    admin_inbox,
    admin_movements,
    admin_reconciliation,
)
