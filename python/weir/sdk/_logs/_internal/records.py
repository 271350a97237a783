"""Records on their way through processors written in Python, their limits, and the logging.LogRecord made into one."""
from __future__ import annotations

import base64
import copy
import datetime
import json
import logging
import os
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, Dict, Optional

from weir._logs import LogRecord
from weir._logs.severity import SeverityNumber
from weir.attributes import BoundedAttributes
from weir.sdk.resources import Resource
from weir.sdk.util.instrumentation import InstrumentationScope

_log = logging.getLogger(__name__)


class LogRecordLimits:
    """Limits of record attributes: as given, else from the environment, else 128 and no length. UNSET: no limit."""

    UNSET = -1

    def __init__(self, max_attributes: Optional[int] = None, max_attribute_length: Optional[int] = None,
                 max_log_record_attributes: Optional[int] = None, max_log_record_attribute_length: Optional[int] = None) -> None:
        self.max_attributes = self._limit(max_attributes, 'OTEL_ATTRIBUTE_COUNT_LIMIT', 128)
        self.max_attribute_length = self._limit(max_attribute_length, 'OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT', None)
        self.max_log_record_attributes = self._limit(max_log_record_attributes, 'OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT',
                                                     self.max_attributes)
        self.max_log_record_attribute_length = self._limit(
            max_log_record_attribute_length, 'OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT', self.max_attribute_length)

    @classmethod
    def _limit(cls, given: Optional[int], variable: str, default: Optional[int]) -> Optional[int]:
        if given == cls.UNSET:
            return None
        if given is not None:
            if given < 0:
                raise ValueError(f'a limit of {given} attributes or characters is none: give 0 or more, or LogRecordLimits.UNSET')
            return given
        text = os.environ.get(variable, '').strip()
        if not text:
            return default
        if not text.isdigit():
            _log.warning('%s: %r is no number: ignored', variable, text)
            return default
        return int(text)

    def __repr__(self) -> str:
        return f'LogRecordLimits({self.max_log_record_attributes}, {self.max_log_record_attribute_length})'


class LogLimits(LogRecordLimits):
    """The older name."""


class LogRecordDroppedAttributesWarning(UserWarning):
    """For apps that filter it; dropped attributes are counted in their records and in LoggerProvider.stats()."""


class LogDroppedAttributesWarning(LogRecordDroppedAttributesWarning):
    """The older name."""


def _iso(ns: Optional[int]) -> Optional[str]:
    if ns is None:
        return None
    at = datetime.datetime.fromtimestamp(ns / 1e9, tz=datetime.timezone.utc)
    return at.strftime('%Y-%m-%dT%H:%M:%S.%fZ')


def _json_default(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


class ReadableLogRecord:
    """A record with its resource and scope, as exporters get it."""

    def __init__(self, log_record: LogRecord, resource: Resource, instrumentation_scope: Optional[InstrumentationScope] = None,
                 limits: Optional[LogRecordLimits] = None) -> None:
        self.log_record = log_record
        self.resource = resource
        self.instrumentation_scope = instrumentation_scope
        self.limits = limits

    @property
    def dropped_attributes(self) -> int:
        return getattr(self.log_record.attributes, 'dropped', 0)

    def to_json(self, indent: Optional[int] = 4) -> str:
        r = self.log_record
        return json.dumps({
            'body': r.body,
            'severity_number': severity_value(r.severity_number) if r.severity_number is not None else None,
            'severity_text': r.severity_text,
            'attributes': dict(r.attributes) if r.attributes else None,
            'dropped_attributes': self.dropped_attributes,
            'timestamp': _iso(r.timestamp),
            'observed_timestamp': _iso(r.observed_timestamp),
            'trace_id': f'0x{r.trace_id or 0:032x}',
            'span_id': f'0x{r.span_id or 0:016x}',
            'trace_flags': int(r.trace_flags or 0),
            'resource': json.loads(self.resource.to_json()),
            'event_name': r.event_name or '',
        }, indent=indent, default=_json_default)

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.log_record!r}, scope={self.instrumentation_scope!r})'


