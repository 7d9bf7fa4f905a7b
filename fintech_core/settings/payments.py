"""Money in and out: providers (docs/providers.md), and what they tell."""

from fintech_core.settings.base import env

# The providers that are switched on, and the one of a request that names none: by default the first.
# Production has none until it names one.
PAYMENT_PROVIDERS = env.words("PAYMENT_PROVIDERS", "" if env.is_production else "simulator")
DEFAULT_PAYMENT_PROVIDER = env.text("DEFAULT_PAYMENT_PROVIDER", ",".join(PAYMENT_PROVIDERS[:1]))
if DEFAULT_PAYMENT_PROVIDER and DEFAULT_PAYMENT_PROVIDER not in PAYMENT_PROVIDERS:
    env.problem("DEFAULT_PAYMENT_PROVIDER must be one of PAYMENT_PROVIDERS.")

# How often a user may have a provider asked in an hour: for a new payment, or for what became of one.
PAYMENTS_PER_HOUR = env.number("PAYMENTS_PER_HOUR", 1_000)

# The simulated provider (python -m simulator): where it answers, and what it shares with the platform.
SIMULATOR_URL = env.text("SIMULATOR_URL", "http://127.0.0.1:8001")
SIMULATOR_API_KEY = env.text("SIMULATOR_API_KEY")
SIMULATOR_WEBHOOK_SECRET = env.text("SIMULATOR_WEBHOOK_SECRET")
if "simulator" in PAYMENT_PROVIDERS:
    SIMULATOR_API_KEY = env.secret(
        "SIMULATOR_API_KEY", development="development-only-key-of-the-simulator", least=32
    )
    # whsec_ and 24 to 64 random bytes in base 64, as Standard Webhooks has it.
    SIMULATOR_WEBHOOK_SECRET = env.secret(
        "SIMULATOR_WEBHOOK_SECRET",
        development="whsec_ZGV2ZWxvcG1lbnQtb25seS1zZWNyZXQtb2YtZXZlbnRz",
        least=38,
    )

# Stripe: the API key says which account, and whether money is real; a webhook's secret is accepted beside
# another one while they are exchanged. The version is the one that the adapter reads.
STRIPE_API_KEY = env.text("STRIPE_API_KEY")
STRIPE_WEBHOOK_SECRETS = env.words("STRIPE_WEBHOOK_SECRETS")
STRIPE_API_VERSION = env.text("STRIPE_API_VERSION", "2026-10-28.endive")
STRIPE_API_BASE = env.text("STRIPE_API_BASE", "https://api.stripe.com").rstrip("/")
if STRIPE_API_KEY and not STRIPE_API_KEY.startswith(
    ("sk_live_", "sk_test_", "rk_live_", "rk_test_")
):
    env.problem("STRIPE_API_KEY must be a secret or restricted key: sk_live_…, sk_test_…, rk_….")
if "stripe" in PAYMENT_PROVIDERS and not (STRIPE_API_KEY and STRIPE_WEBHOOK_SECRETS):
    env.problem(
        "PAYMENT_PROVIDERS names stripe: STRIPE_API_KEY and STRIPE_WEBHOOK_SECRETS must be set."
    )
if env.is_production and not STRIPE_API_BASE.startswith("https://"):
    env.problem("STRIPE_API_BASE must start with https://.")

# Events of providers that are done with are kept for so many days.
PROVIDER_EVENT_DAYS = env.number("PROVIDER_EVENT_DAYS", 90)
if PROVIDER_EVENT_DAYS < 1:
    env.problem("PROVIDER_EVENT_DAYS must be 1 or more.")
