"""`python -m tests.base_install [--extra NAME]... ARGUMENTS`: `gridproof ARGUMENTS` as a plain install has it.

No module can be imported of a distribution that the base install, with these extras, does not bring.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Collection
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import click
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
OURS = frozenset({"domain", "application", "projections", "adapters", "interfaces", "tests"})


def distributions_of(extras: Collection[str]) -> set[str]:
    """The distributions that an install with these extras brings on this Python, Gridproof left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    written = [*project["dependencies"]]
    for extra in extras:
        written += project["optional-dependencies"][extra]
    remaining = [Requirement(one) for one in written]
    seen: set[tuple[str, str]] = set()
    while remaining:
        wanted = remaining.pop()
        for extra in wanted.extras or {""}:
            name = canonicalize_name(wanted.name)
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            needed = [Requirement(one) for one in distribution(name).requires or []]
            remaining += [
                one for one in needed if one.marker is None or one.marker.evaluate({"extra": extra})
            ]
    return {name for name, _ in seen}


def absent_modules(extras: Collection[str]) -> set[str]:
    """The top-level modules of what is installed here, and is not with these extras."""
    installed = distributions_of(extras)
    return {
        module
        for module, owners in packages_distributions().items()
        if module not in OURS and not {canonicalize_name(owner) for owner in owners} & installed
    }


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--extra", "extras", multiple=True)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def base_install(extras: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    """Run `gridproof ARGUMENTS`."""
    for module in absent_modules(extras):
        sys.modules[module] = None  # type: ignore[assignment]  # an import of it raises ModuleNotFoundError

    from interfaces.cli import main

    main(args=list(arguments), prog_name="gridproof")


if __name__ == "__main__":
    base_install()
