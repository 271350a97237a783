"""Processors that export, and exporters.

(1) A processor over an OTLP exporter is native: libweir queues and sends, on a thread that never touches Python. It is native only
    as long as nobody overrode what it does.
(2) Over an exporter written in Python the same classes queue in Python and export on a daemon thread. What that thread, or a
    simple processor's exporter, logs while exporting does not come back to our handlers: it would go round for ever.
"""
from __future__ import annotations

import abc
import collections
import enum
import logging
import os
import sys
import threading
import time
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, TextIO, Tuple

from weir import _weir
from weir.sdk._logs._internal import FLUSH_MILLIS, Deadline, LogRecordProcessor, emit_to, processes
from weir.sdk._logs._internal.records import LogRecordLimits, ReadableLogRecord, ReadWriteLogRecord
from weir.sdk.resources import Resource

_log = logging.getLogger(__name__)
_OK, _SHUT_DOWN = 0, 3  # weir_result
_WHEN_FULL = {None: 0, 'drop_oldest': 1, 'drop_newest': 2, 'block': 3}  # weir_when_full


class LogRecordExportResult(enum.Enum):
    SUCCESS = 0
    FAILURE = 1


LogExportResult = LogRecordExportResult


class LogRecordExporter(abc.ABC):
    """Sends records somewhere. export() is never called twice at a time by one processor."""

    @abc.abstractmethod
    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Must end in a bounded time. FAILURE: the batch is lost, and counted."""

    @abc.abstractmethod
    def shutdown(self) -> None:
        """Once."""

    def force_flush(self, timeout_millis: int = 10000) -> bool:
        return True


LogExporter = LogRecordExporter


class NativeExporter(LogRecordExporter):
    """An exporter that libweir has: `_native` is its _weir.Exporter. It can also be called from Python, by export()."""

    _native: _weir.Exporter

    def _is_plain(self) -> bool:
        """Whether nobody overrode what it does."""
        return all(getattr(type(self), name) is getattr(NativeExporter, name) for name in ('export', 'force_flush', 'shutdown'))

    def __init__(self) -> None:
        self._direct: Optional[Tuple[Resource, _weir.Pipeline]] = None
        self._closed = False

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Delivers the batch before it returns."""
        if self._closed:
            return LogRecordExportResult.FAILURE
        result = LogRecordExportResult.SUCCESS
        for at in range(0, len(batch), 512):
            pipelines = set()
            for record in batch[at:at + 512]:
                pipeline = self._direct_to(record.resource)
                emit_to(pipeline, record.instrumentation_scope, record.log_record)
                pipelines.add(pipeline)
            if any(pipeline.force_flush(FLUSH_MILLIS) != _OK for pipeline in pipelines):
                result = LogRecordExportResult.FAILURE
        return result

    def _direct_to(self, resource: Resource) -> _weir.Pipeline:
        if self._direct is None or self._direct[0] is not resource:
            self._direct = (resource, _weir.Pipeline(self._native, resource.attributes, resource.schema_url,
                                                     resource._made_up_id, False))
        return self._direct[1]

    def shutdown(self, timeout_millis: float = FLUSH_MILLIS) -> None:
        self._closed = True
        if self._direct is not None:
            self._direct[1].shutdown(int(timeout_millis))

    def force_flush(self, timeout_millis: float = 10000) -> bool:
        return self._direct is None or self._direct[1].force_flush(int(timeout_millis)) in (_OK, _SHUT_DOWN)


class ConsoleLogRecordExporter(LogRecordExporter):
    """Writes records as JSON, for people."""

    def __init__(self, out: Optional[TextIO] = None,
                 formatter: Callable[[ReadableLogRecord], str] = lambda record: record.to_json() + os.linesep) -> None:
        self.out = out or sys.stdout
        self.formatter = formatter

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        for record in batch:
            self.out.write(self.formatter(record))
        self.out.flush()
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


ConsoleLogExporter = ConsoleLogRecordExporter


