"""Data-parallel ranks: a rank's share of a tensor, and the buffers of communication."""

from collections.abc import Iterable, Iterator
from math import prod

from sympy import Add, Expr, Integer, Max, Min, S, ceiling

from .adapters import Member
from .errors import ConfigError
from .ledger import Tensor


def share(shape: tuple[Expr, ...], ranks: Expr, zero: int) -> tuple[Expr, ...]:
    """Return the shape of the fullest rank's share of a tensor.

    >>> share((S(10), S(3)), S(4), zero=3), share((S(10), S(3)), S(4), zero=1)
    ((3, 3), (8,))
    """
    if ranks == 1 or not shape:
        return shape
    if zero == 3:
        return (ceiling(shape[0] / ranks), *shape[1:])
    return (ceiling(prod(shape, start=S.One) / ranks),)


def transients(
    found: list[Member], kinds, zero: int, ranks: Expr, prefetch: int, views: bool
) -> Iterator[Tensor]:
    """Give the buffers of communication; with one rank there are none.

    Units are each layer, and the root: all that is outside of the layers.

    Stage 0: DDP's buckets hold every gradient once more, unless gradients are views.
    Stages 1, 2: a bucket for the gradients of the largest unit.
    Stage 3: what FSDP2 holds when the backward of a layer has just ended: the root,
    that layer and the next ones gathered; the layer's gradients; and those of the
    root that exist by then. Or when the backward of the root has ended, if that is
    more. The reduction that follows holds as much: the gradients' copy takes the
    place of the gathered weights.
    """
    several = Min(ranks - 1, 1)
    in_place = views or kinds.buffered

    def buffer(name, elements, kind, count=1):
        return Tensor(name, (elements,), kind, several * count, "transient")

    gradient = kinds.grad or kinds.main_grad
    if zero == 0 and not in_place:
        whole = (each.elements * each.parameter.count for each in _trained(found))
        yield buffer("DDP's buckets", Add(*whole), gradient)
    if zero == 2 or (zero == 1 and not in_place):
        sizes = (_size(_trained(unit)) for unit in _units(found).values())
        yield buffer("bucket", Max(*sizes), gradient)
    if zero < 3:
        return
    root, layer = _units(found)[0], _largest_layer(found)
    ahead, late = (1 + prefetch) * _size(layer), _late(found)
    excess = _size(_trained(root)) - ahead - _size(_trained(layer)) - _size(late)
    yield buffer("gathered root", _padded(root, ranks), kinds.compute)
    if excess.is_positive:
        yield buffer("gradients of the root", _size(_trained(root)), kinds.compute)
        return
    gathered = _padded(layer, ranks)
    yield buffer("gathered layers", gathered, kinds.compute, 1 + prefetch)
    yield buffer("gradients of the root", _size(late), kinds.compute)
    yield buffer("gradients of a layer", _size(_trained(layer)), kinds.compute)


def _trained(unit: Iterable[Member]) -> list[Member]:
    return [member for member in unit if member.trained]


def _size(unit: Iterable[Member]) -> Expr:
    """Return the elements of one such unit: one layer, or the root."""
    return Add(*(member.elements for member in unit))


def _padded(unit: Iterable[Member], ranks: Expr) -> Expr:
    """Return the elements of a unit whose tensors are `ranks` equal shares each."""
    shares = (share(member.parameter.shape, ranks, 3) for member in unit)
    return Add(*(ranks * prod(shape, start=S.One) for shape in shares))


def _units(found: list[Member]) -> dict[int, list[Member]]:
    """Return the members of each unit; 0 is the root, others groups of layers."""
    units: dict[int, list[Member]] = {0: []}
    for member in found:
        units.setdefault(member.group, []).append(member)
    return units


def _largest_layer(found: list[Member]) -> list[Member]:
    """Return the members of one layer, of the group whose layers are largest."""
    sizes = {g: _size(unit) for g, unit in _units(found).items() if g}
    numbers = all(isinstance(size, Integer) for size in sizes.values())
    if len(set(sizes.values())) > 1 and not numbers:
        rule = "needs numbers where layers differ: the largest is what ranks gather"
        raise ConfigError("zero", 3, rule)
    return _units(found)[max(sizes, key=lambda group: (sizes[group], -group))]


def _late(found: list[Member]) -> list[Member]:
    """Return the root's members that have a gradient once the layers' backward runs.

    These are what comes after the layers, and an embedding that is also the head.
    """
    first = next(index for index, each in enumerate(found) if each.group)
    roles = {each.parameter.role for each in found}
    return [
        each
        for index, each in enumerate(found)
        if each.trained
        and not each.group
        and (
            index > first
            or (each.parameter.role == "embedding" and "head" not in roles)
        )
    ]
