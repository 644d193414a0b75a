import asyncio
import gzip
import socket
import ssl
import subprocess
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web

from controller.prometheus.access import BasicAuth
from controller.prometheus.http import (
    LONGEST_SILENCE_S,
    MOST_BYTES,
    MOST_URL_BYTES,
    PrometheusHttp,
    QueryRefused,
    Request,
    retry_after_s,
)
from scaling.observation import Unknown
from tests.controller.prometheus.stub import Stub, a_vector, free_ports, raw_serving, serving, settings_for
from tests.required import require_command

FORM = {"query": 'sum(x{a="b c"}) + ä'}
SECRET = "s3cr3t"


def a_request(deadline_s=2.0, endpoint="query", **wishes):
    return Request(**{"endpoint": endpoint, "form": FORM, "deadline_s": deadline_s, **wishes})


async def asked(port, times=1, **wishes):
    """The last of so many answers."""
    async with PrometheusHttp(settings_for(port, **wishes)) as http:
        for _ in range(times):
            answer = await http.ask(a_request(http.settings.deadline_s))
        return answer


def ask(stub, times=1, **wishes):
    async def run():
        async with serving(stub.answer) as port:
            return await asked(port, times, **wishes)

    return asyncio.run(run())


def ask_raw(talk, **wishes):
    async def run():
        async with raw_serving(talk) as port:
            return await asked(port, **wishes)

    return asyncio.run(run())


def message_of(answer):
    assert isinstance(answer, Unknown), answer
    assert answer.message.isprintable()
    assert SECRET not in answer.message
    return answer.message


def test_a_form_goes_out_and_the_body_comes_back():
    stub = Stub()
    assert ask(stub) == stub.body
    ((path, form, headers),) = stub.requests
    assert path == "/api/v1/query"
    assert form.pop("timeout").endswith("ms")
    assert form == FORM
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "Authorization" not in headers
    assert "Cookie" not in headers


def test_a_path_in_the_address_is_kept():
    stub = Stub()

    async def run():
        async with serving(stub.answer) as port:
            return await asked(port, url=f"http://127.0.0.1:{port}/prometheus/")

    assert asyncio.run(run()) == stub.body
    assert stub.requests[0][0] == "/prometheus/api/v1/query"


def test_a_lone_surrogate_in_a_query_is_sent_as_something_else():
    stub = Stub()

    async def run():
        async with serving(stub.answer) as port, PrometheusHttp(settings_for(port)) as http:
            return await http.ask(a_request(form={"query": "\ud800"}))

    assert asyncio.run(run()) == stub.body


def test_credentials_tenant_and_headers_are_sent(tmp_path):
    token = tmp_path / "token"
    token.write_text(SECRET)
    stub = Stub()
    ask(stub, token_file=token, tenant="shop", headers={"X-Key": "k"})
    headers = stub.requests[0][2]
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert (headers["X-Scope-OrgID"], headers["X-Key"]) == ("shop", "k")


def test_a_token_that_rotates_needs_no_new_connection(tmp_path):
    token = tmp_path / "token"
    stub = Stub()

    async def run():
        async with serving(stub.answer) as port, PrometheusHttp(settings_for(port, token_file=token)) as http:
            for text in ("one", "two"):
                token.write_text(text)
                await http.ask(a_request())

    asyncio.run(run())
    assert [headers["Authorization"] for _, _, headers in stub.requests] == ["Bearer one", "Bearer two"]


def test_a_missing_password_file_sends_nothing(tmp_path):
    stub = Stub()
    answer = ask(stub, basic_auth=BasicAuth("me", tmp_path / "none"))
    assert "password file" in message_of(answer)
    assert stub.requests == []


