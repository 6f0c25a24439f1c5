"""Activations of training: what a forward keeps for its backward."""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from sympy import Or, S, expand, prod

from . import fields
from .adapters import ALL_LINEAR, members
from .errors import ConfigError, choose
from .families import forward
from .functions import FUNCTIONS, ONE_KERNEL
from .kernels import KERNELS, check_kernel
from .ledger import Ledger, Tensor
from .loss import KEPT
from .low_rank import Adapters
from .operations import Run
from .symbols import b, s
from .tape import Tape
from .timeline import number

RECOMPUTE = ("none", "full", "core_attention", "matmuls")
PRECISIONS = ("bf16", "autocast")
PROFILES = ("transformers", "fused")
ADAPTERS = ("fp32", "bf16")
OUTSIDE = "outside the layers"
REST = ", the rest"  # of a tensor of which a view is saved


def layer_activations(
    model,
    attention: str = "eager",
    recompute: str = "none",
    precision: str = "bf16",
    profile: str = "transformers",
    frozen: bool = False,
    sparse: bool | None = None,
    lora: int | None = None,
    targets: "str | Iterable[str]" = ALL_LINEAR,
    lora_dropout: float = 0,
    adapters: str = "fp32",
) -> Ledger:
    """Return what one decoder layer keeps for the backward, in training.

    Left out are parameters, the attention mask and the rotary tables.

    Args:
        model: a `Model` of a family whose layer is described: GPT-2, LLaMA, Mistral,
            Qwen2, Qwen3, Phi-3, Gemma 2, Gemma 3, GLM-4, OPT, Mixtral, Qwen3 MoE,
            gpt-oss, DeepSeek-V2, DeepSeek-V3.
        attention: the kernel, "eager", "flash", "efficient" or "math"; "eager" alone
            caps scores, as Gemma 2 does, and has sinks, as gpt-oss does.
        recompute: "none"; "full", each layer from its input; "core_attention", all
            between queries, keys, values and the output; "matmuls", everything but
            the results of matrix products and of flash attention.
        precision: "bf16", or "autocast" over fp32 parameters.
        profile: "transformers", as its modules are written; "fused", with norms and
            gated MLPs that keep only their inputs.
        frozen: the weights have no gradients: a matrix then saves no input.
        sparse: of a model with both, whether the layer has routed experts.
        lora, targets: adapters around frozen weights, as in `training_states`. A
            gradient of the embedding's output is asked for, as checkpointing needs.
        lora_dropout: share of an adapter's input that is zeroed.
        adapters: the data type of their weights, to which they cast their input: "fp32"
            as peft has it over a 16-bit base, or "bf16".

    Returns:
        A ledger with the free symbols b and s.

    Raises:
        ConfigError: an unknown choice, a combination that does not exist, or a family
            whose layer is not described yet.

    >>> from llm_memory import symbolic
    >>> layer_activations(symbolic("llama"), recompute="full").bytes
    2*b*h*s
    """
    chosen = adapters_of(model, lora, targets, lora_dropout, adapters)
    tape = _tape(model, attention, recompute, precision, profile, frozen, chosen)
    group = _group(model, sparse)
    return Ledger(_layer_rows(tape, group, recompute, count=S.One), symbols=(b, s))


def _group(model, sparse: bool | None) -> int:
    """Return the number of the first group of layers of a kind, as on the tape."""
    kinds = [layers.sparse for layers in model.layers]
    if sparse is None and len(set(kinds)) == 1:
        return 1
    if sparse not in kinds:
        have = " and ".join(str(each) for each in sorted(set(kinds)))
        raise ConfigError("sparse", sparse, f"{model.name} has layers with {have}")
    return kinds.index(sparse) + 1


