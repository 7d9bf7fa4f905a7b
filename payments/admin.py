"""Operators' pages of this app."""

from payments import admin_inbox  # noqa: F401 - registers its pages