def test_proxies_of_the_environment_are_not_used(monkeypatch):
    (port,) = free_ports(1)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
    assert ask(Stub()) == Stub().body


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (
            400,
            b'{"status":"error","errorType":"bad_data","error":"1:3: oops"}',
            '400 Bad Request: bad_data: "1:3: oops"',
        ),
        (422, b'{"errorType":"execution","error":"s3cr3t"}', "HTTP 422 Unprocessable Entity: execution"),
        (401, b"s3cr3t", "HTTP 401 Unauthorized"),
        (403, b"<html>s3cr3t</html>", "HTTP 403 Forbidden"),
        (404, b"", "HTTP 404 Not Found"),
        (429, b"", "HTTP 429 Too Many Requests"),
        (500, b"s3cr3t" * MOST_BYTES, "HTTP 500 Internal Server Error"),
        (502, b"[" * 100_000, "HTTP 502 Bad Gateway"),
        (503, b'{"errorType":"timeout","error":"s3cr3t"}', "HTTP 503 Service Unavailable: timeout"),
        (204, b"", "HTTP 204 No Content"),
        (299, a_vector("7"), "HTTP 299"),
        (599, b"", "HTTP 599"),
    ],
)
def test_a_status_other_than_200_is_named(status, body, words):
    message = message_of(ask(Stub(status=status, body=body)))
    assert message == f"Prometheus answered {words}" or words in message
    assert len(message) < 200


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status):
    stub = Stub(status=status, headers={"Location": "/elsewhere"})
    assert "redirects are not followed" in message_of(ask(stub))
    assert len(stub.requests) == 1


def test_a_body_of_the_limit_passes_and_one_byte_more_does_not():
    assert ask(Stub(body=b" " * MOST_BYTES)) == b" " * MOST_BYTES
    assert "more than 65536 bytes" in message_of(ask(Stub(body=b" " * (MOST_BYTES + 1))))


def test_gzip_is_read_although_nobody_asked_for_it():
    zipped = {"Content-Encoding": "gzip"}
    assert ask(Stub(body=gzip.compress(a_vector("7")), headers=zipped)) == a_vector("7")


@pytest.mark.parametrize(
    ("body", "encoding", "words"),
    [
        (gzip.compress(bytes(100 * MOST_BYTES), mtime=0), "gzip", "more than 65536 bytes"),
        (gzip.compress(a_vector("7"), mtime=0)[:-9], "gzip", "broke off"),
        (b"not gzip", "gzip", "not gzip"),
        (b"?", "br", "unknown encoding"),
    ],
    ids=["bomb", "truncated", "plain", "brotli"],
)
def test_an_encoding_that_cannot_be_read_is_refused(body, encoding, words):
    assert words in message_of(ask(Stub(body=body, headers={"Content-Encoding": encoding})))


