"""Operators' pages of this app."""

from payments import admin_inbox, admin_reconciliation  # noqa: F401 - registers their pages
