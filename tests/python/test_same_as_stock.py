"""The same logging call into the stock LoggingHandler and ours: the records on the wire are the same, field by field.

Both ways through ours are held against it, native and with a processor written in Python in between, each by the rules of the SDK's
handler and by those of opentelemetry-instrumentation-logging.
"""
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import logging
import pathlib
import types
import uuid
import warnings

import pytest
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.instrumentation.logging.handler import LoggingHandler as StockContribHandler
from opentelemetry.sdk._logs import LoggerProvider as StockProvider
from opentelemetry.sdk._logs import LoggingHandler as StockHandler
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter as StockMemory
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor as StockSimple
from opentelemetry.sdk.trace import TracerProvider

from conftest import Record, value_of
from weir.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from weir.instrumentation.logging.handler import LoggingHandler as OurContribHandler
from weir.sdk._logs import LoggerProvider, LoggingHandler, LogRecordProcessor
from weir.sdk._logs.export import BatchLogRecordProcessor

pytestmark = pytest.mark.usefixtures('both_modes')


class Untouched(LogRecordProcessor):
    def on_emit(self, log_record):
        pass

    def shutdown(self):
        pass

    def force_flush(self, timeout_millis=30000):
        return True


class Both:
    """One logger with both handlers."""

    def __init__(self, receiver, python_path, contrib, name):
        warnings.simplefilter('ignore')
        self.receiver = receiver
        self.memory = StockMemory()
        self.stock = StockProvider(shutdown_on_exit=False)
        self.stock.add_log_record_processor(StockSimple(self.memory))
        self.ours = LoggerProvider(shutdown_on_exit=False)
        if python_path:
            self.ours.add_log_record_processor(Untouched())
        self.ours.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(receiver.endpoint), schedule_delay_millis=50))
        if contrib:
            self.handlers = [StockContribHandler(logger_provider=self.stock), OurContribHandler(logger_provider=self.ours)]
        else:
            self.handlers = [StockHandler(logger_provider=self.stock), LoggingHandler(logger_provider=self.ours)]
        self.logger = logging.getLogger(name)
        self.logger.handlers = list(self.handlers)
        self.logger.propagate = False
        self.logger.setLevel(1)

    def records(self):
        """(stock's, ours) of what was logged since the last call."""
        request = encode_logs(self.memory.get_finished_logs())
        theirs = [Record(r, {kv.key: value_of(kv.value) for kv in rl.resource.attributes}, sl.scope)
                  for rl in request.resource_logs for sl in rl.scope_logs for r in sl.log_records]
        self.memory.clear()
        ours = self.receiver.wait(len(theirs))
        self.receiver.clear()
        return sorted(theirs, key=lambda r: r.pb.time_unix_nano), sorted(ours, key=lambda r: r.pb.time_unix_nano)


@pytest.fixture(params=['native', 'python', 'contrib', 'contrib-python'])
def both(request, receiver):
    b = Both(receiver, 'python' in request.param, 'contrib' in request.param, 'same.' + request.param)
    yield b
    b.logger.handlers = []
    b.ours.shutdown()
    b.stock.shutdown()


def assert_same(theirs, ours):
    assert ours.scope.name == theirs.scope.name and ours.scope.version == theirs.scope.version
    for field in ('time_unix_nano', 'severity_number', 'severity_text', 'trace_id', 'span_id', 'event_name', 'flags',
                  'dropped_attributes_count'):
        assert getattr(ours.pb, field) == getattr(theirs.pb, field), field
    assert abs(ours.pb.observed_time_unix_nano - theirs.pb.observed_time_unix_nano) < 60 * 10**9
    assert ours.pb.body == theirs.pb.body
    assert {kv.key: kv.value for kv in ours.pb.attributes} == {kv.key: kv.value for kv in theirs.pb.attributes}
    assert len(ours.pb.attributes) == len(theirs.pb.attributes)


class Colour(enum.Enum):
    RED = 1


class Number(enum.IntEnum):
    ONE = 1


class Text(str):
    def __str__(self):
        return 'not ' + super().__str__()


class Named:
    def __str__(self):
        return 'the name'


class Silent:
    pass


@dataclasses.dataclass
class Point:
    x: int
    y: float


Pair = collections.namedtuple('Pair', 'left right')


def boom(logger, error, log=None, **kwargs):
    try:
        raise error
    except BaseException:
        (log or logger.exception)('it went wrong', **kwargs)


def nested_cause(logger):
    try:
        try:
            {}['absent']
        except KeyError as e:
            raise ValueError('no such thing', 42) from e
    except ValueError:
        logger.error('failed %s', 'twice', exc_info=True)


class Strange(Exception):
    def __init__(self):
        super().__init__(['a', 1])


