"""Ends, forks, threads and nesting: every record arrives, once, and nothing hangs."""
import collections
import importlib.util
import logging
import subprocess
import sys
import time

import pytest

from weir.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from weir.sdk._logs import LoggerProvider, LoggingHandler
from weir.sdk._logs.export import BatchLogRecordProcessor

pytestmark = pytest.mark.usefixtures('both_modes')

BOTH = pytest.mark.parametrize('kind', ['native', 'python'])


def bodies(receiver):
    return [r.body for r in receiver.records()]


@BOTH
def test_exit_without_a_flush(programs, receiver, kind):
    programs('life.py', receiver.endpoint, 'just_exit', kind)
    assert bodies(receiver) == [f'record {n}' for n in range(700)]


@BOTH
def test_fork(programs, receiver, kind):
    parent_id = programs('life.py', receiver.endpoint, 'fork', kind).out.strip()
    expected = ['parent before', 'parent after'] + [f'{who} {n}' for who in ('child', 'grandchild') for n in range(3)]
    assert sorted(bodies(receiver)) == sorted(expected)
    ids = collections.Counter(r.resource['service.instance.id'] for r in receiver.records())
    assert len(ids) == 7 and ids[parent_id] == 2


def test_fork_while_threads_log(programs, receiver):
    assert programs('life.py', receiver.endpoint, 'fork_while_logging').out == 'done\n'
    children = [r for r in receiver.records() if r.body.startswith('child')]
    assert sorted(int(r.body.split()[1]) for r in children) == list(range(30))
    assert len({r.resource['service.instance.id'] for r in children}) == 30


@pytest.mark.parametrize('method', ['fork', 'spawn', 'forkserver'])
def test_multiprocessing(programs, receiver, method):
    programs('life.py', receiver.endpoint, 'pool', method)
    assert sorted(bodies(receiver)) == sorted(f'work {n}' for n in range(20))
    receiver.clear()
    programs('life.py', receiver.endpoint, 'process', method)
    assert bodies(receiver) == ['in a process']


@BOTH
def test_records_logged_by_conversions(programs, receiver, kind):
    dropped = int(programs('life.py', receiver.endpoint, 'nested', kind).out)
    got = collections.Counter(bodies(receiver))
    assert got['outer loud 1'] == 1 and got['inside 1: loud 0'] == 2
    assert got['end endless'] == 1 and got['again endless'] == 3
    assert dropped >= 1 and sum(got.values()) == 7


@BOTH
def test_flushes_in_threads_do_not_deadlock(programs, receiver, kind):
    assert programs('life.py', receiver.endpoint, 'flush_in_threads', kind).out == 'done\n'
    assert sorted(bodies(receiver)) == sorted([f'n {n}' for n in range(50)] * 4)


@pytest.mark.parametrize('round', range(5))
def test_daemon_threads_at_exit(programs, receiver, round):
    programs('life.py', receiver.endpoint, 'daemons')
    assert 'the end' in bodies(receiver)


def test_threads(programs, receiver):
    programs('life.py', receiver.endpoint, 'threads', 500)
    records = receiver.records()
    assert {(r.scope.name, r.attributes['t'], r.attributes['n'], r.body) for r in records} == {
        (f'thread.{t}', t, n, f'record {n} of {t}') for t in range(4) for n in range(500)}
    assert len(records) == 2000


def test_without_an_exit_hook(programs, receiver):
    programs('life.py', receiver.endpoint, 'no_exit_hook')
    assert 'not delivered by an exit hook' in bodies(receiver)


def test_a_provider_that_is_dropped(programs, receiver):
    programs('life.py', receiver.endpoint, 'collected')
    assert bodies(receiver) == ['before it goes']


