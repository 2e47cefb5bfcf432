"""The licences of all installed distributions: `make check` prints them and refuses those Apache-2.0 cannot include.

GPL and AGPL are refused, LGPL and MPL are allowed. An unstated licence is refused until a person has checked it.
"""

import re
import sys
from collections.abc import Mapping
from importlib.metadata import Distribution, distributions

# Checked by a person: these state no licence in their metadata. Distribution -> (licence, where it is stated).
READ_BY_A_PERSON: Mapping[str, tuple[str, str]] = {}

_REFUSED = re.compile(r"\bA?GPL|GNU (Affero )?General Public", re.IGNORECASE)
_GPL_WITH_LINKING_EXCEPTION = re.compile(
    r"GPL-[\d.]+(-or-later|-only|\+)? WITH GCC-exception-3\.1", re.IGNORECASE
)
_LONGEST_STATEMENT = 200  # longer text is the whole licence, which may name others


def licence_of(distribution: Distribution) -> str:
    """The licence in the metadata: the SPDX expression, else the classifiers, else a short free text, else ''."""
    metadata = distribution.metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    classifiers = [
        entry.rpartition(" :: ")[2]
        for entry in metadata.get_all("Classifier", [])
        if entry.startswith("License :: ") and entry != "License :: OSI Approved"
    ]
    if classifiers:
        return "; ".join(classifiers)
    statement = "".join(metadata.get_all("License", [])).strip()
    if len(statement) <= _LONGEST_STATEMENT:
        return statement or READ_BY_A_PERSON.get(metadata["Name"].lower(), ("", ""))[0]
    return statement.splitlines()[0].strip()


def is_refused(licence: str) -> bool:
    """Whether every alternative of `licence` is GPL or AGPL, or none is stated."""
    if licence.strip().lower() in ("", "unknown"):
        return True
    offered = _GPL_WITH_LINKING_EXCEPTION.sub("exempt", licence)
    while inner := re.search(r"\(([^()]*)\)", offered):
        verdict = "GPL" if inner[1] and is_refused(inner[1]) else "fine"
        offered = offered[: inner.start()] + verdict + offered[inner.end() :]
    return all(_REFUSED.search(choice) for choice in re.split(r"\s+OR\s+", offered))


def installed_licences() -> dict[str, str]:
    """Distribution -> its licence, sorted by name; Gridproof itself is left out."""
    found = {distribution.metadata["Name"]: licence_of(distribution) for distribution in distributions()}
    return dict(sorted((name, licence) for name, licence in found.items() if name.lower() != "gridproof"))


def main() -> int:
    licences = installed_licences()
    refused = {name: licence for name, licence in licences.items() if is_refused(licence)}
    for name, licence in licences.items():
        sys.stdout.write(f"{name:36} {licence}\n")
    for name, licence in refused.items():
        sys.stderr.write(
            f"refused: {name} ({licence or 'states no licence'}); replace it, or read it and enter it\n"
        )
    sys.stdout.write(f"{len(licences)} licences, {len(refused)} refused\n")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
