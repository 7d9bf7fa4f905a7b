"""Histories over HTTP: transactions of a user, entries of a wallet."""

import uuid
from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.openapi import PROBLEMS
from fintech_core.pagination import Cursor, page_link, page_of, paginate, whole_number
from transactions import selectors
from transactions.models import Transaction
from transactions.selectors import Place
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
from users.models import User
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
        values = TransactionPageQuery.take(request.query_params)
        cursor = Cursor.decode(values["cursor"], Place.parse) if "cursor" in values else None
        user = caller_of(request)
        page = selectors.list_history(
            user,
            TransactionPageQuery.filter_of(values),
            place=cursor.key if cursor else None,
            to_newer=cursor is not None and cursor.newer,
            size=values["page_size"],
        )
        return Response(
            {
                "results": _represent(page.rows, own_wallets_of(user, values.get("wallet"))),
                "next": page.older and page_link(request, Cursor(page.older)),
                "previous": page.newer and page_link(request, Cursor(page.newer, newer=True)),
            }
        )


def own_wallets_of(user: User, wallet_id: uuid.UUID | None = None) -> list[uuid.UUID]:
    """The wallets as whose owner the user looks at a history: one, or all."""
    if wallet_id is not None:
        return [wallet_id]
    return wallet_ids_of(user)


def _represent(rows: Sequence[Transaction], own: Sequence[uuid.UUID]) -> list[dict[str, Any]]:
    records = selectors.current_records_of(rows)
    return [represent_transaction(record, own_wallets=own) for record in records]


@extend_schema(tags=["transactions"])
class TransactionView(APIView):
    """One transaction, by either side, with the caller's own entries."""

    @extend_schema(responses={200: TransactionDetailSerializer, **PROBLEMS})
    def get(self, request: Request, transaction_id: uuid.UUID) -> Response:
        user = caller_of(request)
        record = selectors.get_transaction_of(user, transaction_id)
        own = own_wallets_of(user)
        entries = selectors.entries_of_transaction(record.id, wallet_ids=own)
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
        values = EntryPageQuery.take(request.query_params)
        wallet = get_wallet_of(caller_of(request), wallet_id)
        entries = selectors.list_entries_of(
            wallet, since=values.get("from"), before=values.get("to")
        )
        with selectors.in_index_order():
            return paginate(
                entries,
                request,
                query=values,
                key="sequence",
                parse_key=whole_number,
                represent=represent_entries,
            )
