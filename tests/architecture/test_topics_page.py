"""docs/topics.md lists every topic of the logs, with what it says and since which release it is written."""

from application.event_store.newer_topics import NEWER_TOPICS, WRITTEN_FROM
from tests.architecture.topics import published_topics
from tests.architecture.topics_page import PAGE, releases, topics_page

TEXT = PAGE.read_text(encoding="utf-8")
ACTS_OF_PEOPLE = {
    f"administration.{act}.v1"
    for act in (
        "api-key-issued",
        "api-key-revoked",
        "api-key-rotated",
        "database-restored",
        "dead-letters-decided",
        "history-import-begun",
        "history-imported",
        "personal-data-forgotten",
        "portfolio-import-begun",
        "portfolio-imported",
    )
}
"""Recorded at once; during an upgrade people do without them, or use the older release (ADR 0065)."""


def test_the_page_is_that_of_the_domain_events() -> None:
    """On failure: `python tests/architecture/topics_page.py --write`, and review the difference."""
    assert topics_page(TEXT) == TEXT


def test_every_published_topic_has_a_release() -> None:
    assert releases(TEXT).keys() == published_topics().keys()


def test_what_an_older_release_cannot_read_is_written_since_this_one() -> None:
    assert {topic: releases(TEXT)[topic] for topic in NEWER_TOPICS} == dict.fromkeys(
        NEWER_TOPICS, WRITTEN_FROM
    )


def test_a_topic_of_this_release_waits_for_older_processes_or_is_an_act_of_a_person() -> None:
    """Otherwise an older process halts at it although nobody has contracted, and nothing can be rolled back."""
    of_this_release = {topic for topic, release in releases(TEXT).items() if release == WRITTEN_FROM}
    assert of_this_release - NEWER_TOPICS == ACTS_OF_PEOPLE


def test_a_missing_topic_and_another_sentence_are_noticed() -> None:
    line = next(one for one in TEXT.splitlines(keepends=True) if one.startswith("| `program.opened.v1`"))

    assert topics_page(TEXT.replace(line, "")) == TEXT.replace(
        line, line.replace("| 0.1 |", f"| {WRITTEN_FROM} |")
    )
    assert topics_page(TEXT.replace("The program exists from now on.", "It ends.")) == TEXT
