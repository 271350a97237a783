"""Logger._log() in C: the same records, by the short way where that may be, by the usual one everywhere else. What apps and other
instrumentations do to logging is in test_accelerated_others.py."""
import logging
import sys
import types

import pytest

import weir
from conftest import HttpReceiver
from test_same_as_stock import CALLS, Both, assert_same, boom
from weir.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from weir.sdk._logs import LoggerProvider, LoggingHandler
from weir.sdk._logs.export import BatchLogRecordProcessor


@pytest.fixture
def fast():
    weir.accelerate_logging()
    yield
    weir.accelerate_logging(False)


@pytest.fixture
def made():
    """Counts the LogRecords that Logger.makeRecord() makes: none, on the short way."""
    count = types.SimpleNamespace(n=0)
    make = logging.Logger.makeRecord.__code__

    def profile(frame, event, arg):
        count.n += event == 'call' and frame.f_code is make
    sys.setprofile(profile)
    yield count
    sys.setprofile(None)


@pytest.fixture(scope='module')
def module_receiver():
    r = HttpReceiver()
    yield r
    r.close()


@pytest.fixture
def receiver(module_receiver):
    module_receiver.clear()
    return module_receiver


@pytest.fixture
def log(receiver, request):
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(receiver.endpoint), schedule_delay_millis=10))
    parent = logging.getLogger('fast')
    parent.handlers, parent.propagate = [LoggingHandler(logger_provider=provider)], False
    parent.setLevel(1)
    logger = parent.getChild('child')
    logger.provider = provider
    yield logger
    parent.handlers, logger.handlers, logger.filters = [], [], []
    provider.shutdown()


def one(receiver):
    (record,) = receiver.wait(1)
    receiver.clear()
    return record


@pytest.mark.parametrize('contrib', [False, True])
@pytest.mark.parametrize('call', CALLS)
def test_the_same_record(receiver, call, contrib):
    both = Both(receiver, False, contrib, 'accelerated')
    for on, handler in enumerate(both.handlers):
        both.logger.handlers = [handler]
        weir.accelerate_logging(bool(on))
        try:
            CALLS[call](both.logger)
        finally:
            weir.accelerate_logging(False)
    theirs, ours = both.records()
    assert theirs and len(theirs) == len(ours)
    for first, second in zip(theirs, ours):
        if call not in ('made by hand', 'warning renamed'):
            assert abs(first.pb.time_unix_nano - second.pb.time_unix_nano) < 60 * 10**9
        first.pb.time_unix_nano = second.pb.time_unix_nano
        assert_same(first, second)
    both.logger.handlers = []
    both.ours.shutdown()


SHORT = {
    'plain': lambda lg: lg.info('x'),
    'arguments': lambda lg: lg.warning('%s %s', 1, 'a'),
    'a dict': lambda lg: lg.error('%(a)s', {'a': 1}),
    'a body': lambda lg: lg.critical({'a': 1}),
    'extra': lambda lg: lg.info('x', extra={'user': 1}),
    'log()': lambda lg: lg.log(30, 'x %s', 1),
    'debug': lambda lg: lg.debug('x'),
}


@pytest.mark.parametrize('call', SHORT)
def test_the_short_way_is_taken(fast, made, log, receiver, call):
    SHORT[call](log)
    record = one(receiver)
    assert made.n == 0 and record.scope.name == 'fast.child'
    assert record.attributes['code.function.name'] == '<lambda>' and record.attributes['code.file.path'] == __file__


def test_logging_s_own_functions_are_passed_over(fast, made, log, receiver, monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, 'handlers', log.parent.handlers)
    monkeypatch.setattr(root, 'level', 1)
    root.manager._clear_cache()
    logging.warning('from the module')
    assert one(receiver).attributes['code.function.name'] == 'test_logging_s_own_functions_are_passed_over'
    logging.LoggerAdapter(log, {'who': 'adapter'}).info('from an adapter')
    record = one(receiver)
    assert record.attributes['who'] == 'adapter' and record.attributes['code.function.name'] == 'test_logging_s_own_functions_are_passed_over'
    assert made.n == 0
    root.manager._clear_cache()


