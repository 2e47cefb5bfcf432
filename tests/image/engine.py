"""Builds and runs images with Debian's mmdebstrap, buildah, podman and runc, as root, in a store of its own.

crun, podman's own choice, refuses a machine with both versions of cgroups.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("mmdebstrap", "buildah", "podman", "runc")
BASE = "localhost/debian:trixie"
NOT_IN_THE_BASE = ("doc/*", "man/*", "locale/*", "info/*")
"""Of /usr/share: what Debian's slim images leave out."""
WITHIN_S = 3600.0
UNPRIVILEGED = ("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges")
WRITABLE = ("--tmpfs", "/tmp:mode=1777", "--tmpfs", "/var/lib/gridproof:mode=1777")


def require_engine(debian_command: Callable[[str], Path]) -> None:
    """Skip the test without root or one of the programs."""
    if os.geteuid() != 0:
        pytest.skip("an image is built as root")
    for name in TOOLS:
        debian_command(name)


def run(*argv: str, within_s: float = WITHIN_S, environ: Mapping[str, str] | None = None) -> str:
    """What the program prints; its failure shows the end of its output."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    outcome = subprocess.run(
        argv, cwd=ROOT, env=outside | dict(environ or {}), capture_output=True, text=True, timeout=within_s, check=False
    )  # fmt: skip
    assert outcome.returncode == 0, f"{argv[:4]} ended with {outcome.returncode}: {outcome.stderr[-4000:]}"
    return outcome.stdout


def make_base(tar: Path) -> None:
    """A minimal Debian 13 with its Python 3.13, from the machine's own Debian mirrors."""
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{what}" for what in NOT_IN_THE_BASE]
    run(
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--include=python3,ca-certificates"),
        *excluded, "--dpkgopt=path-include=/usr/share/doc/*/copyright", "trixie", str(tar),
    )  # fmt: skip


@dataclass(frozen=True)
class Engine:
    """`folder` holds the images."""

    folder: Path

    def import_base(self, tar: Path) -> None:
        self._podman("import", "--quiet", str(tar), BASE)

    def build(self, extras: str, tag: str) -> float:
        """Build the Containerfile from build/, in a network namespace without any network; the seconds that it took."""
        limits = (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC))
        began = time.monotonic()
        run(
            *(
                "unshare",
                "--net",
                "buildah",
                *self._store(),
                "build",
                "--isolation",
                "chroot",
                "--pull=never",
            ),
            *(f"--ulimit={name}={(most := resource.getrlimit(which)[1])}:{most}" for name, which in limits),
            *("--build-arg", f"BASE={BASE}", "--build-arg", f"EXTRAS={extras}", "--tag", tag, "."),
        )
        return time.monotonic() - began

    def size_bytes(self, tag: str) -> int:
        """With its base."""
        (found,) = json.loads(self._podman("image", "inspect", tag))
        return int(found["Size"])

    def user(self, tag: str) -> str:
        (found,) = json.loads(self._podman("image", "inspect", tag))
        return str(found["Config"]["User"])

    def command(self, tag: str, *arguments: str, options: Sequence[str]) -> list[str]:
        """The command that runs the image without a capability and with a read-only root file system."""
        chosen = ("--rm", "--pull=never", *UNPRIVILEGED, *WRITABLE, *options)
        return [*self._engine(), "run", *chosen, tag, *arguments]

    def ran(
        self, tag: str, *arguments: str, options: Sequence[str] = ("--network=none",)
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(tag, *arguments, options=options), env=_environ(), capture_output=True, text=True,
            timeout=WITHIN_S, check=False,
        )  # fmt: skip

    def start(
        self, tag: str, *arguments: str, options: Sequence[str], log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """podman in the foreground: it passes SIGTERM on, and ends with the container."""
        return subprocess.Popen(
            self.command(tag, *arguments, options=options),
            env=_environ(),
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def remove(self) -> None:
        """Containers and images."""
        self._podman("system", "prune", "--all", "--force", "--volumes")

    def _podman(self, *arguments: str) -> str:
        return run(*self._engine(), *arguments, environ=_environ())

    def _engine(self) -> list[str]:
        return [
            "podman",
            *self._store(),
            "--cgroup-manager=cgroupfs",
            "--events-backend=file",
            "--runtime=runc",
        ]

    def _store(self) -> list[str]:
        folder = self.folder
        return [
            "--root",
            str(folder / "store"),
            "--runroot",
            str(folder / "run"),
            "--storage-driver",
            "overlay",
        ]


def _environ() -> dict[str, str]:
    return dict(os.environ) | {"PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
