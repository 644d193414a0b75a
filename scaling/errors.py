"""The one error for input that cannot be used, alone or several at once."""

from collections.abc import Sequence


class InputError(ValueError):
    """Input that is refused: one line that names the object, the value and the limit.

    The command line prints the line and exits with code 2; the operator writes it to the policy's `Ready` condition.
    """


class CombinedInputError(InputError):
    """Several refusals of one input. As text it is the first of them; `forescale check` shows all."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(problems[0])
        self.problems = tuple(problems)


def problems_of(error: InputError) -> tuple[str, ...]:
    """Every line of a refusal."""
    return error.problems if isinstance(error, CombinedInputError) else (str(error),)
