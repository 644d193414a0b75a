"""Whether pods that were asked for come to serve: what stops a scale-up that nothing comes of.

Owns the memory of how many were ready at most, and since when no more are. Causes (a quota, a crash loop, an image
that cannot be pulled, nodes that do not come) are left to those who see them; here they all look alike.
"""

from dataclasses import dataclass

from scaling.terms import DEFAULT_STARTUP_S

LEAST_PATIENCE_S = 120.0
"""Nothing is given up on before this: eight decisions of 15 s, in which a slow image or a new node may still come
(chosen)."""
PATIENCE_STARTUPS = 2.0
"""Start-ups that pass before pods are overdue: one is what they take, another is for slower ones (chosen)."""


@dataclass(frozen=True)
class Progress:
    """Of the pods that are asked for and not ready yet."""

    most_ready: int = 0
    """Most replicas that were ready while some were not."""

    since_s: float | None = None
    """Time at which that was reached; None while all are ready."""


NOTHING_DUE = Progress()


def note_ready(progress: Progress, wanted: int, ready: int, now_s: float, in_rollout: bool) -> Progress:
    """The progress after a look at `ready` of `wanted` replicas.

    More than were ever ready count, and not one that is ready again: a crash loop is ready once in a while. Only in a
    rollout, where old pods make way for new ones, every rise does.
    """
    if ready >= wanted:
        return NOTHING_DUE
    if progress.since_s is None or ready > progress.most_ready:
        return Progress(ready, now_s)
    if in_rollout and ready < progress.most_ready:
        return Progress(ready, progress.since_s)
    return progress


def is_stuck(progress: Progress, startup_s: float | None, now_s: float) -> bool:
    """Whether pods are overdue: no progress for longer than one waits for them. `startup_s`: None when not known."""
    if progress.since_s is None:
        return False
    usual_s = DEFAULT_STARTUP_S if startup_s is None else startup_s
    return now_s - progress.since_s > max(PATIENCE_STARTUPS * usual_s, LEAST_PATIENCE_S)
