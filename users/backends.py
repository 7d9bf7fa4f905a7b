"""Sign-in with a browser (the admin), under the same count of failures as the API's."""

from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from fintech_core.exceptions import TooManyRequests
from users import services
from users.identity import InvalidEmail, normalize_email
from users.models import User
from users.network import network_of


class CountedBackend(ModelBackend):
    """Django's own permissions; passwords are judged by ``check_credentials``."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        """Too many failures end the attempt here: no other backend is asked."""
        try:
            email = normalize_email(username or kwargs.get(User.USERNAME_FIELD) or "")
        except InvalidEmail:
            return None
        if not password or len(password) > settings.PASSWORD_MAX_LENGTH:
            return None
        network = "unknown" if request is None else network_of(request)
        try:
            return services.check_credentials(email=email, password=password, network=network)
        except TooManyRequests:
            raise PermissionDenied from None
