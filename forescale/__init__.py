"""forescale: Kubernetes autoscaling that has learned to see load coming."""

__version__ = "0.1.0"
