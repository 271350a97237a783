"""LoggingInstrumentor: the current trace's ids on every logging record, and a handler on the root logger."""
from __future__ import annotations

import functools
import logging
import logging.config
import os
import sys
from typing import Any, Callable, Optional

from weir._logs import get_logger_provider
from weir.instrumentation.logging.handler import LoggingHandler

DEFAULT_LOGGING_FORMAT = ('%(asctime)s %(levelname)s [%(name)s] [%(filename)s:%(lineno)d] [trace_id=%(otelTraceID)s '
                          'span_id=%(otelSpanID)s resource.service.name=%(otelServiceName)s '
                          'trace_sampled=%(otelTraceSampled)s] - %(message)s')


def _env_bool(name: str, default: bool) -> bool:
    text = os.environ.get(name, '').strip().lower()
    return text == 'true' if text else default


def _level(given: Any, variable: str, default: int) -> int:
    """A level's number, of a name too; from the variable when it is not given."""
    if given is None:
        given = os.environ.get(variable, '').strip() or default
    number = logging.getLevelName(given.upper()) if isinstance(given, str) else given
    return number if isinstance(number, int) else default


def _service_name(tracer_provider: Any) -> str:
    """Of the traces' resource, so that lines and spans agree; else of the logs'."""
    trace = sys.modules.get('opentelemetry.trace')
    if tracer_provider is None and trace is not None:
        tracer_provider = trace.get_tracer_provider()
    for provider in (tracer_provider, get_logger_provider()):
        resource = getattr(provider, 'resource', None)
        if resource is not None:
            return resource.attributes.get('service.name') or ''
    return ''


class _Kept:
    """Keeps the handler on the root logger through logging's configuring functions, which would take it off."""

    def __init__(self, handler: logging.Handler) -> None:
        self._handler = handler
        self._wrapped = [(module, name, getattr(module, name)) for module, name in (
            (logging, 'basicConfig'), (logging.config, 'dictConfig'), (logging.config, 'fileConfig'))]
        for module, name, function in self._wrapped:
            setattr(module, name, self._around(function))

    def _around(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def around(*args, **kwargs):
            root = logging.getLogger()
            there = self._handler in root.handlers
            if there:
                root.removeHandler(self._handler)
            try:
                return function(*args, **kwargs)
            finally:
                if there:
                    root.addHandler(self._handler)
        return around

    def undo(self) -> None:
        for module, name, function in self._wrapped:
            setattr(module, name, function)


class LoggingInstrumentor:
    """One per process, whoever makes it."""

    _instance: Optional['LoggingInstrumentor'] = None
    _old_factory: Optional[Callable] = None
    _handler: Optional[LoggingHandler] = None
    _kept: Optional[_Kept] = None
    _instrumented = False

    def __new__(cls, *args, **kwargs) -> 'LoggingInstrumentor':
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        return self._instrumented

    def instrument(self, *, set_logging_format: Optional[bool] = None, inject_trace_context: bool = False,
                   logging_format: Optional[str] = None, log_level: Any = None, log_hook: Optional[Callable] = None,
                   enable_log_auto_instrumentation: Optional[bool] = None, log_code_attributes: Optional[bool] = None,
                   log_handler_level: Any = None, tracer_provider: Any = None, **others: Any) -> None:
        """What is not given comes from OTEL_PYTHON_LOG_*; by default there is just the handler."""
        if self._instrumented:
            return
        self._instrumented = True
        if set_logging_format is None:
            set_logging_format = _env_bool('OTEL_PYTHON_LOG_CORRELATION', False)
        if set_logging_format:
            logging.basicConfig(format=logging_format or os.environ.get('OTEL_PYTHON_LOG_FORMAT') or DEFAULT_LOGGING_FORMAT,
                                level=_level(log_level, 'OTEL_PYTHON_LOG_LEVEL', logging.INFO))
        if set_logging_format or inject_trace_context or callable(log_hook):
            self._make_records(bool(set_logging_format or inject_trace_context), tracer_provider, log_hook)
        if enable_log_auto_instrumentation is None:
            enable_log_auto_instrumentation = _env_bool('OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION', True)
        if enable_log_auto_instrumentation:
            if log_code_attributes is None:
                log_code_attributes = _env_bool('OTEL_PYTHON_LOG_CODE_ATTRIBUTES', False)
            level = _level(log_handler_level, 'OTEL_PYTHON_LOG_HANDLER_LEVEL', logging.NOTSET)
            self._handler = LoggingHandler(level, None, log_code_attributes)
            logging.getLogger().addHandler(self._handler)
            self._kept = _Kept(self._handler)

    def _make_records(self, inject: bool, tracer_provider: Any, log_hook: Optional[Callable]) -> None:
        old = self._old_factory = logging.getLogRecordFactory()
        service_name: Optional[str] = None

        def factory(*args, **kwargs):
            nonlocal service_name
            record = old(*args, **kwargs)
            if inject:
                if not service_name:
                    service_name = _service_name(tracer_provider)
                record.otelSpanID = record.otelTraceID = '0'
                record.otelTraceSampled = False
                record.otelServiceName = service_name
            trace = sys.modules.get('opentelemetry.trace')
            span = trace.get_current_span() if trace is not None else None
            context = span.get_span_context() if span is not None else None
            if context is None or not context.is_valid:
                return record
            if inject:
                record.otelSpanID = format(context.span_id, '016x')
                record.otelTraceID = format(context.trace_id, '032x')
                record.otelTraceSampled = context.trace_flags.sampled
            if callable(log_hook):
                try:
                    log_hook(span, record)
                except Exception:  # a hook is not to break logging
                    pass
            return record
        logging.setLogRecordFactory(factory)

    def uninstrument(self, **others: Any) -> None:
        if not self._instrumented:
            return
        self._instrumented = False
        if self._old_factory is not None:
            logging.setLogRecordFactory(self._old_factory)
            self._old_factory = None
        if self._handler is not None and self._kept is not None:
            self._kept.undo()
            logging.getLogger().removeHandler(self._handler)
            self._handler.close()
            self._handler = self._kept = None


__all__ = ['DEFAULT_LOGGING_FORMAT', 'LoggingHandler', 'LoggingInstrumentor']
