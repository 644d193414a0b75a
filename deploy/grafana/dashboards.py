"""The Grafana dashboards, written with Grafana's own typed SDK: a page for the fleet and a page for one policy.

    python -m deploy.grafana.dashboards

writes forescale.json and forescale-policy.json here and into the chart. A test compares them with what this module
makes, and asks a real Prometheus every query.

Source: https://grafana.com/docs/grafana/latest/as-code/observability-as-code/foundation-sdk/
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import common, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import (
    GraphDrawStyle,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    LineInterpolation,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from controller.policy_metrics import OVERRIDES
from scaling.decision import Reason
from scaling.guardrails import HOLDS, STANDSTILLS

HERE = Path(__file__).parent
CHART = HERE.parent / "helm" / "forescale" / "files" / "dashboards"

FLEET, POLICY = "forescale", "forescale-policy"
"""Uids of the pages, and the names of their files."""

UNUSABLE = tuple(reason for reason in Reason if reason.value.startswith("Metric"))
KEPT = (Reason.PAUSED, *STANDSTILLS, *HOLDS, *UNUSABLE)
"""Reasons by which a policy is kept from a change, or from removing."""

SOURCE = model.DataSourceRef(type_val="prometheus", uid="$datasource")


@dataclass(frozen=True)
class Query:
    """A query and what its series are called."""

    expr: str
    legend: str = ""
    instant: bool = False
    table: bool = False


def of_policies(metric: str, labels: str = 'namespace=~"$namespace"') -> str:
    """One series for each policy: while the Lease changes hands, two operators can tell of it."""
    return f"max by (namespace, policy) (forescale_policy_{metric}{{{labels}}})"


def of_policy(metric: str, more: str = "") -> str:
    """The series of the one policy that the page shows."""
    return f'max(forescale_policy_{metric}{{namespace="$namespace", policy="$policy"{more}}})'


def of_reasons(reasons: Sequence[Reason]) -> str:
    """A matcher of these reasons."""
    return f'reason=~"{"|".join(reason.value for reason in reasons)}"'


def saved(reference: str, current: str) -> str:
    """Replica-hours that the reference HPA would have used beyond ours, over the range that is shown."""
    return f"sum_over_time((({reference}) - ({current}))[$__range:1m]) / 60"


# Pages


def fleet() -> model.Dashboard:
    """All policies of the chosen namespaces."""
    page = _page("forescale: fleet", FLEET, "All workloads that forescale scales").with_variable(
        _namespaces(multi=True)
    )
    current, reference = f"sum({of_policies('current_replicas')})", f"sum({of_policies('reference_replicas')})"
    reasons = 'namespace=~"$namespace", ' + of_reasons(KEPT)
    for panel in (
        _number("Policies", f"count({of_policies('current_replicas')})", "ScalingPolicies that were decided on."),
        _number("Replicas", current, "Replicas that all targets ask for."),
        _number(
            "Replica-hours saved",
            saved(reference, current),
            "What an HPA with the same target would have used beyond forescale. Below 0: it would have used less.",
            decimals=1,
        ),
        _number(
            "Oldest decision", f"max({of_policies('decision_age_seconds')})", "Age of the oldest decision.", "s", 300
        ),
        _number(
            "In fallback", f"sum({of_policies('fallback')})", "Policies whose load is unknown for too long.", worst=1
        ),
        _number(
            "Conflicts", f"sum({of_policies('conflict')})", "Policies whose target is scaled by somebody else.", worst=1
        ),
        _number(
            "Rejected policies", f"sum({of_policies('rejected')})", "Policies whose policyRef cannot be used.", worst=1
        ),
        _number("Instance that leads", "sum(forescale_leader)", "Operators that hold the Lease; 1 is right."),
        _lines(
            "Replicas of all workloads",
            (Query(current, "forescale"), Query(reference, "reference HPA")),
            "What the targets ask for, beside an exact HPA with the same target.",
        ),
        _lines(
            "Decisions by action",
            (Query("sum by (action) (rate(forescale_decisions_total[$__rate_interval])) * 60", "{{action}}"),),
            "Decisions in a minute, of all namespaces.",
            stacked=True,
        ),
        _lines(
            "Decisions by reason",
            (Query("sum by (reason) (rate(forescale_decisions_total[$__rate_interval])) * 60", "{{reason}}"),),
            "The reason with the last word, decisions in a minute, of all namespaces.",
            stacked=True,
        ),
        _lines(
            "Guard overrides",
            (Query("sum by (guard) (rate(forescale_guard_overrides_total[$__rate_interval])) * 60", "{{guard}}"),),
            "Decisions in a minute that a guard changed, of all namespaces.",
            stacked=True,
        ),
        _lines(
            "Policies that are held",
            (
                Query(
                    f"sum by (reason) (max by (namespace, policy, reason) (forescale_policy_reason{{{reasons}}}))",
                    "{{reason}}",
                ),
            ),
            "Policies that are kept from a change, or from removing, by reason.",
            stacked=True,
        ),
        _lines(
            "Fallbacks, conflicts, rejected policies",
            (
                Query(f"sum({of_policies('fallback')})", "in fallback"),
                Query(f"sum({of_policies('conflict')})", "conflict"),
                Query(f"sum({of_policies('rejected')})", "rejected"),
                Query(f"sum({of_policies('out_of_distribution_ratio')} > bool 0)", "out of distribution"),
            ),
            "How many policies.",
        ),
        _lines(
            "Requests of the operator",
            (
                Query("sum by (verb) (rate(forescale_api_requests_total[$__rate_interval]))", "API server, {{verb}}"),
                Query(
                    "sum by (result) (rate(forescale_prometheus_requests_total[$__rate_interval]))",
                    "Prometheus, {{result}}",
                ),
            ),
            "Requests per second to the API server and to Prometheus.",
            unit="reqps",
        ),
        _lines(
            "How long a decision takes",
            (
                Query(_quantile(0.95, "forescale_decision_duration_seconds"), "tick of decisions, 95 %"),
                Query(_quantile(0.95, "forescale_event_loop_lag_seconds"), "event loop lag, 95 %"),
            ),
            "From the start of a tick to its last decision, reading included.",
            unit="s",
        ),
        _policies_table(),
    ):
        page.with_panel(panel)
    return page.build()


def policy() -> model.Dashboard:
    """The story of one policy."""
    page = _page("forescale: policy", POLICY, "Why one workload has the replicas that it has")
    page.with_variable(_namespaces(multi=False)).with_variable(_policies()).annotations([_scale_events()])
    current, reference = of_policy("current_replicas"), of_policy("reference_replicas")
    guards = ", " + of_reasons(OVERRIDES)
    for panel in (
        _number("Replicas", current, "Replicas that the target asks for."),
        _number("Ready", of_policy("ready_replicas"), "Replicas that serve."),
        _number("Reference HPA", reference, "Replicas that an exact HPA with the same target would ask for."),
        _number("Replica-hours saved", saved(reference, current), "Against that HPA, over the time range.", decimals=1),
        _number("Changes", f"changes(({current})[$__range:15s])", "Changes of size over the time range."),
        _number("Load", of_policy("demand"), "In the unit of the policy's query.", decimals=1),
        _number(
            "Bad requests",
            f"avg_over_time(({of_policy('bad_ratio')})[$__range:15s])",
            "Mean measured share over the time range; no data without a badRatioQuery.",
            "percentunit",
            0.01,
        ),
        _number("Decision age", of_policy("decision_age_seconds"), "Age of the last decision.", "s", 300),
        _lines(
            "Load against capacity",
            (
                Query(of_policy("demand"), "load"),
                Query(f"{of_policy('ready_replicas')} * {of_policy('target_per_replica')}", "ready replicas x target"),
            ),
            "The load, and what the ready replicas are meant to take, in the unit of the policy's query.",
        ),
        _lines(
            "Replicas",
            (
                Query(current, "forescale"),
                Query(of_policy("ready_replicas"), "ready"),
                Query(reference, "reference HPA"),
                Query(of_policy("floor_replicas"), "floor"),
                Query(of_policy("ceiling_replicas"), "ceiling"),
            ),
            "What was decided, beside the HPA's size and what the guards allow.",
            steps=True,
        ),
        _lines(
            "Band",
            (
                Query(of_policy("band_low_replicas"), "adds up to"),
                Query(of_policy("band_high_replicas"), "removes down to"),
                Query(current, "replicas"),
            ),
            "The policy's answer: it adds below the band, removes above it and holds within it.",
            steps=True,
        ),
        _lines(
            "Bad requests",
            (Query(of_policy("bad_ratio"), "share of bad requests"),),
            "Measured by service.badRatioQuery; no data without one.",
            unit="percentunit",
            worst=0.01,
        ),
        _states(
            "Reasons of the decisions",
            'max by (reason) (forescale_policy_reason{namespace="$namespace", policy="$policy"})',
            "Every reason of the last decision.",
        ),
        _states(
            "Guard overrides",
            f'max by (reason) (forescale_policy_reason{{namespace="$namespace", policy="$policy"{guards}}})',
            "Guards that changed the last decision.",
        ),
        _lines(
            "Age of data and decisions",
            (
                Query(of_policy("data_age_seconds"), "newest sample"),
                Query(of_policy("decision_age_seconds"), "last decision"),
            ),
            "How old the load's newest sample and the last decision are.",
            unit="s",
        ),
        _lines(
            "State",
            (
                Query(of_policy("fallback"), "in fallback"),
                Query(of_policy("conflict"), "conflict"),
                Query(of_policy("rejected"), "policy rejected"),
                Query(of_policy("out_of_distribution_ratio"), "inputs out of distribution"),
            ),
            "1 is yes; of the inputs, the share outside what training saw.",
            steps=True,
        ),
    ):
        page.with_panel(panel)
    return page.build()


def _page(title: str, uid: str, about: str) -> build.Dashboard:
    other = POLICY if uid == FLEET else FLEET
    link = (
        build.DashboardLink("Fleet" if other == FLEET else "One policy")
        .type(model.DashboardLinkType.LINK)
        .url(f"/d/{other}")
        .keep_time(True)
        .include_vars(True)
    )
    source = build.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    return (
        build.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags(["forescale", "autoscaling"])
        .refresh("15s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(link)
        .with_variable(source)
    )


# Variables and annotations


def _namespaces(multi: bool) -> build.QueryVariable:
    variable = _choice("namespace", "Namespace", "label_values(forescale_policy_current_replicas, namespace)")
    return variable.multi(True).include_all(True).all_value(".+") if multi else variable


def _policies() -> build.QueryVariable:
    return _choice(
        "policy", "Policy", 'label_values(forescale_policy_current_replicas{namespace="$namespace"}, policy)'
    )


def _choice(name: str, label: str, query: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(SOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )


def _scale_events() -> build.AnnotationQuery:
    """A mark wherever the size has changed."""
    replicas = 'forescale_policy_current_replicas{namespace="$namespace", policy="$policy"}'
    return (
        build.AnnotationQuery()
        .name("Scaled")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("blue")
        .expr(f"changes({replicas}[1m]) > 0")
    )


# Panels: eight stats in the first row, then two charts in a row


def _targets(queries: Sequence[Query]) -> list[prometheus.Dataquery]:
    return [_target(query, chr(ord("A") + place)) for place, query in enumerate(queries)]


def _target(query: Query, ref_id: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).ref_id(ref_id).datasource(SOURCE)
    if query.legend:
        target.legend_format(query.legend)
    if query.instant:
        target.instant()
    else:
        target.range()
    return target.format(PromQueryFormat.TABLE) if query.table else target


def _number(
    title: str, expr: str, about: str, unit: str = "short", worst: float | None = None, decimals: int = 0
) -> stat.Panel:
    panel = stat.Panel().title(title).description(about).datasource(SOURCE).unit(unit).span(3).height(4)
    panel.decimals(decimals if unit == "short" else 1).with_target(_target(Query(expr, instant=True), "A"))
    return panel.thresholds(_limit(worst))


def _lines(
    title: str,
    queries: Sequence[Query],
    about: str,
    unit: str = "short",
    stacked: bool = False,
    steps: bool = False,
    worst: float | None = None,
) -> timeseries.Panel:
    panel = timeseries.Panel().title(title).description(about).datasource(SOURCE).unit(unit).span(12).height(8)
    panel.min(0).line_width(2).fill_opacity(25 if stacked else 0).draw_style(GraphDrawStyle.LINE)
    panel.legend(
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    panel.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    if steps:
        panel.line_interpolation(LineInterpolation.STEP_AFTER)
    if worst is not None:
        panel.thresholds(_limit(worst))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    for target in _targets(queries):
        panel.with_target(target)
    return panel


def _states(title: str, expr: str, about: str) -> statetimeline.Panel:
    panel = statetimeline.Panel().title(title).description(about).datasource(SOURCE).span(12).height(8)
    return panel.with_target(_target(Query(expr, "{{reason}}"), "A"))


def _policies_table() -> table.Panel:
    columns = {
        "Value #A": "Replicas",
        "Value #B": "Ready",
        "Value #C": "Reference HPA",
        "Value #D": "Load",
        "Value #E": "Decision age (s)",
        "namespace": "Namespace",
        "policy": "Policy",
    }
    metrics = ("current_replicas", "ready_replicas", "reference_replicas", "demand", "decision_age_seconds")
    panel = table.Panel().title("Policies").description("A policy's name leads to its page.").datasource(SOURCE)
    panel.span(24).height(10)
    for target in _targets([Query(of_policies(metric), instant=True, table=True) for metric in metrics]):
        panel.with_target(target)
    panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    organised = {"excludeByName": {"Time": True}, "renameByName": columns}
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=organised))
    row = "var-namespace=${__data.fields.Namespace}&var-policy=${__data.fields.Policy}"
    url = f"/d/{POLICY}?{row}&${{__url_time_range}}"
    link = {"title": "Show its story", "url": url}
    return panel.override_by_name("Policy", [model.DynamicConfigValue(id_val="links", value=[link])])


def _limit(worst: float | None) -> build.ThresholdsConfig:
    """Green, and red from `worst` on."""
    steps = [model.Threshold(value=None, color="green")]
    if worst is not None:
        steps.append(model.Threshold(value=worst, color="red"))
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _quantile(share: float, histogram: str) -> str:
    return f"histogram_quantile({share:g}, sum by (le) (rate({histogram}_bucket[$__rate_interval])))"


# Files


def documents() -> dict[str, str]:
    """The pages as JSON, by the names of their files."""
    encode = JSONEncoder(sort_keys=True, indent=2).encode
    return {f"{name}.json": encode(make()) + "\n" for name, make in ((FLEET, fleet), (POLICY, policy))}


def main() -> None:
    """Write the files."""
    for folder in (HERE, CHART):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in documents().items():
            (folder / name).write_text(text)


if __name__ == "__main__":
    main()
