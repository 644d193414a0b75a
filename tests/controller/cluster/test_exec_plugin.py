import asyncio
import json
import os
import stat
import time

import pytest

from controller.cluster.api import KubeApi
from controller.cluster.api_access import ApiSettings, connection_of
from controller.cluster.exec_plugin import MOST_CHARACTERS
from scaling.errors import InputError
from tests.controller.cluster.gateway import a_kubeconfig, gateway

V1 = "client.authentication.k8s.io/v1"


def an_answer(version=V1, **status):
    return json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": {"token": "t", **status}})


def a_script(folder, *lines, name="login.sh"):
    file = folder / name
    file.write_text("\n".join(["#!/bin/sh", *lines]))
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def saying(folder, text):
    """A plugin that prints a text."""
    (folder / "answer").write_text(text)
    return a_script(folder, f"cat {folder / 'answer'}")


def a_user(command="./login.sh", **more):
    return {"exec": {"apiVersion": V1, "command": command, "interactiveMode": "Never", **more}}


def connection(folder, user, deadline_s=60.0, **cluster):
    file = a_kubeconfig(folder, {"server": "https://127.0.0.1:1", **cluster}, user)
    return asyncio.run(connection_of(ApiSettings(kubeconfig=file, deadline_s=deadline_s)))


def message(folder, user, **wishes):
    with pytest.raises(InputError) as caught:
        connection(folder, user, **wishes)
    text = str(caught.value)
    assert text.isprintable()
    assert "s3cr3t" not in text
    return text.removeprefix(f"kubeconfig {folder / 'kubeconfig'}: ")


def test_a_command_with_a_slash_is_found_beside_the_kubeconfig(tmp_path, monkeypatch):
    saying(tmp_path, an_answer())
    monkeypatch.chdir("/")
    for command in ("./login.sh", f"../{tmp_path.name}/login.sh", str(tmp_path / "login.sh")):
        assert connection(tmp_path, a_user(command)).authorization() == "Bearer t"


def test_a_command_without_one_is_found_on_the_path_alone(tmp_path, monkeypatch):
    saying(tmp_path, an_answer())
    assert message(tmp_path, a_user("login.sh")) == "exec plugin login.sh: not found"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert connection(tmp_path, a_user("login.sh")).authorization() == "Bearer t"


def test_what_is_not_there_is_named_with_the_hint_how_to_install_it(tmp_path):
    user = a_user("no-such-login-helper", installHint="install it")
    assert message(tmp_path, user) == "exec plugin no-such-login-helper: not found; install it"
    user = a_user("./none", installHint="\x1b[31mrun\n\tthis " + "x" * 9999)
    text = message(tmp_path, user)
    assert "not found;  [31mrun this xxx" in text
    assert len(text) < len(str(tmp_path)) + 2 * MOST_CHARACTERS


