"""Data types and units: the only place where a byte has a size.

Powers of ten carry SI prefixes (kB, MB, GB), powers of two carry IEC prefixes
(KiB, MiB, GiB); as IEC 80000-13 defines them.
"""

from fractions import Fraction

from sympy import Expr, Rational, ceiling, sympify

from .errors import choose


class DType(str):
    """A data type: a string, its name here, that knows its size.

    Attributes:
        bits: bits per element.
        torch: PyTorch's name for it.
        meaning: what the bits are.

    >>> dtype("bf16") == "bf16", dtype("bf16").torch
    (True, 'bfloat16')
    """

    def __new__(cls, name: str, bits: int, torch: str, meaning: str):
        self = super().__new__(cls, name)
        self.bits, self.torch, self.meaning = bits, torch, meaning
        return self

    def __getnewargs__(self):
        return (str(self), self.bits, self.torch, self.meaning)

    @property
    def name(self) -> str:
        """The name as a plain string."""
        return str(self)

    @property
    def bytes(self) -> Rational:
        """Bytes per element; a fraction for packed types.

        >>> dtype("bf16").bytes, dtype("int4").bytes
        (2, 1/2)
        """
        return Rational(self.bits, 8)


DTYPES = {
    entry.name: entry
    for entry in (
        DType("fp32", 32, "float32", "IEEE 754 single: 8 exponent, 23 fraction bits"),
        DType("fp16", 16, "float16", "IEEE 754 half: 5 exponent, 10 fraction bits"),
        DType("bf16", 16, "bfloat16", "fp32 cut to 8 exponent, 7 fraction bits"),
        DType("fp8", 8, "float8_e4m3fn", "E4M3: 4 exponent, 3 fraction bits"),
        DType("int64", 64, "int64", "token ids, positions, labels"),
        DType("int32", 32, "int32", "where the rows of each expert end"),
        DType("uint64", 64, "uint64", "the state of a random generator"),
        DType("bool", 8, "bool", "a mask: one byte per element"),
        DType("int8", 8, "int8", "integers -128 to 127, with a scale"),
        DType("int4", 4, "uint8", "sixteen levels, two elements packed in a byte"),
        DType("fp4", 4, "uint8", "E2M1: 2 exponent, 1 fraction bits, two in a byte"),
        DType("e8m0", 8, "float8_e8m0fnu", "a power of two: 8 exponent bits, a scale"),
    )
}

UNITS = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}

kB, MB, GB, TB = (UNITS[unit] for unit in ("kB", "MB", "GB", "TB"))
KiB, MiB, GiB, TiB = (UNITS[unit] for unit in ("KiB", "MiB", "GiB", "TiB"))


def dtype(name: "str | DType") -> DType:
    """Return the data type of that name.

    Raises:
        ConfigError: no such data type; the message lists those that there are.

    >>> dtype("bf16").bits
    16
    """
    return name if isinstance(name, DType) else choose("dtype", name, DTYPES)


def storage_bytes(elements: Expr, kind: DType) -> Expr:
    """Return the whole bytes that one tensor of `elements` elements occupies.

    A packed type (below 8 bits) is rounded up to a whole byte once per tensor.

    >>> storage_bytes(3, dtype("int4"))
    2
    """
    size = sympify(elements) * kind.bytes
    return size if kind.bits % 8 == 0 else ceiling(size)


def in_unit(count: int, unit: str) -> Fraction:
    """Return `count` bytes in `unit`, exactly.

    >>> in_unit(3 * 2**30, "GiB")
    Fraction(3, 1)
    """
    return Fraction(int(count), choose("unit", unit, UNITS))


def format_bytes(count: int, unit: str = "GB", decimals: int = 2) -> str:
    """Return `count` bytes in `unit`, rounded half up to `decimals` places.

    >>> format_bytes(9_957_277_696), format_bytes(9_957_277_696, "GiB", 3)
    ('9.96 GB', '9.273 GiB')
    """
    return f"{format_decimal(in_unit(count, unit), decimals)} {unit}"


def format_decimal(value: "Fraction | int", decimals: int = 2) -> str:
    """Return an exact number as a decimal, rounded half up, with thousands marked.

    >>> format_decimal(Fraction(2, 3)), format_decimal(12345, 0)
    ('0.67', '12,345')
    """
    value = Fraction(value)
    shifted = abs(value) * 10**decimals
    whole, part = divmod(int(shifted + Fraction(1, 2)), 10**decimals)
    sign = "-" if value < 0 and (whole or part) else ""
    return f"{sign}{whole:,}" + (f".{part:0{decimals}d}" if decimals else "")
