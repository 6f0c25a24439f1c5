"""What one tensor-parallel rank makes while it runs a step.

Tensor parallelism divides heads, the MLP's width and the vocabulary; hidden states and
heads keep their width. So a rank runs the model with substituted sizes, and its tape is
read as any other. After attention and MLP the ranks add up what they have, in place.
After the head they exchange their shares of the logits.
"""

from dataclasses import replace

from sympy import S, ceiling

from .errors import ConfigError, choose
from .inference import CACHES, live_moments
from .ledger import Ledger
from .operations import Run
from .symbols import b, check_size
from .tape import CACHE
from .weights import heads_on_rank

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")


def rank_model(model, tp: int):
    """Return the model that one of `tp` ranks runs: a / T, k / T or 1, f / T, V / T.

    The vocabulary is rounded up, as engines pad it.

    Raises:
        ConfigError: a family whose ranks are not derived, sizes that do not divide, or
            biases that are added after the ranks' sum.

    >>> from llm_memory import load_model
    >>> rank = rank_model(load_model("Llama-3.1-70B"), 16)
    >>> rank.h, rank.a, rank.k, rank.d, rank.f, rank.V
    (8192, 4, 1, 128, 1792, 8016)
    """
    if check_size("tp", tp) == 1:
        return model
    if model.model_type not in FAMILIES:
        rule = f"its ranks are not derived; there are: {', '.join(FAMILIES)}"
        raise ConfigError("model_type", model.model_type, rule)
    if model.output_bias or model.mlp_bias:
        rule = "is not derived with a bias that is added after the ranks' sum"
        raise ConfigError("tp", tp, rule)
    a, f = model.a / tp, model.f / tp
    for name, share in (("a", a), ("f", f)):
        if not share.is_Integer:
            raise ConfigError("tp", tp, f"must divide {name} = {model.sizes[name]}")
    k, vocabulary = heads_on_rank(model.k, tp), ceiling(model.V / tp)
    sizes = model.sizes | {"a": a, "k": S(k), "f": f, "V": vocabulary}
    return replace(model, sizes=sizes)


def rank_activations(model, tokens: int, logits: int = 1, tp: int = 1) -> Ledger:
    """Return what one rank has alive at a step's fullest moment, the cache left out.

    A step reads `tokens` tokens side by side, of prompts, of pieces of prompts or of
    sequences that decode: vLLM's `max_num_batched_tokens`. Assumed are the modules of
    transformers in bf16, the flash kernel, for which it does not matter what is cached
    already, and a cache that is written in place. Kernels of engines fuse modules and
    write in place, so they need less; buffers that live on between steps, captured
    graphs and workspaces are no activations. A pipeline's stage needs at most this.

    Args:
        model: a `Model` of a family whose `prefill_peak` is derived.
        tokens: tokens of the step.
        logits: how many of them get logits: at most one for each sequence.
        tp: tensor-parallel ranks; the LLaMA, Mistral, Qwen2 and Qwen3 families.

    Raises:
        ConfigError: sizes that are no integers >= 1 or do not divide, more logits than
            tokens, or a family that is not derived.

    >>> from llm_memory import load_model
    >>> model = load_model("LLaMA-13B")
    >>> [int(rank_activations(model, 2048, tp=tp).bytes) for tp in (1, 8)]
    [254820352, 147881984]
    """
    made = [
        Ledger((row for row in each if row.part != CACHE), each.symbols)
        for each in step_moments(model, tokens, logits, tp).values()
    ]
    return max(made, key=lambda each: each.evaluate(b=1)).substitute({b: 1})


def step_moments(
    model, tokens: int, logits: int = 1, tp: int = 1, cache: str = "static"
) -> dict[str, Ledger]:
    """Return what is alive after every kernel of a step on one rank, cache included.

    Arguments and errors are those of `rank_activations`; `cache` is as in
    `prefill_peak`. The free symbol is b, sequences alike; a step's tokens are one.

    >>> from llm_memory import load_model, prefill_peak
    >>> model = load_model("Qwen3-0.6B")
    >>> whole = prefill_peak(model, "flash", cache="static")
    >>> moments = step_moments(model, 2048).values()
    >>> max(each.evaluate(b=1) for each in moments) == whole.evaluate(b=1, s=2048)
    True
    """
    if check_size("logits", logits) > check_size("tokens", tokens):
        raise ConfigError("logits", logits, f"must be at most tokens = {tokens}")
    run = Run(
        "flash",
        tokens=S(tokens),
        cached=S.Zero,
        kept=S(logits),
        in_place=choose("cache", cache, CACHES),
        ranks=tp,
    )
    return live_moments(rank_model(model, tp), run, (b,))