class ReadWriteLogRecord(ReadableLogRecord):
    """A record that processors may change; its attributes are bounded."""

    def __init__(self, log_record: LogRecord, resource: Optional[Resource] = None,
                 instrumentation_scope: Optional[InstrumentationScope] = None, limits: Optional[LogRecordLimits] = None) -> None:
        limits = limits or LogRecordLimits()
        super().__init__(log_record, Resource.create() if resource is None else resource, instrumentation_scope, limits)
        log_record.attributes = BoundedAttributes(limits.max_log_record_attributes, log_record.attributes, immutable=False,
                                                  max_value_len=limits.max_log_record_attribute_length)

    def readable(self) -> ReadableLogRecord:
        """A copy that later changes do not reach."""
        record = copy.copy(self.log_record)
        attributes = copy.copy(self.log_record.attributes)
        if isinstance(attributes, BoundedAttributes):
            attributes._dict = dict(attributes._dict)
        record.attributes = attributes
        return ReadableLogRecord(record, self.resource, self.instrumentation_scope, self.limits)


def severity_value(number: Any) -> int:
    """A SeverityNumber, of whose enum ever, or an int."""
    return int(getattr(number, 'value', number) or 0)


# ---- logging.LogRecord; the rules are those of handler.c ----

_RESERVED = frozenset('''asctime args created exc_info exc_text filename funcName getMessage levelname levelno lineno message module
    msecs msg name pathname process processName relativeCreated stack_info taskName thread threadName'''.split())
_TYPED = (type(None), bool, bytes, int, float, str, Sequence, Mapping)


def std_to_otel(levelno: int) -> SeverityNumber:
    if levelno < 10:
        return SeverityNumber.UNSPECIFIED
    if levelno > 53:
        return SeverityNumber.FATAL4
    return SeverityNumber(4 * (levelno // 10) + 1 + min(levelno % 10, 3))


def exception_attributes(exception: BaseException) -> Dict[str, Any]:
    """For Logger.emit(exception=...): unlike logging's exc_info, with the module in the type's name."""
    kind = type(exception)
    name = kind.__qualname__ if kind.__module__ in (None, 'builtins') else f'{kind.__module__}.{kind.__qualname__}'
    trace = traceback.format_exception(kind, exception, exception.__traceback__)
    return {'exception.type': name, 'exception.message': safe_str(exception), 'exception.stacktrace': ''.join(trace)}


def safe_str(value: Any) -> str:
    try:
        return str(value)
    except Exception as e:
        return f'<{type(value).__name__} whose __str__ raised {type(e).__name__}>'


def body_of(handler: Any, record: logging.LogRecord) -> Any:
    """A failing format or __str__ is logging's to complain about; the record goes on with the message as it is."""
    try:
        if handler.formatter:
            return handler.format(record)
        if handler._contrib or record.args or isinstance(record.msg, str):
            return record.getMessage()
        return record.msg if isinstance(record.msg, _TYPED) else str(record.msg)
    except Exception:
        handler.handleError(record)
        return safe_str(record.msg)


def attributes_of(handler: Any, record: logging.LogRecord) -> Dict[str, Any]:
    attributes = {k: v for k, v in vars(record).items() if k not in _RESERVED}
    if handler._code:
        attributes['code.file.path'] = record.pathname
        attributes['code.function.name'] = record.funcName
        attributes['code.line.number'] = record.lineno
    if isinstance(record.exc_info, tuple) and len(record.exc_info) == 3:
        kind, value, trace = record.exc_info
        if kind is not None:
            attributes['exception.type'] = kind.__name__
        if value is not None and value.args:
            attributes['exception.message'] = safe_str(value.args[0])
        if trace is not None:
            attributes['exception.stacktrace'] = ''.join(traceback.format_exception(kind, value, trace))
    return attributes


def translate(handler: Any, record: logging.LogRecord) -> LogRecord:
    attributes = attributes_of(handler, record)
    event_name = None
    if handler._contrib:
        older = attributes.pop('event.name', None)
        event_name = attributes.pop('otel.event.name', None) or older
    return LogRecord(timestamp=int(record.created * 1e9), severity_number=std_to_otel(record.levelno),
                     severity_text={'WARNING': 'WARN', 'CRITICAL': 'FATAL'}.get(record.levelname, record.levelname),
                     body=body_of(handler, record), attributes=attributes, event_name=event_name)
