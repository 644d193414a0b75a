"""Writing a policy: both files new, or both as they were."""

import stat
from pathlib import Path

import pytest

from scaling.errors import InputError
from training.policy_writer import write_policy


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def test_a_policy_is_written_into_a_folder_made_for_it(tmp_path: Path):
    write_policy(tmp_path / "new" / "policies", "default", b"weights", b"manifest")

    assert contents(tmp_path / "new" / "policies") == {"default.json": b"manifest", "default.safetensors": b"weights"}


def test_a_policy_replaces_the_one_of_its_name_and_no_other(tmp_path: Path):
    write_policy(tmp_path, "default", b"old", b"old manifest")
    write_policy(tmp_path, "other", b"other", b"other manifest")

    write_policy(tmp_path, "default", b"new", b"new manifest")

    assert contents(tmp_path) == {
        "default.json": b"new manifest",
        "default.safetensors": b"new",
        "other.json": b"other manifest",
        "other.safetensors": b"other",
    }


def test_others_may_read_what_is_written(tmp_path: Path):
    (tmp_path / "plain").write_bytes(b"")  # the mode that this machine gives to any file

    write_policy(tmp_path, "default", b"weights", b"manifest")

    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize("before", [{}, {"default.safetensors": b"old"}], ids=["nothing-before", "weights-before"])
def test_a_manifest_that_cannot_be_placed_leaves_the_folder_as_it_was(tmp_path: Path, before: dict[str, bytes]):
    (tmp_path / "default.json").mkdir()  # no file can be renamed over a folder
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)

    with pytest.raises(InputError, match=r"policy default: cannot be written to .*: Is a directory"):
        write_policy(tmp_path, "default", b"new", b"new manifest")

    assert contents(tmp_path) == before
    assert {path.name for path in tmp_path.iterdir()} == {"default.json", *before}


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(InputError, match="policy default: cannot be written to"):
        write_policy(tmp_path / "file" / "policies", "default", b"weights", b"manifest")


def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"policy name is '\.\./default'"):
        write_policy(tmp_path / "policies", "../default", b"weights", b"manifest")

    assert not list(tmp_path.iterdir())
