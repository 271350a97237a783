"""What apps and instrumentations do to logging, each done twice: with logging as it is, and with Logger._log() in C. Records that
arrive, calls that others see, and exceptions must be the same. A scenario gets a child logger whose parent has our handler, a
monkeypatch, and a list for what else it observes."""
import copy
import functools
import inspect
import logging
import logging.config
import pickle
import subprocess
import sys
import threading
import time
import types
import unittest.mock
import warnings
import weakref

import pytest

import weir
from conftest import HttpReceiver, environment
from weir import _acceleration
from weir.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from weir.sdk._logs import LoggerProvider, LoggingHandler
from weir.sdk._logs.export import BatchLogRecordProcessor

SCENARIOS = {}
METHODS = ['makeRecord', 'findCaller', 'handle', 'callHandlers', 'filter', '_log', 'isEnabledFor', 'info']
HANDLER_METHODS = ['handle', 'emit', 'filter']


def scenario(name):
    def add(function):
        SCENARIOS[name] = function
        return function
    return add


def reporting(name, seen, original):
    """What says that it was called, and goes on; as instrumentations wrap."""
    def method(*args, **kwargs):
        seen.append(name)
        return original(*args, **kwargs)
    return method


def child(kind, log):
    logger = kind('others.kind')
    logger.parent, logger.manager = log.parent, log.manager
    return logger


# ---- methods of loggers ----

def subclass_with(name, log, patch, seen):
    def method(self, *args, **kwargs):
        seen.append(name)
        return getattr(logging.Logger, name)(self, *args, **kwargs)
    logger = child(type('Kind', (logging.Logger,), {name: method}), log)
    logger.info('x %d', 1, extra={'a': 1})
    logger.error('y')


def mixin_with(name, log, patch, seen):
    kind = type('Kind', (type('Mixin', (), {name: lambda self, *a, **k: seen.append(name)}), logging.Logger), {})
    child(kind, log).error('not to be seen')


def subclass_that_changes(name, log, patch, seen):
    kind = type('Kind', (logging.Logger,), {})
    logger = child(kind, log)
    logger.info('before')
    setattr(kind, name, reporting(name, seen, getattr(logging.Logger, name)))
    logger.info('changed')
    delattr(kind, name)
    logger.info('after')


def patched_class(name, log, patch, seen):
    log.info('before')
    with patch.context() as within:
        within.setattr(logging.Logger, name, reporting(name, seen, getattr(logging.Logger, name)))
        log.info('patched %s', 1)
    log.info('after')


def patched_object(name, log, patch, seen):
    log.info('before')
    setattr(log, name, reporting(name, seen, getattr(log, name)))
    log.info('patched %s', 1)
    delattr(log, name)
    log.info('after')


for _how in (subclass_with, mixin_with, subclass_that_changes, patched_class, patched_object):
    for _name in METHODS:
        SCENARIOS[f'{_how.__name__} {_name}'] = functools.partial(_how, _name)


@scenario('a filter of the class they all come from')
def _(log, patch, seen):
    patch.setattr(logging.Filterer, 'filter', reporting('filter', seen, logging.Filterer.filter))
    log.info('x')


@scenario('a mock in the place of handle()')
def _(log, patch, seen):
    with unittest.mock.patch.object(log, 'handle') as handle:
        log.info('x %d', 1)
        seen.append(handle.call_args[0][0].getMessage())
    with unittest.mock.patch.object(logging.Logger, 'handle', autospec=True) as handle:
        log.info('y')
        seen.append(handle.call_args[0][1].getMessage())


@scenario('setLoggerClass')
def _(log, patch, seen):
    class Kind(logging.getLoggerClass()):
        def makeRecord(self, *args, **kwargs):
            record = super().makeRecord(*args, **kwargs)
            record.tenant = 'blue'
            return record
    patch.setattr(logging, '_loggerClass', logging._loggerClass)
    logging.setLoggerClass(Kind)
    name = f'{log.name}.fresh'
    try:
        logging.getLogger(name).info('x')
    finally:
        del log.manager.loggerDict[name]


@scenario('attributes that a class computes')
def _(log, patch, seen):
    class Kind(logging.Logger):
        disabled = property(lambda self: seen.append('asked') or len(seen) > 3, lambda self, value: None)
    logger = child(Kind, log)
    for n in range(4):
        logger.info('x')

    class Handlers(logging.Logger):
        handlers = property(lambda self: [types.SimpleNamespace(level=0, handle=lambda record: seen.append(record.msg))],
                            lambda self, value: None)
    child(Handlers, log).info('y')
    patch.setattr(logging.Logger, 'propagate', property(lambda self: False), raising=False)
    log.info('z')


