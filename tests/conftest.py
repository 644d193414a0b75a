"""Settings that all tests share."""

from hypothesis import settings

settings.register_profile("forescale", deadline=None)  # cores are shared: a slow example is not a failure
settings.load_profile("forescale")
