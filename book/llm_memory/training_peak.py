"""The peak of a training step: forward, loss, backward and optimizer step."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import count

from sympy import Eq, Expr, Max, Or, S, Symbol, false, true

from .activations import adapters_of, check_described
from .adapters import ALL_LINEAR
from .backward import backward
from .dominance import undominated
from .errors import ConfigError, choose
from .families import forward
from .layers import Layers, first_layers
from .ledger import Ledger, Tensor
from .loss import LOSSES
from .operations import Activation, Run, Storage
from .peak import Peak
from .symbols import b, s
from .timeline import Group, Moment, Timeline, number, row
from .training import training_states

FAMILIES = (
    "llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "gpt2", "mixtral",
    "qwen3_moe",
)  # fmt: skip
ADAPTED = FAMILIES[:-2]  # without routed experts
KERNELS = ("eager", "flash", "efficient", "math")
RECOMPUTE = ("none", "full", "core_attention", "matmuls")
IMPLEMENTATIONS = ("foreach", "fused")
RECIPES = {"bf16": "bf16", "autocast": "autocast"}
MICRO_STEPS = {"first": False, "later": True}
SECOND_MOMENT = ".exp_avg_sq"
FIRST = Symbol("first layer")
"""Whether the layer that is run is the model's first."""


@dataclass(frozen=True)
class Place:
    """Where in the model the layer that is run stands.

    Attributes:
        name: is added to a moment's.
        first: whether the layer is the model's first.
        below, above: layers that hold what they saved, and that have gradients.
        own: whether a layer below, if there is one, reads the same rotary tables.
        other: whether it or a layer below reads the tables of layers of another kind.
    """

    name: str
    first: object
    below: Expr = S.Zero
    above: Expr = S.Zero
    own: bool = True
    other: bool = True


class TrainingTimeline(Timeline):
    """A timeline of one group of layers that keep tensors until the backward.

    The layer that is run stands for the last one in the forward. In the backward it
    stands for the last one and for the first one: between the two, what is saved below
    falls and what has a gradient above rises, layer by layer, so that one of them is
    the peak of all. Where layers of a second kind, of which the lowest is number
    `second`, have rotary tables of their own, it stands for those around that layer
    too, as it lets go of the tables.
    """

    def __init__(
        self, layers: Expr, accumulates: bool = False, second: int | None = None
    ):
        super().__init__([Group(layers, (layers - 1,))])
        self.layers = layers
        self.second = second
        self.tables: list[tuple[Storage, ...]] = []
        self.accumulates = accumulates
        self.turned: int | None = None
        self.saved: dict[Storage, object] = {}
        self.held: dict[Storage, object] = {}
        self.gradients: list[Activation] = []

    def is_first(self, number: int):
        return FIRST

    def turn(self, tape) -> None:
        """Begin the backward; the graph tells what a layer has saved.

        Beside it a layer has held copies of its parameters, until now.
        """
        graph, copies, self.tables = tape.graph, tape.copies.values(), tape.tables
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
        self.held = self.saved | self.held
        tape.copies.clear()

    def keep_gradient(self, tensor: Activation) -> None:
        """Hold a parameter's gradient; one that is added to another is let go."""
        if not self.accumulates:
            self.gradients.append(tensor)

    def ledgers(self, symbols) -> dict[str, Ledger]:
        result = {}
        for index, moment in enumerate(self.moments):
            for place in self._places(index, moment):
                name, count = moment.name + place.name, 1
                while name in result:
                    count += 1
                    name = f"{moment.name}{place.name} ({count})"
                rows = self._rows_at(moment, place, self._is_forward(index))
                result[name] = Ledger((r for r in rows if r.count != 0), symbols)
        return result

    def _is_forward(self, index: int) -> bool:
        return self.turned is None or index < self.turned

    def _places(self, index: int, moment: Moment) -> Iterator[Place]:
        others = self.layers - 1
        only = Eq(self.layers, 1)
        if self._is_forward(index):
            yield Place("", only, others if moment.entered else S.Zero)
        elif moment.group:
            own = self.second != others
            yield Place(", backward of the last layer", only, others, own=own)
            if self.second:
                yield from self._around(self.second)
            name = ", backward of the first layer"
            yield Place(name, true, above=others, other=False)
        elif any(each.group for each in self.moments[index:]):
            yield Place(", backward", only, others)
        else:
            yield Place(", backward", only, above=others, other=False)

    def _around(self, second: int) -> Iterator[Place]:
        """Give the lowest layer of the second kind, the one above, the one below."""
        for below in (second + 1, second, second - 1):
            above = self.layers - 1 - below
            if below > 0 and above > 0:
                own, other = below != second, below >= second
                name = f", backward of layer {below + 1}"
                yield Place(name, false, S(below), above, own, other)

    def _rows_at(self, moment: Moment, place: Place, forward) -> Iterator[Tensor]:
        first, below, above = place.first, place.below, place.above
        own, *others = self.tables or ((),)
        lowest = Or(false, Eq(Max(below, 0), 0))
        alive = dict(moment.alive)
        if place.other and not forward:
            alive |= dict.fromkeys(sum(others, ()), true)
        for storage, condition in (self.held if forward else self.saved).items():
            if not storage.group:
                stays = place.own or storage not in own
                below_holds = ~lowest if stays else false
                alive[storage] = Or(alive.get(storage, false), below_holds)
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


