"""Processors that export, and exporters."""
from weir.sdk._logs._internal.export import (
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

__all__ = ['BatchLogRecordProcessor', 'ConsoleLogExporter', 'ConsoleLogRecordExporter', 'InMemoryLogExporter',
           'InMemoryLogRecordExporter', 'LogExportResult', 'LogExporter', 'LogRecordExportResult', 'LogRecordExporter',
           'SimpleLogRecordProcessor']
