"""What people see: the checkout page. Nothing is loaded from elsewhere, and nothing runs."""

import base64
import hashlib
import sqlite3
from html import escape
from pathlib import Path

from simulator.currencies import readable

STYLE = Path(__file__).with_name("checkout.css").read_text(encoding="utf-8")
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
RESULTS = {
    "succeeded": ("Paid", "Thank you. You can close this page."),
    "failed": ("Payment declined", "No money was taken. Start again with a new payment."),
    "canceled": ("Payment canceled", "It was called off before it was paid; no money was taken."),
}
REASONS = {"insufficient_funds": "There is not enough money on the card."}


def checkout(payment: sqlite3.Row) -> bytes:
    """The page of one payment: two buttons while it is open, then how it ended."""
    amount = escape(readable(payment["amount"], payment["currency"]))
    status = payment["status"]
    if status in RESULTS:
        title, text = RESULTS[status]
        text = f"{REASONS.get(payment['failure_code'], '')} {text}".strip()
        body = (
            f'<p class="result {escape(status)}" role="status">{escape(title)}</p>'
            f"<p>{escape(text)}</p>"
        )
    else:
        title = f"Pay {amount}"
        body = (
            '<form method="post">'
            f'<button class="pay" name="outcome" value="succeeded">Pay {amount}</button>'
            '<button class="decline" name="outcome" value="failed">Decline</button>'
            "</form>"
        )
    return page(
        title,
        "<h1>Simulated payment</h1>"
        f'<p class="amount">{amount}</p>'
        f"<dl><dt>Payment</dt><dd>{escape(payment['id'])}</dd>"
        f"<dt>Reference</dt><dd>{escape(payment['merchant_reference'])}</dd></dl>"
        f"{body}"
        "<footer>This provider is a simulator: no real money moves.</footer>",
    )


def notice(title: str, text: str) -> bytes:
    """A page that only says something."""
    return page(title, f"<h1>{escape(title)}</h1><p>{escape(text)}</p>")


def page(title: str, body: str) -> bytes:
    """A whole document around a body that is HTML already."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>"
    ).encode()
