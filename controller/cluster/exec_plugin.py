"""Exec credential plugins: a program that a kubeconfig names, asked for a token or a certificate.

Owns running it and reading its answer. Its standard error is dropped and its output is in no message: either may hold
secrets.

Source: https://github.com/kubernetes/client-go/blob/v0.37.2/plugin/pkg/client/auth/exec/exec.go
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from controller.causes import one_line
from controller.cluster.kubeconfig import Fields
from scaling.errors import InputError

API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
INTERACTIVE_MODES = ("", "Never", "IfAvailable")
"""Always needs a terminal, and an operator has none."""

CLUSTER_EXTENSION = "client.authentication.k8s.io/exec"
"""The cluster's extension that is handed on as the plugin's configuration."""

MOST_OUTPUT_BYTES = 1024 * 1024
"""Chosen: a token or a chain of certificates takes some kilobytes."""

REAPED_WITHIN_S = 1.0
"""How long a killed plugin is waited for (chosen)."""

MOST_CHARACTERS = 200
"""Of a command, or of its install hint, in a message (chosen)."""


@dataclass(frozen=True)
class ExecCredential:
    """What a plugin answered; empty where it gave none."""

    token: str = field(default="", repr=False)
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)
    expires: datetime | None = None


async def ask_plugin(plugin: Fields, cluster: Fields, within_s: float, ca_data: bytes = b"") -> ExecCredential:
    """Run a plugin and return its credential; InputError names the plugin and what went wrong with it.

    `ca_data`: the cluster's authority in PEM, for a plugin that asks for what is known of the cluster.
    """
    name = one_line(plugin["command"], MOST_CHARACTERS)
    try:
        return _credential(await _output(plugin, _variables(plugin, cluster, ca_data), within_s), plugin["apiVersion"])
    except _PluginError as error:
        raise InputError(f"exec plugin {name}: {error}") from None


class _PluginError(Exception):
    """Why there is no credential, in words that follow the plugin's name."""


async def _output(plugin: Fields, variables: Mapping[str, str], within_s: float) -> bytes:
    _check(plugin)
    program = shutil.which(plugin["command"])
    if program is None:
        raise _PluginError(_not_found(plugin))
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *plugin["args"],
            env=variables,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise _PluginError(f"cannot be run: {error.strerror or type(error).__name__}") from None
    try:
        async with asyncio.timeout(within_s):
            output = await _read(process)
            status = await process.wait()
    except TimeoutError:
        raise _PluginError(f"no credential within {within_s:g} s") from None
    finally:
        await _end(process)
    if status:
        raise _PluginError(f"failed with exit status {status}" if status > 0 else f"was ended by signal {-status}")
    return output


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill it and all that it has started, if it still runs."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REAPED_WITHIN_S):
                await process.wait()


async def _read(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    output = bytearray()
    while chunk := await process.stdout.read(2**16):
        output += chunk
        if len(output) > MOST_OUTPUT_BYTES:
            raise _PluginError(f"more than {MOST_OUTPUT_BYTES} bytes of output, the limit")
    return bytes(output)


def _check(plugin: Fields) -> None:
    if plugin["apiVersion"] not in API_VERSIONS:
        raise _PluginError(f"its apiVersion is none of {', '.join(API_VERSIONS)}")
    if plugin["interactiveMode"] not in INTERACTIVE_MODES:
        raise _PluginError("its interactiveMode is neither Never nor IfAvailable, and forescale has no terminal for it")


def _not_found(plugin: Fields) -> str:
    if os.path.exists(plugin["command"]) and "/" in plugin["command"]:
        return "cannot be run: it is not an executable file"
    hint = one_line(" ".join(plugin["installHint"].split()), MOST_CHARACTERS)
    return f"not found; {hint}" if hint else "not found"


def _variables(plugin: Fields, cluster: Fields, ca_data: bytes) -> dict[str, str]:
    spec: dict[str, Any] = {"interactive": False}
    if plugin["provideClusterInfo"]:
        spec["cluster"] = _cluster_info(cluster, ca_data)
    info = {"apiVersion": plugin["apiVersion"], "kind": "ExecCredential", "spec": spec}
    return {**os.environ, **plugin["env"], "KUBERNETES_EXEC_INFO": json.dumps(info)}


def _cluster_info(cluster: Fields, ca_data: bytes) -> dict[str, Any]:
    names = ("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url", "disable-compression")
    told = {name: cluster[name] for name in names if cluster[name]}
    if ca_data:
        told["certificate-authority-data"] = b64encode(ca_data).decode()
    return {**told, "config": cluster["extensions"].get(CLUSTER_EXTENSION)}


def _credential(output: bytes, api_version: str) -> ExecCredential:
    malformed = _PluginError(f"its output is not an ExecCredential of {api_version}")
    try:
        answer = json.loads(output)
    except (ValueError, RecursionError):
        raise malformed from None
    if not isinstance(answer, dict) or (answer.get("kind"), answer.get("apiVersion")) != (
        "ExecCredential",
        api_version,
    ):
        raise malformed
    status = answer.get("status")
    if not isinstance(status, dict):
        raise malformed
    token, certificate, key = (status.get(name) or "" for name in ("token", "clientCertificateData", "clientKeyData"))
    if not all(isinstance(part, str) for part in (token, certificate, key)):
        raise malformed
    if bool(certificate) != bool(key):
        raise _PluginError("it gave only one of certificate and key")
    if not (token.isascii() and token.isprintable() and (token or certificate)):
        raise _PluginError("it gave neither a usable token nor a certificate")
    return ExecCredential(token, certificate.encode(), key.encode(), _expires(status.get("expirationTimestamp")))


def _expires(text: Any) -> datetime | None:
    """When it ends; None where the plugin does not say."""
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return at.replace(tzinfo=at.tzinfo or UTC) if at else None
