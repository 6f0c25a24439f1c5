"""What is alive after each kernel of a training step, of every layer that can peak.

One layer of each kind is run, forward and backward. What the others hold meanwhile is
counted: those below keep what they saved, those above have gradients.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from sympy import Eq, Expr, Max, Or, Piecewise, S, Symbol, false, true

from .errors import ConfigError
from .layers import MESSAGES, Layers
from .ledger import Ledger, Tensor
from .operations import Activation, Storage
from .timeline import Group, Moment, Timeline, number, row

FIRST = Symbol("first layer")
"""Whether the layer that is run is the model's first."""


@dataclass(frozen=True)
class Place:
    """Where in the model the layer that is run stands.

    Attributes:
        name: is added to a moment's.
        first: whether the layer is the model's first.
        below, above: per kind, layers that hold what they saved, and that have
            gradients.
    """

    name: str
    first: object
    below: tuple
    above: tuple

    def holds(self, kinds: frozenset[int]):
        """Whether a layer below is of one of these kinds, the first being 1."""
        return _some(tuple(self.below[kind - 1] for kind in kinds))

    def copies(self, storage: Storage) -> Expr:
        """Return how many layers below hold what the one that is run does, too.

        What is carried from layer to layer is not carried into the first one.
        """
        below = self.below[storage.group - 1]
        first = storage.carried and storage.group == 1
        return Max(below - 1, 0) if first else below


def kinds_of(model) -> tuple[Layers, ...]:
    """Group the layers that are alike in training, in the order of their first ones.

    A window changes no tensor; layers with one may have rotary tables of their own.

    Raises:
        ConfigError: several kinds in a symbolic model, whose order is not known.

    >>> from llm_memory import load_model
    >>> [each.count for each in kinds_of(load_model("Gemma-2-9B"))]
    [42]
    >>> [each.count for each in kinds_of(load_model("DeepSeek-V3"))]
    [3, 58]
    """
    kinds: dict[tuple, list[Layers]] = {}
    for each in model.layers:
        own = model.tables_by_type and each.window is not None
        kinds.setdefault((each.sparse, own), []).append(each)
    if len(kinds) == 1:
        total = sum(each.count for each in model.layers)
        return (Layers(total, sparse=model.layers[0].sparse),)
    if any(each.positions is None for each in model.layers):
        raise ConfigError("model", model.name, MESSAGES["symbolic"])
    merged = [
        replace(
            alike[0],
            count=sum(each.count for each in alike),
            positions=frozenset().union(*(each.positions for each in alike)),
        )
        for alike in kinds.values()
    ]
    return tuple(sorted(merged, key=lambda each: min(each.positions)))


def places_of(kinds: Sequence[Layers]) -> list[list[Place]]:
    """Return for each kind where its layers stand, from the last one down."""
    total = sum(each.count for each in kinds)
    if not total.is_Integer:
        return [_symbolic_places(total)]
    everywhere = [each.positions or range(total) for each in kinds]
    kind_of = {i: kind for kind, each in enumerate(everywhere) for i in each}
    result, below = [[] for _ in kinds], [0] * len(kinds)
    for i in range(total):
        own = kind_of[i]
        above = [int(each.count) - n for each, n in zip(kinds, below, strict=True)]
        above[own] -= 1
        name = {0: "the first layer", total - 1: "the last layer"}
        place = Place(
            name.get(i, f"layer {i + 1}"),
            true if i == 0 else false, tuple(below), tuple(above),
        )  # fmt: skip
        result[own].insert(0, place)
        below[own] += 1
    return result


def _symbolic_places(total: Expr) -> list[Place]:
    only, others = Eq(total, 1), total - 1
    second = Piecewise((S.Zero, only), (S.One, True))
    return [
        Place("the last layer", only, (others,), (S.Zero,)),
        Place("the second layer", only, (second,), (others - second,)),
        Place("the first layer", true, (S.Zero,), (others,)),
    ]


def extremes(places: Sequence[Place]) -> list[Place]:
    """Leave out what lies halfway between two others: what rises to it falls after."""

    def halfway(before, here, after):
        return all(
            x - y == y - z
            for x, y, z in zip(before.below, here.below, after.below, strict=True)
        )

    triples = zip(places, places[1:], places[2:], strict=False)
    inner = [each[1] for each in triples if not halfway(*each)]
    return [*places[:1], *inner, *places[1:][-1:]]


