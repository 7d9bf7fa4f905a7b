"""Settlement reports from files, and the command that reads them."""

import io
import json
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from fintech_core.money import Money
from payments.models import ReconciliationRun
from payments.services.reconciliation import reconcile_with_file
from payments.services.settlement_files import InvalidReport, SettlementFile
from payments.tests.fakes import make_paid_intent
from payments.tests.reporting import Reporting, fake, now, today

__all__ = ["fake"]

pytestmark = pytest.mark.usefixtures("committed")

HEADER = "kind,reference,own_id,amount,fee,currency,settled_at\n"


def from_file(fake: Reporting, text: str) -> ReconciliationRun:
    return reconcile_with_file(
        provider=fake.name,
        first=today(),
        last=today(),
        file=io.BytesIO(text.encode()),
        name="report.csv",
    )


def test_a_file_says_the_same(fake: Reporting) -> None:
    intent = make_paid_intent(fake)
    text = f"{HEADER}payment,{intent.provider_reference},,25.00,0.60,USD,{now().isoformat()}\r\n"
    run = from_file(fake, text)
    assert (run.source, run.file_name, run.matched_count, run.is_clean) == (
        "file",
        "report.csv",
        1,
        True,
    )
    file = SettlementFile(io.BytesIO(text.encode()))
    assert len(list(file)) == 1
    assert bytes(run.digest) == file.digest


GOOD = "payment,pay_1,,25.00,0.60,USD,2026-01-31T10:00:00Z"


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (GOOD.replace("payment", "gift"), "kind"),
        (GOOD.replace("pay_1", ""), "reference"),
        (GOOD.replace("pay_1", "a b"), "reference"),
        (GOOD.replace("pay_1", "x" * 256), "reference"),
        (GOOD.replace("pay_1,", "pay_1,123"), "own_id"),
        (GOOD.replace("25.00", "25.001"), "amount"),
        (GOOD.replace("25.00", "2e1"), "amount"),
        (GOOD.replace("25.00", "NaN"), "amount"),
        (GOOD.replace("25.00", "+25"), "amount"),
        (GOOD.replace("25.00", "٢٥"), "amount"),
        (GOOD.replace("0.60", ""), "fee"),
        (GOOD.replace("USD", "usd"), "three upper-case"),
        (GOOD.replace("Z", ""), "settled_at"),
        (GOOD.replace("01-31", "02-31"), "settled_at"),
        (GOOD.replace("2026-01-31", "0001-01-01").replace("Z", "+23:00"), "settled_at"),
        (GOOD + ",more", "8 columns"),
        ("", "0 columns"),
        ('"' + GOOD, "line 3"),
        (GOOD.replace("pay_1", "\0"), "NUL"),
        ("x" * 5_000, "longer"),
    ],
)
def test_each_bad_line_is_named_and_nothing_is_kept(fake: Reporting, line: str, word: str) -> None:
    with pytest.raises(InvalidReport) as refusal:
        from_file(fake, f"{HEADER}{GOOD}\n{line}\n")
    [problem] = refusal.value.problems
    assert problem.startswith("line 3")
    assert word in problem
    assert not ReconciliationRun.objects.filter(provider=fake.name).exists()


@pytest.mark.parametrize(
    "text", [b"", b"\xff\xfe", GOOD.encode(), b"\xef\xbb\xbf" + HEADER.encode()]
)
def test_a_file_begins_with_the_header(fake: Reporting, text: bytes) -> None:
    with pytest.raises(InvalidReport, match="line 1"):
        list(SettlementFile(io.BytesIO(text)))


def test_at_most_a_hundred_lines_are_named() -> None:
    file = io.BytesIO((HEADER + "nonsense\n" * 5_000).encode())
    with pytest.raises(InvalidReport) as refusal:
        list(SettlementFile(file))
    assert len(refusal.value.problems) == 100


def run_command(fake: Reporting, *options: str) -> str:
    out = io.StringIO()
    days = ["--from", str(today()), "--to", str(today())]
    try:
        call_command("reconcile_provider", fake.name, *days, *options, stdout=out)
    except CommandError as error:
        return f"{out.getvalue()}\nexit {error.returncode}"
    return out.getvalue()


def test_the_command_prints_every_row_that_is_not_matched(fake: Reporting) -> None:
    intent = make_paid_intent(fake)
    fake.settle(intent)
    told = run_command(fake)
    assert "1 matched, 0 missing, 0 extra, 0 differing" in told
    assert "exit" not in told
    missing = make_paid_intent(fake)
    fake.settle(intent, reference="pay_odd", own_id=None)
    told = run_command(fake)
    assert told.endswith("exit 1")
    assert f"missing   payment {missing.provider_reference}: ours 25.00 USD succeeded" in told
    assert "extra     payment pay_odd: report 25.00 USD on" in told


def test_the_command_writes_json(fake: Reporting, tmp_path: Path) -> None:
    intent = make_paid_intent(fake)
    fake.settle(intent, amount=Money(Decimal("24.00"), "USD"))
    told = json.loads(run_command(fake, "--json").removesuffix("\nexit 1"))
    assert (told["clean"], told["counts"]["differing"]) == (False, 1)
    [row] = told["rows"]
    assert (row["reason"], row["reported"]["amount"], row["own"]["amount"]) == (
        "amount",
        "24.00",
        "25.00",
    )
    fake.lines.clear()
    path = tmp_path / "report.csv"
    path.write_text(
        f"{HEADER}payment,{intent.provider_reference},,25.00,0,USD,{now().isoformat()}\n"
    )
    told = json.loads(run_command(fake, "--json", "--file", str(path)))
    assert (told["clean"], told["rows"], told["source"]) == (True, [], "file")
    path.write_text("nonsense")
    assert run_command(fake, "--file", str(path)).endswith("exit 2")
    assert run_command(fake, "--file", str(tmp_path / "none.csv")).endswith("exit 2")
