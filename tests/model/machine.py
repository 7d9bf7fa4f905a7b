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

from fintech_core.money import places_of
from tests.model.reference import Bank, Order, Told
from tests.model.world import CURRENCIES, NOWHERE, World
from users.tests.factories import at_once

# How many kept orders may be sent again.
_MEMORY = 500


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
        self._deposits: list[tuple[str, str, Decimal, str, str]] = []
        self._wallets = [name for name, wallet in self.bank.wallets.items() if wallet.owner]

    def fund(self) -> None:
        """Something for everybody to begin with."""
        for wallet in self._wallets:
            self._deposit_into(wallet, self._amount(wallet, 300))

    def work(self, operations: int) -> None:
        """At least so many operations."""
        while self.done < operations:
            self.step()

    def step(self) -> None:
        """One piece of work, then the comparison of all balances."""
        kinds = (self.many, self.one, self.all_or_none, self.at_the_same_time)
        others = (self.deposit, self.change_wallet, self.change_user, self.change_clock)
        weights = (30, 10, 10, 6, 14, 8, 4, 18)
        [kind] = self.chance.choices((*kinds, *others), weights)
        kind()
        self.world.require_same_money()

    # Work ----------------------------------------------------------------------------------------

    def one(self) -> None:
        order = self._order()
        self._compare([self.world.transfer(order)], [self.bank.transfer(order)])

    def many(self) -> None:
        orders = self._orders(self.largest_batch)
        self._compare(self.world.transfer_many(orders), self.bank.transfer_many(orders))

    def all_or_none(self) -> None:
        orders = self._orders(4)
        real = self.world.transfer_all_or_none(orders)
        self._compare(real, self.bank.transfer_all_or_none(orders))

    def at_the_same_time(self) -> None:
        """Four callers at once: there is an order, one after the other, that explains all answers."""
        orders = self._orders(4)
        real = at_once(len(orders), lambda index: self.world.transfer(orders[index]))
        found = self._explain(self.bank.fork(), list(range(len(orders))), orders, real)
        assert found is not None, f"no order explains {real} of {orders}"
        self._compare(
            [real[index] for index in found], [self.bank.transfer(orders[i]) for i in found]
        )

    def deposit(self) -> None:
        if self._deposits and self.chance.random() < 0.2:
            self._deposit(*self.chance.choice(self._deposits))
        else:
            wallet = self.chance.choice(self._wallets)
            self._deposit_into(wallet, self._amount(wallet, 500))

    def change_wallet(self) -> None:
        frozen = [name for name in self._wallets if self.bank.wallets[name].status == "frozen"]
        name = self.chance.choice(frozen * 9 + self._wallets)
        wallet = self.bank.wallets[name]
        self.done += 1
        if wallet.status == "frozen":
            self.world.set_status(name, "active")
        elif wallet.status == "active" and self.chance.random() < 0.6:
            least = max(wallet.held - wallet.balance, Decimal(0))
            self.world.set_overdraft(name, max(self._amount(name, 50), least))
        elif wallet.status == "active":
            is_pot = name.endswith("pot") and not wallet.balance and not wallet.held
            self.world.set_status(name, "closed" if is_pot else "frozen")

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
        if seconds > 0 or moment.date() == self.bank.now.date():
            self.bank.now = moment

    # Parts ---------------------------------------------------------------------------------------

    def _compare(self, real: Sequence[Told], meant: Sequence[Told]) -> None:
        self.done += len(real)
        self.met.update(told.code + " again" * told.is_replay for told in real)
        self.world.require_same(real, meant)

    def _explain(
        self, bank: Bank, left: list[int], orders: Sequence[Order], real: Sequence[Told]
    ) -> list[int] | None:
        """An order of what is left in which the bank answers what the service answered."""
        if not left:
            return []
        for index in left:
            trial = bank.fork()
            if self.world.is_same(real[index], trial.transfer(orders[index])):
                rest = [other for other in left if other != index]
                found = self._explain(trial, rest, orders, real)
                if found is not None:
                    return [index, *found]
        return None

    def _deposit_into(self, wallet: str, amount: Decimal) -> None:
        source = f"cash {self.bank.wallets[wallet].currency}"
        key = self._new_key()
        self._deposits = [*self._deposits[-_MEMORY:], (source, wallet, amount, key, key)]
        self._deposit(*self._deposits[-1])

    def _deposit(self, source: str, target: str, amount: Decimal, key: str, printed: str) -> None:
        real = self.world.deposit(source, target, amount, key, printed)
        self._compare([real], [self.bank.deposit(source, target, amount, key, printed)])

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
        hours = self.chance.choice([0] * 8 + [1, 40])
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
