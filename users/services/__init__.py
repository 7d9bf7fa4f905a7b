"""Decisions about accounts, sign-in sessions and identity checks; the only writers of this app."""

from users.services.accounts import (
    activate_user,
    create_account,
    deactivate_user,
    end_all_tokens,
    register,
    update_profile,
    verify_phone,
)
from users.services.authentication import (
    check_credentials,
    open_session,
    prune_sessions,
    refresh_session,
    sign_in,
    sign_out,
)
from users.services.kyc import (
    Document,
    Identity,
    approve_kyc,
    expire_kyc,
    open_document,
    reject_kyc,
    submit_kyc,
)

__all__ = [
    "Document",
    "Identity",
    "activate_user",
    "approve_kyc",
    "check_credentials",
    "create_account",
    "deactivate_user",
    "end_all_tokens",
    "expire_kyc",
    "open_document",
    "open_session",
    "prune_sessions",
    "refresh_session",
    "register",
    "reject_kyc",
    "sign_in",
    "sign_out",
    "submit_kyc",
    "update_profile",
    "verify_phone",
]