def training_activations(
    model,
    attention: str = "eager",
    recompute: str = "none",
    precision: str = "bf16",
    profile: str = "transformers",
    frozen: bool = False,
    loss: str = "plain",
    lora: int | None = None,
    targets: "str | Iterable[str]" = ALL_LINEAR,
    lora_dropout: float = 0,
    adapters: str = "fp32",
) -> Ledger:
    """Return what is alive after the whole forward: all layers, head and loss.

    Other arguments and errors are those of `layer_activations`.

    Args:
        loss: the loss head, a name in `KEPT` of `llm_memory.loss`, which says how each
            is written. "plain" keeps logits; "chunked" and "fused" do not, in chunks
            of any size. They are described with precision="bf16".

    >>> from llm_memory import load_model
    >>> model = load_model("Qwen3-0.6B")
    >>> for loss in "plain", "chunked", "fused":
    ...     ledger = training_activations(model, "flash", loss=loss)
    ...     ledger.parts["outside the layers"].evaluate(b=1, s=64)
    58901264
    557844
    311722242
    """
    kept = choose("loss", loss, KEPT)
    if loss != "plain" and precision != "bf16":
        raise ConfigError("loss", loss, "is described with precision='bf16' only")
    if loss != "plain" and model.caps.get("logits"):
        raise ConfigError("loss", loss, "does not cap logits; there is: plain")
    chosen = adapters_of(model, lora, targets, lora_dropout, adapters)
    head = loss == "plain"
    tape = _tape(model, attention, recompute, precision, profile, frozen, chosen, head)
    rows = [
        row
        for group in range(1, tape.groups + 1)
        for row in _layer_rows(tape, group, recompute)
    ]
    rows += _rows(tape, [each for each in tape.operations if each.group == 0])
    rows += _embedded(tape, recompute)
    rows += _positions(tape, recompute)
    rows += [replace(each, part=OUTSIDE) for each in kept(tape, model)]
    return Ledger(rows, symbols=(b, s))


def adapters_of(model, lora, targets, dropout, dtype) -> Adapters | None:
    """Return the adapters of a run, as `members` finds what they are around.

    Raises:
        ConfigError: naming what is wrong, or not derived.
    """
    choose("adapters", dtype, dict.fromkeys(ADAPTERS))
    if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise ConfigError("lora_dropout", dropout, "must be a number from 0 to below 1")
    if lora is None:
        if dropout or targets != ALL_LINEAR:
            rule = "must be a rank, an integer >= 1, where adapters are described"
            raise ConfigError("lora", lora, rule)
        return None
    if model.c_kv or any(layers.sparse for layers in model.layers):
        rule = "is not derived yet for routed experts or latent attention"
        raise ConfigError("lora", lora, rule)
    names = [each.parameter.name for each in members(model, lora, targets)]
    around = (name.rpartition(".lora_A.")[0] for name in names)
    return Adapters(frozenset(around) - {""}, lora, dropout, dtype)


def _tape(
    model, attention, recompute, precision, profile, frozen, adapters, head=True
) -> Tape:
    choose("attention", attention, KERNELS)
    choose("recompute", recompute, dict.fromkeys(RECOMPUTE))
    choose("precision", precision, dict.fromkeys(PRECISIONS))
    choose("profile", profile, dict.fromkeys(PROFILES))
    fields.check_derived(model.model_type, "activations", "its activations are")
    _check_function(model, precision)
    if recompute == "matmuls" and attention != "flash":
        rule = "is described with attention='flash' only"
        raise ConfigError("recompute", recompute, rule)
    check_kernel(model, attention)
    if model.c_kv or any(layers.sparse for layers in model.layers):
        check_described(model, recompute, precision, profile)
    if model.dropout.get("layer"):
        rule = "is not derived yet: a layer that is left out keeps nothing"
        raise ConfigError("layerdrop", model.dropout["layer"], rule)
    if precision == "autocast" and model.family == "gpt2":
        rule = "is not derived yet for gpt2, whose softmax autocast would widen"
        raise ConfigError("precision", precision, rule)
    if not isinstance(frozen, bool):
        raise ConfigError("frozen", frozen, "must be True or False")
    if adapters and recompute == "matmuls":
        rule = "is not derived yet with adapters"
        raise ConfigError("recompute", recompute, rule)
    frozen = frozen or adapters is not None
    if frozen and (precision, profile) != ("bf16", "transformers"):
        rule = "is derived for precision='bf16' and profile='transformers' only"
        raise ConfigError("frozen", frozen, rule)
    core = recompute != "core_attention"
    run = Run(
        attention, precision, profile, core,
        frozen=frozen, adapters=adapters, head=head,
    )  # fmt: skip
    return _forward(model, run)


@lru_cache(maxsize=2)
def _forward(model, run: Run) -> Tape:
    """Return a tape; one serves every way to recompute but "core_attention"."""
    return forward(model, run=run)


def _check_function(model, precision: str) -> None:
    """Refuse an activation function of which it is not known what it keeps.

    Raises:
        ConfigError: naming the field that has it.
    """
    if callable(model.activation):
        return
    name = fields.family(model.model_type).get("activation", "hidden_act")
    kernels = choose(name, model.activation, FUNCTIONS)
    if precision == "autocast" and kernels not in ONE_KERNEL:
        rule = "is not derived yet under autocast, which widens some of its kernels"
        raise ConfigError(name, model.activation, rule)


