"""A payment provider to try things with: a program of its own, which the platform knows over HTTP alone.

``python -m simulator`` serves an API for payments, refunds and payouts, a checkout page for whoever pays,
and a settlement report; it tells what happened by signed webhooks. It remembers everything in one SQLite
file and can be told to misbehave in each way that providers do (``behaviour.py``). It imports nothing of
the platform, and only the standard library. docs/providers.md is its manual.
"""
