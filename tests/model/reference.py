"""What the service must answer, said as plainly as it can be: one thread, no database, no service code.

Everything has a short name instead of an id. An operation returns what became of it (``Told``) and
changes the bank; a refusal is a word of docs/api.md. The order of the refusals is that page's.
"""

import datetime
from collections import ChainMap
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from fintech_core.money import InvalidMoney, Money, places_of

ZERO = Decimal(0)


class Refused(Exception):
    """A rule was broken; ``facts`` are what the answer says besides the word."""

    def __init__(self, code: str, **facts: str) -> None:
        super().__init__(code)
        self.code, self.facts = code, facts


@dataclass(frozen=True)
class Told:
    """What became of an operation: ``posted``, ``pending`` or the word of the refusal.

    ``number`` is which transaction it made, in the bank's own counting; none where nothing is recorded.
    """

    code: str
    facts: dict[str, Any] = field(default_factory=dict)
    number: int | None = None
    is_replay: bool = False


@dataclass(frozen=True)
class Order:
    """A transfer as a caller asks for it; ``to`` is a wallet, or a user for the primary one.

    ``printed`` stands for the whole request: with another one, a key is misused.
    """

    caller: str
    key: str
    printed: str
    to: str
    amount: str
    currency: str | None = None
    source: str | None = None
    hold_for: datetime.timedelta | None = None


@dataclass
class User:
    primary: str
    tier: int
    is_active: bool = True


@dataclass
class Wallet:
    owner: str | None
    currency: str
    status: str = "active"
    balance: Decimal = ZERO
    held: Decimal = ZERO
    overdraft: Decimal = ZERO
    entries: int = 0
    last_at: datetime.datetime | None = None


@dataclass(frozen=True)
class Spent:
    """What an owner sent in a currency since the start of the day and of its month."""

    on: datetime.date = datetime.date(1970, 1, 1)
    in_day: Decimal = ZERO
    in_month: Decimal = ZERO

    def today(self, today: datetime.date) -> "Spent":
        if today <= self.on:
            return self
        same_month = (today.year, today.month) == (self.on.year, self.on.month)
        return Spent(today, ZERO, self.in_month if same_month else ZERO)


@dataclass(frozen=True)
class Hold:
    wallet: str
    target: str
    remaining: Decimal
    fee: Decimal
    made_at: datetime.datetime
    expires_at: datetime.datetime


@dataclass(frozen=True)
class Known:
    """A used key: the request that used it, and what it was told."""

    printed: str
    told: Told