def after_next_start(programs, receiver, wanted):
    """What has come when the service was started again, and all that is wanted is there."""
    child = programs('life.py', receiver.endpoint, 'next_start', wait=False, stdin=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not set(wanted) <= set(bodies(receiver)):
        assert time.monotonic() < deadline and child.poll() is None, bodies(receiver)
        time.sleep(0.05)
    assert child.communicate(timeout=60)[1] == '' and child.returncode == 0
    return bodies(receiver)


def test_exit_while_the_collector_is_down(programs, receiver):
    programs('life.py', receiver.endpoint, 'dead_collector')
    assert sorted(after_next_start(programs, receiver, ['nobody is there'])) == ['nobody is there', 'started again']


def test_killed(programs, receiver):
    child = programs('life.py', receiver.endpoint, 'killed', wait=False)
    assert child.wait(60) == -9 and receiver.records() == []
    wanted = [f'before the kill {n}' for n in range(400)]
    assert [b for b in after_next_start(programs, receiver, wanted) if b != 'started again'] == wanted


def test_children_that_are_killed(programs, receiver):
    programs('life.py', receiver.endpoint, 'killed_in_forks')
    wanted = [f'child {n}' for n in range(3)] + [f'work {n}' for n in range(10)]
    got = after_next_start(programs, receiver, wanted)  # a sibling that sent what another left may be killed, too, and so send it twice
    assert set(got) == {*wanted, 'started again'}


@pytest.mark.parametrize('when', ['drop_oldest', 'drop_newest'])
def test_full(programs, receiver, when):
    assert int(programs('life.py', receiver.endpoint, 'full', when).out) > 0


def test_full_and_waiting(programs, receiver):
    receiver.gate.clear()
    child = programs('life.py', receiver.endpoint, 'blocked', wait=False)
    assert child.stdout.readline() == 'logging\n'
    time.sleep(1)
    receiver.gate.set()
    assert child.communicate(timeout=120)[0] == 'logged True\n{}\n'
    assert [int(b.split()[1]) for b in bodies(receiver)] == list(range(20000))


@BOTH
def test_a_signal_handler_that_logs(programs, receiver, kind):
    assert programs('life.py', receiver.endpoint, 'signal_handler', kind).out == 'done\n'
    assert {'signal', 'n 19999'} <= set(bodies(receiver))


def test_subinterpreters_are_refused(programs, receiver):
    if not any(map(importlib.util.find_spec, ('_xxsubinterpreters', '_interpreters'))):
        pytest.skip('this Python has no subinterpreters to try')
    r = programs('life.py', receiver.endpoint, 'subinterpreter')
    assert 'refused: ' in r.out and 'subinterpreter' in r.out
    assert bodies(receiver) == ['the main one works']


def test_asyncio(programs, receiver):
    programs('life.py', receiver.endpoint, 'asyncio_app')
    ours = [r.body for r in receiver.records() if r.scope.name == 'life']
    assert sorted(ours) == sorted([f'{when} {n}' for n in range(50) for when in ('before', 'after')])


def test_the_gil_is_free_while_a_flush_waits(receiver):
    """The receiver answers from a thread of this process: it could not, were the GIL held."""
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(receiver.endpoint), schedule_delay_millis=60000))
    provider.get_logger('x').emit(body='x')
    assert provider.force_flush() is True
    provider.shutdown()
    provider.shutdown()
    provider.get_logger('x').emit(body='late')
    assert provider.stats()['exported'] == 1 and provider.force_flush() is False
    assert [r.body for r in receiver.records()] == ['x']


def test_a_flush_that_does_not_make_it_says_so(receiver):
    receiver.gate.clear()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(receiver.endpoint)))
    logger = logging.getLogger('stuck')
    logger.handlers, logger.propagate = [LoggingHandler(logger_provider=provider)], False
    logger.error('x')
    assert provider.force_flush(50) is False
    receiver.gate.set()
    assert provider.force_flush() is True
    provider.shutdown()


def test_references_do_not_leak(receiver):
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(receiver.endpoint)))
    logger = logging.getLogger('refs')
    logger.handlers, logger.propagate = [LoggingHandler(logger_provider=provider)], False
    value, key, message = object(), 'a key ' + str(id(provider)), 'message %s %s ' + str(id(provider))
    before = [sys.getrefcount(o) for o in (value, key, message, None if sys.version_info >= (3, 12) else 'x')]
    for _ in range(1000):
        logger.error(message, value, 1, extra={key: [value, {key: value}]})
        try:
            raise ValueError(value)
        except ValueError:
            logger.exception(message, value, value)
    after = [sys.getrefcount(o) for o in (value, key, message, None if sys.version_info >= (3, 12) else 'x')]
    assert all(b - a < 10 for a, b in zip(before, after)), (before, after)
    provider.shutdown()
