"""What the reference knows: users, wallets, what was spent and held; and the rules it judges by.

Plain values, one thread, no database, no service code. Everything has a short name instead of an id. A
refusal is a word of docs/api.md.
"""

import datetime
from collections import ChainMap
from collections.abc import Collection, MutableMapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Self

from fintech_core.money import Money, places_of

ZERO = Decimal(0)


class Refused(Exception):
    """A rule was broken; ``facts`` are what the answer says besides the word."""

    def __init__(self, code: str, **facts: Any) -> None:
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
class Made:
    """A transfer, and what became of it; ``status`` is the one that is shown.

    Of a hold: until when it may be captured, and how much was, of the amount and of the fee.
    """

    source: str
    target: str
    currency: str
    amount: Decimal
    fee: Decimal
    made_at: datetime.datetime
    status: str = "posted"
    expires_at: datetime.datetime | None = None
    captured: Decimal = ZERO
    captured_fee: Decimal = ZERO
    given_back: Decimal = ZERO

    @property
    def is_hold(self) -> bool:
        return self.expires_at is not None

    @property
    def remaining(self) -> Decimal:
        return self.amount - self.captured

    @property
    def posted(self) -> Decimal:
        """How much of it reached its recipient."""
        return self.captured if self.is_hold else self.amount

    def told(self) -> dict[str, str]:
        """A hold as it is shown beside what was done to it."""
        fee = self.fee if self.status == "pending" else self.captured_fee
        amounts = {
            "captured_amount": self.captured,
            "reversed_amount": self.given_back,
            "fee": fee,
        }
        texts = {name: str(Money(amount, self.currency)) for name, amount in amounts.items()}
        return {"status": self.status, **texts}


@dataclass(frozen=True)
class Known:
    """A used key: the request that used it, and what it was told."""

    printed: str
    told: Told


class Books:
    """Users, wallets and money; ``now`` is their only clock, and may step back.

    ``limits`` and ``fees`` are the tables of the settings; ``rates`` say what a unit of one currency buys
    of another, ``most_holds`` how many a wallet may have open.
    """

    def __init__(
        self,
        *,
        limits: dict[int, dict[str, dict[str, str]]],
        fees: dict[Any, Any],
        rates: dict[tuple[str, str], Decimal],
        most_holds: int,
        now: datetime.datetime,
    ) -> None:
        self.limits, self.fees, self.rates, self.now = limits, fees, rates, now
        self.most_holds = most_holds
        self.users: dict[str, User] = {}
        self.wallets: dict[str, Wallet] = {}
        self.first: dict[tuple[str | None, str], str] = {}
        self.spent: dict[tuple[str | None, str], Spent] = {}
        self.made: MutableMapping[int, Made] = {}
        self.open_holds: set[int] = set()
        self.known: MutableMapping[tuple[str | None, str], Known] = {}
        self.transactions = 0

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

    def fork(self) -> Self:
        """The same bank once more; what happens to it does not happen to this one."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.users = {name: replace(user) for name, user in self.users.items()}
        other.wallets = {name: replace(wallet) for name, wallet in self.wallets.items()}
        other.spent, other.open_holds = dict(self.spent), set(self.open_holds)
        other.known, other.made = ChainMap({}, self.known), ChainMap({}, self.made)
        return other

    def adopt(self, fork: Self) -> None:
        """Let what happened to a fork of this bank have happened to it."""
        assert isinstance(fork.known, ChainMap)
        assert isinstance(fork.made, ChainMap)
        self.known.update(fork.known.maps[0])
        self.made.update(fork.made.maps[0])
        kept = {"known": self.known, "made": self.made}
        self.__dict__.update(fork.__dict__ | kept)

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
        if payee.owner is None or (source and payee.owner == self.wallets[source].owner):
            return
        largest = self.limits[self.users[payee.owner].tier][payee.currency]["largest_balance"]
        if self.owned(payee.owner, payee.currency) + amount > Decimal(largest):
            raise Refused("balance_limit_exceeded")

    def _fee(self, kind: str, source: str, amount: Money) -> Decimal:
        payer = self.wallets[source]
        assert payer.owner is not None
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
        self, kind: str, source: str, target: str, amount: Decimal, fee: Decimal, currency: str = ""
    ) -> dict[str, Any]:
        return {
            "kind": kind,
            "source": source,
            "target": target,
            "amount": amount,
            "currency": currency or self.wallets[source].currency,
            "fee": fee,
            "at": self._moment(source, target),
        }

    def _moment(self, *names: str) -> datetime.datetime:
        """Now; or where the clock stepped back, when the last of these wallets moved."""
        last = (self.wallets[name].last_at for name in names)
        return max([self.now, *(moment for moment in last if moment)])

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
        facts["at"] = max(facts["at"], self._moment(*(name for name, _ in legs)))
        for name, amount in legs:
            wallet = self.wallets[name]
            wallet.balance += amount
            wallet.entries += 1
            wallet.last_at = facts["at"]
        facts["left"] = {name: self.wallets[name].balance for name, _ in legs}

    def _end_expired_holds(self, *names: str, spared: Collection[int] = ()) -> None:
        """Those of the wallets named, and of where their owners' limits are counted."""
        firsts = {
            self.first[wallet.owner, wallet.currency]
            for wallet in map(self.wallets.__getitem__, names)
            if wallet.owner is not None
        }
        for number in sorted(self.open_holds.difference(spared)):
            hold = self.made[number]
            if hold.source in {*names, *firsts} and self._is_overdue(hold):
                self._end(number, "expired")

    def _is_overdue(self, hold: Made) -> bool:
        is_open = hold.status == "pending"
        return is_open and hold.expires_at is not None and hold.expires_at <= self.now

    def _end(self, number: int, status: str) -> None:
        """What was sent and comes back counts for the limits of its day and month no more."""
        hold = self.made[number]
        self.made[number] = replace(hold, status=status)
        self.open_holds.remove(number)
        wallet = self.wallets[hold.source]
        wallet.held -= hold.remaining + hold.fee - hold.captured_fee
        if wallet.owner == self.wallets[hold.target].owner:
            return
        spent, made_on = self.spent_of(wallet), hold.made_at.date()
        in_day = hold.remaining if made_on == spent.on else ZERO
        same_month = (made_on.year, made_on.month) == (spent.on.year, spent.on.month)
        in_month = hold.remaining if same_month else ZERO
        self.spent[wallet.owner, wallet.currency] = Spent(
            spent.on, max(spent.in_day - in_day, ZERO), max(spent.in_month - in_month, ZERO)
        )
