"""Every alert has a runbook."""

import re

import pytest

from application.operations.alert_catalogue import ALERTS
from tests.architecture.source_tree import PACKAGES, ROOT, python_files

RUNBOOKS = ROOT / "docs/runbooks"
SECTIONS = ["What it means", "What to look at", "What to do", "Escalation", "When it is over"]


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_every_alert_has_a_runbook_page_of_its_name(alert: str) -> None:
    page = (RUNBOOKS / f"{alert}.md").read_text()
    assert page.startswith(f"# {alert}\n\nSeverity: **{ALERTS[alert].severity}**\n")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == SECTIONS
    assert f"{alert}.md" in (RUNBOOKS / "README.md").read_text()


def test_every_runbook_belongs_to_an_alert() -> None:
    assert {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"} == ALERTS.keys()


def test_every_raised_alert_is_in_the_catalogue() -> None:
    raised = re.compile(r"""\b(?:alerts|alerts\(\))\.state\(\s*["']([a-z0-9_]+)["']""")
    unknown = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in python_files(*PACKAGES)
        for name in raised.findall(file.read_text())
        if name not in ALERTS
    }
    assert unknown == set()


ABOUT_THE_LOG = re.compile(r"^.*\blog(?: of the process)?(?:: | says ).*$", re.MULTILINE)
LOG_LINE = re.compile(r"`([a-z]+(?: [a-z]+)+)`")


def test_every_log_line_quoted_in_a_runbook_is_in_the_code() -> None:
    quoted = {
        line
        for page in RUNBOOKS.glob("*.md")
        for text in ABOUT_THE_LOG.findall(page.read_text())
        for line in LOG_LINE.findall(text)
    }
    assert quoted >= {"finalizing failed", "finalizing put off", "trying again", "batch failed"}
    product = "\n".join(file.read_text() for file in python_files(*PACKAGES))
    assert {line for line in quoted if f'"{line}"' not in product} == set()
