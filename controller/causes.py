"""Why a connection failed, in words of this machine: text that the other side sent may hold anything."""

import os
import socket
import ssl


def because(error: OSError) -> str:
    """The cause after a colon, to follow a sentence; empty where there is none to tell."""
    match error:
        case ssl.SSLError(reason=str() as reason):
            return f": {reason.replace('_', ' ').lower()}"
        case socket.gaierror(strerror=str() as words):
            return f": {words}"
        case OSError(errno=int() as number):
            return f": {os.strerror(number)}"
    return ""
