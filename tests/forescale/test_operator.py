"""The options of `forescale operator`, up to where the operator begins."""

import os

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from controller.operator.settings import OperatorSettings
from forescale.app import app
from forescale.cli import BAD_INPUT, run

URL = ("--prometheus-url", "http://localhost:9090")


@pytest.fixture
def served(monkeypatch):
    """What the operator would have been started with."""
    calls = []
    monkeypatch.setattr(
        "controller.operator.operator.serve", lambda settings, rehearse: calls.append((settings, rehearse))
    )
    monkeypatch.setattr("logging.basicConfig", lambda **options: None)
    for name in [name for name in os.environ if name.startswith("FORESCALE_")]:
        monkeypatch.delenv(name)
    return calls


def test_defaults_are_those_of_the_settings(served):
    assert run(["operator", *URL]) == 0
    ((settings, rehearse),) = served
    assert settings == OperatorSettings(prometheus=settings.prometheus)
    assert settings.prometheus.url == "http://localhost:9090"
    assert rehearse is None


def test_options_arrive(served, tmp_path):
    password = tmp_path / "password"
    options = [
        "-n",
        "shop",
        "-n",
        "web",
        "--deny-namespace",
        "bank",
        "--max-replicas",
        "200",
        "--max-policies-per-namespace",
        "50",
        "--allowed-kind",
        "apps/Deployment",
        "--allowed-kind",
        "argoproj.io/Rollout",
        "--port",
        "0",
        "--requests-per-second",
        "50",
        "--allow-plain-http-credentials",
        "--query-language",
        "metricsql",
        "--enforce-namespace-label",
        "namespace",
        "--prometheus-tenant",
        "shop",
    ]
    auth = ["--prometheus-username", "me", "--prometheus-password-file", str(password)]
    assert run(["operator", *URL, *options, *auth, "--prometheus-header", "X-A: b", "--dry-run"]) == 0
    ((settings, rehearse),) = served
    assert (settings.namespaces, settings.denied_namespaces) == (("shop", "web"), ("bank",))
    assert (settings.port, settings.requests_per_s) == (0, 50.0)
    assert (settings.max_replicas, settings.max_policies_per_namespace) == (200, 50)
    assert settings.allowed_kinds == ("apps/Deployment", "argoproj.io/Rollout")
    assert settings.prometheus.basic_auth.password_file == password
    assert (settings.prometheus.headers, settings.prometheus.tenant) == ({"X-A": "b"}, "shop")
    assert settings.allow_plain_http_credentials
    assert (settings.query_language, settings.namespace_label) == ("metricsql", "namespace")
    assert rehearse is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prometheus-url", "prometheus:9090"], "prometheus:9090"),
        ([*URL, "--namespace", "Shop"], '--namespace: "Shop" is not a DNS-1123 label'),
        ([*URL, "--deny-namespace", "kube_system"], '--deny-namespace: "kube_system" is not a DNS-1123 label'),
        ([*URL, "--max-replicas", "0"], "--max-replicas: 0 is outside 1..150000"),
        ([*URL, "--max-policies-per-namespace", "0"], "--max-policies-per-namespace: 0 is outside 1..1000000"),
        ([*URL, "--allowed-kind", "apps/v1/Deployment"], '--allowed-kind: "apps/v1/Deployment" is not GROUP/KIND'),
        ([*URL, "--query-language", "sql"], '--query-language: "sql" is not promql or metricsql'),
        ([*URL, "--enforce-namespace-label", "a-b"], '--enforce-namespace-label: "a-b" is not a label of series'),
        ([*URL, "--enforce-namespace-label", "__name__"], '"__name__" is not a label of series'),
        ([*URL, "--port", "70000"], "--port: 70000 is outside 0..65535"),
        ([*URL, "--prometheus-username", "me"], "go together; only one is given"),
        ([*URL, "--prometheus-header", "secret-without-colon"], "give 'NAME: VALUE', with a colon"),
        ([*URL, "--log-level", "loud"], "--log-level: loud is not debug, info, warning, error"),
    ],
)
def test_bad_input_is_one_line_that_names_the_option(served, capsys, options, message):
    assert run(["operator", *options]) == BAD_INPUT
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert "secret-without" not in printed
    assert served == []


VARIABLES = {
    "FORESCALE_PROMETHEUS_URL": "http://prometheus:9090",
    "FORESCALE_DRY_RUN": "true",
    "FORESCALE_NAMESPACE": "shop, web",
    "FORESCALE_DENY_NAMESPACE": "bank,vault",
    "FORESCALE_LISTEN_HOST": "0.0.0.0",
    "FORESCALE_LISTEN_PORT": "9000",
    "FORESCALE_REQUESTS_PER_SECOND": "50",
    "FORESCALE_PROMETHEUS_HEADER": "X-A: b,X-C: d",
}


def test_every_option_can_be_an_environment_variable_and_help_names_it(capsys):
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    command = group.commands["operator"]
    assert run(["operator", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for option in command.params:
        variable = option.envvar or f"FORESCALE_{option.name.upper()}"
        assert f"env var: {variable}" in told, option.name
        assert variable not in ("FORESCALE_PORT", "FORESCALE_SERVICE_HOST", "FORESCALE_SERVICE_PORT")


def test_options_come_from_the_environment_lists_with_commas(served, monkeypatch):
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    assert run(["operator", "--port", "9001"]) == 0
    ((settings, rehearse),) = served
    assert settings.prometheus.url == "http://prometheus:9090"
    assert (settings.namespaces, settings.denied_namespaces) == (("shop", "web"), ("bank", "vault"))
    assert (settings.host, settings.port, settings.requests_per_s) == ("0.0.0.0", 9001, 50.0)
    assert settings.prometheus.headers == {"X-A": "b", "X-C": "d"}
    assert rehearse is not None


def test_the_variables_of_a_service_named_forescale_are_not_taken_for_options(served, monkeypatch):
    monkeypatch.setenv("FORESCALE_PORT", "tcp://10.0.0.1:8080")
    monkeypatch.setenv("FORESCALE_SERVICE_HOST", "10.0.0.1")
    assert run(["operator", *URL]) == 0
    assert served[0][0].port == OperatorSettings.port


def test_an_environment_variable_that_cannot_be_used_is_named(served, monkeypatch, capsys):
    monkeypatch.setenv("FORESCALE_LISTEN_PORT", "tcp://10.0.0.1:8080")
    assert run(["operator", *URL]) == BAD_INPUT
    assert "FORESCALE_LISTEN_PORT" in capsys.readouterr().err