class Bank:
    """Users, wallets and money; ``now`` is its only clock, and may step back.

    ``limits`` and ``fees`` are the tables of the settings. ``fee_wallets`` take the fees, by currency.
    """

    def __init__(
        self,
        *,
        limits: dict[int, dict[str, dict[str, str]]],
        fees: dict[Any, Any],
        fee_wallets: dict[str, str],
        now: datetime.datetime,
    ) -> None:
        self.limits, self.fees, self.fee_wallets, self.now = limits, fees, fee_wallets, now
        self.users: dict[str, User] = {}
        self.wallets: dict[str, Wallet] = {}
        self.first: dict[tuple[str | None, str], str] = {}
        self.spent: dict[tuple[str | None, str], Spent] = {}
        self.holds: dict[int, Hold] = {}
        self.known: MutableMapping[tuple[str | None, str], Known] = {}
        self.transactions = 0
        for currency, name in fee_wallets.items():
            self.open_wallet(name, None, currency)

    # Who and what there is -----------------------------------------------------------------------

    def open_user(self, name: str, wallet: str, currency: str, *, tier: int) -> None:
        self.users[name] = User(wallet, tier)
        self.open_wallet(wallet, name, currency)

    def open_wallet(self, name: str, owner: str | None, currency: str) -> None:
        """The first of an owner and currency is where their limits are counted."""
        self.wallets[name] = Wallet(owner, currency)
        self.first.setdefault((owner, currency), name)

    def available(self, name: str) -> Decimal:
        wallet = self.wallets[name]
        return wallet.balance - wallet.held + wallet.overdraft

    def owned(self, owner: str | None, currency: str) -> Decimal:
        """What all wallets of an owner in a currency hold together."""
        mine = (w for w in self.wallets.values() if (w.owner, w.currency) == (owner, currency))
        return sum((wallet.balance for wallet in mine), ZERO)

    def total(self, currency: str) -> Decimal:
        """Of a currency there is always as much as came in: with the platform's own, nothing."""
        return sum((w.balance for w in self.wallets.values() if w.currency == currency), ZERO)

    def spent_of(self, wallet: Wallet) -> Spent:
        return self.spent.get((wallet.owner, wallet.currency), Spent())

    # Trying something out ------------------------------------------------------------------------

    def fork(self) -> "Bank":
        """The same bank once more; what happens to it does not happen to this one."""
        other = Bank.__new__(Bank)
        other.__dict__.update(self.__dict__)
        other.users = {name: replace(user) for name, user in self.users.items()}
        other.wallets = {name: replace(wallet) for name, wallet in self.wallets.items()}
        other.spent, other.holds = dict(self.spent), dict(self.holds)
        other.known = ChainMap({}, self.known)
        return other

    def adopt(self, fork: "Bank") -> None:
        """Let what happened to a fork of this bank have happened to it."""
        assert isinstance(fork.known, ChainMap)
        self.known.update(fork.known.maps[0])
        state = fork.__dict__.items()
        self.__dict__.update({name: value for name, value in state if name != "known"})

    # Money in ------------------------------------------------------------------------------------

    def deposit(self, source: str, target: str, amount: Decimal, key: str, printed: str) -> Told:
        """Money comes in from one of the platform's wallets."""
        currency = self.wallets[target].currency
        if (None, key) in self.known:
            return self._replay(None, key, printed)
        self._end_expired_holds(source, target)
        facts = self._facts("deposit", source, target, amount, currency, ZERO)
        try:
            self._require_open(source, target)
            self._require_room(source, target, amount)
        except Refused as refused:
            return self._record(None, key, printed, refused.code, facts | refused.facts)
        self._move(facts, (source, -amount), (target, amount))
        return self._record(None, key, printed, "posted", facts)

    # Transfers -----------------------------------------------------------------------------------

    def transfer(self, order: Order) -> Told:
        [told] = self.transfer_many([order])
        return told

    def transfer_many(self, orders: Sequence[Order]) -> list[Told]:
        """One after the other; a refused one does not touch the others."""
        for order in orders:
            self._open(order)
        return [self._transfer(order) for order in orders]

    def transfer_all_or_none(self, orders: Sequence[Order]) -> list[Told]:
        """All of them; or nothing but the record of the first that was declined, which is told alone."""
        trial = self.fork()
        told = []
        for order in orders:
            trial._open(order)
        for index, order in enumerate(orders):
            one = trial._transfer(order)
            if one.code not in {"posted", "pending"}:
                facts = {**one.facts, "index": index}
                if one.number is None or one.is_replay:
                    return [replace(one, facts=facts)]
                for each in orders:
                    self._open(each)
                recorded = self._record(order.caller, order.key, order.printed, one.code, one.facts)
                return [replace(recorded, facts=facts)]
            told.append(one)
        self.adopt(trial)
        return told

    def _open(self, order: Order) -> None:
        """Whoever looks at wallets first ends what ran out in them."""
        names = [order.source or self.users[order.caller].primary]
        names.append(self.users[order.to].primary if order.to in self.users else order.to)
        self._end_expired_holds(*(name for name in names if name in self.wallets))

    def _transfer(self, order: Order) -> Told:
        try:
            source, target, amount = self._read(order)
        except Refused as refused:
            # Nobody is told of a key by a request that names nothing; but a retry is a retry.
            known = self.known.get((order.caller, order.key))
            if known and known.printed == order.printed:
                return self._replay(order.caller, order.key, order.printed)
            return Told(refused.code)
        if (order.caller, order.key) in self.known:
            return self._replay(order.caller, order.key, order.printed)
        if not self.users[order.caller].is_active:
            return Told("invalid_token")
        fee = self._fee("transfer", source, target, amount)
        value = amount.amount
        facts = self._facts("transfer", source, target, value, amount.currency, fee)
        try:
            self._judge(source, target, amount, fee)
        except Refused as refused:
            if refused.code == "kyc_required":
                return Told(refused.code)
            return self._record(
                order.caller, order.key, order.printed, refused.code, facts | refused.facts
            )
        self._count(source, target, value)
        if order.hold_for is not None:
            return self._hold(order, source, value, fee, facts)
        legs = [(source, -(value + fee)), (target, value)]
        if fee:
            legs.append((self.fee_wallets[amount.currency], fee))
        self._move(facts, *legs)
        return self._record(order.caller, order.key, order.printed, "posted", facts)

    def _read(self, order: Order) -> tuple[str, str, Money]:
        """Which wallets the words mean, and how much."""
        source = order.source or self.users[order.caller].primary
        if source not in self.wallets or self.wallets[source].owner != order.caller:
            raise Refused("wallet_not_found")
        try:
            amount = Money.parse(order.amount, order.currency or self.wallets[source].currency)
        except InvalidMoney:
            raise Refused("validation_error") from None
        target = self.users[order.to].primary if order.to in self.users else order.to
        owner = self.wallets[target].owner if target in self.wallets else None
        if owner is None or not self.users[owner].is_active:
            raise Refused("recipient_not_found")
        return source, target, amount

    def _judge(self, source: str, target: str, amount: Money, fee: Decimal) -> None:
        self._require_open(source, target)
        payer, payee = self.wallets[source], self.wallets[target]
        if {payer.currency, payee.currency} != {amount.currency}:
            raise Refused("currency_mismatch")
        if source == target:
            raise Refused("self_transfer")
        if payer.owner is not None and payer.owner != payee.owner:
            if self.users[payer.owner].tier < 1:
                raise Refused("kyc_required")
            self._require_within_limits(payer, amount.amount)
        if self.available(source) < amount.amount + fee:
            raise Refused("insufficient_funds")
        self._require_room(source, target, amount.amount)

    def _hold(
        self, order: Order, source: str, amount: Decimal, fee: Decimal, facts: dict[str, Any]
    ) -> Told:
        assert order.hold_for is not None
        self.wallets[source].held += amount + fee
        made_at = facts["at"]
        expires_at = made_at + order.hold_for
        facts["expires_at"] = expires_at.isoformat()
        told = self._record(order.caller, order.key, order.printed, "pending", facts)
        assert told.number is not None
        self.holds[told.number] = Hold(source, facts["target"], amount, fee, made_at, expires_at)
        return told

    # Rules ---------------------------------------------------------------------------------------

    def _require_open(self, *names: str) -> None:
        for name in names:
            if self.wallets[name].status != "active":
                raise Refused(f"wallet_{self.wallets[name].status}")

    def _require_within_limits(self, payer: Wallet, amount: Decimal) -> None:
        assert payer.owner is not None
        spent = self.spent_of(payer).today(self.now.date())
        texts = self.limits[self.users[payer.owner].tier][payer.currency]
        limits = {name: Decimal(text) for name, text in texts.items()}
        remaining = {
            "per_transfer": limits["per_transfer"],
            "per_day": max(limits["per_day"] - spent.in_day, ZERO),
            "per_month": max(limits["per_month"] - spent.in_month, ZERO),
        }
        for name, left in remaining.items():
            if amount > left:
                raise Refused(
                    "limit_exceeded",
                    limit=name,
                    limit_amount=str(Money(limits[name], payer.currency)),
                    remaining=str(Money(left, payer.currency)),
                    currency=payer.currency,
                )

    def _require_room(self, source: str, target: str, amount: Decimal) -> None:
        payee = self.wallets[target]
        if payee.owner is None or payee.owner == self.wallets[source].owner:
            return
        largest = self.limits[self.users[payee.owner].tier][payee.currency]["largest_balance"]
        if self.owned(payee.owner, payee.currency) + amount > Decimal(largest):
            raise Refused("balance_limit_exceeded")

    def _fee(self, kind: str, source: str, target: str, amount: Money) -> Decimal:
        payer, payee = self.wallets[source], self.wallets[target]
        if payer.owner is None or payer.owner == payee.owner:
            return ZERO
        tiers = self.fees.get(kind, {})
        currencies = tiers.get(self.users[payer.owner].tier, tiers.get("*", {}))
        entry = currencies.get(amount.currency, currencies.get("*", {}))
        fee = Decimal(entry.get("flat", "0"))
        fee += amount.amount * Decimal(entry.get("percent", "0")) / 100
        fee = max(fee, Decimal(entry.get("minimum", "0")))
        if "maximum" in entry:
            fee = min(fee, Decimal(entry["maximum"]))
        return fee.quantize(Decimal(1).scaleb(-places_of(amount.currency)), ROUND_HALF_EVEN)

    # What happens --------------------------------------------------------------------------------

    def _facts(
        self, kind: str, source: str, target: str, amount: Decimal, currency: str, fee: Decimal
    ) -> dict[str, Any]:
        last = (self.wallets[name].last_at for name in (source, target))
        return {
            "kind": kind,
            "source": source,
            "target": target,
            "amount": amount,
            "currency": currency,
            "fee": fee,
            "at": max(self.now, *(moment for moment in last if moment), self.now),
        }

    def _count(self, source: str, target: str, amount: Decimal) -> None:
        """What is sent to somebody else counts for the limits."""
        payer = self.wallets[source]
        if payer.owner != self.wallets[target].owner:
            spent = self.spent_of(payer).today(self.now.date())
            self.spent[payer.owner, payer.currency] = Spent(
                spent.on, spent.in_day + amount, spent.in_month + amount
            )

    def _move(self, facts: dict[str, Any], *legs: tuple[str, Decimal]) -> None:
        """Every wallet moves; the posting is dated no earlier than the last of any of them."""
        last = (self.wallets[name].last_at for name, _ in legs)
        facts["at"] = max(facts["at"], *(moment for moment in last if moment), facts["at"])
        for name, amount in legs:
            wallet = self.wallets[name]
            wallet.balance += amount
            wallet.entries += 1
            wallet.last_at = facts["at"]
        facts["left"] = {name: self.wallets[name].balance for name, _ in legs}

    def _end_expired_holds(self, *names: str) -> None:
        """Those of the wallets named, and of where their owners' limits are counted."""
        firsts = {
            self.first[wallet.owner, wallet.currency]
            for wallet in map(self.wallets.__getitem__, names)
            if wallet.owner is not None
        }
        for number, hold in list(self.holds.items()):
            if hold.wallet in {*names, *firsts} and hold.expires_at <= self.now:
                self._release(number)

    def _release(self, number: int) -> None:
        """What was sent and comes back counts for the limits of its day and month no more."""
        hold = self.holds.pop(number)
        wallet = self.wallets[hold.wallet]
        wallet.held -= hold.remaining + hold.fee
        if wallet.owner == self.wallets[hold.target].owner:
            return
        spent, made_on = self.spent_of(wallet), hold.made_at.date()
        in_day = hold.remaining if made_on == spent.on else ZERO
        same_month = (made_on.year, made_on.month) == (spent.on.year, spent.on.month)
        in_month = hold.remaining if same_month else ZERO
        self.spent[wallet.owner, wallet.currency] = Spent(
            spent.on, max(spent.in_day - in_day, ZERO), max(spent.in_month - in_month, ZERO)
        )

    def _record(
        self, caller: str | None, key: str, printed: str, code: str, facts: dict[str, Any]
    ) -> Told:
        self.transactions += 1
        told = Told(code, facts, self.transactions)
        self.known[caller, key] = Known(printed, told)
        return told

    def _replay(self, caller: str | None, key: str, printed: str) -> Told:
        known = self.known[caller, key]
        if known.printed != printed:
            return Told("idempotency_key_reused")
        return replace(known.told, is_replay=True)
