"""What `gridproof audit verify` prints about settlements."""

import pytest

from application.settlement.verification import SettlementFinding, SettlementReport
from interfaces.cli.audit.verification_output import print_settlements
from tests.sample_values import DR_EVENT_ID


def test_settlements_that_hold_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    print_settlements(SettlementReport(settlements=3, findings=()))
    assert "the settlements hold; 3 compared" in capsys.readouterr().out


def test_each_finding_names_its_dr_event_and_revision(capsys: pytest.CaptureFixture[str]) -> None:
    finding = SettlementFinding(
        kind="document", dr_event_id=DR_EVENT_ID, revision=1, position=42, detail="the document is missing"
    )
    print_settlements(SettlementReport(settlements=3, findings=(finding,)))
    printed = capsys.readouterr().out
    assert "the settlements DO NOT HOLD: 1 findings" in printed
    assert "document" in printed
    assert "42" in printed
