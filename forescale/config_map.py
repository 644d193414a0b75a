"""Sends a ConfigMap to the API server with the official client, as a training Job or a person does."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling.errors import InputError

FIELD_MANAGER = "forescale-export"
KUBECONFIG = Path("~/.kube/config").expanduser()
IN_CLUSTER_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Source: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/"""

TIMEOUT_S = 30


def apply_config_map(body: Mapping[str, Any]) -> str:
    """Create or replace a ConfigMap by server-side apply and return its namespace/name.

    The credentials are the kubeconfig's, or the pod's own. Raises InputError if the API server cannot be asked or
    refuses.
    """
    from kubernetes import client
    from urllib3.exceptions import HTTPError

    namespace = _log_in()
    try:
        namespace = body["metadata"].get("namespace") or namespace
        metadata = {**body["metadata"], "namespace": namespace}
        name = metadata["name"]
        with client.ApiClient() as connection:
            client.CoreV1Api(connection).patch_namespaced_config_map(
                name,
                namespace,
                {**body, "metadata": metadata},
                field_manager=FIELD_MANAGER,
                force=True,
                _content_type="application/apply-patch+yaml",
                _request_timeout=TIMEOUT_S,
            )
    except client.ApiException as error:
        raise InputError(f"ConfigMap {namespace}/{name}: refused with {error.status} {error.reason}") from error
    except (HTTPError, OSError) as error:
        raise InputError(f"ConfigMap {namespace}/{name}: the API server cannot be reached: {error}") from error
    return f"{namespace}/{name}"


def _log_in() -> str:
    """Take the credentials of the kubeconfig, or of the pod where there is none; return its namespace."""
    from kubernetes import config

    file = os.environ.get("KUBECONFIG") or str(KUBECONFIG)  # the library reads the variable once, when it is imported
    try:
        if "KUBECONFIG" in os.environ or KUBECONFIG.exists():
            config.load_kube_config(file)  # type: ignore[no-untyped-call]  # it has no types
            _, context = config.list_kube_config_contexts(file)  # type: ignore[no-untyped-call]  # it has no types
            return str(context["context"].get("namespace") or "default")
        config.load_incluster_config()  # type: ignore[no-untyped-call]  # it has no types
        return IN_CLUSTER_NAMESPACE.read_text().strip()
    except (config.ConfigException, OSError) as error:
        raise InputError(f"--apply: neither a kubeconfig nor a pod's credentials can be used: {error}") from error
