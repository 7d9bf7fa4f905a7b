"""Money moving over HTTP: a thin layer over ``transactions.services`` and ``transactions.selectors``."""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.middleware import client_address, current_request_id
from fintech_core.money import format_amount
from fintech_core.openapi import PROBLEMS
from fintech_core.pagination import page_of, paginate, whole_number
from fintech_core.problems import PROBLEM_TYPE
from transactions import idempotency, selectors, services
from transactions.declines import RecipientNotFound
from transactions.idempotency import Answer
from transactions.instructions import TransferInstruction
from transactions.models import Transaction
from transactions.serializers import (
    BalanceQuery,
    BalanceSerializer,
    EntryPageQuery,
    EntrySerializer,
    TransactionDetailSerializer,
    TransactionPageQuery,
    TransactionSerializer,
    TransferSerializer,
    answer_of,
    represent_entries,
    represent_transaction,
)
from users.attempts import count_attempt
from users.authentication import caller_of
from wallet.selectors import get_primary_wallet, get_wallet_of

_KEY_HEADER = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, description="Or send idempotency_key."
)


@extend_schema(tags=["transactions"])
class TransferView(APIView):
    """Send money to another user."""

    @extend_schema(
        operation_id="transfer",
        parameters=[_KEY_HEADER],
        request=TransferSerializer,
        responses={201: TransactionSerializer, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        values = TransferSerializer.take(request.data)
        key = idempotency.read_key(header=request.META.get("HTTP_IDEMPOTENCY_KEY"), body=values)
        print_of_request = idempotency.fingerprint(
            method="POST", path=request.path, body=request.data
        )
        instruction = _instruction(request, values, key, print_of_request)
        try:
            outcome = services.transfer(instruction)
        except RecipientNotFound:
            # Whoever tries addresses in turn is stopped; who has mistyped one is told.
            count_attempt(
                scope="unknown_recipient",
                subject=str(instruction.caller_id),
                window=timedelta(hours=1),
                limit=settings.UNKNOWN_RECIPIENTS_PER_HOUR,
            )
            raise
        return _respond(answer_of(outcome), is_replay=outcome.is_replay)


def _instruction(
    request: Request, values: dict[str, Any], key: str, fingerprint: bytes
) -> TransferInstruction:
    return TransferInstruction(
        caller_id=caller_of(request).pk,
        idempotency_key=key,
        fingerprint=fingerprint,
        recipient=TransferSerializer.recipient_of(values),
        amount=values["amount"],
        currency=values.get("currency"),
        source_wallet_id=values.get("from_wallet"),
        description=values.get("description", ""),
        metadata=values.get("metadata", {}),
        request_id=current_request_id(),
        client_address=client_address(request._request),
    )


def _respond(answer: Answer, *, is_replay: bool) -> Response:
    headers = {"Idempotency-Replayed": "true"} if is_replay else {}
    content_type = None if answer.status < 400 else PROBLEM_TYPE
    return Response(answer.body, answer.status, headers=headers, content_type=content_type)


@extend_schema(tags=["transactions"])
class TransactionListView(APIView):
    """The caller's history, newest first."""

    @extend_schema(
        operation_id="transaction_list",
        parameters=[TransactionPageQuery],
        responses={200: page_of(TransactionSerializer, "TransactionPage"), **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        query = TransactionPageQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        values = query.validated_data
        rows = selectors.list_transactions_of(caller_of(request), wallet_id=values.get("wallet"))
        rows = rows.filter(**{name: values[name] for name in ("kind", "status") if name in values})
        own = [get_primary_wallet(caller_of(request)).pk]

        def represent(page: Sequence[Transaction]) -> list[Any]:
            records = selectors.records_of(page)
            return [represent_transaction(record, own_wallets=own) for record in records]

        return paginate(rows, request, query=values, represent=represent)


@extend_schema(tags=["transactions"])
class TransactionView(APIView):
    """One transaction, by either side, with the caller's own entries."""

    @extend_schema(responses={200: TransactionDetailSerializer, **PROBLEMS})
    def get(self, request: Request, transaction_id: uuid.UUID) -> Response:
        record = selectors.get_transaction_of(caller_of(request), transaction_id)
        wallet = get_primary_wallet(caller_of(request))
        entries = selectors.list_entries_of(wallet).filter(transaction_id=record.id)
        return Response(
            {
                **represent_transaction(record, own_wallets=[wallet.pk]),
                "entries": represent_entries(list(entries)),
            }
        )


@extend_schema(tags=["wallets"])
class BalanceView(APIView):
    """What an own wallet holds, now or at a past moment, in one snapshot."""

    @extend_schema(parameters=[BalanceQuery], responses={200: BalanceSerializer, **PROBLEMS})
    def get(self, request: Request, wallet_id: uuid.UUID) -> Response:
        query = BalanceQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        wallet = get_wallet_of(caller_of(request), wallet_id)
        seen = selectors.get_balance(wallet, at=query.validated_data.get("at"))
        return Response(
            {
                "currency": seen.currency,
                "balance": format_amount(seen.balance, seen.currency),
                "held": format_amount(seen.held, seen.currency),
                "available": format_amount(seen.balance - seen.held, seen.currency),
                "holds": [],
                "as_of_sequence": seen.as_of_sequence,
            }
        )


@extend_schema(tags=["wallets"])
class EntryListView(APIView):
    """The ledger entries of an own wallet, newest first."""

    @extend_schema(
        parameters=[EntryPageQuery],
        responses={200: page_of(EntrySerializer, "EntryPage"), **PROBLEMS},
    )
    def get(self, request: Request, wallet_id: uuid.UUID) -> Response:
        query = EntryPageQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        wallet = get_wallet_of(caller_of(request), wallet_id)
        return paginate(
            selectors.list_entries_of(wallet),
            request,
            query=query.validated_data,
            key="sequence",
            parse_key=whole_number,
            represent=represent_entries,
        )
