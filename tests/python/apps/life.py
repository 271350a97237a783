"""Small programs of test_life.py: life.py ENDPOINT WHAT [ARGUMENT]; each sets up our handler on the root logger."""
import logging
import os
import sys
import threading
import time

from weir._logs import set_logger_provider
from weir.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from weir.sdk._logs import LoggerProvider, LoggingHandler, LogRecordProcessor
from weir.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from weir.sdk.resources import Resource

log = logging.getLogger('life')


class Exporting(LogRecordExporter):
    """Written in Python; sends through the OTLP one, and logs while it does."""

    def __init__(self, endpoint):
        self.otlp = OTLPLogExporter(endpoint)

    def export(self, batch):
        log.warning('exporting %d', len(batch))
        logging.getLogger('urllib3').debug('connected')
        return self.otlp.export(batch)

    def shutdown(self):
        log.warning('shutting down')
        self.otlp.shutdown()

    def force_flush(self, timeout_millis=10000):
        log.warning('flushing')
        return self.otlp.force_flush(timeout_millis)


def set_up(endpoint, python=False, delay=60000, **more):
    provider = LoggerProvider(Resource.create({'service.name': 'life'}), **more)
    exporter = Exporting(endpoint) if python else OTLPLogExporter(endpoint)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, schedule_delay_millis=delay))
    set_logger_provider(provider)
    logging.getLogger().addHandler(LoggingHandler(logger_provider=provider))
    logging.getLogger().setLevel(logging.DEBUG)
    return provider


def just_exit(endpoint, python):
    set_up(endpoint, python == 'python')
    for n in range(700):
        log.info('record %d', n)


def fork(endpoint, python):
    provider = set_up(endpoint, python == 'python')
    log.info('parent before')
    children = []
    for n in range(3):
        pid = os.fork()
        if pid == 0:
            log.info('child %d', n)
            grandchild = os.fork()
            if grandchild == 0:
                log.info('grandchild %d', n)
                provider.force_flush()
                os._exit(0)
            os.waitpid(grandchild, 0)
            sys.exit(0)  # atexit flushes
        children.append(pid)
    log.info('parent after')
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
    print(provider.resource.attributes['service.instance.id'])


def fork_while_logging(endpoint, _):
    """Threads log and flush without pause while the main thread forks."""
    provider = set_up(endpoint, delay=5)
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            log.debug('busy %s', 'bee')

    def flushing():
        while not stop.is_set():
            provider.force_flush(100)
    threads = [threading.Thread(target=f) for f in (busy, busy, flushing)]
    for t in threads:
        t.start()
    for n in range(30):
        pid = os.fork()
        if pid == 0:
            log.info('child %d', n)
            os._exit(0 if provider.force_flush(20000) else 1)
        assert os.waitpid(pid, 0)[1] == 0, n
    stop.set()
    for t in threads:
        t.join()
    print('done')


def work(n):
    log.info('work %d', n)
    return n


def pool(endpoint, method):
    import multiprocessing
    set_up(endpoint)
    with multiprocessing.get_context(method).Pool(3, initializer=set_up if method != 'fork' else None,
                                                  initargs=(endpoint,) if method != 'fork' else ()) as p:
        assert sorted(p.map(work, range(20))) == list(range(20))
        p.close()
        p.join()


def process(endpoint, method):
    import multiprocessing
    set_up(endpoint)
    p = multiprocessing.get_context(method).Process(target=process_body, args=(endpoint, method))
    p.start()
    p.join()
    assert p.exitcode == 0


def process_body(endpoint, method):
    if method != 'fork':
        set_up(endpoint)
    log.info('in a process')


class Loud:
    def __init__(self, depth):
        self.depth = depth

    def __str__(self):
        if self.depth:
            log.warning('inside %d: %s', self.depth, Loud(self.depth - 1))
        return f'loud {self.depth}'

    __repr__ = __str__


def nested(endpoint, python):
    from weir import _weir
    set_up(endpoint, python == 'python')
    log.info('outer %s', Loud(1), extra={'x': Loud(1)})

    class Endless:
        def __str__(self):
            log.error('again %s', self)
            return 'endless'
    log.info('end %s', Endless())
    print(_weir.nested_dropped())


