import asyncio
import json
import logging
from urllib.parse import parse_qsl, urlsplit

import pytest

from controller.cluster import api as api_module
from controller.cluster.api import MOST_TRIES, ApiError, ApiSettings, KubeApi
from controller.cluster.api_access import log_in
from controller.cluster.api_answer import MESSAGE_CHARACTERS
from tests.controller.cluster.api_stub import TOKEN, ApiStub, Said, a_status, api_on, kubeconfig
from tests.controller.prometheus.stub import free_ports, raw_serving, serving

THING = "/apis/apps/v1/namespaces/shop/deployments/web/scale"
POLICY = "/apis/forescale.dev/v1alpha1/namespaces/shop/scalingpolicies/web"


def talk(stub, tmp_path, calls, watcher=None, **wishes):
    """What `calls(api)` returns, in front of the stub."""

    async def run():
        async with serving(stub.answer) as port, api_on(port, tmp_path, watcher, **wishes) as api:
            return await calls(api)

    return asyncio.run(run())


def refused(stub, tmp_path, calls, **wishes):
    """The ApiError that `calls(api)` raises."""
    with pytest.raises(ApiError) as caught:
        talk(stub, tmp_path, calls, **wishes)
    assert TOKEN not in str(caught.value)
    assert str(caught.value).isprintable()
    return caught.value


def get(api):
    return api.get(THING)


def patch(api):
    return api.patch(THING, {"spec": {"replicas": 3}})


def test_an_object_comes_back_as_it_is(tmp_path):
    stub = ApiStub([Said(body=b'{"spec": {"replicas": 3}}')])
    assert talk(stub, tmp_path, lambda api: api.get(THING, {"limit": "1 &"})) == {"spec": {"replicas": 3}}
    assert stub.asked == [("GET", f"{THING}?limit=1+%26")]
    (headers,) = stub.headers
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Accept-Encoding"] == "identity"
    assert "Content-Type" not in headers


def test_each_write_says_what_its_body_is(tmp_path):
    async def calls(api):
        await api.patch(THING, {"a": 1}, {"dryRun": "All"})
        await api.post(THING, {"b": 1})
        await api.put(THING, {"c": 1})
        await api.patch(THING, lambda: {"d": 1})
        await api.delete(THING, {"e": 1})
        await api.delete(THING)

    stub = ApiStub()
    talk(stub, tmp_path, calls)
    assert [verb for verb, _ in stub.asked] == ["PATCH", "POST", "PUT", "PATCH", "DELETE", "DELETE"]
    assert stub.asked[0][1].endswith("?dryRun=All")
    plain = "application/json"
    merge = "application/merge-patch+json"
    assert stub.bodies == [
        (merge, {"a": 1}),
        (plain, {"b": 1}),
        (plain, {"c": 1}),
        (merge, {"d": 1}),
        (plain, {"e": 1}),
    ]


