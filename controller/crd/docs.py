"""The tables of docs/scalingpolicy.md, generated from the same facts as the schema.

    python -m controller.crd.docs docs/scalingpolicy.md

Owns what stands between the markers of that file; the text around them is written by people.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from controller.crd.facts import Place, every_place, spec_place
from controller.crd.fields import quantity
from controller.crd.resource import Queries, parse_policy
from controller.crd.status import status
from controller.crd.tables import API_VERSION, KIND
from controller.promql.presets import PARAMETERS, PresetKind


def with_tables(page: str) -> str:
    """The page with each generated table in place of what stands between its markers."""
    for name, table in (("spec", spec_table()), ("presets", presets_table()), ("status", status_table())):
        before, start, rest = page.partition(f"<!-- {name}: python -m controller.crd.docs -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->\n")
        if not end:
            raise ValueError(f"no markers for the {name} table")
        page = before + start + table + end + after
    return page


def spec_table() -> str:
    """What people write."""
    rows = ((place.path.removeprefix("spec."), _default(place), _meaning(place)) for place in every_place(spec_place()))
    return _table(("field of `spec`", "default", "meaning"), rows)


def presets_table() -> str:
    """What presets ask for a Deployment shop/web, with no more given than is required."""
    rows = []
    for kind in PresetKind:
        needed = [
            parameter.spelled for parameter in PARAMETERS.values() if parameter.required and kind in parameter.kinds
        ]
        queries = _queries({"kind": kind.value} | dict.fromkeys(needed, "web"))
        rows.append((kind.value, f"`{queries.demand}`", f"`{queries.bad_ratio}`" if queries.bad_ratio else "none"))
    return _table(("kind", "demand", "share of bad requests"), iter(rows))


def status_table() -> str:
    """What the operator writes."""
    return _table(("field of `status`", "meaning"), _status_rows(status(), ""))


def _queries(preset: dict[str, str]) -> Queries:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    demand = {"preset": preset, "targetPerReplica": "70"}
    spec = {"scaleTargetRef": target, "maxReplicas": 60, "demand": demand}
    metadata = {"name": "web", "namespace": "shop"}
    return parse_policy({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}).queries


def _default(place: Place) -> str:
    if place.field.required:
        return "required"
    text = place.default_text()
    if place.default is None:
        return text
    return f'`"{text}"`' if place.field.read is quantity else f"`{text}`"


def _meaning(place: Place) -> str:
    return " ".join(part for part in (place.field.about, place.range_sentence()) if part)


def _status_rows(schema: dict[str, Any], path: str) -> Iterator[tuple[str, ...]]:
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}{name}", inner["description"]
        if path or name != "conditions":  # entries of the shape that every Kubernetes resource has
            yield from _status_rows(inner, f"{path}{name}.")


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *((f"`{field}`", *cells) for field, *cells in rows)]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def main(paths: list[str]) -> None:
    """Rewrite the tables of the pages."""
    for path in map(Path, paths):
        path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
