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


def rotate(tape, x, cos, sin):
    """x · cos + (its halves swapped, one negated) · sin; only the tables are saved."""
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
