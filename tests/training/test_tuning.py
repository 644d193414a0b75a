"""A study that several processes share on a real PostgreSQL, one of them killed; and what is refused."""

import json
import signal
import subprocess
import sys

import optuna
import psycopg
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState

from controller.policy_store import load_policy_folder
from forescale import cli
from scaling.errors import InputError
from scaling.policy import feature_schema
from tests.cluster.scene import wait_for
from tests.training.postgres import postgres
from training.tuning import StudyConfig, finished, open_known_study, open_study, work

pytestmark = pytest.mark.slow

WITHIN_S = 300.0
SMALL = ("--steps", "2048", "--rows", "32")
WORKER = """
import sys
from training import tuning

tuning.HEARTBEAT_S, tuning.GRACE_S = 1, 4  # a dead worker is noticed at once
from forescale import cli

sys.exit(cli.run(sys.argv[1:]))
"""


def a_worker(storage, out, number, *options, **popen):
    command = [
        "tune",
        "--storage",
        storage,
        "--out",
        str(out),
        "--worker",
        str(number),
        "--trials",
        "3",
        *SMALL,
        *options,
    ]
    return subprocess.Popen([sys.executable, "-c", WORKER, *command], **popen)


def test_workers_share_a_study_and_a_killed_ones_trial_is_tried_again(tmp_path, capsys):
    with postgres(tmp_path) as storage:
        config = StudyConfig(storage=storage, trials=3, total_steps=2048, rows=32)
        with a_worker(storage, tmp_path / "a", 0) as doomed:
            wait_for(lambda: beats(storage), bool, WITHIN_S)
            doomed.send_signal(signal.SIGKILL)
        workers = [a_worker(storage, tmp_path / f"w{number}", number) for number in (1, 2)]
        assert [worker.wait(WITHIN_S) for worker in workers] == [0, 0]

        study = open_known_study(config)
        assert finished(study) >= 3
        (killed,) = [trial for trial in study.trials if trial.state is TrialState.FAIL]
        again = [trial for trial in study.trials if trial.system_attrs.get("failed_trial") == killed.number]
        assert len(again) == 1
        assert killed.params.items() <= again[0].params.items()  # it may have died before all were chosen

        assert cli.run(["tune", "report", "--storage", storage, "--out", str(tmp_path / "report"), "-o", "json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["trials"]["fail"] == 1
        drawn = {path.name for path in (tmp_path / "report").iterdir()}
        assert {"history.png", "intermediate.png"} <= drawn

        policy = load_policy_folder(tmp_path / "w1", feature_schema())
        origin = policy.manifest.training["study"]
        assert origin["name"] == "forescale"
        assert origin["parameters"] == study.trials[origin["trial"]].params
        assert policy.manifest.evaluation["cost_over_snvt_on_generated_demand"]["mean"] == origin["cost_over_snvt"]

        with pytest.raises(
            InputError, match="study forescale: rows is 64, but it was begun with 32; name another --study"
        ):
            open_study(StudyConfig(storage=storage, total_steps=2048, rows=64))


def beats(storage):
    """Whether a worker has said that it lives; before that it cannot be missed. There may be no tables yet."""
    try:
        with psycopg.connect(storage) as connection:
            return connection.execute("SELECT count(*) FROM trial_heartbeats").fetchone() != (0,)
    except psycopg.Error:
        return False


def test_a_study_in_a_file_is_searched_by_two_processes(tmp_path):
    out = tmp_path / "tune"
    options = ["tune", "--out", str(out), "--trials", "2", "--workers", "2", "--name", "mine", "--configmap", "mine"]
    assert cli.run([*options, *SMALL, "--quiet"]) == 0
    assert {"study.db", "mine.safetensors", "mine.json", "mine.yaml"} <= {path.name for path in out.iterdir()}


def test_a_trial_that_is_worse_than_the_median_of_the_others_is_pruned(tmp_path):
    config = StudyConfig(storage=f"sqlite:///{tmp_path}/study.db", trials=6, total_steps=2048, rows=32, validations=1)
    study = open_study(config)
    for _ in range(5):  # better at their first comparison than any that was just begun
        study.add_trial(optuna.trial.create_trial(value=0.5, intermediate_values={2048: 0.5}))
    work(config)
    assert [trial.state for trial in study.trials][5:] == [TrialState.PRUNED]


def test_importances_are_drawn_once_trials_differ(tmp_path):
    config = StudyConfig(storage=f"sqlite:///{tmp_path}/study.db")
    study = open_study(config)
    distributions: dict[str, BaseDistribution] = {"gamma": FloatDistribution(0, 2)}
    for value in (0.9, 1.1, 1.0):
        study.add_trial(optuna.trial.create_trial(params={"gamma": value}, distributions=distributions, value=value))
    assert cli.run(["tune", "report", "--storage", config.storage, "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "importances.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--storage", "nonsense"], "--storage: 'nonsense' cannot be used"),
        (["--storage", "postgresql://me:secret@127.0.0.1:1/x"], "--storage: postgresql://me:***@127.0.0.1:1/x cannot"),
        (["--trials", "0"], "--trials"),
        (["--apply"], "--apply: needs --configmap"),
        (["--ray", "127.0.0.1:1"], "--ray: 127.0.0.1:1 cannot be reached: Connection refused"),
        (["--ray", "nowhere"], "--ray: 'nowhere' is not HOST:PORT, auto or local"),
        (["report", "--study", "other"], "study other: there is none of that name in sqlite:///"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(options, words, tmp_path, capsys):
    assert cli.run(["tune", "--out", str(tmp_path), *SMALL, *options]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "secret" not in said
    assert said.count("\n") == 1 or "Usage" in said


def test_a_study_of_another_program_is_refused(tmp_path):
    storage = f"sqlite:///{tmp_path}/study.db"
    other = optuna.create_study(storage=storage, study_name="forescale")
    other.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(InputError, match="study forescale: space is 1, but it was begun with another program's"):
        open_study(StudyConfig(storage=storage))
