"""`forescale trace`: its options; what it does is in `forescale.trace`."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forescale.common import Common
from forescale.files import FILES
from forescale.prometheus_options import with_prometheus
from scaling.errors import InputError

if TYPE_CHECKING:
    from controller.crd.resource import PolicyResource
    from controller.prometheus.access import PrometheusSettings
    from controller.prometheus.answer import Grid
    from forescale.trace import Series


@with_prometheus
def trace(
    prometheus: "PrometheusSettings",
    file: FILES = None,
    name: Annotated[
        str | None, typer.Option(help="The policy of this name, or NAMESPACE/NAME, of a file with several.")
    ] = None,
    days: Annotated[float, typer.Option(help="How many days up to now.")] = 7.0,
    step_seconds: Annotated[float, typer.Option(help="Seconds between two rows.")] = 15.0,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.csv", help="Where to write the t_seconds,value rows.")
    ] = Path("load.csv"),
    query_language: Annotated[
        str, typer.Option(metavar="promql|metricsql", help="What the query is checked as; metricsql skips the grammar.")
    ] = "promql",
    enforce_namespace_label: Annotated[
        str | None, typer.Option(metavar="LABEL", help="The operator's own --enforce-namespace-label.")
    ] = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Pull the load that a policy's own query has seen into a CSV for `forescale dry-run --trace`.

    Gaps of up to 5 min are filled linearly; of a series with longer ones the longest stretch is written.
    """
    from controller.operator.query_rules import QueryRules, language
    from forescale.trace import grid_until, policy_of, summary, without_gaps, write_csv

    if not file:
        raise InputError("--file: give the file of a ScalingPolicy, or - for stdin")
    rules = QueryRules(language(query_language), enforce_namespace_label)
    policy, grid = rules.applied(policy_of(file, name)), grid_until(time.time(), days, step_seconds)
    if not output.parent.is_dir():
        raise InputError(f"--output: {output.parent} is not a folder")
    stretch = without_gaps(asyncio.run(_pull(prometheus, policy, grid, common)), grid, policy.spec)
    write_csv(output, stretch, policy)
    if common.quiet:
        return
    for line in summary(stretch):
        typer.echo(line, err=True)
    typer.echo(f"wrote {output}; next: forescale dry-run -f {file[0]} --trace {output}", err=True)


async def _pull(prometheus: "PrometheusSettings", policy: "PolicyResource", grid: "Grid", common: Common) -> "Series":
    from controller.prometheus.http import PrometheusHttp
    from forescale.trace import pull

    def tell(done: int, steps: int) -> None:
        if not common.quiet:
            typer.echo(f"read {100 * done // steps} % of {steps} rows", err=True)

    if policy.queries.demand is None:
        raise InputError(f"{policy.namespace}/{policy.name}: has no demand query")
    async with PrometheusHttp(prometheus) as http:
        return await pull(http, policy.queries.demand, grid, tell)
