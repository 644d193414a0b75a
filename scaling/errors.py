"""The one error for input that cannot be used."""


class InputError(ValueError):
    """Input that is refused: one line that names the object, the value and the limit.

    The command line prints the line and exits with code 2; the operator writes it to the policy's `Ready` condition.
    """
