"""The commands around training, end to end on little: what they write, and how they refuse."""

import hashlib
import json

import pytest
import yaml

from forescale import cli
from forescale.train import plan
from training.callbacks import TrainingDivergedError
from training.config import TrainConfig


def error_line(capsys) -> str:
    err: str = capsys.readouterr().err
    lines = err.splitlines()
    assert len(lines) == 1, err
    return lines[0]


@pytest.fixture
def traces(tmp_path):
    folder = tmp_path / "traces"
    folder.mkdir()
    rows = "".join(f"{15 * k},{50 + 30 * (k % 40 > 20)}\n" for k in range(240))
    (folder / "steps.csv").write_text("t_seconds,value\n" + rows)
    return folder


@pytest.mark.slow
def test_train_export_dry_run_and_evaluate_follow_one_another(tmp_path, traces, capsys):
    run, policy, out = tmp_path / "run", tmp_path / "policy", tmp_path / "out" / "comparison.json"
    assert cli.run(["train", "--out", str(run), "--steps", "2048", "--rows", "32", "--no-progress"]) == 0
    assert cli.run(["export", str(run), "--name", "mine", "--out", str(policy)]) == 0
    assert {path.name for path in policy.iterdir()} == {"mine.safetensors", "mine.json"}
    assert "training: 1 update of 2,048 steps each (32 clusters x 64), 2,048 steps in all" in capsys.readouterr().out
    assert cli.run(["dry-run", "--policy", str(policy), "--hours", "1", "--no-report", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["policies"]) == {"forescale", "hpa", "clairvoyant"}
    assert cli.run(["evaluate", "--traces", str(traces), "--policy", str(policy), "--json", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert {row["trace"] for row in rows} == {"steps"}
    assert {"mine", "snvt", "hpa-70", "clairvoyant"} < {row["policy"] for row in rows}
    sha256 = hashlib.sha256((policy / "mine.safetensors").read_bytes()).hexdigest()
    assert f"judged: mine (sha256 {sha256})" in " ".join(capsys.readouterr().out.split())
    assert json.loads(out.read_text())["policy"]["sha256"] == sha256

    with_scores = ["export", str(run), "--name", "mine", "--out", str(policy), "--evaluation", str(out)]
    assert cli.run([*with_scores, "--configmap", "shop-policy", "--namespace", "shop"]) == 0
    assert hashlib.sha256((policy / "mine.safetensors").read_bytes()).hexdigest() == sha256
    body = yaml.safe_load((policy / "shop-policy.yaml").read_text())
    assert body["metadata"]["namespace"] == "shop"
    score = json.loads(out.read_text())["summary"]["all"]["mine"]["cost_mean"]
    assert body["metadata"]["annotations"]["forescale.dev/traces.cost-mean"] == f"{score:.4f}"
    assert json.loads(body["data"]["mine.json"])["evaluation"]["traces"]["cost_mean"] == score
    (policy / "shop-policy.yaml").unlink()
    out.write_text(out.read_text().replace(sha256, "0" * 64))
    capsys.readouterr()
    assert cli.run(with_scores) == 2
    assert f"comparison.json: judges weights 00000000…, the run has {sha256[:8]}…" in error_line(capsys)

    assert cli.run(["train", "--out", str(run), "--resume"]) == 0
    assert capsys.readouterr().out == f"finished before: {run}/model.zip; next: forescale export {run}\n"
    assert cli.run(["train", "--out", str(run), "--resume", "--steps", "4096"]) == 2
    assert "--resume: total_steps is 4096, but the run in" in error_line(capsys)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["evaluate", "--traces", "nowhere"], "nowhere"),
        (["evaluate", "--traces", "{traces}", "--policy", "nowhere"], "nowhere"),
        (["export", "nowhere"], "nowhere"),
        (["export", "nowhere", "--apply"], "--apply: needs --configmap, the name of the ConfigMap"),
        (["export", "nowhere", "--namespace", "shop"], "--namespace: needs --configmap"),
        (["export", "nowhere", "--configmap", "Shop"], '--configmap: "Shop" is not a DNS-1123 subdomain'),
        (["train", "--out", "{traces}/steps.csv"], "steps.csv"),
        (["train", "--resume", "--out", "nowhere"], "nowhere holds no checkpoint.pt, so there is no run to continue"),
        (["train", "--rows", "100000"], "rows: 100000 is above 65,536"),
        (["train", "--seed", "4294967296"], "seed: 4294967296 is above 4,294,967,295"),
        (["train", "--checkpoint-minutes", "nan"], "--checkpoint-minutes"),
        (["evaluate", "--traces", "{traces}", "--days", "nan"], "days"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(arguments, named, traces, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run([argument.format(traces=traces) for argument in arguments]) == 2
    assert named in error_line(capsys)


def test_a_policy_whose_weights_were_changed_is_refused(traces, tmp_path, capsys):
    policy = tmp_path / "policy"
    policy.mkdir()
    (policy / "mine.safetensors").write_bytes(b"\x00" * 64)
    (policy / "mine.json").write_text("{}")
    assert cli.run(["dry-run", "--policy", str(policy), "--hours", "1", "--no-report"]) == 2
    assert error_line(capsys).startswith("forescale: error: policy mine: ")


def test_bad_traces_stop_the_comparison_with_their_line(traces, capsys):
    (traces / "bad.csv").write_text("t_seconds,value\n0,1\n15,nan\n")
    assert cli.run(["evaluate", "--traces", str(traces)]) == 2
    assert "bad.csv" in error_line(capsys)


@pytest.mark.parametrize(
    ("steps", "line"),
    [
        (10, "training: 1 update of 65,536 steps each (1,024 clusters x 64), 65,536 steps in all (10 asked for)"),
        (65_536, "training: 1 update of 65,536 steps each (1,024 clusters x 64), 65,536 steps in all"),
        (
            8_000_000,
            "training: 123 updates of 65,536 steps each (1,024 clusters x 64), 8,060,928 steps in all "
            "(8,000,000 asked for)",
        ),
    ],
)
def test_a_run_says_in_whole_updates_what_it_will_do(steps, line):
    assert plan(TrainConfig(total_steps=steps)) == line


def test_a_run_that_diverges_ends_in_one_line(tmp_path, monkeypatch, capsys):
    def diverge(config, folder, watch, checkpoint_s):
        raise TrainingDivergedError("train/loss is nan after 131,072 steps")

    monkeypatch.setattr("training.train.train", diverge)
    assert cli.run(["train", "--out", str(tmp_path)]) == 1
    wanted = f"forescale: error: training diverged: train/loss is nan after 131,072 steps; {tmp_path} keeps what was"
    assert error_line(capsys).startswith(wanted)