@scenario('__getattribute__')
def _(log, patch, seen):
    class Kind(logging.Logger):
        def __getattribute__(self, name):
            if name == 'filters':
                seen.append(name)
            return super().__getattribute__(name)
    child(Kind, log).info('x')


@scenario('levels of ones own')
def _(log, patch, seen):
    class Kind(logging.Logger):
        def trace(self, msg, *args, **kwargs):
            self._log(5, msg, args, **kwargs)
    logger = child(Kind, log)
    logger.trace('no name for 5 %d', 1)
    patch.setitem(logging._levelToName, 5, 'TRACE')
    logger.trace('named')
    logger.disabled = True
    logger.trace('disabled')
    logger._log(logging.INFO, 'by hand', ())


@scenario('attributes of ones own on a logger')
def _(log, patch, seen):
    log.tenant = 'blue'
    log.info('x')
    for n in range(60):
        setattr(log, f'attribute{n}', n)
    log.info('y')
    log.handle = lambda record: seen.append(record.msg)
    log.info('z')
    for name in [n for n in vars(log) if n.startswith(('attribute', 'tenant', 'handle')) and n != 'handlers']:
        delattr(log, name)


# ---- handlers ----

def handler_with(name, log, patch, seen):
    def method(self, record):
        seen.append((name, record.msg))
        return getattr(LoggingHandler, name)(self, record)
    log.parent.handlers = [type('Kind', (LoggingHandler,), {name: method})(logger_provider=log.provider)]
    log.info('x')


def patched_handler_class(name, log, patch, seen):
    log.info('before')
    patch.setattr(logging.Handler, name, reporting(name, seen, getattr(logging.Handler, name)))
    log.info('x')


def patched_handler(name, log, patch, seen):
    handler = log.parent.handlers[0]
    log.info('before')
    patch.setattr(handler, name, reporting(name, seen, getattr(handler, name)))
    log.info('x')


for _how in (handler_with, patched_handler_class, patched_handler):
    for _name in HANDLER_METHODS:
        SCENARIOS[f'{_how.__name__} {_name}'] = functools.partial(_how, _name)


@scenario('handlers beside ours')
def _(log, patch, seen):
    class Other(logging.Handler):
        def emit(self, record):
            seen.append((record.getMessage(), record.funcName, record.lineno, record.pathname, record.threadName, record.name))
    log.addHandler(Other())
    log.info('x %d', 1)
    log.removeHandler(log.handlers[0])
    log.info('y')
    log.parent.addHandler(Other())
    log.info('z')
    log.propagate = False
    log.info('lost')
    log.propagate = True


@scenario('a list of handlers that is no list')
def _(log, patch, seen):
    class Watched(list):
        def __iter__(self):
            seen.append('iterated')
            return super().__iter__()
    log.parent.handlers = Watched(log.parent.handlers)
    log.info('x')
    log.parent.handlers = tuple(log.parent.handlers)
    log.info('y')


@scenario('filters')
def _(log, patch, seen):
    def even(record):
        seen.append(record.msg)
        record.added = 1
        return record.args[0] % 2 == 0
    for where in (log, log.parent, log.parent.handlers[0]):
        where.addFilter(even)
        for n in range(3):
            log.info('x %d', n)
        where.removeFilter(even)
    log.info('after')


@scenario('formatters and levels of the handler')
def _(log, patch, seen):
    handler = log.parent.handlers[0]
    handler.setFormatter(logging.Formatter('<%(message)s>'))
    log.info('x')
    handler.setFormatter(None)
    handler.setLevel('WARNING')
    log.info('too low')
    log.warning('y')
    handler.setLevel(0)
    log.info('z')


@scenario('our handler twice')
def _(log, patch, seen):
    log.addHandler(log.parent.handlers[0])
    log.info('x')


@scenario('no handler')
def _(log, patch, seen):
    log.parent.handlers = []
    patch.setattr(logging, 'lastResort', types.SimpleNamespace(level=30, handle=lambda record: seen.append(record.msg)))
    log.info('x')
    log.error('y')
    patch.setattr(logging, 'lastResort', None)
    patch.setattr(sys, 'stderr', types.SimpleNamespace(write=seen.append))
    patch.setattr(log.manager, 'emittedNoHandlerWarning', False)
    log.error('z')


