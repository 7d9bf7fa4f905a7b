"""Settings. Everything that differs between installations comes from the environment.

``FINTECH_ENV`` is ``production`` unless it says otherwise: a process that was told nothing refuses to
start instead of running with debugging on or with sample secrets. ``.env.example`` explains each
variable.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url

from fintech_core import queues
from fintech_core.environment import Environment

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"

env = Environment()

# --- Process -------------------------------------------------------------------------------------

DEBUG = env.flag("DEBUG")
if DEBUG and env.is_production:
    env.problem("DEBUG is on; it is only allowed with FINTECH_ENV=development.")

SECRET_KEY = env.secret("SECRET_KEY", development="development-only-secret-key-of-django")
JWT_SIGNING_KEY = env.secret(
    "JWT_SIGNING_KEY", development="development-only-signing-key-of-access-tokens", least=43
)
if JWT_SIGNING_KEY == SECRET_KEY:
    env.problem("JWT_SIGNING_KEY must differ from SECRET_KEY.")

ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "" if env.is_production else "localhost,127.0.0.1,[::1]")
if env.is_production and (not ALLOWED_HOSTS or "*" in ALLOWED_HOSTS):
    env.problem("ALLOWED_HOSTS must name the hosts this service answers for, without '*'.")
CSRF_FAILURE_VIEW = "fintech_core.views.csrf_failure"
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")

# Uploaded identity documents and the like; never served by the web server.
DATA_DIR = Path(env.text("FINTECH_DATA", str(BASE_DIR / ".data")))
MEDIA_ROOT = DATA_DIR / "media"

# The demo's users with known passwords; the launcher of the embedded servers alone switches it on.
DEMO = env.flag("FINTECH_DEMO")
if DEMO and env.is_production:
    env.problem("FINTECH_DEMO is on; it is only allowed with FINTECH_ENV=development.")

# How many reverse proxies of ours stand in front: so many X-Forwarded-For entries are believed.
NUM_PROXIES = env.number("NUM_PROXIES", 0)

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "fintech_core",
    "events",
    "users",
    "wallet",
    "transactions",
    "payments",
    "webhooks",
]

MIDDLEWARE = [
    "fintech_core.middleware.RequestMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    # The API ends here; what follows is for pages.
    "fintech_core.middleware.ApiMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

ROOT_URLCONF = "fintech_core.urls"
WSGI_APPLICATION = "fintech_core.wsgi.application"
# Threads in each process of the web server that answer requests; mostly they wait for PostgreSQL.
# Each keeps a connection, so all processes' threads together stay well below its max_connections.
WEB_THREADS = env.number("WEB_THREADS", 32) or 1
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
# Static files are served from the apps themselves, so that no collecting step can be forgotten.
WHITENOISE_USE_FINDERS = True

# --- PostgreSQL ----------------------------------------------------------------------------------

# Two roles: the application's own, with no right to change the ledger, and the owner, for migrations.
DATABASE_URL = env.required("DATABASE_URL", development="postgres://localhost/fintech_core")
DATABASE_OWNER_URL = env.text("DATABASE_OWNER_URL", DATABASE_URL)
CONNECT_AS_OWNER = env.text("DATABASE_CONNECT_AS") == "owner"


def database(url: str, *, as_owner: bool = False) -> dict[str, Any]:
    """Django's settings for one database URL, with every wait bounded.

    The owner's statements are not: building an index takes as long as it takes.
    """
    config: dict[str, Any] = dict(dj_database_url.parse(url, conn_health_checks=True))
    if config.get("ENGINE") != "django.db.backends.postgresql":
        env.problem("DATABASE_URL must be a postgres:// URL.")
        return config
    timeouts = {"lock_timeout": 2_000, "statement_timeout": 5_000}
    if as_owner:
        timeouts = {"lock_timeout": 5_000, "statement_timeout": 0}
    timeouts["idle_in_transaction_session_timeout"] = 10_000
    # The ledger's functions reach tables by index only, by making all else look dear: so PostgreSQL would
    # compile each statement in them anew, every time: 300 ms for a posting of 3 ms.
    session: dict[str, Any] = {**timeouts, "jit": "off"}
    config["CONN_MAX_AGE"] = None
    config["OPTIONS"] = {
        **config.get("OPTIONS", {}),
        "connect_timeout": 3,
        "tcp_user_timeout": 5_000,
        "keepalives_idle": 10,
        "application_name": "fintech_core",
        # Lets ``fintech_core.database.call`` keep its statements prepared; Django's cursors never are.
        "prepare_threshold": 5,
        "options": " ".join(f"-c {name}={value}" for name, value in session.items()),
    }
    return config


DATABASES = {
    "default": database(
        DATABASE_OWNER_URL if CONNECT_AS_OWNER else DATABASE_URL, as_owner=CONNECT_AS_OWNER
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis: cache and broker ---------------------------------------------------------------------

REDIS_URL = env.required("REDIS_URL", development="redis://localhost:6379/0")
BROKER_URL = env.text("BROKER_URL", REDIS_URL)

CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "fintech",
        "OPTIONS": {
            # Never pickle: whoever can write to Redis must not be able to run code here.
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            "SOCKET_TIMEOUT": 0.5,
            "SOCKET_CONNECT_TIMEOUT": 0.5,
        },
    }
}

# --- Celery and the relay (fintech_core/queues.py, docs/operations.md) -----------------------------

# How long Redis waits for the acknowledgement of a message before it delivers it again.
BROKER_VISIBILITY_SECONDS = env.number("BROKER_VISIBILITY_SECONDS", 600)

CELERY_BROKER_URL = BROKER_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A worker waits for its broker for as long as it takes.
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CONNECTION_TIMEOUT = 3
CELERY_BROKER_TRANSPORT_OPTIONS = queues.transport_options(
    BROKER_URL, visibility_seconds=BROKER_VISIBILITY_SECONDS
)
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SOFT_TIME_LIMIT, CELERY_TASK_TIME_LIMIT = queues.time_limits(BROKER_VISIBILITY_SECONDS)
CELERY_TASK_QUEUES = queues.TASK_QUEUES
CELERY_TASK_ROUTES = queues.TASK_ROUTES
CELERY_TASK_DEFAULT_QUEUE = queues.UPKEEP
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE = queues.BEAT_SCHEDULE

# What ``manage.py relay`` goes through, in turn; each hands a bounded number of due rows to Celery.
RELAY_FEEDS = [
    "payments.event_feeds.hand_over_events",
    "payments.feeds.hand_over_payouts",
    "payments.feeds.hand_over_refunds",
    "payments.feeds.hand_over_intents",
    "webhooks.feeds.tell_endpoints",
    "webhooks.feeds.hand_out_deliveries",
]
# Nothing is handed over while so many messages wait in a queue: it does not grow without workers.
RELAY_QUEUE_LIMIT = 1_000

# --- Who ------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "users.User"
AUTHENTICATION_BACKENDS = ["users.backends.CountedBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
PASSWORD_MAX_LENGTH = 1_024
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": env.number("PASSWORD_MIN_LENGTH", 12)},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

ACCESS_TOKEN_LIFETIME = timedelta(minutes=env.number("ACCESS_TOKEN_MINUTES", 15))
# A session ends after this long without use, and at the latest after the absolute limit.
SESSION_IDLE_LIFETIME = timedelta(days=env.number("SESSION_IDLE_DAYS", 14))
SESSION_ABSOLUTE_LIFETIME = timedelta(days=env.number("SESSION_ABSOLUTE_DAYS", 90))
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": JWT_SIGNING_KEY,
    "ISSUER": "fintech-core",
    "AUDIENCE": "fintech-core-api",
    "ACCESS_TOKEN_LIFETIME": ACCESS_TOKEN_LIFETIME,
    "REFRESH_TOKEN_LIFETIME": SESSION_IDLE_LIFETIME,
    "LEEWAY": 0,
    "UPDATE_LAST_LOGIN": False,
}

# Failed sign-ins in 15 minutes before 429: per account and network, per account, per network.
SIGN_IN_WINDOW = timedelta(minutes=15)
SIGN_IN_FAILURES = {
    "account_and_network": env.number("SIGN_IN_FAILURES_PER_ACCOUNT_AND_NETWORK", 10),
    "account": env.number("SIGN_IN_FAILURES_PER_ACCOUNT", 100),
    "network": env.number("SIGN_IN_FAILURES_PER_NETWORK", 300),
}
# Registrations from one network, and recipients one caller asked for in vain, in an hour.
REGISTRATIONS_PER_HOUR = env.number("REGISTRATIONS_PER_HOUR", 60 if env.is_production else 6_000)
UNKNOWN_RECIPIENTS_PER_HOUR = env.number("UNKNOWN_RECIPIENTS_PER_HOUR", 100)
KYC_FILES_PER_DAY = 10
KYC_MINIMUM_AGE = env.number("KYC_MINIMUM_AGE", 18)
KYC_VALIDITY = timedelta(days=env.number("KYC_VALIDITY_DAYS", 730))

# --- Money ----------------------------------------------------------------------------------------

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

# --- Money in and out: providers (docs/providers.md) -----------------------------------------------

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

# --- Money in and out: what providers tell ----------------------------------------------------------

# Events of providers that are done with are kept for so many days.
PROVIDER_EVENT_DAYS = env.number("PROVIDER_EVENT_DAYS", 90)
if PROVIDER_EVENT_DAYS < 1:
    env.problem("PROVIDER_EVENT_DAYS must be 1 or more.")

# --- Webhooks out ---------------------------------------------------------------------------------

# Encrypts the secrets that sign webhooks. To change it, name the old one below and run
# ``manage.py reseal_webhook_secrets``: what it sealed stays readable meanwhile.
WEBHOOK_SECRETS_KEY = env.secret(
    "WEBHOOK_SECRETS_KEY", development="development-only-key-of-webhook-secrets", least=43
)
WEBHOOK_SECRETS_OLD_KEYS = env.words("WEBHOOK_SECRETS_OLD_KEYS")
# Networks that webhooks may be sent to although they are not public, also by plain http.
WEBHOOK_ALLOWED_NETWORKS = env.networks("WEBHOOK_ALLOWED_NETWORKS")
# Endpoints a user may have, and URLs a user may name in a day: each is looked up.
WEBHOOK_ENDPOINTS_PER_USER = env.number("WEBHOOK_ENDPOINTS_PER_USER", 10)
WEBHOOK_URLS_PER_DAY = env.number("WEBHOOK_URLS_PER_DAY", 100)
# How long the secret before the last rotation signs, too.
WEBHOOK_ROTATION_OVERLAP = timedelta(hours=env.number("WEBHOOK_ROTATION_OVERLAP_HOURS", 24))
# Seconds between the tries of a delivery; after the last of them it is dead: three days by default.
WEBHOOK_RETRY_PAUSES = env.numbers(
    "WEBHOOK_RETRY_PAUSES",
    "5,30,120,600,1800,3600,7200,14400,28800,43200,43200,43200,43200,28800",
)
# A receiver's Retry-After is obeyed up to this.
WEBHOOK_LONGEST_WAIT = timedelta(hours=1)
# How long a try may take in all, where the receiver has answered well and quickly, and else.
WEBHOOK_QUICK_SECONDS = 3
WEBHOOK_SECONDS = 10
# An answer that takes longer makes its receiver a slow one, which is served beside the others.
WEBHOOK_SLOW_ANSWER = timedelta(seconds=1)
# Deliveries under way to one receiver at once, and how long a handed out one waits for its worker before
# it is handed out again: longer than messages usually wait in the queue.
WEBHOOK_AT_ONCE = 4
WEBHOOK_LEASE = timedelta(seconds=env.number("WEBHOOK_LEASE_SECONDS", 60))
if not WEBHOOK_LEASE:
    env.problem("WEBHOOK_LEASE_SECONDS must be 1 or more.")
# A receiver that has failed for so long without one success is disabled.
WEBHOOK_DISABLE_AFTER = timedelta(days=env.number("WEBHOOK_DISABLE_AFTER_DAYS", 5))
# How long kept events and what became of their deliveries can be looked up and sent again.
WEBHOOK_RETENTION = timedelta(days=env.number("WEBHOOK_RETENTION_DAYS", 30))
# Deliveries that one call may send again.
WEBHOOK_REDELIVERIES_AT_ONCE = 10_000

# --- HTTP -----------------------------------------------------------------------------------------

MAX_BODY_BYTES = 64 * 1024
MAX_QUERY_BYTES = 8 * 1024

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["fintech_core.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "fintech_core.renderers.Negotiation",
    "DEFAULT_PARSER_CLASSES": ["fintech_core.parsers.StrictJSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["users.authentication.SessionTokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "fintech_core.problems.problem_response",
    "DEFAULT_PAGINATION_CLASS": None,
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
    "NUM_PROXIES": NUM_PROXIES,
    "COERCE_DECIMAL_TO_STRING": True,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Fintech Core",
    "DESCRIPTION": "Wallets, transfers, identity checks: money that is provably safe.",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "FeeKind": ["transfer", "conversion"],
        "HealthStatus": ["ok", "degraded"],
        "KycStatus": "users.models.KycStatus",
        "SubmissionStatus": "users.models.SubmissionStatus",
        "IntentStatus": "payments.models.IntentStatus",
        "PayoutStatus": "payments.models.PayoutStatus",
        "RefundStatus": "payments.models.RefundStatus",
        "TransactionKind": "transactions.models.TransactionKind",
        "ScheduleStatus": "transactions.models.ScheduleStatus",
        "RunStatus": "transactions.models.RunStatus",
        "TransactionStatus": "transactions.models.TransactionStatus",
        "WalletStatus": "wallet.models.WalletStatus",
        "EndpointStatus": ["enabled", "disabled"],
        "DisabledBecause": "webhooks.models.DisabledBecause",
        "DeliveryStatus": "webhooks.models.DeliveryStatus",
    },
}

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
if env.is_production:
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    if NUM_PROXIES:
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    # An API never redirects a plain request silently: the proxy in front refuses it.
    SILENCED_SYSTEM_CHECKS = ["security.W008"]

UNFOLD = {
    "SITE_TITLE": "Fintech Core",
    "SITE_HEADER": "Fintech Core",
    "SITE_SUBHEADER": "Operations",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
}

LOG_LEVEL = env.text("LOG_LEVEL", "INFO").upper()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "fintech_core.logs.json_formatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # One line per request is written by RequestMiddleware; Django's own would be a second one.
        "django.request": {"level": "CRITICAL"},
        "django.server": {"level": "CRITICAL"},
        "django.security": {"level": "ERROR"},
        "celery.app.trace": {"level": "WARNING"},
        # Its line for each call would be a second one, and names what is called.
        "httpx": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        # Its lines for each call show the texts of errors, and those a part of the key.
        "stripe": {"level": "WARNING"},
    },
}

env.require_sound()
