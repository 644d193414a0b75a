"""Policies on disk: the one in a folder, the ones in the package, and everything else that may lie there."""

import os
from pathlib import Path

import pytest

from controller import policy_store
from controller.policy_store import builtin_names, load_builtin, load_policy_folder
from scaling.errors import InputError
from scaling.policy_file import MAX_FILE_BYTES
from tests.scaling.policies import SCHEMA, policy_bytes

WEIGHTS, MANIFEST = policy_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good policy."""
    return filled(tmp_path / "policy")


def filled(folder: Path) -> Path:
    folder.mkdir()
    (folder / "default.safetensors").write_bytes(WEIGHTS)
    (folder / "default.json").write_bytes(MANIFEST)
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_policy_folder(folder, SCHEMA)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_policy_in_a_folder_is_loaded(folder: Path):
    policy = load_policy_folder(folder, SCHEMA)

    assert policy.manifest.name == "default"
    assert policy.network.hidden_sizes == (5, 4)


def test_other_files_beside_it_do_not_matter(folder: Path):
    (folder / "README.md").write_text("how it was trained")

    assert load_policy_folder(folder, SCHEMA).manifest.name == "default"


def test_a_mounted_config_map_is_loaded_through_its_links(tmp_path: Path):
    filled(tmp_path / "..2026_11_23")
    (tmp_path / "..data").symlink_to("..2026_11_23")
    for name in ("default.safetensors", "default.json"):
        (tmp_path / name).symlink_to(f"..data/{name}")

    assert load_policy_folder(tmp_path, SCHEMA).manifest.name == "default"


def test_a_folder_that_is_itself_a_link_is_loaded(tmp_path: Path, folder: Path):
    (tmp_path / "current").symlink_to(folder)

    assert load_policy_folder(tmp_path / "current", SCHEMA).manifest.name == "default"


@pytest.mark.parametrize("target", ["../secret", "/etc/hostname"])
def test_a_link_out_of_the_folder_is_refused(folder: Path, target: str):
    (folder.parent / "secret").write_bytes(MANIFEST)
    (folder / "default.json").unlink()
    (folder / "default.json").symlink_to(target)

    assert "outside its folder" in refusal(folder)


def test_links_in_a_circle_are_refused(folder: Path):
    (folder / "default.json").unlink()
    (folder / "default.json").symlink_to("default.json")

    assert "policy file default.json: cannot be read" in refusal(folder)


@pytest.mark.parametrize("name", ["default.json", "default.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str):
    (folder / name).unlink()

    assert refusal(folder) == f"policy file {name}: cannot be read from {folder}: No such file or directory"


@pytest.mark.parametrize("name", ["default.json", "default.safetensors"])
def test_a_folder_in_place_of_a_file_is_refused(folder: Path, name: str):
    (folder / name).unlink()
    (folder / name).mkdir()

    assert "Is a directory" in refusal(folder)


def test_a_pipe_is_refused_without_waiting_for_its_writer(folder: Path):
    (folder / "default.safetensors").unlink()
    os.mkfifo(folder / "default.safetensors")

    assert "is not a regular file" in refusal(folder)


@pytest.mark.parametrize("name", ["default.json", "default.safetensors"])
def test_an_empty_file_is_refused(folder: Path, name: str):
    (folder / name).write_bytes(b"")

    assert refusal(folder).startswith("policy default: ")


def test_no_more_than_the_limit_is_read(folder: Path):
    os.truncate(folder / "default.safetensors", 10 << 30)  # sparse: 10 GiB of zeros on no disk

    assert refusal(folder) == f"policy default: weights are at least {MAX_FILE_BYTES + 1} bytes, limit {MAX_FILE_BYTES}"


def test_a_file_with_a_new_name_is_refused(folder: Path):
    for suffix in (".json", ".safetensors"):
        (folder / f"default{suffix}").rename(folder / f"mine{suffix}")

    assert refusal(folder) == "policy mine: manifest names it 'default'"


def test_a_name_that_no_policy_may_have_is_refused(folder: Path):
    for suffix in (".json", ".safetensors"):
        (folder / f"default{suffix}").rename(folder / f"De fault{suffix}")

    assert "policy name is 'De fault'" in refusal(folder)


def test_two_policies_in_a_folder_are_refused_by_name(folder: Path):
    (folder / "other.json").write_bytes(MANIFEST)

    assert refusal(folder) == f"policy folder {folder}: holds 2 policies (default, other), expected 1"


def test_a_folder_without_policies_is_refused(tmp_path: Path):
    assert refusal(tmp_path) == f"policy folder {tmp_path}: holds 0 policies (none), expected 1"


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    assert "cannot be read: No such file or directory" in refusal(tmp_path / "nowhere")


def test_a_file_in_place_of_the_folder_is_refused(folder: Path):
    assert "cannot be read: Not a directory" in refusal(folder / "default.json")


def test_built_in_policies_are_listed_and_loaded_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    filled(tmp_path / "policies")
    monkeypatch.setattr(policy_store, "files", lambda package: tmp_path)

    assert builtin_names() == ("default",)
    assert load_builtin("default", SCHEMA).manifest.name == "default"


def test_an_unknown_built_in_policy_is_refused_with_the_known_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    filled(tmp_path / "policies")
    monkeypatch.setattr(policy_store, "files", lambda package: tmp_path)

    with pytest.raises(InputError, match=r"policy '\.\./default' is not built in, expected one of: default"):
        load_builtin("../default", SCHEMA)


def test_a_package_without_policies_lists_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(policy_store, "files", lambda package: tmp_path)

    assert builtin_names() == ()
