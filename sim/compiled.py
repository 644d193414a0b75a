"""Hands the kernels to numba when it is installed, and says whether it was.

`compiler()` gives what `sim.fleet` is written with; without numba it leaves plain Python behind.
"""

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scaling.kernel import KERNELS, push


def _has_numba() -> bool:
    try:
        return find_spec("numba") is not None
    except (ImportError, ValueError):  # ValueError: blocked by None in sys.modules
        return False


COMPILED = _has_numba() and os.environ.get("FORESCALE_PLAIN", "") == ""
"""Whether fleets run compiled; the environment variable FORESCALE_PLAIN=1 turns it off."""


SMALL_FLEET = 64
"""Rows below which one thread does the work: waking others takes longer (chosen; a row takes about a microsecond)."""


def choose_threads(rows: int) -> None:
    """Use one thread for a small fleet and all of them for a large one."""
    if COMPILED:
        import numba

        every = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]  # numba makes its settings at run time
        numba.set_num_threads(1 if rows < SMALL_FLEET else every)


def _register_kernels() -> Any:
    """Make every kernel callable from compiled code, and cache compilations by the kernels' own source.

    numba's cache looks at the caller's file only, so the folder's name carries a hash of all sources that can matter.
    """
    sources = sorted({Path(kernel.__code__.co_filename) for kernel in KERNELS} | {Path(__file__).with_name("fleet.py")})
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    os.environ.setdefault("NUMBA_CACHE_DIR", str(_cache_folder() / f"numba-{digest}"))
    os.environ.setdefault("GOMP_SPINCOUNT", "100000")  # a third of a millisecond: for ever stands in others' way
    import numba
    import numba.extending

    for kernel in KERNELS:
        numba.extending.register_jitable(kernel)
    numba.extending.overload(push)(_compiled_push)
    return numba


def _cache_folder() -> Path:
    """The user's cache, or without a home folder one in the temporary folder that nobody else can write to."""
    base = Path(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    )  # keeps the ~ of a user without home
    if os.access(base, os.W_OK):
        return base / "forescale"
    own = Path(tempfile.gettempdir()) / f"forescale-{os.getuid()}"
    own.mkdir(mode=0o700, exist_ok=True)
    found = own.lstat()  # what lies there is loaded as code
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return own if is_ours else Path(tempfile.mkdtemp(prefix="forescale-"))


def _compiled_push(buffer: Any, value: float) -> Callable[[Any, float], None]:
    return _push_in_a_loop


def _push_in_a_loop(buffer: Any, value: float) -> None:
    """`push` without the copy that numba makes of slices that overlap."""
    for i in range(len(buffer) - 1):
        buffer[i] = buffer[i + 1]
    buffer[len(buffer) - 1] = value


def compiler() -> tuple[Callable[..., Any], Any]:
    """`(jit, prange)` for a module of loops over kernels; call it below the imports of all kernels that it uses."""
    if not COMPILED:
        return (lambda function: function), range
    numba = _register_kernels()
    return numba.njit(parallel=True, cache=True, error_model="numpy", fastmath={"nnan", "nsz"}), numba.prange
