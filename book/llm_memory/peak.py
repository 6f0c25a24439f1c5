"""A peak: the most that is alive at any moment, with every moment that can win."""

from collections.abc import Mapping

from sympy import Expr, Max

from .dominance import undominated
from .ledger import Ledger, evaluate


class Peak:
    """The ledgers of a step's moments, and their maximum in bytes.

    Attributes:
        moments: name → ledger of what is alive. Moments that another one outweighs at
            all sizes are left out.
        symbols: the sizes that `evaluate` needs.

    >>> from llm_memory.ledger import Tensor
    >>> from llm_memory.symbols import b, s
    >>> narrow = Ledger([Tensor("x", (b, s), "bf16")])
    >>> wide = Ledger([Tensor("x in fp32", (b, s), "fp32")])
    >>> Peak({"norm": narrow, "cast": wide}).bytes
    4*b*s
    """

    def __init__(self, moments: Mapping[str, Ledger]):
        self.moments = undominated(moments)
        self.symbols = frozenset().union(*(each.symbols for each in moments.values()))

    @property
    def bytes(self) -> Expr:
        """The maximum over all moments, as a SymPy expression."""
        sums = dict.fromkeys(ledger.bytes for ledger in self.moments.values())
        if len(sums) == 1:
            return next(iter(sums))
        return Max(*sums, evaluate=False)

    def at(self, **sizes: int) -> tuple[str, Ledger]:
        """Return the moment that wins at these sizes: its name and its ledger.

        Of moments that are equal, the earliest.

        Raises:
            ConfigError: as in `Ledger.evaluate`.
        """
        values = self._values(sizes)
        name = max(values, key=values.get)
        return name, self.moments[name]

    def evaluate(self, **sizes: int) -> int:
        """Return the exact number of bytes.

        Raises:
            ConfigError: as in `Ledger.evaluate`.
        """
        return max(self._values(sizes).values())

    def _values(self, sizes: Mapping) -> dict[str, int]:
        return {
            name: evaluate(ledger.bytes, self.symbols, sizes)
            for name, ledger in self.moments.items()
        }

    def __repr__(self) -> str:
        lines = (f"{name}: {ledger.bytes}" for name, ledger in self.moments.items())
        return "\n".join(["the largest of", *lines])
