"""HTTP: the API, its schema, its pages and what browsers are told."""

from fintech_core.settings.base import VERSION, env

# How many reverse proxies of ours stand in front: so many X-Forwarded-For entries are believed.
NUM_PROXIES = env.number("NUM_PROXIES", 0)

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
