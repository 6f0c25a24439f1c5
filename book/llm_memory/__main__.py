"""The sizes of a model in a shell: `python -m llm_memory config.json`."""

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence

from .activations import RECOMPUTE, training_activations
from .errors import ConfigError
from .explorer_page import unit_pair
from .fields import LARGEST_SIZE
from .hardware import accelerators, load_hardware
from .inference import total_inference
from .kernels import KERNELS
from .kv_cache import FORMATS as CACHE_FORMATS
from .kv_cache import LAYOUTS, kv_cache
from .model import Model, load_model, names
from .optimizers import OPTIMIZERS
from .peak import Peak
from .serving import capacity
from .training import RECIPES, training_states
from .training_peak import training_peak
from .units import format_bytes
from .weights import EXPERT_FORMATS, FORMATS, weights

PLAIN = ("bf16", "fp16", "fp32")
STORED = (*PLAIN, *FORMATS, *EXPERT_FORMATS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the sizes that the arguments ask for; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        lines = list(report(options))
    except ConfigError as error:
        print(f"llm_memory: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


def report(options: argparse.Namespace) -> Iterator[str]:
    """Give the lines of the report.

    Raises:
        ConfigError: a config or an option that is not understood.
    """
    model = load_model(options.config)
    b = _size("--batch", options.batch)
    t = _size("--context", options.context)
    s = t if options.tokens is None else _size("--tokens", options.tokens)
    plain = options.weights in PLAIN
    kind = {"dtype" if plain else "quantization": options.weights}
    loaded = weights(model, **kind).evaluate()
    cache = kv_cache(model, options.cache, options.layout)
    rank = {"lora": options.lora}
    states = training_states(model, options.recipe, options.optimizer, **rank)
    parameters = int(weights(model).elements)
    yield f"{model} ({model.model_type}): {parameters:,} parameters"
    yield from _assumed(model)
    yield ""
    rows = [
        (f"weights, {options.weights}", loaded),
        (f"cache, {options.cache}, one token", cache.evaluate(b=1, t=1)),
        (_of(b, t, "cached tokens"), cache.evaluate(b=b, t=t)),
        (f"training states, {options.recipe}, {options.optimizer}", states.evaluate()),
        *((f"  {name}", part.evaluate()) for name, part in states.parts.items()),
    ]
    activations = f"activations, {options.attention}, {_of(b, s, 'tokens')}"
    saved, reason = _attempt(
        lambda: training_activations(
            model, options.attention, options.recompute, **rank
        )
    )
    if saved is not None:
        rows.append((activations, saved.evaluate(b=b, s=s)))
    for phase, sizes in (("prefill", {"b": b, "s": s}), ("decode", {"b": b, "t": t})):
        total, refused = _attempt(lambda phase=phase: _total(model, options, phase))
        if total is not None:
            name = f"{phase} at its peak, {options.attention}, {_of(*sizes.values())}"
            rows.append((name, total.evaluate(**sizes)))
    step, unknown = _attempt(lambda: _step(model, options)) if options.lora else (0, 0)
    if step:
        name = f"training step at its peak, LoRA of rank {options.lora}"
        rows.append((f"{name}, {_of(b, s)}", step.evaluate(b=b, s=s)))
    yield from _table(rows)
    if reason:
        yield f"activations: {reason}"
    if unknown:
        yield f"training step: {unknown}"
    if refused:
        yield f"prefill and decode: {refused}"
    if options.hardware:
        yield ""
        yield from _capacity(model, options, t)


def _total(model: Model, options: argparse.Namespace, phase: str) -> Peak:
    """Return weights, cache and activations at the peak of a phase of inference."""
    for name, value, derived in (
        ("--weights", options.weights, options.weights != "fp32"),
        ("--cache", options.cache, options.cache == "bf16"),
        ("--layout", options.layout, options.layout == next(iter(LAYOUTS))),
    ):
        if not derived:
            rule = "its peak is derived with 16-bit activations, and a cache as plain"
            raise ConfigError(name, value, rule)
    plain = options.weights in PLAIN
    kind = {"dtype" if plain else "quantization": options.weights}
    return total_inference(model, phase, attention=options.attention, **kind)


def _step(model: Model, options: argparse.Namespace) -> Peak:
    """Return the peak of a step, not the first, with fp32 adapters over bf16."""
    return training_peak(
        model, options.attention, options.recompute, optimizer=options.optimizer,
        implementation="fused", step="later", lora=options.lora,
    )  # fmt: skip


def _capacity(model: Model, options: argparse.Namespace, t: int) -> Iterator[str]:
    """Say how many sequences fit beside the weights."""
    card = load_hardware(options.hardware)
    yield f"{card.name}: {_amount(card.bytes)}, as the driver reports it"
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        fits = capacity(
            model, card, context=t, weights_dtype=options.weights,
            cache_dtype=options.cache, layout=options.layout,
        )  # fmt: skip
    yield from (f"note: {each.message}" for each in warned)
    if fits.missing:
        yield f"the weights alone do not fit: {_amount(fits.missing)} too much"
        return
    yield f"sequences of {t:,} tokens that fit: {fits.sequences:,}"
    yield f"tokens that fit: {fits.tokens:,}"


def _assumed(model: Model) -> Iterator[str]:
    if model.assumed:
        filled = ", ".join(f"{name} = {value}" for name, value in model.assumed.items())
        yield f"filled in as transformers does: {filled}"


def _attempt(make: Callable):
    """Return a ledger and no reason, or None and why there is none."""
    try:
        return make(), None
    except ConfigError as error:
        return None, error


def _size(option: str, value: int) -> int:
    if not 1 <= value <= LARGEST_SIZE:
        raise ConfigError(option, value, "must be an integer from 1 to 2^63 - 1")
    return value


def _of(sequences: int, tokens: int, what: str = "tokens") -> str:
    return f"{sequences:,} × {tokens:,} {what}"


def _amount(count: int) -> str:
    units = " = ".join(format_bytes(count, unit) for unit in unit_pair(count))
    return f"{count:,} bytes = {units}"


def _table(rows: list[tuple[str, int]]) -> Iterator[str]:
    """Give aligned lines: what, exact bytes, decimal unit, binary unit."""
    cells = [
        (name, f"{n:,} bytes", *(format_bytes(n, unit) for unit in unit_pair(n)))
        for name, n in rows
    ]
    first, *others = (max(map(len, column)) for column in zip(*cells, strict=True))
    for name, *numbers in cells:
        padded = (f"{n:>{width}}" for n, width in zip(numbers, others, strict=True))
        yield "  ".join((f"{name:<{first}}", *padded))


class _Parser(argparse.ArgumentParser):
    """A parser that complains in one line."""

    def error(self, message: str):
        self.exit(2, f"llm_memory: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m llm_memory",
        description="Exact bytes of a language model, from its config.json.",
        epilog=f"Bundled models: {', '.join(names())}. Nothing is guessed: a config "
        "that is not understood is refused, with the field, its value and the rule.",
    )
    add = parser.add_argument
    # fmt: off
    add("config", help="path of a Hugging Face config.json, or a bundled model's name")
    add("--context", type=int, default=2048, metavar="T",
        help="tokens cached per sequence (default: %(default)s)")
    add("--batch", type=int, default=1, metavar="B",
        help="sequences at a time (default: %(default)s)")
    add("--tokens", type=int, metavar="S",
        help="tokens of a training sequence (default: the context)")
    add("--hardware", choices=accelerators(), metavar="NAME",
        help=f"what must hold it: {', '.join(accelerators())}")
    _choice(add, "--weights", STORED, "how weights are stored")
    _choice(add, "--cache", CACHE_FORMATS, "how the KV cache is stored", "bf16")
    _choice(add, "--layout", LAYOUTS, "what latent attention caches")
    _choice(add, "--recipe", RECIPES, "training: data types", "bf16_mixed")
    _choice(add, "--optimizer", OPTIMIZERS, "training: the optimizer")
    add("--lora", type=int, metavar="R",
        help="training: adapters of that rank on every linear module, and frozen "
        "weights; its step's peak is told too")
    _choice(add, "--attention", KERNELS, "the attention kernel")
    _choice(add, "--recompute", RECOMPUTE, "training: what is recomputed")
    # fmt: on
    return parser


def _choice(add: Callable, name: str, options, help: str, default: str = "") -> None:
    start = default or next(iter(options))
    listed = ", ".join(options)
    add(name, choices=options, default=start, metavar="NAME",
        help=f"{help}: {listed} (default: %(default)s)")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
