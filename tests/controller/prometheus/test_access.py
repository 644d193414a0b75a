import re
import ssl
from base64 import b64decode
from pathlib import Path

import pytest

from controller.prometheus.access import BasicAuth, PrometheusSettings, request_headers, tls_context
from scaling.errors import InputError

SECRET = "s3cr3t"
URL = "https://prometheus:9090"


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    return path


def test_defaults_are_pinned():
    settings = PrometheusSettings(url="http://prometheus:9090")
    assert (settings.deadline_s, settings.history_deadline_s, settings.most_in_flight) == (4.0, 30.0, 30)
    assert request_headers(settings) == {}
    assert tls_context(settings) is None


def test_the_default_deadline_is_shorter_than_the_shortest_interval():
    assert PrometheusSettings(url=URL).deadline_s < 5


@pytest.mark.parametrize(
    "url",
    [
        *("", "prometheus:9090", "ftp://prometheus", "file:///etc/passwd", "http://", "http://:9090", "http://[::1"),
        *("http://a:99999", "http://a:0", "http://a#x", "http://a b", "http://a\n", "http://ä"),
    ],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(InputError, match=r"Prometheus URL: .* is not an address"):
        PrometheusSettings(url=url)


@pytest.mark.parametrize("url", ["https://mimir.example/prometheus", "http://[::1]:9090/", "https://1.2.3.4"])
def test_addresses_with_a_path_or_a_number_pass(url):
    assert PrometheusSettings(url=url).url == url


def test_a_password_in_the_address_is_refused_and_not_repeated():
    with pytest.raises(InputError, match="credentials belong in") as caught:
        PrometheusSettings(url=f"http://me:{SECRET}@prometheus")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"deadline_s": 0}, "Prometheus deadline: 0 is outside 0.1..300"),
        ({"most_in_flight": 2.5}, "2.5 is not a whole number"),
        ({"ca_file": Path("ca.pem"), "url": "http://a"}, "is not https"),
        ({"token_file": Path("t"), "basic_auth": BasicAuth("me", Path("p"))}, "not both"),
        ({"headers": {"a b": "x"}}, 'header: "a b"'),
        ({"headers": {"": "x"}}, 'header: ""'),
        ({"headers": {"Host": "x"}}, 'header: "Host"'),
        ({"headers": {"x": f"{SECRET}\r\nHost: y"}}, "header x: its value is not one line"),
        ({"headers": {"x": ""}}, "header x: its value is not one line"),
        ({"headers": {"authorization": "x"}, "token_file": Path("t")}, 'header: "authorization"'),
        ({"headers": {"x-scope-orgid": "x"}, "tenant": "t"}, 'header: "x-scope-orgid"'),
        ({"tenant": "a\nb"}, "header X-Scope-OrgID: its value"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wishes, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        PrometheusSettings(**{"url": URL, **wishes})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["a:b", "a\nb", "ä"])
def test_user_names_that_basic_auth_cannot_carry_are_refused(name):
    with pytest.raises(InputError, match="user name"):
        BasicAuth(name, Path("p"))


def test_headers_hold_what_was_asked_for(secret_file):
    settings = PrometheusSettings(url=URL, headers={"X-Key": "k"}, tenant="shop", token_file=secret_file)
    assert request_headers(settings) == {
        "X-Key": "k",
        "X-Scope-OrgID": "shop",
        "Authorization": f"Bearer {SECRET}",
    }


def test_basic_auth_sends_name_and_password(secret_file):
    headers = request_headers(PrometheusSettings(url=URL, basic_auth=BasicAuth("me", secret_file)))
    assert b64decode(headers["Authorization"].removeprefix("Basic ")).decode() == f"me:{SECRET}"


def test_secrets_are_in_no_repr(secret_file):
    settings = PrometheusSettings(url=URL, headers={"X-Key": SECRET}, basic_auth=BasicAuth("me", secret_file))
    assert SECRET not in f"{settings!r} {settings} {vars(settings)['basic_auth']}"


def test_a_rotated_token_is_read_at_the_next_request(secret_file):
    settings = PrometheusSettings(url=URL, token_file=secret_file)
    request_headers(settings)
    secret_file.write_text("another")
    assert request_headers(settings)["Authorization"] == "Bearer another"


