"""The CustomResourceDefinition of a ScalingPolicy, generated from the tables that read one.

    python -m controller.crd.schema > deploy/helm/forescale/files/scalingpolicies.yaml

Owns the translation of readers into a structural schema, and the printer columns; rules in CEL are in `rules.py`.
What the API server accepts is still read by `resource.py`, which checks all of it again.

Fields that exclude each other get no default: the server would store it, and the next `kubectl apply` that gives the
other one would find both.
"""

import sys
from typing import Any

import yaml

from controller.crd.facts import Place, inner, spec_place
from controller.crd.fields import (
    DURATION_CHARACTERS,
    QUANTITY_CHARACTERS,
    Build,
    Group,
    Known,
    ListOf,
    Named,
    OneOf,
    Query,
    Reader,
    Text,
    Within,
    boolean,
    duration,
    quantity,
)
from controller.crd.rules import a_duration, a_quantity, between_fields, one_line, patterned, several_lines
from controller.crd.status import status
from controller.crd.tables import API_VERSION, KIND
from scaling.limits import Limit

Schema = dict[str, Any]

ABOUT = (
    "ScalingPolicy asks forescale to scale one workload: which one, between which bounds, on what load, and at what "
    "price of bad requests."
)
COLUMNS = (  # name, type, path, and whether only `kubectl get -o wide` shows it
    ("Target", "string", ".spec.scaleTargetRef.name", False),
    ("Mode", "string", ".spec.mode", False),
    ("Min", "integer", ".spec.minReplicas", False),
    ("Max", "integer", ".spec.maxReplicas", False),
    ("Current", "integer", ".status.currentReplicas", False),
    ("Desired", "integer", ".status.desiredReplicas", False),
    ("Action", "string", ".status.lastDecision.action", False),
    ("Reason", "string", ".status.lastDecision.reasons[-1:]", False),
    ("Reference", "integer", ".status.referenceReplicas", True),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', False),
    ("Age", "date", ".metadata.creationTimestamp", False),
)


def crd() -> Schema:
    """The definition as a document."""
    group, _, version = API_VERSION.partition("/")
    singular = KIND.lower()
    plural = f"{singular.removesuffix('y')}ies"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": plural,
                "singular": singular,
                "shortNames": ["scalepol"],  # in docs/decisions: nobody else's
                "categories": ["autoscaling"],
            },
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(*column) for column in COLUMNS],
                    "schema": {"openAPIV3Schema": root()},
                }
            ],
        },
    }


def root() -> Schema:
    """The schema of a whole resource."""
    return {
        "description": ABOUT,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": f"Version of this kind: {API_VERSION}.", "type": "string"},
            "kind": {"description": f"{KIND}.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": {"description": "What is wished for one workload."} | _object(spec_place()),
            "status": status(),
        },
    }


def schema_of(place: Place) -> Schema:
    """The schema of one field, with its description."""
    return {"description": _description(place)} | _value(place.field.read, place) | _default(place)


# Readers as schemas


def _value(read: Reader, place: Place) -> Schema:
    match read:
        case Group() | Build():
            return _object(place)
        case ListOf(entry, most, least):
            return {
                "type": "array",
                **({"minItems": least} if least else {}),
                "maxItems": most,
                "items": _value(entry, place),
                "x-kubernetes-list-type": "atomic",
            }
        case OneOf(meaning):
            return {"type": "string", "enum": list(meaning)}
        case Known(form):
            return _value(form, place)
        case Named(pattern, most, meaning):
            return {"type": "string", "maxLength": most} | patterned(f"^{pattern}$", f"not {meaning}")
        case Text(most):
            return {"type": "string", "minLength": 1, "maxLength": most} | one_line()
        case Query(most):
            return {"type": "string", "minLength": 1, "maxLength": most} | several_lines()
        case Within(_, number):
            return _value(number, place)
    return _scalar(read, place.limit)


def _scalar(read: Reader, limit: Limit | None) -> Schema:
    if read is boolean:
        return {"type": "boolean"}
    if read is duration:
        return {"type": "string", "maxLength": DURATION_CHARACTERS} | a_duration(limit)
    if read is quantity:
        return {"x-kubernetes-int-or-string": True, "maxLength": QUANTITY_CHARACTERS} | a_quantity(limit)
    if limit is None:
        raise TypeError(f"{read} has no schema")
    return {"type": "integer", "format": "int32", "minimum": int(limit.low), "maximum": int(limit.high)}


def _object(place: Place) -> Schema:
    read = place.field.read.read if isinstance(place.field.read, ListOf) else place.field.read
    places = {found.path.rpartition(".")[2]: found for found in inner(place)}
    required = [name for name, found in places.items() if found.field.required]
    schema: Schema = {"type": "object"}
    if required:
        schema["required"] = required
    schema["properties"] = {name: schema_of(found) for name, found in places.items()}
    if any(found.excludes for found in places.values()):
        schema["x-kubernetes-map-type"] = "atomic"  # two appliers must not mix their alternatives
    return schema | between_fields(read, places)


def _default(place: Place) -> Schema:
    """What the API server fills in: a value, or an empty object around such values."""
    if place.excludes or place.field.required:
        return {}
    if place.optional_object:
        return {"default": {}} if any(_default(found) for found in inner(place)) else {}
    return {} if place.default is None else {"default": place.default}


def _description(place: Place) -> str:
    default = place.default_text()
    parts = (place.field.about, place.range_sentence(), f"Default: {default}." if default else "")
    return " ".join(part for part in parts if part)


def _column(name: str, kind: str, path: str, wide: bool) -> Schema:
    return {"name": name, "type": kind, "jsonPath": path} | ({"priority": 1} if wide else {})


# The file


class _Dumper(yaml.SafeDumper):
    """Without anchors, and with list entries indented as people write them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def manifest() -> str:
    """The definition as the text of its file."""
    header = "# Generated by `python -m controller.crd.schema`; the fields are in controller/crd/tables.py.\n"
    return header + yaml.dump(crd(), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


if __name__ == "__main__":
    sys.stdout.write(manifest())
