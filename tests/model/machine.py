"""Random work for the service, and the reference beside it: every answer and every balance is compared.

All chance comes from the ``Random`` that is given: the same one does the same. Hypothesis can be it, and
then makes a failure small.
"""

import collections
import datetime
import random
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from fintech_core.money import places_of
from tests.model.books import Made, Told
from tests.model.reference import Bank
from tests.model.requests import Conversion, Deposit, Order, Reversal, Settlement
from tests.model.world import CURRENCIES, END, NOWHERE, World
from users.tests.factories import at_once

# How many kept requests may be sent again, and how many transfers are still thought of.
_MEMORY, _RECENT = 500, 60
# Hours after which a hold runs out only when the model's time is over.
_LONG = 400_000
# The name of an operation, and what it is asked.
Work = tuple[str, Any]


class Machine:
    """Works on a world until nobody asks for more.

    ``done`` counts operations, ``met`` what they were told.
    """

    def __init__(self, world: World, chance: random.Random, *, largest_batch: int = 40) -> None:
        self.world, self.bank, self.chance = world, world.bank, chance
        self.largest_batch = largest_batch
        self.done = 0
        self.met: collections.Counter[str] = collections.Counter()
        self._serial = 0
        self._sent: list[Order] = []
        self._before: list[Work] = []
        self._made: list[int] = []
        self._wallets = [name for name, wallet in self.bank.wallets.items() if wallet.owner]

    def fund(self) -> None:
        """Something for everybody to begin with."""
        for wallet in self._wallets:
            self._ask(*self._deposit_into(wallet))

    def work(self, operations: int) -> None:
        """At least so many operations."""
        while self.done < operations:
            self.step()

    def step(self) -> None:
        """One piece of work, then the comparison of all balances."""
        kinds = (self.many, self.one, self.all_or_none, self.at_the_same_time)
        others = (self.change_wallet, self.change_user, self.change_clock)
        weights = (25, 80, 8, 9, 8, 4, 18)
        [kind] = self.chance.choices((*kinds, *others), weights)
        kind()
        self.world.require_same_money()

    # Work ----------------------------------------------------------------------------------------

    def one(self) -> None:
        self._ask(*self._anything())

    def many(self) -> None:
        self._ask("transfer_many", self._orders(self.largest_batch))

    def all_or_none(self) -> None:
        self._ask("transfer_all_or_none", self._orders(4))

    def at_the_same_time(self) -> None:
        """Four callers at once: there is an order, one after the other, that explains all answers."""
        asked = [self._anything() for _ in range(self.chance.randint(2, 4))]
        real = at_once(len(asked), lambda index: self.world.do(*asked[index]))
        found = self._explain(self.bank.fork(), list(range(len(asked))), asked, real)
        assert found is not None, f"no order explains {real} of {asked}"
        for index in found:
            name, what = asked[index]
            self._compare(name, real[index], getattr(self.bank, name)(what))

    def change_wallet(self) -> None:
        frozen = [name for name in self._wallets if self.bank.wallets[name].status == "frozen"]
        name = self.chance.choice(frozen * 9 + self._wallets)
        if self.chance.random() < 0.4:
            self._ask("set_overdraft", (name, str(self._amount(name, 50))))
        elif name.endswith("pot") and self.chance.random() < 0.2:
            self._ask("close", name)
        elif self.bank.wallets[name].status == "frozen":
            self.world.thaw(name)
        elif self.bank.wallets[name].status == "active":
            self.world.freeze(name)

    def change_user(self) -> None:
        self.done += 1
        for name, user in self.bank.users.items():
            if not user.is_active or user.tier == 0:
                self.world.set_standing(name, tier=2, is_active=True)
        name = self.chance.choice(list(self.world.users))
        tier = self.chance.choice([0, 1, 1, 2, 2])
        self.world.set_standing(name, tier=tier, is_active=self.chance.random() < 0.8)

    def change_clock(self) -> None:
        """On by anything up to weeks; or a little back, as when a clock is set."""
        self.done += 1
        seconds = self.chance.choice([1, 60, 3_600, 20_000, 86_400, 1_000_000, -90])
        moment = self.bank.now + datetime.timedelta(seconds=seconds)
        if moment < END and (seconds > 0 or moment.date() == self.bank.now.date()):
            self.bank.now = moment

    # Parts ---------------------------------------------------------------------------------------

    def _ask(self, name: str, what: Any) -> None:
        """The same of the service and of the bank."""
        real = self.world.do(name, what)
        self._compare(name, real, getattr(self.bank, name)(what))

    def _compare(self, name: str, real: Sequence[Told], meant: Sequence[Told]) -> None:
        self.done += len(real)
        self.met.update(f"{name} {told.code}" + " again" * told.is_replay for told in real)
        self.world.require_same(real, meant)
        made = [told.number for told in meant if told.number in self.bank.made]
        self._made = [*self._made[-_RECENT:], *(n for n in made if n is not None)]

    def _explain(
        self, bank: Bank, left: list[int], asked: Sequence[Work], real: Sequence[list[Told]]
    ) -> list[int] | None:
        """An order of what is left in which the bank answers what the service answered."""
        if not left:
            return []
        for index in left:
            trial = bank.fork()
            name, what = asked[index]
            meant = getattr(trial, name)(what)
            if len(meant) == len(real[index]) and all(map(self.world.is_same, real[index], meant)):
                rest = [other for other in left if other != index]
                found = self._explain(trial, rest, asked, real)
                if found is not None:
                    return [index, *found]
        return None

    def _anything(self) -> Work:
        """Some operation on one thing; now and then one from before, or its key once more."""
        if self._before and self.chance.random() < 0.15:
            name, asked = self.chance.choice(self._before)
            if self.chance.random() < 0.7:
                return name, asked
            return name, replace(asked, printed=self._new_key())
        kinds = (self._transfer, self._deposit, self._capture, self._void, self._reverse)
        [kind] = self.chance.choices((*kinds, self._convert), (6, 3, 5, 2, 4, 4))
        work = kind()
        self._before = [*self._before[-_MEMORY:], work]
        return work

    def _transfer(self) -> Work:
        return "transfer", self._order()

    def _deposit(self) -> Work:
        return self._deposit_into(self.chance.choice(self._wallets))

    def _deposit_into(self, wallet: str) -> Work:
        key, source = self._new_key(), f"cash {self.bank.wallets[wallet].currency}"
        return "deposit", Deposit(None, key, key, source, wallet, self._amount(wallet, 500))

    def _capture(self) -> Work:
        numbers = [n for n in self._holds() if self._may_be_captured(self.bank.made[n])]
        begun = [n for n in numbers if 0 < self.bank.made[n].captured < self.bank.made[n].amount]
        numbers = begun if begun and self.chance.random() < 0.4 else numbers
        return self._settlement("capture", numbers)

    def _void(self) -> Work:
        return self._settlement("void", self._holds())

    def _settlement(self, name: str, numbers: list[int]) -> Work:
        """Of one hold or a few, mostly by its recipient; now and then of what never was one."""
        if not numbers or self.chance.random() < 0.05:
            numbers = [number for number in self._made if not self.bank.made[number].is_hold]
        if not numbers:
            return self._transfer()
        key, many = self._new_key(), self.chance.random() < 0.2
        chosen = tuple(self.chance.sample(numbers, min(len(numbers), 3 if many else 1)))
        made = self.bank.made[chosen[0]]
        amount = self._part_of(made) if name == "capture" and len(chosen) == 1 else None
        caller, is_operator = self._who(made)
        final = amount is None or self.chance.random() < 0.4
        return name, Settlement(caller, key, key, chosen, amount, final, is_operator)

    def _reverse(self) -> Work:
        if not self._made:
            return self._transfer()
        begun = [number for number in self._made if self.bank.made[number].given_back]
        number = self.chance.choice(begun if begun and self.chance.random() < 0.4 else self._made)
        key = self._new_key()
        made = self.bank.made[number]
        caller, is_operator = self._who(made)
        return "reverse", Reversal(caller, key, key, number, self._part_of(made), is_operator)

    def _convert(self) -> Work:
        caller = self.chance.choice([name for name in self.world.users if name != "user4"])
        own = [name for name in self._wallets if self.bank.wallets[name].owner == caller]
        source, target = self.chance.sample(own, 2) if self.chance.random() < 0.95 else own[:1] * 2
        if self.chance.random() < 0.03:
            target = self.chance.choice([NOWHERE, *self._wallets])
        key, currency = self._new_key(), self.bank.wallets[source].currency
        amount = self._amount_text(source, currency)
        return "convert", Conversion(caller, key, key, source, target, amount)

    def _holds(self) -> list[int]:
        return [number for number in self._made if self.bank.made[number].is_hold]

    def _may_be_captured(self, hold: Made) -> bool:
        """The database goes by its own clock, and captures nothing of a hold that has run out by it."""
        assert hold.expires_at is not None
        return hold.status != "pending" or hold.expires_at > datetime.datetime.now(datetime.UTC)

    def _who(self, made: Made) -> tuple[str | None, bool]:
        """Mostly the recipient; the payer, an operator, the platform, or somebody."""
        payer, payee = (self.bank.wallets[name].owner for name in (made.source, made.target))
        somebody = self.chance.choice(list(self.world.users))
        callers = [
            (payee, False),
            (payer, False),
            (None, True),
            (somebody, True),
            (somebody, False),
        ]
        [caller] = self.chance.choices(callers, (70, 10, 8, 6, 6))
        return caller

    def _part_of(self, made: Made) -> str | None:
        """All, a part, or more than there is."""
        smallest = Decimal(1).scaleb(-places_of(made.currency))
        part = self.chance.choice([None, None, "0.3", "0.5", "0.9", "1", "1.1"])
        if part is None:
            return "1.0001" if self.chance.random() < 0.03 else None
        return str(max((made.amount * Decimal(part)).quantize(smallest), smallest))

    def _orders(self, most: int) -> list[Order]:
        return [self._order() for _ in range(self.chance.randint(1, most))]

    def _order(self) -> Order:
        if self._sent and self.chance.random() < 0.15:
            kept = self.chance.choice(self._sent)
            if self.chance.random() < 0.7:
                return kept
            return replace(kept, printed=self._new_key(), to=self._recipient())
        order = self._new_order()
        self._sent = [*self._sent[-_MEMORY:], order]
        return order

    def _new_order(self) -> Order:
        caller = self.chance.choice(list(self.world.users))
        own = [name for name in self._wallets if self.bank.wallets[name].owner == caller]
        source = self.chance.choice([None, *own])
        if self.chance.random() < 0.02:
            source = self.chance.choice([NOWHERE, *self._wallets])
        paying = source if source in own else own[0]
        currency = self.bank.wallets[paying].currency
        if self.chance.random() < 0.05:
            currency = self.chance.choice(CURRENCIES)
        key = self._new_key()
        hours = self.chance.choice([0] * 8 + [1, 40, _LONG, _LONG])
        return Order(
            caller=caller,
            key=key,
            printed=key,
            to=self._recipient(currency, but=caller),
            amount=self._amount_text(paying, currency),
            currency=self.chance.choice([None, currency]),
            source=source,
            hold_for=datetime.timedelta(hours=hours) if hours else None,
        )

    def _recipient(self, currency: str = "USD", *, but: str = "") -> str:
        """Anybody; mostly somebody else's wallet of the currency, or in dollars just somebody else."""
        if self.chance.random() < 0.02:
            return self.chance.choice([NOWHERE, "fees USD", "cash EUR"])
        if self.chance.random() < 0.1:
            return self.chance.choice(self._wallets)
        if currency == "USD" and self.chance.random() < 0.5:
            return self.chance.choice([name for name in self.world.users if name != but])
        wallets = self.bank.wallets.items()
        fitting = [n for n, w in wallets if w.currency == currency and w.owner not in {but, None}]
        return self.chance.choice(fitting or self._wallets)

    def _amount(self, wallet: str, most: int) -> Decimal:
        """An amount of the wallet's currency, up to so many units (or a hundred times as many yen)."""
        places = places_of(self.bank.wallets[wallet].currency)
        return Decimal(self.chance.randint(1, most * 100)).scaleb(-places)

    def _amount_text(self, wallet: str, currency: str) -> str:
        """Mostly little; sometimes all there is, a little more, a lot, or what no money is."""
        smallest = Decimal(1).scaleb(-places_of(currency))
        kind = self.chance.choices(["little", "lot", "all", "more", "wrong"], [80, 10, 5, 3, 2])[0]
        if kind == "wrong":
            return self.chance.choice(["1.001", "-1.00", "1e2", "", "01.00", "1.2345"])
        amount = self._amount(wallet, 1_500 if kind == "lot" else 40)
        if kind in {"all", "more"}:
            amount = self.bank.available(wallet) + (smallest if kind == "more" else 0)
        return str(max(amount.quantize(smallest), smallest))

    def _new_key(self) -> str:
        self._serial += 1
        return f"{self._serial}"
