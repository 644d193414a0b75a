"""`forescale check`: its options and its lines; what is checked is in `forescale.check`."""

from typing import TYPE_CHECKING, Annotated

import typer

from forescale.common import Common
from forescale.files import FILES, RECURSIVE
from forescale.output import OUTPUT, OutputFormat, write_document
from scaling.errors import InputError

if TYPE_CHECKING:
    from controller.crd.resource import PolicyResource
    from forescale.check import Checked


def check(
    file: FILES = None,
    recursive: RECURSIVE = False,
    query_language: Annotated[
        str, typer.Option(metavar="promql|metricsql", help="What queries are checked as; metricsql skips the grammar.")
    ] = "promql",
    enforce_namespace_label: Annotated[
        str | None, typer.Option(metavar="LABEL", help="The operator's own --enforce-namespace-label.")
    ] = None,
    max_replicas: Annotated[int | None, typer.Option(min=1, help="The operator's own --max-replicas.")] = None,
    output: OUTPUT = OutputFormat.TEXT,
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Check ScalingPolicies without a cluster: fields, ranges, queries, capacities.

    Prints a line for each problem and ends with exit code 2 if there is one, with 0 if there is none. -v shows the
    queries of presets and the loads that each policy can serve.
    """
    from controller.operator.query_rules import QueryRules, language
    from forescale.check import Rules
    from forescale.check import check as check_files

    if not file:
        raise InputError("--file: give a file or a folder to check, or - for stdin")
    queries = QueryRules(language(query_language), enforce_namespace_label)
    checked = check_files(file, recursive, Rules(queries, max_replicas))
    if output is OutputFormat.TEXT:
        _print(checked, common)
    else:
        document = checked.document()
        write_document(output, document, document["problems"], COLUMNS)
    if checked.problems:
        raise typer.Exit(2)


COLUMNS = ("file", "document", "policy", "field", "message")


def _print(checked: "Checked", common: Common) -> None:
    for problem in checked.problems:
        typer.echo(str(problem))
    if common.quiet:
        return
    for skipped in checked.skipped:
        typer.echo(f"skipped {skipped}", err=True)
    if common.verbose:
        for policy in checked.policies:
            typer.echo("\n".join(_facts(policy)))
    policies, problems = _count(len(checked.policies), "policy", "policies"), len(checked.problems)
    typer.echo(f"{policies}, {_count(problems, 'problem', 'problems') if problems else 'no problems'}")


def _facts(policy: "PolicyResource") -> list[str]:
    from forescale.check import served_between

    low, high = served_between(policy.spec)
    spec, queries = policy.spec, policy.queries
    asked = [("demand", queries.demand), ("bad ratio", queries.bad_ratio), *(("healthy", q) for q in queries.healthy)]
    return [
        f"{policy.namespace}/{policy.name}: {policy.target.kind} {policy.target.name}",
        f"  {spec.min_replicas} to {spec.max_replicas} replicas serve a load of {low:,.4g} to {high:,.4g}",
        *(f"  {name}: {query}" for name, query in asked if query is not None),
    ]


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
