"""The Logs API: providers, loggers and records, and the global provider. What becomes of records: weir.sdk._logs."""
from __future__ import annotations

import abc
import logging
import os
import sys
import threading
import time
from typing import Any, Mapping, Optional

from weir._logs.severity import SeverityNumber

__all__ = ['Logger', 'LoggerProvider', 'LogRecord', 'NoOpLogger', 'NoOpLoggerProvider', 'SeverityNumber', 'get_logger',
           'get_logger_provider', 'set_logger_provider']

_log = logging.getLogger(__name__)


def _current_context() -> Any:
    """The OpenTelemetry API's current context; None where the app has not loaded that API."""
    module = sys.modules.get('opentelemetry.context')
    return module.get_current() if module is not None and hasattr(module, 'get_current') else None


def _span_context(context: Any) -> Any:
    module = sys.modules.get('opentelemetry.trace')
    if module is None or not hasattr(module, 'get_current_span'):
        return None
    return module.get_current_span(context).get_span_context()


class LogRecord:
    """What is logged, before an SDK adds resource and scope. Ids that are not given are those of the current span."""

    def __init__(self, *, timestamp: Optional[int] = None, observed_timestamp: Optional[int] = None, context: Any = None,
                 trace_id: Optional[int] = None, span_id: Optional[int] = None, trace_flags: Optional[int] = None,
                 severity_text: Optional[str] = None, severity_number: Optional[SeverityNumber] = None, body: Any = None,
                 attributes: Optional[Mapping[str, Any]] = None, event_name: Optional[str] = None,
                 exception: Optional[BaseException] = None) -> None:
        self.context = context or _current_context()
        span = _span_context(self.context)
        self.timestamp = timestamp
        self.observed_timestamp = time.time_ns() if observed_timestamp is None else observed_timestamp
        self.trace_id = trace_id or (span.trace_id if span else 0)
        self.span_id = span_id or (span.span_id if span else 0)
        self.trace_flags = trace_flags or (span.trace_flags if span else 0)
        self.severity_text = severity_text
        self.severity_number = severity_number
        self.body = body
        self.attributes = attributes
        self.event_name = event_name
        self.exception = exception

    def __repr__(self) -> str:
        return f'LogRecord({self.severity_text!r}, {self.body!r}, {dict(self.attributes or {})!r})'


class Logger(abc.ABC):
    """Emits records on behalf of one instrumentation scope."""

    def __init__(self, name: str, version: Optional[str] = None, schema_url: Optional[str] = None,
                 attributes: Optional[Mapping[str, Any]] = None) -> None:
        self._name = name
        self._version = version
        self._schema_url = schema_url
        self._attributes = attributes

    @abc.abstractmethod
    def emit(self, record: Optional[LogRecord] = None, *, timestamp: Optional[int] = None,
             observed_timestamp: Optional[int] = None, context: Any = None, severity_number: Optional[SeverityNumber] = None,
             severity_text: Optional[str] = None, body: Any = None, attributes: Optional[Mapping[str, Any]] = None,
             event_name: Optional[str] = None, exception: Optional[BaseException] = None) -> None:
        """Emits a record, or one made of the other arguments."""

    def enabled(self, *, context: Any = None, severity_number: Optional[SeverityNumber] = None,
                event_name: Optional[str] = None) -> bool:
        """Whether such a record would go anywhere; ask each time."""
        return True


class LoggerProvider(abc.ABC):
    @abc.abstractmethod
    def get_logger(self, name: str, version: Optional[str] = None, schema_url: Optional[str] = None,
                   attributes: Optional[Mapping[str, Any]] = None) -> Logger:
        """The logger of an instrumentation scope."""


class NoOpLogger(Logger):
    """Does nothing."""

    def emit(self, record=None, **parts) -> None:
        pass

    def enabled(self, **question) -> bool:
        return False


class NoOpLoggerProvider(LoggerProvider):
    def get_logger(self, name, version=None, schema_url=None, attributes=None) -> Logger:
        return NoOpLogger(name, version, schema_url, attributes)


class ProxyLogger(Logger):
    """A logger from before there was a global provider: a no-op until there is one."""

    _real: Optional[Logger] = None

    def _now(self) -> Optional[Logger]:
        if self._real is None and _provider is not None:
            self._real = _provider.get_logger(self._name, self._version, self._schema_url, self._attributes)
        return self._real

    def emit(self, record=None, **parts) -> None:
        real = self._now()
        if real is not None:
            real.emit(record, **parts)

    def enabled(self, **question) -> bool:
        real = self._now()
        return real is not None and real.enabled(**question)


class ProxyLoggerProvider(LoggerProvider):
    """The global provider while none is set."""

    def get_logger(self, name, version=None, schema_url=None, attributes=None) -> Logger:
        if _provider is not None:
            return _provider.get_logger(name, version, schema_url, attributes)
        return ProxyLogger(name, version, schema_url, attributes)


_provider: Optional[LoggerProvider] = None
_provider_lock = threading.Lock()
_proxy = ProxyLoggerProvider()


def set_logger_provider(logger_provider: LoggerProvider) -> None:
    """Sets the global provider; the first one stays."""
    global _provider
    with _provider_lock:
        if _provider is None:
            _provider = logger_provider
            return
    _log.warning('Overriding of current LoggerProvider is not allowed')


def get_logger_provider() -> LoggerProvider:
    """The global provider; while there is none, one that finds it when it has been set."""
    return _proxy if _provider is None else _provider


def get_logger(instrumenting_module_name: str, instrumenting_library_version: str = '',
               logger_provider: Optional[LoggerProvider] = None, schema_url: Optional[str] = None,
               attributes: Optional[Mapping[str, Any]] = None) -> Logger:
    """The logger of a scope, from the given or the global provider."""
    provider = logger_provider or get_logger_provider()
    return provider.get_logger(instrumenting_module_name, instrumenting_library_version, schema_url, attributes)


def _after_fork_in_child() -> None:
    global _provider_lock
    _provider_lock = threading.Lock()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_after_fork_in_child)
