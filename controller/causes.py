"""Causes in one line for people: text that another side sent may hold anything."""

import os
import socket
import ssl


def one_line(text: str, characters: int) -> str:
    """A text as one printable line of at most so many characters."""
    if text.isprintable() and len(text) <= characters:
        return text
    line = "".join(letter if letter.isprintable() else " " for letter in text[: characters + 1])
    return line if len(line) <= characters else line[: characters - 3] + "..."


def because(error: OSError) -> str:
    """Why a connection failed, in words of this machine, after a colon to follow a sentence; empty without a cause."""
    match error:
        case ssl.SSLError(reason=str() as reason):
            return f": {reason.replace('_', ' ').lower()}"
        case socket.gaierror(strerror=str() as words):
            return f": {words}"
        case OSError(errno=int() as number):
            return f": {os.strerror(number)}"
    return ""
