"""docs/guides/servers.md names the settings with which the tests run Patroni."""

import re

import yaml

from tests.demo_runs import ROOT
from tests.hosts.database_cluster import DYNAMIC


def test_the_guide_has_the_settings_of_the_tests() -> None:
    guide = (ROOT / "docs/guides/servers.md").read_text()
    section = guide.partition("### PostgreSQL on several hosts")[2]
    block = re.search(r"```yaml\n(.*?)```", section, re.DOTALL)
    assert block is not None
    assert yaml.safe_load(block[1]) == DYNAMIC
