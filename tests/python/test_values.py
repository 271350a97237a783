"""What ours does where the stock SDK raises, loses the record, or sends what cannot be decoded; and its limits."""
import logging
import sys

import pytest

import weir
from weir import _weir
from weir.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from weir.sdk._logs import LoggerProvider, LoggingHandler, LogRecordLimits
from weir.sdk._logs.export import BatchLogRecordProcessor, SimpleLogRecordProcessor
from weir.sdk.resources import Resource

pytestmark = pytest.mark.usefixtures('both_modes')


class Raises:
    def __init__(self, error=ValueError('no')):
        self.error = error

    def __str__(self):
        raise self.error


@pytest.fixture
def log(receiver):
    provider = LoggerProvider(Resource.create({'service.name': 's'}), shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(receiver.endpoint), schedule_delay_millis=20))
    logger = logging.getLogger('values')
    logger.handlers, logger.propagate = [LoggingHandler(logger_provider=provider)], False
    logger.setLevel(1)
    logger.provider = provider
    yield logger
    logger.handlers = []
    provider.shutdown()


def one(log, receiver, *args, **kwargs):
    log.info(*args, **kwargs)
    (record,) = receiver.wait(1)
    receiver.clear()
    return record


def test_an_int_beyond_64_bits_is_text(log, receiver):
    r = one(log, receiver, 2**63, extra={'big': -2**63 - 1, 'huge': 10**5000, 'in a list': [2**64]})
    assert r.body == str(2**63)
    assert r.attributes['big'] == str(-2**63 - 1) and r.attributes['in a list'] == [str(2**64)]
    if hasattr(sys, 'set_int_max_str_digits'):
        assert r.attributes['huge'] == hex(10**5000)


def test_what_raises_costs_itself_only(log, receiver, capsys):
    r = one(log, receiver, 'x', extra={'bad': Raises(), 'good': 1, 'list': [Raises(), 2], 'map': {'a': Raises(), 'b': 2, Raises(): 3}})
    assert 'bad' not in r.attributes and r.attributes['good'] == 1
    assert r.attributes['list'] == [None, 2] and r.attributes['map'] == {'b': 2}
    assert capsys.readouterr().err == ''


def test_a_hostile_sequence_and_mapping(log, receiver):
    class Lies(list):
        def __len__(self):
            return 10

    class Grows(dict):
        def items(self):
            raise RuntimeError('no items')

    class Endless:
        def __getitem__(self, i):
            return i

    import collections.abc

    class Wild(collections.abc.Sequence):
        def __len__(self):
            return 2**60

        def __getitem__(self, i):
            if i == 3:
                raise RuntimeError('no')
            return i
    r = one(log, receiver, 'x', extra={'lies': Lies([1]), 'grows': Grows(a=1), 'wild': Wild(), 'range': range(10**12), 'end': 1})
    assert r.attributes['lies'] == [1] and r.attributes['grows'] == {'a': 1} and r.attributes['wild'] == [0, 1, 2]
    assert 5000 < len(r.attributes['range']) <= 10000


def test_a_format_that_fails_is_complained_about_and_sent(log, receiver, capsys):
    r = one(log, receiver, 'one %d', 'not a number', extra={'k': 1})
    assert r.body == 'one %d' and r.attributes['k'] == 1
    err = capsys.readouterr().err
    assert '--- Logging error ---' in err and 'TypeError' in err and 'test_values.py' in err
    assert one(log, receiver, 'too %s many', 1, 2).body == 'too %s many'
    assert one(log, receiver, 'hostile %s', Raises()).body == 'hostile %s'
    assert one(log, receiver, Raises()).body == '<Raises whose __str__ raised ValueError>'
    assert capsys.readouterr().err.count('--- Logging error ---') == 3


def test_a_formatter_that_fails(log, receiver, capsys):
    class Formatter(logging.Formatter):
        def format(self, record):
            raise KeyError('absent')
    log.handlers[0].setFormatter(Formatter())
    assert one(log, receiver, 'the message').body == 'the message'
    assert 'KeyError' in capsys.readouterr().err


def test_keyboard_interrupt_goes_on(log, receiver):
    with pytest.raises(KeyboardInterrupt):
        log.info('x %s', Raises(KeyboardInterrupt()))
    with pytest.raises(SystemExit):
        log.info('x', extra={'bad': Raises(SystemExit(3))})
    assert one(log, receiver, 'after').body == 'after'


def test_depth_and_cycles_end(log, receiver):
    endless = []
    endless += [endless, endless]
    loop = {}
    loop['self'] = loop
    deep = []
    for _ in range(3000):
        deep = [deep]
    r = one(log, receiver, endless, extra={'loop': loop, 'deep': deep, 'after': 1})
    depth, at = 0, r.attributes['deep']
    while at:
        depth, at = depth + 1, at[0]
    assert depth == 30 and len(r.body) == 2
    r = one(log, receiver, 'x', extra={'loop': loop, 'after': 1})
    assert r.attributes['after'] == 1


def test_lone_surrogates(log, receiver):
    r = one(log, receiver, 'a\udc80b\ud800', extra={'k\udfff': 'v\ud83d'})
    assert r.body == 'a\ufffdb\ufffd' and r.attributes['k\ufffd'] == 'v\ufffd'


