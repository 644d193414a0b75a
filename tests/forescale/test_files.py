from pathlib import Path

import pytest

from forescale.files import make_folder, write_whole
from scaling.errors import InputError


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "report.html"
    path.write_bytes(b"old")
    assert write_whole(path, b"new").read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    def fail(self, target):
        raise OSError(28, "No space left on device")

    path = tmp_path / "report.html"
    path.write_bytes(b"old")
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(InputError, match=r"report\.html: cannot be written: No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_are_made_with_their_parents(tmp_path):
    assert make_folder(tmp_path / "a" / "b").is_dir()
    assert make_folder(tmp_path / "a" / "b").is_dir()
