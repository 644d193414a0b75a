"""`forescale trace`: a policy's own query out of Prometheus into a CSV that a dry-run reads."""

import contextlib
import json
import math
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest

from controller.prometheus.answer import Grid
from forescale.cli import BAD_INPUT, run
from forescale.trace import MOST_POINTS, grid_until, without_gaps
from scaling.errors import InputError
from scaling.spec import ScalingSpec
from sim.traces import read_load_csv
from tests.controller.prometheus.real import a_prometheus
from tests.controller.prometheus.stub import free_ports

POLICY = """
apiVersion: forescale.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: NAME, namespace: shop}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: NAME}
  maxReplicas: 20
  demand: {query: 'sum(rate(x{app="NAME"}[1m]))', targetPerReplica: "70"}
"""
SPEC = ScalingSpec(max_replicas=20, target_per_replica=70)


class Source:
    """A Prometheus whose load at a Unix time is a function; it refuses more points than its limit."""

    def __init__(self, load, most_points=11_000, answer: tuple[int, bytes] | None = None):
        self.load, self.most_points, self.answer = load, most_points, answer
        self.forms: list[dict[str, str]] = []

    def respond(self, form: dict[str, str]) -> tuple[int, bytes]:
        self.forms.append(form)
        if self.answer is not None:
            return self.answer
        start, end, step = (float(form[name]) for name in ("start", "end", "step"))
        count = round((end - start) / step) + 1
        if count > self.most_points:
            return 400, b'{"status":"error","errorType":"bad_data","error":"exceeded maximum resolution"}'
        samples = [(start + k * step, self.load(start + k * step)) for k in range(count)]
        values = [[time_s, str(value)] for time_s, value in samples if value is not None]
        result = [{"metric": {}, "values": values}] if values else []
        return 200, json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()

    @contextlib.contextmanager
    def served(self) -> Iterator[str]:
        source = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                status, body = source.respond({name: value for name, (value,) in parse_qs(text).items()})
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY.replace("NAME", "web"))
    return path


def pulled(source, policy, *more):
    """The exit code and the file."""
    output = policy.parent / "load.csv"
    with source.served() as url:
        code = run(["trace", "--prometheus-url", url, "-f", str(policy), "-o", str(output), *more])
    return code, output


def daily(time_s):
    return 100 + 50 * math.sin(time_s / 86_400 * 2 * math.pi)


def test_a_week_is_pulled_by_queries_within_the_servers_limit_and_can_be_dry_run(policy, capsys):
    source = Source(daily)
    code, output = pulled(source, policy)
    assert code == 0, capsys.readouterr().err
    assert len(source.forms) == math.ceil(7 * 5760 / MOST_POINTS)
    assert {form["query"] for form in source.forms} == {'sum(rate(x{app="web"}[1m]))'}
    trace = read_load_csv(output)
    assert (trace.interval_s, len(trace.values)) == (15.0, 7 * 5760)
    start_s = float(source.forms[0]["start"])
    assert np.allclose(trace.values, [daily(start_s + 15 * step) for step in range(7 * 5760)])
    assert output.read_text().splitlines()[4] == "t_seconds,value"
    told = capsys.readouterr().err
    assert f"forescale dry-run -f {policy} --trace {output}" in told
    assert "read 100 % of 40320 rows" in told
    dry_run = ["dry-run", "-f", str(policy), "--trace", str(output), "--hours", "1", "--no-report", "-q"]
    assert run(dry_run) == 0


def test_a_server_that_gives_fewer_points_is_asked_for_less_at_a_time(policy):
    source = Source(daily, most_points=2000)
    code, output = pulled(source, policy, "--days", "1")
    assert code == 0
    assert len(read_load_csv(output).values) == 5760


def test_short_gaps_are_filled_and_told_and_of_longer_ones_the_longest_stretch_is_kept(policy, capsys):
    def load(time_s):
        minute = time_s // 60 % 1440
        return None if minute in (100, 101, 102) or 700 <= minute < 720 else daily(time_s)

    code, output = pulled(Source(load), policy, "--days", "0.9")
    assert code == 0
    told = capsys.readouterr().err
    assert "filled linearly" in told or "left out" in told
    assert len(read_load_csv(output).values) <= 0.9 * 5760


def stretch_of(values):
    return without_gaps(np.array(values, dtype=float), Grid(1_000_000.0, 60.0, len(values)), SPEC)


NO = math.nan


def test_a_gap_of_five_minutes_is_a_straight_line_between_its_neighbours():
    stretch = stretch_of([1, NO, NO, NO, NO, NO, 7])
    assert stretch.values.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert (stretch.filled, stretch.left_out, stretch.start_s) == (5, 0, 1_000_000.0)


