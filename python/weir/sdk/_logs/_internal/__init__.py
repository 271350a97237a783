"""LoggerProvider, Logger, processors' base class, and LoggingHandler.

(1) A provider whose processors are all native (batch or simple, over an OTLP exporter) emits through _weir.Core: the record never
    becomes a Python object. With a processor or exporter written in Python among them, every record takes the Python path:
    a ReadWriteLogRecord goes from processor to processor, native ones included.
(2) Which of the two it is is decided when a processor is added.
"""
from __future__ import annotations

import abc
import atexit
import concurrent.futures
import copy
import logging
import os
import threading
import time
from typing import Any, Dict, List, Mapping, Optional, Tuple
from uuid import uuid4

import weir._logs as api
from weir import _acceleration, _weir
from weir._logs import LogRecord, NoOpLogger, NoOpLoggerProvider, SeverityNumber
from weir._logs import Logger as APILogger
from weir._logs import LoggerProvider as APILoggerProvider
from weir.sdk._logs._internal import processes
from weir.sdk._logs._internal.records import (
    LogDroppedAttributesWarning,
    LogLimits,
    LogRecordDroppedAttributesWarning,
    LogRecordLimits,
    ReadableLogRecord,
    ReadWriteLogRecord,
    body_of,
    exception_attributes,
    severity_value,
    std_to_otel,
    translate,
)
from weir.sdk.resources import SERVICE_INSTANCE_ID, Resource
from weir.sdk.util.instrumentation import InstrumentationScope

__all__ = ['ConcurrentMultiLogRecordProcessor', 'LogDroppedAttributesWarning', 'LogLimits', 'LogRecordDroppedAttributesWarning',
           'LogRecordLimits', 'LogRecordProcessor', 'Logger', 'LoggerProvider', 'LoggingHandler', 'ReadWriteLogRecord',
           'ReadableLogRecord', 'SynchronousMultiLogRecordProcessor', 'std_to_otel']

_log = logging.getLogger(__name__)
FLUSH_MILLIS = 30000


class Deadline:
    """Time that several waits share."""

    def __init__(self, timeout_millis: float) -> None:
        self.at = time.monotonic() + timeout_millis / 1000

    def millis(self) -> int:
        return max(0, int((self.at - time.monotonic()) * 1000))

    def seconds(self) -> float:
        return max(0.0, self.at - time.monotonic())


# ---- processors ----

