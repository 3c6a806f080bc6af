"""Forty kinds of functions, each with its arguments and what it returns."""

from __future__ import annotations

import asyncio
import functools
import math
import operator
import types
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.contract.work import plain


@dataclass(frozen=True)
class Kind:
    """A callable, what it is called with, and what it then returns."""

    func: Callable[..., Any]
    args: tuple[Any, ...] = (3,)
    kwargs: dict[str, Any] = field(default_factory=dict)
    returns: Any = 6


def double(number: int) -> int:
    return 2 * number


def keyword_only(*, number: int, factor: int = 2) -> int:
    return factor * number


def positional_only(number: int, /) -> int:
    return 2 * number


def variadic(*numbers: int, **more: int) -> int:
    return sum(numbers) + sum(more.values())


def recursive(number: int) -> int:
    return 0 if number == 0 else 2 + recursive(number - 1)


def imports_late(number: int) -> int:
    from tests.contract.work import plain as late

    return late(number)


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def bare(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that leaves no trace of what it decorates."""
    return lambda *args: function(*args)  # noqa: PLW0108  # the same would not be decorated


def doubling(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: 2 * function(*args)


@logged
def decorated(number: int) -> int:
    return 2 * number


@bare
@logged
def decorated_twice(number: int) -> int:
    return 2 * number


@functools.cache
def cached(number: int) -> int:
    return 2 * number


@functools.singledispatch
def dispatched(_value: object) -> int:
    return 0


@dispatched.register
def _(value: int) -> int:
    return 2 * value


class Model:
    """Its methods of every kind."""

    def __init__(self, factor: int = 2) -> None:
        self.factor = factor

    def __call__(self, number: int) -> int:
        return self.factor * number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and other.factor == self.factor

    __hash__ = None  # type: ignore[assignment]  # as a class with __eq__ has it

    def bound(self, number: int) -> int:
        return self.factor * number

    @classmethod
    def of_class(cls, number: int) -> int:
        return cls().factor * number

    @staticmethod
    def static(number: int) -> int:
        return 2 * number

    twice = functools.partialmethod(bound, 3)


class Child(Model):
    def bound(self, number: int) -> int:
        return super().bound(number)


@dataclass(frozen=True)
class Task:
    """A callable dataclass."""

    factor: int

    def __call__(self, number: int) -> int:
        return self.factor * number


class Slotted:
    __slots__ = ("factor",)

    def __init__(self) -> None:
        self.factor = 2

    def __call__(self, number: int) -> int:
        return self.factor * number


def run_to_end(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return asyncio.run(function(*args))

    return wrapper


@run_to_end
async def awaited_by_its_decorator(number: int) -> int:
    return 2 * number


def uses_a_generator(number: int) -> int:
    return sum(2 for _ in range(number))


def _in_main(source: str, name: str, **names: Any) -> Callable[..., Any]:
    """A function as a script's ``__main__`` or a notebook's cell defines it."""
    space: dict[str, Any] = {"__name__": "__main__", **names}
    exec(source, space)
    made: Callable[..., Any] = space[name]
    return made


def _closure(factor: int) -> Callable[[int], int]:
    def inner(number: int) -> int:
        return factor * number

    return inner


def _counting() -> Callable[[int], int]:
    count = 0

    def inner(number: int) -> int:
        nonlocal count
        count += 1
        return 2 * number

    return inner


def _module_of_its_own() -> Callable[[int], int]:
    """A function of a module that exists in this process alone."""
    module = types.ModuleType("made_here")
    exec("def double(number):\n    return 2 * number\n", module.__dict__)
    made: Callable[[int], int] = module.double
    return made


HELPER = "FACTOR = 2\ndef helper(n):\n    return FACTOR * n\ndef main(n):\n    return helper(n)\n"
CLASS = "class Model:\n    def __call__(self, n):\n        return 2 * n\nmain = Model()\n"

KINDS: dict[str, Kind] = {
    "function": Kind(double),
    "imported": Kind(plain),
    "keyword_only": Kind(keyword_only, (), {"number": 3}),
    "positional_only": Kind(positional_only),
    "variadic": Kind(variadic, (1, 2), {"a": 3}),
    "recursive": Kind(recursive),
    "imports_late": Kind(imports_late),
    "lambda": Kind(lambda number: 2 * number),
    "lambda_with_default": Kind(lambda number, factor=2: factor * number),
    "closure": Kind(_closure(2)),
    "counting_closure": Kind(_counting()),
    "partial": Kind(functools.partial(keyword_only, number=3), ()),
    "partial_of_partial": Kind(functools.partial(functools.partial(operator.mul, 2), 3), ()),
    "partial_of_lambda": Kind(functools.partial(lambda a, b: a * b, 2)),
    "partial_of_instance": Kind(functools.partial(Model(2), 3), ()),
    "bound": Kind(Model().bound),
    "inherited": Kind(Child().bound),
    "unbound": Kind(Model.bound, (Model(), 3)),
    "class_method": Kind(Model.of_class),
    "static_method": Kind(Model.static),
    "partial_method": Kind(Model().twice, ()),
    "instance": Kind(Model()),
    "instance_of_a_dataclass": Kind(Task(2)),
    "instance_with_slots": Kind(Slotted()),
    "class": Kind(Model, (3,), {}, Model(3)),
    "decorated": Kind(decorated),
    "decorated_twice": Kind(decorated_twice),
    "decorated_lambda": Kind(doubling(lambda number: number)),
    "cached": Kind(cached),
    "dispatched": Kind(dispatched),
    "async_with_a_runner": Kind(awaited_by_its_decorator),
    "uses_a_generator": Kind(uses_a_generator),
    "main": Kind(_in_main("def main(n):\n    return 2 * n\n", "main")),
    "main_with_a_helper": Kind(_in_main(HELPER, "main")),
    "main_class": Kind(_in_main(CLASS, "main")),
    "main_lambda": Kind(_in_main("main = lambda n: 2 * n\n", "main")),
    "notebook_with_an_import": Kind(
        _in_main("import math\ndef main(n):\n    return int(math.pow(n, 1)) * 2\n", "main")
    ),
    "notebook_with_a_module": Kind(
        _in_main("def main(n):\n    return m.trunc(2.5) * n\n", "main", m=math)
    ),
    "module_of_its_own": Kind(_module_of_its_own()),
    "builtin": Kind(sum, ([1, 2, 3],)),
    "builtin_method": Kind("6".zfill, (3,), {}, "006"),
    "builtin_type": Kind(int, ("6",)),
    "operator": Kind(operator.methodcaller("count", "a"), ("banana",), {}, 3),
    "item_getter": Kind(operator.itemgetter(1), ([5, 6],)),
    "c_function": Kind(math.gcd, (12, 18)),
}


def generator(number: int) -> Iterator[int]:
    yield 2 * number


async def coroutine(number: int) -> int:
    return 2 * number


async def async_generator(number: int) -> AsyncIterator[int]:
    yield 2 * number


class Lazy:
    """Callables of which a call runs nothing."""

    def __call__(self, number: int) -> Iterator[int]:
        yield number

    async def bound(self, number: int) -> int:
        return number

    @classmethod
    def of_class(cls, number: int) -> Iterator[int]:
        yield number

    @staticmethod
    async def static(number: int) -> int:
        return number


class AsyncInstance:
    async def __call__(self, number: int) -> int:
        return number


# What is refused: calling it runs nothing.
REFUSED: dict[str, Callable[..., Any]] = {
    "generator": generator,
    "coroutine": coroutine,
    "async_generator": async_generator,
    "partial_generator": functools.partial(generator, 3),
    "partial_coroutine": functools.partial(functools.partial(coroutine), 3),
    "generator_instance": Lazy(),
    "async_instance": AsyncInstance(),
    "partial_of_instance": functools.partial(AsyncInstance(), 3),
    "bound_coroutine": Lazy().bound,
    "class_method": Lazy.of_class,
    "static_method": Lazy.static,
    "cached_coroutine": functools.cache(coroutine),
    "bound_call": AsyncInstance().__call__,
}

# What cannot be seen to run nothing before it is called: the step fails.
FAILED: dict[str, Callable[..., Any]] = {
    "returns_a_generator": lambda number: (2 * number for _ in range(1)),
    "returns_a_coroutine": bare(coroutine),
    "decorated_coroutine": logged(coroutine),
    "decorated_generator": logged(generator),
    "returns_an_async_generator": bare(async_generator),
}
