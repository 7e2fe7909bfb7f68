"""Several strategies in one arm, as one strategy: what `+` makes."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from harness.errors import InputError, TrialError
from harness.plan import Budget
from harness.strategy import CROSS_ENTROPY, Batch, Chunk, Course, Memory, Origin, Strategy, after_training, overrides

if TYPE_CHECKING:
    from torch import Tensor, nn


def parts(strategy: Strategy) -> tuple[Strategy, ...]:
    """The strategies that a combined one is made of, in the order typed."""
    return strategy.parts if isinstance(strategy, Combined) else (strategy,)


# Hooks that only one part of an arm can mean: two schedules have no sum, nor have two mixtures, unless it is known that they
# share out different text.
_EXCLUSIVE = {"schedule": "a learning-rate schedule", "mixture": "a mixture of sources", "adapt": "a change of the model"}


def _apart(mixing: Sequence[Strategy]) -> bool:
    """Whether strategies that bring mixtures share out one text of the plan each, and none the text of another."""
    needs = [part.needed() for part in mixing]
    return all(len(each) == 1 for each in needs) and len({each[0] for each in needs}) == len(needs)


@dataclass(frozen=True)
class Combined(Strategy):
    """Several strategies in one arm; their hooks run in the order typed."""

    parts: tuple[Strategy, ...] = ()

    def __post_init__(self) -> None:
        for hook, what in _EXCLUSIVE.items():
            bringing = [part for part in self.parts if overrides(part, hook)]
            owners = [type(part).__name__ for part in bringing]
            if len(owners) > 1 and not (hook == "mixture" and _apart(bringing)):
                raise InputError(f"{' and '.join(owners)} cannot be combined: each brings {what}; leave one of them out")
        self._check_names()
        self._check_ends()

    def _check_names(self) -> None:
        """Refuse parts that find weights by the base's names beside one that gives them others."""
        for i, renaming in enumerate(self.parts):
            for j, part in enumerate(self.parts):
                lasting = renaming.renames == "for good"
                if renaming.renames and part.by_name and (lasting or not (after_training(part) and j > i)):
                    raise InputError(
                        f"{type(renaming).__name__} and {type(part).__name__} cannot be combined: the first gives weights "
                        f"other names than the base's, by which the second finds them; leave one of them out"
                    )

    def _check_ends(self) -> None:
        """Refuse parts of which one would overwrite the weights that another ended with."""
        making = [p for p in self.parts if p.by_name and overrides(p, "finish") and not after_training(p)]
        names = [type(part).__name__ for part in making]
        if len(making) > 1:
            raise InputError(
                f"{' and '.join(names)} cannot be combined: each ends the training with weights of its own making; "
                f"leave one of them out"
            )
        for part in self.parts[: self.parts.index(making[0])] if making else ():
            if after_training(part):
                raise InputError(
                    f"{type(part).__name__} and {names[0]} cannot be combined in this order: {names[0]} ends the training with "
                    f"weights of its own making, over those of {type(part).__name__}; type {names[0]} before it"
                )

    def cost(self, budget: Budget) -> float:
        return 1.0 + sum(part.cost(budget) - 1.0 for part in self.parts)

    def fits(self, config: Any, budget: Budget) -> None:
        for part in self.parts:
            part.fits(config, _Paced(**vars(budget), arm=self))

    def needed(self) -> Sequence[str]:
        return tuple(dict.fromkeys(need for part in self.parts for need in part.needed()))

    def setup(self, origin: Origin) -> Memory:
        memories = tuple(part.setup(_seen_by(i, origin)) for i, part in enumerate(self.parts))
        moving = {str(i): memory.moving for i, memory in enumerate(memories)}
        facts = _united([memory.facts for memory in memories])
        return Memory(memories, moving, facts, _united([memory.sources for memory in memories]))

    def adapt(self, model: "nn.Module") -> "nn.Module":
        for part in self.parts:
            model = part.adapt(model)
        return model

    def peak(self) -> float:
        return math.prod(part.peak() for part in self.parts)

    def schedule(self, budget: Budget) -> Callable[[int], float]:
        for part in self.parts:
            if overrides(part, "schedule"):
                return part.schedule(budget)
        return budget.schedule

    def choose(self, source: str, memory: Memory) -> Sequence[int] | None:
        found = [(part, rows) for part, own in self._each(memory) if (rows := part.choose(source, own)) is not None]
        if len(found) > 1:
            names = " and ".join(type(part).__name__ for part, _ in found)
            raise InputError(f"{names} cannot be combined: each selects rows of the {source} text; leave one of them out")
        return found[0][1] if found else None

    def mixture(self, update: int, course: Course) -> Mapping[str, float]:
        return {source: share for part in self.parts for source, share in part.mixture(update, course).items()}

    def weigh(self, batch: Batch, memory: Memory) -> "Mapping[str, Tensor]":
        weights: dict[str, Tensor] = {}
        for i, (part, own) in enumerate(self._each(memory)):
            for term, values in part.weigh(batch, own).items():
                name = term if term == CROSS_ENTROPY else self._name(i, term)
                weights[name] = weights[name] * values if name in weights else values
        return weights

    def observe(self, batch: Batch, memory: Memory) -> "Mapping[str, Tensor]":
        return {
            f"{i}.{name}": values
            for i, (part, own) in enumerate(self._each(memory))
            for name, values in part.observe(batch, own).items()
        }

    def loss(self, chunk: Chunk, memory: Memory) -> "Mapping[str, Tensor]":
        terms = {}
        for i, (part, own) in enumerate(self._each(memory)):
            if not overrides(part, "loss"):
                continue
            beside = {name[len(f"{i}.") :]: v for name, v in chunk.beside.items() if name.startswith(f"{i}.")}
            view = ChunkView(chunk.hidden, chunk.logits, chunk.targets, chunk.losses, beside)
            terms.update({self._name(i, term): values for term, values in part.loss(view, own).items()})
        return terms

    def gradients(self, model: "nn.Module", memory: Memory, origin: Origin) -> None:
        for part, own in self._each(memory):
            part.gradients(model, own, origin)
        self._gather(memory)

    def weights(self, model: "nn.Module", memory: Memory, origin: Origin) -> None:
        for part, own in self._each(memory):
            part.weights(model, own, origin)
        self._gather(memory)

    def finish(self, model: "nn.Module", memory: Memory, origin: Origin) -> None:
        for part, own in self._each(memory):
            part.finish(model, own, origin)
        memory.facts.update(_united([own.facts for _, own in self._each(memory)]))

    def _gather(self, memory: Memory) -> None:
        """What the parts logged, as what the arm logged."""
        memory.log.update(_united([own.log for _, own in self._each(memory)]))

    def _each(self, memory: Memory) -> list[tuple[Strategy, Memory]]:
        return list(zip(self.parts, memory.fixed, strict=True))

    def _name(self, index: int, term: str) -> str:
        """A term's name within the arm: numbered from the second part that brings terms, so that none hides another."""
        bringing = [i for i, part in enumerate(self.parts) if overrides(part, "loss")]
        place = bringing.index(index) + 1 if index in bringing else 1
        return term if place == 1 else f"{term}.{place}"


