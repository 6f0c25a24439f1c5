"""The kernels of a norm, in order, with what they keep for the backward."""

from . import gradients


def rms_norm(tape, x, name: str, parameters, dtype: str):
    """Root mean square in fp32, as transformers writes it: eight kernels.

    A fused kernel makes the output at once, and keeps its input.
    """
    if tape.run.profile == "fused":
        return _fused(tape, x, name, dtype)
    scaled, mean = _scaled(tape, x, name, keeps_mean=True)
    narrow = scaled
    if x.dtype != "fp32":
        rule = gradients.cast("fp32")
        narrow = tape.make(
            f"{name} normalised", x.shape, x.dtype, of=(scaled,), rule=rule
        )
    (weight,) = parameters
    output = tape.make(name, x.shape, dtype, **tape.weighted(narrow, weight))
    del mean, scaled
    return output


def rms_norm_from_one(tape, x, name: str, parameters, dtype: str):
    """As `rms_norm`, but multiplied by 1 + weight, in fp32 too, as Gemma does."""
    if tape.run.profile == "fused":
        return _fused(tape, x, name, dtype)
    (weight,) = parameters
    scaled = _scaled(tape, x, name)[0]
    wide, frozen = weight, tape.run.frozen
    if tape.run.stored != "fp32":
        rule = None if frozen else gradients.copied(weight)
        wide = tape.make(
            f"{name}.weight in fp32", weight.shape, "fp32", of=(weight,), rule=rule
        )
    factor = tape.make(
        f"{name} 1 + weight", weight.shape, "fp32",
        of=(wide,), rule=None if frozen else gradients.same,
    )  # fmt: skip
    del wide
    if frozen:
        of, kept, rule = (scaled,), (factor,), gradients.like("of the normalised")
    else:
        of = kept = scaled, factor
        rule = gradients.scaling(weight)
    output = tape.make(
        f"{name} weighted", x.shape, "fp32", of=of, rule=rule, saved=kept
    )
    del scaled, factor, of, kept
    if x.dtype == "fp32":
        return output
    return tape.make(name, x.shape, x.dtype, of=(output,), rule=gradients.cast("fp32"))


def rms_norm_in_fp32(tape, x, name: str, parameters, dtype: str):
    """As `rms_norm`, but weighted in fp32 too, as gpt-oss does."""
    if tape.run.profile == "fused":
        return _fused(tape, x, name, dtype)
    (weight,) = parameters
    scaled = _scaled(tape, x, name)[0]
    kept = () if tape.run.frozen else (scaled,)
    wide = tape.make(
        f"{name} weighted", x.shape, "fp32",
        of=(weight, scaled), rule=gradients.weighting(weight), saved=kept,
    )  # fmt: skip
    if dtype == "fp32":
        return wide
    return tape.make(name, x.shape, dtype, of=(wide,), rule=gradients.cast("fp32"))


def _fused(tape, x, name: str, dtype: str):
    root = tape.make(f"{name} 1/rms", (*x.shape[:-1], 1), "fp32")
    return tape.make(name, x.shape, dtype, saved=(x, root))


def _scaled(tape, x, name: str, keeps_mean=False):
    """Make x over its root mean square, in fp32; and the mean of the squares.

    It is kept where a variable of the framework has it as its name.
    """
    rows, wide = (*x.shape[:-1], 1), x
    if x.dtype != "fp32":
        rule = gradients.cast(x.dtype)
        wide = tape.make(f"{name} in fp32", x.shape, "fp32", of=(x,), rule=rule)
    square = tape.make(
        f"{name} squared", x.shape, "fp32",
        of=(wide,), rule=gradients.power, saved=(wide,),
    )  # fmt: skip
    rule = gradients.spread(x.shape)
    mean = tape.make(f"{name} mean", rows, "fp32", of=(square,), rule=rule)
    del square
    shifted = tape.make(
        f"{name} mean + eps", rows, "fp32", of=(mean,), rule=gradients.same
    )
    mean = mean if keeps_mean else None
    root = tape.make(
        f"{name} 1/rms", rows, "fp32",
        of=(shifted,), rule=gradients.power, saves_output=True,
    )  # fmt: skip
    del shifted
    scaled = tape.make(
        f"{name} scaled", x.shape, "fp32",
        of=(wide, root), rule=gradients.row_scaling, saved=(wide, root),
    )  # fmt: skip
    return scaled, mean


def layer_norm(tape, x, name: str, parameters, dtype: str):
    """One kernel: the output, and the mean and deviation of each row."""
    rows = (*x.shape[:-1], 1)
    moments = [tape.make(f"{name} {each}", rows, "fp32") for each in ("mean", "1/std")]
    of, rule = (x, *parameters), gradients.layer_norm(parameters)
    if tape.run.frozen:
        of, rule = (x,), gradients.like("of the input")
    return tape.make(
        name, x.shape, dtype,
        of=of, rule=rule, saved=(x, *moments), makes_saved=True,
    )  # fmt: skip


NORMS = {
    "rms_norm": rms_norm,
    "rms_norm_from_one": rms_norm_from_one,
    "rms_norm_in_fp32": rms_norm_in_fp32,
    "layer_norm": layer_norm,
}
