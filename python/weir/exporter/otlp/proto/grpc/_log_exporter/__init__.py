"""OTLPLogExporter over gRPC."""
from __future__ import annotations

import logging
from typing import Any, Optional

from weir.exporter import otlp

_log = logging.getLogger(__name__)


class OTLPLogExporter(otlp.OTLPLogExporter):
    """As its namesake, without grpcio: of `credentials`, that TLS is wanted is all that can be read (certificates come from
    certificate_file and its kin, or OTEL_EXPORTER_OTLP_*); `channel_options` and `retryable_error_codes` do nothing."""

    def __init__(self, endpoint: Optional[str] = None, insecure: Optional[bool] = None, credentials: Any = None,
                 headers: Any = None, timeout: Optional[float] = None, compression: Any = None, channel_options: Any = None,
                 retryable_error_codes: Any = None, *, meter_provider: Any = None, certificate_file: Optional[str] = None,
                 client_key_file: Optional[str] = None, client_certificate_file: Optional[str] = None) -> None:
        if credentials is not None and certificate_file is None and otlp.env('CERTIFICATE') is None:
            _log.warning('credentials: their certificates cannot be read, the system\'s are used (certificate_file names others)')
        if insecure is None and credentials is not None:
            insecure = False
        super().__init__(endpoint, insecure, headers, timeout, compression, protocol='grpc',
                         certificate_file=certificate_file, client_key_file=client_key_file,
                         client_certificate_file=client_certificate_file)
