"""The options of `forescale operator`, up to where the operator begins."""

import pytest

from controller.operator.settings import OperatorSettings
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
        "--port",
        "0",
        "--requests-per-second",
        "50",
        "--prometheus-tenant",
        "shop",
    ]
    auth = ["--prometheus-username", "me", "--prometheus-password-file", str(password)]
    assert run(["operator", *URL, *options, *auth, "--prometheus-header", "X-A: b", "--dry-run"]) == 0
    ((settings, rehearse),) = served
    assert (settings.namespaces, settings.denied_namespaces) == (("shop", "web"), ("bank",))
    assert (settings.port, settings.requests_per_s) == (0, 50.0)
    assert settings.prometheus.basic_auth.password_file == password
    assert (settings.prometheus.headers, settings.prometheus.tenant) == ({"X-A": "b"}, "shop")
    assert rehearse is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prometheus-url", "prometheus:9090"], "prometheus:9090"),
        ([*URL, "--namespace", "Shop"], '--namespace: "Shop" is not a DNS-1123 label'),
        ([*URL, "--deny-namespace", "kube_system"], '--deny-namespace: "kube_system" is not a DNS-1123 label'),
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