CALLS = {
    'plain': lambda lg: lg.info('hello'),
    'empty': lambda lg: lg.info(''),
    'one argument': lambda lg: lg.info('order %s accepted', 42),
    'many arguments': lambda lg: lg.warning('%s %d %.3f %r %x %%', 'a', 5, 1 / 3, 'q', 255),
    'argument dict': lambda lg: lg.info('%(a)s and %(b)d', {'a': 'x', 'b': 3}),
    'argument list': lambda lg: lg.info('list %s', [1, 2]),
    'argument tuple in tuple': lambda lg: lg.info('tuple %s', (1, 2)),
    'argument object': lambda lg: lg.info('object %s %r', Named(), Point(1, 2.5)),
    'percent without arguments': lambda lg: lg.info('100 % sure %s'),
    'unicode': lambda lg: lg.info('grüße 🌊 %s', 'naïve \u0000 x'),
    'long': lambda lg: lg.info('x' * 100000),
    'lines': lambda lg: lg.info('a\nb\r\n\tc'),
    'str subclass': lambda lg: lg.info(Text('text')),
    'str subclass with arguments': lambda lg: lg.info(Text('text %s'), 1),
    'debug': lambda lg: lg.debug('d'),
    'critical': lambda lg: lg.critical('c'),
    'fatal': lambda lg: lg.fatal('f'),
    'below debug': lambda lg: lg.log(5, 'trace'),
    'a level for each number': lambda lg: [lg.log(n, 'level %d', n) for n in range(1, 60)],
    'huge level': lambda lg: lg.log(1000, 'huge'),
    'body None': lambda lg: lg.info(None),
    'body int': lambda lg: lg.info(42),
    'body negative': lambda lg: lg.info(-1),
    'body int64': lambda lg: [lg.info(n) for n in (2**63 - 1, -2**63)],
    'body bool': lambda lg: [lg.info(True), lg.info(False)],
    'body float': lambda lg: [lg.info(1.5), lg.info(float('inf')), lg.info(-0.0)],
    'body bytes': lambda lg: lg.info(b'\x00\xff'),
    'body list': lambda lg: lg.info([1, 'two', 3.0, None, [True, b'x'], {'k': ()}]),
    'body tuple': lambda lg: lg.info((1, 2)),
    'body dict': lambda lg: lg.info({'a': 1, 'b': {'c': [1, {'d': None}]}, 3: 'three', '': 'empty', None: 0}),
    'body empty': lambda lg: [lg.info([]), lg.info({}), lg.info(b'')],
    'body ordered dict': lambda lg: lg.info(collections.OrderedDict(z=1, a=2)),
    'body mapping': lambda lg: lg.info(types.MappingProxyType({'a': 1})),
    'body range': lambda lg: lg.info(range(5)),
    'body deque': lambda lg: lg.info(collections.deque([1, 2])),
    'body named tuple': lambda lg: lg.info(Pair(1, 'r')),
    'body bytearray': lambda lg: lg.info(bytearray(b'ab')),
    'body set': lambda lg: lg.info({1}),
    'body object': lambda lg: lg.info(Named()),
    'body silent object': lambda lg: lg.info(Silent),
    'body exception': lambda lg: lg.info(ValueError('as a message')),
    'body exception with exc_info': lambda lg: boom(lg, ValueError('x'), log=lambda *a, **k: lg.error(ValueError('y'), exc_info=True)),
    'body object with arguments': lambda lg: lg.info(Pair('%s', 1), 1),
    'body enum': lambda lg: [lg.info(Colour.RED), lg.info(Number.ONE)],
    'extra scalars': lambda lg: lg.info('x', extra={'s': 'text', 'i': 3, 'big': 2**62, 'f': 2.5, 't': True, 'n': None, 'b': b'\x01'}),
    'extra containers': lambda lg: lg.info('x', extra={'l': [1, [2, [3]]], 'd': {'a': {'b': (1, None)}}, 't': (), 'e': {}}),
    'extra odd keys in a dict': lambda lg: lg.info('x', extra={'d': {1: 'one', '': 'dropped', None: 'dropped', 0: 'dropped', Named(): 1, Colour.RED: 2}}),
    'extra key without text': lambda lg: lg.info('x', extra={'d': {Silent(): 1, 'kept': 2}}),
    'extra objects': lambda lg: lg.info('x', extra={'o': Named(), 'p': Point(1, 2), 'u': uuid.UUID(int=7), 'path': pathlib.PurePosixPath('/a/b')}),
    'extra silent object': lambda lg: lg.info('x', extra={'o': Silent(), 'in list': [Silent(), 1]}),
    'extra numbers of other kinds': lambda lg: lg.info('x', extra={'d': decimal.Decimal('1.50'), 'f': fractions.Fraction(1, 3), 'c': 1j}),
    'extra times': lambda lg: lg.info('x', extra={'dt': datetime.datetime(2024, 1, 2), 'td': datetime.timedelta(1)}),
    'extra enums': lambda lg: lg.info('x', extra={'e': Colour.RED, 'n': Number.ONE}),
    'extra sets': lambda lg: lg.info('x', extra={'s': {1}, 'f': frozenset([2])}),
    'extra views': lambda lg: lg.info('x', extra={'k': {'a': 1}.keys(), 'r': range(3), 'm': memoryview(b'ab'), 'd': collections.deque('ab')}),
    'extra mappings': lambda lg: lg.info('x', extra={'c': collections.ChainMap({'a': 1}, {'b': 2}), 'n': collections.Counter('aab')}),
    'extra named tuple': lambda lg: lg.info('x', extra={'p': Pair(1, 'b')}),
    'extra str subclass': lambda lg: lg.info('x', extra={'t': Text('abc'), Text('key'): 1}),
    'extra class and function': lambda lg: lg.info('x', extra={'c': Point, 'f': len}),
    'extra unicode': lambda lg: lg.info('x', extra={'ключ': 'значение', 'emoji': '🌊'}),
    'extra names like ours': lambda lg: lg.info('x', extra={'code.file.path': 'mine', 'code.line.number': 'mine', 'exception.type': 'mine'}),
    'extra event name': lambda lg: lg.info('x', extra={'event.name': 'e', 'otel.event.name': 'f'}),
    'extra a hundred': lambda lg: lg.info('x', extra={f'k{n}': n for n in range(100)}),
    'extra with arguments': lambda lg: lg.info('%s', 'v', extra={'user': 'u'}),
    'exception': lambda lg: boom(lg, ValueError('bad value', 2)),
    'exception without arguments': lambda lg: boom(lg, RuntimeError()),
    'exception with an object': lambda lg: boom(lg, Strange()),
    'exception of the system': lambda lg: boom(lg, OSError(2, 'No such file')),
    'exception base': lambda lg: boom(lg, KeyboardInterrupt()),
    'exception with a cause': nested_cause,
    'exception with extra': lambda lg: boom(lg, ValueError('v'), extra={'exception.type': 'mine', 'exception.message': 'mine', 'other': 1}),
    'exc_info an instance': lambda lg: lg.info('x', exc_info=ValueError('never raised')),
    'exc_info False': lambda lg: lg.info('x', exc_info=False),
    'exc_info without an exception': lambda lg: lg.info('x', exc_info=True),
    'stack_info': lambda lg: lg.info('x', stack_info=True),
    'stacklevel': lambda lg: lg.info('x', stacklevel=2),
    'made by hand': lambda lg: lg.handle(logging.makeLogRecord({'name': lg.name, 'msg': 'by hand', 'levelno': 30, 'levelname': 'WARNING', 'user': 'u'})),
    'level of its own': lambda lg: (logging.addLevelName(25, 'NOTICE'), lg.log(25, 'x')),
    'warning renamed': lambda lg: lg.handle(lg.makeRecord(lg.name, 30, 'f', 1, 'm', (), None)),
}


