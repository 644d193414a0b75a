"""What a terminal shows in place of a sign that its encoding does not have: one character for each."""

import codecs

HANDLER = "forescale.stand_in"
"""Name of the error handler, once it is registered."""

STAND_INS = str.maketrans(
    {
        "\N{MINUS SIGN}": "-",
        "\N{EN DASH}": "-",
        "\N{RIGHTWARDS ARROW}": ">",
        "\N{HORIZONTAL ELLIPSIS}": "~",
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{NO-BREAK SPACE}": " ",
        "\N{BOX DRAWINGS HEAVY HORIZONTAL}": "=",
        **dict(zip("▁▂▃▄▅▆▇█", "_.-=+*%#", strict=True)),
    }
)


def register() -> str:
    """Make the handler known to all streams and return its name; any other sign becomes `?`."""
    codecs.register_error(HANDLER, _stand_in)
    return HANDLER


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end].translate(STAND_INS)
    return "".join(sign if sign.isascii() else "?" for sign in signs), error.end
