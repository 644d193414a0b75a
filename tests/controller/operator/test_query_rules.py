import pytest

from controller.crd.resource import parse_policy
from controller.operator.policies import Policies
from controller.operator.query_rules import QueryLanguage, QueryRules
from scaling.errors import InputError
from tests.controller.operator.test_policies import a_body

METRICSQL = QueryRules(QueryLanguage.METRICSQL)
OWN = QueryRules(namespace_label="namespace")


def applied(rules, **spec):
    return rules.applied(parse_policy(a_body(**spec))).queries


def a_demand(query):
    return {"query": query, "targetPerReplica": "70"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"demand": a_demand("sum(rate(x))")}, "spec.demand.query: is not valid PromQL: expected type matrix"),
        ({"demand": a_demand("x default 0")}, "spec.demand.query: is not valid PromQL: invalid promql query"),
        ({"service": {"badRatioQuery": "no_function(x)"}}, "spec.service.badRatioQuery: is not valid PromQL: unknown"),
        ({"guardrails": {"requireHealthy": [{"query": "up"}, {"query": "up or"}]}},
         "spec.guardrails.requireHealthy[1].query: is not valid PromQL"),
    ],
)  # fmt: skip
def test_invalid_promql_is_refused_by_its_field_in_the_parsers_words(spec, message):
    with pytest.raises(InputError) as caught:
        applied(QueryRules(), **spec)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("query", ["x default 0", "sum(rate(x[1m]) keep_metric_names)", "median(x)", "x ifnot y"])
def test_with_metricsql_only_the_structure_is_checked(query):
    assert applied(METRICSQL, demand=a_demand(query)).demand == query
    with pytest.raises(InputError, match="is not closed"):
        applied(METRICSQL, demand=a_demand(f"({query}"))


def test_every_query_of_a_policy_reads_its_own_namespace():
    guardrails = {"requireHealthy": [{"query": "up"}, {"query": "min(y)"}]}
    queries = applied(OWN, service={"badRatioQuery": "1 - z / x"}, guardrails=guardrails)
    assert queries.demand == 'sum(x{namespace="shop"})'
    assert queries.bad_ratio == '1 - z{namespace="shop"} / x{namespace="shop"}'
    assert queries.healthy == ('up{namespace="shop"}', 'min(y{namespace="shop"})')


@pytest.mark.parametrize("language", QueryLanguage)
def test_a_query_that_cannot_be_kept_to_its_namespace_is_refused_by_its_field(language):
    rules = QueryRules(language, "namespace")
    for query in ("x default 0", 'x{namespace="bank"}', 'x{a="b" or c="d"}'):
        with pytest.raises(InputError, match=r"^spec.demand.query: .*\(--enforce-namespace-label\)$"):
            applied(rules, demand=a_demand(query))


def test_a_preset_may_not_name_another_namespace():
    def preset(value):
        labels = [{"name": "namespace", "value": value}]
        return {"preset": {"kind": "Kafka", "consumerGroup": "web", "labels": labels}, "targetPerReplica": "70"}

    assert 'namespace="shop"' in applied(OWN, demand=preset("shop")).demand
    with pytest.raises(InputError, match=r"^spec.demand.preset: "):
        applied(OWN, demand=preset("bank"))


def test_a_policy_that_breaks_a_rule_is_not_served_and_its_problem_says_why():
    policies = Policies(lambda: 0.0, rules=OWN)
    policies.note("ADDED", a_body(demand=a_demand('sum(x{namespace="bank"})')))
    (record,) = policies
    assert (record.target, record.problem.partition(": ")[0]) == (None, "spec.demand.query")
    policies.note("MODIFIED", a_body(generation=2))
    (target,) = (record.target for record in policies if record.target is not None)
    assert target.resource.queries.demand == 'sum(x{namespace="shop"})'