@pytest.mark.parametrize("content", [b"", b" \n", b"s3cr3t\nX-Evil: 1", b"s3cr3t\xff", b"s3cr3t" * 9999])
def test_what_is_no_token_is_refused_by_the_files_name(secret_file, content):
    secret_file.write_bytes(content)
    with pytest.raises(InputError, match=f"token file {secret_file}: is not one line") as caught:
        request_headers(PrometheusSettings(url=URL, token_file=secret_file))
    assert SECRET not in str(caught.value)


def test_a_missing_token_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"token file .*/none: No such file"):
        request_headers(PrometheusSettings(url=URL, token_file=tmp_path / "none"))


def test_certificates_are_checked_by_default():
    context = tls_context(PrometheusSettings(url="https://prometheus"))
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_ca_file_without_certificates_is_refused(tmp_path, content):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"Prometheus CA file .*ca\.pem: "):
        tls_context(PrometheusSettings(url="https://prometheus", ca_file=path))


@pytest.mark.parametrize(
    "wishes",
    [
        {"token_file": Path("t")},
        {"basic_auth": BasicAuth("me", Path("p"))},
        {"headers": {"Authorization": SECRET}},
        {"headers": {"X-Api-Key": SECRET}},
        {"headers": {"Cookie": SECRET}},
        {"parameters": (("access_token", SECRET),)},
    ],
)
@pytest.mark.parametrize("url", ["http://prometheus:9090", "HTTP://10.0.0.1", "http://localhost.example"])
def test_credentials_over_plain_http_are_refused_unless_that_is_allowed(url, wishes):
    with pytest.raises(InputError, match="is not https, so others could read them") as caught:
        PrometheusSettings(url=url, **wishes)
    assert SECRET not in str(caught.value)
    PrometheusSettings(url=url, **wishes, allow_plain_http_credentials=True)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9090", "http://localhost:9090", "http://[::1]:9090", "HTTPS://a"])
def test_credentials_over_the_loopback_or_tls_pass(url):
    PrometheusSettings(url=url, token_file=Path("t"))


def test_a_tenant_and_headers_that_are_no_credentials_pass_over_plain_http():
    PrometheusSettings(url="http://prometheus:9090", tenant="shop", headers={"X-Team": "shop"})


@pytest.mark.parametrize("end", ["", "/", "/api/v1", "/api/v1/", "/api/v1?a=b"])
def test_an_address_that_ends_in_the_paths_of_the_api_is_the_same_address(end):
    assert PrometheusSettings(url=f"https://mimir/prometheus{end}").base_url == "https://mimir/prometheus"


def test_parameters_of_the_url_and_others_are_taken_apart_from_it():
    settings = PrometheusSettings(
        url="https://thanos:9090/x/?dedup=true&dedup=false&a=&b=%40", parameters=(("namespace", "shop"),)
    )
    assert settings.base_url == "https://thanos:9090/x"
    expected = (("dedup", "true"), ("dedup", "false"), ("a", ""), ("b", "@"), ("namespace", "shop"))
    assert settings.all_parameters == expected


@pytest.mark.parametrize(
    "parameters",
    [(("query", "x"),), (("timeout", "1"),), (("", "x"),), (("a b", "x"),), (("a\n", "x"),), (("start", "1"),)],
)
def test_parameters_that_are_the_querys_own_or_no_names_are_refused(parameters):
    with pytest.raises(InputError, match="is not a parameter that can be added"):
        PrometheusSettings(url=URL, parameters=parameters)


def test_a_parameter_is_in_no_repr_and_its_value_in_no_message():
    assert SECRET not in repr(PrometheusSettings(url=f"{URL}?key={SECRET}", parameters=(("key", SECRET),)))
    with pytest.raises(InputError, match="is not an address") as caught:
        PrometheusSettings(url=f"ftp://prometheus?key={SECRET}")
    assert SECRET not in str(caught.value)
    with pytest.raises(InputError, match="parameter key: its value is not one line") as caught:
        PrometheusSettings(url=URL, parameters=(("key", f"{SECRET}\n"),))
    assert SECRET not in str(caught.value)
