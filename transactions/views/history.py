"""Money moving over HTTP: a thin layer over ``transactions.services`` and ``transactions.selectors``."""

import uuid
from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.openapi import PROBLEMS
from fintech_core.pagination import page_of, paginate, whole_number
from transactions import selectors
from transactions.models import Transaction
from transactions.serializers import (
    EntryPageQuery,
    EntrySerializer,
    TransactionDetailSerializer,
    TransactionPageQuery,
    TransactionSerializer,
    represent_entries,
    represent_transaction,
)
from users.authentication import caller_of
from wallet.selectors import get_wallet_of, wallet_ids_of


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
        rows = selectors.list_transactions_of(
            caller_of(request), wallet_id=values.get("wallet"), status=values.get("status")
        )
        if "kind" in values:
            rows = rows.filter(kind=values["kind"])
        own = wallet_ids_of(caller_of(request))

        def represent(page: Sequence[Transaction]) -> list[Any]:
            records = selectors.current_records_of(page)
            return [represent_transaction(record, own_wallets=own) for record in records]

        return paginate(rows, request, query=values, represent=represent)


@extend_schema(tags=["transactions"])
class TransactionView(APIView):
    """One transaction, by either side, with the caller's own entries."""

    @extend_schema(responses={200: TransactionDetailSerializer, **PROBLEMS})
    def get(self, request: Request, transaction_id: uuid.UUID) -> Response:
        record = selectors.get_transaction_of(caller_of(request), transaction_id)
        own = wallet_ids_of(caller_of(request))
        entries = selectors.entries_of_transaction(record.id, wallet_ids=own).order_by("leg")
        return Response(
            {
                **represent_transaction(record, own_wallets=own),
                "entries": represent_entries(list(entries)),
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
