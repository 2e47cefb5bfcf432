"""PostgreSQL refuses root, and users without a name; the ways to run it as somebody else, changing no system.

A container that is started under a bare number (`--user 1234`) has a user without a name.
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

Way = Callable[[Path], list[str]]
"""For the folder of the database: the words to put before a command."""


def by_user_namespace(folder: Path) -> list[str]:
    """Root outside is `nobody` inside: no file changes its owner, paths that only root may enter work."""
    unshare = needed_program("unshare", package="util-linux")
    return [unshare, "--user", "--map-user=65534", "--map-group=65534", "--"]


def by_nobody(folder: Path) -> list[str]:
    """The user `nobody` itself, where a container forbids namespaces.

    It must be able to reach the folder, so our own folders around it may be entered (not listed) by others;
    folders that are not ours stay as they are. The change of user clears the death signal: it is set again.
    """
    nobody = pwd.getpwnam("nobody")
    folder.parent.chmod(0o711)
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    setpriv = needed_program("setpriv", package="util-linux")
    ids = ["--reuid", str(nobody.pw_uid), "--regid", str(nobody.pw_gid), "--clear-groups"]
    return [setpriv, *ids, "--pdeathsig", "INT", "--"]


WAYS: tuple[Way, ...] = (by_user_namespace, by_nobody)


def prefix(folder: Path, program: Path, ways: Sequence[Way] = WAYS) -> list[str]:
    """What to put before `program` so that it runs as a user it accepts, who may write to `folder`.

    Empty for ordinary users. Each way is tried for real before it is used. Raises `CannotDropRoot`.
    """
    is_root = os.geteuid() == 0
    if not is_root and _has_a_name(os.geteuid()):
        return []
    complaints = []
    for way in ways if is_root else [by_user_namespace]:
        words = way(folder)
        # By `env`, since setpriv itself still has root's rights when it starts the first program.
        probes = ["env", str(program), "--version"], ["env", "test", "-w", str(folder)]
        complaint = next((text for probe in probes if (text := _complaint([*words, *probe]))), None)
        if complaint is None:
            return words
        complaints.append(f"{way.__name__}: {complaint}")
    raise CannotDropRoot(
        "postgres",
        f"it refuses the user {os.geteuid()}, and could not be run as another ({'; '.join(complaints)})",
        advice="Run Gridproof as an ordinary user, or set GRIDPROOF_DATABASE_URL to an external PostgreSQL.",
    )


def _has_a_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _complaint(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PROBE_DEADLINE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as failure:
        return str(failure)
    if done.returncode == 0:
        return None
    return done.stderr.decode("utf-8", "replace").strip() or f"status {done.returncode}: {' '.join(command)}"
