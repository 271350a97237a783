"""OpenTelemetry logs for Python, over libweir.

The modules below carry the names and paths of the `opentelemetry` packages, so that replacing that word by `weir` in the import
lines of an app's logging set-up is the whole migration; the names that matter are here, too. See docs/python.md.
"""
from weir import _weir
from weir._acceleration import accelerate_logging
from weir._logs import (
    LogRecord,
    NoOpLogger,
    NoOpLoggerProvider,
    SeverityNumber,
    get_logger,
    get_logger_provider,
    set_logger_provider,
)
from weir.exporter.otlp import OTLPLogExporter
from weir.sdk._logs import (
    ConcurrentMultiLogRecordProcessor,
    Logger,
    LoggerProvider,
    LoggingHandler,
    LogRecordLimits,
    LogRecordProcessor,
    ReadableLogRecord,
    ReadWriteLogRecord,
    SynchronousMultiLogRecordProcessor,
)
from weir.sdk._logs.export import (
    BatchLogRecordProcessor,
    ConsoleLogExporter,
    ConsoleLogRecordExporter,
    InMemoryLogExporter,
    InMemoryLogRecordExporter,
    LogExporter,
    LogExportResult,
    LogRecordExporter,
    LogRecordExportResult,
    SimpleLogRecordProcessor,
)
from weir.sdk.resources import Resource

__version__ = _weir.version

__all__ = [
    'accelerate_logging', 'BatchLogRecordProcessor', 'ConcurrentMultiLogRecordProcessor', 'ConsoleLogExporter',
    'ConsoleLogRecordExporter',
    'InMemoryLogExporter', 'InMemoryLogRecordExporter', 'LogExporter', 'LogExportResult', 'Logger', 'LoggerProvider',
    'LoggingHandler', 'LogRecord', 'LogRecordExporter', 'LogRecordExportResult', 'LogRecordLimits', 'LogRecordProcessor',
    'NoOpLogger', 'NoOpLoggerProvider', 'OTLPLogExporter', 'ReadableLogRecord', 'ReadWriteLogRecord', 'Resource', 'SeverityNumber',
    'SimpleLogRecordProcessor', 'SynchronousMultiLogRecordProcessor', 'get_logger', 'get_logger_provider', 'set_logger_provider',
]
