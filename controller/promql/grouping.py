"""Queries that differ in nothing but names, as one: which can share, what is asked for them, whose row is whose.

Pure. A query can share when it is of the form of `sums.py` and some matcher with a name, as `matchers.py` has them, is
the same in all its selectors. One matcher then finds what all the names find, and each `sum` is taken `by` the labels
whose names differ:

| two policies ask | one query is sent |
|---|---|
| `sum(rate(x{app="a"}[1m]))`, the same of b | `sum by (app)(rate(x{app=~"a|b"}[1m]))` |
| `sum(x{app="a"})/sum(y{app="a"})`, the same of b | `sum by (app)(x{app=~"a|b"})/sum by (app)(y{app=~"a|b"})` |
| `sum(x{pod=~"a-[0-9]+"})`, the same of b | `sum by (forescale_pod)(label_replace(x{pod=~"(?:a|b)-[0-9]+"}, …))` |

where `label_replace(…, "forescale_pod", "$1", "pod", "(.+)-[0-9]+")` says the name, which no label says by itself.

A row then is what the query of its names would have answered: within it are the same series, and vectors of such rows
match one to one, as their labels are the same. Whatever is not surely of this form is asked by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from controller.promql.matchers import Finder, Matcher
from controller.promql.sums import Sums, sums_of
from controller.shared_texts import SharedTexts

TEXTS = SharedTexts()
"""Keys and pieces, which all queries of a form have in common."""

MOST_CHARACTERS = 1500
"""A longer query is asked by itself. Chosen: three times what presets write, a millisecond to read. All policies are
read at once when the operator begins to act.
"""

Row = tuple[str, ...]
"""Values of the labels that tell a shared query's answers apart."""


@dataclass(frozen=True)
class Shape:
    """What a query has in common with others, and what is its own."""

    key: str
    """The query with a ? in place of its own names: equal for all that can share."""
    finders: tuple[Finder, ...]
    """Matchers whose names are its own."""
    names: tuple[str, ...]
    """Their names."""
    pieces: tuple[str, ...]
    """The text between the places that change."""
    places: tuple[int, ...]
    """What changes between the pieces: the matcher with this index, `OPENING` or `CLOSING`."""
    selectors: int
    """How many it has."""


@dataclass(frozen=True)
class Split:
    """How an aggregation is taken to have a row for each of several queries; as it stands, it has one row."""

    labels: tuple[str, ...] = ()
    """What the rows are told apart by."""
    opening: str = "("
    closing: str = ")"

    def of(self, aggregation: str, vector: str) -> str:
        """Take an aggregation, such as max, of a vector that has the labels of the selectors."""
        return f"{aggregation}{self.opening}{vector}{self.closing}"


@dataclass(frozen=True)
class SharedQuery:
    """One query in place of several."""

    text: str
    split: Split
    """How its answer has a row for each, and that of another query over its selectors."""
    rows: tuple[Row, ...]
    """The row of each of the queries."""


def shape_of(query: str) -> Shape | None:
    """The form in which a query can share; None for one that is asked by itself."""
    sums = sums_of(query) if len(query) <= MOST_CHARACTERS else None
    if sums is None:
        return None
    first, *others = sums.selectors
    own = {finder: name for finder, name in first.items() if all(other.get(finder) == name for other in others)}
    return _shape(sums, own) if own else None


def shared_query(shapes: Sequence[Shape]) -> SharedQuery:
    """The query that asks for all of these, which have the same key; rows come in their order."""
    (form, *_), columns = shapes, list(zip(*(shape.names for shape in shapes), strict=True))
    differ = [place for place, column in enumerate(columns) if len(set(column)) > 1]
    split = _split_by([form.finders[place] for place in differ])
    matchers = [finder.matcher(column) for finder, column in zip(form.finders, columns, strict=True)]
    rows = tuple(tuple(shape.names[place] for place in differ) for shape in shapes)
    return SharedQuery(_filled(form.pieces, form.places, matchers, split), split, rows)


def _shape(sums: Sums, own: dict[Finder, str]) -> Shape:
    finders = tuple(own)
    pieces, places = [""], []
    for part in sums.parts:
        if isinstance(part, int) or (isinstance(part, Matcher) and part.finder in own):
            places.append(part if isinstance(part, int) else finders.index(part.finder))
            pieces.append("")
        else:
            pieces[-1] += part.text if isinstance(part, Matcher) else part
    key = _filled(pieces, places, [finder.form for finder in finders], Split())
    between = tuple(map(TEXTS.share, pieces))
    return Shape(TEXTS.share(key), finders, tuple(own.values()), between, tuple(places), len(sums.selectors))


def _split_by(finders: Sequence[Finder]) -> Split:
    labels = tuple(finder.row_label for finder in finders)
    added = [finder.naming for finder in finders if finder.ending]
    by = f" by ({', '.join(labels)})" if labels else ""
    return Split(labels, f"{by}({'label_replace(' * len(added)}", f"{''.join(added)})")


def _filled(pieces: Sequence[str], places: Sequence[int], matchers: Sequence[str], split: Split) -> str:
    texts = [*matchers, split.opening, split.closing]  # the last two are where OPENING and CLOSING point
    between = (texts[place] for place in places)
    return pieces[0] + "".join(text + piece for text, piece in zip(between, pieces[1:], strict=True))
