"""The kernels of a norm, in order, and what they keep for the backward."""


def rms_norm(tape, x, name: str, dtype: str):
    """Root mean square in fp32, as transformers writes it: eight kernels.

    A fused kernel makes the output at once, and keeps its input.
    """
    rows = (*x.shape[:-1], 1)
    if tape.run.profile == "fused":
        root = tape.make(f"{name} 1/rms", rows, "fp32")
        tape.save(x, root)
        return tape.make(name, x.shape, dtype)
    wide = x if x.dtype == "fp32" else tape.make(f"{name} in fp32", x.shape, "fp32")
    square = tape.make(f"{name} squared", x.shape, "fp32")
    mean = tape.make(f"{name} mean", rows, "fp32")
    del square
    shifted = tape.make(f"{name} mean + eps", rows, "fp32")
    root = tape.make(f"{name} 1/rms", rows, "fp32")
    del shifted
    tape.save(wide, root)
    scaled = tape.make(f"{name} scaled", x.shape, "fp32")
    del wide, root
    narrow = scaled
    if x.dtype != "fp32":
        narrow = tape.make(f"{name} normalised", x.shape, x.dtype)
    tape.save(narrow)
    output = tape.make(name, x.shape, dtype)
    del mean, scaled
    return output


def layer_norm(tape, x, name: str, dtype: str):
    """One kernel: the output, and the mean and deviation of each row."""
    rows = (*x.shape[:-1], 1)
    output = tape.make(name, x.shape, dtype)
    tape.save(x)
    for moment in ("mean", "1/std"):
        tape.save(tape.make(f"{name} {moment}", rows, "fp32"))
    return output


NORMS = {"rms_norm": rms_norm, "layer_norm": layer_norm}
