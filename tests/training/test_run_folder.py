"""The files of a run: whole or as they were, and never one run over another that has not ended."""

import pytest

from scaling.errors import InputError
from training.run_folder import begin_run, read_run, write_run, write_whole


def test_a_file_that_cannot_be_written_is_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    write_whole(path, b"before")

    def full_disk(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(InputError, match=r"^file .*checkpoint\.pt: cannot be written: No space left on device$"):
        write_whole(path, b"after")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"checkpoint.pt": b"before"}


def test_a_run_that_has_not_ended_is_not_begun_over(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"of some hours")
    with pytest.raises(InputError, match="its run has not ended; --resume continues it, or name another --out"):
        begin_run(tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == b"of some hours"


def test_a_finished_run_is_begun_over(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"the end")
    write_run(tmp_path, {"config": {}})
    begin_run(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_has_not_ended_is_not_exported_but_says_how_it_ends(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"half")
    with pytest.raises(InputError, match=rf"forescale train --resume --out {tmp_path} finishes it$"):
        read_run(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"config": {}}', "null", "\x00"])
def test_a_run_file_of_anything_else_is_refused(tmp_path, text):
    (tmp_path / "model.zip").write_bytes(b"")
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.json: is not what forescale train writes$"):
        read_run(tmp_path)
