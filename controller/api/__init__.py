"""The recommendation API: what forescale would decide, over HTTP, without a cluster.

It decides with `scaling.decide`, as the operator does, and writes nothing. Needs the extra `api`.
"""
