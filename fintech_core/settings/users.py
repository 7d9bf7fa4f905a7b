"""Who: accounts, passwords, sessions, identity checks."""

from datetime import timedelta

from fintech_core.settings.base import env
from fintech_core.settings.process import JWT_SIGNING_KEY

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
