"""Secrets by reference, `env:NAME` or `file:/path`. Settings and portfolios hold references and never secrets."""

import os
from collections.abc import Mapping
from pathlib import Path

MAX_SECRET_BYTES = 16_384


class SecretError(ValueError):
    """A secret cannot be read. The message names the reference, never the secret."""


class SecretReferenceInvalid(SecretError):
    """The reference is neither `env:NAME` nor `file:/path`."""


class SecretNotFound(SecretError):
    """The environment variable or the file of the reference does not exist."""


class SecretUnreadable(SecretError):
    """The file exists but cannot be read."""


class SecretEmpty(SecretError):
    """An empty secret would protect nothing."""


class SecretTooLarge(SecretError):
    """More than MAX_SECRET_BYTES: probably the wrong file."""


def resolve_secret(ref: str, environ: Mapping[str, str] | None = None) -> bytes:
    """The secret that `ref` names, without a final line end, which editors add.

    `environ` replaces the process's environment. Raises a SecretError.
    """
    scheme, _, place = ref.partition(":")
    if scheme == "env" and place.isidentifier():
        secret = _from_environment(ref, place, os.environ if environ is None else environ)
    elif scheme == "file" and place.startswith("/"):
        secret = _from_file(ref, Path(place))
    else:
        # The reference is not quoted: it may be the secret itself.
        raise SecretReferenceInvalid(
            "a secret is referred to as env:NAME or file:/absolute/path; correct the reference"
        )
    if not secret:
        raise SecretEmpty(f"the secret {ref} is empty; put the secret there")
    if len(secret) > MAX_SECRET_BYTES:
        raise SecretTooLarge(f"the secret {ref} is over {MAX_SECRET_BYTES} bytes; refer to the secret alone")
    return secret


def _from_environment(ref: str, name: str, environ: Mapping[str, str]) -> bytes:
    if name not in environ:
        raise SecretNotFound(f"the secret {ref} is not in the environment; set {name}")
    return environ[name].encode()


def _from_file(ref: str, file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_SECRET_BYTES + 2).removesuffix(b"\n").removesuffix(b"\r")
    except FileNotFoundError:
        raise SecretNotFound(f"the secret {ref} has no file; create it, mode 0600") from None
    except OSError as error:
        raise SecretUnreadable(
            f"the secret {ref} cannot be read ({error.strerror}); give this user access"
        ) from error
