"""A step's function: a callable, or the dotted path of one that is imported only when needed."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from planit.errors import PlanError, suggest

Function: TypeAlias = Callable[..., Any] | str
"""What a step takes as its function."""


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
    parts = value.split(".") if isinstance(value, str) else []
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
    """Refuse arguments that `function` would not take."""
    signature = _signature(function)
    if signature is None:
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        name = getattr(function, "__qualname__", repr(function))
        raise PlanError(f"{error} of {name}{signature}") from None


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """None if it has none, as some builtins: then only the job can tell."""
    try:
        return _signature_of_many(function)
    except TypeError:  # not hashable, or it cannot be called
        pass
    except ValueError:
        return None
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


# The branches of a sweep call one function; another one may take its place under the same name.
_signature_of_many = lru_cache(maxsize=64)(inspect.signature)


def dotted_path(func: Function) -> str | None:
    """Where `func` can be imported from again, or None (a lambda, a closure, __main__)."""
    if isinstance(func, str):
        return func
    module = getattr(func, "__module__", None)
    name = getattr(func, "__qualname__", None)
    if not module or not name or module == "__main__" or "<" in name:
        return None
    return f"{module}.{name}"
