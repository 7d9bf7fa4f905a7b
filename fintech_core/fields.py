"""Model fields and keys shared by every app."""

import functools
import uuid
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from uuid_utils import compat


def uuid7() -> uuid.UUID:
    """A new time-ordered key (UUIDv7, RFC 9562), so that inserts touch the end of the index."""
    return compat.uuid7()


def uuid_text(value: uuid.UUID) -> str:
    """``str(value)``, remembered: a transfer writes each of its few keys several times."""
    return _uuid_text(value.int)


@functools.lru_cache(maxsize=20_000)
def _uuid_text(number: int) -> str:
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


if TYPE_CHECKING:
    _DecimalField = models.DecimalField[Any, Any]
else:
    _DecimalField = models.DecimalField


class AmountField(_DecimalField):
    """An amount of money as PostgreSQL ``numeric`` without a scale.

    A column scale would round silently what does not fit; here the checks on the table refuse it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_digits"], kwargs["decimal_places"] = 20, 4
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_digits"], kwargs["decimal_places"]
        return name, path, list(args), kwargs

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "numeric"

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        return self.to_python(value)

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        if hasattr(value, "as_sql"):
            return value
        return self.get_db_prep_value(value, connection)
