"""Whether Logger._log() is in C: by default from when the first of our handlers is made. See docs/python.md, "Speed"."""
from __future__ import annotations

import os
from typing import Optional

from weir import _weir

_said: Optional[bool] = None


def accelerate_logging(on: bool = True) -> None:
    """Puts Logger._log() in C, or logging's own back, whatever handlers are made later and WEIR_ACCELERATE_LOGGING says."""
    global _said
    _said = bool(on)
    _weir.accelerate(_said)


def by_default() -> None:
    """A handler of ours is being made."""
    if _said is None and os.environ.get('WEIR_ACCELERATE_LOGGING', '').strip().lower() in ('', 'true'):
        _weir.accelerate(True)