def test_a_huge_record_is_cut_and_sent(log, receiver):
    r = one(log, receiver, 'é' * (4 << 20), extra={'more': 'x' * 100})
    assert 2 << 20 < len(r.body.encode()) < 3 << 20 and set(r.body) == {'é'} and r.attributes['more'] == 'x' * 100


def test_more_attributes_than_the_limit(log, receiver):
    r = one(log, receiver, 'x', extra={f'k{n}': n for n in range(300)})
    assert len(r.attributes) == 128 and r.pb.dropped_attributes_count == 175
    assert r.attributes['k0'] == 0 and r.attributes['code.function.name'] == 'one'


def test_limits_of_the_provider(receiver):
    provider = LoggerProvider(shutdown_on_exit=False, log_record_limits=LogRecordLimits(max_attributes=5, max_attribute_length=3))
    provider.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(receiver.endpoint)))
    provider.get_logger('x').emit(body='the body', attributes={f'k{n}': 'äöüß' for n in range(9)})
    (r,) = receiver.wait(1)
    assert r.attributes == {f'k{n}': 'äöü' for n in range(5)} and r.pb.dropped_attributes_count == 4 and r.body == 'the body'
    provider.shutdown()


def test_a_limit_of_no_attributes(receiver):
    provider = LoggerProvider(shutdown_on_exit=False, log_record_limits=LogRecordLimits(max_attributes=0))
    provider.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(receiver.endpoint)))
    provider.get_logger('x').emit(body='x', attributes={'a': 1})
    assert receiver.wait(1)[0].attributes == {}
    provider.shutdown()


def test_records_that_are_none(log, receiver, capsys):
    handler = log.handlers[0]
    handler.handle(object())
    handler.emit(None)
    err = capsys.readouterr().err
    assert err.count('--- Logging error ---') == 2 and 'AttributeError' in err
    assert handler.handle(logging.makeLogRecord({'msg': 'no name', 'name': None, 'levelno': 'x', 'levelname': 5, 'created': 'y', 'args': 3}))
    (r,) = receiver.wait(1)
    assert r.scope.name == '' and r.pb.severity_number == 0 and r.pb.severity_text == '5' and r.pb.time_unix_nano == 0


def test_a_record_that_changes_under_the_conversion(log, receiver):
    class Vandal:
        def __str__(self):
            record = sys._getframe(1).f_locals.get('record') or held[0]
            vars(record).clear()
            return 'done'
    held = []
    log.handlers[0].addFilter(lambda record: held.append(record) or True)
    r = one(log, receiver, 'x %s', Vandal(), extra={'a' + str(n): [Vandal(), 'text' + str(n)] for n in range(50)})
    assert r.body == 'x done' and r.attributes['a49'] == ['done', 'text49'] and r.attributes['code.line.number'] > 1


def test_an_emit_of_ones_own_is_called_as_by_logging(receiver):
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(receiver.endpoint)))
    locked = []

    class Mine(LoggingHandler):
        def emit(self, record):
            locked.append(self.lock._is_owned())
            record.msg = 'mine: ' + record.msg
            super().emit(record)
    logger = logging.getLogger('own.emit')
    logger.handlers, logger.propagate = [Mine(logger_provider=provider)], False
    logger.error('x')
    assert receiver.wait(1)[0].body == 'mine: x' and locked == [True]
    provider.shutdown()


@pytest.mark.skipif(sys.version_info < (3, 12), reason='filters replace records from 3.12 on')
def test_a_filter_that_replaces(log, receiver):
    def censor(record):
        return logging.makeLogRecord({**vars(record), 'msg': 'censored', 'args': ()})
    log.handlers[0].addFilter(censor)
    assert one(log, receiver, 'secret').body == 'censored'


def test_the_resource(receiver, monkeypatch):
    monkeypatch.setenv('OTEL_RESOURCE_ATTRIBUTES', 'service.name=env,a=1,b=2')
    resource = Resource.create({'b': 3, 'list': ['x', 1], 'service.version': '7'}, 'https://schema')
    assert resource.attributes['service.name'] == 'env' and resource.attributes['list'] == ('x', 1)
    provider = LoggerProvider(resource, shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(receiver.endpoint)))
    provider.get_logger('x').emit(body=1)
    (r,) = receiver.wait(1)
    assert r.resource == {**resource.attributes, 'list': ['x', 1]}
    assert r.resource['telemetry.sdk.language'] == 'python' and r.resource['telemetry.sdk.name'] == 'weir'
    assert r.resource['telemetry.sdk.version'] == weir.__version__ == _weir.version
    assert r.resource['a'] == '1' and r.resource['b'] == 3 and len(r.resource['service.instance.id']) == 36
    assert receiver.got[0].resource_logs[0].schema_url == 'https://schema'
    provider.shutdown()


def test_resources_merge():
    one, two = Resource({'a': 1, 'b': 1}, 'u'), Resource({'b': 2, 'c': ''})
    assert dict(one.merge(two).attributes) == {'a': 1, 'b': 2, 'c': ''} and one.merge(two).schema_url == 'u'
    assert one.merge(Resource({}, 'other')) == one and Resource.get_empty().attributes == {}
    assert hash(one) == hash(Resource({'b': 1, 'a': 1}, 'u')) and one != two
    with pytest.raises(TypeError):
        one.attributes['a'] = 2
    mine = Resource.create({'service.instance.id': 'mine'})
    assert mine.attributes['service.instance.id'] == 'mine' and mine._made_up_id is None
