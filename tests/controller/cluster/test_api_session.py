"""Our own client and the watches, from one kubeconfig: what either sends over the wire."""

import asyncio
import base64
import json
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest

from controller.cluster import kubeconfig as kubeconfig_module
from controller.cluster.api import ApiError, KubeApi
from controller.cluster.api_access import ApiSettings, connection_of
from controller.operator.watch import Watch
from scaling.errors import InputError
from tests.controller.cluster.gateway import SERVER_NAME, a_kubeconfig, gateway, make_pki, proxy
from tests.required import require_command

V1 = {
    "CLUSTER": "server tls-server-name insecure-skip-tls-verify certificate-authority certificate-authority-data "
    "proxy-url disable-compression extensions",
    "USER": "client-certificate client-certificate-data client-key client-key-data token tokenFile as as-uid as-groups "
    "as-user-extra username password auth-provider exec extensions",
    "CONTEXT": "cluster user namespace extensions",
    "EXEC": "command args env apiVersion installHint provideClusterInfo interactiveMode",
    "VARIABLE": "name value",
}
"""Every field of kubeconfig v1.

Source: https://github.com/kubernetes/client-go/blob/v0.37.2/tools/clientcmd/api/v1/types.go
"""

TOKEN = {"token": "abc"}
EXEC_V1 = "client.authentication.k8s.io/v1"


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    require_command("openssl")
    return make_pki(tmp_path_factory.mktemp("pki"))


async def own(access):
    """Ask with our own client."""
    async with KubeApi(access) as api:
        await api.get("/api")


async def watches(access):
    """Ask as kopf does, with the session that it is given."""
    login = await Watch([], access)._log_in()
    async with login.aiohttp_session as session, session.request("get", f"{login.server}/api") as response:
        response.raise_for_status()


def both(folder, pki, cluster, user, tls=True, via=None, **context):
    """What came over the wire from each of the two, which must be alike but for what each of them adds."""

    async def run(ask):
        async with (
            gateway(pki if tls else None) as (stands, port),
            proxy(stands, port, pki if via == "tls" else None) as at,
        ):
            server = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
            told = {"server": server, **cluster}
            if via:
                told["proxy-url"] = cluster["proxy-url"].format(port=at)
            await ask(ApiSettings(kubeconfig=a_kubeconfig(folder, told, user, **context), deadline_s=20.0))
            return stands

    seen = [asyncio.run(run(ask)) for ask in (own, watches)]
    assert [len(stands.requests) for stands in seen] == [1, 1]
    alike = [(each.requests[0]["client"], _identity(each), len(each.proxied)) for each in seen]
    assert alike[0] == alike[1]
    return seen


def _identity(stands):
    names = ("authorization", "impersonate-")
    return sorted(pair for pair in stands.requests[0]["headers"] if pair[0].startswith(names))


def trusting(pki, **more):
    return {"certificate-authority": str(pki.authority), "tls-server-name": SERVER_NAME, **more}


def refused(folder, pki, cluster, user, **more):
    """The message with which both refuse, the same."""
    messages = []
    for ask in (own, watches):
        file = a_kubeconfig(folder, {"server": "https://127.0.0.1:1", **cluster}, user, **more)
        with pytest.raises(InputError) as caught:
            asyncio.run(ask(ApiSettings(kubeconfig=file)))
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert messages[0].isprintable()
    assert messages[0].startswith(f"kubeconfig {folder / 'kubeconfig'}: ")
    return messages[0]


@pytest.mark.parametrize("table", V1)
def test_somebody_has_decided_on_every_field_of_a_kubeconfig(table):
    assert set(getattr(kubeconfig_module, table)) == set(V1[table].split())


def test_every_field_of_a_cluster_and_a_user_has_a_test_of_what_it_does():
    tested = set(CLUSTER_CASES) | set(USER_CASES) | {"auth-provider", "exec", "insecure-skip-tls-verify", "proxy-url"}
    assert set(V1["CLUSTER"].split()) | set(V1["USER"].split()) == tested


def b64(path):
    return base64.b64encode(path.read_bytes()).decode()


CLUSTER_CASES = {
    "server": lambda pki: trusting(pki),
    "tls-server-name": lambda pki: trusting(pki),
    "certificate-authority": lambda pki: trusting(pki),
    "certificate-authority-data": lambda pki: {
        "certificate-authority": "/none",
        "certificate-authority-data": b64(pki.authority),
        "tls-server-name": SERVER_NAME,
    },
    "disable-compression": lambda pki: trusting(pki, **{"disable-compression": True}),
    "extensions": lambda pki: trusting(pki, extensions=[{"name": "x", "extension": {"provider": "minikube"}}]),
}


