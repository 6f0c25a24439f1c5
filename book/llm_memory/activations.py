"""Activations of training: what a forward keeps for its backward."""

from dataclasses import replace

from sympy import Or, S, expand, prod

from . import fields
from .errors import ConfigError, choose
from .families import forward
from .kernels import KERNELS
from .ledger import Ledger, Tensor
from .loss import KEPT
from .operations import Run
from .symbols import b, s
from .tape import Tape
from .timeline import number

RECOMPUTE = ("none", "full", "core_attention", "matmuls")
PRECISIONS = ("bf16", "autocast")
PROFILES = ("transformers", "fused")
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
) -> Ledger:
    """Return what one decoder layer keeps for the backward, in training.

    Left out are parameters, the attention mask and the rotary tables.

    Args:
        model: a `Model` of a family whose layer is described: GPT-2, LLaMA, Mistral,
            Qwen2, Qwen3, Gemma 2, Gemma 3, Mixtral, Qwen3 MoE, DeepSeek-V3.
        attention: the kernel, "eager", "flash", "efficient" or "math"; "eager" alone
            caps scores, as Gemma 2 does.
        recompute: "none"; "full", each layer from its input; "core_attention", all
            between queries, keys, values and the output; "matmuls", everything but
            the results of matrix products and of flash attention.
        precision: "bf16", or "autocast" over fp32 parameters.
        profile: "transformers", as its modules are written; "fused", with norms and
            gated MLPs that keep only their inputs.
        frozen: the weights have no gradients, as the base of LoRA and QLoRA: a matrix
            then saves no input. What adapters keep for themselves is not in.
        sparse: of a model with both, whether the layer has routed experts.

    Returns:
        A ledger with the free symbols b and s.

    Raises:
        ConfigError: an unknown choice, a combination that does not exist, or a family
            whose layer is not described yet.

    >>> from llm_memory import symbolic
    >>> layer_activations(symbolic("llama"), recompute="full").bytes
    2*b*h*s
    """
    tape = _tape(model, attention, recompute, precision, profile, frozen)
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
    tape = _tape(
        model, attention, recompute, precision, profile, frozen, loss == "plain"
    )
    rows = [
        row
        for group in range(1, tape.groups + 1)
        for row in _layer_rows(tape, group, recompute)
    ]
    rows += _rows(tape, [each for each in tape.operations if each.group == 0])
    if frozen:  # its gradient is asked for, so autograd holds it
        rows.append(_row(tape.operations[0].output, S.One, OUTSIDE))
    rows += _positions(tape, recompute)
    rows += [replace(each, part=OUTSIDE) for each in kept(tape, model)]
    return Ledger(rows, symbols=(b, s))


def _tape(model, attention, recompute, precision, profile, frozen, head=True) -> Tape:
    choose("attention", attention, KERNELS)
    choose("recompute", recompute, dict.fromkeys(RECOMPUTE))
    choose("precision", precision, dict.fromkeys(PRECISIONS))
    choose("profile", profile, dict.fromkeys(PROFILES))
    if not fields.family(model.model_type).get("activations"):
        known = [
            n for n, e in fields.table()["families"].items() if e.get("activations")
        ]
        rule = f"its activations are not derived yet; there are: {', '.join(known)}"
        raise ConfigError("model_type", model.model_type, rule)
    if recompute == "matmuls" and attention != "flash":
        rule = "is described with attention='flash' only"
        raise ConfigError("recompute", recompute, rule)
    if attention != "eager" and model.caps.get("scores"):
        rule = "does not exist for capped scores; there is: eager"
        raise ConfigError("attention", attention, rule)
    if model.c_kv or any(layers.sparse for layers in model.layers):
        _check_described(model, recompute, precision, profile)
    if model.c_kv and attention == "flash":
        rule = "is not derived yet for latent attention: it takes one width of heads"
        raise ConfigError("attention", attention, rule)
    if precision == "autocast" and model.family == "gpt2":
        rule = "is not derived yet for gpt2, whose softmax autocast would widen"
        raise ConfigError("precision", precision, rule)
    if not isinstance(frozen, bool):
        raise ConfigError("frozen", frozen, "must be True or False")
    if frozen and (precision, profile) != ("bf16", "transformers"):
        rule = "is derived for precision='bf16' and profile='transformers' only"
        raise ConfigError("frozen", frozen, rule)
    core = recompute != "core_attention"
    run = Run(attention, precision, profile, core, frozen=frozen, head=head)
    return forward(model, run=run)


def _check_described(model, recompute, precision, profile) -> None:
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
    """Give each saved tensor once, as often as the operation that saves it runs."""
    rows, seen, parts = [], set(), {}
    for operation in operations:
        for tensor in () if operation.kind == "rotate" else kept(operation):
            if tensor not in seen:
                times = operation.count if count is None else count
                rows.append(_row(tensor, times, _part(operation)))
                seen.add(tensor)
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


def _positions(tape: Tape, recompute: str) -> list[Tensor]:
    """Give the rotary tables, and the position ids where something still holds them.

    A learned position embedding saves its ids; recomputed code is called with them
    again.
    """
    tables = [each.output for each in tape.operations if each.kind == "rotary_table"]
    rows = [_row(table, S.One, OUTSIDE) for table in tables]
    if recompute != "none" or not (tables or tape.run.frozen):
        rows.append(Tensor("position ids", (s,), "int64", part=OUTSIDE))
    return rows
