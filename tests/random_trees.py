"""Random expression trees and values for them, for the tests of every evaluator."""

from llm_memory.expression import from_tree

NAMES = ("b", "s", "t", "h", "L_w")
HEADS = ("+", "*", "-", "/", "^", "mod", "floor", "ceiling", "min", "max", "piecewise")


def random_number(random):
    """A tree of a number at the leaves: a name, a small or a very large integer."""
    kind = random.randrange(8)
    if kind < 4:
        return random.choice(NAMES)
    if kind < 7:
        return random.randint(-9, 99)
    return ["int", str(random.choice([-1, 1]) * random.randint(2**53, 2**80))]


def random_divisor(random):
    """A tree that is never zero."""
    kind = random.randrange(4)
    if kind == 0:
        return random.choice(["b", "s", "t", "h"])
    if kind == 1:
        return ["+", random.choice(NAMES), random.randint(1, 9)]
    return random.choice([-7, -2, 2, 3, 7, 49, 128])


def random_condition(random, depth):
    """A tree of a condition."""
    kind = random.randrange(10)
    if depth > 0 and kind < 3:
        head = random.choice(["and", "or"])
        return [head, *(random_condition(random, depth - 1) for _ in range(2))]
    if depth > 0 and kind == 3:
        return ["not", random_condition(random, depth - 1)]
    if kind == 4:
        return random.choice([True, False])
    head = random.choice(["<", "<=", ">", ">=", "==", "!="])
    return [head, *(random_compared(random) for _ in range(2))]


def random_compared(random):
    """A tree of a number to compare; SymPy rewrites a comparison of piecewises."""
    kind = random.randrange(4)
    if kind == 0:
        return ["mod", random_number(random), random_divisor(random)]
    if kind == 1:
        return ["floor", ["/", random_number(random), random_divisor(random)]]
    return random_number(random)


def random_tree(random, depth):
    """A tree of a number, with no division by zero and a last pair that holds."""
    if depth <= 0:
        return random_number(random)
    below = depth - 1
    head = random.choice(HEADS)
    if head in ("/", "mod"):
        return [head, random_tree(random, below), random_divisor(random)]
    if head == "^":
        return [head, random_tree(random, below), random.randint(0, 3)]
    if head in ("floor", "ceiling"):
        return [head, ["/", random_tree(random, below), random_divisor(random)]]
    if head == "piecewise":
        pair = [random_tree(random, below), random_condition(random, below)]
        return [head, pair, [random_tree(random, below), True]]
    count = random.randint(1, 2) if head == "-" else random.randint(2, 3)
    return [head, *(random_tree(random, below) for _ in range(count))]


def random_values(random):
    """A legal value for each name, some of them beyond 2^53."""
    large = random.random() < 0.3
    values = {name: random.randint(1, 2**70 if large else 300) for name in NAMES}
    values["L_w"] = random.randint(0, 64)
    return values


def oracle(tree, values):
    """SymPy's own value of a tree."""
    return from_tree(filled_in(tree, values))


def filled_in(tree, values):
    """The tree with each name replaced by its value."""
    if isinstance(tree, str):
        return ["int", str(values[tree])]
    if not isinstance(tree, list) or tree[0] == "int":
        return tree
    if tree[0] == "piecewise":
        return ["piecewise", *([filled_in(x, values) for x in p] for p in tree[1:])]
    return [tree[0], *(filled_in(part, values) for part in tree[1:])]