@scenario('an error in a handler')
def _(log, patch, seen):
    handler = log.parent.handlers[0]
    patch.setattr(handler, 'handleError', lambda record: seen.append(record.msg), raising=False)
    log.info('%d', 'no number')
    log.info('%s %s', 'too few')
    log.info('too many', 1)
    log.info('after %s', 1)


# ---- switches ----

@scenario('fileConfig sets numbers')
def _(log, patch, seen):
    log.disabled = 0
    log.propagate = 1
    log.info('x')
    log.disabled = 1
    log.info('disabled')
    log.disabled = 0
    log.propagate = 0
    log.info('nowhere')
    log.propagate = 2
    log.info('y')
    log.propagate = True
    log.disabled = False


@scenario('propagation')
def _(log, patch, seen):
    grandchild = log.getChild('grand')
    grandchild.info('x')
    log.propagate = False
    grandchild.info('lost')
    log.propagate = True
    grandchild.info('y')
    grandchild.parent = log.parent
    log.propagate = False
    grandchild.info('z')
    log.propagate = True
    grandchild.parent = log


@scenario('levels')
def _(log, patch, seen):
    for level in (logging.WARNING, logging.DEBUG, 'ERROR', logging.NOTSET):
        log.setLevel(level)
        log.info('info at %s', level)
        log.error('error at %s', level)
    logging.disable(logging.INFO)
    log.info('disabled')
    log.warning('not disabled')
    logging.disable(logging.NOTSET)
    log.info('again')
    log.disabled = True
    log.error('disabled')
    log.disabled = False
    log._cache[logging.INFO] = False
    log.info('by its cache')
    log._cache.clear()
    log.info('end')


@scenario('other levels than numbers')
def _(log, patch, seen):
    import enum

    class Level(enum.IntEnum):
        ODD = 25
    log.log(Level.ODD, 'x')
    log.log(True, 'y')
    log.log(10**30, 'z')
    log.log('INFO', 'raises')


# ---- records ----

@scenario('a record factory')
def _(log, patch, seen):
    old = logging.getLogRecordFactory()

    def factory(*args, **kwargs):
        record = old(*args, **kwargs)
        record.tenant = 'blue'
        return record
    log.info('before')
    logging.setLogRecordFactory(factory)
    try:
        log.info('x')
    finally:
        logging.setLogRecordFactory(old)
    log.info('after')


@scenario('LogRecord patched')
def _(log, patch, seen):
    log.info('before')
    with patch.context() as within:
        within.setattr(logging.LogRecord, 'getMessage', lambda self: str(self.msg).format(*self.args))
        log.info('x {}', 1)
    with patch.context() as within:
        init = logging.LogRecord.__init__
        within.setattr(logging.LogRecord, '__init__', lambda self, *a, **k: init(self, *a, **k) or setattr(self, 'tenant', 'blue'))
        log.info('y')
    with patch.context() as within:
        within.setattr(logging.LogRecord, '__setattr__', lambda self, name, value: seen.append(name) or object.__setattr__(self, name, value),
                       raising=False)
        log.info('z')
    log.info('after')


@scenario('a clock that is stopped')
def _(log, patch, seen):
    patch.setattr(time, 'time', lambda: 1234567890.5)
    patch.setattr(time, 'time_ns', lambda: 1234567890500000000)
    log.info('x')
    seen.append('stopped')


@scenario('extra')
def _(log, patch, seen):
    log.info('x', extra={'user': 1, 'deep': {'a': [1]}})
    log.info('x', extra=types.MappingProxyType({'user': 2}))
    log.info('x', extra=None)
    log.info('x', extra={})
    log.info('x', extra={'taskName': 'mine'} if sys.version_info < (3, 12) else {})
    log.info('x', extra={3: 4})
    log.info('raises', extra={'name': 'x'})


@scenario('arguments of all kinds')
def _(log, patch, seen):
    log.info(msg='by name')
    log._log(20, 'positional', (), None, {'a': 1}, False, 1)
    log._log(level=20, msg='all by name', args=('x',))
    log.info('x', exc_info=False)
    log.info('x', exc_info=None, stack_info=False, stacklevel=1)
    log.info('x', stack_info=None)
    log.info('%s', 'x', exc_info=True)
    log._log(20, 'a list %s', ['x'])
    log._log(20, 'none', None)
    log.exception('with the traceback of nothing')
    try:
        raise ValueError('y')
    except ValueError as e:
        log.error('an exception', exc_info=e)
    log._log(20, 'raises', (), nonsense=1)


