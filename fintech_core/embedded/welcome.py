"""What ``run`` says once everything is up."""

import json

# The answers are flat enough for sed, which everybody has.
_FIELD = """sed 's/.*"{name}": *"\\([^"]*\\)".*/\\1/'"""
PASSWORD = "SecurePass123!"


def welcome(base: str, folder: str, *, has_demo: bool, has_simulator: bool, hint: str = "") -> str:
    """Where everything is, whom to log in as, and something to try; ``hint`` where there is no demo."""
    lines = [
        "",
        f"  API reference  {base}/api/docs/",
        f"  Health         {base}/api/health/",
        f"  Operations     {base}/admin/",
        "",
    ]
    if has_demo:
        lines += _demo(base)
        if has_simulator:
            lines += _top_up(base)
    else:
        lines += [hint, "  Make an account: python3 dev.py manage createsuperuser"]
    lines += ["", f"  Logs and data are in {folder}. Ctrl-C stops everything.", ""]
    return "\n".join(line for line in lines if line is not None)


def _demo(base: str) -> list[str]:
    login = json.dumps({"email": "user@example.com", "password": PASSWORD})
    return [
        f"  Demo logins    user@example.com, recipient@example.com   {PASSWORD}",
        "                 admin@example.com (for /admin/)           AdminPass123!",
        "",
        "  Try it:",
        f"    TOKEN=$(curl -s -X POST {base}/api/auth/login/ \\",
        f"      -H 'Content-Type: application/json' -d '{login}' \\",
        f"      | {_FIELD.format(name='access')})",
        f'    curl {base}/api/wallet/ -H "Authorization: Bearer $TOKEN"',
    ]


def _top_up(base: str) -> list[str]:
    return [
        "",
        "  Top up: open what this prints in a browser, click Pay, and look at the wallet again:",
        f'    curl -s -X POST {base}/api/payments/intents/ -H "Authorization: Bearer $TOKEN" \\',
        "      -H 'Content-Type: application/json' -H \"Idempotency-Key: $(date +%s)\" \\",
        f"""      -d '{{"amount": "25.00"}}' | {_FIELD.format(name="checkout_url")}""",
    ]
