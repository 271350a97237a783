"""CustomLogFW: the whole set-up in two lines.

    handler = CustomLogFW(service_name='shop', instance_id='1').setup_logging()
    logging.getLogger().addHandler(handler)    # done already; adding it twice changes nothing
"""
from __future__ import annotations

import logging
from typing import Any, Optional

from weir._logs import set_logger_provider
from weir.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from weir.sdk._logs import LoggerProvider, LoggingHandler
from weir.sdk._logs.export import BatchLogRecordProcessor
from weir.sdk.resources import Resource


class CustomLogFW:
    """A provider with an OTLP/gRPC exporter behind a batch processor; endpoint and the rest from OTEL_*."""

    def __init__(self, service_name: str, instance_id: Optional[Any] = None) -> None:
        attributes = {'service.name': service_name}
        if instance_id is not None:
            attributes['service.instance.id'] = str(instance_id)
        self.logger_provider = LoggerProvider(resource=Resource.create(attributes))

    def setup_logging(self, level: int = logging.NOTSET) -> LoggingHandler:
        """Makes the provider the global one, puts a handler on the root logger, and returns it."""
        set_logger_provider(self.logger_provider)
        self.logger_provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
        handler = LoggingHandler(level=level, logger_provider=self.logger_provider)
        logging.getLogger().addHandler(handler)
        return handler