# ---- where ----

@scenario('the place that logs')
def _(log, patch, seen):
    def inner():
        log.info('inner', stacklevel=1)
        log.info('outer', stacklevel=2)
        log.info('outermost', stacklevel=300)
    inner()
    [log.info('comprehension %d', n) for n in range(2)]
    (lambda: log.info('lambda'))()
    list(map(log.info, ['by C']))
    functools.partial(log.info, 'partial %d')(3)
    exec(compile('def f():\n\n  log.info("compiled")\nf()', '<text>', 'exec'), {'log': log})
    exec(compile('log.info("of the import system")', '<frozen importlib._bootstrap>', 'exec'), {'log': log})
    exec(compile('log.info("as if it were logging")', logging._srcfile, 'exec'), {'log': log})

    class Body:
        log.info('class body')
    sorted([2, 1], key=lambda n: log.info('key') or n)
    log.fatal('fatal')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        log.warn('warn') if hasattr(log, 'warn') else None
    logging.LoggerAdapter(log, {'who': 'adapter'}).info('adapter')
    threading.Thread(target=log.info, args=('thread',)).start()
    time.sleep(0)
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


@scenario('the module\'s functions')
def _(log, patch, seen):
    root = logging.getLogger()
    patch.setattr(root, 'handlers', log.parent.handlers)
    patch.setattr(root, 'level', 1)
    root.manager._clear_cache()
    logging.info('x %d', 1)
    logging.log(30, 'y')
    patch.undo()
    root.manager._clear_cache()


@scenario('no search for the place')
def _(log, patch, seen):
    log.info('before')
    with patch.context() as within:
        within.setattr(logging, '_srcfile', None)
        log.info('x')
    with patch.context() as within:
        current = logging.currentframe
        within.setattr(logging, 'currentframe', reporting('currentframe', seen, current))
        log.info('y')
    log.info('after')


@scenario('warnings')
def _(log, patch, seen):
    captured = logging.getLogger('py.warnings')
    patch.setattr(captured, 'handlers', log.parent.handlers)
    patch.setattr(captured, 'propagate', False)
    patch.setattr(warnings, 'showwarning', warnings.showwarning)
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('always')
            logging.captureWarnings(False)
            logging.captureWarnings(True)
            warnings.warn('careful')
    finally:
        logging.captureWarnings(False)


@scenario('a profiler')
def _(log, patch, seen):
    def note(frame, event, arg):
        if event == 'call' and frame.f_code.co_name == 'info':
            seen.append(frame.f_code.co_filename)
    before = sys.getprofile()
    sys.setprofile(note)
    log.info('x')
    sys.setprofile(before)


@scenario('a tracer')
def _(log, patch, seen):
    def note(frame, event, arg):
        if frame.f_code.co_name == 'traced':
            seen.append((event, frame.f_lineno))
        return note

    def traced():
        log.info('x')
        log.info('y')
    before = sys.gettrace()
    sys.settrace(note)
    traced()
    sys.settrace(before)


# ---- tests of apps ----

@scenario('assertLogs')
def _(log, patch, seen):
    with unittest.TestCase().assertLogs(log, 'INFO') as logs:
        log.info('x %d', 1)
    seen.extend(logs.output)
    log.info('after')


@scenario('methods that are kept, compared and sent')
def _(log, patch, seen):
    assert log.info == log.info and inspect.ismethod(log.info) and inspect.isfunction(logging.Logger.info)
    weakref.WeakMethod(log.info)()('by a weak method')
    pickle.loads(pickle.dumps(log.info))('by pickle')
    copy.copy(log).info('by a copy')
    seen.append(str(inspect.signature(logging.Logger._log)).replace('self, /,', 'self,'))
    seen.append(str(inspect.signature(log._log)))
    seen.append(list(vars(logging.Logger)))
    seen.append(logging.Logger._log.__name__ + logging.Logger._log.__qualname__)
    spec = unittest.mock.create_autospec(logging.Logger)
    spec.info(log, 'x')
    spec.info(log)


# ---- both ways ----

def summary(record):
    pb = record.pb
    return (record.scope.name, record.body, pb.severity_number, pb.severity_text, sorted(record.attributes.items(), key=repr))


@pytest.fixture(scope='module')
def module_receiver():
    r = HttpReceiver()
    yield r
    r.close()