@pytest.mark.parametrize("name", CLUSTER_CASES)
def test_both_honour_each_field_of_a_cluster(tmp_path, pki, name):
    seen = both(tmp_path, pki, CLUSTER_CASES[name](pki), TOKEN)
    assert [_identity(stands) for stands in seen] == [[("authorization", "Bearer abc")]] * 2
    if name == "disable-compression":
        assert all(("accept-encoding", "identity") in stands.requests[0]["headers"] for stands in seen)


def test_watches_take_compressed_answers_unless_compression_is_disabled(tmp_path, pki):
    headers = dict(both(tmp_path, pki, trusting(pki), TOKEN)[1].requests[0]["headers"])
    assert "gzip" in headers["accept-encoding"]


@pytest.mark.parametrize("missing", ["tls-server-name", "certificate-authority"])
def test_both_check_the_certificate_and_its_name(tmp_path, pki, missing):
    cluster = {name: value for name, value in trusting(pki).items() if name != missing}
    for ask in (own, watches):

        async def run(ask=ask):
            async with gateway(pki) as (stands, port):
                file = a_kubeconfig(tmp_path, {"server": f"https://127.0.0.1:{port}", **cluster}, TOKEN)
                with pytest.raises((ApiError, OSError), match="certificate"):
                    await ask(ApiSettings(kubeconfig=file))
                return stands.requests

        assert asyncio.run(run()) == []


def test_both_trust_everybody_when_told_to_skip_the_check(tmp_path, pki):
    both(tmp_path, pki, {"insecure-skip-tls-verify": True}, TOKEN)
    message = refused(tmp_path, pki, trusting(pki, **{"insecure-skip-tls-verify": True}), TOKEN)
    assert "insecure-skip-tls-verify: excludes a certificate-authority" in message


def client_certificate(pki, **more):
    certificate, key = pki.pair("client")
    return {"client-certificate": str(certificate), "client-key": str(key), **more}


def as_data(pki):
    certificate, key = pki.pair("client")
    return {
        "client-certificate-data": b64(certificate),
        "client-key-data": b64(key),
        "client-certificate": "/none",
        "client-key": "/none",
    }


def token_file(pki, **more):
    (pki.folder / "token").write_text("of-a-file\n")
    return {"tokenFile": str(pki.folder / "token"), **more}


def impersonating(**more):
    return {**TOKEN, "as": "system:serviceaccount:shop:ops", **more}


TOKEN_SENT = ("authorization", "Bearer abc")
AS_SENT = ("impersonate-user", "system:serviceaccount:shop:ops")

USER_CASES = {
    "client-certificate": (client_certificate, "client", []),
    "client-key": (client_certificate, "client", []),
    "client-certificate-data": (as_data, "client", []),
    "client-key-data": (as_data, "client", []),
    "token": (lambda pki: TOKEN, None, [TOKEN_SENT]),
    "tokenFile": (token_file, None, [("authorization", "Bearer of-a-file")]),
    "username": (lambda pki: {"username": "me", "password": "p"}, None, [("authorization", "Basic bWU6cA==")]),
    "password": (lambda pki: {"username": "me"}, None, [("authorization", "Basic bWU6")]),
    "as": (lambda pki: impersonating(), None, [TOKEN_SENT, AS_SENT]),
    "as-uid": (lambda pki: impersonating(**{"as-uid": "7"}), None, [TOKEN_SENT, ("impersonate-uid", "7"), AS_SENT]),
    "as-groups": (
        lambda pki: impersonating(**{"as-groups": ["b", "a"]}),
        None,
        [TOKEN_SENT, ("impersonate-group", "a"), ("impersonate-group", "b"), AS_SENT],
    ),
    "as-user-extra": (
        lambda pki: impersonating(**{"as-user-extra": {"example.com/scope": ["x", "y"], "ü": ["z"]}}),
        None,
        [
            TOKEN_SENT,
            ("impersonate-extra-%c3%bc", "z"),
            ("impersonate-extra-example.com%2fscope", "x"),
            ("impersonate-extra-example.com%2fscope", "y"),
            AS_SENT,
        ],
    ),
    "extensions": (lambda pki: {**TOKEN, "extensions": [{"name": "x", "extension": {}}]}, None, [TOKEN_SENT]),
}


@pytest.mark.parametrize("name", USER_CASES)
def test_both_honour_each_field_of_a_user(tmp_path, pki, name):
    user, client, headers = USER_CASES[name]
    seen = both(tmp_path, pki, trusting(pki), user(pki))
    assert [(stands.requests[0]["client"], _identity(stands)) for stands in seen] == [(client, headers)] * 2


