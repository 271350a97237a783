"""OTLPLogExporter over HTTP."""
from __future__ import annotations

from typing import Any, Mapping, Optional

from weir.exporter import otlp


class OTLPLogExporter(otlp.OTLPLogExporter):
    """As its namesake: `endpoint` is the whole URL, headers come on top of those of the environment; `session` and
    `max_request_size` do nothing."""

    def __init__(self, endpoint: Optional[str] = None, certificate_file: Optional[str] = None, client_key_file: Optional[str] = None,
                 client_certificate_file: Optional[str] = None, headers: Optional[Mapping[str, str]] = None,
                 timeout: Optional[float] = None, compression: Any = None, session: Any = None, *,
                 max_request_size: Optional[int] = None, meter_provider: Any = None) -> None:
        given = otlp.header_text(headers)
        both = ','.join(text for text in (otlp.env('HEADERS'), given) if text) if given else None
        super().__init__(endpoint, None, both, timeout, compression, protocol='http/protobuf', certificate_file=certificate_file,
                         client_key_file=client_key_file, client_certificate_file=client_certificate_file)
