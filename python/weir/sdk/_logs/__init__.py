"""The Logs SDK: LoggerProvider, its processors, and the handler for the logging module."""
from weir.sdk._logs._internal import (
    ConcurrentMultiLogRecordProcessor,
    LogDroppedAttributesWarning,
    Logger,
    LoggerProvider,
    LoggingHandler,
    LogLimits,
    LogRecordDroppedAttributesWarning,
    LogRecordLimits,
    LogRecordProcessor,
    ReadableLogRecord,
    ReadWriteLogRecord,
    SynchronousMultiLogRecordProcessor,
)

__all__ = ['ConcurrentMultiLogRecordProcessor', 'LogDroppedAttributesWarning', 'LogLimits', 'LogRecordDroppedAttributesWarning',
           'LogRecordLimits', 'LogRecordProcessor', 'Logger', 'LoggerProvider', 'LoggingHandler', 'ReadWriteLogRecord',
           'ReadableLogRecord', 'SynchronousMultiLogRecordProcessor']
