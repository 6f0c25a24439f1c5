"""The kernels of rotary position embeddings: the tables, and what turns by them."""

from . import attention_gradients, gradients, part_gradients


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


def complex_table(tape, rows, width):
    """Make cos + i·sin of the angles, two numbers in fp32, and scale them."""
    number = tape.make("positions in fp32", (*rows, 1), "fp32")
    angles = tape.make("angles", (*rows, width / 2), "fp32")
    del number
    ones = tape.make("ones", angles.shape, "fp32")
    shape = (*angles.shape, 2)
    plain = tape.make("cos + i·sin, not scaled", shape, "fp32")
    del ones
    table = tape.make("cos + i·sin", shape, "fp32")
    del plain, angles
    return table


def rotate_complex(tape, several, table):
    """Multiply pairs as complex numbers, in fp32, to which all are cast first."""
    *_, pairs, _numbers = table.shape
    wide = [
        tape.make(
            f"{x.name} in fp32", x.shape, "fp32", "",
            of=(x,), rule=gradients.cast(x.dtype),
        )
        for x in several
    ]  # fmt: skip
    result = []
    for x, each in zip(several, wide, strict=True):
        turned = tape.make(
            f"{x.name} turned", x.shape, "fp32", "",
            of=(each,), rule=attention_gradients.conjugated, saved=(table,),
        )  # fmt: skip
        turned = tape.by_head(turned, x.shape[-1] / (2 * pairs))
        result.append(
            tape.make(
                f"{x.name} rotated", x.shape, x.dtype, "",
                of=(turned,), rule=gradients.cast("fp32"),
            )
        )  # fmt: skip
        del turned
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
        of=(x, x), rule=attention_gradients.rotation(x.dtype), saved=(cos, sin),
    )  # fmt: skip
    del by_cos, by_sin
    return output


def rotate_parts(tape, several, cos, sin, heads, late: bool):
    """As `rotate`, of the first elements of each head; the others are joined to them.

    That is done for each tensor at once, or `late`, when all are turned.
    """
    pairs = zip(several, heads, strict=True)
    parts = [_apart(tape, x, number * cos.shape[-1]) for x, number in pairs]
    turned = (rotate(tape, first, cos, sin) for first, _ in parts)
    turned = list(turned) if late else turned
    outputs = []
    for x, (_, others) in zip(several, parts, strict=True):
        one = turned.pop(0) if late else next(turned)
        outputs.append(_join(tape, x, one, others))
        del one
    return outputs


def _apart(tape, x, width):
    """The first elements of each head, all of them or some; and the others."""
    *rows, whole = x.shape
    rule = part_gradients.like_whole(x.shape)
    some = gradients.passed if width == whole else rule
    first = tape.look(x, some, shape=(*rows, width))
    return first, tape.look(x, rule, shape=(*rows, whole - width))


def _join(tape, x, turned, others):
    if others.dtype != turned.dtype:
        others = tape.make(
            f"{others.name} in fp32", others.shape, turned.dtype, "",
            of=(others,), rule=gradients.cast(others.dtype),
        )  # fmt: skip
    return tape.make(
        f"{x.name} rotated", x.shape, turned.dtype, "",
        of=(turned, others), rule=part_gradients.apart([turned.shape, others.shape]),
    )  # fmt: skip


def halves(tape, x):
    """Every second element of x, and the others: views."""
    half = (*x.shape[:-1], x.shape[-1] / 2)
    rule = part_gradients.like_whole(x.shape)
    return [tape.look(x, rule, shape=half) for _ in range(2)]


def rotate_pairs(tape, x, both, cos, sin):
    """As `rotate`, of neighbours: each half of the output is made of both halves."""
    one, other = both

    def half(name, by_cos, by_sin, rule):
        products = [
            tape.make(
                f"by {table.name}", part.shape, x.dtype, of=(part,),
                rule=gradients.like(f"times {table.name}"), saved=(table,),
            )
            for part, table in ((by_cos, cos), (by_sin, sin))
        ]  # fmt: skip
        return tape.make(f"{name} half", one.shape, x.dtype, of=products, rule=rule)

    parts = [
        half("first", one, other, attention_gradients.difference),
        half("second", other, one, gradients.same),
    ]
    rule = part_gradients.apart([each.shape for each in parts])
    return tape.make(f"{x.name} rotated", x.shape, x.dtype, "", of=parts, rule=rule)
