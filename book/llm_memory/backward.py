"""The backward: nodes in the reverse of the order in which the forward made them.

What several users of a tensor send back is summed in a new tensor. (PyTorch can add in
place where nothing else refers to the first summand, but not while a dispatch mode
looks on, as the one does that measures here.)
"""

from . import gradients
from .gradients import Frame, Node, Stop, Summed
from .operations import Activation, Parameter

GRADIENTS = "gradients"


class Graph:
    """The nodes of a forward."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.uses: dict[tuple[int, str], int] = {}
        self.frames: list[Frame] = []
        self.frame: Frame | None = None
        self.refilled: list[Node] | None = None

    @property
    def saves(self) -> bool:
        """Whether what is saved is held now: not in a block that will run again."""
        return self.frame is None or self.refilled is not None

    def add(
        self, rule, of, saved, scope, saves=False, keeps_parameter=False
    ) -> Node | None:
        """Append a kernel's node, and count who will send a gradient to a parameter.

        In a checkpointed block the node waits for its saved tensors; when the block
        runs again, they are filled in. `saves` says that some are the kernel's outputs,
        `keeps_parameter` that there is a parameter among them, which is no tensor here.
        """
        keeps = bool(saved) or keeps_parameter
        if self.refilled is not None:
            return self._refill(saved, saves) if keeps or saves else None
        edges = [x.node if isinstance(x, Activation) else x for x in of]
        if not any(edges):
            return None
        dtypes = [x.dtype if isinstance(x, Activation) else None for x in of]
        frame = self.frame if keeps or saves else None
        kept = [] if frame else list(saved)
        node = Node(rule, tuple(edges), kept, scope, frame, dtypes=tuple(dtypes))
        if frame:
            frame.wait(node)
        self.nodes.append(node)
        for edge in node.edges:
            if isinstance(edge, Parameter):
                key = (scope.group, edge.name)
                self.uses[key] = self.uses.get(key, 0) + 1
        return node

    def _refill(self, saved, saves) -> Node:
        node = self.refilled.pop(0)
        node.saved += saved
        if not self.refilled and not saves:
            raise Stop
        return node

    def ask(self, leaf: Activation, scope) -> None:
        """Ask for the gradient of a tensor that no node made; the graph holds it."""
        leaf.node = Node(gradients.end, (), [leaf], scope)
        self.nodes.append(leaf.node)

    def keep_output(self, node: Node, output: Activation) -> None:
        """Save a kernel's output for its own backward."""
        if node.frame is None or self.refilled is not None:
            node.saved.append(output)

    def keep_product(self, output: Activation) -> None:
        """Have a checkpointed block keep an output that it will not make again."""
        if self.frame and self.refilled is None:
            self.frame.products.append(output)

    def product_again(self) -> Activation | None:
        """Hand over the next output that the block kept; it is kept no longer."""
        again = self.refilled is not None and self.frame.products
        return self.frame.products.pop(0) if again else None

    def kernel_ended(self) -> None:
        """Note that a kernel has made outputs of which some are saved."""
        if self.refilled == []:
            raise Stop


def recompute(tape, frame: Frame) -> None:
    """Run a checkpointed block again, until all that it saves is there."""
    graph = tape.graph
    graph.refilled, frame.waiting, graph.frame = frame.waiting, [], frame
    try:
        with tape.at(frame.scope):
            frame.block(tape, *frame.inputs)
    except Stop:
        pass
    graph.refilled = graph.frame = None
    tape.copies.clear()


def backward(tape, dtype: str) -> None:
    """Visit every node from the loss down, and keep the gradients of parameters.

    `dtype` is that of the loss.
    """
    buffers: dict[object, Activation] = {}
    nodes = tape.graph.nodes
    ones = tape.gradient("of the loss", (), dtype)
    buffers[nodes[-1]] = ones
    while nodes:
        node = nodes.pop()
        if node not in buffers:
            node.saved.clear()
            continue
        if node.frame and node.frame.waiting:
            recompute(tape, node.frame)
        with tape.at(node.scope):
            grad = buffers.pop(node)
            found = list(node.rule(tape, node.saved, grad))
            if node.frame:
                node.saved.clear()
            for index, kind in enumerate(node.dtypes):
                if isinstance(found[index], Summed):
                    found[index] = found[index].sum()
                if kind and found[index].dtype != kind:
                    found[index] = tape.gradient("cast", found[index].shape, kind)
            del grad
            node.saved.clear()
            if node.frame:
                node.frame.release()
            for edge in node.edges:
                each = found.pop(0)
                _send(tape, buffers, edge, each)
                del each
            del found
        del node


def _send(tape, buffers, edge, gradient) -> None:
    if edge is None:
        return
    key = (tape.group, edge.name) if isinstance(edge, Parameter) else edge
    if isinstance(edge, Node) and edge.joins:
        buffers.setdefault(key, []).append(gradient)
    elif key in buffers:
        first = buffers[key]
        total = tape.sum_of(first, gradient)
        buffers[key] = total
    else:
        buffers[key] = gradient
    if isinstance(edge, Parameter):
        tape.graph.uses[key] -= 1
        if not tape.graph.uses[key]:
            tape.timeline.keep_gradient(buffers.pop(key))
