import asyncio
import json

import pytest
from kubernetes.aio.config import incluster_config

from controller.cluster.api_access import ApiSettings, configuration_of, in_cluster, log_in, token_of
from scaling.errors import InputError
from tests.controller.cluster.api_stub import TOKEN, kubeconfig

HOST = "http://127.0.0.1:1"


def outcome(**wishes):
    """Log in and out again."""

    async def run():
        login = await log_in(ApiSettings(**wishes))
        headers = await login._authorization()
        await login.close()
        return headers

    return asyncio.run(run())


def without(file, *keys):
    content = json.loads(file.read_text())
    for key in keys:
        del content[key]
    file.write_text(json.dumps(content))


def with_user(file, user):
    content = json.loads(file.read_text())
    content["users"][0]["user"] = user
    file.write_text(json.dumps(content))


def over_tls(file):
    file.write_text(file.read_text().replace("http://", "https://"))


def with_nobody(file, user, token=""):
    """Over TLS a user without a secret."""
    file.with_name("token").write_text(token)
    with_user(file, user)
    over_tls(file)


@pytest.fixture
def pod(tmp_path, monkeypatch):
    """The files and variables of a pod with a service account."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "ca.crt").write_text("no certificate")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    return tmp_path


@pytest.mark.parametrize(
    ("user", "header"),
    [
        ({"token": "a"}, "Bearer a"),
        ({"username": "me", "password": "p"}, "Basic bWU6cA=="),
        ({"client-key-data": ""}, None),
    ],
)
def test_a_kubeconfig_says_who_we_are(tmp_path, user, header):
    file = kubeconfig(tmp_path, HOST, **user)
    assert outcome(kubeconfig=file).get("Authorization") == header


def test_a_token_file_may_end_in_a_newline(tmp_path):
    (tmp_path / "token").write_text("a\n")
    file = kubeconfig(tmp_path, HOST, tokenFile=str(tmp_path / "token"))
    assert outcome(kubeconfig=file) == {"Authorization": "Bearer a"}


def test_the_kubeconfig_of_the_environment_is_found(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'none'}:{kubeconfig(tmp_path, HOST)}")
    assert not in_cluster()
    assert outcome() == {"Authorization": f"Bearer {TOKEN}"}


def test_in_a_pod_the_service_account_counts_and_its_certificate_is_checked(pod):
    assert in_cluster()
    with pytest.raises(InputError, match=r"^service account: its certificates cannot be used: no certificate or crl"):
        outcome()


def test_a_context_is_a_wish_for_a_kubeconfig_even_in_a_pod(pod, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(pod, HOST)))
    assert outcome(context="test") == {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("user", "token"),
    [({"token": "a"}, "a"), ({"username": "me", "password": "p"}, None), ({"client-key-data": ""}, None)],
)
def test_another_client_gets_the_token_alone(tmp_path, user, token):
    async def found():
        return await token_of(await configuration_of(ApiSettings(kubeconfig=kubeconfig(tmp_path, HOST, **user))))

    assert asyncio.run(found()) == token


def test_another_client_gets_the_token_of_a_service_account_alone(pod):
    async def found():
        return await token_of(await configuration_of(ApiSettings()))

    assert asyncio.run(found()) == TOKEN


@pytest.mark.parametrize(
    ("spoil", "context", "words"),
    [
        pytest.param(lambda file: file.unlink(), None, "there is no such file", id="absent"),
        pytest.param(lambda file: file.write_text("{a: ]"), None, "ParserError", id="no-yaml"),
        pytest.param(lambda file: file.write_text(""), None, "cannot be used", id="empty"),
        pytest.param(lambda file: file.write_text(f"[{TOKEN}]"), None, "cannot be used", id="a-list"),
        pytest.param(lambda file: file.write_bytes(b"\xff\xfe\x00"), None, "cannot be used", id="bytes"),
        pytest.param(lambda file: without(file, "current-context"), None, 'no "current-context"', id="no-current"),
        pytest.param(lambda file: None, "prod", 'no "prod"', id="no-such-context"),
        pytest.param(
            lambda file: with_user(file, {"token": TOKEN, "auth-provider": {"name": "oidc"}}),
            None,
            "cannot be used",
            id="half-a-user",
        ),
        pytest.param(lambda file: with_nobody(file, {}), None, "no token, password or certificate", id="nobody"),
        pytest.param(
            lambda file: with_nobody(file, {"tokenFile": "token"}, "\n"),
            None,
            "token's file is empty",
            id="no-token-yet",
        ),
        pytest.param(over_tls, None, None, id="the-system-is-trusted-where-no-authority-is-named"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_named_without_its_content(tmp_path, spoil, context, words):
    file = kubeconfig(tmp_path, HOST)
    spoil(file)
    if words is None:
        outcome(kubeconfig=file, context=context)
        return
    with pytest.raises(InputError, match=words) as caught:
        outcome(kubeconfig=file, context=context)
    assert str(caught.value).startswith(f"kubeconfig {file}: ")
    assert TOKEN not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("wish", [{"deadline_s": 0}, {"burst": 0}, {"requests_per_s": float("nan")}, {"burst": 1.5}])
def test_settings_without_sense_are_refused(wish):
    with pytest.raises(InputError, match=r"^API "):
        ApiSettings(**wish)
