"""Whether a query answers nothing as soon as all its samples have ended, rather than a number that stands for them.

Pure. The list is of the forms that surely answer nothing. A language that grows (`default`, `fill`, `ifnot`, ...) makes
each new form one that may answer without samples, until it is listed here.
"""

import promql_parser

from controller.promql.grammar import as_known, parsed, parts_of
from controller.promql.structure import unreadable
from controller.promql.syntax import PROMETHEUS_3, tokens_of

OPERATORS = frozenset(("+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "<", "<=", ">", ">=", "and"))
"""Those that answer nothing where a vector is empty; `or` and `unless` do not."""

FUNCTIONS = frozenset(
    (
        *("rate", "increase", "irate", "delta", "idelta", "deriv", "predict_linear", "resets", "changes"),
        *("holt_winters", "double_exponential_smoothing"),
        *("avg_over_time", "min_over_time", "max_over_time", "sum_over_time", "count_over_time", "last_over_time"),
        *("first_over_time", "stddev_over_time", "stdvar_over_time", "quantile_over_time", "mad_over_time"),
        "present_over_time",
        *("abs", "ceil", "floor", "round", "exp", "ln", "log2", "log10", "sqrt", "sgn"),
        *("clamp", "clamp_min", "clamp_max", "sort", "sort_desc", "label_replace", "label_join", "timestamp", "time"),
        *("histogram_quantile", "histogram_avg", "histogram_count", "histogram_sum", "histogram_fraction"),
    )
)
"""Those that answer nothing for an empty vector; absent(), scalar() and vector() do not."""


def ends_with_its_samples(query: str) -> bool:
    """Whether the query is surely of such a form. False for any other, and for what cannot be read."""
    if unreadable(query) is not None or any(token.text.lower() in PROMETHEUS_3 for token in tokens_of(query)):
        return False
    tree = parsed(as_known(query))
    return not isinstance(tree, str) and all(map(_is_known, parts_of(tree)))


def _is_known(part: promql_parser.Expr) -> bool:
    """Whether one expression, apart from those within it, is of such a form."""
    if isinstance(part, promql_parser.BinaryExpr):
        return str(part.op) in OPERATORS and not _fills(part.modifier)
    return not isinstance(part, promql_parser.Call) or part.func.name in FUNCTIONS


def _fills(modifier: promql_parser.BinModifier | None) -> bool:
    fill = None if modifier is None else modifier.fill_values
    return fill is not None and (fill.lhs is not None or fill.rhs is not None)
