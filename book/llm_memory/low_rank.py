"""A low-rank adapter (LoRA): two more linear maps around a frozen one, as in peft."""

from dataclasses import dataclass

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

    def around(self, tape, x: Activation, name: str, output: Activation) -> Activation:
        """Return output + B(A(dropout(x))) × a number, of the output's shape.

        A saves its input and B what lies between them; a dropout saves its mask.
        """
        read = x
        if x.dtype != self.dtype:
            read = tape.make(f"{name} input in {self.dtype}", x.shape, self.dtype)
        if self.dropout:
            mask = tape.make(f"{name} dropout mask", x.shape, "bool")
            read = tape.make(f"{name} dropout", x.shape, self.dtype, saved=(mask,))
        between = (*x.shape[:-1], self.rank)
        low = tape.make(f"{name}.lora_A", between, self.dtype, saved=(read,))
        high = tape.make(f"{name}.lora_B", output.shape, self.dtype, saved=(low,))
        tape.make(f"{name} scaled", high.shape, self.dtype)
        total = tape.make(f"{name} adapted", output.shape, self.dtype)
        if self.dtype == output.dtype:
            return total
        return tape.make(f"{name} in {output.dtype}", output.shape, output.dtype)
