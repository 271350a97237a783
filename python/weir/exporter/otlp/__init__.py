"""The OTLP exporter of libweir. The modules below give it the constructors that the opentelemetry packages have."""
from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any, Optional
from urllib.parse import quote

from weir import _weir
from weir.sdk._logs._internal.export import NativeExporter

_log = logging.getLogger(__name__)
_PROTOCOLS = {None: 0, 'grpc': 1, 'http/protobuf': 2, 'http/json': 3}


def env(name: str) -> Optional[str]:
    """The logs variable, else the general one; empty is unset."""
    return os.environ.get('OTEL_EXPORTER_OTLP_LOGS_' + name) or os.environ.get('OTEL_EXPORTER_OTLP_' + name) or None


def header_text(headers: Any) -> Optional[str]:
    """'key=value,...' of a mapping or of pairs; text stays as it is."""
    if not headers or isinstance(headers, str):
        return headers or None
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return ','.join(f'{quote(str(k), safe="")}={quote(str(v), safe="")}' for k, v in pairs)


def timeout_millis(timeout: Optional[float]) -> int:
    """Seconds, also in the environment, as Python SDKs have it; from 1000 on a variable can only mean the specification's
    milliseconds. 0: as libweir decides."""
    if timeout is not None:
        return max(1, int(timeout * 1000))
    text = env('TIMEOUT')
    try:
        seconds = float(text) if text else 0
    except ValueError:
        _log.warning('OTEL_EXPORTER_OTLP_TIMEOUT: %r is no number: ignored', text)
        return 10000
    if not 0 < seconds < 2**31:
        return 10000 if text else 0
    return int(seconds) if seconds >= 1000 else max(1, int(seconds * 1000))


def compression_name(compression: Any) -> Optional[str]:
    """Of a name, grpc.Compression, or the HTTP exporter's Compression."""
    value = getattr(compression, 'value', compression)
    name = {0: 'none', 1: 'deflate', 2: 'gzip'}.get(value, value) if isinstance(value, int) else value
    return str(name).lower() if name else None


class OTLPLogExporter(NativeExporter):
    """OTLP over gRPC or HTTP; what is not given comes from OTEL_EXPORTER_OTLP_*. A wrong option raises ValueError.

    Under a batch or simple processor the export is libweir's, on its own thread, without the GIL.
    """

    def __init__(self, endpoint: Optional[str] = None, insecure: Optional[bool] = None, headers: Any = None,
                 timeout: Optional[float] = None, compression: Any = None, *, protocol: Optional[str] = None,
                 certificate_file: Optional[str] = None, client_key_file: Optional[str] = None,
                 client_certificate_file: Optional[str] = None, meter_provider: Any = None) -> None:
        super().__init__()
        if protocol not in _PROTOCOLS:
            raise ValueError(f'protocol: {protocol!r} is not spoken here (grpc, http/protobuf and http/json are)')
        insecure_is = 0 if insecure is None else 1 if insecure else -1

        def make(compressed: Optional[str]) -> _weir.Exporter:
            return _weir.Exporter(_PROTOCOLS[protocol], endpoint, header_text(headers), timeout_millis(timeout), compressed,
                                  certificate_file, client_certificate_file, client_key_file, insecure_is)
        compressed = compression_name(compression)
        try:
            self._native = make(compressed)
        except ValueError as e:
            if 'compression: ' not in str(e):
                raise
            _log.warning('%s; sending uncompressed', e)
            self._native = make('none')
