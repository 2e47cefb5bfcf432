"""Secrets by reference. Settings and portfolios hold references and never secrets.

A setting, which only the operator of the machine can set, may refer to any variable or file (`resolve_secret`). A
portfolio, which also comes over HTTP, may refer to its namespace only (`PortfolioSecrets`, ADR 0066).
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from pathlib import Path

from application.facility.secret_references import PREFIX as SECRET_PREFIX
from application.facility.secret_references import Purpose, SecretNamespace, purpose_of_variable

MAX_SECRET_BYTES = 16_384
MOST_LISTED = 500
_OUTSIDE = "it is outside of the secrets of its purpose"
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
"""Without O_NONBLOCK, the open of a named pipe would wait for a writer."""


class SecretError(ValueError):
    """A secret cannot be read. The message names the reference, never the secret."""


class SecretReferenceInvalid(SecretError):
    """The reference has none of the known forms."""


class SecretReferenceRefused(SecretError):
    """The reference names a secret of the service itself, or is outside of the namespace."""


class SecretNotFound(SecretError):
    """The environment variable or the file of the reference does not exist."""


class SecretUnreadable(SecretError):
    """The file exists but cannot be read, or is no regular file."""


class SecretEmpty(SecretError):
    """An empty secret would protect nothing."""


class SecretTooLarge(SecretError):
    """More than MAX_SECRET_BYTES: probably the wrong file."""


def resolve_secret(ref: str, environ: Mapping[str, str] | None = None) -> bytes:
    """The secret that a setting refers to, without a final line end, which editors add.

    `environ` replaces the process's environment. Raises a SecretError.
    """
    scheme, _, place = ref.partition(":")
    if scheme == "env" and place.isidentifier():
        return _checked(ref, _from_environment(ref, place, _environment(environ)))
    if scheme == "file" and place.startswith("/") and "\0" not in place:
        return _checked(ref, _read(ref, lambda: os.open(place, os.O_RDONLY | os.O_CLOEXEC)))
    raise _invalid()


class PortfolioSecrets:
    """Resolves the references of a portfolio.

    Each is a variable or a file of its purpose, a regular one of which no component below the folder is a symbolic
    link; none is a secret that a setting refers to (`reserved`).
    """

    def __init__(
        self,
        namespace: SecretNamespace,
        *,
        reserved: Iterable[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._namespace = namespace
        self._reserved = frozenset(reserved)
        self._environ = environ

    def resolver(self, purpose: Purpose) -> Callable[[str], bytes]:
        return partial(self.resolve, purpose=purpose)

    def resolve(self, ref: str, *, purpose: Purpose) -> bytes:
        """The secret, without a final line end. Raises a SecretError."""
        scheme, _, place = ref.partition(":")
        if ref in self._reserved:
            raise _refused(ref, "it names a secret of the service itself")
        if scheme == "env" and place.isidentifier():
            if not self._namespace.contains(ref, purpose):
                raise _refused(ref, _OUTSIDE)
            return _checked(ref, _from_environment(ref, place, _environment(self._environ)))
        if scheme == "file" and place.startswith("/") and "\0" not in place:
            below = self._namespace.path_below(place)
            if below is None or not self._namespace.contains(ref, purpose):
                raise _refused(ref, _OUTSIDE)
            return _checked(ref, _read(ref, lambda: self._open(ref, below)))
        raise _invalid()

    def listed(self, purpose: Purpose) -> list[str]:
        """The references of a purpose that resolve now, by name; of more than MOST_LISTED the first ones."""
        variables = (
            f"env:{name}"
            for name in sorted(_environment(self._environ))
            if purpose_of_variable(name) == purpose
        )
        named = chain(variables, map("file:{}".format, self._files(purpose)))
        return [reference for reference in islice(named, MOST_LISTED) if self._resolves(reference, purpose)]

    def _files(self, purpose: Purpose) -> Iterator[Path]:
        """The files below the folder of a purpose, without following links."""
        for folder, folders, files in os.walk(Path(self._namespace.folder) / purpose):
            folders.sort()
            yield from (Path(folder) / name for name in sorted(files))

    def _resolves(self, ref: str, purpose: Purpose) -> bool:
        try:
            self.resolve(ref, purpose=purpose)
        except SecretError:
            return False
        return True

    def _open(self, ref: str, below: tuple[str, ...]) -> int:
        """Open component by component, each relative to the folder before it: no exchange of a folder for a link
        can lead outside."""
        folder = os.open(self._namespace.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for component in below[:-1]:
                inner = os.open(
                    component, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder
                )
                os.close(folder)
                folder = inner
            opened = os.open(below[-1], _OPEN | os.O_NOFOLLOW, dir_fd=folder)
        finally:
            os.close(folder)
        return self._regular(ref, opened)

    def _regular(self, ref: str, opened: int) -> int:
        """`opened`, unless it is no regular file, or a file that a setting refers to, by whatever path."""
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode):
            os.close(opened)
            raise SecretUnreadable(f"the secret {ref} is no regular file; refer to a file")
        if (found.st_dev, found.st_ino) in self._reserved_files():
            os.close(opened)
            raise _refused(ref, "it names a secret of the service itself")
        return opened

    def _reserved_files(self) -> Iterator[tuple[int, int]]:
        for reference in self._reserved:
            scheme, _, place = reference.partition(":")
            if scheme == "file":
                with suppress(OSError):
                    other = os.stat(place)  # noqa: PTH116 - the path of a reference
                    yield other.st_dev, other.st_ino


def _environment(environ: Mapping[str, str] | None) -> Mapping[str, str]:
    return os.environ if environ is None else environ


def _from_environment(ref: str, name: str, environ: Mapping[str, str]) -> bytes:
    if name not in environ:
        raise SecretNotFound(f"the secret {ref} is not in the environment; set {name}")
    return environ[name].encode()


def _read(ref: str, open_file: Callable[[], int]) -> bytes:
    try:
        opened = open_file()
        try:
            return _read_bounded(opened).removesuffix(b"\n").removesuffix(b"\r")
        finally:
            os.close(opened)
    except FileNotFoundError:
        raise SecretNotFound(f"the secret {ref} has no file; create it, mode 0600") from None
    except OSError as error:
        raise SecretUnreadable(
            f"the secret {ref} cannot be read ({error.strerror}); give this user access, "
            "and use no symbolic link below the folder of secrets"
        ) from error


def _read_bounded(opened: int) -> bytes:
    content = b""
    while len(content) < MAX_SECRET_BYTES + 2 and (
        piece := os.read(opened, MAX_SECRET_BYTES + 2 - len(content))
    ):
        content += piece
    return content


def _checked(ref: str, secret: bytes) -> bytes:
    if not secret:
        raise SecretEmpty(f"the secret {ref} is empty; put the secret there")
    if len(secret) > MAX_SECRET_BYTES:
        raise SecretTooLarge(f"the secret {ref} is over {MAX_SECRET_BYTES} bytes; refer to the secret alone")
    return secret


def _invalid() -> SecretReferenceInvalid:
    # The reference is not quoted: it may be the secret itself.
    return SecretReferenceInvalid(
        "a secret is referred to as env:NAME or file:/absolute/path; correct the reference"
    )


def _refused(ref: str, why: str) -> SecretReferenceRefused:
    return SecretReferenceRefused(
        f"the secret {ref} is refused: {why}; refer to a variable {SECRET_PREFIX}BMS_*, _WEBHOOK_* or "
        "_CALLBACK_*, or to a file in the folder of its purpose (docs/guides/production.md, Secrets)"
    )
