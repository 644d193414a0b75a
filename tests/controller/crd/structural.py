"""A small reader of structural schemas: what may stand in one, what it fills in and what it refuses, CEL apart.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

import copy
import re
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

ANYWHERE = {"description", "type", "default", "x-kubernetes-validations"}
BY_TYPE = {
    "object": {"properties", "required", "x-kubernetes-map-type"},
    "array": {"items", "minItems", "maxItems", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"},
    "string": {"enum", "format", "maxLength", "minLength", "pattern"},
    "integer": {"format", "minimum", "maximum"},
    "boolean": set(),
    "int-or-string": {"x-kubernetes-int-or-string", "maxLength", "pattern"},
}
PYTHON_TYPES = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "int-or-string": (int, str),
}
NOT_IN_RE2 = re.compile(r"\(\?[=!<]|\\[1-9]|[*+?}][+]")


def type_of(schema: Schema) -> str:
    """The one type of a node; KeyError for a node without one."""
    return "int-or-string" if schema.get("x-kubernetes-int-or-string") else schema["type"]


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every node with its path; the entries of a list are `[]`."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}" if path else name)
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


def faults(schema: Schema) -> Iterator[str]:
    """What an API server would not take, or what leaves a value unbounded."""
    for path, node in nodes(schema):
        kind = type_of(node)
        yield from (f"{path}: {key} does not go with {kind}" for key in set(node) - ANYWHERE - BY_TYPE[kind])
        if kind == "int-or-string" and "type" in node:
            yield f"{path}: a type beside int-or-string"
        if not set(node.get("required", ())) <= set(node.get("properties", {})):
            yield f"{path}: requires what it does not have"
        if kind in ("string", "int-or-string") and not {"maxLength", "enum", "format"} & set(node):
            yield f"{path}: a text of any length"
        if kind == "array" and not {"items", "maxItems", "x-kubernetes-list-type"} <= set(node):
            yield f"{path}: a list without entries, length or kind"
        yield from _pattern_faults(path, node.get("pattern", "^$"))
        if "default" in node:
            yield from refusals(filled({"properties": {"x": node}}, {})["x"], node, path)


def filled(schema: Schema, value: Any) -> Any:
    """The value as the API server stores it: nulls dropped, defaults filled in, outer ones first."""
    if isinstance(value, list):
        return [filled(schema.get("items", {}), entry) for entry in value]
    if not isinstance(value, dict):
        return value
    known = schema.get("properties", {})
    value = {name: inner for name, inner in value.items() if inner is not None or name not in known}
    for name, inner in known.items():
        if "default" in inner and name not in value:
            value[name] = copy.deepcopy(inner["default"])
    return {name: filled(known.get(name, {}), inner) for name, inner in value.items()}


def refusals(value: Any, schema: Schema, path: str = "") -> Iterator[str]:
    """Why a value is refused, unknown fields included as under strict validation; CEL is not looked at."""
    kind = type_of(schema)
    if not isinstance(value, PYTHON_TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        yield f"{path}: not of type {kind}"
    elif isinstance(value, dict) and "properties" in schema:  # metadata has none: the API server knows it by itself
        yield from (f"{path}.{name} is required" for name in schema.get("required", ()) if name not in value)
        for name, inner in value.items():
            if name in schema["properties"]:
                yield from refusals(inner, schema["properties"][name], f"{path}.{name}")
            else:
                yield f"{path}.{name}: unknown field"
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema["maxItems"]:
            yield f"{path}: {len(value)} entries"
        for index, entry in enumerate(value):
            yield from refusals(entry, schema["items"], f"{path}[{index}]")
    elif isinstance(value, str) and not _fits(value, schema):
        yield f"{path}: {value[:60]!r} does not fit"
    elif isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{path}: {value} is outside"


def _fits(value: str, schema: Schema) -> bool:
    pattern = schema.get("pattern")
    return (
        schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
        and value in schema.get("enum", (value,))
        and (pattern is None or re.fullmatch(pattern[1:-1], value) is not None)
    )


def _pattern_faults(path: str, pattern: str) -> Iterator[str]:
    re.compile(pattern)
    if not (pattern.startswith("^") and pattern.endswith("$")):
        yield f"{path}: a pattern that fits a part"
    if NOT_IN_RE2.search(pattern):
        yield f"{path}: a pattern that RE2 does not know"
