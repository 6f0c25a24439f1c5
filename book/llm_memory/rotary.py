"""The kernels of rotary position embeddings: the tables, and what turns by them."""

from . import gradients


def tables(tape, rows, width, dtype: str):
    """Make cos and sin in fp32 and then in `dtype`: `rows` and the width."""
    number = tape.make("positions in fp32", (*rows, 1), "fp32")
    angles = tape.make("angles", (*rows, width / 2), "fp32")
    del number
    twice = tape.make("angles, twice", (*rows, width), "fp32")
    wide = []
    for name in ("cos", "sin"):
        plain = tape.make(f"{name}, not scaled", twice.shape, "fp32")
        wide.append(tape.make(f"{name} in fp32", twice.shape, "fp32"))
        del plain
    if dtype == "fp32":
        return wide
    result = [tape.make(each, twice.shape, dtype) for each in ("cos", "sin")]
    del angles, wide
    return result


def interleave(tape, x):
    """Repeat the first half of a table element by element, for pairs side by side."""
    return tape.make(f"{x.name}, interleaved", x.shape, x.dtype, saves_output=True)


def rotate_complex(tape, x, table):
    """Multiply pairs as complex numbers, in fp32; what else is made is not derived."""
    wide = tape.make("turned", x.shape, "fp32", saved=(table,))
    return tape.make(f"{x.name} rotated", wide.shape, x.dtype, prefix="")


def rotate(tape, x, cos, sin, heads=None):
    """x · cos + (its halves swapped, one negated) · sin; only the tables are saved.

    Tables narrower than a head turn its first elements; the others are joined to them.
    `heads` is how many there are then; None: the tables are as wide as a head.
    """
    if heads is not None:
        return _rotate_part(tape, x, cos, sin, heads)
    by_cos = tape.make("by cos", x.shape, cos.dtype)
    half = tape.make("half, negated", (*x.shape[:-1], x.shape[-1] / 2), x.dtype)
    turned = tape.make("halves swapped", x.shape, x.dtype)
    del half
    by_sin = tape.make("by sin", x.shape, sin.dtype)
    del turned
    output = tape.make(
        f"{x.name} rotated", x.shape, cos.dtype, prefix="",
        of=(x, x), rule=gradients.rotation(x.dtype), saved=(cos, sin),
    )  # fmt: skip
    del by_cos, by_sin
    return output


def _rotate_part(tape, x, cos, sin, heads):
    """Turn the first elements of each head; what is made in between is not derived."""
    width = heads * cos.shape[-1]
    turned = tape.make(
        "turned", (*x.shape[:-1], width), cos.dtype,
        of=(x, x), rule=gradients.rotation(x.dtype), saved=(cos, sin),
    )  # fmt: skip
    return tape.make(f"{x.name} rotated", x.shape, turned.dtype, prefix="")


def rotate_pairs(tape, x, cos, sin):
    """As `rotate`, of neighbours: each half of the output is made of both halves."""
    half, halves = (*x.shape[:-1], x.shape[-1] / 2), []
    for name in ("first", "second"):
        products = [tape.make(f"by {each}", half, x.dtype) for each in ("cos", "sin")]
        halves.append(tape.make(f"{name} half", half, x.dtype))
        del products
    output = tape.make(
        f"{x.name} rotated", x.shape, x.dtype, prefix="", saved=(cos, sin)
    )
    del halves
    return output