@pytest.mark.parametrize('call', CALLS)
def test_the_same_record(both, call):
    CALLS[call](both.logger)
    theirs, ours = both.records()
    assert theirs and len(theirs) == len(ours)
    for one, other in zip(theirs, ours):
        assert_same(one, other)


def something(random, depth=0):
    """A value of any kind that the stock SDK can send."""
    kind = random.randrange(16 if depth < 4 else 11)
    if kind < 11:
        return [None, True, random.randrange(-2**63, 2**63), random.randrange(100), random.random() * 10**random.randrange(-20, 20),
                ''.join(chr(random.choice([65, 0xe9, 0x20ac, 0x1f30a, 10, 0])) for _ in range(random.randrange(20))),
                bytes(random.randrange(256) for _ in range(random.randrange(9))), Colour.RED, Number.ONE, Text('text'), Named()][kind]
    if kind < 13:
        return [list, tuple][kind - 11](something(random, depth + 1) for _ in range(random.randrange(5)))
    keys = ['a', 'b', 'ключ', '', 7, None, Colour.RED, True]
    return {random.choice(keys): something(random, depth + 1) for _ in range(random.randrange(5))}


@pytest.mark.parametrize('seed', range(5))
def test_random_records(both, seed):
    import random
    r = random.Random(seed)
    for n in range(60):
        extra = {r.choice(['k', 'user', 'ünï', 'code.x', 'exception.y']) + str(i): something(r) for i in range(r.randrange(8))}
        if r.random() < 0.7:
            both.logger.log(r.randrange(1, 70), '%s %r' if n % 2 else 'none', *([something(r, 3), n] if n % 2 else []), extra=extra)
        else:
            both.logger.warning('as %(text)s', {'text': something(r, 3)}, extra=extra)
    theirs, ours = both.records()
    assert len(theirs) == len(ours) == 60
    for one, other in zip(theirs, ours):
        assert_same(one, other)


