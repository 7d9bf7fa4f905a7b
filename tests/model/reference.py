"""What the service must answer, said as plainly as it can be.

An operation changes the bank and returns what became of it, one ``Told`` for each thing it was asked. The
order of the refusals is that of docs/api.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from typing import Any

from fintech_core.money import InvalidMoney, Money, places_of
from tests.model.books import ZERO, Books, Known, Made, Refused, Told
from tests.model.requests import Asked, Conversion, Deposit, Order, Reversal, Settlement


class Bank(Books):
    """The operations."""

    # Money in ------------------------------------------------------------------------------------

    def deposit(self, asked: Deposit) -> list[Told]:
        if self._is_known(asked):
            return [self._replay(asked)]
        source, target, amount = asked.source, asked.target, asked.amount
        self._end_expired_holds(source, target)
        facts = self._facts("deposit", source, target, amount, ZERO)
        try:
            self._require_open(source, target)
            self._require_room(source, target, amount)
        except Refused as refused:
            return [self._record(asked, refused.code, facts | refused.facts)]
        self._move(facts, (source, -amount), (target, amount))
        return [self._record(asked, "posted", facts)]

    # Transfers -----------------------------------------------------------------------------------

    def transfer(self, order: Order) -> list[Told]:
        return self.transfer_many([order])

    def transfer_many(self, orders: Sequence[Order]) -> list[Told]:
        """One after the other; a refused one does not touch the others."""
        for order in orders:
            self._open(order)
        return [self._transfer(order) for order in orders]

    def transfer_all_or_none(self, orders: Sequence[Order]) -> list[Told]:
        """All of them; or nothing but the record of the first that was declined, which is told alone."""
        trial = self.fork()
        for order in orders:
            trial._open(order)
        told = []
        for index, order in enumerate(orders):
            one = trial._transfer(order)
            if one.code not in {"posted", "pending"}:
                if one.number is not None and not one.is_replay:
                    for each in orders:
                        self._open(each)
                    one = self._record(order, one.code, one.facts)
                return [replace(one, facts={**one.facts, "index": index})]
            told.append(one)
        self.adopt(trial)
        return told

    def _open(self, order: Order) -> None:
        """Whoever looks at wallets first ends what ran out in them."""
        named = (order.source or self._primary(order.caller), self._wallet(order.to))
        self._end_expired_holds(*(name for name in named if name in self.wallets))

    def _primary(self, user: str | None) -> str:
        return self.users[user].primary if user is not None else ""

    def _wallet(self, name: str) -> str:
        return self.users[name].primary if name in self.users else name

    def _transfer(self, order: Order) -> Told:
        try:
            source, target, amount = self._read(order)
            if self._is_known(order):
                return self._replay(order)
            self._require_active(order.caller)
            return self._pay(order, source, target, amount)
        except Refused as refused:
            # Nobody is told of a key by a request that names nothing; but a retry is a retry.
            if self._is_known(order) and not self._is_misused(order):
                return self._replay(order)
            return Told(refused.code, refused.facts)

    def _pay(self, order: Order, source: str, target: str, amount: Money) -> Told:
        if order.hold_for is not None and self._open_holds_of(source) >= self.most_holds:
            raise Refused("too_many_holds", limit=self.most_holds)
        value = amount.amount
        is_own = self.wallets[source].owner == self.wallets[target].owner
        fee = ZERO if is_own else self._fee("transfer", source, amount)
        facts = self._facts("transfer", source, target, value, fee, amount.currency)
        try:
            self._judge(source, target, amount, fee)
        except Refused as refused:
            if refused.code == "kyc_required":
                raise
            return self._record(order, refused.code, facts | refused.facts)
        self._count(source, target, value)
        made = Made(source, target, amount.currency, value, fee, facts["at"])
        if order.hold_for is not None:
            self.wallets[source].held += value + fee
            expires_at = facts["at"] + order.hold_for
            facts["expires_at"] = expires_at.isoformat()
            told = self._record(order, "pending", facts)
            made = replace(made, status="pending", expires_at=expires_at)
            self.open_holds.add(self.transactions)
        else:
            self._move(facts, (source, -(value + fee)), (target, value), *self._fee_leg(made, fee))
            told = self._record(order, "posted", facts)
        self.made[self.transactions] = made
        return told

    def _open_holds_of(self, wallet: str) -> int:
        return sum(self.made[number].source == wallet for number in self.open_holds)

    def _read(self, order: Order) -> tuple[str, str, Money]:
        """Which wallets the words mean, and how much."""
        source = order.source or self._primary(order.caller)
        if source not in self.wallets or self.wallets[source].owner != order.caller:
            raise Refused("wallet_not_found")
        amount = self._parse(order.amount, order.currency or self.wallets[source].currency)
        target = self._wallet(order.to)
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

    def _fee_leg(self, made: Made, fee: Decimal) -> list[tuple[str, Decimal]]:
        return [(f"fees {made.currency}", fee)] if fee else []

    # Holds ---------------------------------------------------------------------------------------

    def capture(self, asked: Settlement) -> list[Told]:
        """By the recipient or an operator; ``final`` gives the rest back."""
        try:
            sides = [self._capturing_side(asked, number) for number in asked.numbers]
            return self._settle(asked, sides, Bank._capture)
        except Refused as refused:
            return [Told(refused.code)]

    def void(self, asked: Settlement) -> list[Told]:
        """By the recipient or an operator; by the payer once it has run out."""
        try:
            sides = [self._side(asked, self.made[number]) for number in asked.numbers]
            self._require_due(asked.numbers, sides)
            return self._settle(asked, sides, Bank._void)
        except Refused as refused:
            return [Told(refused.code)]

    def _capturing_side(self, asked: Settlement, number: int) -> str:
        made = self.made[number]
        side = self._side(asked, made)
        if side == "payer":
            raise Refused("permission_denied")
        if asked.amount is not None:
            self._parse(asked.amount, made.currency)
        return side

    def _require_due(self, numbers: Sequence[int], sides: Sequence[str]) -> None:
        """The payer waits until a hold has run out."""
        for number, side in zip(numbers, sides, strict=True):
            hold = self.made[number]
            if side == "payer" and hold.status == "pending" and not self._is_overdue(hold):
                raise Refused("hold_not_expired")

    def _settle(
        self,
        asked: Settlement,
        sides: Sequence[str],
        decide: Callable[["Bank", Settlement, int, str, dict[str, Any]], str],
    ) -> list[Told]:
        if self._is_known(asked):
            first = self._replay(asked)
            if first.code not in {"posted", "voided", "expired"}:
                return [first]
            return [self._replay(self._part(asked, n)) for n in range(len(asked.numbers))]
        self._require_active(asked.caller)
        trial = self.fork()
        trial._look_at(asked.caller, asked.numbers, sides)
        told = []
        for place, (number, side) in enumerate(zip(asked.numbers, sides, strict=True)):
            made = trial.made[number]
            left = made.remaining if made.is_hold and made.remaining else made.amount
            value = Money.parse(asked.amount, made.currency).amount if asked.amount else left
            facts = trial._facts("transfer", made.source, made.target, value, ZERO)
            facts["at"] = trial.now
            try:
                code = decide(trial, asked, number, side, facts)
            except Refused as refused:
                self._look_at(asked.caller, asked.numbers, sides)
                return [self._record(asked, refused.code, facts | refused.facts)]
            facts["hold"] = trial.made[number].told()
            told.append(trial._record(self._part(asked, place), code, facts))
        self.adopt(trial)
        return told

    def _look_at(self, caller: str | None, numbers: Sequence[int], sides: Sequence[str]) -> None:
        """What ran out is ended first, in the caller's primary wallet, too; but what its payer asks for
        is the payer's to end."""
        spared = {n for n, side in zip(numbers, sides, strict=True) if side == "payer"}
        named = [name for n in numbers for name in (self.made[n].source, self.made[n].target)]
        self._end_expired_holds(*named, *self._own(caller), spared=spared)

    def _own(self, caller: str | None) -> list[str]:
        return [self._primary(caller)] if caller is not None else []

    def _part(self, asked: Settlement, place: int) -> Asked:
        """The first of a group has the caller's key; the others one that is made from it."""
        key = asked.key if place == 0 else f"{asked.key} {place + 1}"
        return Asked(asked.caller, key, asked.printed)

    def _capture(self, asked: Settlement, number: int, side: str, facts: dict[str, Any]) -> str:
        hold, amount = self.made[number], facts["amount"]
        self._require_open(hold.source, hold.target)
        if hold.status != "pending":
            raise Refused("hold_not_pending", hold_status=hold.status)
        if amount > hold.remaining:
            remaining = str(Money(hold.remaining, hold.currency))
            raise Refused("capture_exceeds_hold", remaining=remaining, currency=hold.currency)
        self._require_room(hold.source, hold.target, amount)
        share = hold.fee * (hold.captured + amount) / hold.amount
        smallest = Decimal(1).scaleb(-places_of(hold.currency))
        fee = share.quantize(smallest, ROUND_DOWN) - hold.captured_fee
        self.made[number] = replace(
            hold, captured=hold.captured + amount, captured_fee=hold.captured_fee + fee
        )
        self.wallets[hold.source].held -= amount + fee
        if asked.final or not self.made[number].remaining:
            self._end(number, "posted")
        facts["fee"] = fee
        legs = [(hold.source, -(amount + fee)), (hold.target, amount)]
        self._move(facts, *legs, *self._fee_leg(hold, fee))
        return "posted"

    def _void(self, asked: Settlement, number: int, side: str, facts: dict[str, Any]) -> str:
        hold = self.made[number]
        if side == "payer" and hold.status == "expired":
            return "expired"
        if hold.status != "pending":
            raise Refused("hold_not_pending", hold_status=hold.status)
        self._end(number, "voided")
        return "voided"

    def _side(self, asked: Settlement | Reversal, made: Made) -> str:
        if asked.caller is None:
            return "operator"
        if self.wallets[made.target].owner == asked.caller:
            return "recipient"
        if self.wallets[made.source].owner == asked.caller:
            return "payer"
        if not asked.is_operator:
            raise Refused("not_found")
        return "operator"

    # Money back ----------------------------------------------------------------------------------

    def reverse(self, asked: Reversal) -> list[Told]:
        """All that is left of a transfer, or a part, by its recipient or an operator; not the fee."""
        try:
            return [self._reverse(asked, self.made[asked.number])]
        except Refused as refused:
            return [Told(refused.code)]

    def _reverse(self, asked: Reversal, made: Made) -> Told:
        if self._side(asked, made) == "payer":
            raise Refused("permission_denied")
        value = self._parse(asked.amount, made.currency).amount if asked.amount else None
        if self._is_known(asked):
            return self._replay(asked)
        self._require_active(asked.caller)
        source, target = made.target, made.source
        self._end_expired_holds(source, target, *self._own(asked.caller))
        left = made.posted - made.given_back
        amount = value or left or made.posted or made.amount
        facts = self._facts("reversal", source, target, amount, ZERO)
        try:
            self._judge_reversal(source, target, amount, left)
        except Refused as refused:
            return self._record(asked, refused.code, facts | refused.facts)
        now = self.made[asked.number]
        self.made[asked.number] = replace(now, given_back=now.given_back + amount)
        self._move(facts, (source, -amount), (target, amount))
        return self._record(asked, "posted", facts)

    def _judge_reversal(self, source: str, target: str, amount: Decimal, left: Decimal) -> None:
        self._require_open(source, target)
        payer = self.wallets[source]
        if amount > left:
            remaining = str(Money(left, payer.currency))
            raise Refused("reversal_exceeds_original", remaining=remaining, currency=payer.currency)
        # What an overdraft allows is not the recipient's to give back.
        if payer.balance - payer.held < amount:
            raise Refused("insufficient_funds")
        self._require_room(source, target, amount)

    # Other money ---------------------------------------------------------------------------------

    def convert(self, asked: Conversion) -> list[Told]:
        """Between own wallets; what does not come out even is the platform's."""
        try:
            return [self._convert(asked)]
        except Refused as refused:
            return [Told(refused.code)]

    def _convert(self, asked: Conversion) -> Told:
        source, target = asked.source, asked.target
        for name in (source, target):
            if name not in self.wallets or self.wallets[name].owner != asked.caller:
                raise Refused("wallet_not_found")
        paid, wanted = self.wallets[source].currency, self.wallets[target].currency
        money = self._parse(asked.amount, paid)
        amount, fee = money.amount, ZERO
        bought, sold = self._bought(amount, paid, wanted)
        if self._is_known(asked) and (bought != 0 or not self._is_misused(asked)):
            return self._replay(asked)
        if bought == 0:
            raise Refused("validation_error")
        self._require_active(asked.caller)
        self._end_expired_holds(source, target)
        platform = [f"fx {paid}", f"fx {wanted}", f"rounding {wanted}", f"fees {paid}"]
        at = self.now
        if bought is not None:
            fee = self._fee("conversion", source, money)
            at = self._moment(source, target, *platform)
        facts = self._facts("conversion", source, target, amount, fee)
        facts |= {"to_amount": bought, "at": max(facts["at"], at)}
        try:
            bought = self._judge_conversion(source, target, amount + fee, bought)
        except Refused as refused:
            return self._record(asked, refused.code, facts | refused.facts)
        moved = (amount, -sold, sold - bought, fee)
        legs = [(source, -(amount + fee)), (target, bought), *zip(platform, moved, strict=True)]
        self._move(facts, *(leg for leg in legs if leg[1]))
        return self._record(asked, "posted", facts)

    def _bought(self, amount: Decimal, paid: str, wanted: str) -> tuple[Decimal | None, Decimal]:
        """What reaches the owner and what the platform gives; nothing between wallets of a currency."""
        if paid == wanted:
            return None, ZERO
        exact = amount * self.rates[paid, wanted]
        smallest = Decimal(1).scaleb(-places_of(wanted))
        return exact.quantize(smallest, ROUND_FLOOR), exact.quantize(smallest, ROUND_CEILING)

    def _judge_conversion(
        self, source: str, target: str, amount: Decimal, bought: Decimal | None
    ) -> Decimal:
        self._require_open(source, target)
        if bought is None:
            raise Refused("currency_mismatch")
        if self.available(source) < amount:
            raise Refused("insufficient_funds")
        self._require_room("", target, bought)
        return bought

    # Wallets -------------------------------------------------------------------------------------

    def close(self, name: str) -> list[Told]:
        """An own wallet in which nothing is left; what ran out in it counts for nothing."""
        trial = self.fork()
        trial._end_expired_holds(name)
        wallet = trial.wallets[name]
        if wallet.status != "active":
            return [Told("invalid_state")]
        if wallet.balance or wallet.held:
            return [Told("wallet_not_empty")]
        wallet.status = "closed"
        self.adopt(trial)
        return [Told("done")]

    def set_overdraft(self, asked: tuple[str, str]) -> list[Told]:
        """How far below zero a wallet may go; never less than it is already."""
        wallet, limit = self.wallets[asked[0]], Decimal(asked[1])
        if wallet.status == "closed":
            return [Told("invalid_state")]
        if wallet.balance - wallet.held < -limit:
            return [Told("overdraft_in_use")]
        wallet.overdraft = limit
        return [Told("done")]

    # Keys ----------------------------------------------------------------------------------------

    def _require_active(self, caller: str | None) -> None:
        if caller is not None and not self.users[caller].is_active:
            raise Refused("invalid_token")

    def _parse(self, text: str, currency: str) -> Money:
        try:
            return Money.parse(text, currency)
        except InvalidMoney:
            raise Refused("validation_error") from None

    def _is_known(self, asked: Asked) -> bool:
        return (asked.caller, asked.key) in self.known

    def _is_misused(self, asked: Asked) -> bool:
        return self.known[asked.caller, asked.key].printed != asked.printed

    def _replay(self, asked: Asked) -> Told:
        if self._is_misused(asked):
            return Told("idempotency_key_reused")
        return replace(self.known[asked.caller, asked.key].told, is_replay=True)

    def _record(self, asked: Asked, code: str, facts: dict[str, Any]) -> Told:
        self.transactions += 1
        told = Told(code, facts, self.transactions)
        self.known[asked.caller, asked.key] = Known(asked.printed, told)
        return told
