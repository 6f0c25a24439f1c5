"""The peak of a training step: forward, loss, backward and optimizer step."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from .activations import adapters_of, check_described
from .adapters import ALL_LINEAR
from .backward import backward
from .dominance import undominated
from .errors import ConfigError, choose
from .families import forward
from .kernels import check_kernel
from .ledger import Ledger
from .loss import LOSSES
from .operations import Run
from .peak import Peak
from .symbols import b, s
from .training import training_states
from .training_timeline import TrainingTimeline, kinds_of

FAMILIES = (
    "llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "gpt2", "opt",
    "phi3", "glm4", "mixtral", "qwen3_moe", "deepseek_v2", "deepseek_v3", "kimi_k2",
)  # fmt: skip
ADAPTED = FAMILIES[:7]
KERNELS = ("eager", "flash", "efficient", "math")
RECOMPUTE = ("none", "full", "core_attention", "matmuls")
IMPLEMENTATIONS = ("foreach", "fused")
RECIPES = {"bf16": "bf16", "autocast": "autocast"}
MICRO_STEPS = {"first": False, "later": True}
SECOND_MOMENT = ".exp_avg_sq"


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
        model: a `Model` of LLaMA, Mistral, Qwen2, Qwen3, Gemma 2, Gemma 3, GPT-2, OPT,
            Phi-3, GLM-4, Mixtral, Qwen3 MoE, DeepSeek-V2, DeepSeek-V3 or Kimi K2.
        attention: the kernel, "eager", "flash", "efficient" or, without autocast,
            "math"; "eager" alone caps scores, as Gemma 2 does, and "flash" takes no
            latent attention.
        recompute: "none", "full", "core_attention" or "matmuls", as in
            `layer_activations`.
        precision: "bf16": weights, gradients and optimizer states; or "autocast", of
            the forward over such ones in fp32, not of GPT-2. Autocast keeps its bf16
            copies of the weights until the forward ends, recomputed or not.
        profile: "transformers", as its modules are written.
        loss: the loss head, a name in `LOSSES` of `llm_memory.loss`; "plain" alone
            caps logits, and "fused" is that of a GPU, without autocast.
        optimizer: a name in `OPTIMIZERS`, or "none": forward and backward alone.
        implementation: "foreach" makes the square roots of all second moments at once;
            "fused" makes nothing.
        step: "first", whose optimizer states appear in its optimizer step, or "later".
        micro_step: "first", which finds no gradients, or "later", which adds to those
            that are there.
        chunks: how many chunks a chunked or fused loss divides the tokens into; None:
            as many as PyTorch's fused loss takes by itself on a GPU.
        frozen, lora, targets, lora_dropout, adapters: what is trained, in bf16 and by a
            plain or chunked loss, of the first seven of these models. As in
            `training_activations`, a gradient of the embedding's output is asked for.
            Where there are no adapters it is the only one, and optimizer="none".

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
    backward in turn those that can be the peak. Arguments and errors are those of
    `training_peak`.

    Returns:
        Name → ledger, with the free symbols b and s.

    >>> from llm_memory import load_model
    >>> moments = training_moments(load_model("Qwen3-0.6B"), "flash")
    >>> len(moments), moments["lm_head"].evaluate(b=1, s=64)
    (383, 148757408)
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
        "loss": (loss, _losses(model, precision)),
    }
    if model.family == "gpt2":  # whose softmax autocast would widen
        allowed["precision"] = (precision, ("bf16",))
    if precision == "autocast":
        allowed["attention"] = (attention, KERNELS[:-1])
    if not isinstance(frozen, bool):
        raise ConfigError("frozen", frozen, "must be True or False")
    if frozen or lora is not None:
        allowed |= {
            "model_type": (model.model_type, ADAPTED),
            "recompute": (recompute, RECOMPUTE[:-1]),
            "precision": (precision, ("bf16",)),
            "loss": (loss, [each for each in allowed["loss"][1] if each != "fused"]),
        }
    for argument, (value, derived) in allowed.items():
        if value not in derived:
            rule = f"its peak is not derived yet; there are: {', '.join(derived)}"
            raise ConfigError(argument, value, rule)
    check_kernel(model, attention)
    if model.c_kv or any(layers.sparse for layers in model.layers):
        check_described(model, recompute, precision, profile)
    if model.group_limited:
        rule = "its peak is not derived yet; there is: greedy"
        raise ConfigError("topk_method", "group_limited_greedy", rule)
    if model.dropout.get("layer"):
        rule = "is not derived yet: a layer that is left out makes nothing"
        raise ConfigError("layerdrop", model.dropout["layer"], rule)
    if recompute == "matmuls" and attention != "flash":
        rule = "is described with attention='flash' only"
        raise ConfigError("recompute", recompute, rule)
    core = recompute != "core_attention"
    head = loss == "plain"
    return Run(attention, precision, profile, core, recompute=recompute, head=head)


def _losses(model, precision: str) -> tuple[str, ...]:
    if model.caps.get("logits"):
        return ("plain",)
    return tuple(each for each in LOSSES if (each, precision) != ("fused", "autocast"))


def _loss(loss: str, chunks):
    """Return the function that runs a loss head on a tape and a model."""
    if chunks is None and loss == "chunked":
        raise ConfigError("chunks", chunks, "must be given with loss='chunked'")
    if chunks is not None and loss == "plain":
        raise ConfigError("chunks", chunks, "belongs to loss='chunked' or 'fused'")
    if chunks is not None and (type(chunks) is not int or chunks < 1):
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


def _timeline(model, run: Run, loss, accumulates: bool) -> TrainingTimeline:
    """Run forward, loss and backward, of one layer of each kind."""
    kinds = kinds_of(model)
    timeline = TrainingTimeline(kinds, accumulates)
    model = replace(model, layers=kinds)
    tape = forward(model, run=run, timeline=timeline)
    result = loss(tape, model)
    timeline.turn(tape)
    backward(tape, result.dtype)
    del result
    return timeline
