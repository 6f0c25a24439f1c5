"""What is alive after each kernel of a forward.

A tensor lives as long as a Python variable refers to it. That holds in the framework,
and it holds on the tape: a family's forward names its variables as the framework's
modules do, so the two release their tensors at the same moments. Nothing is inferred.

Of layers that are alike the last one is run. What those before it keep is counted as
often as there are such layers; so is what those after it found.
"""

import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sympy import Eq, Expr, Integer, Or, Piecewise, S, false, true
from sympy.logic.boolalg import Boolean

from .ledger import Ledger, Tensor
from .operations import Activation, Storage


@dataclass(frozen=True)
class Moment:
    """The storages alive after a kernel, and the group of layers that it ran in.

    `entered` counts the groups of layers that have begun.
    """

    name: str
    alive: dict[Storage, Boolean]
    group: int
    entered: int


@dataclass
class Group:
    """Layers that are alike.

    Attributes:
        count: how many there are.
        earlier: per group, its layers before the one that is run.
        kept: what such a layer leaves behind.
        found: what it finds in the cache, and the moment at which that is released.
    """

    count: Expr
    earlier: tuple[Expr, ...]
    kept: list[Activation] = field(default_factory=list)
    found: dict[Storage, int] = field(default_factory=dict)


def ordered(layers: Iterable) -> tuple[list, list[Group]]:
    """Sort a model's groups of layers by their last layers, and count what is earlier.

    >>> from llm_memory import load_model
    >>> _, groups = ordered(load_model("Gemma-2-9B").layers)
    >>> [group.earlier for group in groups]
    [(20, 20), (21, 20)]
    """
    layers = list(layers)
    if any(each.positions is None for each in layers):
        before = [tuple(each.count for each in layers[:i]) for i in range(len(layers))]
        earlier = [
            (*counts, layers[i].count - 1, *(S.Zero for _ in layers[i + 1 :]))
            for i, counts in enumerate(before)
        ]
    else:
        layers.sort(key=lambda each: max(each.positions))
        earlier = [
            tuple(
                Integer(sum(i < max(here.positions) for i in each.positions))
                for each in layers
            )
            for here in layers
        ]
    groups = [
        Group(each.count, counts) for each, counts in zip(layers, earlier, strict=True)
    ]
    return layers, groups


class Timeline:
    """Records the storages alive after each kernel that makes one."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self.groups = list(groups)
        self.moments: list[Moment] = []
        self._alive: dict[int, tuple] = {}
        self._entered = 0

    def enter(self, number: int) -> None:
        """Begin with the layers of group `number` (the first is 1)."""
        self._entered = number

    def is_first(self, number: int) -> Boolean:
        """Return whether the layer of a group that is run is the model's first."""
        return Eq(sum(self.groups[number - 1].earlier, S.One), 1)

    def watch(self, tensor: Activation) -> Activation:
        """Count a tensor for as long as something refers to it."""
        self._alive[id(tensor)] = tensor.memory
        weakref.finalize(tensor, self._alive.pop, id(tensor))
        return tensor

    def keep(self, tensor: Activation, number: int) -> None:
        """Hold a tensor to the end, for each layer of a group."""
        self.groups[number - 1].kept.append(tensor)

    def find(self, tensor: Activation, number: int) -> Activation:
        """Count a tensor that was there before, until nothing refers to it."""
        ((storage, _),) = tensor.memory
        found = self.groups[number - 1].found
        weakref.finalize(tensor, lambda: found.__setitem__(storage, len(self.moments)))
        return tensor

    def record(self, name: str, group: int) -> None:
        """Note what is alive after the kernel `name`."""
        alive: dict[Storage, Boolean] = {}
        for memory in self._alive.values():
            for storage, condition in memory:
                alive[storage] = Or(alive.get(storage, false), condition)
        self.moments.append(Moment(name, alive, group, self._entered))

    def ledgers(self, symbols: Iterable) -> dict[str, Ledger]:
        """Return the ledger of each moment, by a name of its own."""
        result = {}
        for index, moment in enumerate(self.moments):
            name, number = moment.name, 1
            while name in result:
                number += 1
                name = f"{moment.name} ({number})"
            rows = [row for row in self._rows(index, moment) if row.count != 0]
            result[name] = Ledger(rows, symbols)
        return result

    def _rows(self, index: int, moment: Moment) -> Iterator[Tensor]:
        for storage, condition in moment.alive.items():
            yield row(storage, number(condition))
        for place, group in enumerate(self.groups, 1):
            is_here = place == moment.group
            earlier = self._earlier(place, moment)
            has_run = int(place <= moment.entered and not is_here)
            for tensor in group.kept:
                for storage, condition in tensor.memory:
                    yield row(storage, (earlier - has_run) * number(condition))
            for storage, released in group.found.items():
                still = group.count - earlier - int(is_here and index >= released)
                yield row(storage, still)

    def _earlier(self, place: int, moment: Moment) -> Expr:
        """Return how many layers of a group were done before a moment."""
        if moment.group:
            return self.groups[moment.group - 1].earlier[place - 1]
        return self.groups[place - 1].count if moment.entered else S.Zero


def row(storage: Storage, count: Expr) -> Tensor:
    """Return a storage as a ledger's row."""
    return Tensor(storage.name, storage.shape, storage.dtype, count, storage.part)


def number(condition: Boolean) -> Expr:
    """Return 1 where a condition holds, and 0 elsewhere."""
    if condition == true:
        return Integer(1)
    return Piecewise((S.One, condition), (S.Zero, True))
