"""The programs of the tests' control plane: which there are, where each is found, and how what is missing is built.

`python -m tests.cluster.build_controlplane` builds all that is missing, or those that are named. The versions are
pinned in controlplane/*/go.mod; what is built lies in a cache folder outside the tree. With KUBEBUILDER_ASSETS set,
etcd, kube-apiserver and kubectl come from that folder (the convention of envtest) and the rest from PATH where it is
there.

Source: https://book.kubebuilder.io/reference/envtest (KUBEBUILDER_ASSETS)
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).parent / "controlplane"
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
    built = cache_folder() / name
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
    """The folder of what is built, by a hash of the pins and of how the build is asked for."""
    digest = hashlib.sha256(repr(PROGRAMS).encode())
    for file in sorted(MODULES.glob("*/go.*")):
        digest.update(file.read_bytes())
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "forescale" / f"controlplane-{digest.hexdigest()[:12]}"


def build(program: Program) -> bool:
    """Build one program into the cache folder, whole or not at all, and say how long it took."""
    version = pinned_version(program)
    print(f"controlplane: building {program.name} {version} …", flush=True)
    began_s = time.monotonic()
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as half:
        ended = subprocess.run(build_command(program, version, Path(half)), env=_go_environment(), check=False)
        if ended.returncode == 0:
            (Path(half) / program.name).replace(folder / program.name)
    took_s = time.monotonic() - began_s
    outcome = "built" if ended.returncode == 0 else "FAILED to build"
    print(f"controlplane: {outcome} {program.name} in {took_s:.0f} s", flush=True)
    return ended.returncode == 0


def build_command(program: Program, version: str, output: Path) -> list[str]:
    """The `go build` for a program; its file in the output folder has the program's name."""
    major, minor = version.removeprefix("v").split(".")[:2]
    stated = [f"-X {entry.format(version=version, major=major, minor=minor)}" for entry in program.variables]
    flags = ["-trimpath", "-ldflags", " ".join(["-s -w", *stated])]
    package = program.module + program.command
    if program.tags:
        flags += ["-tags", program.tags]
    go = shutil.which("go", path=_go_environment()["PATH"]) or "go"
    return [go, "build", "-C", str(program.pins), *flags, "-o", str(output / program.name), package]


def pinned_version(program: Program) -> str:
    """The version of a program's module in its go.mod."""
    (version,) = re.findall(
        rf"^\t{re.escape(program.module)} (v\S+)", (program.pins / "go.mod").read_text(), re.MULTILINE
    )
    return str(version)


def _go_environment() -> dict[str, str]:
    """Static programs that need no C compiler, whatever workspace the machine has set; its Go, or else our own."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
    return os.environ | {"CGO_ENABLED": "0", "GOWORK": "off", "PATH": path}


def _listed(programs: list[Program]) -> str:
    return ", ".join(program.name for program in programs)


if __name__ == "__main__":
    sys.exit(main())
