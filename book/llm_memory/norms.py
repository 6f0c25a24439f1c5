"""The kernels of a norm, in order, with what they keep for the backward."""

from . import gradients


def rms_norm(tape, x, name: str, parameters, dtype: str):
    """Root mean square in fp32, as transformers writes it: eight kernels.

    A fused kernel makes the output at once, and keeps its input.
    """
    rows, wide = (*x.shape[:-1], 1), x
    if tape.run.profile == "fused":
        root = tape.make(f"{name} 1/rms", rows, "fp32")
        return tape.make(name, x.shape, dtype, saved=(x, root))
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
    root = tape.make(
        f"{name} 1/rms", rows, "fp32",
        of=(shifted,), rule=gradients.power, saves_output=True,
    )  # fmt: skip
    del shifted
    scaled = tape.make(
        f"{name} scaled", x.shape, "fp32",
        of=(wide, root), rule=gradients.row_scaling, saved=(wide, root),
    )  # fmt: skip
    del wide, root
    narrow = scaled
    if x.dtype != "fp32":
        rule = gradients.cast("fp32")
        narrow = tape.make(
            f"{name} normalised", x.shape, x.dtype, of=(scaled,), rule=rule
        )
    (weight,) = parameters
    kept = () if tape.run.frozen else (narrow,)
    output = tape.make(
        name, x.shape, dtype,
        of=(weight, narrow), rule=gradients.weighting(weight), saved=kept,
    )  # fmt: skip
    del mean, scaled
    return output


def layer_norm(tape, x, name: str, parameters, dtype: str):
    """One kernel: the output, and the mean and deviation of each row."""
    rows = (*x.shape[:-1], 1)
    moments = [tape.make(f"{name} {each}", rows, "fp32") for each in ("mean", "1/std")]
    return tape.make(
        name, x.shape, dtype,
        of=(x, *parameters), rule=gradients.layer_norm(parameters), saved=(x, *moments),
    )  # fmt: skip


NORMS = {"rms_norm": rms_norm, "layer_norm": layer_norm}