class LogRecordProcessor(abc.ABC):
    """What sees each record, on the thread that emits it, in the order of registration."""

    @abc.abstractmethod
    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Must not block. Changes are seen by the processors after this one."""

    def enabled(self, *, context: Any = None, instrumentation_scope: Optional[InstrumentationScope] = None,
                severity_number: Optional[SeverityNumber] = None, event_name: Optional[str] = None) -> bool:
        return True

    @abc.abstractmethod
    def shutdown(self) -> None:
        """Once; includes what force_flush() does."""

    @abc.abstractmethod
    def force_flush(self, timeout_millis: int = FLUSH_MILLIS) -> bool:
        """Has everything delivered that was emitted before. False: not within the time."""

    def _pipeline(self, resource: Resource, limits: Optional[LogRecordLimits]) -> Optional[_weir.Pipeline]:
        """The pipeline that stands for this processor, if it is native."""
        return None


class SynchronousMultiLogRecordProcessor(LogRecordProcessor):
    """Processors one after the other."""

    def __init__(self) -> None:
        self._processors: Tuple[LogRecordProcessor, ...] = ()
        self._lock = threading.Lock()
        processes.forkable.add(self)

    def _after_fork_in_child(self) -> None:
        self._lock = threading.Lock()

    def add_log_record_processor(self, log_record_processor: LogRecordProcessor) -> None:
        with self._lock:
            self._processors += (log_record_processor,)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        for processor in self._processors:
            processor.on_emit(log_record)

    def enabled(self, **question) -> bool:
        return any(processor.enabled(**question) for processor in self._processors)

    def shutdown(self, timeout_millis: int = FLUSH_MILLIS) -> None:
        deadline = Deadline(timeout_millis)
        for processor in self._processors:
            _shut_down(processor, deadline)

    def force_flush(self, timeout_millis: int = FLUSH_MILLIS) -> bool:
        deadline = Deadline(timeout_millis)
        flushed = [processor.force_flush(deadline.millis()) is not False for processor in self._processors]
        return all(flushed)


class ConcurrentMultiLogRecordProcessor(SynchronousMultiLogRecordProcessor):
    """Processors side by side, on a pool of threads; on_emit returns when all have seen the record."""

    def __init__(self, max_workers: int = 2) -> None:
        super().__init__()
        self._max_workers = max_workers
        self._pool: Optional[concurrent.futures.ThreadPoolExecutor] = None

    def _after_fork_in_child(self) -> None:
        super()._after_fork_in_child()
        self._pool = None

    def _each(self, call) -> List[Any]:
        try:
            with self._lock:
                if self._pool is None:
                    self._pool = concurrent.futures.ThreadPoolExecutor(self._max_workers, 'weir-processor')
            futures = [self._pool.submit(call, processor) for processor in self._processors]
        except RuntimeError:  # the interpreter is ending and starts no threads any more
            return [call(processor) for processor in self._processors]
        return [future.result() for future in futures]

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self._each(lambda processor: processor.on_emit(log_record))

    def shutdown(self, timeout_millis: int = FLUSH_MILLIS) -> None:
        deadline = Deadline(timeout_millis)
        self._each(lambda processor: _shut_down(processor, deadline))

    def force_flush(self, timeout_millis: int = FLUSH_MILLIS) -> bool:
        deadline = Deadline(timeout_millis)
        return all(done is not False for done in self._each(lambda processor: processor.force_flush(deadline.millis())))


def _shut_down(processor: LogRecordProcessor, deadline: Deadline) -> None:
    """Processors of the stock interface take no timeout."""
    try:
        if hasattr(processor, '_shutdown_within'):
            processor._shutdown_within(deadline.millis())
        else:
            processor.shutdown()
    except Exception:
        _log.exception('%s.shutdown() failed', type(processor).__name__)


# ---- loggers and their provider ----

class Logger(APILogger):
    def __init__(self, provider: LoggerProvider, scope: InstrumentationScope) -> None:
        super().__init__(scope.name, scope.version, scope.schema_url, scope.attributes)
        self._provider = provider
        self._scope = scope

    @property
    def instrumentation_scope(self) -> InstrumentationScope:
        return self._scope

    @property
    def resource(self) -> Resource:
        return self._provider.resource

    def enabled(self, *, context: Any = None, severity_number: Optional[SeverityNumber] = None,
                event_name: Optional[str] = None) -> bool:
        return self._provider._multi.enabled(context=context, instrumentation_scope=self._scope, severity_number=severity_number,
                                             event_name=event_name)

    def emit(self, record: Optional[LogRecord] = None, *, timestamp: Optional[int] = None,
             observed_timestamp: Optional[int] = None, context: Any = None, severity_number: Optional[SeverityNumber] = None,
             severity_text: Optional[str] = None, body: Any = None, attributes: Optional[Mapping[str, Any]] = None,
             event_name: Optional[str] = None, exception: Optional[BaseException] = None) -> None:
        if isinstance(record, ReadableLogRecord):
            record = record.log_record
        if record is None:
            record = LogRecord(timestamp=timestamp, observed_timestamp=observed_timestamp, context=context,
                               severity_number=severity_number, severity_text=severity_text, body=body, attributes=attributes,
                               event_name=event_name, exception=exception)
        else:
            record = copy.copy(record)  # it stays the caller's
        raised = getattr(record, 'exception', None)
        if raised is not None:
            record.attributes = {**exception_attributes(raised), **(record.attributes or {})}
        self._emit(record)

    def _emit(self, record: LogRecord) -> None:
        provider = self._provider
        if provider._python_path:
            provider._multi.on_emit(ReadWriteLogRecord(record, provider._resource, self._scope, provider._limits))
            return
        for pipeline in provider._pipelines:
            emit_to(pipeline, self._scope, record)


def emit_to(pipeline: _weir.Pipeline, scope: Optional[InstrumentationScope], record: LogRecord) -> None:
    pipeline.emit('' if scope is None else scope, record.timestamp, record.observed_timestamp, record.trace_id, record.span_id,
                  record.trace_flags, severity_value(record.severity_number), record.severity_text, record.body,
                  record.attributes, getattr(record, 'event_name', None))


class LoggerProvider(APILoggerProvider):
    """Makes loggers; its processors get their records. `meter_provider` is accepted and not used: see stats()."""

    def __init__(self, resource: Optional[Resource] = None, shutdown_on_exit: bool = True,
                 multi_log_record_processor: Optional[SynchronousMultiLogRecordProcessor] = None, *,
                 meter_provider: Any = None, log_record_limits: Optional[LogRecordLimits] = None) -> None:
        self._resource = Resource.create() if resource is None else resource
        self._given_limits = log_record_limits
        self._limits = log_record_limits or LogRecordLimits()
        self._disabled = os.environ.get('OTEL_SDK_DISABLED', '').strip().lower() == 'true'
        self._multi = multi_log_record_processor or SynchronousMultiLogRecordProcessor()
        self._python_path = multi_log_record_processor is not None
        self._pipelines: Tuple[_weir.Pipeline, ...] = ()
        self._core = _weir.Core()
        self._loggers: Dict[Any, Logger] = {}
        self._lock = threading.Lock()
        self._shut_down = False
        self._at_exit = None
        self._wire()
        processes.forkable.add(self)
        if shutdown_on_exit:
            self._at_exit = atexit.register(self._exit)
            processes.flushable.add(self)
            processes.watch()

    @property
    def resource(self) -> Resource:
        return self._resource

    def _wire(self) -> None:
        if self._disabled:
            self._core.set((), None)
        elif self._python_path:
            self._core.set((), self._emit_logging)
        else:
            self._core.set(self._pipelines, None)

    def _emit_logging(self, handler: LoggingHandler, record: logging.LogRecord) -> None:
        self.get_logger(record.name)._emit(translate(handler, record))  # type: ignore[attr-defined]

    def add_log_record_processor(self, log_record_processor: LogRecordProcessor) -> None:
        """The processors see each record in the order in which they were added."""
        with self._lock:
            native = getattr(log_record_processor, '_pipeline', lambda *_: None)(self._resource, self._given_limits)
            self._multi.add_log_record_processor(log_record_processor)
            if native is None:
                self._python_path = True
            else:
                self._pipelines += (native,)
                if self._at_exit is not None:
                    native.deliver_at_exit()
            self._wire()

    def get_logger(self, name: str, version: Optional[str] = None, schema_url: Optional[str] = None,
                   attributes: Optional[Mapping[str, Any]] = None) -> APILogger:
        if self._disabled:
            return NoOpLogger(name, version, schema_url, attributes)
        key = (name, version, schema_url)
        logger = self._loggers.get(key) if attributes is None else None
        if logger is None:
            logger = Logger(self, InstrumentationScope(name, version, schema_url, attributes))
            if attributes is None:
                logger = self._loggers.setdefault(key, logger)
        return logger

    def force_flush(self, timeout_millis: int = FLUSH_MILLIS) -> bool:
        """True when everything emitted before the call was delivered within the time."""
        return self._multi.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: int = FLUSH_MILLIS) -> None:
        """Delivers what is left, at most for `timeout_millis`, then stops; later records are dropped and counted."""
        with self._lock:
            if self._shut_down:
                return
            self._shut_down = True
        processes.flushable.discard(self)
        if self._at_exit is not None:
            atexit.unregister(self._at_exit)
            self._at_exit = None
        if isinstance(self._multi, SynchronousMultiLogRecordProcessor):
            self._multi.shutdown(timeout_millis)
        else:
            self._multi.shutdown()

    def _exit(self) -> None:
        self.shutdown(processes.EXIT_MILLIS)

    def stats(self) -> Dict[str, int]:
        """Where the records of the native processors went, in numbers: emitted, exported, queued, dropped_<reason>."""
        total: Dict[str, int] = {}
        for pipeline in self._pipelines:
            for name, value in pipeline.stats().items():
                total[name] = total.get(name, 0) + value
        return total

    def _after_fork_in_child(self) -> None:
        """The child is another instance of the service, in all its pipelines the same."""
        self._lock = threading.Lock()
        if not self._resource._made_up_id:
            return
        made_up = (self._pipelines[0].resource()[2] if self._pipelines else None) or str(uuid4())
        for pipeline in self._pipelines[1:]:
            pipeline.set_made_up_id(made_up)
        self._resource = self._resource.merge(Resource({SERVICE_INSTANCE_ID: made_up}))
        self._resource._made_up_id = made_up


# ---- the logging module's handler ----

class LoggingHandler(_weir.HandlerBase, logging.Handler):
    """Sends what is logged to a LoggerProvider: the given one, else the global one as soon as there is one. With a service name
    or an endpoint it makes a provider of its own, so that logging.config.dictConfig() is all the set-up there is:

        'handlers': {'weir': {'class': 'weir.LoggingHandler', 'level': 'INFO', 'service_name': 'shop'}}
    """

    def __init__(self, level: Any = logging.NOTSET, logger_provider: Optional[APILoggerProvider] = None, *,
                 service_name: Optional[str] = None, endpoint: Optional[str] = None, protocol: Optional[str] = None,
                 insecure: Optional[bool] = None, headers: Any = None, timeout: Optional[float] = None,
                 compression: Any = None, resource_attributes: Optional[Mapping[str, Any]] = None) -> None:
        logging.Handler.__init__(self, level)
        _acceleration.by_default()
        self._code = True
        self._own: Optional[LoggerProvider] = None
        self._logger_provider = logger_provider
        if logger_provider is None and (service_name or endpoint or protocol or resource_attributes):
            self._logger_provider = self._own = _provider_of(service_name, resource_attributes, dict(
                endpoint=endpoint, protocol=protocol, insecure=insecure, headers=headers, timeout=timeout, compression=compression))

    def _resolve(self) -> Optional[_weir.Core]:
        """Asked for each record until the answer is final."""
        provider = self._logger_provider or api.get_logger_provider()
        if isinstance(provider, LoggerProvider):
            self._core = provider._core
        elif not isinstance(provider, (api.ProxyLoggerProvider, NoOpLoggerProvider)):
            self._core = _weir.Core()  # somebody else's
            self._core.set((), lambda handler, record: _emit_abroad(provider, handler, record))
        return self._core

    def _body_of(self, record: logging.LogRecord) -> Any:
        return body_of(self, record)

    def _complain(self, record: logging.LogRecord, error: Exception) -> None:
        try:
            raise error  # handleError() wants it to be handled here
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Waits until what was logged is delivered, at most 5 s. With exporters written in Python it only sets that going: they
        may log, and logging's locks may be held here."""
        provider: Any = self._logger_provider or api.get_logger_provider()
        if not callable(getattr(provider, 'force_flush', None)):
            return
        if isinstance(provider, LoggerProvider) and not provider._python_path:
            provider.force_flush(processes.EXIT_MILLIS)
            return
        try:
            threading.Thread(target=provider.force_flush, daemon=True).start()
        except RuntimeError:
            pass  # the interpreter is ending: the provider's own end flushes

    def close(self) -> None:
        if self._own is not None:
            self._own.shutdown(processes.EXIT_MILLIS)
        logging.Handler.close(self)


def _emit_abroad(provider: Any, handler: LoggingHandler, record: logging.LogRecord) -> None:
    logger = provider.get_logger(record.name)
    if type(logger).__name__ != 'NoOpLogger':
        logger.emit(translate(handler, record))


def _provider_of(service_name: Optional[str], resource_attributes: Optional[Mapping[str, Any]],
                 options: Mapping[str, Any]) -> LoggerProvider:
    from weir.exporter.otlp import OTLPLogExporter
    from weir.sdk._logs._internal.export import BatchLogRecordProcessor
    attributes = dict(resource_attributes or {})
    if service_name:
        attributes['service.name'] = service_name
    provider = LoggerProvider(Resource.create(attributes))
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(**options)))
    return provider