def check_described(model, recompute, precision, profile) -> None:
    """Refuse what is not derived for routed experts, and for latent attention.

    Raises:
        ConfigError: naming it.
    """
    for name, value, derived in (
        ("recompute", recompute, recompute != "matmuls"),
        ("precision", precision, precision == "bf16"),
        ("profile", profile, profile == "transformers"),
        ("output_router_logits", True, not model.router_loss),
        ("router_jitter_noise", "> 0", not model.dropout.get("router")),
    ):
        if not derived:
            rule = "is not derived yet for routed experts or latent attention"
            raise ConfigError(name, value, rule)


def _layer_rows(tape: Tape, group: int, recompute: str, count=None) -> list[Tensor]:
    inside = [each for each in tape.operations if each.group == group]
    times = inside[0].count if count is None else count
    source = _row(inside[0].inputs[0], times, "layer input")
    if recompute == "full":
        return [source]
    if recompute == "matmuls":
        return [source, *_rows(tape, inside, times, _kept_by_products)]
    return _rows(tape, inside, times)


def _kept_by_products(operation):
    if operation.kind == "linear":
        return (operation.output,)
    return operation.saved[3:] if operation.kind == "attention" else ()


def _rows(
    tape, operations, count=None, kept=lambda operation: operation.saved
) -> list[Tensor]:
    """Give each saved tensor once, as often as the operation that saves it runs.

    What may be a copy of a tensor that is saved, or a view of it, is given as a copy.
    """
    rows, seen, parts, whole = [], set(), {}, set()
    for operation in operations:
        for tensor in () if operation.kind == "rotate" else kept(operation):
            if tensor not in seen and tensor.memory[0][0] not in whole:
                times = operation.count if count is None else count
                if any(storage in whole for storage, _ in tensor.memory[1:]):
                    times *= number(tensor.memory[0][1])
                rows.append(_row(tensor, times, _part(operation)))
                seen.add(tensor)
                if tensor.shape == tensor.memory[0][0].shape:
                    whole.update(storage for storage, _ in tensor.memory[:1])
                for storage, holds in tensor.memory:
                    if storage in tape.parted:
                        found = parts.setdefault(storage, (rows[-1], []))
                        found[1].append((tensor.shape, holds))
    return rows + [
        row
        for storage, (first, views) in parts.items()
        for row in _rest(storage, first, views)
    ]


def _rest(storage, first: Tensor, views) -> list[Tensor]:
    """Give what is alive of a storage beside the saved views of it."""
    *tokens, width = storage.shape
    held = Or(*(holds for _, holds in views))
    seen = sum(prod(shape) / prod(tokens) * number(holds) for shape, holds in views)
    rest = expand(width * number(held) - seen)
    if all(holds == held for _, holds in views):
        rest = expand(width - sum(prod(shape) / prod(tokens) for shape, _ in views))
        rest *= number(held)
    if rest == 0:
        return []
    name = storage.name + REST
    return [Tensor(name, (*tokens, rest), storage.dtype, first.count, first.part)]


def _part(operation) -> str:
    if not operation.group:
        return OUTSIDE
    return operation.part or "norms"


def _row(tensor, count, part: str) -> Tensor:
    return Tensor(tensor.name, tensor.shape, tensor.dtype, count, part)


def _embedded(tape: Tape, recompute: str) -> list[Tensor]:
    """Give the embedding's output, whose gradient is asked for where all is frozen.

    A layer that is recomputed has kept it, if it is the layer's input; so has an
    adapter that reads it.
    """
    embedding, *others = tape.operations
    last = others[0] if others[0].kind == "scale" else embedding
    first = next(each for each in others if each.group)
    kept = recompute == "full" and first.inputs[0] is last.output
    kept |= any(embedding.output in each.saved for each in others if not each.group)
    held = tape.run.frozen and not kept
    return [_row(embedding.output, S.One, OUTSIDE)] if held else []


def _positions(tape: Tape, recompute: str) -> list[Tensor]:
    """Give the rotary tables, and the position ids where something still holds them.

    Recomputed code is called with them again; that a learned embedding of positions
    saves them is on the tape.
    """
    again = recompute in ("full", "matmuls")
    turned = _saved_by(tape, "rotate")
    tables = [each.output for each in tape.operations if each.kind == "rotary_table"]
    rows = [_row(each, S.One, OUTSIDE) for each in tables if again or each in turned]
    if recompute != "none" and tape.position_ids not in _saved_by(tape, "embedding"):
        rows.append(_row(tape.position_ids, S.One, OUTSIDE))
    return rows


def _saved_by(tape: Tape, kind: str) -> set:
    return {x for each in tape.operations if each.kind == kind for x in each.saved}
