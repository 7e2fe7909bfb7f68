"""What a strategy keeps beside the model that it trains: reference weights, a Fisher, masks, averages, in bytes."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from harness.train import Training


def stored(training: "Training") -> int:
    """Bytes of all tensors that the memory of a training holds, each storage once; its own model's are not among them."""
    own = {tensor.untyped_storage().data_ptr() for tensor in _of(training.model)}
    kept = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in held(training.memory)}
    return sum(size for place, size in kept.items() if place not in own)


def held(value: Any, seen: set[int] | None = None) -> Iterator[Tensor]:
    """Tensors in a value: in containers, modules, and the attributes of objects."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, type):
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, nn.Module):
        yield from _of(value)
    else:
        inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
        for each in (*inner, *getattr(value, "__dict__", {}).values()):
            yield from held(each, seen)


def _of(model: Any) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()