class InMemoryLogRecordExporter(LogRecordExporter):
    """Keeps records, for tests."""

    def __init__(self) -> None:
        self._logs: List[ReadableLogRecord] = []
        self._lock = threading.Lock()
        self._stopped = False

    def clear(self) -> None:
        with self._lock:
            self._logs.clear()

    def get_finished_logs(self) -> Tuple[ReadableLogRecord, ...]:
        with self._lock:
            return tuple(self._logs)

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        if self._stopped:
            return LogRecordExportResult.FAILURE
        with self._lock:
            self._logs.extend(batch)
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        self._stopped = True


InMemoryLogExporter = InMemoryLogRecordExporter


def _export(exporter: LogRecordExporter, batch: Sequence[ReadableLogRecord]) -> bool:
    """Whatever the exporter does, the caller goes on."""
    _weir.begin_export()
    try:
        return exporter.export(batch) is not LogRecordExportResult.FAILURE
    except Exception:
        _log.exception('%s.export() failed', type(exporter).__name__)
        return False
    finally:
        _weir.end_export()


def _quietly(call: Callable[[], Any]) -> Any:
    """What an exporter's flush or shutdown logs goes the way of what its export() logs."""
    _weir.begin_export()
    try:
        return call()
    finally:
        _weir.end_export()


# ---- processors ----

class _ExportingProcessor(LogRecordProcessor):
    """What both processors have in common: they are native, or not, and then `_python` does it."""

    _base: Any  # the class whose methods a native one has

    def __init__(self, exporter: LogRecordExporter, settings: Dict[str, Any], python: Callable[[LogRecordExporter], Any]) -> None:
        self._exporter = exporter
        self._settings = settings
        self._made: Optional[_weir.Pipeline] = None
        self._made_lock = threading.Lock()
        processes.forkable.add(self)
        self._native = isinstance(exporter, NativeExporter) and exporter._is_plain()
        self._python = None if self._native else python(exporter)

    def _after_fork_in_child(self) -> None:
        self._made_lock = threading.Lock()

    def _pipeline(self, resource: Resource, limits: Optional[LogRecordLimits]) -> Optional[_weir.Pipeline]:
        plain = all(getattr(type(self), name) is getattr(self._base, name)
                    for name in ('on_emit', 'enabled', 'force_flush', 'shutdown'))
        if limits is not None and 0 in (limits.max_log_record_attributes, limits.max_log_record_attribute_length):
            return None  # 0 is no limit to libweir: the Python path has them
        return self._make(resource, limits) if self._native and plain and self._made is None else None

    def _make(self, resource: Resource, limits: Optional[LogRecordLimits]) -> _weir.Pipeline:
        """The pipeline of the first resource that comes; a provider has one."""
        with self._made_lock:
            if self._made is None:
                count = length = 0  # as the environment says
                if limits is not None:
                    count = min(limits.max_log_record_attributes or 2**31 - 1, 2**31 - 1)
                    given = limits.max_log_record_attribute_length
                    length = -1 if given is None else given
                self._made = _weir.Pipeline(self._exporter._native, resource.attributes, resource.schema_url,  # type: ignore
                                            resource._made_up_id, attribute_count=count, attribute_value_length=length,
                                            **self._settings)
            return self._made

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        if self._python is not None:
            self._python.on_emit(log_record)
            return
        pipeline = self._made or self._make(log_record.resource, log_record.limits)
        emit_to(pipeline, log_record.instrumentation_scope, log_record.log_record)

    emit = on_emit  # the older name

    def force_flush(self, timeout_millis: Optional[int] = None) -> bool:
        millis = FLUSH_MILLIS if timeout_millis is None else timeout_millis
        if self._python is not None:
            return self._python.force_flush(millis)
        return self._made is None or self._made.force_flush(int(millis)) == _OK

    def shutdown(self, timeout_millis: int = FLUSH_MILLIS) -> None:
        if self._python is not None:
            self._python.shutdown(timeout_millis)
        elif self._made is not None:
            self._made.shutdown(int(timeout_millis))

    def _shutdown_within(self, millis: int) -> None:
        if type(self).shutdown is self._base.shutdown:
            self.shutdown(millis)
        else:
            self.shutdown()

    def stats(self) -> Dict[str, int]:
        """Of a native one: where its records went, in numbers."""
        return self._made.stats() if self._made is not None else {}


