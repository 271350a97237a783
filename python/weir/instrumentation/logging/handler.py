"""LoggingHandler by the rules of opentelemetry-instrumentation-logging."""
from __future__ import annotations

import logging
from typing import Any, Optional

from weir.sdk._logs import LoggingHandler as _SdkHandler


class LoggingHandler(_SdkHandler):
    """Unlike the SDK's: the body is always text, an `otel.event.name` extra names the event, code.* only when asked for."""

    def __init__(self, level: Any = logging.NOTSET, logger_provider: Optional[Any] = None,
                 log_code_attributes: bool = False) -> None:
        super().__init__(level, logger_provider)
        self._contrib = True
        self._code = log_code_attributes
