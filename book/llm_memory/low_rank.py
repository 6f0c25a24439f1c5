"""A low-rank adapter (LoRA): two more linear maps around a frozen one, as in peft."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from . import gradients
from .operations import Activation


@dataclass(frozen=True)
class Adapters:
    """The adapters of a run: what a frozen linear module has beside it.

    Attributes:
        modules: the modules that have one, by name, `{i}` for the layer.
        rank: r, the width between the two maps.
        dropout: share of the input that is zeroed.
        dtype: of the adapters' weights. The input is cast to it; the sum is cast back.
    """

    modules: frozenset[str]
    rank: int
    dropout: float
    dtype: str

    def around(
        self, tape, x: Activation, name: str, base: Callable[[], Activation]
    ) -> Activation:
        """Return base() + B(A(dropout(x))) × a number, of the shape of base().

        A saves its input and B what lies between them; a dropout saves its mask. What
        is alive follows the names of peft's variables.
        """
        output = base()
        narrow, make = output.dtype, partial(self._make, tape)
        if x.dtype != self.dtype:
            rule = gradients.cast(x.dtype)
            x = make(f"{name} input in {self.dtype}", x.shape, of=(x,), rule=rule)
        read = self._dropped(tape, x, name) if self.dropout else x
        low = self._map(tape, f"{name}.lora_A", read, self.rank)
        del read
        high = self._map(tape, f"{name}.lora_B", low, output.shape[-1])
        del low
        rule = gradients.like("of the scaled")
        scaled = make(f"{name} scaled", high.shape, of=(high,), rule=rule)
        del high
        of = output, scaled
        output = make(f"{name} adapted", output.shape, of=of, rule=gradients.same)
        del of, scaled
        if narrow == self.dtype:
            return output
        rule = gradients.cast(self.dtype)
        return tape.make(
            f"{name} in {narrow}", output.shape, narrow, of=(output,), rule=rule
        )

    def _make(self, tape, name, shape, **facts) -> Activation:
        return tape.make(name, shape, self.dtype, **facts)

    def _dropped(self, tape, x, name) -> Activation:
        mask = tape.make(f"{name} dropout mask", x.shape, "bool")
        return self._make(
            tape, f"{name} dropout", x.shape,
            of=(x,), rule=gradients.like("of the dropout"), saved=(mask,),
            makes_saved=True,
        )  # fmt: skip

    def _map(self, tape, name, x, width) -> Activation:
        """Multiply by one of the two matrices, which are trained."""
        shape = width, x.shape[-1]
        weight = tape.parameter(f"{name}.weight", shape, "matrix", dtype=self.dtype)
        return self._make(
            tape, name, (*x.shape[:-1], width),
            of=(weight, x), rule=gradients.linear(weight), saved=(x,),
        )  # fmt: skip
