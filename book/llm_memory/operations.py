"""The words of a tape: operations, and the tensors that they make, load and keep."""

from dataclasses import dataclass

from sympy import Expr, S
from sympy.logic.boolalg import Boolean

from .count import Product
from .symbols import s
from .units import DType


@dataclass(eq=False)  # frozen, it would take four times as long to make
class Storage:
    """A piece of memory, made in a group of layers, or in none (0).

    `part` says what it is shown under. `carried` is a layer's input, made by the layer
    before.
    """

    name: str
    shape: tuple[Expr, ...]
    dtype: str
    part: str = ""
    group: int = 0
    carried: bool = False


@dataclass(eq=False)
class Activation:
    """A tensor that an operation makes. Two of them are equal only if they are one.

    Attributes:
        name, shape, dtype: as in a ledger's row.
        memory: the storages that it lies in, each with the condition under which it
            does: a reshape copies for some sizes and is a view for others.
        node: the kernel that made it, for the backward.
    """

    name: str
    shape: tuple[Expr, ...]
    dtype: str = "bf16"
    memory: tuple[tuple[Storage, Boolean], ...] = ()
    node: object = None


@dataclass(frozen=True)
class Run:
    """How a forward is run: the choices that change what it makes and saves.

    Attributes:
        attention: the kernel, "eager", "flash", "efficient" or "math".
        precision: "bf16" throughout, or "autocast" over fp32 parameters.
        profile: "transformers" as its modules are written, or "fused" norms and
            gated MLPs, as training kernels have them.
        core: keep the attention's intermediates (False: recompute them).
        tokens: s, the tokens processed now.
        cached: tokens in the KV cache before; None: there is no cache.
        kept: how many of the tokens get logits; None: all.
        fused_cast: the eager softmax reads 16 bits and computes in fp32 by itself, as
            PyTorch's does for fp16 on CUDA.
        makes_mask: the model makes the eager kernel's mask; else the caller does.
        frozen: no weight has a gradient, only what lies between them.
        adapters: what linear modules of a frozen model have beside them; None: nothing.
        recompute: "none", "full" or "core_attention", for a tape with a timeline.
        in_place: the cache has room for the tokens and is written in place.
        head: the forward ends with logits; else the loss multiplies by the head.
        ranks: tensor-parallel ranks, each with a share of the logits, that exchange
            them at the end.
    """

    attention: str = "eager"
    precision: str = "bf16"
    profile: str = "transformers"
    core: bool = True
    tokens: Expr = s
    cached: Expr | None = None
    kept: Expr | None = None
    fused_cast: bool = False
    makes_mask: bool = False
    frozen: bool = False
    adapters: object = None
    recompute: str = "none"
    in_place: bool = False
    head: bool = True
    ranks: int = 1

    @property
    def stored(self) -> str:
        """The data type of parameters, and of hidden states between the layers."""
        return "fp32" if self.precision == "autocast" else "bf16"

    @property
    def training(self) -> bool:
        """Whether this is a forward of training: no cache, dropout on."""
        return self.cached is None


@dataclass(frozen=True)
class Parameter:
    """A tensor that is loaded, in each of `count` layers.

    Attributes:
        name: the framework's name, `{i}` for the layer.
        shape: as the framework stores it.
        role: "matrix" and "experts" are what a quantised format packs; "embedding",
            "head", "router", "norm", "bias" and all others keep their data type;
            "buffer" is stored in a checkpoint but is no parameter.
        count, part: as in a ledger's row.
        checkpoint: names in the published file, where they differ.
        split: the axis that tensor parallelism divides; None: whole on every rank.
        heads: the groups of heads that the axis holds side by side, each of which
            replicates once ranks outnumber it; (): the axis is divided evenly.
        fused: how many of the checkpoint's matrices lie side by side in one matrix.
        active: how many entries of the first axis a token uses; None: all.
        transposed: stored as (in, out), as GPT-2's Conv1D does.
        dtype: of an adapter; None: the run's.
    """

    name: str
    shape: tuple[Expr, ...]
    role: str
    count: Expr = S.One
    part: str = ""
    checkpoint: tuple[str, ...] = ()
    split: int | None = None
    heads: tuple[Expr, ...] = ()
    fused: int = 1
    active: Expr | None = None
    transposed: bool = False
    dtype: str | None = None


@dataclass(frozen=True)
class Cached:
    """What one layer keeps of every token for later steps.

    Attributes:
        name: what it holds: "keys", "values", "latent" or "rotary key".
        slot: where transformers keeps it in a layer's cache: "keys" or "values".
        heads, width: elements per token = heads × width.
        window: the most tokens that are kept; None: all.
        layout: set where the same content can be kept in several ways (MLA).
        split: whether tensor parallelism can divide the heads.
    """

    name: str
    slot: str
    heads: Expr
    width: Expr
    window: Expr | None = None
    layout: str | None = None
    split: bool = True


@dataclass(frozen=True)
class State:
    """A tensor of fixed size that a layer keeps per sequence, whatever t is.

    Attributes:
        name: where transformers keeps it in a layer's cache.
        shape: of one sequence.
        dtype: its data type; None: the plain one that keys have, or bf16.
        heads: the groups of heads side by side on the first axis, which tensor
            parallelism divides; (): the state is whole on every rank.
    """

    name: str
    shape: tuple[Expr, ...]
    dtype: DType | None = None
    heads: tuple[Expr, ...] = ()


@dataclass(frozen=True)
class Operation:
    """One step of the forward, run once in each of `count` layers.

    `saved` is kept for the backward, `states` for later steps. `group` numbers the
    groups of layers that are alike; 0 is outside of all layers. `products` is its work.
    """

    kind: str
    inputs: tuple[Activation, ...]
    output: Activation
    count: Expr = S.One
    parameters: tuple[Parameter, ...] = ()
    shared: tuple[Parameter, ...] = ()
    cached: tuple[Cached, ...] = ()
    group: int = 0
    part: str = ""
    saved: tuple[Activation, ...] = ()
    products: tuple[Product, ...] = ()
    states: tuple[State, ...] = ()