def test_both_ask_an_exec_plugin_in_whatever_thread_they_run(tmp_path, pki):
    answer = {"apiVersion": EXEC_V1, "kind": "ExecCredential", "status": {"token": "of-a-plugin"}}
    (tmp_path / "login.sh").write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    (tmp_path / "login.sh").chmod(0o700)
    user = {"exec": {"apiVersion": EXEC_V1, "command": "./login.sh", "interactiveMode": "Never"}}
    with ThreadPoolExecutor(1) as pool:
        for stands in pool.submit(both, tmp_path, pki, trusting(pki), user).result():
            assert _identity(stands) == [("authorization", "Bearer of-a-plugin")]


def test_a_certificate_may_stand_beside_a_token_and_somebody_to_act_for(tmp_path, pki):
    seen = both(tmp_path, pki, trusting(pki), client_certificate(pki, **impersonating()))
    assert [(stands.requests[0]["client"], _identity(stands)) for stands in seen] == [
        ("client", [TOKEN_SENT, AS_SENT])
    ] * 2


def test_both_ask_by_way_of_the_proxy(tmp_path, pki):
    cluster = trusting(pki, server="https://kube.corp.invalid:6443") | {"proxy-url": "http://127.0.0.1:{port}"}
    for stands in both(tmp_path, pki, cluster, TOKEN, via="plain"):
        assert [asked["target"] for asked in stands.proxied] == ["kube.corp.invalid:6443"]
        assert "authorization" not in stands.proxied[0]


def test_both_ask_by_way_of_a_proxy_over_tls_that_the_same_authority_vouches_for(tmp_path, pki):
    cluster = trusting(pki, server="https://kube.corp.invalid:6443") | {"proxy-url": "https://127.0.0.1:{port}"}
    for stands in both(tmp_path, pki, cluster, TOKEN, via="tls"):
        assert [asked["target"] for asked in stands.proxied] == ["kube.corp.invalid:6443"]


def test_both_tell_the_proxy_who_asks_if_its_address_says_so(tmp_path, pki):
    cluster = trusting(pki, server="https://kube.corp.invalid:6443") | {"proxy-url": "http://me:p@127.0.0.1:{port}"}
    for stands in both(tmp_path, pki, cluster, TOKEN, via="plain"):
        assert stands.proxied[0]["proxy-authorization"] == "basic bwu6ca=="  # as the proxy's record spells it


def test_both_refuse_a_proxy_that_they_cannot_speak_to(tmp_path, pki):
    message = refused(tmp_path, pki, {"proxy-url": "socks5://me:s3cr3t@127.0.0.1:1"}, TOKEN)
    assert message.endswith('proxy-url: the scheme "socks5" is not supported, only http and https')
    assert "s3cr3t" not in message


@pytest.mark.parametrize(
    ("cluster", "user", "words"),
    [
        ({"server": ""}, TOKEN, "server: is not an address"),
        ({"server": "kube:6443"}, TOKEN, "server: is not an address"),
        ({"server": "https://me:s3cr3t@kube"}, TOKEN, "server: holds a user name or password"),
        ({"server": 6443}, TOKEN, "cluster.server: is not a string"),
        ({"insecure-skip-tls-verify": "true"}, TOKEN, "cluster.insecure-skip-tls-verify: is not true or false"),
        ({"certificate-authority-data": "s3cr3t!"}, TOKEN, "cluster.certificate-authority-data: is not base64"),
        ({"certificate-authority-data": "czNjcjN0"}, TOKEN, "its certificates cannot be used"),
        ({"certificate-authority": "none"}, TOKEN, "its certificates cannot be used: No such file"),
        ({"tls-server-names": "a"}, TOKEN, "cluster.tls-server-names: an unknown field"),
        ({}, {"as-scopes": ["s3cr3t"], **TOKEN}, "user.as-scopes: an unknown field"),
        ({}, {"as-groups": ["admins"], **TOKEN}, "as: is missing beside"),
        ({}, {"as-uid": "7", **TOKEN}, "as: is missing beside"),
        ({}, {"as-user-extra": {"a": ["b"]}, **TOKEN}, "as: is missing beside"),
        ({}, {"as": "a\nb", **TOKEN}, "user.as: is not one printable line"),
        ({}, {"as-groups": "admins", **TOKEN}, "user.as-groups: is not a list"),
        ({}, {"token": "s3cr3t\nX-A: b"}, "user.token: is not one line"),
        ({}, {"token": 123}, "user.token: is not a string"),
        ({}, {"token": "s3cr3t", "username": "me"}, "both a token and a user name"),
        ({}, {"password": "s3cr3t"}, "username: is missing"),
        ({}, {"client-certificate-data": "czNjcjN0"}, "client-key: is missing"),
        ({}, {"auth-provider": {"config": {"id-token": "s3cr3t"}}}, "auth-provider is no longer supported"),
        ({}, {"auth-provider": {"name": "gcp"}, **TOKEN}, "auth-provider is no longer supported"),
        ({}, {"tokenFile": "none"}, "its token cannot be read: No such file"),
    ],
)  # fmt: skip
def test_both_refuse_what_they_cannot_honour_by_name(tmp_path, pki, cluster, user, words):
    message = refused(tmp_path, pki, cluster, user)
    assert words in message
    assert "s3cr3t" not in message


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(tmp_path, pki):
    user = client_certificate(pki) | {"client-key": str(pki.folder / "encrypted.key")}
    assert refused(tmp_path, pki, {}, user).endswith("its certificates cannot be used: its key is encrypted")