@dataclass(frozen=True)
class Broken(Strategy):
    """Stands in an arm for a strategy whose code cannot be used, and says why when the arm's turn comes."""

    cause: str = ""

    def setup(self, origin: Origin) -> Memory:
        raise TrialError(self.cause)


@dataclass(frozen=True, kw_only=True)
class _Paced(Budget):
    """A budget as a part of an arm sees it: its schedule is the arm's."""

    arm: Combined

    @property
    def schedule(self) -> Callable[[int], float]:
        return self.arm.schedule(Budget(**{f.name: getattr(self, f.name) for f in fields(Budget)}))


class _Stage:
    """An origin as one part of an arm sees it: the stage before left it a memory of its own."""

    def __init__(self, origin: Origin, earlier: Memory) -> None:
        self._origin, self.earlier = origin, earlier

    def __getattr__(self, name: str) -> Any:
        return getattr(self._origin, name)


def _seen_by(index: int, origin: Origin) -> Any:
    return origin if origin.earlier is None else _Stage(origin, origin.earlier.fixed[index])


def _united(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Several parts' names and values as the arm's: a name that an earlier part brought is numbered by its part."""
    found: dict[str, Any] = {}
    for i, own in enumerate(each, 1):
        found |= {f"{key}.{i}" if key in found else key: value for key, value in own.items()}
    return found


@dataclass(frozen=True)
class ChunkView:
    """A chunk as one part of a combined arm sees it."""

    hidden: "Tensor"
    logits: "Tensor"
    targets: "Tensor"
    losses: "Tensor"
    beside: Mapping[str, "Tensor"]
