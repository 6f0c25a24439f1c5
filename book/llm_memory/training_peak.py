"""The peak of a training step: forward, loss, backward and optimizer step."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from sympy import Eq, Expr, Max, Or, S, Symbol, false, true

from .backward import backward
from .errors import ConfigError, choose
from .families import forward
from .layers import Layers
from .ledger import Ledger, Tensor
from .loss import LOSSES
from .operations import Activation, Run, Storage
from .peak import Peak
from .symbols import b, s
from .timeline import Group, Moment, Timeline, number, row
from .training import training_states

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
FIRST = Symbol("first layer")
"""Whether the layer that is run is the model's first."""


class TrainingTimeline(Timeline):
    """A timeline of one group of layers that keep tensors until the backward.

    The layer that is run stands for the last one in the forward. In the backward it
    stands for the last one and for the first one: between the two, what is saved below
    falls and what has a gradient above rises, layer by layer, so that one of them is
    the peak of all.
    """

    def __init__(self, layers: Expr):
        super().__init__([Group(layers, (layers - 1,))])
        self.layers = layers
        self.turned: int | None = None
        self.saved: dict[Storage, object] = {}
        self.gradients: list[Activation] = []

    def is_first(self, number: int):
        return FIRST

    def turn(self, graph) -> None:
        """Begin the backward; the graph tells what a layer has saved."""
        self.turned = len(self.moments)
        holders = [(node.scope, node.saved) for node in graph.nodes]
        holders += [(frame.scope, frame.tensors) for frame in graph.frames]
        for scope, tensors in holders:
            for tensor in tensors if scope.group else ():
                for storage, condition in tensor.memory:
                    known = self.saved.get(storage, false)
                    self.saved[storage] = Or(known, condition)

    def keep_gradient(self, tensor: Activation, group: int) -> None:
        """Hold a parameter's gradient, for each layer if it belongs to one."""
        self.gradients.append(tensor)

    def ledgers(self, symbols) -> dict[str, Ledger]:
        result = {}
        for index, moment in enumerate(self.moments):
            for place, first, below, above in self._places(index, moment):
                name, count = moment.name + place, 1
                while name in result:
                    count += 1
                    name = f"{moment.name}{place} ({count})"
                rows = self._rows_at(moment, first, below, above)
                result[name] = Ledger((r for r in rows if r.count != 0), symbols)
        return result

    def _places(self, index: int, moment: Moment) -> Iterator[tuple]:
        """Give for a moment: where, whether it is the first layer, layers below, above.

        Below are those that hold what they saved, above those that have gradients.
        """
        others = self.layers - 1
        only = Eq(self.layers, 1)
        if self.turned is None or index < self.turned:
            yield "", only, others if moment.entered else S.Zero, S.Zero
        elif moment.group:
            yield ", backward of the last layer", only, others, S.Zero
            yield ", backward of the first layer", true, S.Zero, others
        elif any(each.group for each in self.moments[index:]):
            yield ", backward", only, others, S.Zero
        else:
            yield ", backward", only, S.Zero, others

    def _rows_at(self, moment: Moment, first, below, above) -> Iterator[Tensor]:
        lowest = Or(false, Eq(Max(below, 0), 0))
        alive = dict(moment.alive)
        for storage, condition in self.saved.items():
            if not storage.group:
                alive[storage] = Or(alive.get(storage, false), ~lowest)
            else:
                copies = Max(below - 1, 0) if storage.carried else below
                holds = true if storage.carried else _at(condition, first)
                yield row(storage, copies * number(holds))
        for storage, condition in alive.items():
            yield row(storage, number(_at(condition, first)))
        for tensor in self.gradients:
            ((storage, _),) = tensor.memory
            if storage.group:
                yield row(storage, above)


def _at(condition, first):
    return condition.subs(FIRST, first)


def training_peak(
    model,
    attention: str = "eager",
    recompute: str = "none",
    precision: str = "bf16",
    profile: str = "transformers",
    loss: str = "plain",
) -> Peak:
    layers = sum(each.count for each in model.layers)
    uniform = replace(model, layers=(Layers(layers),))
    timeline = TrainingTimeline(layers)
    tape = forward(uniform, run=Run(attention, precision, profile, recompute != "core_attention", recompute=recompute), timeline=timeline)
    result = choose("loss", loss, LOSSES)(tape, tape.output)
    timeline.turn(tape.graph)
    backward(tape)
    del result
    return Peak(timeline.ledgers((b, s)))
