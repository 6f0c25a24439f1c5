"""Which moments of a peak can be left out, because another one is never smaller.

Sizes are integers >= 1. A difference is at least 0 everywhere if, with every size x
written as 1 + x', no coefficient of it is negative. Where a moment depends on whether a
size is 1, the cases x = 1 and x >= 2 are looked at apart. The test is sufficient, not
necessary: a moment that it cannot judge is kept.
"""

from collections.abc import Iterable, Mapping
from itertools import product

from sympy import Add, Dummy, Expr, Function, Max, Min, Piecewise, Poly, Symbol, ceiling
from sympy.core.relational import Relational

from .ledger import Ledger