@cache
def _at(condition, first):
    return condition.subs(FIRST, first)


def training_peak(
    model,
    attention: str = "eager",
    recompute: str = "none",
    precision: str = "bf16",
    profile: str = "transformers",
    loss: str = "plain",
    optimizer: str = "adamw",
    implementation: str = "foreach",
    step: str = "first",
    micro_step: str = "first",
    chunks: int | None = None,
    frozen: bool = False,
    lora: int | None = None,
    targets: "str | Iterable[str]" = ALL_LINEAR,
    lora_dropout: float = 0,
    adapters: str = "fp32",
) -> Peak:
    """Return the peak of a training step: forward, loss, backward, optimizer step.

    In are weights, gradients and optimizer states as far as they exist at a moment; out
    is what the caller passes in: token ids, labels, the attention mask. The model's
    output, logits included, is held until the backward ends.

    Args:
        model: a `Model` of LLaMA, Mistral, Qwen2, Qwen3, Gemma 2, Gemma 3, GPT-2,
            Mixtral or Qwen3 MoE, of the latter with routed experts in every layer.
        attention: the kernel, "eager", "flash", "efficient" or, without autocast,
            "math"; "eager" alone caps scores, as Gemma 2 does.
        recompute: "none", "full", "core_attention" or "matmuls", as in
            `layer_activations`.
        precision: "bf16": weights, gradients and optimizer states; or "autocast", of
            the forward over such ones in fp32, not of GPT-2. Autocast keeps its bf16
            copies of the weights until the forward ends, recomputed or not.
        profile: "transformers", as its modules are written.
        loss: the loss head, a name in `LOSSES` of `llm_memory.loss`; "plain" alone
            caps logits.
        optimizer: a name in `OPTIMIZERS`, or "none": forward and backward alone.
        implementation: "foreach" makes the square roots of all second moments at once;
            "fused" makes nothing.
        step: "first", whose optimizer states appear in its optimizer step, or "later".
        micro_step: "first", which finds no gradients, or "later", which adds to those
            that are there.
        chunks: how many chunks a chunked loss divides the tokens into.
        frozen, lora, targets, lora_dropout, adapters: what is trained, in bf16 and
            without routed experts. As in `training_activations`, a gradient of the
            embedding's output is asked for. Where there are no adapters it is the only
            one, and optimizer="none".

    Returns:
        A peak with the free symbols b and s, in bytes.

    Raises:
        ConfigError: an unknown choice, or a family or combination not derived yet.

    >>> from llm_memory import load_model
    >>> peak = training_peak(load_model("Qwen3-0.6B"), "flash", optimizer="none")
    >>> peak.evaluate(b=1, s=64)
    3025977352
    """
    steps = choose("step", step, {"first": False, "later": True})
    later = choose("micro_step", micro_step, MICRO_STEPS)
    choose("implementation", implementation, dict.fromkeys(IMPLEMENTATIONS))
    trained = {"lora": lora, "targets": targets}
    every = training_moments(
        model, attention, recompute, precision, profile, loss, micro_step, chunks,
        frozen, **trained, lora_dropout=lora_dropout, adapters=adapters,
    )  # fmt: skip
    if lora is None:
        states = _states(model, RECIPES[precision], optimizer, frozen)
    else:
        states = _states(model, adapters, optimizer, base="bf16", **trained)
    before = states.select(part="weights")
    if steps:
        before += states.select(part="optimizer")
    if later:
        before += states.select(part="gradients")
    moments = {name: before + each for name, each in undominated(every).items()}
    if optimizer != "none":
        moments["optimizer step"] = Ledger(
            (*states, *_transients(states, optimizer, implementation)), (b, s)
        )
    return Peak(moments)


def training_moments(
    model,
    attention: str = "eager",
    recompute: str = "none",
    precision: str = "bf16",
    profile: str = "transformers",
    loss: str = "plain",
    micro_step: str = "first",
    chunks: int | None = None,
    frozen: bool = False,
    lora: int | None = None,
    targets: "str | Iterable[str]" = ALL_LINEAR,
    lora_dropout: float = 0,
    adapters: str = "fp32",
) -> dict[str, Ledger]:
    """Return what is alive after each kernel of a forward and backward, in order.

    Left out is what was there before: weights, optimizer states, the gradients of
    earlier micro-steps. Of layers that are alike the forward gives the last one, the
    backward the last one and the first one in turn. Arguments and errors are those of
    `training_peak`.

    Returns:
        Name → ledger, with the free symbols b and s.

    >>> from llm_memory import load_model
    >>> moments = training_moments(load_model("Qwen3-0.6B"), "flash")
    >>> len(moments), moments["lm_head"].evaluate(b=1, s=64)
    (318, 148757408)
    """
    run = _run(model, attention, recompute, precision, profile, loss, frozen, lora)
    chosen = adapters_of(model, lora, targets, lora_dropout, adapters)
    run = replace(run, frozen=frozen or chosen is not None, adapters=chosen)
    later = choose("micro_step", micro_step, MICRO_STEPS)
    timeline = _timeline(model, run, _loss(loss, chunks), later)
    return timeline.ledgers((b, s))


