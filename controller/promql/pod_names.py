"""How Kubernetes names the pods of a workload: a regular expression of what follows the workload's own name.

| kind | a pod of `web` | what follows |
|---|---|---|
| Deployment, Rollout (argoproj.io) | `web-7d4b9c6f5-x2k4z` | a dash, a ReplicaSet's hash, a dash, random characters |
| StatefulSet | `web-0` | a dash and a number |

The API server cuts what random characters are added to. Of a long name that takes the second dash first, and then the
hash from its end; of a longer one the name itself, and then pods do not tell whose they are.

Sources: https://github.com/kubernetes/apiserver/blob/v0.37.2/pkg/storage/names/generate.go (what is cut),
https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/controller/controller_utils.go (ComputeHash).
"""

from scaling.errors import InputError

HASH = "[bcdfghjklmnpqrstvwxz2456789]"
"""A character of the names that Kubernetes makes up, which keeps a DaemonSet web-agent apart from a Deployment web.

Source: https://github.com/kubernetes/kubernetes/blob/b547a95d14430b903f638946ca291778632f8726/staging/src/k8s.io/apimachinery/pkg/util/rand/rand.go
"""

HASH_CHARACTERS = 10
"""Most of a ReplicaSet's hash: the digits of 32 bits, each written as another character."""

RANDOM_CHARACTERS = 5

BASE_CHARACTERS = 58
"""What is kept of the name that random characters are added to: 63 with them."""

OF_REPLICA_SETS = (("apps", "Deployment"), ("argoproj.io", "Rollout"))


def ending_of_pods(api_group: str, kind: str, name: str) -> str:
    """What follows a workload's name in the names of its pods; InputError where that is not known."""
    if (api_group, kind) == ("apps", "StatefulSet"):
        return "-[0-9]+"
    if (api_group, kind) in OF_REPLICA_SETS:
        return _ending_of_replica_sets(name)
    raise InputError(f"those of a Deployment, a StatefulSet or a Rollout (argoproj.io) are known, not of a {kind}")


def _ending_of_replica_sets(name: str) -> str:
    """A hash that there is no room for, a dash after it included, is cut and has none; a shorter one is whole."""
    room = BASE_CHARACTERS - len(name) - len("-")
    if room < 0:
        raise InputError(f"these hold {BASE_CHARACTERS - 1} characters of a name, and this one has {len(name)}")
    longest_whole = min(HASH_CHARACTERS, room - len("-"))
    whole, cut = f"-{HASH}{{1,{longest_whole}}}-{_made_up(RANDOM_CHARACTERS)}", f"-{_made_up(room + RANDOM_CHARACTERS)}"
    if longest_whole == HASH_CHARACTERS:
        return whole
    return f"(?:{whole}|{cut})" if longest_whole > 0 else cut


def _made_up(characters: int) -> str:
    return f"{HASH}{{{characters}}}"
