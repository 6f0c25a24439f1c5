"""What is alive: the storages that operations made and that are still referenced."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Live(TorchDispatchMode):
    """Count the bytes of storages made inside the `with` block and still alive.

    Attributes:
        now: bytes alive.
        peak: the most that was alive after any operation.
        after: per operation that made storages, how many, and the bytes alive then.
    """

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.after: list[tuple[int, int]] = []
        self._known = weakref.WeakSet()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        given = {
            id(each.untyped_storage())
            for each in tree_leaves((args, kwargs))
            if isinstance(each, torch.Tensor)
        }
        result = function(*args, **(kwargs or {}))
        made = sum(
            self._add(each.untyped_storage(), given)
            for each in tree_leaves(result)
            if isinstance(each, torch.Tensor)
        )
        if made:
            self.after.append((made, self.now))
        self.peak = max(self.peak, self.now)
        return result

    @property
    def sizes(self) -> list[int]:
        """The bytes of each storage alive, empty ones left out."""
        return [each.nbytes() for each in self._known if each.nbytes()]

    def _add(self, storage, given) -> bool:
        if storage in self._known or id(storage) in given:
            return False
        self._known.add(storage)
        size = storage.nbytes()
        self.now += size
        weakref.finalize(storage, self._remove, size)
        return size > 0

    def _remove(self, size: int) -> None:
        self.now -= size
