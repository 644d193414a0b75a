"""Tells a user's own folder that stands in for one of our packages, before anything is imported from it.

The packages `scaling`, `sim`, `training` and `controller` lie beside `forescale`. A folder or file of such a name that
comes first on `sys.path`, as one in the working directory does, would be imported in their place.
"""

import importlib.util
import os
import sys

PACKAGES = ("scaling", "sim", "training", "controller")
BAD_INPUT = 2


def refuse_shadows(root: str) -> None:
    """Refuse to go on where Python would import something else in place of a package that lies in `root`.

    Raises ImportError naming it; the command exits with one line. `python -m forescale` leaves the working directory
    aside, as the console script does.
    """
    if _as_module():
        _leave_working_directory(root)
    problem = next(filter(None, (_shadow(name, root) for name in PACKAGES)), None)
    if problem is None:
        return
    if _as_module() or os.path.basename(sys.argv[0]) == "forescale":
        print(f"forescale: error: {problem}", file=sys.stderr)
        raise SystemExit(BAD_INPUT)
    raise ImportError(problem)


def _shadow(name: str, root: str) -> str | None:
    """What stands in a package's place; None if nothing does."""
    wanted, found = os.path.join(root, name), _found(name)
    if found is None or not os.path.isdir(wanted) or os.path.realpath(found) == os.path.realpath(wanted):
        return None
    return (
        f"{found} shadows the package {name} of forescale in {root}: "
        "rename it, start Python in another folder, or start it with -P"
    )


def _found(name: str) -> str | None:
    """The folder, or the file, that `import name` would take; None if there is none."""
    module = sys.modules.get(name)
    spec = module.__spec__ if module is not None else importlib.util.find_spec(name)
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or [])
    return folders[0] if folders else spec.origin


def _as_module() -> bool:
    """Whether this is `python -m forescale`; until its module is found, Python's first argument is "-m"."""
    words = sys.orig_argv
    asked = words[words.index("-m") + 1 : words.index("-m") + 2] if "-m" in words else []
    return sys.argv[:1] == ["-m"] and asked[:1] == ["forescale"]


def _leave_working_directory(root: str) -> None:
    """Take the working directory off the path, unless we are in it."""
    if not sys.flags.safe_path and sys.path and os.path.realpath(sys.path[0]) != os.path.realpath(root):
        del sys.path[0]
