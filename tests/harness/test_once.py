"""What is asked once of a frozen object is computed once, for each object and each question apart."""

from dataclasses import dataclass, field, replace

from harness.once import once


@dataclass(frozen=True)
class Asked:
    name: str = "one"
    calls: list[tuple[str, int]] = field(default_factory=list)

    @once
    def twice(self, number: int, more: int = 0) -> int:
        self.calls.append((self.name, number))
        return 2 * number + more


@once
def outside(asked: Asked, number: int) -> None:
    asked.calls.append(("outside", number))


def test_every_question_is_answered_once_an_object() -> None:
    one = Asked()
    assert [one.twice(3), one.twice(3), one.twice(3, more=1)] == [6, 6, 7]
    other = replace(one, name="other")
    assert other.twice(3) == 6
    outside(one, 3)
    outside(one, 3)
    assert one.calls == [("one", 3), ("one", 3), ("other", 3), ("outside", 3)]


def test_what_is_nothing_is_not_asked_again() -> None:
    one = Asked()
    assert [outside(one, 1), outside(one, 1)] == [None, None]
    assert one.calls == [("outside", 1)]
