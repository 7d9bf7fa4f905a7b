"""Operators' pages of this app."""

from payments import admin_inbox, admin_movements  # noqa: F401 - they register their pages
