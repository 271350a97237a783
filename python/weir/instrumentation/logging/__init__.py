"""LoggingInstrumentor: the current trace's ids on every logging record, and a handler on the root logger."""
from __future__ import annotations

import logging
import os
import sys
from typing import Any, Callable, Optional

from weir._logs import get_logger_provider
from weir.instrumentation.logging.handler import LoggingHandler

DEFAULT_LOGGING_FORMAT = ('%(asctime)s %(levelname)s [%(name)s] [%(filename)s:%(lineno)d] [trace_id=%(otelTraceID)s '
                          'span_id=%(otelSpanID)s resource.service.name=%(otelServiceName)s '
                          'trace_sampled=%(otelTraceSampled)s] - %(message)s')
_LEVELS = {'notset': logging.NOTSET, 'debug': logging.DEBUG, 'info': logging.INFO, 'warning': logging.WARNING, 'error': logging.ERROR,
           'critical': logging.CRITICAL}


def _env_bool(name: str, default: bool) -> bool:
    text = os.environ.get(name, '').strip().lower()
    return text == 'true' if text else default


def _level(given: Any, variable: str, default: int) -> int:
    if given is None:
        given = os.environ.get(variable, '').strip().lower()
    if isinstance(given, str):
        return _LEVELS.get(given.lower(), default)
    return given


def _service_name(tracer_provider: Any) -> str:
    if tracer_provider is None and 'opentelemetry.trace' in sys.modules:
        tracer_provider = sys.modules['opentelemetry.trace'].get_tracer_provider()
    for provider in (tracer_provider, get_logger_provider()):
        resource = getattr(provider, 'resource', None)
        if resource is not None:
            return resource.attributes.get('service.name', '')
    return ''


class LoggingInstrumentor:
    """One per process, whoever makes it."""

    _instance: Optional['LoggingInstrumentor'] = None
    _old_factory: Optional[Callable] = None
    _handler: Optional[LoggingHandler] = None
    _instrumented = False

    def __new__(cls, *args, **kwargs) -> 'LoggingInstrumentor':
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        return self._instrumented

    def instrument(self, *, set_logging_format: Optional[bool] = None, inject_trace_context: Optional[bool] = None,
                   logging_format: Optional[str] = None, log_level: Any = None, log_hook: Optional[Callable] = None,
                   enable_log_auto_instrumentation: Optional[bool] = None, log_code_attributes: Optional[bool] = None,
                   log_handler_level: Any = None, tracer_provider: Any = None, logger_provider: Any = None, **others: Any) -> None:
        if self._instrumented:
            return
        self._instrumented = True
        if set_logging_format is None:
            set_logging_format = _env_bool('OTEL_PYTHON_LOG_CORRELATION', False)
        if inject_trace_context or (inject_trace_context is None and (set_logging_format or log_hook)):
            self._inject(tracer_provider, log_hook)
        if set_logging_format:
            logging.basicConfig(format=logging_format or os.environ.get('OTEL_PYTHON_LOG_FORMAT') or DEFAULT_LOGGING_FORMAT,
                                level=_level(log_level, 'OTEL_PYTHON_LOG_LEVEL', logging.INFO))
        if enable_log_auto_instrumentation is None:
            enable_log_auto_instrumentation = _env_bool('OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION', True)
        if enable_log_auto_instrumentation:
            if log_code_attributes is None:
                log_code_attributes = _env_bool('OTEL_PYTHON_LOG_CODE_ATTRIBUTES', False)
            self._handler = LoggingHandler(_level(log_handler_level, 'OTEL_PYTHON_LOG_HANDLER_LEVEL', logging.NOTSET),
                                           logger_provider, log_code_attributes)
            logging.getLogger().addHandler(self._handler)

    def _inject(self, tracer_provider: Any, log_hook: Optional[Callable]) -> None:
        old = self._old_factory = logging.getLogRecordFactory()

        def factory(*args, **kwargs):
            record = old(*args, **kwargs)
            record.otelSpanID = record.otelTraceID = '0'
            record.otelTraceSampled = False
            record.otelServiceName = _service_name(tracer_provider)
            trace = sys.modules.get('opentelemetry.trace')
            span = trace.get_current_span() if trace is not None else None
            if span is not None and span is not trace.INVALID_SPAN:
                context = span.get_span_context()
                record.otelSpanID = format(context.span_id, '016x')
                record.otelTraceID = format(context.trace_id, '032x')
                record.otelTraceSampled = context.trace_flags.sampled
                if log_hook is not None:
                    log_hook(span, record)
            return record
        logging.setLogRecordFactory(factory)

    def uninstrument(self, **others: Any) -> None:
        if not self._instrumented:
            return
        self._instrumented = False
        if self._old_factory is not None:
            logging.setLogRecordFactory(self._old_factory)
            self._old_factory = None
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
            self._handler.close()
            self._handler = None


__all__ = ['DEFAULT_LOGGING_FORMAT', 'LoggingHandler', 'LoggingInstrumentor']
