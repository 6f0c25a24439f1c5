"""A model: sizes, structure and groups of layers, from a config or symbolic."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from sympy import Expr, S, sympify

from . import fields
from .errors import ConfigError, check_flag, choose
from .expression import evaluate_tree
from .json_text import MESSAGES, read_json
from .layers import Layers, group_layers, symbolic_layers
from .symbols import TABLE, symbol

MODELS = fields.DATA / "models"

FLAGS = {
    "tied": "the head is the embedding",
    "bias": "the attention projections of the input have a bias",
    "output_bias": "the attention's output projection has a bias",
    "mlp_bias": "the MLP's projections have a bias",
    "qk_norm": "queries and keys are normed, head by head",
    "four_norms": "each branch is normed after it, too",
    "unit_offset": "the norms multiply by 1 + their weight, in fp32",
    "scaled_embedding": "the embedding is multiplied by a number",
    "tables_by_type": "layers with a window have rotary tables of their own",
    "fused": "one matrix holds q, k and v, one holds gate and up",
    "gate_up": "one matrix holds gate and up",
    "correction_bias": "the router adds a bias that is a buffer",
    "normalised_routes": "the weights of a token's experts are divided by their sum",
    "wide_router": "the router multiplies in fp32",
    "wide_routes": "the weights of a token's experts are fp32",
    "router_loss": "the router has a loss of its own",
    "norm_affine": "the norms have parameters",
    "norm_first": "the norm stands before each branch",
    "final_norm": "there is a norm before the head",
    "projected": "the embedding is narrower than the layers",
    "parallel": "attention and MLP read the same input",
    "two_norms": "attention and MLP have each a norm of their own, in parallel",
    "multi_query": "all query heads share one key and value head",
    "repeated": "keys and values are repeated for the query heads, then cached",
    "rotary": "queries and keys are rotated by their position",
    "complex_rotary": "a rotation multiplies complex numbers",
    "group_limited": "experts are chosen among those of the best groups",
    "sinks": "each head has one score more, the sink",
    "wide_norm": "the norms multiply by their weight in fp32",
    "interleaved": "a layer makes rotary tables for pairs that lie side by side",
}

# Sizes on which a structure depends; all equal in the structure without options.
SIZES_OF_STRUCTURE = ("word_embed_proj_dim", "hidden_size", "num_ln_in_parallel_attn")

# Checkpoint formats that a config may name, and whether it gives their blocks.
QUANT_METHODS = {"fp8": True, "mxfp4": False}
QUANT_METHOD = (
    f"must be {' or '.join(map(repr, QUANT_METHODS))}; for another format leave "
    "quantization_config out and pass quantization=… to weights"
)
WEIGHT_BLOCK = "must be two integers >= 1"


@dataclass(frozen=True)
class Model:
    """What memory depends on. Sizes are attributes: `model.h`, `model.L` …

    Attributes:
        name: the bundled name, the file's stem, or the model_type.
        model_type: as in the config.
        family: whose forward in `families/` is its tape.
        sizes: size name → integer, or symbol where the model is symbolic. A size that
            the model does not have is absent from it, and None as an attribute.
        flags: structure, each a bool (see `FLAGS`), also attributes.
        layers: groups of layers that are alike.
        assumed: fields that the config left out, as transformers fills them in.
        activation: name of the MLP's activation function.
        dropout: where ("attention", "residual", "embedding") → share, for training.
        caps: what ("scores", "logits") a tanh keeps within bounds → them, or None.
        mtp: multi-token-prediction layers in the checkpoint.
        weight_block: (rows, columns) of one scale in the checkpoint's own fp8 format,
            or None if it has no such format.
        values: every field of the config, as it was read; {} where symbolic.
    """

    name: str
    model_type: str
    family: str
    sizes: Mapping[str, Expr]
    flags: Mapping[str, bool]
    layers: tuple[Layers, ...]
    assumed: Mapping = field(default_factory=dict)
    activation: str = ""
    dropout: Mapping = field(default_factory=dict)
    caps: Mapping = field(default_factory=dict)
    mtp: int = 0
    weight_block: tuple | None = None
    values: Mapping = field(default_factory=dict, compare=False, repr=False)

    def __getattr__(self, name: str):
        if name in TABLE:
            return self.sizes.get(name)
        if name in FLAGS:
            return self.flags.get(name, False)
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def __str__(self) -> str:
        return self.name

    def __hash__(self) -> int:
        return hash((self.name, self.model_type))


def names() -> list[str]:
    """Return the names of the bundled models.

    >>> "Qwen3-0.6B" in names()
    True
    """
    return sorted((path.stem for path in MODELS.glob("*.json")), key=str.lower)


def source(name: str) -> str:
    """Return where a bundled model's config is published.

    >>> source("Qwen3-0.6B")
    'huggingface.co/Qwen/Qwen3-0.6B'
    """
    text = (fields.DATA / "sources.json").read_text(encoding="utf-8")
    return "huggingface.co/" + choose("model", name, json.loads(text)["models"])


def load_model(source: "str | PathLike | Mapping") -> Model:
    """Return a model from a bundled name, a config.json or its content.

    Args:
        source: a name from `names()`, the path of any Hugging Face config.json of a
            family that the table knows, or the file's content as a dict.

    Raises:
        ConfigError: naming field, value and rule.

    >>> model = load_model("Qwen3-0.6B")
    >>> model.h, model.k, model.d, model.tied
    (1024, 8, 128, True)
    """
    if isinstance(source, Mapping):
        return _model(str(source.get("model_type")), source)
    if not isinstance(source, str | PathLike):
        raise ConfigError("model", source, "must be a name, a path or a dict")
    bundled = MODELS / f"{source}.json"
    path = bundled if str(source) in names() else Path(source)
    if not path.is_file():
        rule = f"is no file, and no bundled model; there are: {', '.join(names())}"
        raise ConfigError("model", str(source), rule)
    return _model(path.stem, _parse(path))


def symbolic(model_type: str, window: bool | None = None, **flags: bool) -> Model:
    """Return a family whose sizes are symbols and whose structure is concrete.

    Args:
        model_type: a key of the table, such as "llama".
        window: whether there are layers with a sliding window; None: the family's way.
        flags: of `FLAGS` those that some family of the same tape has, and for MLA
            `query_latent=False`, which is without `q_lora_rank`.

    Raises:
        ConfigError: an unknown family, or a flag that its tape does not read.

    >>> symbolic("llama", tied=True).h
    h
    """
    entry = fields.family(model_type)
    sizes = {
        each["symbol"]: symbol(each["symbol"])
        for each in entry["fields"].values()
        if "symbol" in each
    }
    query_latent = check_flag("query_latent", flags.pop("query_latent", True))
    if not query_latent and "c_q" not in sizes:
        raise ConfigError("query_latent", False, f"{model_type} has no latent queries")
    for name, value in flags.items():
        choose("flag", name, FLAGS)
        if check_flag(name, value) and name not in _flags_of_tape(entry["tape"]):
            raise ConfigError(name, True, f"no family with {model_type}'s tape has it")
    by_heads = {"k": symbol("a"), "d": symbol("h") / symbol("a")}
    derived = entry.get("derived", ())
    sizes |= {name: by_heads.get(name, symbol(name)) for name in derived}
    structure = _default_structure(entry) | flags
    if structure.get("multi_query"):
        sizes["k"] = S.One
    if structure.get("repeated"):
        sizes["k"] = symbol("k")
    if not query_latent:
        del sizes["c_q"]
    if "h_e" in sizes and not structure["projected"]:
        sizes["h_e"] = symbol("h")
    layers = symbolic_layers(entry, window)
    activation, dropout, caps = _training_facts(entry, _defaults(entry))
    return Model(
        model_type,
        model_type,
        entry["tape"],
        sizes,
        structure,
        layers,
        activation=activation,
        dropout=dropout,
        caps=caps,
        mtp=1,
    )


def _model(name: str, config: Mapping) -> Model:
    values, assumed = fields.read(config)
    entry = fields.family(config["model_type"])
    sizes = {
        each["symbol"]: sympify(values[field_name])
        for field_name, each in entry["fields"].items()
        if "symbol" in each and values[field_name] is not None
    }
    numbers = fields.numbers(entry, values)
    for size, tree in entry.get("derived", {}).items():
        sizes[size] = sympify(evaluate_tree(tree, numbers))
    structure = {
        flag: rule if isinstance(rule, bool) else evaluate_tree(rule, numbers)
        for flag, rule in _flags(entry).items()
    }
    if not values.get("use_sliding_window", True):
        sizes.pop("W", None)
    return Model(
        name,
        config["model_type"],
        entry["tape"],
        sizes,
        structure,
        group_layers(entry, values, sizes),
        assumed,
        *_training_facts(entry, values),
        values.get("num_nextn_predict_layers", 0),
        _weight_block(values["quantization_config"]),
        values,
    )


def _training_facts(entry: Mapping, values: Mapping) -> tuple[str, dict, dict]:
    """Return the activation function's name, where how much is dropped, and caps."""
    places = entry.get("dropout", {"attention": "attention_dropout"})
    dropout = {place: values[name] for place, name in places.items()}
    caps = {what: values[name] for what, name in entry.get("caps", {}).items()}
    return values[entry.get("activation", "hidden_act")], dropout, caps


