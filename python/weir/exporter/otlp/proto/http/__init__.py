"""OTLP over HTTP: Compression, and the exporter below."""
import enum


class Compression(enum.Enum):
    NoCompression = 'none'
    Deflate = 'deflate'
    Gzip = 'gzip'


__all__ = ['Compression']