class TrainingTimeline(Timeline):
    """A timeline of kinds of layers that keep tensors until the backward.

    In the forward the layer that is run stands for the last one of its kind. In the
    backward what is saved below falls and what has a gradient above rises, layer by
    layer. So of layers between which nothing else changes those at the ends are the
    peak of all.
    """

    def __init__(self, kinds: Sequence[Layers], accumulates: bool = False):
        super().__init__([Group(each.count, ()) for each in kinds])
        self.places = places_of(kinds)
        self.accumulates = accumulates
        self.turned: int | None = None
        self.saved: dict[Storage, object] = {}
        self.savers: dict[Storage, frozenset[int]] = {}
        self.held: dict[Storage, object] = {}
        self.gradients: dict[Storage, Activation] = {}

    def is_first(self, number: int):
        return FIRST if number == 1 else false

    def turn(self, tape) -> None:
        """Begin the backward; the graph tells what a layer has saved.

        Beside it a layer has held copies of its parameters, until now.
        """
        graph, copies = tape.graph, tape.copies.values()
        self.turned = len(self.moments)
        self.held = {
            storage: true
            for copy in copies
            for storage, _ in copy.memory
            if storage.group
        }
        holders = [(node.scope, node.saved) for node in graph.nodes]
        holders += [(frame.scope, frame.tensors) for frame in graph.frames]
        for scope, tensors in holders:
            for tensor in tensors if scope.group else ():
                for storage, condition in tensor.memory:
                    known = self.saved.get(storage, false)
                    self.saved[storage] = Or(known, condition)
                    savers = self.savers.get(storage, frozenset())
                    self.savers[storage] = savers | {scope.group}
        self.held = self.saved | self.held
        tape.copies.clear()

    def keep_gradient(self, tensor: Activation) -> None:
        """Hold a parameter's gradient; one that is added to another is let go."""
        if not self.accumulates:
            ((storage, _),) = tensor.memory
            self.gradients[storage] = tensor

    def ledgers(self, symbols) -> dict[str, Ledger]:
        result = {}
        for index, moment in enumerate(self.moments):
            for place in self._places(index, moment):
                name, count = moment.name + place.name, 1
                while name in result:
                    count += 1
                    name = f"{moment.name}{place.name} ({count})"
                rows = self._rows_at(moment, place, self._is_forward(index))
                result[name] = Ledger(rows, symbols)
        return result

    def _is_forward(self, index: int) -> bool:
        return self.turned is None or index < self.turned

    def _places(self, index: int, moment: Moment) -> Iterable[Place]:
        forward = self._is_forward(index)
        if moment.group and forward:
            place = self.places[moment.group - 1][0]
            name = f", {place.name}" if len(self.groups) > 1 else ""
            return [replace(place, name=name)]
        if moment.group:
            return self._backward_places(moment)
        none = tuple(S.Zero for _ in self.groups)
        others = tuple(each.count - 1 for each in self.groups)
        first = Eq(self.groups[0].count, 1)
        if forward:
            return [Place("", first, others if moment.entered else none, none)]
        if any(each.group for each in self.moments[index:]):
            return [Place(", backward", first, others, none)]
        return [Place(", backward", first, none, others)]

    def _backward_places(self, moment: Moment) -> Iterator[Place]:
        """Give the ends of each run of layers below which the same things are held."""
        missing = {
            kinds
            for storage, kinds in self.savers.items()
            if not storage.group and moment.alive.get(storage, false) != true
        }
        for place in self._ends(moment.group, frozenset(missing)):
            yield replace(place, name=f", backward of {place.name}")

    @cache  # noqa: B019
    def _ends(self, kind: int, missing: frozenset) -> list[Place]:
        runs: dict[tuple, list[Place]] = {}
        for place in self.places[kind - 1]:
            held = tuple(place.holds(each) for each in missing)
            runs.setdefault(held, []).append(place)
        return [place for run in runs.values() for place in extremes(run)]

    def _rows_at(self, moment: Moment, place: Place, forward) -> Iterator[Tensor]:
        counts: dict[Storage, Expr] = {}
        held, alive = (self.held if forward else self.saved), {}
        for storage, condition in moment.alive.items():
            if not self._is_elsewhere(storage, moment, held):
                alive[storage] = condition
        for storage, condition in held.items():
            if not storage.group:
                below = place.holds(self.savers[storage])
                alive[storage] = Or(alive.get(storage, false), below)
            elif copies := place.copies(storage):
                counts[storage] = copies * number(_at(condition, false))
        for storage, condition in alive.items():
            once = number(_at(condition, place.first))
            counts[storage] = counts.get(storage, S.Zero) + once
        for storage in () if forward else self.gradients:
            if storage.group:
                above = place.above[storage.group - 1]
                counts[storage] = counts.get(storage, S.Zero) + above
        for storage, count in counts.items():
            if count != 0:
                yield _row(storage, count)

    def _is_elsewhere(self, storage: Storage, moment: Moment, held) -> bool:
        """Whether the layer of another kind holds it, which is counted by itself."""
        if not moment.group or storage.group in (0, moment.group):
            return False
        return storage in held or storage in self.gradients


@cache
def _at(condition, first):
    return condition.subs(FIRST, first)


@cache
def _some(counts: tuple):
    return Or(*(~Eq(each, 0) for each in counts))


@lru_cache(maxsize=4096)
def _row(storage: Storage, count) -> Tensor:
    return row(storage, count)
