"""docs/topics.md lists every topic of the logs, with what it says and since which release it is written."""

from tests.architecture.topics import published_topics
from tests.architecture.topics_page import PAGE, WRITTEN_FROM, releases, topics_page

TEXT = PAGE.read_text(encoding="utf-8")


def test_the_page_is_that_of_the_domain_events() -> None:
    """On failure: `python tests/architecture/topics_page.py --write`, and review the difference."""
    assert topics_page(TEXT) == TEXT


def test_every_published_topic_has_a_release() -> None:
    assert releases(TEXT).keys() == published_topics().keys()


def test_a_missing_topic_and_another_sentence_are_noticed() -> None:
    line = next(one for one in TEXT.splitlines(keepends=True) if one.startswith("| `program.opened.v1`"))

    assert f"| {WRITTEN_FROM} |" in line
    assert topics_page(TEXT.replace(line, "")) == TEXT
    assert topics_page(TEXT.replace("The program exists from now on.", "It ends.")) == TEXT