@pytest.mark.parametrize(
    ("said", "code", "reason", "words"),
    [
        pytest.param(Said(404, a_status("NotFound", "no web")), 404, "NotFound", "no web", id="absent"),
        pytest.param(Said(409, a_status("Conflict", "it was modified")), 409, "Conflict", "modified", id="fence"),
        pytest.param(Said(403, a_status("Forbidden", "a\nb\x1b[0m")), 403, "Forbidden", "a b [0m", id="control"),
        pytest.param(Said(422, a_status("Invalid", "x" * 10_000)), 422, "Invalid", "xxx...", id="long"),
        pytest.param(Said(500, b"<html>oh</html>"), 500, "InternalServerError", "Internal Server Error", id="html"),
        pytest.param(Said(502, b'{"reason": "a b", "message": 3}'), 502, "BadGateway", "Bad Gateway", id="no-status"),
        pytest.param(Said(500, b'"' + b"x" * 1_000_000), 500, "InternalServerError", "Internal", id="long-error"),
        pytest.param(Said(500, headers={"Retry-After": "1"}), 500, "InternalServerError", "", id="500-later"),
        pytest.param(Said(429, b""), 429, "TooManyRequests", "Too Many", id="429-without-when"),
        pytest.param(Said(503, headers={"Retry-After": "soon"}), 503, "ServiceUnavailable", "", id="503-when"),
        pytest.param(Said(599, b""), 599, "Unknown", "Unknown", id="unheard-of"),
        pytest.param(Said(302, headers={"Location": "/other"}), 302, "Redirect", "not followed", id="redirect"),
        pytest.param(Said(307, headers={"Location": "/other"}), 307, "Redirect", "not followed", id="redirect-307"),
        pytest.param(Said(200, b"<html>"), 200, "BadAnswer", "not an object", id="garbage"),
        pytest.param(Said(200, b'{"a": '), 200, "BadAnswer", "not an object", id="cut-off"),
        pytest.param(Said(200, b"[1]"), 200, "BadAnswer", "not an object", id="list"),
        pytest.param(Said(200, b"[" * 4000), 200, "BadAnswer", "not an object", id="nested"),
        pytest.param(Said(200, b"\xff"), 200, "BadAnswer", "not an object", id="bytes"),
        pytest.param(Said(200, headers={"Content-Encoding": "gzip"}), 200, "BadAnswer", "encoding", id="gzip"),
        pytest.param(Said(200, b'{"a": "%s"}' % (b"x" * 5000)), 200, "TooLong", "4096", id="too-long"),
    ],
)
def test_an_answer_that_is_no_object_is_an_error_that_says_why(tmp_path, said, code, reason, words):
    stub = ApiStub([said])
    error = refused(stub, tmp_path, patch, most_answer_bytes=4096)
    assert (error.verb, error.path, error.code, error.reason) == ("PATCH", THING, code, reason)
    assert words in error.message
    assert len(error.message) <= MESSAGE_CHARACTERS
    assert error.retry_after_s is None
    assert len(stub.asked) == 1


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("call", [get, patch])
def test_who_is_told_when_to_come_back_does(tmp_path, status, call):
    stub = ApiStub([Said(status, headers={"Retry-After": "0"}), Said()])
    assert talk(stub, tmp_path, call) == {"kind": "Thing"}
    assert len(stub.asked) == 2


def test_coming_back_has_an_end(tmp_path):
    stub = ApiStub([Said(429, a_status("TooManyRequests", "later"), {"Retry-After": "0"})])
    assert refused(stub, tmp_path, get).code == 429
    assert len(stub.asked) == MOST_TRIES


def test_a_body_is_made_when_its_turn_has_come_and_may_end_the_call(tmp_path):
    class WithheldError(Exception):
        pass

    def body():
        made.append(len(stub.asked))
        if len(made) == 2:
            raise WithheldError
        return {"a": 1}

    async def calls(api):
        with pytest.raises(WithheldError):
            await api.patch(THING, body)

    made: list[int] = []
    stub = ApiStub([Said(429, headers={"Retry-After": "0"}), Said()])
    talk(stub, tmp_path, calls)
    assert made == [0, 1]
    assert stub.asked == [("PATCH", THING)]


def test_what_is_wanted_sooner_than_the_deadline_is_given_up_sooner(tmp_path):
    async def silent(request):
        await asyncio.sleep(60)

    async def run():
        async with serving(silent) as port, api_on(port, tmp_path) as api:
            with pytest.raises(ApiError) as caught:
                await api.patch(THING, {}, within_s=0.05)
            return caught.value

    error = asyncio.run(run())
    assert (error.code, error.reason, error.message) == (None, "Timeout", "no answer within 0.05 s")


def test_a_write_whose_turn_does_not_come_in_time_is_not_sent_and_says_so(tmp_path):
    async def calls(api):
        first = await api.patch(THING, {}, within_s=5.0)
        with pytest.raises(ApiError) as caught:
            await api.patch(THING, {}, within_s=5.0)
        return first, caught.value

    stub = ApiStub()
    _, error = talk(stub, tmp_path, calls, deadline_s=0.2, requests_per_s=0.1, burst=1)
    assert (error.code, error.reason) == (None, "Throttled")
    assert error.message == "its turn among 0.1 requests/s did not come in time"
    assert len(stub.asked) == 1


def test_a_silence_beyond_the_deadline_is_not_waited_for_and_a_refused_read_leaves_writes_their_try(tmp_path):
    stub = ApiStub([Said(429, headers={"Retry-After": "86400"}), Said()])
    seen = []

    async def calls(api):
        errors = []
        for _ in range(2):
            with pytest.raises(ApiError) as caught:
                await get(api)
            errors.append(caught.value)
        await patch(api)
        return errors

    told, shed = talk(stub, tmp_path, calls, lambda *seen_: seen.append(seen_[:3]))
    assert (told.code, told.retry_after_s) == (429, 30.0)
    assert (shed.code, shed.reason) == (None, "Throttled")
    assert 0 < shed.retry_after_s <= 30
    assert [verb for verb, _ in stub.asked] == ["GET", "PATCH"]
    scale = "deployments/scale"
    assert seen == [("GET", scale, "429"), ("GET", scale, "Throttled"), ("PATCH", scale, "200")]


