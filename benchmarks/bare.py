"""The smallest WSGI program that checks a token and posts a transfer: what any web stack is measured by.

It validates nothing and answers with a number; ``benchmarks.candidates.http`` serves it.
"""

import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

import jwt
import orjson
import psycopg

SINGLE = "SELECT transfer(%s, %s, %s, 1)"
MANY = "SELECT transfer_many(%s, %s, %s, 1)"
_local = threading.local()


def _connection() -> psycopg.Connection[tuple[Any, ...]]:
    if not hasattr(_local, "connection"):
        _local.connection = psycopg.connect(
            os.environ["BENCH_DATABASE_URL"], autocommit=True, prepare_threshold=0
        )
    connection: psycopg.Connection[tuple[Any, ...]] = _local.connection
    return connection


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    """``{"key", "to"}`` from the token's subject, or a list of such."""
    try:
        token = environ["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
        payer = int(jwt.decode(token, os.environ["BENCH_SECRET"], algorithms=["HS256"])["sub"])
    except (KeyError, ValueError, jwt.InvalidTokenError):
        start_response("401 Unauthorized", [("Content-Length", "0")])
        return [b""]
    asked = orjson.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    if isinstance(asked, dict):
        _connection().execute(SINGLE, [asked["key"], payer, asked["to"]])
        posted = 1
    else:
        keys = [each["key"] for each in asked]
        recipients = [each["to"] for each in asked]
        row = _connection().execute(MANY, [keys, [payer] * len(asked), recipients]).fetchone()
        posted = row[0] if row else 0
    body = orjson.dumps({"posted": posted})
    start_response(
        "201 Created", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    )
    return [body]
