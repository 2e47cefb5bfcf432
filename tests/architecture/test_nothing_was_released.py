"""Nothing was released yet: the product has no code that serves earlier commits (ADR 0117)."""

from __future__ import annotations

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT

GONE = (
    "newer_topics",
    "NEWER_TOPICS",
    "NewerTopicRefused",
    "contracted_releases",
    "measurement_forms",
    "used_signatures",
    "UsedSignatures",
    "accepts_v1",
    "v1_until",
    "ProofDocumentV",
    "audit-proof.v1",
    "audit-proof.v2",
    "audit-proof.v3",
    "CheckpointV",
    "ledger-checkpoint.v1",
    "FORMER_KEY",
    "former_ingest_session",
    "ingest_handover",
    "IngestHandover",
    "PUBLISHED",
    "0037_release_0_2",
    "4cd57d2",
    "5ac5b021",
    "measured_in_v1",
    "OLD_SECRET_REFERENCES",
)
SUFFIXES = {".py", ".sql", ".json", ".html", ".js", ".css", ".toml", ".yaml", ".md"}


def named_in_the_product(name: str) -> list[str]:
    return [
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in sorted((ROOT / package).rglob("*"))
        if file.suffix in SUFFIXES and name in file.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("name", GONE)
def test_what_served_earlier_commits_occurs_nowhere_in_the_product(name: str) -> None:
    assert named_in_the_product(name) == []


def test_a_name_that_the_product_has_is_noticed() -> None:
    assert "application/operations/migration_history.py" in named_in_the_product("history_difference")
