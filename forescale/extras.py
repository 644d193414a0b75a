"""Optional dependencies: which extra brings which module, and how a user gets it."""

from importlib.util import find_spec

from scaling.errors import InputError

REPORT = ("jinja2", "matplotlib")
API = ("fastapi", "uvicorn")
KUBERNETES = ("kubernetes",)
TUNING = ("optuna", "sqlalchemy", "psycopg", "sklearn")
RAY = ("ray",)
TRAINING = ("gymnasium", "stable_baselines3", "tensorboard", "torch", "tqdm")

EXTRA_OF = {
    module: extra
    for extra, modules in {
        "report": REPORT,
        "api": API,
        "training": (*TRAINING, *KUBERNETES, "numba"),
        "tuning": TUNING,
        "ray": RAY,
    }.items()
    for module in modules
}
"""Extra in `pyproject.toml` that installs a module, by the module's name."""


def require(modules: tuple[str, ...], who: str) -> None:
    """Refuse to begin what would fail later. Raises InputError with the command that installs what is missing."""
    for module in modules:
        if not is_installed(module):
            raise InputError(needs(who, EXTRA_OF[module]))


def needs(who: str, extra: str) -> str:
    """The line that tells which extra is missing."""
    return f'{who} needs the extra {extra}: pip install "forescale[{extra}]"'


def is_installed(module: str) -> bool:
    """Whether a module can be found, without importing it."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # ValueError: blocked by None in sys.modules
        return False
