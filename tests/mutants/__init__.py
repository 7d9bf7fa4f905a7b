"""Faults put into the code on purpose: each must be caught by the check that is named for it."""
