"""What each request does: from a method, a path and a body to an answer."""

import hmac
import json
import re
import sqlite3
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from simulator import objects, pages, settlement
from simulator.behaviour import BEHAVIOURS, Chosen, UnknownBehaviour, require_known
from simulator.configuration import Configuration
from simulator.delivery import Sender
from simulator.events import control_names
from simulator.objects import ENDED, Refused, Wanted
from simulator.store import Store

LARGEST_AMOUNT = 10**15
OUTCOMES = {
    "payment": ("succeeded", "failed"),
    "refund": ("succeeded", "failed"),
    "payout": ("in_transit", "paid", "failed"),
}
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_TEXT = re.compile(r"[ -~]{1,255}", re.ASCII)
_KINDS = {"payments": "payment", "refunds": "refund", "payouts": "payout"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request; headers by lower-case name."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Answer:
    """What to answer, and what becomes of the answer: ``slow``, ``timeout``, ``cut``, ``die`` after it or
    ``die_unanswered`` before."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    fates: set[str] = field(default_factory=set)


def as_json(status: int, told: Mapping[str, Any], **headers: str) -> Answer:
    """An answer of the API."""
    return Answer(
        status, json.dumps(told).encode(), {"Content-Type": "application/json", **headers}
    )


def problem(status: int, code: str, message: str) -> Answer:
    """An error of the API."""
    return as_json(status, {"error": {"code": code, "message": message}})


class Api:
    """All there is behind one port."""

    def __init__(self, configuration: Configuration, store: Store, sender: Sender) -> None:
        self._configuration = configuration
        self._store = store
        self._sender = sender

    def answer(self, request: Request) -> Answer:
        """Never raises for what a client did."""
        try:
            return self._route(request)
        except Refused as refused:
            if request.path.startswith("/checkout/"):
                told = pages.notice("Not found", refused.message)
                return Answer(refused.status, told, dict(pages.HEADERS))
            return problem(refused.status, refused.code, refused.message)

    def _route(self, request: Request) -> Answer:
        if request.path == "/health":
            return as_json(200, {"status": "ok"})
        if request.path.startswith("/checkout/"):
            return self._checkout(request)
        if request.path.startswith("/v1/"):
            return self._api(request, request.path.removeprefix("/v1/").split("/"))
        if request.path == "/":
            text = "Its API is under /v1/, its manual is docs/providers.md."
            return Answer(200, pages.notice("Payment simulator", text), dict(pages.HEADERS))
        raise Refused(404, "not_found", "There is nothing here.")

    def _api(self, request: Request, path: list[str]) -> Answer:
        by_key = self._authenticate(request)
        match path:
            case ["_behaviour"]:
                return self._control(request)
            case ["events"]:
                _require_method(request, "GET")
                return self._events(request)
            case ["settlement" | "settlement.csv" | "settlement.json"]:
                _require_method(request, "GET")
                return self._settlement(request, path[0])
        kind = _KINDS.get(path[0], "")
        if not kind or len(path) > 3:
            raise Refused(404, "not_found", "There is nothing here.")
        with self._store.transaction() as database:
            chosen = Chosen(by_key, control_names(database))
        if len(path) == 1:
            _require_method(request, "POST")
            return self._create(request, kind, chosen)
        if len(path) == 2:
            _require_method(request, "GET")
            return self._fetch(kind, path[1], chosen)
        _require_method(request, "POST")
        if path[2] == "simulate":
            return self._simulate(request, kind, path[1])
        if kind != "payment" or path[2] not in {"confirm", "cancel"}:
            raise Refused(404, "not_found", "There is nothing here.")
        return self._act(path[1], path[2], chosen)

    def _authenticate(self, request: Request) -> frozenset[str]:
        """The behaviours behind the key; raises ``Refused`` 401 without the right one."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        key, _, wanted = given.strip().partition("~")
        known = self._configuration.api_key.encode()
        same = hmac.compare_digest(key.encode("utf-8", "surrogateescape"), known)
        if scheme.lower() != "bearer" or not same:
            raise Refused(401, "unauthorized", "Send the API key: Authorization: Bearer KEY.")
        return _known(wanted.split("+") if wanted else [])

    def _create(self, request: Request, kind: str, chosen: Chosen) -> Answer:
        wanted = _wanted(request, kind)
        chosen = chosen.about(wanted.amount)
        with self._store.transaction() as database:
            if chosen.strikes("error", database, wanted.key, "create"):
                return problem(500, "internal_error", "Something went wrong.")
            twin = objects.find_twin(database, wanted)
            if twin is None and "refuse" in chosen:
                raise Refused(402, "amount_refused", "This amount is refused.")
            row = objects.create(database, wanted, chosen, self._configuration.pace)
            answer = as_json(200 if twin else 201, self._tell(row))
            self._spoil(answer, database, chosen, wanted.key, "create")
            if chosen.strikes("die_unanswered", database, wanted.key, "create"):
                answer.fates.add("die_unanswered")
        self._sender.wake()
        return answer

    def _act(self, identity: str, action: str, chosen: Chosen) -> Answer:
        with self._store.transaction() as database:
            row = objects.find(database, "payment", identity)
            chosen = chosen.about(row["amount"])
            if chosen.strikes("error", database, identity, action):
                return problem(500, "internal_error", "Something went wrong.")
            if action == "confirm":
                row = objects.confirm(database, row, self._configuration.pace)
            elif row["status"] != "canceled":
                row = objects.take(database, row, "canceled")
            answer = as_json(200, self._tell(row))
            self._spoil(answer, database, chosen, identity, action)
            self._may_die(answer, database, row)
        self._sender.wake()
        return answer

    def _fetch(self, kind: str, identity: str, chosen: Chosen) -> Answer:
        with self._store.transaction() as database:
            # An amount spoils what is asked for, not the look at what became of it.
            if "error" in chosen:
                return problem(500, "internal_error", "Something went wrong.")
            answer = as_json(200, self._tell(objects.find(database, kind, identity)))
            self._spoil(answer, database, chosen, identity, "fetch")
        return answer

    def _simulate(self, request: Request, kind: str, identity: str) -> Answer:
        outcome = _fields(request).get("outcome")
        if outcome not in OUTCOMES[kind]:
            raise Refused(400, "invalid_request", f"outcome must be one of {OUTCOMES[kind]}.")
        with self._store.transaction() as database:
            row = objects.finish(database, objects.find(database, kind, identity), outcome)
            answer = as_json(200, self._tell(row))
            self._may_die(answer, database, row)
        self._sender.wake()
        return answer

    def _spoil(
        self,
        answer: Answer,
        database: sqlite3.Connection,
        chosen: Chosen,
        subject: str,
        action: str,
    ) -> None:
        """What happens to the answer of something that was done."""
        if chosen.strikes("error_after", database, subject, action):
            told = problem(500, "internal_error", "Something went wrong.")
            answer.status, answer.body = told.status, told.body
        for fate in ("timeout", "cut"):
            if chosen.strikes(fate, database, subject, action):
                answer.fates.add(fate)
        if "slow" in chosen:
            answer.fates.add("slow")

    def _may_die(self, answer: Answer, database: sqlite3.Connection, row: sqlite3.Row) -> None:
        chosen = Chosen(by_control=control_names(database), by_amount=objects.chosen_for(row))
        if row["status"] in ENDED and chosen.strikes("die", database, row["id"], "end"):
            answer.fates.add("die")

    def _tell(self, row: sqlite3.Row) -> dict[str, Any]:
        told = objects.describe(row)
        if row["kind"] == "payment":
            told["client_secret"] = row["client_secret"]
            told["checkout_url"] = f"{self._configuration.public_url}/checkout/{row['checkout']}"
        return told

    def _events(self, request: Request) -> Answer:
        """In the order they happened, ``after`` an id, up to ``limit``; of one ``object``, or of all."""
        text = request.query.get("limit", "100")
        if not (text.isascii() and text.isdigit() and int(text[:9]) <= 1_000):
            raise Refused(400, "invalid_request", "limit must be a number up to 1000.")
        limit = int(text)
        with self._store.transaction() as database:
            rows = database.execute(
                "SELECT e.*, (SELECT count(*) FROM deliveries d WHERE d.event = e.id"
                " AND d.next_at IS NOT NULL) AS waiting,"
                " (SELECT coalesce(sum(tries), 0) FROM deliveries d WHERE d.event = e.id) AS tries"
                " FROM events e WHERE (? = '' OR object = ?) AND sequence >"
                " coalesce((SELECT sequence FROM events WHERE id = ?), 0) ORDER BY sequence LIMIT ?",
                (*[request.query.get("object", "")] * 2, request.query.get("after", ""), limit),
            ).fetchall()
        told = [
            {**json.loads(row["body"]), "waiting": row["waiting"], "tries": row["tries"]}
            for row in rows
        ]
        return as_json(200, {"events": told})

    def _settlement(self, request: Request, name: str) -> Answer:
        first = settlement.day(request.query.get("from", ""), "from")
        last = settlement.day(request.query.get("to", ""), "to")
        with self._store.transaction() as database:
            rows = settlement.report(database, first, last)
        if name.endswith("json"):
            return Answer(200, settlement.as_json(rows), {"Content-Type": "application/json"})
        return Answer(200, settlement.as_csv(rows), {"Content-Type": "text/csv; charset=utf-8"})

    def _control(self, request: Request) -> Answer:
        """``behaviours`` and ``webhook_url`` for everything that follows.

        DELETE forgets both, and gives up what still waits to be sent.
        """
        _require_method(request, "GET", "POST", "DELETE")
        with self._store.transaction() as database:
            if request.method == "DELETE":
                database.execute("DELETE FROM control")
                database.execute("UPDATE deliveries SET next_at = NULL WHERE next_at IS NOT NULL")
            if request.method == "POST":
                self._steer(database, _fields(request))
            names = sorted(control_names(database))
        self._sender.wake()
        return as_json(
            200,
            {"behaviours": names, "webhook_url": self._sender.target(), "known": BEHAVIOURS},
        )

    def _steer(self, database: sqlite3.Connection, fields: Mapping[str, Any]) -> None:
        if fields.keys() - {"behaviours", "webhook_url"}:
            raise Refused(400, "invalid_request", "Only behaviours and webhook_url can be set.")
        names = fields.get("behaviours", [])
        url = fields.get("webhook_url", "")
        if not isinstance(names, list) or not isinstance(url, str):
            raise Refused(
                400, "invalid_request", "behaviours is a list of names, webhook_url a URL."
            )
        if url and urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
            raise Refused(400, "invalid_request", "webhook_url must be http or https.")
        values = {"behaviours": " ".join(sorted(_known(names))), "webhook_url": url}
        for name in fields:
            if values[name]:
                database.execute("REPLACE INTO control VALUES (?, ?)", (name, values[name]))
            else:
                database.execute("DELETE FROM control WHERE name = ?", (name,))

    def _checkout(self, request: Request) -> Answer:
        """The page of one payment, whose unguessable address is all it takes; a POST pays or declines."""
        _require_method(request, "GET", "HEAD", "POST")
        token = request.path.removeprefix("/checkout/")
        fates: set[str] = set()
        with self._store.transaction() as database:
            row = objects.find_by_checkout(database, token)
            if request.method != "POST":
                return Answer(200, pages.checkout(row), dict(pages.HEADERS))
            form = urllib.parse.parse_qs(request.body.decode("utf-8", "replace"))
            outcome = form.get("outcome", [""])[-1]
            if outcome in OUTCOMES["payment"] and row["status"] not in ENDED:
                row = objects.finish(database, row, outcome)
                ending = Answer(303)
                self._may_die(ending, database, row)
                fates = ending.fates
        self._sender.wake()
        # Whoever reloads the page afterwards pays nothing twice.
        headers = {**pages.HEADERS, "Location": f"/checkout/{token}"}
        return Answer(303, b"", headers, fates)


def _require_method(request: Request, *allowed: str) -> None:
    if request.method not in allowed:
        raise Refused(405, "method_not_allowed", f"Only {', '.join(allowed)} here.")


def _known(names: list[str]) -> frozenset[str]:
    try:
        return require_known(names)
    except (UnknownBehaviour, TypeError) as unknown:
        raise Refused(400, "unknown_behaviour", f"There is no behaviour {unknown}.") from None


def _fields(request: Request) -> dict[str, Any]:
    try:
        fields = json.loads(request.body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise Refused(400, "invalid_request", "Send one JSON object.")
    return fields


def _wanted(request: Request, kind: str) -> Wanted:
    """What is to be made; raises ``Refused`` 400 where a field is not as it should be."""
    fields = _fields(request)
    amount, currency = fields.get("amount"), fields.get("currency")
    if type(amount) is not int or not 0 < amount <= LARGEST_AMOUNT:
        raise Refused(400, "invalid_request", "amount must be a whole number of smallest units.")
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise Refused(400, "invalid_request", "currency must be three upper-case letters.")
    text: Callable[[str], str] = lambda name: _text(fields.get(name), name)  # noqa: E731
    return Wanted(
        kind=kind,
        key=_text(request.headers.get("idempotency-key"), "The header Idempotency-Key"),
        merchant_reference=text("merchant_reference"),
        amount=amount,
        currency=currency,
        payment=text("payment") if kind == "refund" else "",
        destination=text("destination") if kind == "payout" else "",
    )


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not _TEXT.fullmatch(value):
        raise Refused(400, "invalid_request", f"{name} must be 1 to 255 printable characters.")
    return value