# Silence that the other side asks for


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("30", 30.0),
        ("0", 0.0),
        ("86400", LONGEST_SILENCE_S),
        (formatdate(1_000_020, usegmt=True), 20.0),
        (formatdate(999_000, usegmt=True), 0.0),
        (formatdate(2_000_000, usegmt=True), LONGEST_SILENCE_S),
        ("", 0.0),
        ("-5", 0.0),
        ("soon", 0.0),
        ("٣", 0.0),
        ("9" * 400, 0.0),
        ("Mon, 99 Jan 99999 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(header, wait_s):
    assert retry_after_s(header, 1_000_000.0) == wait_s


@pytest.mark.parametrize("status", [429, 503])
def test_after_retry_after_nothing_is_sent_until_then(status):
    stub = Stub(status=status, headers={"Retry-After": "30"})
    message = message_of(ask(stub, times=3))
    assert message == "Prometheus asked not to be asked again; 30 s of that are left"
    assert len(stub.requests) == 1


def test_after_the_silence_it_is_asked_again(monkeypatch):
    stub = Stub(status=429, headers={"Retry-After": "30"})
    clock = [1000.0]

    async def run():
        async with serving(stub.answer) as port, PrometheusHttp(settings_for(port)) as http:
            monkeypatch.setattr("controller.prometheus.http.time.monotonic", lambda: clock[0])
            await http.ask(a_request())
            stub.status = 200
            clock[0] += 30.0
            return await http.ask(a_request())

    assert asyncio.run(run()) == stub.body


def test_other_statuses_ask_for_no_silence():
    stub = Stub(status=500, headers={"Retry-After": "30"})
    ask(stub, times=2)
    assert len(stub.requests) == 2


# Connections that fail


async def hang(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(60)


async def drip(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def drip_headers(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("talk", [hang, drip, drip_headers])
def test_a_slow_answer_ends_at_the_deadline(talk):
    answer = ask_raw(talk, deadline_s=0.2)
    assert message_of(answer) == "no answer from Prometheus within 0.2 s"


def saying(*pieces, then_reset=False):
    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
        await writer.drain()
        if then_reset:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    return talk


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        (saying(), "closed the connection without an answer"),
        (saying(then_reset=True), "Connection reset by peer"),
        (saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), "broke off"),
        (saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"), "broke off"),
        (saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ns3cr3t\r\n"), "does not speak HTTP"),
        (saying(b"s3cr3t\r\n\r\n"), "does not speak HTTP"),
        (saying(b"HTTP/1.1 200 OK\r\n" + b"s3cr3t: x\r\n" * 40_000), "does not speak HTTP"),
        (saying(b"HTTP/1.1 200 OK\r\nX: " + b"s3cr3t" * 40_000), "does not speak HTTP"),
        (saying(b"\xff\x00\x01"), "does not speak HTTP"),
    ],
    ids=["nothing", "reset", "short", "chunk", "bad-chunk", "no-http", "many-headers", "long-header", "binary"],
)
def test_an_answer_that_breaks_is_named(talk, words):
    assert words in message_of(ask_raw(talk))


def test_a_kept_connection_that_was_closed_is_opened_again():
    answers = 0

    async def answer_once(reader, writer):
        """One answer a connection, and a connection that looks as if it stayed open until it is used."""
        nonlocal answers
        request = await reader.readuntil(b"\r\n\r\n")
        length = int(request.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        answers += 1
        await reader.read(1)

    async def run():
        async with raw_serving(answer_once) as port:
            return await asked(port, times=3)

    assert asyncio.run(run()) == b"{}"
    assert answers == 3


def test_a_refused_connection_is_named():
    (port,) = free_ports(1)
    assert message_of(asyncio.run(asked(port))) == "no connection to Prometheus: Connection refused"


def test_a_name_that_does_not_resolve_is_named(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    answer = asyncio.run(asked(0, url="http://nowhere.invalid:9090"))
    assert message_of(answer) == "the host name of Prometheus cannot be resolved: Name or service not known"


def test_after_closing_there_is_no_answer_and_no_error():
    async def run():
        async with PrometheusHttp(settings_for(1)) as http:
            pass
        return await http.ask(a_request(1.0))

    assert "is closed" in message_of(asyncio.run(run()))


def test_every_request_is_told_to_the_watcher():
    seen: list[Any] = []

    async def run():
        stub = Stub()
        async with (
            serving(stub.answer) as port,
            PrometheusHttp(settings_for(port), lambda *call: seen.append(call)) as http,
        ):
            await http.ask(a_request())
            stub.status = 500
            await http.ask(a_request(endpoint="query_range"))

    asyncio.run(run())
    assert [(endpoint, fine) for endpoint, fine, _ in seen] == [("query", True), ("query_range", False)]
    assert all(seconds > 0 for _, _, seconds in seen)


def test_no_more_requests_of_one_namespace_are_in_flight_than_its_share():
    under_way = most = 0

    async def slow(request):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return web.Response(body=b"{}")

    async def run():
        async with serving(slow) as port, PrometheusHttp(settings_for(port, most_in_flight=10)) as http:
            return await asyncio.gather(*(http.ask(a_request()) for _ in range(30)))

    assert asyncio.run(run()) == [b"{}"] * 30
    assert most == 5


# TLS


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """A CA and a certificate that it signed for 127.0.0.1."""
    require_command("openssl")
    folder = tmp_path_factory.mktemp("tls")
    for command in (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca",
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out csr.pem -subj /CN=prometheus "
        "-addext subjectAltName=IP:127.0.0.1",
        "x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -out cert.pem -days 2 -copy_extensions copy",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    return folder


def ask_tls(certificates, host="127.0.0.1", **wishes):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")

    async def run():
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server's side of a failed handshake
        async with serving(Stub().answer, context) as port:
            return await asked(port, url=f"https://{host}:{port}", **wishes)

    return asyncio.run(run())


def test_a_certificate_of_the_given_ca_is_trusted(certificates):
    assert ask_tls(certificates, ca_file=certificates / "ca.pem") == Stub().body


def test_a_certificate_of_an_unknown_ca_is_not(certificates):
    assert "certificate of Prometheus is not trusted: unable to get" in message_of(ask_tls(certificates))


def test_a_certificate_for_another_name_is_not(certificates):
    answer = ask_tls(certificates, host="localhost", ca_file=certificates / "ca.pem")
    assert "certificate of Prometheus is not trusted: Hostname mismatch" in message_of(answer)


def test_a_server_without_tls_is_named():
    async def run():
        async with serving(Stub().answer) as port:
            return await asked(port, url=f"https://127.0.0.1:{port}")

    assert "no TLS with Prometheus: wrong version number" in message_of(asyncio.run(run()))


# The method, the parameters, and what a proxy says


def taking(method, code=405, body=b"{}", seen=None):
    """A server that takes one method, and refuses the others with a status."""

    async def answer(request):
        if seen is not None:
            seen.append((request.method, request.path_qs))
        await asyncio.sleep(0.01)
        return web.Response(body=body) if request.method == method else web.Response(status=code, text="Forbidden")

    return answer


def ask_each(handler, *requests, **wishes):
    async def run():
        async with serving(handler) as port, PrometheusHttp(settings_for(port, **wishes)) as http:
            return [await http.ask(request) for request in requests]

    return asyncio.run(run())


@pytest.mark.parametrize("code", [405, 501, 403])
def test_a_server_that_takes_get_only_is_asked_by_get_from_then_on(code):
    seen: list[Any] = []
    assert ask_each(taking("GET", code, seen=seen), a_request(), a_request(), a_request()) == [b"{}"] * 3
    assert [method for method, _ in seen] == ["POST", "GET", "GET", "GET"]
    assert seen[1][1].startswith("/api/v1/query?query=sum%28x%7Ba%3D%22b+c%22%7D%29+%2B+%C3%A4&timeout=")


def test_requests_that_come_together_all_find_the_method_that_works():
    async def run():
        async with serving(taking("GET")) as port, PrometheusHttp(settings_for(port)) as http:
            return await asyncio.gather(*(http.ask(a_request()) for _ in range(10)))

    assert asyncio.run(run()) == [b"{}"] * 10


def test_a_server_that_changes_its_mind_is_asked_by_the_other_method_again():
    handlers = iter((taking("GET"), taking("GET"), taking("POST"), taking("POST"), taking("POST")))
    answers = ask_each(lambda request: next(handlers)(request), a_request(), a_request(), a_request())
    assert answers == [b"{}"] * 3


@pytest.mark.parametrize("code", [403, 405])
def test_where_both_methods_are_refused_the_other_one_is_tried_once_a_minute(code):
    seen: list[Any] = []
    answers = ask_each(taking("PUT", code, seen=seen), *[a_request()] * 5)
    assert {message_of(answer) for answer in answers} == {f'Prometheus answered {STATUSES[code]}: "Forbidden"'}
    assert len(seen) == 6


STATUSES = {403: "HTTP 403 Forbidden", 405: "HTTP 405 Method Not Allowed"}


def test_a_url_that_is_too_long_divides_a_shared_query_and_is_sent_for_one_alone():
    seen: list[Any] = []
    long = {"query": "x" * MOST_URL_BYTES}
    first, shared, alone = ask_each(
        taking("GET", seen=seen), a_request(), a_request(form=long, shared=True), a_request(form=long)
    )
    assert isinstance(shared, QueryRefused)
    assert "is over 8000, the limit" in message_of(shared)
    assert (first, alone) == (b"{}", b"{}")
    assert len(seen) == 3


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_administrators_parameters_are_sent_in_the_url_of_every_request(method):
    seen: list[Any] = []

    async def run():
        async with serving(taking(method, seen=seen)) as port:
            wishes = {
                "url": f"http://127.0.0.1:{port}/prom/?namespace=shop&dedup=true&empty=",
                "parameters": (("partial_response", "false"), ("x", "a b&c")),
            }
            async with PrometheusHttp(settings_for(port, **wishes)) as http:
                await http.ask(a_request())
                await http.ask(a_request(endpoint="query_range"))

    asyncio.run(run())
    endpoints = {path.partition("?")[0] for _, path in seen}
    assert endpoints == {"/prom/api/v1/query", "/prom/api/v1/query_range"}
    for _, path in seen:
        assert "?namespace=shop&dedup=true&empty=&partial_response=false&x=a+b%26c" in path


def test_prometheus_is_told_when_nobody_waits_any_more():
    stub = Stub()
    ask_each(stub.answer, a_request(2.0), a_request(4.0, spent_s=3.0))
    first_ms, second_ms = (int(form["timeout"].removesuffix("ms")) for form in stub.forms)
    assert 1000 < first_ms <= 2000
    assert 0 < second_ms <= 1000


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b"no org id\n", 'HTTP 401 Unauthorized: "no org id"'),
        (404, b"404 page not found", "HTTP 404 Not Found"),
        (
            403,
            b"Forbidden (user=prometheus, verb=get, resource=namespaces)",
            'HTTP 403 Forbidden: "Forbidden (user=prometheus, verb=get, resource=namespaces)"',
        ),
        (503, b"upstream connect error", 'HTTP 503 Service Unavailable: "upstream connect error"'),
        (
            400,
            b'{"status":"error","errorType":"prom-label-proxy","error":"the namespace parameter must be provided"}',
            'HTTP 400 Bad Request: "the namespace parameter must be provided"',
        ),
        (401, b"invalid token abc123def", "HTTP 401 Unauthorized"),
        (401, b"bad key " + b"a" * 41, "HTTP 401 Unauthorized"),
        (401, b"you sent shoptoken", "HTTP 401 Unauthorized"),
        (401, b"you sent hidden", "HTTP 401 Unauthorized"),
        (401, b"no entry for secretvalue", "HTTP 401 Unauthorized"),
        (401, b"<html>no</html>", "HTTP 401 Unauthorized"),
        (401, b"no\x1b[31m", "HTTP 401 Unauthorized"),
        (401, b"two\nlines", "HTTP 401 Unauthorized"),
        (401, "keine Organisation für Sie".encode(), "HTTP 401 Unauthorized"),
        (401, b"word " * 40, "HTTP 401 Unauthorized"),
    ],
)
def test_a_short_plain_reason_is_repeated_and_nothing_that_could_be_a_secret(tmp_path, status, body, said):
    token = tmp_path / "token"
    token.write_text("shoptoken")
    stub = Stub(status=status, body=body)

    async def run():
        async with serving(stub.answer) as port:
            return await asked(
                port,
                url=f"http://127.0.0.1:{port}/?apikey=secretvalue",
                token_file=token,
                headers={"X-Key": "hidden"},
            )

    assert message_of(asyncio.run(run())) == f"Prometheus answered {said}"
