"""A peer that follows Stripe's documentation where localstripe does not: errors, idempotency, paging.

It keeps a little state, and can be told what to answer next. Amounts and states are Stripe's.
"""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import stripe

KEY = "sk_test_4eC39HqLyjWDarjtT1zdp7dc"
SECRET = "whsec_of_the_peer"


def sign(body: str, secret: str = SECRET, *, age: int = 0) -> dict[str, str]:
    """The headers of an event that was sent so many seconds ago."""
    moment = int(time.time()) - age
    header = stripe.WebhookSignature.generate_signature_header(body, secret, moment)
    return {"stripe-signature": header, "content-type": "application/json; charset=utf-8"}


def event(kind: str, about: dict[str, Any], **overrides: Any) -> str:
    """An event's body."""
    told = {
        "id": f"evt_{uuid.uuid4().hex[:24]}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": int(time.time()),
        "data": {"object": about},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
        **overrides,
    }
    return json.dumps(told, indent=2)


class Refusal(Exception):
    """An answer other than 200, with Stripe's error object."""

    def __init__(self, status: int, kind: str, code: str = "", **more: Any) -> None:
        super().__init__(code)
        error = {"type": kind, "message": f"No. Key: {KEY[:8]}****", **more}
        self.answer: tuple[int, Any, dict[str, str]]
        self.answer = (status, {"error": error | ({"code": code} if code else {})}, {})


class Peer(ThreadingHTTPServer):
    """Stripe's side of the wire. ``planned`` holds answers to come, one per request, before its own."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, dict[str, Any]] = {}
        self.balance: list[dict[str, Any]] = []
        self.answers: dict[str, tuple[dict[str, str], tuple[int, Any, dict[str, str]]]] = {}
        # An answer, or seconds to wait before its own.
        self.planned: list[tuple[int, Any, dict[str, str]] | float] = []
        # Seconds between one byte of an answer and the next.
        self.pace = 0.0
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked did not wait for the answer."""

    def plan(self, status: int, kind: str = "api_error", code: str = "", **headers: str) -> None:
        """Answer the next request with this error."""
        _, body, _ = Refusal(status, kind, code).answer
        self.planned.append((status, body, {k.replace("_", "-"): v for k, v in headers.items()}))

    def add(self, kind: str, prefix: str, **fields: Any) -> dict[str, Any]:
        """An object that is there, as if somebody else had made it."""
        made = {
            "id": f"{prefix}_{uuid.uuid4().hex[:24]}",
            "object": kind,
            "created": int(time.time()),
            "livemode": False,
            "metadata": {},
            **fields,
        }
        self.objects[made["id"]] = made
        return made

    def act(self, method: str, path: str, params: dict[str, str]) -> dict[str, Any]:
        """Do what a request says. Raises ``Refusal``."""
        _, _, kind, *rest = path.split("/")
        if method == "GET" and not rest:
            return self._list(kind, path, params)
        if rest and rest[0] not in self.objects:
            raise Refusal(404, "invalid_request_error", "resource_missing", param="id")
        if method == "GET":
            return self.objects[rest[0]]
        if len(rest) == 2:
            return self._step(self.objects[rest[0]], rest[1])
        return self._create(kind, params)

    def _create(self, kind: str, params: dict[str, str]) -> dict[str, Any]:
        fields: dict[str, Any] = {k: v for k, v in params.items() if "[" not in k}
        fields["amount"] = int(fields["amount"])
        fields["metadata"] = {k[9:-1]: v for k, v in params.items() if k.startswith("metadata[")}
        if kind == "payment_intents":
            made = self.add("payment_intent", "pi", **fields, status="requires_payment_method")
            return made | {"client_secret": f"{made['id']}_secret_x"}
        if kind == "refunds":
            paid = self.objects.get(fields["payment_intent"])
            if paid is None:
                raise Refusal(404, "invalid_request_error", "resource_missing")
            left = paid["amount"] - paid.get("amount_refunded", 0)
            if not left:
                raise Refusal(400, "invalid_request_error", "charge_already_refunded")
            paid["amount_refunded"] = paid.get("amount_refunded", 0) + fields["amount"]
            return self.add("refund", "re", **fields, currency=paid["currency"], status="pending")
        if fields["amount"] > 1_000_000:
            raise Refusal(400, "invalid_request_error", "balance_insufficient")
        return self.add("payout", "po", **fields, status="pending", failure_code=None)

    def _step(self, payment: dict[str, Any], step: str) -> dict[str, Any]:
        open_states = {"requires_payment_method", "requires_confirmation", "requires_action"}
        method = payment.get("payment_method")
        if payment["status"] not in open_states or (step == "confirm" and not method):
            code = "payment_intent_unexpected_state"
            raise Refusal(400, "invalid_request_error", code, payment_intent=payment)
        if step == "cancel":
            payment["status"] = "canceled"
        elif method == "pm_card_chargeDeclinedInsufficientFunds":
            declined = {"code": "card_declined", "decline_code": "insufficient_funds"}
            payment |= {"status": "requires_payment_method", "payment_method": None}
            payment["last_payment_error"] = {"type": "card_error", **declined}
            decline = {"decline_code": "insufficient_funds", "payment_intent": payment}
            raise Refusal(402, "card_error", "card_declined", **decline)
        else:
            payment |= {"status": "succeeded", "amount_received": payment["amount"]}
        return payment

    def _list(self, kind: str, path: str, params: dict[str, str]) -> dict[str, Any]:
        objects = self.balance if kind == "balance_transactions" else [*self.objects.values()]
        since, until = int(params.get("created[gte]", 0)), int(params.get("created[lt]", 2**40))
        found = [o for o in objects if kind in f"{o['object']}s" and since <= o["created"] < until]
        if "payment_intent" in params:
            found = [o for o in found if o["payment_intent"] == params["payment_intent"]]
        found.sort(key=lambda o: (o["created"], o["id"]), reverse=True)
        if "starting_after" in params:
            ids = [o["id"] for o in found]
            found = found[ids.index(params["starting_after"]) + 1 :]
        size = int(params.get("limit", 10))
        more = len(found) > size
        return {"object": "list", "url": path, "has_more": more, "data": found[:size]}


