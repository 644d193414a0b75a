import pytest

from tests import required


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_what_is_missing_fails_in_ci_and_skips_elsewhere(ci, outcome, monkeypatch):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(required, "why_not", lambda names: f"no {', '.join(names)}")
    with pytest.raises(outcome, match="no etcd, kubectl"):
        required.require("etcd", "kubectl")
    with pytest.raises(outcome, match="no such-program on PATH"):
        required.require_command("such-program")


def test_what_is_there_lets_the_test_go_on(monkeypatch):
    monkeypatch.setattr(required, "why_not", lambda names: None)
    required.require("etcd")
    required.require_command("sh")
