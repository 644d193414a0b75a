"""What a trained policy says about itself: its manifest, JSON in one form only, sealed by a sha256 of its own content.

Owns the manifest's fields, their checks and the seal. The weights beside it, and whether they agree, are left to
`policy_file`. Texts are checked to be printable on one line, so that logs, events and status can show them as they are.
"""

import hashlib
import json
import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scaling.errors import InputError

FORMAT = 1

MAX_TEXT = 100
"""Characters in one name, unit or date. Chosen: a line of status holds it."""

MAX_NUMBER = 1e18
"""Largest low or high of a feature. Chosen: above any reading in any unit, far below what float64 loses."""

FeatureSchema = Sequence[tuple[str, str, float, float]]
"""Name, unit, low and high of each input, in order."""


@dataclass(frozen=True)
class FeatureRange:
    """One input, and the range training saw, in the unit of low and high: outside it the network only guesses."""

    name: str
    unit: str
    low: float
    high: float
    seen_low: float
    seen_high: float


@dataclass(frozen=True)
class PolicyManifest:
    """What a policy is and where it comes from; `training` and `evaluation` hold plain JSON values.

    The last three describe the weights: `policy_file.serialise` fills them in, nobody gives them by hand.
    """

    name: str
    created: str
    features: tuple[FeatureRange, ...]
    actions: tuple[str, ...]
    training: Mapping[str, Any]
    evaluation: Mapping[str, Any]

    hidden_sizes: tuple[int, ...] = ()
    sha256: str = ""
    format: int = FORMAT

    @property
    def schema(self) -> FeatureSchema:
        return [(feature.name, feature.unit, feature.low, feature.high) for feature in self.features]


def seal_manifest(manifest: PolicyManifest) -> bytes:
    """The manifest as bytes, the same for the same manifest, with its digest in it."""
    try:
        fields = json.loads(_canonical(asdict(manifest)))  # through JSON once: keys must be text before they are sorted
        return seal_fields(fields)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"manifest does not fit JSON: {shown(str(error))}") from error


def seal_fields(fields: Mapping[str, Any]) -> bytes:
    """Bare JSON fields in the one form they may have, with their digest; what they say is not checked."""
    return _canonical({**fields, "manifest_sha256": _content_sha256(fields)})


def open_manifest(data: bytes) -> PolicyManifest:
    """Read a sealed manifest, or raise InputError for the first thing that is wrong with it."""
    fields = _unseal(data)
    _check_fields("manifest", fields, _MANIFEST_FIELDS)
    for key in ("name", "created", "sha256"):
        _check_text(f"manifest {key}", fields[key])

    features = tuple(_read_feature(index, feature) for index, feature in enumerate(fields["features"]))
    _check_distinct("features", [feature.name for feature in features])
    _check_distinct("actions", fields["actions"])
    for size in fields["hidden_sizes"]:
        if type(size) is not int or size < 1:
            raise InputError(f"manifest hidden_sizes hold {shown(size)}, expected whole numbers from 1")

    tuples = {"features": features, "actions": tuple(fields["actions"]), "hidden_sizes": tuple(fields["hidden_sizes"])}
    return PolicyManifest(**{**fields, **tuples})


_SHORT = reprlib.Repr()
_SHORT.maxstring = 80  # of 30 by default: the parsers' own words fit


def shown(value: object) -> str:
    """A value that nobody vouches for, cut short and on one line."""
    return _SHORT.repr(value)


def _canonical(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, indent=1, allow_nan=False).encode("ascii") + b"\n"


def _content_sha256(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(fields)).hexdigest()


def _unseal(data: bytes) -> dict[str, Any]:
    """The fields without the seal, once format and seal are right."""
    fields = _json_object(data)
    if fields.get("format") != FORMAT:
        raise InputError(f"manifest format is {shown(fields.get('format'))}, expected {FORMAT}")

    stated, actual = fields.pop("manifest_sha256", None), _content_sha256(fields)
    if stated != actual:
        raise InputError(f"manifest_sha256 is {shown(stated)}, its content gives {actual[:8]}…")
    if seal_fields(fields) != data:
        raise InputError("manifest is not in the form it was sealed in: its spaces, order or spelling differ")
    return fields


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(data.decode("ascii"), parse_float=_finite, parse_constant=_finite)
        _canonical(fields)  # what is nested too deep to be written again stops here
    except (ValueError, RecursionError) as error:
        raise InputError(f"manifest is not JSON in ASCII: {shown(str(error))}") from error
    if type(fields) is not dict:
        raise InputError(f"manifest is {shown(fields)}, expected a JSON object")
    return fields


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


_NUMBER = (int, float)

_MANIFEST_FIELDS: Mapping[str, tuple[type, ...]] = {
    "name": (str,),
    "created": (str,),
    "features": (list,),
    "actions": (list,),
    "training": (dict,),
    "evaluation": (dict,),
    "hidden_sizes": (list,),
    "sha256": (str,),
    "format": (int,),
}

_FEATURE_FIELDS: Mapping[str, tuple[type, ...]] = {
    "name": (str,),
    "unit": (str,),
    "low": _NUMBER,
    "high": _NUMBER,
    "seen_low": _NUMBER,
    "seen_high": _NUMBER,
}


def _check_fields(owner: str, record: Any, kinds: Mapping[str, tuple[type, ...]]) -> None:
    """Exactly these keys, each of its kind; true and false are no numbers here."""
    if type(record) is not dict:
        raise InputError(f"{owner} is {shown(record)}, expected an object")
    for key in sorted(record.keys() ^ kinds.keys()):
        raise InputError(f"{owner} {'has the unknown field' if key in record else 'lacks the field'} {shown(key)}")
    for key, kind in kinds.items():
        if type(record[key]) not in kind:
            raise InputError(f"{owner} {key} is {shown(record[key])}, expected {kind[-1].__name__}")


def _read_feature(index: int, fields: Any) -> FeatureRange:
    owner = f"feature {index}"
    _check_fields(owner, fields, _FEATURE_FIELDS)
    _check_text(f"{owner} unit", fields["unit"])

    low, high = _number(f"{owner} low", fields["low"]), _number(f"{owner} high", fields["high"])
    seen_low = _number(f"{owner} seen_low", fields["seen_low"])
    seen_high = _number(f"{owner} seen_high", fields["seen_high"])
    if not low < high:
        raise InputError(f"{owner} low is {low}, expected below its high {high}")
    if not seen_low <= seen_high:
        raise InputError(f"{owner} seen_low is {seen_low}, expected at most its seen_high {seen_high}")
    return FeatureRange(fields["name"], fields["unit"], low, high, seen_low, seen_high)


def _number(what: str, value: float) -> float:
    if abs(value) > MAX_NUMBER:
        raise InputError(f"{what} is {shown(value)}, limit ±{MAX_NUMBER:g}")
    return float(value)


def _check_distinct(what: str, names: Sequence[Any]) -> None:
    for index, name in enumerate(names):
        _check_text(f"{what} {index}", name)
    if not names or len(set(names)) < len(names):
        raise InputError(f"manifest {what} are {len(names)}, {len(set(names))} of them different, expected 1 or more")


def _check_text(what: str, text: Any) -> None:
    if type(text) is not str or len(text) > MAX_TEXT or not text.isprintable():
        raise InputError(f"{what} is {shown(text)}, expected at most {MAX_TEXT} printable characters")
