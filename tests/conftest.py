"""Settings that all tests share."""

import os

from hypothesis import settings

# Cores are shared, so a slow example is not a failure. CI repeats the same examples; people try new ones every time.
settings.register_profile("forescale", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("forescale")
