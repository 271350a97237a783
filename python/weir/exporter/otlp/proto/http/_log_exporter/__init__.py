"""OTLPLogExporter over HTTP."""
from __future__ import annotations

from typing import Any, Mapping, Optional

from weir.exporter import otlp


def _over_environment(headers: Optional[Mapping[str, str]]) -> Optional[str]:
    """The environment's headers with those of the app in place of theirs; None: the environment's alone."""
    given = otlp.header_text(headers)
    if not given:
        return None
    ours = {pair.partition('=')[0].strip().lower() for pair in given.split(',')}
    others = [pair for pair in (otlp.env('HEADERS') or '').split(',') if pair.partition('=')[0].strip().lower() not in ours]
    return ','.join([pair for pair in others if pair.strip()] + [given])


class OTLPLogExporter(otlp.OTLPLogExporter):
    """As its namesake: `endpoint` is the whole URL, headers come on top of those of the environment; `session` and
    `max_request_size` do nothing."""

    def __init__(self, endpoint: Optional[str] = None, certificate_file: Optional[str] = None,
                 client_key_file: Optional[str] = None, client_certificate_file: Optional[str] = None,
                 headers: Optional[Mapping[str, str]] = None, timeout: Optional[float] = None, compression: Any = None,
                 session: Any = None, *, max_request_size: Optional[int] = None, meter_provider: Any = None) -> None:
        super().__init__(endpoint, None, _over_environment(headers), timeout, compression, protocol='http/protobuf',
                         certificate_file=certificate_file, client_key_file=client_key_file,
                         client_certificate_file=client_certificate_file)
