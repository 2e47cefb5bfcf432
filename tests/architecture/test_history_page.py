"""The guide of imports has the rules by which a file is judged."""

from application.history_import.inspection import SPIKE_DEVIATIONS
from application.history_import.spike_detection import NEIGHBOURS
from tests.architecture.source_tree import ROOT


def test_the_guide_has_the_rule_for_spikes() -> None:
    guide = " ".join((ROOT / "docs/guides/history.md").read_text().split())
    assert (
        f"A spike is further from the median of itself and its {NEIGHBOURS - 1} neighbours than "
        f"{SPIKE_DEVIATIONS:g} times the usual distance, and than half the usual load"
    ) in guide
