"""`python -m tests.supply_chain.locked_packages < REPORT > LIST`: what pip would install, as locked requirements.

REPORT is that of `pip install --report`; Gridproof's own wheel is left out.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any


def requirements(report: Mapping[str, Any]) -> Iterator[str]:
    """`NAME==VERSION --hash=sha256:...`, sorted by name."""
    for item in sorted(report["install"], key=lambda one: one["metadata"]["name"].lower()):
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        if name != "gridproof":
            yield f"{name}=={version} --hash=sha256:{item['download_info']['archive_info']['hashes']['sha256']}"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in requirements(json.load(sys.stdin)))
