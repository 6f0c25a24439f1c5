"""The backward of looks at parts of a tensor, and of what is made of parts."""


def joined(shape):
    """Join the gradients of a tensor's parts."""

    def rule(tape, saved, grads):
        return (tape.gradient("of all parts", shape, grads[0].dtype),)

    return rule


def like_whole(shape):
    """Put the gradient of a part among zeros."""

    def rule(tape, saved, grad):
        return (tape.gradient("of the whole", shape, grad.dtype),)

    return rule


def apart(shapes):
    """Look at the gradients of what is side by side."""

    def rule(tape, saved, grad):
        return tuple(tape.look(grad, shape=each) for each in shapes)

    return rule


def filled(shape):
    """Of what was copied into a part of new memory: a copy of that of a copy."""

    def rule(tape, saved, grad):
        _whole = tape.gradient("of the whole", grad.shape, grad.dtype)
        return (tape.gradient("of the part", shape, grad.dtype),)

    return rule


def filled_over(shape):
    """As `filled`; what was there before gets the whole, zero in that part."""

    def rule(tape, saved, grad):
        whole = tape.gradient("of the whole", grad.shape, grad.dtype)
        part = tape.gradient("of the part", shape, grad.dtype)
        tape.gradient("of what was there", shape, grad.dtype)
        return part, whole

    return rule
