"""TLS to the broker: the context from the settings, and readable connection errors."""

import ssl
from pathlib import Path


class MqttTlsError(ValueError):
    """The certificates of the settings cannot be used; the text says which and why."""


def tls_context(
    *,
    ca_file: Path | None = None,
    cert_file: Path | None = None,
    key_file: Path | None = None,
    alpn: str | None = None,
) -> ssl.SSLContext:
    """A context that verifies the broker's name and certificate, and presents ours where it is given.

    `ca_file` (PEM) replaces the machine's list of authorities. `alpn` is the protocol name for a broker on port 443
    (AWS IoT Core: x-amzn-mqtt-ca). Raises MqttTlsError.
    """
    for name, path in (("CA", ca_file), ("certificate", cert_file), ("key", key_file)):
        if path is not None and not path.is_file():
            raise MqttTlsError(f"the MQTT {name} file {path} is not there")
    if (cert_file is None) != (key_file is None):
        raise MqttTlsError("the MQTT client certificate and its key go together: give both files, or none")
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise MqttTlsError(f"{ca_file} holds no certificate in PEM form: {error.reason}") from error
    if cert_file is not None:
        try:
            # A key with a password would be prompted for on the terminal, so it is refused.
            context.load_cert_chain(cert_file, key_file, password="")
        except ssl.SSLError as error:
            raise MqttTlsError(
                f"{cert_file} and {key_file} are no certificate and key that belong together: {error.reason or error}"
            ) from error
    if alpn is not None:
        context.set_alpn_protocols([alpn])
    return context


def connection_problem(error: BaseException) -> str:
    """Why the connection failed, and what to do about it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker's certificate is not accepted ({error.verify_message}); is its authority in the CA file?"
    if isinstance(error, ssl.SSLError):
        reason = error.reason or str(error)
        if "ALERT" in reason.upper() and (
            "CERTIFICATE" in reason.upper() or "CA" in reason.upper().split("_")
        ):
            return f"the broker does not accept our client certificate ({reason})"
        return f"no TLS with the broker ({reason}); is its port one for mqtts?"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
