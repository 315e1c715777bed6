"""Why a connection did not come about, or ended, in words that say what to look at."""

import socket
import ssl


def connection_fault(error: Exception, host: str, port: int) -> str:
    """The cause of a connection that did not come about.

    Args:
        error: what connecting raised.
        host: whom it was to reach.
        port: and where.
    """
    match error:
        case socket.gaierror():
            return f"host {host} cannot be found: {error.strerror}"
        case ConnectionRefusedError():
            return f"connection refused: nothing listens at {host}, port {port}"
        case ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            return f"{host}, port {port}, broke the connection off ({error.strerror})"
        case ssl.SSLCertVerificationError():
            return f"the certificate of {host} is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"no TLS with {host}, port {port}: {error.reason or error}"
        case TimeoutError():
            return f"no answer from {host}, port {port}"
        case _:
            return f"{type(error).__name__}: {error}"
