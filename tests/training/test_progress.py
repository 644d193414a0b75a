"""What a run without a terminal tells of itself."""

import math
import re

import pytest
from prometheus_client import CollectorRegistry

from forescale import cli
from tests.training.builders import TINY
from training.train import Watch, train

pytestmark = pytest.mark.slow


def test_a_run_says_where_it_begins_and_ends_and_its_gauges_follow(tmp_path):
    lines: list[str] = []
    registry = CollectorRegistry()
    train(TINY, tmp_path, Watch(say=lines.append, registry=registry))
    assert lines[0] == "step 0 of 2,048 (0%)"
    assert re.fullmatch(
        r"step 2,048 of 2,048 \(100%\), [\d,]+ steps/s, 0 min left, best cost over the newsvendor rule \d\.\d{4}",
        lines[-1],
    )
    assert registry.get_sample_value("forescale_training_steps") == 2048
    assert registry.get_sample_value("forescale_training_planned_steps") == 2048
    best = registry.get_sample_value("forescale_training_best_cost_ratio")
    assert best is not None
    assert math.isfinite(best)


def test_a_run_begins_where_there_is_none_and_is_not_begun_twice(tmp_path, capsys):
    command = [
        "train",
        "--out",
        str(tmp_path / "run"),
        "--resume-or-begin",
        "--steps",
        "2048",
        "--rows",
        "32",
        "--no-progress",
    ]
    assert cli.run(command) == 0
    assert "step 2,048 of 2,048" in capsys.readouterr().out
    assert cli.run(command) == 0
    assert capsys.readouterr().out.startswith("finished before: ")
