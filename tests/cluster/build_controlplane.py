"""The programs of the tests' control plane: which there are, where each is found, and how what is missing is built.

`python -m tests.cluster.build_controlplane` builds all that is missing, or those that are named. The versions are
pinned in controlplane/*/go.mod. What is built lies in a cache outside the tree, each program under a hash of its pins
and of how it is built, so that no other change makes it be built again. With KUBEBUILDER_ASSETS set, etcd,
kube-apiserver and kubectl come from that folder (the convention of envtest) and the rest from PATH where it is there.

Source: https://book.kubebuilder.io/reference/envtest (KUBEBUILDER_ASSETS)
"""

import argparse
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).parent / "controlplane"
ENVIRONMENT = {"CGO_ENABLED": "0", "GOWORK": "off"}
"""Static programs that need no C compiler, whatever workspace the machine has set."""
ASSETS = ("etcd", "kube-apiserver", "kubectl")


@dataclass(frozen=True)
class Program:
    """A command of a pinned Go module; `{version}`, `{major}`, `{minor}` in its variables come from the pin."""

    name: str
    folder: str
    module: str
    command: str = ""
    variables: tuple[str, ...] = ()
    tags: str = ""

    @property
    def pins(self) -> Path:
        """The folder with the go.mod that pins the module."""
        return MODULES / self.folder


def _of_kubernetes(name: str) -> Program:
    """Without a version in it, kube-controller-manager, kwok and kubectl refuse to talk to it or to start."""
    variables = tuple(
        f"k8s.io/{package}.git{part}"
        for package in ("component-base/version", "client-go/pkg/version")
        for part in ("Version={version}", "Major={major}", "Minor={minor}")
    )
    return Program(name, "kubernetes", "k8s.io/kubernetes", f"/cmd/{name}", variables)


def _of_prometheus(name: str) -> Program:
    """Module version v0.315.0 is release 3.15.0. Left out: service discoveries but for files and fixed targets."""
    variables = ("github.com/prometheus/common/version.Version={version}",)
    return Program(name, "prometheus", "github.com/prometheus/prometheus", f"/cmd/{name}", variables, "remove_all_sd")


PROGRAMS = (  # in the order of building: what most tests need comes first
    Program("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    _of_kubernetes("kube-apiserver"),
    _of_kubernetes("kubectl"),
    _of_kubernetes("kube-controller-manager"),
    _of_kubernetes("kube-scheduler"),
    Program("kwok", "kwok", "sigs.k8s.io/kwok", "/cmd/kwok"),
    _of_prometheus("prometheus"),
    _of_prometheus("promtool"),
    Program("helm", "helm", "helm.sh/helm/v4", "/cmd/helm"),
)


def main() -> int:
    """Build what is missing; the exit status is 0 once all that was asked for is there."""
    parser = argparse.ArgumentParser(description="Build the control plane that the cluster tests start.")
    known = {program.name: program for program in PROGRAMS}
    parser.add_argument("names", nargs="*", metavar="PROGRAM", help=f"of {', '.join(known)}; all of them if none")
    names = parser.parse_args().names or list(known)
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no such program: {', '.join(unknown)}")

    missing = [known[name] for name in names if find(name) is None]
    if missing and shutil.which("go", path=_go_environment()["PATH"]) is None:
        print(f"controlplane: Go is missing, so {_listed(missing)} cannot be built; see https://go.dev/dl", flush=True)
        return 1
    built = all(build(program) for program in missing)
    if built:
        print(f"controlplane: {len(names)} programs are there, built ones in {cache_folder()}")
    return 0 if built else 1


def find(name: str) -> Path | None:
    """Where a program is, or None."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets:
        brought = shutil.which(name, path=assets if name in ASSETS else None)
        if brought is not None or name in ASSETS:
            return Path(brought) if brought else None
    built = built_path(next(program for program in PROGRAMS if program.name == name))
    return built if built.is_file() else None


def path_of(name: str) -> str:
    """Where a program is; FileNotFoundError with what to do if it is not there."""
    path = find(name)
    if path is None:
        raise FileNotFoundError(absent((name,)))
    return str(path)


def absent(names: tuple[str, ...]) -> str | None:
    """None if all these programs are there; otherwise one line that says what to do."""
    missing = [name for name in names if find(name) is None]
    if not missing:
        return None
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and set(missing) & set(ASSETS):
        return f"no {', '.join(missing)} in KUBEBUILDER_ASSETS={assets}"
    return f"no {', '.join(missing)}: build with `make controlplane` (needs Go) or set KUBEBUILDER_ASSETS"


def cache_folder() -> Path:
    """Where built programs are kept, each in a folder of its own."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "forescale" / "controlplane"


def built_path(program: Program) -> Path:
    """Where a program is once it is built: under a hash of its pins and of how it is built, and of nothing else."""
    digest = hashlib.sha256(repr((ENVIRONMENT, build_arguments(program))).encode())
    for file in ("go.mod", "go.sum"):
        digest.update((program.pins / file).read_bytes())
    return cache_folder() / f"{program.name}-{digest.hexdigest()[:12]}" / program.name


def build(program: Program) -> bool:
    """Build one program into the cache, whole or not at all, and say how long it took.

    Of several processes that want the same one, the first builds it and the others wait.
    """
    path = built_path(program)
    with _alone_in(path.parent):
        return path.is_file() or _built(program, path)


def _built(program: Program, path: Path) -> bool:
    print(f"controlplane: building {program.name} {pinned_version(program)} …", flush=True)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(dir=path.parent) as half:
        ended = subprocess.run(build_command(program, Path(half)), env=_go_environment(), check=False)
        if ended.returncode == 0:
            (Path(half) / program.name).replace(path)
    took_s = time.monotonic() - began_s
    outcome = "built" if ended.returncode == 0 else "FAILED to build"
    print(f"controlplane: {outcome} {program.name} in {took_s:.0f} s", flush=True)
    return ended.returncode == 0


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process builds in a folder; the lock ends with the process that holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build_command(program: Program, output: Path) -> list[str]:
    """The `go build` for a program; its file in the output folder has the program's name."""
    go = shutil.which("go", path=_go_environment()["PATH"]) or "go"
    flags, package = build_arguments(program)
    return [go, "build", "-C", str(program.pins), *flags, "-o", str(output / program.name), package]


def build_arguments(program: Program) -> tuple[list[str], str]:
    """The flags of `go build`, and the package."""
    version = pinned_version(program)
    major, minor = version.removeprefix("v").split(".")[:2]
    stated = [f"-X {entry.format(version=version, major=major, minor=minor)}" for entry in program.variables]
    flags = ["-trimpath", "-ldflags", " ".join(["-s -w", *stated])]
    if program.tags:
        flags += ["-tags", program.tags]
    return flags, program.module + program.command


def pinned_version(program: Program) -> str:
    """The version of a program's module in its go.mod."""
    (version,) = re.findall(
        rf"^\t{re.escape(program.module)} (v\S+)", (program.pins / "go.mod").read_text(), re.MULTILINE
    )
    return str(version)


def _go_environment() -> dict[str, str]:
    """The machine's Go, or else our own, in the environment of the build."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
    return os.environ | ENVIRONMENT | {"PATH": path}


def _listed(programs: list[Program]) -> str:
    return ", ".join(program.name for program in programs)


if __name__ == "__main__":
    sys.exit(main())