@pytest.mark.parametrize(
    "tell",
    [
        pytest.param(lambda api: api.patch(f"{POLICY}/status", {}), id="status"),
        pytest.param(lambda api: api.post("/api/v1/namespaces/shop/events", {}), id="event"),
    ],
)
def test_what_is_only_told_waits_alone_when_it_is_refused(tmp_path, tell):
    stub = ApiStub([Said(429, headers={"Retry-After": "86400"}), Said()])

    async def calls(api):
        for _ in range(2):
            with pytest.raises(ApiError):
                await tell(api)
        await patch(api)
        await get(api)

    talk(stub, tmp_path, calls)
    assert [verb for verb, _ in stub.asked[1:]] == ["PATCH", "GET"]


def test_a_token_that_was_replaced_is_read_again_once_for_all_who_were_refused(tmp_path, monkeypatch):
    logins = []

    async def counted(settings):
        logins.append(settings)
        return await log_in(settings)

    monkeypatch.setattr(api_module, "log_in", counted)
    stub = ApiStub(token="new")

    async def run():
        async with serving(stub.answer) as port, api_on(port, tmp_path) as api:
            kubeconfig(tmp_path, f"http://127.0.0.1:{port}", token="new")
            return await asyncio.gather(*[patch(api) for _ in range(5)], get(api))

    assert asyncio.run(run()) == [{"kind": "Thing"}] * 6
    assert len(logins) == 2
    assert len(stub.asked) == 12


def test_a_server_that_refuses_everybody_costs_one_login_in_a_while(tmp_path):
    stub = ApiStub(token="another")

    async def calls(api):
        for _ in range(3):
            with pytest.raises(ApiError, match="401 Unauthorized"):
                await get(api)

    talk(stub, tmp_path, calls)
    assert len(stub.asked) == 4


def test_credentials_that_cannot_be_read_again_leave_the_old_ones(tmp_path, caplog):
    stub = ApiStub(token="another")

    async def calls(api):
        (tmp_path / "kubeconfig").write_text(f'{{"users": [{{"user": {{"token": "{TOKEN}"}}}}]}}')
        with pytest.raises(ApiError, match="401 Unauthorized"):
            await get(api)
        stub.token = TOKEN
        return await get(api)

    with caplog.at_level(logging.DEBUG):
        assert talk(stub, tmp_path, calls) == {"kind": "Thing"}
    assert "cannot be read again: kubeconfig" in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("call", [get, patch])
def test_a_server_that_hangs_costs_the_deadline_and_is_asked_once(tmp_path, call):
    stub = ApiStub([Said(after_s=30)])
    seen = []
    error = refused(stub, tmp_path, call, watcher=lambda *seen_: seen.append(seen_[2]), deadline_s=0.2)
    assert (error.code, error.reason, error.message) == (None, "Timeout", "no answer within 0.2 s")
    assert len(stub.asked) <= 1  # on a busy machine it may not have heard of it yet
    assert seen == ["Timeout"]


