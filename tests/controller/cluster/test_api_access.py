import asyncio
import json
from pathlib import Path

import pytest

from controller.cluster import api_access as access_module
from controller.cluster.api_access import ApiSettings, connection_of, in_cluster, log_in
from controller.cluster.api_session import Token
from scaling.errors import InputError
from tests.controller.cluster.api_stub import TOKEN, kubeconfig

HOST = "http://127.0.0.1:1"


def outcome(**wishes):
    """Log in and out again; the Authorization header."""

    async def run():
        settings = ApiSettings(**wishes)
        login = await log_in(settings)
        await login.close()
        return (await connection_of(settings)).authorization()

    return asyncio.run(run())


def without(file, *keys):
    content = json.loads(file.read_text())
    for key in keys:
        del content[key]
    file.write_text(json.dumps(content))


def twice(file, key):
    content = json.loads(file.read_text())
    content[key] *= 2
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
    monkeypatch.setattr(access_module, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    return tmp_path


@pytest.mark.parametrize(
    ("user", "header"),
    [
        ({"token": "a"}, "Bearer a"),
        ({"username": "me", "password": "p"}, "Basic bWU6cA=="),
        ({"client-key-data": ""}, ""),
    ],
)
def test_a_kubeconfig_says_who_we_are(tmp_path, user, header):
    file = kubeconfig(tmp_path, HOST, **user)
    assert outcome(kubeconfig=file) == header


def test_a_token_file_may_end_in_a_newline(tmp_path):
    (tmp_path / "token").write_text("a\n")
    file = kubeconfig(tmp_path, HOST, tokenFile=str(tmp_path / "token"))
    assert outcome(kubeconfig=file) == "Bearer a"


def test_the_kubeconfig_of_the_environment_is_found(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'none'}:{kubeconfig(tmp_path, HOST)}")
    assert not in_cluster()
    assert outcome() == f"Bearer {TOKEN}"


def test_in_a_pod_the_service_account_counts_and_its_certificate_is_checked(pod):
    assert in_cluster()
    with pytest.raises(InputError, match=r"^service account: its certificates cannot be used: no certificate or crl"):
        outcome()


def test_a_context_is_a_wish_for_a_kubeconfig_even_in_a_pod(pod, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(pod, HOST)))
    assert outcome(context="test") == f"Bearer {TOKEN}"


def test_the_service_account_of_a_pod_says_where_its_api_server_is(pod):
    connection = asyncio.run(connection_of(ApiSettings()))
    assert (connection.server, connection.authorization()) == ("https://[::1]:1", f"Bearer {TOKEN}")
    assert connection.authority == pod / "ca.crt"


def test_a_token_file_is_read_again_after_a_minute_and_kept_while_it_cannot_be(tmp_path, monkeypatch):
    now_s, file = [0.0], tmp_path / "token"
    monkeypatch.setattr("time.monotonic", lambda: now_s[0])
    file.write_text("first")
    token, said = Token(file=file), []
    for after_s, content in ((59.0, "second"), (1.0, "second"), (60.0, ""), (60.0, "two words"), (60.0, None)):
        now_s[0] += after_s
        file.unlink() if content is None else file.write_text(content)
        said.append(token.current())
    assert said == ["first", "second", "second", "second", "second"]


def test_the_first_file_with_a_context_of_that_name_counts(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    files = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        files.append(kubeconfig(tmp_path / name, HOST, token=name))
    monkeypatch.setenv("KUBECONFIG", f"{files[0]}:{files[1]}")
    assert outcome() == "Bearer one"
    without(files[0], "contexts", "users")
    assert outcome() == "Bearer two"


def test_without_a_home_folder_a_kubeconfig_has_to_be_named(tmp_path, monkeypatch):
    def nobody(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(Path, "expanduser", nobody)
    with pytest.raises(InputError, match="there is no home folder"):
        outcome()


@pytest.mark.parametrize(
    ("spoil", "context", "words"),
    [
        pytest.param(lambda file: file.unlink(), None, "there is no such file", id="absent"),
        pytest.param(lambda file: file.write_text("{a: ]"), None, "not YAML, line 1", id="no-yaml"),
        pytest.param(lambda file: file.write_text(""), None, "cannot be used", id="empty"),
        pytest.param(lambda file: file.write_text(f"[{TOKEN}]"), None, "cannot be used", id="a-list"),
        pytest.param(lambda file: file.write_bytes(b"\xff\xfe\x00"), None, "cannot be used", id="bytes"),
        pytest.param(lambda file: without(file, "current-context"), None, 'no "current-context"', id="no-current"),
        pytest.param(lambda file: without(file, "users"), None, 'no user "me"', id="no-such-user"),
        pytest.param(lambda file: without(file, "clusters"), None, 'no cluster "test"', id="no-such-cluster"),
        pytest.param(lambda file: file.write_text("a: " + "[" * 9999), None, "not YAML", id="nested"),
        pytest.param(lambda file: file.write_text("a: 2026-99-99"), None, "not YAML", id="no-date"),
        pytest.param(lambda file: file.write_text(" " * 5_000_000), None, "more than 4194304 bytes", id="long"),
        pytest.param(lambda file: twice(file, "users"), None, 'two of the users named "me"', id="twice"),
        pytest.param(lambda file: None, "prod", 'no context "prod"', id="no-such-context"),
        pytest.param(
            lambda file: with_user(file, {"token": TOKEN, "auth-provider": {"name": "oidc"}}),
            None,
            "auth-provider is no longer supported",
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