def test_of_a_series_with_a_longer_gap_the_longest_stretch_is_kept():
    stretch = stretch_of([NO, 9, 9, *[NO] * 6, 1, 2, NO, 4, NO])
    assert stretch.values.tolist() == [1, 2, 3, 4]
    assert (stretch.filled, stretch.left_out, stretch.start_s) == (1, 2, 1_000_000.0 + 9 * 60)


def test_what_cannot_be_load_is_a_gap():
    assert stretch_of([1, 1e300, 3, -5, 5]).values.tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("values", [[], [NO, NO], [NO, 1, NO], [1, *[NO] * 9, 1]])
def test_a_series_without_two_values_next_to_each_other_is_refused(values):
    with pytest.raises(InputError, match=r"the query answered \d values|gaps of over 300 s"):
        stretch_of(values)


def test_times_lie_on_whole_steps_up_to_now():
    assert grid_until(1_000_007.0, 1.0, 15.0) == Grid(1_000_005.0 - 5759 * 15.0, 15.0, 5760)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--days", "0"], "--days: 0 is outside 0..366"),
        (["--days", "400"], "--days: 400 is outside"),
        (["--days", "nan"], "--days: nan is outside"),
        (["--step-seconds", "0.5"], "--step-seconds: 0.5 is outside 1..3600"),
        (["--days", "366", "--step-seconds", "1"], "rows, outside 2..2000000"),
        (["--name", "other"], '--name: "other" is 0 of the policies shop/web'),
    ],
)
def test_options_that_cannot_be_meant_are_refused_in_one_line(policy, capsys, options, message):
    code, output = pulled(Source(daily), policy, *options)
    told = capsys.readouterr().err
    assert (code, told.count("\n")) == (BAD_INPUT, 1)
    assert message in told
    assert not output.exists()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((401, b"no org id"), '401 Unauthorized: "no org id"'),
        ((200, b"<html>"), "is not JSON"),
        ((200, b'{"status":"success","data":{"resultType":"matrix","result":[]}}'), "the query answered 0 values"),
        ((400, b'{"status":"error","errorType":"bad_data","error":"1:2: parse error"}'), "parse error"),
    ],
)
def test_an_answer_that_is_no_load_is_told_in_one_line_and_nothing_is_written(policy, capsys, answer, message):
    code, output = pulled(Source(daily, answer=answer), policy, "-q")
    told = capsys.readouterr().err
    assert (code, told.count("\n")) == (BAD_INPUT, 1)
    assert message in told
    assert not output.exists()


def test_a_real_prometheus_gives_what_it_has(policy, tmp_path):
    policy.write_text(POLICY.replace("NAME", "web").replace('sum(rate(x{app="web"}[1m]))', "count(up) * 5"))
    config = "scrape_configs: [{job_name: dead, static_configs: [{targets: ['127.0.0.1:9']}]}]\n"
    output = tmp_path / "load.csv"
    with a_prometheus(tmp_path, config, "count(up)") as port:
        options = ["--prometheus-url", f"http://127.0.0.1:{port}", "--days", "0.001", "--step-seconds", "1"]
        arguments = ["trace", "-f", str(policy), "-o", str(output), *options]
        for _ in range(60):
            if run(arguments) == 0:
                break
            time.sleep(0.5)  # until there are two seconds with a value
    assert set(read_load_csv(output).values) == {5.0}


def test_a_server_that_is_not_there_is_told_in_one_line(policy, capsys):
    (port,) = free_ports(1)
    arguments = ["trace", "--prometheus-url", f"http://127.0.0.1:{port}", "-f", str(policy)]
    assert run([*arguments, "-o", str(policy.parent / "load.csv")]) == BAD_INPUT
    assert "no connection to Prometheus: Connection refused" in capsys.readouterr().err


def test_of_several_policies_one_is_chosen_by_its_name(policy, capsys):
    policy.write_text(POLICY.replace("NAME", "web") + "---" + POLICY.replace("NAME", "api"))
    source = Source(daily)
    code, _ = pulled(source, policy)
    assert code == BAD_INPUT
    assert "2 policies (shop/web, shop/api); choose one with --name" in capsys.readouterr().err
    code, _ = pulled(source, policy, "--name", "shop/api", "--days", "0.1")
    assert code == 0
    assert source.forms[-1]["query"] == 'sum(rate(x{app="api"}[1m]))'


def test_the_query_carries_the_namespace_label_that_the_operator_enforces(policy):
    source = Source(daily)
    code, _ = pulled(source, policy, "--enforce-namespace-label", "namespace")
    assert code == 0
    assert 'namespace="shop"' in source.forms[0]["query"]


def test_the_url_comes_from_the_environment_as_the_operators_does(policy, monkeypatch):
    with Source(daily).served() as url:
        monkeypatch.setenv("FORESCALE_PROMETHEUS_URL", url)
        output = policy.parent / "load.csv"
        assert run(["trace", "-f", str(policy), "-o", str(output), "--days", "0.1", "-q"]) == 0
    assert output.exists()