def test_event_names_and_code(receiver):
    b = Both(receiver, False, True, 'same.code')
    b.handlers[:] = [StockContribHandler(logger_provider=b.stock, log_code_attributes=True),
                     OurContribHandler(logger_provider=b.ours, log_code_attributes=True)]
    b.logger.handlers = list(b.handlers)
    for extra in ({'event.name': 'old'}, {'otel.event.name': 'new'}, {'otel.event.name': None, 'event.name': 'old', 'k': 1}):
        b.logger.info('x', extra=extra)
    theirs, ours = b.records()
    for one, other in zip(theirs, ours):
        assert_same(one, other)
    assert [r.pb.event_name for r in ours] == ['old', 'new', 'old'] and 'code.file.path' in ours[0].attributes
    b.logger.handlers = []
    b.ours.shutdown()


def test_with_a_formatter(both):
    for h in both.handlers:
        h.setFormatter(logging.Formatter('%(levelname)s|%(name)s|%(message)s'))
    both.logger.info('hello %s', 'you', extra={'k': 1})
    boom(both.logger, ValueError('formatted with its traceback'))
    for one, other in zip(*both.records()):
        assert_same(one, other)


def test_nan(both):
    both.logger.info('x', extra={'nan': float('nan')})
    (one,), (other,) = both.records()
    assert one.attributes['nan'] != one.attributes['nan'] and other.attributes['nan'] != other.attributes['nan']


def test_child_loggers_are_scopes(both):
    for name in ('a', 'a.b', 'ünïcode'):
        both.logger.getChild(name).info('x')
    theirs, ours = both.records()
    assert [r.scope.name for r in ours] == [r.scope.name for r in theirs] and len({r.scope.name for r in ours}) == 3


def test_filters_and_levels(both):
    for h in both.handlers:
        h.setLevel(logging.WARNING)
        h.addFilter(lambda record: 'secret' not in record.getMessage())
    both.logger.info('too low')
    both.logger.warning('secret %s', 1)
    both.logger.warning('seen')
    theirs, ours = both.records()
    assert [r.body for r in theirs] == [r.body for r in ours] == ['seen']


def test_the_span_around(both):
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer('t')
    both.logger.info('before')
    with tracer.start_as_current_span('outer'):
        both.logger.info('one')
        with tracer.start_as_current_span('inner'):
            both.logger.info('two')
        both.logger.info('three')
    both.logger.info('after')
    theirs, ours = both.records()
    for one, other in zip(theirs, ours):
        assert_same(one, other)
    assert [bool(r.pb.trace_id) for r in ours] == [False, True, True, True, False]
    assert ours[1].pb.span_id != ours[2].pb.span_id and ours[1].pb.span_id == ours[3].pb.span_id and ours[1].pb.flags & 1


def test_a_factory_of_ones_own(both):
    class Record(logging.LogRecord):
        def getMessage(self):
            return 'said ' + super().getMessage()
    old = logging.getLogRecordFactory()
    logging.setLogRecordFactory(Record)
    try:
        both.logger.info('x %d', 1, extra={'a': 1})
        both.logger.info({'not': 'a string'})
    finally:
        logging.setLogRecordFactory(old)
    for one, other in zip(*both.records()):
        assert_same(one, other)


def test_the_api_gives_the_same_record(both):
    from opentelemetry._logs import SeverityNumber as StockSeverity
    from weir._logs import SeverityNumber
    for provider, severity in ((both.stock, StockSeverity), (both.ours, SeverityNumber)):
        logger = provider.get_logger('scope', '1.2', 'https://schema', {'lib': 'x'})
        logger.emit(timestamp=1234, observed_timestamp=5678, severity_number=severity.WARN2, severity_text='odd', body={'a': [1]},
                    attributes={'k': ('v', 1), 'o': Named()}, event_name='thing.happened')
        logger.emit(timestamp=2345, body='bare')
        try:
            raise Strange
        except Strange as e:
            logger.emit(timestamp=3456, body='with an exception', exception=e, attributes={'exception.message': 'mine'})
    theirs, ours = both.records()
    assert len(ours) == 3 and ours[0].scope.version == '1.2' and ours[0].pb.event_name == 'thing.happened'
    for one, other in zip(theirs, ours):
        other.attributes.pop('exception.stacktrace', None), one.attributes.pop('exception.stacktrace', None)
        assert other.attributes == one.attributes and other.body == one.body
        assert other.pb.severity_number == one.pb.severity_number and other.pb.event_name == one.pb.event_name
        assert [(kv.key, kv.value) for kv in other.scope.attributes] == [(kv.key, kv.value) for kv in one.scope.attributes]
