"""A step's function: a callable, or the dotted path of one that is imported only when needed."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import BuiltinFunctionType, FunctionType
from typing import Any, TypeAlias

from planit.errors import PlanError, suggest

Function: TypeAlias = Callable[..., Any] | str
"""What a step takes as its function."""

_MAX_DEPTH = 50  # of partials and caches around a function


def check_function(func: Any) -> None:
    """Refuse what can be refused without importing anything."""
    if isinstance(func, str):
        if not is_dotted_path(func):
            raise PlanError(
                f"func {func!r} is not a dotted path", hint='write it as "package.module.function"'
            )
    elif not callable(func):
        raise PlanError(
            f"func must be a callable or a dotted path, not {func!r}",
            hint="pass the function itself, without calling it",
        )


def is_dotted_path(value: Any) -> bool:
    """Whether `value` is text like ``package.module.function``."""
    return isinstance(value, str) and _has_names(value)


@lru_cache(maxsize=64)  # the branches of a sweep call one function
def _has_names(text: str) -> bool:
    parts = text.split(".")
    return len(parts) >= 2 and all(part.isidentifier() for part in parts)


def resolve(func: Function) -> Callable[..., Any]:
    """The callable that `func` is or names.

    Raises:
        PlanError: the module cannot be imported, has no such attribute, or it is not callable.
    """
    if not isinstance(func, str):
        return func
    target, rest = _import_longest(func)
    for attribute in rest:
        if not hasattr(target, attribute):
            public = [name for name in dir(target) if not name.startswith("_")]
            where = getattr(target, "__name__", repr(target))
            raise PlanError(f"{where} has no {attribute!r}", hint=suggest(attribute, public))
        target = getattr(target, attribute)
    if not callable(target):
        raise PlanError(f"{func} is a {type(target).__name__}, not something that can be called")
    return target  # type: ignore[no-any-return]  # narrowed by callable() above


def _import_longest(path: str) -> tuple[Any, list[str]]:
    """Import as much of a dotted path as is a module; the rest are attributes."""
    parts = path.split(".")
    for count in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:count])
        try:
            return importlib.import_module(name), parts[count:]
        except ModuleNotFoundError as error:
            if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
                raise PlanError(
                    f"{name} cannot be imported: {error}", hint="install it, or fix the import"
                ) from error
        except Exception as error:
            raise PlanError(
                f"{name} cannot be imported: {type(error).__name__}: {error}"
            ) from error
    raise PlanError(
        f"no module named {parts[0]!r} for {path}",
        hint="is it installed, or is the working directory the project's root?",
    )


def check_call(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> None:
    """Refuse a function that a call does not run, and arguments that it would not take."""
    try:
        signature = _inspected_once(function)
    except TypeError:  # it is not hashable
        signature = _inspected(function)
    if signature is None:
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        name = getattr(function, "__qualname__", repr(function))
        raise PlanError(f"{error} of {name}{signature}") from None


def _inspected(function: Callable[..., Any]) -> inspect.Signature | None:
    """Its signature; None if it has none, as some builtins: then only the job can tell."""
    _refuse_lazy(function)
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


# The branches of a sweep call one function; another one may take its place under the same name.
_inspected_once = lru_cache(maxsize=64)(_inspected)


def _refuse_lazy(function: Callable[..., Any]) -> None:
    """Refuse a generator or an ``async def`` function: a call runs nothing of it.

    What a decorator with a function of its own makes of one is not known before the call.
    """
    inner = _undecorated(function)
    name = getattr(inner, "__qualname__", repr(inner))
    if inspect.iscoroutinefunction(inner):
        raise PlanError(
            f"{name} is an async function, and calling it runs nothing",
            hint=f"use a plain function that calls asyncio.run({name}(...))",
        )
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise PlanError(
            f"{name} is a generator function, and calling it runs nothing",
            hint=f"use a plain function that runs it to its end, such as list({name}(...))",
        )


def _undecorated(function: Any) -> Any:
    """The function behind partials, methods, caches and callable objects."""
    for _ in range(_MAX_DEPTH):
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif isinstance(function, (FunctionType, BuiltinFunctionType, type)):
            break
        else:
            function = getattr(function, "__wrapped__", None) or type(function).__call__
    return function


def has_run(result: Any) -> Any:
    """What a function returned. Raises NotRunError if that is itself still to be run."""
    kind = next((kind for kind, is_it in _LAZY.items() if is_it(result)), None)
    if kind is None:
        return result
    name = getattr(result, "__qualname__", "")
    if inspect.iscoroutine(result):
        result.close()  # else Python warns that it was never awaited
    raise NotRunError(f"the function returned {kind} that has not run: {name}")


_LAZY: dict[str, Callable[[Any], bool]] = {
    "a coroutine": inspect.iscoroutine,
    "a generator": inspect.isgenerator,
    "an async generator": inspect.isasyncgen,
}


class NotRunError(TypeError):
    """A step's function returned a generator or a coroutine, of which nothing has run."""


def dotted_path(func: Function) -> str | None:
    """Where `func` can be imported from again, or None (a lambda, a closure, __main__)."""
    if isinstance(func, str):
        return func
    module = getattr(func, "__module__", None)
    name = getattr(func, "__qualname__", None)
    if not module or not name or module == "__main__" or "<" in name:
        return None
    return f"{module}.{name}"