def flush_in_threads(endpoint, python):
    """Flushes of handler and provider, logging.shutdown() and an exporter that logs, all at once."""
    provider = set_up(endpoint, python == 'python', delay=1)
    (handler,) = [h for h in logging.getLogger().handlers if isinstance(h, LoggingHandler)]
    logging.getLogger().addHandler(logging.NullHandler())

    def body():
        for n in range(50):
            log.info('n %d', n)
            with_lock = n % 5 == 0
            if with_lock:
                handler.acquire()
            handler.flush()
            if with_lock:
                handler.release()
            provider.force_flush(1000)
    threads = [threading.Thread(target=body) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    logging.shutdown()
    print('done')


def daemons(endpoint, _):
    """Daemon threads that go on logging while the interpreter ends."""
    set_up(endpoint, delay=5)

    def endless():
        while True:
            log.debug('daemon %s', {'a': 1}, extra={'k': [1, 'x']})
    for _ in range(4):
        threading.Thread(target=endless, daemon=True).start()
    time.sleep(0.3)
    log.info('the end')


def threads(endpoint, count):
    set_up(endpoint)

    def body(t):
        for n in range(int(count)):
            logging.getLogger(f'thread.{t}').info('record %d of %d', n, t, extra={'t': t, 'n': n})
    every = [threading.Thread(target=body, args=(t,)) for t in range(4)]
    for t in every:
        t.start()
    for t in every:
        t.join()


def no_exit_hook(endpoint, _):
    provider = set_up(endpoint, shutdown_on_exit=False)
    log.info('not delivered by an exit hook')
    provider.force_flush()
    log.info('left in the queue')


def killed(endpoint, _):
    """Ends by SIGKILL in the middle of logging."""
    set_up(endpoint)
    for n in range(400):  # less than a batch: nothing is sent yet
        log.info('before the kill %d', n)
    os.kill(os.getpid(), 9)


def next_start(endpoint, _):
    """The same service again, until stdin ends."""
    set_up(endpoint)
    log.info('started again')
    sys.stdin.read()


def killed_in_forks(endpoint, _):
    """Children that end by os._exit() and SIGKILL, and one that leaves a with Pool() block."""
    import multiprocessing
    set_up(endpoint)
    for n in range(3):
        pid = os.fork()
        if pid == 0:
            log.info('child %d', n)
            os._exit(0) if n else os.kill(os.getpid(), 9)
        os.waitpid(pid, 0)
    with multiprocessing.get_context('fork').Pool(2) as p:
        p.map(work, range(10))


def full(endpoint, when):
    """A collector that is down, and room for little."""
    provider = LoggerProvider()
    processor = BatchLogRecordProcessor(OTLPLogExporter('http://127.0.0.1:9/v1/logs'), ring_bytes=1 << 18, spool_max_bytes=1 << 20,
                                        when_full=when, schedule_delay_millis=10, sync_interval_millis=100)
    provider.add_log_record_processor(processor)
    logging.getLogger().addHandler(LoggingHandler(logger_provider=provider))
    logging.getLogger().setLevel(logging.DEBUG)
    for n in range(20000):
        log.info('n %d %s', n, 'x' * 200)
    stats = provider.stats()
    assert stats['emitted'] == 20000 and stats['spilled'] > 0, stats
    assert stats['queued'] + sum(v for k, v in stats.items() if k.startswith('dropped')) == 20000, stats
    print(stats['dropped_queue_full'] + stats['dropped_ring_full'])


def blocked(endpoint, _):
    """when_full='block': logging waits, without the GIL, until the collector takes records."""
    provider = LoggerProvider()
    processor = BatchLogRecordProcessor(OTLPLogExporter(endpoint), ring_bytes=1 << 18, spool_max_bytes=1 << 20, when_full='block',
                                        schedule_delay_millis=10)
    provider.add_log_record_processor(processor)
    logging.getLogger().addHandler(LoggingHandler(logger_provider=provider))
    logging.getLogger().setLevel(logging.INFO)
    ticks, stop = [], threading.Event()

    def ticking():
        while not stop.wait(0.01):
            ticks.append(1)
    threading.Thread(target=ticking).start()
    print('logging', flush=True)
    for n in range(20000):
        log.info('n %d %s', n, 'x' * 200)
    print('logged', len(ticks) > 10)
    provider.force_flush()
    stop.set()
    print({k: v for k, v in provider.stats().items() if k.startswith('dropped') and v})


def collected(endpoint, _):
    """A provider that is dropped without a shutdown delivers what it has."""
    import gc
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint), schedule_delay_millis=60000))
    log.propagate = False
    log.handlers = [LoggingHandler(logger_provider=provider)]
    log.error('before it goes')
    log.handlers = []
    del provider
    gc.collect()


def dead_collector(endpoint, _):
    set_up('http://127.0.0.1:9/v1/logs')
    log.info('nobody is there')


def signal_handler(endpoint, python):
    """A signal handler that logs, at any point of logging."""
    import signal
    set_up(endpoint, python == 'python', delay=5)
    signal.signal(signal.SIGALRM, lambda *_: log.warning('signal'))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    for n in range(20000):
        log.debug('n %d', n)
    signal.setitimer(signal.ITIMER_REAL, 0)
    print('done')


def subinterpreter(endpoint, _):
    import weir  # noqa: F401
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        import _interpreters as interpreters
    code = 'try:\n import weir\nexcept ImportError as e:\n import os; os.write(1, ("refused: " + str(e) + "\\n").encode())\n'
    try:
        interpreters.run_string(interpreters.create(), f'import sys; sys.path[:0] = {sys.path!r}\n' + code)
    except TypeError:
        interpreters.run_string(interpreters.create('legacy'), f'import sys; sys.path[:0] = {sys.path!r}\n' + code)
    set_up(endpoint)
    log.info('the main one works')


def asyncio_app(endpoint, _):
    import asyncio
    set_up(endpoint)

    async def one(n):
        log.info('before %d', n)
        await asyncio.sleep(0)
        log.info('after %d', n)

    async def main():
        await asyncio.gather(*(one(n) for n in range(50)))
    asyncio.run(main())


if __name__ == '__main__':
    globals()[sys.argv[2]](sys.argv[1], sys.argv[3] if len(sys.argv) > 3 else None)
