"""OpenTelemetry logs for Python, over libweir.

The modules below carry the names and paths of the `opentelemetry` packages, so that replacing that word by `weir` in the import
lines of an app's logging set-up is the whole migration; the names that matter are here, too. See docs/python.md.
"""
from weir import _weir
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


def accelerate_logging(on: bool = True) -> None:
    """Has Logger.debug(), info(), warning(), error(), critical() and log() go their way in C where the only handler they come to is
    ours, without filters and formatters. Everything else they do as before. See docs/python.md."""
    _weir.accelerate(on)


__version__ = _weir.version

__all__ = [
    'accelerate_logging', 'BatchLogRecordProcessor', 'ConcurrentMultiLogRecordProcessor', 'ConsoleLogExporter',
    'ConsoleLogRecordExporter',
    'InMemoryLogExporter', 'InMemoryLogRecordExporter', 'LogExporter', 'LogExportResult', 'Logger', 'LoggerProvider',
    'LoggingHandler', 'LogRecord', 'LogRecordExporter', 'LogRecordExportResult', 'LogRecordLimits', 'LogRecordProcessor',
    'NoOpLogger', 'NoOpLoggerProvider', 'OTLPLogExporter', 'ReadableLogRecord', 'ReadWriteLogRecord', 'Resource', 'SeverityNumber',
    'SimpleLogRecordProcessor', 'SynchronousMultiLogRecordProcessor', 'get_logger', 'get_logger_provider', 'set_logger_provider',
]