def test_arguments_and_environment_reach_the_plugin_and_its_errors_reach_nobody(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("OF_US", "ours")
    said = 'printf \'{"apiVersion":"%s","kind":"ExecCredential","status":{"token":"%s"}}\''
    a_script(tmp_path, "echo s3cr3t >&2", f'{said} {V1} "$1-$2-$OF_US-$OF_IT"')
    user = a_user(args=["a", "b c"], env=[{"name": "OF_IT", "value": "its"}])
    with pytest.raises(InputError, match="neither a usable token"):
        connection(tmp_path, a_user(args=["a", "é"]))
    assert connection(tmp_path, user).token.current() == "a-b c-ours-its"
    assert capfd.readouterr() == ("", "")


def told(folder, user, **cluster):
    """What the plugin was told in KUBERNETES_EXEC_INFO."""
    (folder / "answer").write_text(an_answer())
    a_script(folder, f'printf "%s" "$KUBERNETES_EXEC_INFO" > {folder / "told"}', f"cat {folder / 'answer'}")
    connection(folder, user, **cluster)
    return json.loads((folder / "told").read_text())


def test_a_plugin_is_told_of_the_cluster_only_if_it_asks(tmp_path):
    (tmp_path / "ca.pem").write_text("PEM")
    cluster = {
        "tls-server-name": "kube",
        "certificate-authority": "ca.pem",
        "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}}],
    }
    assert told(tmp_path, a_user(), **cluster) == {
        "apiVersion": V1,
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }
    assert told(tmp_path, a_user(provideClusterInfo=True), **cluster)["spec"]["cluster"] == {
        "server": "https://127.0.0.1:1",
        "tls-server-name": "kube",
        "certificate-authority-data": "UEVN",
        "config": {"audience": "a"},
    }


def test_a_plugin_may_give_a_certificate_and_say_when_it_ends(tmp_path):
    answer = an_answer(
        token=None,
        clientCertificateData="CERT",
        clientKeyData="KEY",
        expirationTimestamp="2026-12-01T02:03:04Z",
    )
    saying(tmp_path, answer)
    found = connection(tmp_path, a_user())
    assert (found.authorization(), found.certificate, found.key) == ("", b"CERT", b"KEY")
    assert found.expires.isoformat() == "2026-12-01T02:03:04+00:00"


@pytest.mark.parametrize(("expires", "runs"), [("2020-01-01T00:00:00Z", 2), ("9999-01-01T00:00:00Z", 1), (None, 1)])
def test_a_credential_that_has_expired_is_asked_for_again(tmp_path, expires, runs):
    (tmp_path / "answer").write_text(an_answer(expirationTimestamp=expires))
    a_script(tmp_path, f"echo run >> {tmp_path / 'runs'}", f"cat {tmp_path / 'answer'}")

    async def run():
        async with gateway(None) as (_, port):
            file = a_kubeconfig(tmp_path, {"server": f"http://127.0.0.1:{port}"}, a_user())
            async with KubeApi(ApiSettings(kubeconfig=file, deadline_s=60.0)) as api:
                await asyncio.gather(api.get("/api"), api.get("/api"))

    asyncio.run(run())
    assert (tmp_path / "runs").read_text().split() == ["run"] * runs


@pytest.mark.parametrize("given", [{"token": "mine"}, {"tokenFile": "token"}, {"username": "me", "password": "p"}])
def test_credentials_in_the_kubeconfig_come_before_the_plugin(tmp_path, given):
    (tmp_path / "token").write_text("mine")
    a_script(tmp_path, f"touch {tmp_path / 'was-run'}")
    assert connection(tmp_path, {**a_user(), **given}).authorization()
    assert not (tmp_path / "was-run").exists()


def test_the_older_version_needs_no_interactive_mode(tmp_path):
    older = "client.authentication.k8s.io/v1beta1"
    saying(tmp_path, an_answer(older))
    user = {"exec": {"apiVersion": older, "command": "./login.sh"}}
    assert connection(tmp_path, user).authorization() == "Bearer t"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("s3cr3t", "its output is not an ExecCredential of client.authentication.k8s.io/v1"),
        ("[]", "its output is not an ExecCredential"),
        ("[" * 9999, "its output is not an ExecCredential"),
        ("{}", "its output is not an ExecCredential"),
        (an_answer("client.authentication.k8s.io/v1beta1"), "its output is not an ExecCredential of"),
        (json.dumps({"apiVersion": V1, "kind": "ExecCredential"}), "its output is not an ExecCredential"),
        (an_answer(token=7), "its output is not an ExecCredential"),
        (an_answer(token=""), "it gave neither a usable token nor a certificate"),
        (an_answer(token="s3cr3t\nX: y"), "it gave neither a usable token nor a certificate"),
        (an_answer(clientKeyData="s3cr3t"), "it gave only one of certificate and key"),
        ("x" * 1_100_000, "more than 1048576 bytes of output, the limit"),
    ],
)
def test_an_answer_that_is_none_is_told_without_what_is_in_it(tmp_path, answer, words):
    saying(tmp_path, answer)
    assert f"login.sh: {words}" in message(tmp_path, a_user())


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["echo s3cr3t", "echo s3cr3t >&2", "exit 3"], "failed with exit status 3"),
        (["kill -9 $$"], "was ended by signal 9"),
    ],
)
def test_a_plugin_that_fails_is_told_with_its_status_alone(tmp_path, lines, words):
    a_script(tmp_path, *lines)
    assert message(tmp_path, a_user()) == f"exec plugin {tmp_path}/./login.sh: {words}".replace("/./", "/")


def test_what_cannot_be_run_is_told(tmp_path):
    (tmp_path / "login.sh").write_text("#!/bin/sh\n")
    assert message(tmp_path, a_user()).endswith("login.sh: cannot be run: it is not an executable file")
    (tmp_path / "login.sh").write_text("no program")
    (tmp_path / "login.sh").chmod(0o700)
    assert message(tmp_path, a_user()).endswith("login.sh: cannot be run: Exec format error")


def test_a_plugin_that_hangs_is_ended_with_all_that_it_started(tmp_path):
    a_script(tmp_path, f"(sleep 3600; true) & echo $! > {tmp_path / 'child'}", "sleep 3600")
    assert message(tmp_path, a_user(), deadline_s=1.0).endswith("login.sh: no credential within 1 s")
    child = int((tmp_path / "child").read_text())
    give_up_s = time.monotonic() + 60.0
    while _runs(child):
        assert time.monotonic() < give_up_s
        time.sleep(0.05)


def _runs(pid):
    """Whether a process lives; one that nobody has waited for yet does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"interactiveMode": "Always"}, "its interactiveMode is neither Never nor IfAvailable"),
        ({"apiVersion": "client.authentication.k8s.io/v1alpha1"}, "its apiVersion is none of"),
        ({"command": ""}, "user.exec.command: is not a command"),
        ({"args": "a"}, "user.exec.args: is not a list"),
        ({"args": [1]}, "user.exec.args[]: is not a string"),
        ({"env": [{"name": "", "value": "s3cr3t"}]}, "user.exec.env: an entry has no usable name"),
        ({"env": [{"name": "a", "value": "b", "s3cr3t-no": 1}], "timeout": 3}, "user.exec.timeout: an unknown field"),
        ({"provideClusterInfo": "yes"}, "user.exec.provideClusterInfo: is not true or false"),
    ],
)
def test_a_plugin_that_is_not_set_up_well_is_not_run(tmp_path, wish, words):
    a_script(tmp_path, f"touch {tmp_path / 'was-run'}")
    assert words in message(tmp_path, a_user(**wish))
    assert not (tmp_path / "was-run").exists()
