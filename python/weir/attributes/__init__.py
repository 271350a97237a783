"""Attributes of records on the Python path: values as OTLP can carry them, and a bounded dict of them."""
from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Iterator, Optional

_DEPTH_MAX = 30  # as in value.c


def _has_text(value: Any) -> bool:
    return type(value).__str__ is not object.__str__ or type(value).__repr__ is not object.__repr__


def clean_value(value: Any, max_length: Optional[int] = None, depth: int = 1) -> Any:
    """A copy that nobody changes later: sequences as tuples, mappings as dicts, other things as text, or None."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (str, bytes)):
        return value if max_length is None else value[:max_length]
    if depth > _DEPTH_MAX:
        return None
    if isinstance(value, Sequence):
        return tuple(_try_clean(v, max_length, depth + 1) for v in value)
    if isinstance(value, Mapping):
        return {k if isinstance(k, str) else str(k): _try_clean(v, max_length, depth + 1)
                for k, v in value.items() if k and (isinstance(k, str) or _has_text(k))}
    return clean_value(str(value), max_length) if _has_text(value) else None


def _try_clean(value: Any, max_length: Optional[int], depth: int) -> Any:
    try:
        return clean_value(value, max_length, depth)
    except Exception:  # a hostile __str__ costs itself only
        return None


class BoundedAttributes(MutableMapping):
    """At most `maxlen` attributes with clean values; `dropped` counts what did not fit. What raises is left out."""

    def __init__(self, maxlen: Optional[int] = None, attributes: Optional[Mapping[str, Any]] = None, immutable: bool = True,
                 max_value_len: Optional[int] = None, extended_attributes: bool = True) -> None:
        self.maxlen = maxlen
        self.max_value_len = max_value_len
        self.dropped = 0
        self._dict: dict = {}
        self._immutable = False
        for key, value in (attributes or {}).items():
            self[key] = value
        self._immutable = immutable

    def __getitem__(self, key: str) -> Any:
        return self._dict[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if self._immutable:
            raise TypeError('these attributes cannot be changed')
        if not key or not isinstance(key, str) or (key not in self._dict and self.maxlen is not None
                                                   and len(self._dict) >= self.maxlen):
            self.dropped += 1
            return
        try:
            self._dict[key] = clean_value(value, self.max_value_len)
        except Exception:
            self.dropped += 1

    def __delitem__(self, key: str) -> None:
        if self._immutable:
            raise TypeError('these attributes cannot be changed')
        del self._dict[key]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._dict))

    def __len__(self) -> int:
        return len(self._dict)

    def __repr__(self) -> str:
        return repr(self._dict)

    def copy(self) -> dict:
        return dict(self._dict)
