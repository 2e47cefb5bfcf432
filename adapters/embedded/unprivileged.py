"""Runs PostgreSQL as another user, since it refuses root and users without a name; changes nothing in the system.

A container that is started with a bare user number (`--user 1234`) has a user without a name.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from adapters.embedded.child_process import needed_program
from adapters.embedded.errors import CannotDropRoot

_PROBE_DEADLINE_S = 20.0

DropRootMethod = Callable[[Path], list[str]]
"""Returns the words to put before a command, for the folder of the database."""


def by_user_namespace(folder: Path) -> list[str]:
    """A user namespace in which root is `nobody`: no file changes its owner, and paths that only root may
    enter work."""
    unshare = needed_program("unshare", package="util-linux")
    return [unshare, "--user", "--map-user=65534", "--map-group=65534", "--"]


def by_nobody(folder: Path) -> list[str]:
    """The user `nobody` itself, where a container forbids namespaces.

    It must be able to reach the folder, so others may enter (not list) our own folders around it. Other folders stay
    as they are. The change of user clears the death signal, which is set again.
    """
    nobody = pwd.getpwnam("nobody")
    folder.parent.chmod(0o711)
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    setpriv = needed_program("setpriv", package="util-linux")
    ids = ["--reuid", str(nobody.pw_uid), "--regid", str(nobody.pw_gid), "--clear-groups"]
    return [setpriv, *ids, "--pdeathsig", "INT", "--"]


DROP_ROOT_METHODS: tuple[DropRootMethod, ...] = (by_user_namespace, by_nobody)


def prefix(folder: Path, program: Path, methods: Sequence[DropRootMethod] = DROP_ROOT_METHODS) -> list[str]:
    """The words before `program` that run it as a user it accepts, with write access to `folder`.

    Empty for ordinary users. Each method is probed before it is used. Raises `CannotDropRoot`.
    """
    is_root = os.geteuid() == 0
    if not is_root and _has_user_name(os.geteuid()):
        return []
    errors = []
    for method in methods if is_root else [by_user_namespace]:
        words = method(folder)
        # Through `env`, since setpriv itself still has root's rights when it starts the first program.
        probes = ["env", str(program), "--version"], ["env", "test", "-w", str(folder)]
        error = next((text for probe in probes if (text := _probe_error([*words, *probe]))), None)
        if error is None:
            return words
        errors.append(f"{method.__name__}: {error}")
    raise CannotDropRoot(
        "postgres",
        f"it refuses the user {os.geteuid()}, and could not be run as another ({'; '.join(errors)})",
        advice="Run Gridproof as an ordinary user, or set GRIDPROOF_DATABASE_URL to an external PostgreSQL.",
    )


def _has_user_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _probe_error(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PROBE_DEADLINE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as failure:
        return str(failure)
    if done.returncode == 0:
        return None
    return done.stderr.decode("utf-8", "replace").strip() or f"status {done.returncode}: {' '.join(command)}"