def usual(name):
    def wrap(function):
        USUAL[name] = function
        return function
    return wrap


USUAL = {}


@usual('exc_info')
def _(log, patch):
    boom(log, ValueError('x'))
    return 'it went wrong', {'exception.type': 'ValueError'}


@usual('stacklevel')
def _(log, patch):
    (lambda: log.info('x', stacklevel=2))()
    return 'x', {'code.function.name': '_'}


@usual('a second handler')
def _(log, patch):
    log.addHandler(logging.NullHandler())
    log.info('x')
    return 'x', {}


@usual('a handler of a handler')
def _(log, patch):
    log.parent.handlers[0].addFilter(lambda record: setattr(record, 'added', 1) or True)
    log.info('x')
    return 'x', {'added': 1}


@usual('a filter of the logger')
def _(log, patch):
    log.addFilter(lambda record: setattr(record, 'added', 2) or True)
    log.info('x')
    return 'x', {'added': 2}


@usual('a formatter')
def _(log, patch):
    log.parent.handlers[0].setFormatter(logging.Formatter('<%(message)s>'))
    log.info('x')
    return '<x>', {}


@usual('a factory')
def _(log, patch):
    patch.setattr(logging, '_logRecordFactory', lambda *a, **k: logging.LogRecord(*a, **k))
    log.info('x')
    return 'x', {}


@usual('a patched class')
def _(log, patch):
    seen, before = [], logging.Logger.callHandlers
    patch.setattr(logging.Logger, 'callHandlers', lambda self, record: seen.append(record) or before(self, record))
    log.info('x')
    assert len(seen) == 1
    return 'x', {}


@usual('a format that fails')
def _(log, patch):
    patch.setattr(logging, 'raiseExceptions', False)
    log.info('x %d', 'y')
    return 'x %d', {}


@pytest.mark.parametrize('name', USUAL)
def test_the_usual_way_is_taken(fast, made, log, receiver, monkeypatch, name):
    body, attributes = USUAL[name](log, monkeypatch)
    record = one(receiver)
    assert made.n == 1 and record.body == body
    assert {k: record.attributes[k] for k in attributes} == attributes


def test_levels(fast, made, log, receiver):
    log.setLevel(logging.WARNING)
    log.info('too low')
    log.setLevel(1)
    log.parent.handlers[0].setLevel(logging.ERROR)
    log.warning('too low for the handler')
    log.disabled = True
    log.error('disabled')
    log.disabled = False
    logging.disable(logging.CRITICAL)
    log.critical('disabled')
    logging.disable(logging.NOTSET)
    log.error('seen')
    assert one(receiver).body == 'seen' and not log.isEnabledFor(0)


def test_errors_are_the_usual_ones(fast, log):
    with pytest.raises(TypeError):
        log.info()
    with pytest.raises(TypeError):
        log.info('x', nonsense=1)
    with pytest.raises(TypeError):
        log.log('INFO', 'x')
    with pytest.raises(KeyError, match='overwrite'):
        log.info('x', extra={'message': 1})
    with pytest.raises(KeyError, match='overwrite'):
        log.info('x', extra={'lineno': 1})

    class Interrupts:
        def __str__(self):
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        log.info('%s', Interrupts())


def test_subclasses(fast, made, log, receiver):
    class Mine(logging.Logger):
        pass

    class Changed(logging.Logger):
        def makeRecord(self, *args, **kwargs):
            record = super().makeRecord(*args, **kwargs)
            record.msg = 'changed'
            return record
    for kind, body, n in ((Mine, 'x', 0), (Changed, 'changed', 1)):
        logger = kind('mine')
        logger.parent = log.parent
        made.n = 0
        logger.error('x')
        assert one(receiver).body == body and made.n == n


def test_a_record_that_logs(fast, log, receiver):
    class Loud:
        def __str__(self):
            log.info('nested')
            return 'loud'
    log.info('%s', Loud())
    assert sorted(r.body for r in receiver.wait(2)) == ['loud', 'nested']
