"""Calls about holds and reversals that several tests make."""

import time
import uuid
from typing import Any

from rest_framework.test import APIClient

from tests.contract.test_transfer_over_http import TRANSFER
from users.models import User

BASE = "/api/transactions/transactions/"


def post(client: APIClient, path: str, **body: Any) -> Any:
    """POST under a new key unless the body has one."""
    return client.post(path, {"idempotency_key": uuid.uuid4().hex, **body}, format="json")


def hold(client: APIClient, payee: User, amount: str, **more: Any) -> str:
    """The id of a new hold."""
    response = post(client, TRANSFER, to_user_email=payee.email, amount=amount, hold=True, **more)
    assert response.status_code == 201, response.content
    told: dict[str, Any] = response.json()
    return str(told["id"])


def act(client: APIClient, transaction_id: str, verb: str, **body: Any) -> Any:
    """Capture, void or reverse it."""
    return post(client, f"{BASE}{transaction_id}/{verb}/", **body)


def insist(client: APIClient, transaction_id: str, verb: str, **body: Any) -> Any:
    """The same, sent again with the same key while the answer says that it may be."""
    body = {"idempotency_key": uuid.uuid4().hex, **body}
    for _ in range(30):
        response = act(client, transaction_id, verb, **body)
        if response.status_code < 400 or not response.json()["retryable"]:
            return response
        time.sleep(0.2)
    raise AssertionError(response.content)


def shown(client: APIClient, transaction_id: str) -> dict[str, Any]:
    """The transaction as the caller reads it."""
    told: dict[str, Any] = client.get(f"{BASE}{transaction_id}/").json()
    return told


def listed(client: APIClient, query: str = "") -> list[dict[str, Any]]:
    """The caller's history."""
    rows: list[dict[str, Any]] = client.get(f"{BASE}{query}").json()["results"]
    return rows
