"""InstrumentationScope: on whose behalf a logger emits."""
from __future__ import annotations

from typing import Any, Mapping, Optional


class InstrumentationScope:
    """Two of equal name, version, schema URL and attributes are equal; none changes."""

    __slots__ = ('name', 'version', 'schema_url', 'attributes', '_key')

    def __init__(self, name: str, version: Optional[str] = None, schema_url: Optional[str] = None,
                 attributes: Optional[Mapping[str, Any]] = None) -> None:
        self.name = name
        self.version = version
        self.schema_url = schema_url or ''
        self.attributes = dict(attributes or {})
        self._key = (name, version, self.schema_url, repr(sorted(self.attributes.items(), key=lambda pair: str(pair[0]))))

    def __eq__(self, other: Any) -> bool:
        return self._key == other._key if isinstance(other, InstrumentationScope) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f'InstrumentationScope({self.name!r}, {self.version!r}, {self.schema_url!r}, {self.attributes!r})'
