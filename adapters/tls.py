"""TLS of the links to other servers: the context of a client from files, and readable reasons of a failed handshake."""

from __future__ import annotations

import ssl
from pathlib import Path

CA_SETTING = "GRIDPROOF_TLS_CA_FILE"
_OTHER_NAME = frozenset({62, 64})
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}
)


class TlsFilesError(ValueError):
    """The certificates of the settings cannot be used; the text says which and why."""


def tls_context(
    *,
    ca_file: Path | None = None,
    also_ca_file: Path | None = None,
    cert_file: Path | None = None,
    key_file: Path | None = None,
    alpn: str | None = None,
) -> ssl.SSLContext:
    """A context that verifies the server's name and certificate, and presents ours where it is given.

    `ca_file` (PEM) replaces the machine's list of authorities, and `also_ca_file` adds to the list, whichever it is.
    `alpn` is the protocol name for a broker on port 443 (AWS IoT Core: x-amzn-mqtt-ca). Raises TlsFilesError.
    """
    for name, path in (("CA", ca_file), ("CA", also_ca_file), ("certificate", cert_file), ("key", key_file)):
        if path is not None and not path.is_file():
            raise TlsFilesError(f"the {name} file {path} is not there")
    if (cert_file is None) != (key_file is None):
        raise TlsFilesError("the client certificate and its key go together: give both files, or none")
    context = _trusting(ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if also_ca_file is not None:
        try:
            context.load_verify_locations(cafile=also_ca_file)
        except ssl.SSLError as error:
            raise _no_certificate(also_ca_file, error) from error
    if cert_file is not None:
        try:
            # A key with a password would be prompted for on the terminal, so it is refused.
            context.load_cert_chain(cert_file, key_file, password="")
        except ssl.SSLError as error:
            raise TlsFilesError(
                f"{cert_file} and {key_file} are no certificate and key that belong together: {error.reason or error}"
            ) from error
    if alpn is not None:
        context.set_alpn_protocols([alpn])
    return context


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise _no_certificate(ca_file, error) from error


def _no_certificate(file: Path | None, error: ssl.SSLError) -> TlsFilesError:
    return TlsFilesError(f"{file} holds no certificate in PEM form: {error.reason or error}")


def tls_problem(error: BaseException | None) -> str | None:
    """Why the handshake failed, and what to do; None where the failure has nothing to do with TLS.

    Libraries wrap the error of the handshake, so the errors that led to `error` are looked at too.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        # aiohttp's error is an SSLError too, and lacks the members of one.
        wrapped = (getattr(error, "certificate_error", None), getattr(error, "os_error", None))
        inner = next((one for one in wrapped if isinstance(one, BaseException) and one is not error), None)
        if inner is None and isinstance(error, ssl.SSLError):
            return _reason_of(error)
        error = inner or error.__cause__ or error.__context__
    return None


def connection_problem(error: BaseException) -> str:
    """Why the connection failed, and what to do about it where it is TLS."""
    if (problem := tls_problem(error)) is not None:
        return problem
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _reason_of(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _OTHER_NAME:
            return (
                f"the server's certificate is not accepted ({error.verify_message}): use a name that it holds, or "
                "issue one for this name"
            )
        return f"the server's certificate is not accepted ({error.verify_message}): is its authority in {CA_SETTING}?"
    reason = (error.reason or str(error)).upper()
    if "ALERT" in reason and ("CERTIFICATE" in reason or "CA" in reason.split("_")):
        return f"the server does not accept our client certificate ({reason}): which authority does it trust?"
    if reason in _NO_TLS:
        return f"the server speaks no TLS at this port ({reason}): correct the port, or the scheme of the address"
    return f"no TLS with the server ({reason})"


def plain_hint(scheme: str) -> str:
    """A hint where a server closes a connection without TLS instead of answering."""
    return f"if the port speaks TLS, begin the address with {scheme}://"
