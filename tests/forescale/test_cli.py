import io
import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from controller.crd.resource import load_policies
from controller.policy_choice import policy_named
from controller.policy_metrics import GAUGES, TWIN_GAUGES
from forescale import cli
from forescale.exporter import Exporter
from scaling.decision import Action, Reason
from scaling.errors import InputError
from sim.demand import SCENARIOS
from tests.forescale.builders import a_run, frames, replica_hours

ROOT = Path(__file__).parents[2]

POLICY = """
apiVersion: forescale.dev/v1alpha1
kind: ScalingPolicy
metadata: {{name: {name}, namespace: shop}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}
  maxReplicas: 60
  intervalSeconds: {interval}
  demand: {{targetPerReplica: "70"}}
"""


class FakeDryRun:
    """Stands for `controller.dryrun.rehearsal`: remembers what it was asked and answers with a synthetic run."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, np.ndarray, float, int]] = []
        self.failure: BaseException | None = None
        self.while_running = lambda: None

    def run_policy(self, resource, load, seed, on_frame, policy=None):
        self.asked.append((resource.name, load.demand, load.step_s, seed))
        if self.failure is not None:
            raise self.failure
        run, decisions = a_run(len(load.demand), load.step_s, title=f"{resource.namespace}/{resource.name}")
        for frame in frames(run, decisions):
            on_frame(frame)
        self.while_running()
        return run, decisions


@pytest.fixture
def dry_run(monkeypatch, tmp_path):
    fake = FakeDryRun()
    monkeypatch.setattr("forescale.rehearsal.run_policy", fake.run_policy)
    monkeypatch.chdir(tmp_path)
    return fake


def a_policy_file(folder: Path, name: str = "web", interval: int = 15) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(POLICY.format(name=name, interval=interval))
    return str(path)


def error_line(capsys) -> str:
    """The one line on stderr; nothing may stand on stdout."""
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("forescale: error: ")
    return str(lines[0]).removeprefix("forescale: error: ")


def test_a_dry_run_without_a_file_runs_the_example_and_writes_a_report(dry_run, tmp_path, capsys):
    assert cli.run(["dry-run", "--hours", "1"]) == 0
    ((name, demand_rps, step_s, seed),) = dry_run.asked
    assert (name, len(demand_rps), step_s, seed) == ("web", 240, 15, 0)
    assert {path.name for path in (tmp_path / "forescale-report").iterdir()} == {"report.html", "report.png"}
    out = capsys.readouterr().out
    assert "forescale used" in out
    assert "report.html" in out
    assert "\x1b" not in out


def test_json_is_the_one_document_on_stdout(dry_run, tmp_path, capsys):
    assert cli.run(["dry-run", "--hours", "1", "--json", "--report", str(tmp_path / "there")]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    run, decisions = a_run(240)
    assert {"forescale", "hpa", "clairvoyant"} <= set(document["policies"])
    assert document["policies"]["hpa"]["replica_hours"] == pytest.approx(replica_hours(run, "hpa"))
    assert len(document["decisions"]) == len(decisions)
    for shown in document["decisions"]:
        assert shown["action"] in set(Action)
        assert set(shown["reasons"]) <= set(Reason)
    assert "forescale used" in err
    assert (tmp_path / "there" / "report.html").exists()


def test_several_workloads_stand_in_one_document_and_get_a_report_each(dry_run, tmp_path, capsys):
    files = ["-f", a_policy_file(tmp_path, "web"), "-f", a_policy_file(tmp_path, "api", interval=30)]
    assert cli.run(["dry-run", *files, "--hours", "1", "--json", "--report", "out"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document["workloads"]) == ["shop/web", "shop/api"]
    first = document["workloads"]["shop/web"]
    assert first == {key: document[key] for key in first}
    assert len(document["workloads"]["shop/api"]["decisions"]) == 240
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"shop.web", "shop.api"}


def test_no_report_writes_nothing(dry_run, tmp_path):
    assert cli.run(["dry-run", "--hours", "1", "--no-report"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_seed_gives_the_same_load_and_another_seed_another(dry_run):
    for seed in ("7", "7", "8"):
        assert cli.run(["dry-run", "--hours", "1", "--no-report", "--seed", seed]) == 0
    first, again, other = (demand_rps for _, demand_rps, _, _ in dry_run.asked)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_trace_is_cut_and_scaled_as_asked(dry_run, tmp_path):
    trace = tmp_path / "load.csv"
    trace.write_text("t_seconds,value\n" + "".join(f"{60 * k},{100 + k}\n" for k in range(120)))
    assert cli.run(["dry-run", "--trace", str(trace), "--no-report"]) == 0
    assert cli.run(["dry-run", "--trace", str(trace), "--no-report", "--hours", "1", "--mean-rps", "500"]) == 0
    (_, whole, _, _), (_, scaled, _, _) = dry_run.asked
    assert len(whole) == 480
    assert whole.mean() == pytest.approx(100 + 119 / 2)
    assert len(scaled) == 240
    assert scaled.mean() == pytest.approx(500)


def a_trace_file(folder: Path, value: float, header: str = "") -> str:
    path = folder / "load.csv"
    path.write_text(header + "t_seconds,value\n" + "".join(f"{60 * k},{value}\n" for k in range(60)))
    return str(path)


def test_a_load_in_another_unit_is_warned_of_with_both_numbers(dry_run, tmp_path, capsys):
    trace = a_trace_file(tmp_path, 1.2e9, header="# unit: bytes/s\n")
    assert cli.run(["dry-run", "-f", a_policy_file(tmp_path), "--trace", trace, "--no-report"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "forescale: warning: shop/web: the load peaks at 1,200,000,000 bytes/s, 200,000 times what maxReplicas 60 x"
        " capacityPerReplica 100 serve; is it in another unit (bytes, milliseconds)?"
    ]


def test_the_unit_of_a_trace_is_shown_in_table_and_report(dry_run, tmp_path, capsys):
    trace = a_trace_file(tmp_path, 500.0, header="# unit: <b>$x^$</b> [red]\n")
    assert cli.run(["dry-run", "--trace", trace, "--report", "out"]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "one replica serves 100 &lt;b&gt;$x^$&lt;/b&gt; [red]" in page
    assert "Load against capacity, &lt;b&gt;$x^$&lt;/b&gt; [red]" in page
    assert "requests/s" not in page


@pytest.mark.parametrize("value", [0.0, 1.0, 700.0, 6_000.0, 12_000.0])
def test_a_load_that_may_be_meant_is_not_warned_of(dry_run, tmp_path, capsys, value):
    file = a_policy_file(tmp_path)
    assert cli.run(["dry-run", "-f", file, "--trace", a_trace_file(tmp_path, value), "--no-report"]) == 0
    assert capsys.readouterr().err == ""


def test_one_series_of_an_export_with_several_is_chosen_by_its_name(dry_run, tmp_path, capsys):
    trace = tmp_path / "grafana.csv"
    trace.write_text('"Time","api","web"\n' + "".join(f"{1767225600000 + 60_000 * k},1,{k}\n" for k in range(60)))
    assert cli.run(["dry-run", "--trace", str(trace), "--no-report"]) == 2
    assert "2 columns of values ('api', 'web'); choose one with --column NAME" in error_line(capsys)
    assert cli.run(["dry-run", "--trace", str(trace), "--column", "web", "--no-report"]) == 0
    ((_, demand, _, _),) = dry_run.asked
    assert demand.mean() == pytest.approx(59 / 2)


def test_generated_load_has_the_mean_that_was_asked_for_at_any_interval(dry_run, tmp_path):
    file = a_policy_file(tmp_path, interval=300)
    assert cli.run(["dry-run", "-f", file, "--hours", "48", "--mean-rps", "50", "--no-report"]) == 0
    ((_, demand_rps, step_s, _),) = dry_run.asked
    assert (len(demand_rps), step_s) == (48 * 240, 15)
    assert demand_rps.mean() == pytest.approx(50, rel=0.3)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param(["dry-run", "-f", "absent.yaml"], "absent.yaml", id="missing-policy-file"),
        pytest.param(["dry-run", "--trace", "absent.csv"], "absent.csv", id="missing-trace"),
        pytest.param(["dry-run", "--generate", "nope"], "'nope' is not one of day", id="unknown-scenario"),
        pytest.param(["dry-run", "--generate", "day", "--trace", "x.csv"], "give one of them", id="two-loads"),
        pytest.param(["dry-run", "--column", "web"], "names a series of a --trace", id="column-without-trace"),
        pytest.param(["dry-run", "--hours", "nan"], "--hours: nan", id="hours-nan"),
        pytest.param(["dry-run", "--hours", "0"], "--hours: 0", id="no-hours"),
        pytest.param(["dry-run", "--hours", "1e9"], "at most 2500000", id="too-many-hours"),
        pytest.param(["dry-run", "--mean-rps", "-5"], "--mean-rps: -5", id="negative-load"),
        pytest.param(["dry-run", "--mean-rps", "1e10"], "--mean-rps: 1e+10 is over 1e+09", id="too-much-load"),
        pytest.param(["dry-run", "--trace", "x", "--mean-rps", "1e300"], "is over 1e+12", id="a-trace-of-too-much"),
        pytest.param(["dry-run", "--speed", "-1"], "--speed: -1", id="negative-speed"),
        pytest.param(["dry-run", "--speed", "inf"], "--speed: inf", id="endless-speed"),
        pytest.param(["dry-run", "--seed", "-1"], "--seed", id="negative-seed"),
        pytest.param(["dry-run", "--seed", "many"], '(given: "many")', id="seed-in-words"),
        pytest.param(["dry-run", "--hours=long"], '(given: "long")', id="hours-in-words"),
        pytest.param(["dry-run", "--metrics-port", "70000"], "--metrics-port", id="port-too-high"),
        pytest.param(["dry-run", "--nope"], "--nope", id="unknown-option"),
        pytest.param(["nope"], "nope", id="unknown-command"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(dry_run, tmp_path, capsys, arguments, named):
    assert cli.run(arguments) == 2
    assert named in error_line(capsys)
    assert dry_run.asked == []
    assert list(tmp_path.iterdir()) == []


def test_a_policy_given_twice_is_refused(dry_run, tmp_path, capsys):
    file = a_policy_file(tmp_path)
    assert cli.run(["dry-run", "-f", file, "-f", file]) == 2
    assert "ScalingPolicy shop/web is given twice" in error_line(capsys)


def test_a_folder_is_run_and_objects_of_other_kinds_are_skipped_by_name(dry_run, tmp_path, capsys):
    (tmp_path / "below").mkdir()
    a_policy_file(tmp_path, "a")
    a_policy_file(tmp_path / "below", "b")
    (tmp_path / "c.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata: {name: web}\n")
    assert cli.run(["dry-run", "-f", ".", "-R", "--hours", "1", "--no-report", "-o", "json"]) == 0
    assert [name for name, *_ in dry_run.asked] == ["a", "b"]
    assert "skipped c.yaml: Service web" in capsys.readouterr().err


def test_policies_come_from_stdin_too(dry_run, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(POLICY.format(name="web", interval=15).encode())))
    assert cli.run(["dry-run", "-f", "-", "--hours", "1", "--no-report"]) == 0
    assert [name for name, *_ in dry_run.asked] == ["web"]


def test_a_trace_too_short_for_the_hours_is_refused(dry_run, tmp_path, capsys):
    trace = tmp_path / "load.csv"
    trace.write_text("t_seconds,value\n0,1\n3600,1\n")
    assert cli.run(["dry-run", "--trace", str(trace), "--hours", "5"]) == 2
    assert error_line(capsys) == "--hours: 5, but load has 2"


def test_a_report_folder_that_is_a_file_is_refused_before_the_run(dry_run, tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    assert cli.run(["dry-run", "--hours", "1", "--report", "taken"]) == 2
    assert "taken" in error_line(capsys)
    assert dry_run.asked == []


def test_an_error_of_many_lines_is_told_in_one(dry_run, capsys):
    dry_run.failure = InputError("policy x:\n  price is 3,\n  at most 2")
    assert cli.run(["dry-run", "--hours", "1", "--no-report"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "forescale: error: policy x: price is 3, at most 2"


def test_an_interrupted_run_exits_with_130(dry_run):
    dry_run.failure = KeyboardInterrupt()
    assert cli.run(["dry-run", "--hours", "1", "--no-report"]) == 130


def test_a_fault_of_ours_is_not_disguised_as_bad_input(dry_run, capsys):
    dry_run.failure = ZeroDivisionError()
    assert cli.run(["dry-run", "--hours", "1", "--no-report"]) == cli.OWN_FAULT
    assert "internal error: ZeroDivisionError" in capsys.readouterr().err


def test_metrics_are_served_while_the_run_lasts(dry_run):
    port, pages = a_free_port(), []

    def scrape() -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            pages.append(answer.read().decode())

    dry_run.while_running = scrape
    assert cli.run(["dry-run", "--hours", "1", "--no-report", "--metrics-port", str(port)]) == 0
    run, decisions = a_run(240)
    shown = dict(re.findall(r"^(forescale_\S+) (\S+)$", pages[0], flags=re.MULTILINE))
    workload = '{namespace="shop",policy="web"}'
    assert float(shown[f"forescale_policy_desired_replicas{workload}"]) == decisions[-1].final_replicas
    holds = [decision.reasons[-1] for decision in decisions if decision.action is Action.HOLD]
    within = f'forescale_decisions_total{{action="Hold",reason="{Reason.WITHIN_BAND.value}"}}'
    assert float(shown[within]) == holds.count(Reason.WITHIN_BAND)
    hours = float(shown['forescale_dry_run_replica_hours{autoscaler="hpa",namespace="shop",policy="web"}'])
    assert hours == pytest.approx(replica_hours(run, "hpa"))
    with pytest.raises(OSError, match="refused"):
        scrape()


def test_metrics_are_served_to_this_machine_alone_unless_asked(dry_run, monkeypatch):
    hosts = []

    def start(port, addr, registry):
        hosts.append(addr)
        return start_http_server(port, "127.0.0.1", registry)

    monkeypatch.setattr("forescale.metrics_page.start_http_server", start)
    arguments = ["dry-run", "--hours", "1", "--no-report", "--metrics-port", str(a_free_port())]
    assert cli.run(arguments) == 0
    assert cli.run([*arguments, "--metrics-host", "0.0.0.0"]) == 0
    assert hosts == ["127.0.0.1", "0.0.0.0"]


def test_a_host_that_is_none_is_refused(dry_run, capsys):
    assert cli.run(["dry-run", "--no-report", "--metrics-port", "9", "--metrics-host", "300.1.1.1"]) == 2
    assert "300.1.1.1:9 cannot be listened on" in error_line(capsys)


def test_one_dashboard_fits_operator_and_dry_run(dry_run):
    """Every series of a policy that the operator exports is there, under the same labels."""
    (resource,) = load_policies(ROOT / "deploy" / "examples" / "web.yaml")
    exporter = Exporter(1, "127.0.0.1")
    run, decisions = a_run(240)
    for frame in frames(run, decisions):
        exporter.update(resource, policy_named("default"), frame)
    ours = text_string_to_metric_families(generate_latest(exporter.registry).decode())
    labels = {sample.name: set(sample.labels) for family in ours for sample in family.samples}
    for name in (
        "desired_replicas",
        "current_replicas",
        "ready_replicas",
        "demand",
        "decision_age_seconds",
        "conflict",
    ):
        assert labels[f"forescale_policy_{name}"] == {"namespace", "policy"}
    assert {f"forescale_policy_{name}" for name, *_ in GAUGES} <= set(labels)
    assert {f"forescale_dry_run_{name}" for name, *_ in TWIN_GAUGES} <= set(labels)
    assert labels["forescale_policy_info"] == {"namespace", "policy", "policy_ref", "sha256", "mode"}
    assert labels["forescale_decisions_total"] == {"action", "reason"}
    assert "forescale_build_info" in labels


def test_a_port_in_use_is_refused(dry_run, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.run(["dry-run", "--hours", "1", "--no-report", "--metrics-port", str(port)]) == 2
    assert str(port) in error_line(capsys)


def test_help_names_every_scenario(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.run(["dry-run", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in SCENARIOS)


def test_the_list_of_commands_is_whole_at_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for help_option in ("-h", "--help"):
        assert cli.run([help_option]) == 0
        out = capsys.readouterr().out
        assert "..." not in out.partition("Commands:")[2]
        assert all(len(line) <= 80 for line in out.splitlines())


def test_version_and_missing_command(capsys):
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("forescale ")
    assert cli.run([]) == 2
    assert "dry-run" in capsys.readouterr().out


def test_the_module_runs_and_loads_nothing_heavy_for_an_error():
    code = "import sys; import forescale.cli as c; c.run(['nope']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == "forescale: error: No such command 'nope'.\n"
    assert not {"'numpy'", "'torch'", "'matplotlib'"} & set(re.findall(r"'\w+'", done.stdout))
    module = subprocess.run([sys.executable, "-m", "forescale", "nope"], cwd=ROOT, capture_output=True, env=os.environ)
    assert module.returncode == 2


def test_the_packaged_example_is_the_one_in_deploy():
    packaged = (ROOT / "forescale" / "examples" / "web.yaml").read_text()
    assert packaged == (ROOT / "deploy" / "examples" / "web.yaml").read_text()


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_policy_folder_without_a_policy_is_refused_before_the_run(dry_run, tmp_path, capsys):
    assert cli.run(["dry-run", "--policy", str(tmp_path)]) == 2
    assert str(tmp_path) in error_line(capsys)
    assert dry_run.asked == []