def _defaults(entry: Mapping) -> dict:
    return {name: each.get("default") for name, each in entry["fields"].items()}


def _default_structure(entry: Mapping) -> dict[str, bool]:
    """Return the flags that a config without optional fields has."""
    defaults = {
        name: bool(value)
        for name, value in _defaults(entry).items()
        if entry["fields"][name]["kind"] == "flag"
    }
    defaults |= {
        name: each["choices"].index(each["default"])
        for name, each in entry["fields"].items()
        if each["kind"] == "choice"
    }
    symbols = dict.fromkeys(SIZES_OF_STRUCTURE, 1)
    return {
        flag: rule
        if isinstance(rule, bool)
        else evaluate_tree(rule, defaults | symbols)
        for flag, rule in _flags(entry).items()
    }


def _flags_of_tape(tape: str) -> set[str]:
    """Return the flags that any family with that tape has."""
    entries = map(fields.family, fields.table()["families"])
    return {flag for each in entries if each["tape"] == tape for flag in _flags(each)}


def _flags(entry: Mapping) -> dict:
    """Return the rules of all flags, those that only training depends on too."""
    return {**entry["structure"], **entry.get("training", {})}


def _weight_block(quantization: Mapping | None) -> tuple | None:
    """Return the block of one scale in the fp8 format that a config describes."""
    if not quantization:
        return None
    method = quantization.get("quant_method")
    if not isinstance(method, str) or method not in QUANT_METHODS:
        raise ConfigError("quant_method", method, QUANT_METHOD)
    if not QUANT_METHODS[method]:
        return None
    block = quantization.get("weight_block_size")
    sizes = [] if block is None else block
    listed = isinstance(sizes, list | tuple) and len(sizes) in (0, 2)
    if not listed or not all(type(size) is int and size >= 1 for size in sizes):
        raise ConfigError("weight_block_size", block, WEIGHT_BLOCK)
    return tuple(sizes) or (None, None)


def _parse(path: Path) -> Mapping:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(path.name, error.object, MESSAGES["bytes"]) from None
    return read_json(text, path.name)
