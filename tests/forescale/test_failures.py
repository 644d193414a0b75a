"""How commands fail: one line on stderr and an exit code, whatever the machine is like."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from forescale.failures import BAD_INPUT, INTERRUPTED, OWN_FAULT, READER_GONE, outcome
from scaling.errors import InputError
from tests.forescale.commands import ROOT, forescale, forescale_without, one_line, run_python

SHORT = ("dry-run", "--hours", "0.2", "--history-hours", "1")
NO_REPORT = (*SHORT, "--no-report")
SLOW = ("dry-run", "--speed", "1", "--no-report")


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("price: 3 is above 2"), BAD_INPUT, "error: price: 3 is above 2"),
        (InputError("a\n  b\x1b[31m"), BAD_INPUT, "error: a b?[31m"),
        (OSError(errno.ENOSPC, "No space left on device"), BAD_INPUT, "error: cannot write: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "a.csv"), BAD_INPUT, "error: a.csv: Permission denied"),
        (raised(RuntimeError("torch"), OSError(errno.EFBIG, "File too large")), BAD_INPUT, "cannot write: File too"),
        (ModuleNotFoundError("no", name="torch.nn"), BAD_INPUT, "forescale train needs the extra training: pip"),
        (ModuleNotFoundError("no", name="jinja2"), BAD_INPUT, 'pip install "forescale[report]"'),
        (ModuleNotFoundError("no", name="numpy"), OWN_FAULT, "internal error: ModuleNotFoundError: no; this"),
        (MemoryError(), BAD_INPUT, "too little memory"),
        (ZeroDivisionError("division by zero"), OWN_FAULT, "internal error: ZeroDivisionError: division by zero"),
        (raised(ImportError("numpy"), KeyboardInterrupt()), INTERRUPTED, ""),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), READER_GONE, ""),
        (SystemExit(3), 3, ""),
    ],
    ids=lambda value: repr(value)[:50],
)  # fmt: skip
def test_an_exception_has_one_exit_code_and_one_line(error, code, line):
    found_code, found_line = outcome(error, ["--debug", "train", "--out", "x"])
    assert found_code == code
    assert line in found_line
    assert found_line.isprintable()
    assert bool(found_line) == bool(line)


def test_a_fault_of_our_own_says_how_to_report_it_and_debug_shows_the_traceback(tmp_path):
    broken = "import forescale.rehearsal as r; from forescale.cli import main; r.rehearse = lambda wish: 1 / 0; main()"
    done = run_python(["-c", broken, *NO_REPORT], cwd=tmp_path)
    assert done.returncode == OWN_FAULT
    assert "internal error: ZeroDivisionError: division by zero" in one_line(done)
    assert "--debug" in one_line(done)
    for shown in (
        run_python(["-c", broken, *NO_REPORT, "--debug"], cwd=tmp_path),
        run_python(["-c", broken, "--debug", *NO_REPORT], cwd=tmp_path),
        run_python(["-c", broken, *NO_REPORT], cwd=tmp_path, env={"FORESCALE_DEBUG": "1"}),
    ):
        assert "Traceback" in shown.stderr
        assert shown.returncode == OWN_FAULT


@pytest.mark.parametrize(
    ("env", "sign"),
    [
        ({"PYTHONIOENCODING": "latin-1"}, "-"),
        ({"PYTHONIOENCODING": "ascii"}, "-"),
        ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, "-"),
        ({"PYTHONIOENCODING": "utf-8"}, "\N{EN DASH}"),
    ],
    ids=lambda value: str(value),
)
def test_a_sign_that_the_terminal_lacks_has_another_in_its_place(tmp_path, env, sign):
    done = forescale(*NO_REPORT, cwd=tmp_path, env=env, without_env=("LANG",))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"band {sign}" in done.stdout


def test_a_file_name_that_is_no_text_is_named_all_the_same(tmp_path):
    done = forescale("dry-run", "-f", b"\xff.yaml".decode(errors="surrogateescape"), cwd=tmp_path)
    assert done.returncode == BAD_INPUT
    assert "No such file" in one_line(done)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("command", [("--help",), NO_REPORT, (*NO_REPORT, "--json")], ids=" ".join)
def test_a_full_disk_behind_stdout_is_told_in_one_line(tmp_path, command):
    with open("/dev/full", "w") as full:
        done = forescale(*command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == BAD_INPUT
    assert done.stderr.splitlines()[-1] == "forescale: error: cannot write: No space left on device"
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_behind_stderr_keeps_the_exit_code(tmp_path):
    with open("/dev/full", "w") as full:
        assert forescale("nope", cwd=tmp_path, stdout=subprocess.PIPE, stderr=full).returncode == BAD_INPUT
        assert forescale(*NO_REPORT, "--json", cwd=tmp_path, stdout=full, stderr=full).returncode == BAD_INPUT


@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), ("2>&-", 0), (">&- 2>&- <&-", 0)])
def test_closed_streams_fail_no_command(tmp_path, closed, code):
    command = f"exec '{sys.executable}' -m forescale {' '.join(NO_REPORT)} {closed}"
    done = subprocess.run(command, shell=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=300)
    assert done.returncode == code


def test_a_reader_that_leaves_ends_the_command_without_a_word(tmp_path):
    read, write = os.pipe()
    os.close(read)
    done = forescale(*NO_REPORT, cwd=tmp_path, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (READER_GONE, "")


def at_most(size: int):
    """Limits the files of a process, as a disk does that is nearly full; the system's signal is ignored by Python."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_report_that_does_not_fit_the_disk_leaves_nothing_behind(tmp_path):
    done = forescale(*SHORT, "--report", "there", cwd=tmp_path, preexec_fn=at_most(4096))
    assert done.returncode == BAD_INPUT
    assert "File too large" in one_line(done)
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_json_that_does_not_fit_the_disk_is_told_in_one_line(tmp_path, unbuffered):
    command, env = (*NO_REPORT, "--json"), {"PYTHONUNBUFFERED": unbuffered}
    with (tmp_path / "run.json").open("w") as file:
        done = forescale(*command, cwd=tmp_path, env=env, stdout=file, stderr=subprocess.PIPE, preexec_fn=at_most(1024))
    assert done.returncode == BAD_INPUT
    assert done.stderr.splitlines()[-1] == "forescale: error: cannot write: File too large"