def test_a_server_that_drips_costs_the_deadline(tmp_path):
    async def drip(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b" ")
            await asyncio.sleep(0.02)

    async def run():
        async with raw_serving(drip) as port, api_on(port, tmp_path, deadline_s=0.3) as api:
            await get(api)

    with pytest.raises(ApiError, match=r"Timeout: no answer within 0\.3 s"):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("bytes_", "words"),
    [
        (b"", "closed before the end"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{", "closed before the end"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
    ],
)
def test_a_write_whose_answer_was_lost_is_not_sent_again(tmp_path, bytes_, words):
    heard = []

    async def hang_up(reader, writer):
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(bytes_)

    async def run():
        async with raw_serving(hang_up) as port, api_on(port, tmp_path) as api:
            await patch(api)

    with pytest.raises(ApiError, match=f"Disconnected: .*{words}"):
        asyncio.run(run())
    assert len(heard) == 1


def test_nobody_there_is_unreachable(tmp_path):
    async def run():
        async with api_on(free_ports(1)[0], tmp_path) as api:
            await get(api)

    with pytest.raises(ApiError, match="Unreachable: no connection: Connection refused"):
        asyncio.run(run())


def test_a_path_that_is_more_than_names_is_not_sent(tmp_path):
    stub = ApiStub()
    error = refused(stub, tmp_path, lambda api: api.patch(f"{THING}?dryRun=All", {}))
    assert (error.code, error.reason) == (None, "BadPath")
    assert stub.asked == []


def test_after_the_end_nothing_is_sent(tmp_path):
    async def run():
        async with api_on(free_ports(1)[0], tmp_path) as api:
            pass
        await get(api)

    with pytest.raises(ApiError, match="Closed"):
        asyncio.run(run())


def test_proxies_of_the_environment_are_not_used(tmp_path, monkeypatch):
    (port,) = free_ports(1)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
    assert talk(ApiStub(), tmp_path, get) == {"kind": "Thing"}


def a_page(*names, more="", namespace="shop", size=0):
    meta = {"namespace": namespace, "resourceVersion": "7", "annotations": {"of": "x" * size}}
    items = [{"metadata": {"uid": f"u-{name}", "name": name, **meta}} for name in names]
    return Said(body=json.dumps({"metadata": {"continue": more}, "items": items}).encode())


def test_names_are_listed_page_by_page(tmp_path):
    stub = ApiStub([a_page("a", "b", more="x/="), a_page("c", namespace=None)])
    names = talk(stub, tmp_path, lambda api: api.list_names("/apis/apps/v1/deployments"))
    assert names == {"u-a": ("shop/a", "7"), "u-b": ("shop/b", "7"), "u-c": ("c", "7")}
    path = "/apis/apps/v1/deployments?limit=200"
    assert [asked for _, asked in stub.asked] == [path, f"{path}&continue=x%2F%3D"]
    assert "as=PartialObjectMetadataList" in stub.headers[0]["Accept"]


def test_a_page_of_large_objects_is_asked_for_in_smaller_ones(tmp_path):
    large = a_page("a", size=3 * 2**20)
    stub = ApiStub([large] * 7 + [a_page("a", more="x", size=3 * 2**20), a_page("b")])
    names = talk(stub, tmp_path, lambda api: api.list_names("/apis/apps/v1/deployments"))
    assert set(names) == {"u-a", "u-b"}
    limits = [query_of(asked)["limit"] for _, asked in stub.asked]
    assert limits == ["200", "100", "50", "25", "12", "6", "3", "1", "2"]


def query_of(path):
    return dict(parse_qsl(urlsplit(path).query))


def test_a_list_that_grew_too_old_is_begun_again_once(tmp_path):
    gone = Said(410, a_status("Expired", "too old"))
    stub = ApiStub([a_page("a", more="x"), gone, a_page("b")])
    assert talk(stub, tmp_path, lambda api: api.list_names("/api/v1/pods")) == {"u-b": ("shop/b", "7")}
    assert refused(ApiStub([gone]), tmp_path, lambda api: api.list_names("/api/v1/pods")).code == 410


@pytest.mark.parametrize("body", [b"{}", b'{"items": [3], "metadata": {}}', b'{"items": [], "metadata": 1}'])
def test_a_list_of_another_shape_is_a_bad_answer(tmp_path, body):
    assert refused(ApiStub([Said(body=body)]), tmp_path, lambda api: api.list_names("/x/y")).reason == "BadAnswer"


def test_a_list_without_end_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(api_module, "MOST_PAGES", 3)
    stub = ApiStub([a_page("a", more="x")])
    assert refused(stub, tmp_path, lambda api: api.list_names("/x/y")).reason == "TooLong"
    assert len(stub.asked) == 3


def test_settings_and_client_do_not_show_the_token(tmp_path):
    api = KubeApi(ApiSettings(kubeconfig=kubeconfig(tmp_path, "http://127.0.0.1:1")))
    assert TOKEN not in repr(api.settings) + repr(vars(api))


def test_the_defaults_are_the_documented_ones():
    assert ApiSettings() == ApiSettings(
        kubeconfig=None,
        context=None,
        deadline_s=10.0,
        connect_deadline_s=5.0,
        requests_per_s=20.0,
        burst=30,
        most_connections=10,
        most_answer_bytes=2**26,
    )
