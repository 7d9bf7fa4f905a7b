"""What money may do: limits, fees, schedules, holds, rates, and how the ledger is signed."""

from datetime import timedelta
from pathlib import Path

from fintech_core.settings.base import DATA_DIR, env

# The currency of every user's primary wallet.
DEFAULT_CURRENCY = env.text("DEFAULT_CURRENCY", "USD")

# Limits per KYC tier and currency, in that currency's units: the most one transfer may move, the most
# that may leave in a UTC day and month, and the largest balance. A currency not listed is not offered.
LIMITS: dict[int, dict[str, dict[str, str]]] = {
    tier: {
        currency: {
            "per_transfer": str(per_transfer * factor),
            "per_day": str(per_day * factor),
            "per_month": str(per_month * factor),
            "largest_balance": str(largest_balance * factor),
        }
        for currency, factor in {"USD": 1, "EUR": 1, "GBP": 1, "JPY": 100, "KWD": 1}.items()
    }
    for tier, per_transfer, per_day, per_month, largest_balance in (
        (0, 0, 0, 0, 1_000),
        (1, 1_000, 2_000, 10_000, 10_000),
        (2, 50_000, 100_000, 1_000_000, 5_000_000),
    )
}
if DEFAULT_CURRENCY not in LIMITS[0]:
    env.problem(f"DEFAULT_CURRENCY is {DEFAULT_CURRENCY!r}; it must be one of {list(LIMITS[0])}.")

# Wallets a user may have open, and may open in a day: a closed one is kept for ever.
WALLETS_PER_USER = env.number("WALLETS_PER_USER", 20)
WALLETS_OPENED_PER_DAY = env.number("WALLETS_OPENED_PER_DAY", 100)

# What operations cost, by kind, tier and currency (transactions/fees.py); what is not listed is free.
FEES: dict[str, dict[int | str, dict[str, dict[str, str]]]] = env.table("FEES")

# Scheduled transfers: how many active ones a user may have, how far back and ahead one may begin, and how
# many runs one look for due ones makes at most.
SCHEDULES_PER_USER = env.number("SCHEDULES_PER_USER", 100)
SCHEDULE_START_TOLERANCE = timedelta(minutes=5)
SCHEDULE_HORIZON = timedelta(days=3653)
SCHEDULE_RUNS_AT_ONCE = 1_000

# A wallet of the platform that many transactions touch is kept in so many rows.
PLATFORM_WALLET_STRIPES = 4

# How long a hold reserves money: where its transfer does not say, and at most.
HOLD_LIFETIME = timedelta(days=env.number("HOLD_LIFETIME_DAYS", 7))
HOLD_LONGEST_LIFETIME = timedelta(days=30)
if not timedelta(0) < HOLD_LIFETIME <= HOLD_LONGEST_LIFETIME:
    env.problem("HOLD_LIFETIME_DAYS must be 1 to 30.")
# Holds a wallet may have open. All that ran out are ended with its next transaction.
HOLDS_PER_WALLET = env.number("HOLDS_PER_WALLET", 500)
# Who says what currencies are worth (transactions/rates.py); a rate older than this is not used.
RATE_PROVIDER = env.text("RATE_PROVIDER", "transactions.rates.TableRates")
RATE_MAX_AGE = timedelta(hours=env.number("RATE_MAX_AGE_HOURS", 72))
# Taken off the rate of a conversion, in either direction.
FX_SPREAD_PERCENT = env.percent("FX_SPREAD_PERCENT", "0.5")
# How long a quoted rate may be used, and how many quotes a user may ask for in an hour.
QUOTE_LIFETIME = timedelta(seconds=env.number("QUOTE_SECONDS", 60))
QUOTES_PER_HOUR = env.number("QUOTES_PER_HOUR", 1_000)

# Asked by the users app for the ``limits`` of a profile: only the ledger knows what is left of them.
PROFILE_LIMITS = "transactions.selectors.get_limits"

# Asked by the health endpoint: whether money may move.
POSTINGS_HALTED = "transactions.selectors.are_postings_halted"

# Checkpoints of the ledger are signed by an Ed25519 private key that the database never sees: PEM or 32
# bytes in base 64, or a file with one of these. In development the data folder gets one of its own; in
# production there are no checkpoints without it (a system check warns). Only the worker needs it.
CHECKPOINT_SIGNING_KEY = env.text("CHECKPOINT_SIGNING_KEY")
CHECKPOINT_SIGNING_KEY_FILE = env.text("CHECKPOINT_SIGNING_KEY_FILE")
CHECKPOINT_SIGNING_KEY_IS_MADE = not (
    env.is_production or CHECKPOINT_SIGNING_KEY or CHECKPOINT_SIGNING_KEY_FILE
)
if CHECKPOINT_SIGNING_KEY_IS_MADE:
    CHECKPOINT_SIGNING_KEY_FILE = str(DATA_DIR / "checkpoint-signing-key.pem")
# Public keys of earlier signing keys, whose checkpoints are to be verified: 32 bytes in base 64 each.
CHECKPOINT_PUBLIC_KEYS = env.words("CHECKPOINT_PUBLIC_KEYS")
# Where each signed checkpoint is written besides the database, a line each; best on another machine.
CHECKPOINT_LOG = Path(env.text("CHECKPOINT_LOG", str(DATA_DIR / "checkpoints.jsonl")))