@pytest.mark.slow
@pytest.mark.parametrize("size", [40, 8_000, 60_000], ids=["events", "checkpoint", "weights"])
def test_training_on_a_full_disk_is_told_in_one_line(tmp_path, size):
    train = ("train", "--out", "run", "--steps", "2048", "--rows", "32", "--no-progress")
    done = forescale(*train, cwd=tmp_path, preexec_fn=at_most(size))
    assert done.returncode == BAD_INPUT
    assert "File too large" in one_line(done)


@pytest.mark.parametrize(
    ("modules", "arguments", "line"),
    [
        (["torch"], ["train"], 'forescale train needs the extra training: pip install "forescale[training]"'),
        (["gymnasium"], ["train", "--out", "x"], "forescale train needs the extra training: "),
        (["stable_baselines3"], ["train", "--out", "x"], "forescale train needs the extra training: "),
        (["tensorboard"], ["train", "--out", "x"], "forescale train needs the extra training: "),
        (["torch"], ["export", "x"], "forescale export needs the extra training: "),
        (["matplotlib"], [*SHORT, "--report", "x"], '--report needs the extra report: pip install "forescale[report]"'),
        (["jinja2"], [*SHORT, "--report", "x"], "--report needs the extra report: "),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)  # fmt: skip
def test_a_missing_extra_is_named_with_the_command_that_installs_it(tmp_path, modules, arguments, line):
    done = forescale_without(modules, *arguments, cwd=tmp_path)
    assert done.returncode == BAD_INPUT
    assert one_line(done).startswith(f"forescale: error: {line}")
    assert list(tmp_path.iterdir()) == []


EXTRAS = ["torch", "gymnasium", "stable_baselines3", "tensorboard", "tqdm", "numba", "matplotlib", "jinja2"]


def test_a_plain_install_runs_a_dry_run_and_says_why_there_is_no_report(tmp_path):
    done = forescale_without(EXTRAS, *SHORT, cwd=tmp_path)
    assert done.returncode == 0
    assert one_line(done) == 'no report: it needs the extra report: pip install "forescale[report]"'
    assert "forescale used" in done.stdout
    assert forescale_without(EXTRAS, *SHORT, "--quiet", cwd=tmp_path).stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_plain_install_evaluates(tmp_path):
    (tmp_path / "steps.csv").write_text("t_seconds,value\n" + "".join(f"{15 * k},{50 + k % 9}\n" for k in range(40)))
    done = forescale_without(EXTRAS, "evaluate", "--traces", str(tmp_path), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


NO_HOME = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR")


@pytest.mark.parametrize("home", ["/dev/null/home", None])
def test_no_home_folder_is_needed(tmp_path, home):
    without = NO_HOME if home is None else NO_HOME[1:]
    env = {"TMPDIR": str(tmp_path), "FORESCALE_PLAIN": "1", **({} if home is None else {"HOME": home})}
    done = forescale(*SHORT, cwd=tmp_path, env=env, without_env=without)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "forescale-report" / "report.png").exists()


def test_the_compiler_needs_no_home_folder_and_shares_its_cache_with_nobody(tmp_path):
    show = "import os, sim.compiled as c; c.compiler(); print(os.environ['NUMBA_CACHE_DIR'])"
    env = {"HOME": "/dev/null/home", "TMPDIR": str(tmp_path)}
    folder = run_python(["-c", show], env=env, without_env=NO_HOME[1:]).stdout.strip()
    assert folder.startswith(str(tmp_path / f"forescale-{os.getuid()}" / "numba-"))
    (tmp_path / f"forescale-{os.getuid()}").chmod(0o777)
    other = run_python(["-c", show], env=env, without_env=NO_HOME[1:]).stdout.strip()
    assert not other.startswith(str(tmp_path / f"forescale-{os.getuid()}" / "numba-"))


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told_in_one_line(tmp_path):
    (tmp_path / "web.yaml").touch(mode=0o000)
    done = forescale("dry-run", "-f", "web.yaml", cwd=tmp_path)
    assert done.returncode == BAD_INPUT
    assert "Permission denied" in one_line(done)


@pytest.mark.slow
def test_ctrl_c_at_any_moment_ends_without_a_traceback(tmp_path):
    """Interrupt while modules are loaded, while the command runs, and at its end."""
    for delay_s in (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.5):
        assert interrupted(MAIN, tmp_path, delay_s) == (INTERRUPTED, "")


def test_ctrl_c_that_a_library_swallows_while_it_is_loaded_comes_again(tmp_path):
    (tmp_path / "greedy.py").write_text("import time\ntry:\n    print(flush=True); time.sleep(60)\nexcept:\n    pass\n")
    code = f"import sys; sys.path.insert(0, '.'); import forescale.rehearsal as r; r.rehearse = {GREEDY}; {MAIN}"
    assert interrupted(code, tmp_path, 0.0) == (INTERRUPTED, "")


MAIN = "import forescale.cli as c; set_up = c.catch; c.catch = lambda: (set_up(), print(flush=True)); c.main()"
GREEDY = "lambda wish: (__import__('greedy'), __import__('time').sleep(60))"


def interrupted(code: str, folder: Path, delay_s: float) -> tuple[int, str]:
    """Exit code and stderr of a command that is interrupted so long after it is ready for that, or has printed."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *SLOW],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for _ in range(2 if "greedy" in code else 1):
        process.stdout.readline()
    time.sleep(delay_s)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    return process.returncode, err


@pytest.mark.parametrize(
    ("cause", "code", "words"),
    [(KeyboardInterrupt(), INTERRUPTED, ""), (EOFError("cut short"), OWN_FAULT, "internal error: EOFError: cut short")],
)
def test_a_damaged_file_is_no_interrupt_though_typer_aborts_for_both(cause, code, words):
    abort = typer.Abort()
    abort.__cause__ = cause
    said_code, line = outcome(abort, ())
    assert (said_code, line.partition(";")[0]) == (code, words)