class SimpleLogRecordProcessor(_ExportingProcessor):
    """Exports each record at once, on the emitting thread: for tests and tools."""

    def __init__(self, exporter: LogRecordExporter, *, meter_provider: Any = None) -> None:
        super().__init__(exporter, {'simple': True}, _PythonSimple)


class BatchLogRecordProcessor(_ExportingProcessor):
    """Queues records and exports them in batches, from a thread of its own. What is not given comes from OTEL_BLRP_*, and of what
    is native only, from WEIR_*: the records' ring (`ring_bytes`) is a file below `spool_dir` ('none': in memory), so they survive
    the process; behind it up to `spool_max_bytes` wait on disk; then `when_full` says what gives way: 'drop_oldest', 'drop_newest',
    or 'block', which makes logging wait. With `sync_interval_millis` they survive a power cut, too."""

    def __init__(self, exporter: LogRecordExporter, schedule_delay_millis: Optional[float] = None,
                 max_export_batch_size: Optional[int] = None, export_timeout_millis: Optional[float] = None,
                 max_queue_size: Optional[int] = None, *, meter_provider: Any = None, ring_bytes: Optional[int] = None,
                 max_export_batch_bytes: Optional[int] = None, spool_dir: Optional[str] = None,
                 spool_max_bytes: Optional[int] = None, when_full: Optional[str] = None,
                 sync_interval_millis: Optional[int] = None) -> None:
        if when_full not in _WHEN_FULL:
            raise ValueError(f'when_full: {when_full!r} is none of drop_oldest, drop_newest, block')
        for name, value in (('schedule_delay_millis', schedule_delay_millis), ('max_export_batch_size', max_export_batch_size),
                            ('max_queue_size', max_queue_size)):
            if value is not None and value <= 0:
                raise ValueError(f'{name} must be a positive integer.')
        if max_queue_size is not None and max_export_batch_size is not None and max_export_batch_size > max_queue_size:
            raise ValueError('max_export_batch_size must be less than or equal to max_queue_size.')
        settings = {
            'simple': False, 'max_queue_size': max_queue_size or 0, 'max_export_batch_size': max_export_batch_size or 0,
            'schedule_delay_ms': max(1, int(schedule_delay_millis)) if schedule_delay_millis else 0,
            'export_timeout_ms': max(1, int(export_timeout_millis)) if export_timeout_millis else 0,
            'ring_bytes': ring_bytes or 0, 'max_export_batch_bytes': max_export_batch_bytes or 0,
            'spool_dir': None if spool_dir is None else os.fspath(spool_dir), 'spool_max_bytes': spool_max_bytes or 0,
            'when_full': _WHEN_FULL[when_full], 'sync_interval_ms': int(sync_interval_millis or 0),
        }
        super().__init__(exporter, settings, lambda e: _PythonBatch(e, settings))


SimpleLogRecordProcessor._base = SimpleLogRecordProcessor
BatchLogRecordProcessor._base = BatchLogRecordProcessor


class _PythonSimple:
    def __init__(self, exporter: LogRecordExporter) -> None:
        self._exporter = exporter
        self._closed = False

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        if not self._closed:
            _export(self._exporter, (log_record.readable(),))

    def force_flush(self, timeout_millis: int) -> bool:
        return _quietly(lambda: self._exporter.force_flush(timeout_millis)) is not False

    def shutdown(self, timeout_millis: int) -> None:
        if not self._closed:
            self._closed = True
            _quietly(self._exporter.shutdown)


