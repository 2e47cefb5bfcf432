"""`python -m tests.supply_chain.audit_dependencies LOCK [OPTION OF PIP-AUDIT]...`: known vulnerabilities of LOCK.

Exit status: 0 every package was checked and none is known to be vulnerable, 1 some are, 3 not checked.

pip-audit says "No known vulnerabilities found" and ends with 0 for packages whose advisories it could not get, also
where an index serves packages without advisories. So it is first asked about a package that is known to be vulnerable.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CONTROL = "jinja2==2.4.1"
"""Vulnerable since 2014 (CVE-2014-1402): whoever knows advisories knows this one."""
VULNERABLE, NOT_CHECKED = 1, 3
WITHIN_S = 900
Packages = Sequence[dict[str, Any]]


class NotChecked(RuntimeError):
    """pip-audit gave no result."""


def audited(requirements: Path, options: Sequence[str]) -> Packages:
    """What pip-audit says of each pinned package of the file, without answers of earlier runs. Raises NotChecked."""
    with tempfile.TemporaryDirectory() as cache:
        outcome = subprocess.run(
            [
                *(sys.executable, "-m", "pip_audit", "--requirement", str(requirements), "--no-deps", "--disable-pip"),
                *("--format", "json", "--progress-spinner", "off", "--desc", "off", "--cache-dir", cache, *options),
            ],
            capture_output=True, text=True, timeout=WITHIN_S, check=False,
        )  # fmt: skip
    try:
        packages: Packages = json.loads(outcome.stdout)["dependencies"]
    except (ValueError, KeyError) as error:
        said = outcome.stderr.strip().splitlines() or ["it said nothing"]
        raise NotChecked(f"pip-audit ended with {outcome.returncode}: {said[-1]}") from error
    return packages


def verdict(control: Packages, packages: Packages) -> tuple[int, str]:
    """The exit status and what to print."""
    if not any(one.get("vulns") for one in control):
        return (
            NOT_CHECKED,
            f"NOT CHECKED: the source of advisories knows none of {CONTROL}, which is vulnerable",
        )
    vulnerable = {f"{one['name']} {one['version']}": one["vulns"] for one in packages if one.get("vulns")}
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    lines = [f"{name}: {', '.join(found['id'] for found in by)}" for name, by in vulnerable.items()]
    if skipped or not packages:
        lines.append(f"NOT CHECKED: {len(skipped)} of {len(packages)} packages: {', '.join(skipped)}")
    if not lines:
        return 0, f"checked {len(packages)} packages: none has a known vulnerability"
    return VULNERABLE if vulnerable else NOT_CHECKED, "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    lock, options = Path(arguments[0]), arguments[1:]
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as control:
            control.write(f"{CONTROL}\n")
            control.flush()
            known = audited(Path(control.name), options)
        status, text = verdict(
            known, audited(lock, options) if any(one.get("vulns") for one in known) else []
        )
    except NotChecked as error:
        status, text = NOT_CHECKED, f"NOT CHECKED: {error}"
    sys.stdout.write(f"{text}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