def run(function, on, receiver, monkeypatch):
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(receiver.endpoint), schedule_delay_millis=60000))
    parent = logging.getLogger('others')
    parent.handlers, parent.propagate = [LoggingHandler(logger_provider=provider)], False
    parent.setLevel(1)
    logger = parent.getChild('child')
    logger.setLevel(0)
    logger.provider, seen = provider, []
    receiver.clear()
    weir.accelerate_logging(on)
    try:
        with monkeypatch.context() as patch:
            function(logger, patch, seen)
    except Exception as error:
        seen.append((type(error), str(error)))
    finally:
        weir.accelerate_logging(False)
        del logger.provider
        logger.handlers, logger.filters, logger.propagate, logger.disabled = [], [], True, False
        assert provider.force_flush()
        provider.shutdown()
        parent.handlers = []
    records = receiver.records()
    times = [r.pb.time_unix_nano for r in records] if 'stopped' in seen else []
    return [summary(r) for r in records], seen, times


@pytest.mark.parametrize('name', SCENARIOS)
def test_nobody_sees_a_difference(name, module_receiver, monkeypatch):
    usual = run(SCENARIOS[name], False, module_receiver, monkeypatch)
    ours = run(SCENARIOS[name], True, module_receiver, monkeypatch)
    assert ours == usual and (usual[0] or usual[1])
    assert isinstance(logging.Logger.__dict__['_log'], types.FunctionType)


# ---- on, off, by default ----

@pytest.fixture
def unsaid(monkeypatch):
    """As in a program that has not called accelerate_logging()."""
    weir.accelerate_logging(False)
    monkeypatch.setattr(_acceleration, '_said', None)
    yield monkeypatch
    weir.accelerate_logging(False)


def is_on():
    return not isinstance(logging.Logger.__dict__['_log'], types.FunctionType)


@pytest.mark.parametrize('value, on', [(None, True), ('', True), ('true', True), (' TRUE ', True), ('false', False), ('False', False),
                                       ('0', False), ('no', False)])
def test_a_handler_accelerates(unsaid, value, on):
    if value is not None:
        unsaid.setenv('WEIR_ACCELERATE_LOGGING', value)
    assert not is_on()
    LoggingHandler()
    assert is_on() == on


def test_every_set_up_accelerates(unsaid):
    from weir.instrumentation.logging import LoggingInstrumentor
    LoggingInstrumentor().instrument()
    assert is_on()
    LoggingInstrumentor().uninstrument()
    weir.accelerate_logging(False)
    unsaid.setattr(_acceleration, '_said', None)
    logging.config.dictConfig({'version': 1, 'disable_existing_loggers': False,
                               'handlers': {'weir': {'class': 'weir.LoggingHandler'}}})
    assert is_on()


def test_what_is_said_stays(unsaid):
    before = logging.Logger.__dict__['_log']
    LoggingHandler()
    weir.accelerate_logging(False)
    LoggingHandler()
    assert logging.Logger.__dict__['_log'] is before
    unsaid.setenv('WEIR_ACCELERATE_LOGGING', 'false')
    weir.accelerate_logging()
    weir.accelerate_logging()
    LoggingHandler()
    assert is_on()
    weir.accelerate_logging(False)
    weir.accelerate_logging(False)
    assert logging.Logger.__dict__['_log'] is before


def test_what_others_put_there_stays(unsaid):
    theirs = lambda self, *a, **k: None  # noqa: E731
    with unsaid.context() as patch:
        patch.setattr(logging.Logger, '_log', theirs)
        LoggingHandler()
        assert logging.Logger._log is theirs
        weir.accelerate_logging(False)
        assert logging.Logger._log is theirs
    assert not is_on()


def test_wrapped_while_on_then_off(unsaid, module_receiver):
    """Who wrapped ours calls ours; when that is off it does what logging does."""
    handler = LoggingHandler()
    with unsaid.context() as patch:
        seen, make = [], logging.Logger.makeRecord.__code__
        patch.setattr(logging.Logger, '_log', reporting('_log', seen, logging.Logger._log))
        weir.accelerate_logging(False)
        logger = logging.Logger('alone')
        logger.handlers = [handler]
        sys.setprofile(lambda frame, event, arg: seen.append('made') if event == 'call' and frame.f_code is make else None)
        logger.info('x')
        sys.setprofile(None)
        assert seen == ['_log', 'made']
        wrapped = logging.Logger.__dict__['_log']
        weir.accelerate_logging(True)
        assert logging.Logger.__dict__['_log'] is wrapped
    weir.accelerate_logging(False)
    assert not is_on()