def _setting(given: int, variable: str, default: int) -> int:
    text = os.environ.get(variable, '').strip()
    if given or not text:
        return given or default
    if not text.isdigit() or not int(text):
        _log.warning('%s: %r is no positive number: ignored', variable, text)
        return default
    return int(text)


class _PythonBatch:
    """(1) A deque bounded in records; the oldest gives way, and is counted. (2) One daemon thread takes from it; `_gone` counts
    what left, `_taken` what came, so a flush waits until `_gone` passes what `_taken` was. (3) The condition is reentrant: a signal
    handler that logs may come upon a thread that holds it. (4) A forked child starts empty."""

    def __init__(self, exporter: LogRecordExporter, settings: Dict[str, Any]) -> None:
        self._exporter = exporter
        self._max = _setting(settings['max_queue_size'], 'OTEL_BLRP_MAX_QUEUE_SIZE', 2048)
        self._batch = min(_setting(settings['max_export_batch_size'], 'OTEL_BLRP_MAX_EXPORT_BATCH_SIZE', 512), self._max)
        self._delay = _setting(settings['schedule_delay_ms'], 'OTEL_BLRP_SCHEDULE_DELAY', 1000) / 1000
        self._closed = False
        self.dropped = 0
        self._start_empty()
        processes.forkable.add(self)

    def _start_empty(self) -> None:
        self._queue: Deque[ReadableLogRecord] = collections.deque()
        self._cond = threading.Condition(threading.RLock())
        self._taken = self._gone = self._flush_to = 0
        self._oldest = 0.0
        self._thread: Optional[threading.Thread] = None

    _after_fork_in_child = _start_empty

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        record = log_record.readable()
        with self._cond:
            if self._closed:
                self.dropped += 1
                return
            if len(self._queue) >= self._max:
                self._queue.popleft()
                self._gone += 1
                self.dropped += 1
            if not self._queue:
                self._oldest = time.monotonic()
            self._queue.append(record)
            self._taken += 1
            if self._thread is None:
                self._start_thread()
            elif len(self._queue) in (1, self._batch):
                self._cond.notify_all()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name='weir-batch', daemon=True)
        try:
            thread.start()
            self._thread = thread
        except RuntimeError:
            pass  # the interpreter is ending: shutdown() exports on its caller's thread

    def _wait(self) -> None:
        """Until there is a reason to export."""
        while not self._closed and self._gone >= self._flush_to and len(self._queue) < self._batch:
            left = self._oldest + self._delay - time.monotonic() if self._queue else None
            if left is not None and left <= 0:
                return
            self._cond.wait(left)

    def _take(self) -> List[ReadableLogRecord]:
        return [self._queue.popleft() for _ in range(min(len(self._queue), self._batch))]

    def _run(self) -> None:
        while True:
            with self._cond:
                self._wait()
                batch = self._take()
                if not batch and self._closed:
                    return
                self._oldest = time.monotonic()
            if batch:
                self._send(batch)

    def _send(self, batch: List[ReadableLogRecord]) -> None:
        sent = _export(self._exporter, batch)
        with self._cond:
            self._gone += len(batch)
            self.dropped += 0 if sent else len(batch)
            self._cond.notify_all()

    def force_flush(self, timeout_millis: int) -> bool:
        deadline = Deadline(timeout_millis)
        with self._cond:
            to = self._flush_to = self._taken
            self._cond.notify_all()
            while self._gone < to and self._thread is not None and deadline.seconds() > 0:
                self._cond.wait(deadline.seconds())
            done = self._gone >= to
        return done and _quietly(lambda: self._exporter.force_flush(deadline.millis())) is not False

    def shutdown(self, timeout_millis: int) -> None:
        deadline = Deadline(timeout_millis)
        with self._cond:
            if self._closed:
                return
            self._closed = True
            self._cond.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(deadline.seconds())
        while self._thread is None and self._queue and deadline.seconds() > 0:
            self._send(self._take())
        _quietly(self._exporter.shutdown)
