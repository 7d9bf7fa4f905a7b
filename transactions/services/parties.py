"""Who may act on a transaction that is there already: its recipient, its payer, an operator."""

import enum
import uuid
from collections.abc import Mapping
from typing import Any

from fintech_core.exceptions import NotFound
from transactions.accounts import Opened
from transactions.declines import CallerInactive
from transactions.instructions import Request
from transactions.models import TransactionStatus


class Side(enum.Enum):
    RECIPIENT = "recipient"
    PAYER = "payer"
    OPERATOR = "operator"


def side_of(
    rows: Mapping[uuid.UUID, Any],
    transaction_id: uuid.UUID,
    request: Request,
    *,
    is_operator: bool,
) -> Side:
    """On which side the caller stands: owners of wallets never change, so no lock is needed to know.

    ``rows`` are of ``transactions_by_id()``. The platform itself is an operator. An operator who is a
    side of the transaction is that side, and nothing more. Raises ``NotFound`` for everybody who does not
    see the transaction: a decline is seen by who asked for it.
    """
    row = rows.get(transaction_id)
    if row is None:
        raise NotFound
    if request.caller_id is None:
        return Side.OPERATOR
    owners = {Side.RECIPIENT: row.to_wallet.owner_id, Side.PAYER: row.from_wallet.owner_id}
    side = next((side for side, owner in owners.items() if owner == request.caller_id), None)
    if side is None and is_operator:
        return Side.OPERATOR
    is_hidden = row.status in {TransactionStatus.VOIDED, TransactionStatus.EXPIRED} or (
        row.status == TransactionStatus.DECLINED and row.initiated_by_id != request.caller_id
    )
    if side is None or is_hidden:
        raise NotFound
    return side


def require_active(request: Request, opened: Opened) -> None:
    """The caller was not deactivated meanwhile; the platform always is active."""
    if request.caller_id and not opened.standings[request.caller_id].is_active:
        raise CallerInactive