def test_caplog_sees_all(tmp_path):
    (tmp_path / 'test_it.py').write_text('''
import logging
import weir

def test_it(caplog):
    log = logging.getLogger('seen')
    log.addHandler(weir.LoggingHandler())
    assert 'info' in dir(log) and not hasattr(logging.Logger._log, '__code__')
    with caplog.at_level(logging.DEBUG):
        log.debug('x %d', 1)
    assert caplog.messages == ['x 1'] and caplog.records[0].funcName == 'test_it'
''')
    ran = subprocess.run([sys.executable, '-m', 'pytest', '-q', str(tmp_path)], env=environment(), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


def test_threads(module_receiver, monkeypatch):
    def many(log, patch, seen):
        start = threading.Barrier(8)

        def work(which):
            start.wait()
            for n in range(500):
                log.info('thread %d %d', which, n, extra={'which': which})
        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(before)
    records, _, _ = run(many, True, module_receiver, monkeypatch)
    assert sorted(r[1] for r in records) == sorted(f'thread {w} {n}' for w in range(8) for n in range(500))
    assert all(dict(r[4])['which'] == int(r[1].split()[1]) and dict(r[4])['code.function.name'] == 'work' for r in records)


# ---- in programs of their own ----

SET_UP = '''
import logging, sys
import weir
from weir.sdk._logs import LoggerProvider, LoggingHandler
from weir.sdk._logs.export import BatchLogRecordProcessor
from weir.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
provider = LoggerProvider()
provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(sys.argv[1]), schedule_delay_millis=60000))
logging.getLogger().addHandler(LoggingHandler(logger_provider=provider))
logging.getLogger().setLevel(1)
log = logging.getLogger('app')
'''


def program(text, receiver, env=None):
    ran = subprocess.run([sys.executable, '-c', text, receiver.endpoint], env=environment(env), capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout, [r.body for r in receiver.records()]


@pytest.mark.parametrize('method', ['makeRecord', 'findCaller', 'handle', 'callHandlers', '_log', 'filter'])
def test_what_was_patched_before_the_import_is_called(receiver, method):
    out, bodies = program(f'''
import logging, functools
before = logging.Logger.{method}
@functools.wraps(before)
def theirs(self, *args, **kwargs):
    print('theirs')
    return before(self, *args, **kwargs)
logging.Logger.{method} = theirs
{SET_UP}
log.info('x')
log.info('y')
logging.Logger.{method} = before
log.info('z')
''', receiver)
    assert out.split() == ['theirs'] * 2 and bodies == ['x', 'y', 'z']


def test_logging_loaded_again(receiver):
    out, bodies = program(SET_UP + '''
import importlib
log.info('before')
old, root = logging.Logger, logging.getLogger()
importlib.reload(logging)
assert logging.Logger is not old
log.info('old logger')
logging.getLogger().handlers = root.handlers
logging.getLogger().setLevel(1)
logging.getLogger('fresh').info('new logger')
LoggingHandler(logger_provider=provider)
logging.getLogger('fresh').info('after another')
weir.accelerate_logging(False)
log.info('old, off')
''', receiver)
    assert sorted(bodies) == sorted(['before', 'old logger', 'new logger', 'after another', 'old, off'])


def test_a_subinterpreter_has_logging_as_it_was(receiver):
    out, bodies = program(SET_UP + '''
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
log.info('before')
text = """
import io, logging, types
assert isinstance(logging.Logger._log, types.FunctionType)
out = io.StringIO()
logging.basicConfig(stream=out)
logging.warning('inside')
assert 'inside' in out.getvalue()
"""
other = interpreters.create()
failed = (getattr(interpreters, 'run_string'))(other, text)
assert not failed, failed
log.info('after')
interpreters.destroy(other)
''', receiver)
    assert bodies == ['before', 'after']


def test_a_fork(receiver):
    out, bodies = program(SET_UP + '''
import os
log.info('before')
pid = os.fork()
if not pid:
    log.info('child %d', 1)
    provider.shutdown()
    os._exit(0)
os.waitpid(pid, 0)
log.info('parent')
''', receiver)
    assert sorted(bodies) == ['before', 'child 1', 'parent']


def test_the_variable_turns_it_off(receiver):
    text = SET_UP + '''
import types
print(isinstance(logging.Logger._log, types.FunctionType))
log.info('x')
'''
    assert program(text, receiver)[0] == 'False\n'
    assert program(text, receiver, {'WEIR_ACCELERATE_LOGGING': 'false'}) == ('True\n', ['x', 'x'])