def test_an_unknown_field_of_the_context_is_refused(tmp_path, pki):
    assert "context.as: an unknown field" in refused(tmp_path, pki, {}, TOKEN, **{"as": "somebody"})


def test_the_namespace_of_a_context_changes_nothing(tmp_path, pki):
    both(tmp_path, pki, trusting(pki), TOKEN, namespace="shop", extensions=[])


def test_paths_are_relative_to_the_kubeconfig(tmp_path, pki, monkeypatch):
    (tmp_path / "ca.pem").write_bytes(pki.authority.read_bytes())
    (tmp_path / "token").write_text("of-a-file")
    monkeypatch.chdir("/")
    cluster = {"certificate-authority": "ca.pem", "tls-server-name": SERVER_NAME}
    for stands in both(tmp_path, pki, cluster, {"tokenFile": "token"}):
        assert _identity(stands) == [("authorization", "Bearer of-a-file")]


@pytest.mark.parametrize("secret", [{"token": "s3cr3t"}, {"username": "me", "password": "s3cr3t"}])
@pytest.mark.parametrize(
    "server", ["http://kube.corp.invalid:8080", "http://192.0.2.1", "http://127.0.0.1.example.org"]
)
def test_both_refuse_to_send_credentials_over_plain_http(tmp_path, pki, server, secret):
    message = refused(tmp_path, pki, {"server": server}, secret)
    assert "would go over plain http to" in message
    assert "--allow-plain-http-credentials" in message
    assert "s3cr3t" not in message


def test_credentials_go_over_plain_http_to_this_machine_or_where_it_is_allowed(tmp_path, pki):
    for stands in both(tmp_path, pki, {}, TOKEN, tls=False):
        assert _identity(stands) == [TOKEN_SENT]
    for server in ("http://localhost:1", "http://[::1]:1", "http://[::ffff:127.0.0.1]:1", "http://127.9.9.9:1"):
        asyncio.run(_opened(ApiSettings(kubeconfig=a_kubeconfig(tmp_path, {"server": server}, TOKEN))))
    file = a_kubeconfig(tmp_path, {"server": "http://kube.corp.invalid"}, TOKEN)
    asyncio.run(_opened(ApiSettings(kubeconfig=file, allow_plain_http_credentials=True)))


def test_a_loopback_server_behind_a_far_proxy_is_not_this_machine(tmp_path, pki):
    cluster = {"server": "http://127.0.0.1:1", "proxy-url": "http://proxy.corp.invalid:3128"}
    assert "would go over plain http" in refused(tmp_path, pki, cluster, TOKEN)


async def _opened(access):
    async with KubeApi(access):
        pass


def test_what_redirects_a_watch_elsewhere_gets_no_token(tmp_path, pki):
    async def run():
        async with gateway(pki) as (stands, port), gateway(None) as (elsewhere, other_port):
            stands.redirect = f"http://127.0.0.1:{other_port}/stolen"
            cluster = trusting(pki, server=f"https://127.0.0.1:{port}")
            with pytest.raises(aiohttp.ClientConnectionError, match="redirect"):
                await watches(ApiSettings(kubeconfig=a_kubeconfig(tmp_path, cluster, impersonating())))
            return len(stands.requests), elsewhere.requests

    assert asyncio.run(run()) == (1, [])


def test_nothing_of_a_secret_is_in_a_repr(tmp_path, pki):
    user = as_data(pki) | {"token": "s3cr3t"}
    file = a_kubeconfig(tmp_path, trusting(pki, server="https://kube"), user)
    connection = asyncio.run(connection_of(ApiSettings(kubeconfig=file)))
    key = pki.pair("client")[1].read_text().splitlines()[1]
    assert "s3cr3t" not in repr(connection)
    assert key not in repr(connection)
    assert json.loads(file.read_text())["users"][0]["user"]["token"] == "s3cr3t"