class _Handler(BaseHTTPRequestHandler):
    server: Peer
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self._answer("GET", url.path, dict(parse_qsl(url.query)))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self._answer("POST", urlsplit(self.path).path, dict(parse_qsl(body)))

    def _answer(self, method: str, path: str, params: dict[str, str]) -> None:
        peer = self.server
        with peer.lock:
            peer.requests.append((method, path, dict(self.headers)))
            planned = peer.planned.pop(0) if peer.planned else None
        if isinstance(planned, float):
            time.sleep(planned)
            planned = None
        with peer.lock:
            status, body, headers = planned or self._act(method, path, params)
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        headers = {"Content-Type": "application/json", "Request-Id": "req_peer", **headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not peer.pace:
            self.wfile.write(content)
            return
        for byte in content:
            self.wfile.write(bytes([byte]))
            time.sleep(peer.pace)

    def _act(
        self, method: str, path: str, params: dict[str, str]
    ) -> tuple[int, Any, dict[str, str]]:
        """Once per idempotency key; the first answer again for the same request."""
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            return Refusal(401, "invalid_request_error").answer
        key, peer = self.headers.get("Idempotency-Key") or "", self.server
        if method == "POST" and key in peer.answers:
            asked, answer = peer.answers[key]
            if asked != {"path": path, **params}:
                return Refusal(400, "idempotency_error").answer
            return (*answer[:2], {"Idempotent-Replayed": "true"})
        try:
            # As it is now: the object goes on changing.
            answer = (200, json.loads(json.dumps(peer.act(method, path, params))), {})
        except Refusal as refusal:
            answer = refusal.answer
        if method == "POST":
            peer.answers[key] = ({"path": path, **params}, answer)
        return answer

    def log_message(self, *_: Any) -> None:
        """Nothing is written."""


@contextmanager
def serving() -> Iterator[Peer]:
    """A peer on a free port of this machine."""
    with Peer() as peer:
        threading.Thread(target=peer.serve_forever, args=[0.05], daemon=True).start()
        try:
            yield peer
        finally:
            peer.shutdown()