def _run(model, attention, recompute, precision, profile, loss, frozen, lora) -> Run:
    allowed = {
        "model_type": (model.model_type, FAMILIES),
        "attention": (attention, KERNELS),
        "recompute": (recompute, RECOMPUTE),
        "precision": (precision, tuple(RECIPES)),
        "profile": (profile, ("transformers",)),
        "loss": (loss, ("plain",) if model.caps.get("logits") else tuple(LOSSES)),
    }
    if model.family == "gpt2":  # whose softmax autocast would widen
        allowed["precision"] = (precision, ("bf16",))
    if precision == "autocast":
        allowed["attention"] = (attention, KERNELS[:-1])
    if model.caps.get("scores"):
        allowed["attention"] = (attention, ("eager",))
    if not isinstance(frozen, bool):
        raise ConfigError("frozen", frozen, "must be True or False")
    if frozen or lora is not None:
        allowed |= {
            "model_type": (model.model_type, ADAPTED),
            "recompute": (recompute, RECOMPUTE[:-1]),
            "precision": (precision, ("bf16",)),
        }
    for argument, (value, derived) in allowed.items():
        if value not in derived:
            rule = f"its peak is not derived yet; there are: {', '.join(derived)}"
            raise ConfigError(argument, value, rule)
    kinds = {layers.sparse for layers in model.layers}
    if len(kinds) > 1:
        rule = "its peak is not derived yet: it has dense layers and sparse ones"
        raise ConfigError("model", model.name, rule)
    if True in kinds:
        check_described(model, recompute, precision, profile)
    if recompute == "matmuls" and attention != "flash":
        rule = "is described with attention='flash' only"
        raise ConfigError("recompute", recompute, rule)
    core = recompute != "core_attention"
    head = loss == "plain"
    return Run(attention, precision, profile, core, recompute=recompute, head=head)


def _loss(loss: str, chunks):
    """Return the function that runs a loss head on a tape and a model."""
    needed = loss == "chunked"
    if needed != (chunks is not None):
        raise ConfigError("chunks", chunks, "belongs to loss='chunked', which needs it")
    if needed and (type(chunks) is not int or chunks < 1):
        raise ConfigError("chunks", chunks, "must be an integer >= 1")
    return partial(LOSSES[loss], chunks=chunks)


def _states(
    model, recipe: str, optimizer: str, frozen: bool = False, **trained
) -> Ledger:
    if frozen and optimizer != "none":
        rule = "must be 'none' with frozen=True and no adapters: nothing is trained"
        raise ConfigError("optimizer", optimizer, rule)
    if optimizer != "none":
        return training_states(model, recipe, optimizer, **trained)
    states = training_states(model, recipe, "sgd", **trained)
    kept = states.select(part="weights")
    return kept if frozen else kept + states.select(part="gradients")


def _transients(states: Ledger, optimizer: str, implementation: str):
    """Give what an optimizer step makes beside its states."""
    if implementation == "fused":
        return
    if optimizer != "adamw":
        rule = f"is described for adamw; give implementation='fused' with {optimizer}"
        raise ConfigError("implementation", implementation, rule)
    for each in states.select(part="optimizer"):
        if each.name.endswith(SECOND_MOMENT):
            name = each.name.removesuffix(SECOND_MOMENT) + ".square_root"
            yield replace(each, name=name, part="optimizer step")


def _second(model) -> int | None:
    """Return the lowest layer whose rotary tables are not those of layer 0, if any.

    Raises:
        ConfigError: a symbolic model, whose order of layers is not known.
    """
    if not model.tables_by_type or len(model.layers) == 1:
        return None
    return next(number for number in count(1) if all(first_layers(model, number + 1)))


def _timeline(model, run: Run, loss, accumulates: bool) -> TrainingTimeline:
    """Run forward, loss and backward, all layers being alike but for windows."""
    layers, second = sum(each.count for each in model.layers), _second(model)
    timeline = TrainingTimeline(layers, accumulates, second)
    run = replace(run, tables=2 if second else 1)
    alike = Layers(layers, sparse=model.layers[0].sparse)
    uniform = replace(model, layers=(alike,))
    tape = forward(uniform, run=run, timeline=timeline)
    result = loss(tape, uniform)
    timeline.turn(tape)
    backward(tape)
    del result
    return timeline
