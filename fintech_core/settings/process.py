"""A process of Django: its secrets, hosts, apps and middleware."""

from fintech_core.settings.base import env

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

# The demo's users with known passwords; the launcher of the embedded servers alone switches it on.
DEMO = env.flag("FINTECH_DEMO")
if DEMO and env.is_production:
    env.problem("FINTECH_DEMO is on; it is only allowed with FINTECH_ENV=development.")

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
# Each keeps a connection, and the process two more: all together stay well below its max_connections.
WEB_THREADS = env.number("WEB_THREADS", 32) or 1
APPEND_SLASH = False
# Routes whose POSTs are served many at once (fintech_core/gathering.py), and by what.
GATHERED = {"/api/transactions/transactions/transfer/": "transactions.views.gathered.serve"}

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
