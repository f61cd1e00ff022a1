"""As much of torch as xgrammar 0.1.25 needs to be imported and to compile grammars: names, no arithmetic."""

from typing import Any

__version__ = "2.9.0"


def __getattr__(name: str) -> Any:
    """Types of tensors and numbers, which xgrammar's annotations name."""
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})


def tensor(*_: Any, **__: Any) -> None:
    """Its constants."""
