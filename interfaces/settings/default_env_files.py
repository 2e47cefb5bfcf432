"""The files of settings that are read without `--env-file`: those of the data folder and of the user's configuration.

Only the user may have written them. None of the current folder is read, which may be anybody's.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from interfaces.settings.env_file import read_env_file
from interfaces.settings.settings import PREFIX, Settings, SettingsError

NAME = "gridproof.env"
_DATA_DIR = "GRIDPROOF_DATA_DIR"
_OTHERS = 0o077
"""The rights of group and others."""


def read_default_env_files(environ: Mapping[str, str]) -> dict[str, str]:
    """The values of the user's file and of the data folder's, which says more. `environ` and the user's file say where
    the data folder is. Raises SettingsError if one is refused, or has lines that cannot be read."""
    values, problems = _read_private(user_env_file(environ))
    folder = environ.get(_DATA_DIR, "").strip() or values.get(_DATA_DIR) or str(Settings().data_dir)
    more, others = _read_private(Path(folder) / NAME)
    more.pop(_DATA_DIR, None)  # a folder does not say that it is another one
    if problems or others:
        raise SettingsError([*problems, *others])
    return values | more


def user_env_file(environ: Mapping[str, str]) -> Path:
    """The file in the user's configuration folder. A relative XDG_CONFIG_HOME does not count, as its specification
    says."""
    named = Path(environ.get("XDG_CONFIG_HOME") or "")
    folder = named if named.is_absolute() else Path(environ.get("HOME") or "/nonexistent") / ".config"
    return folder / "gridproof" / NAME


def _read_private(file: Path) -> tuple[dict[str, str], list[str]]:
    """As `read_env_file`; empty without such a file. That others own it or have a right to it is a problem."""
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return {}, []
    except OSError as error:
        return {}, [
            f"{file}: cannot be read ({error.strerror}); correct its rights, or name it with --env-file"
        ]
    if found.st_uid != os.geteuid():
        return {}, [f"{file}: belongs to user {found.st_uid}, not to you; own it, or name it with --env-file"]
    if found.st_mode & _OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        return {}, [f"{file}: others may use it (mode {mode:04o}); run `chmod 600 {file}`"]
    return read_env_file(file, prefix=PREFIX)
