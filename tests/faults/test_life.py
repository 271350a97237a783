"""The life of a process: threads, forks, exit handlers, signals, limits; and processes by the thousand.

WEIR_CRASH_RUNS sets how often (30; the full test takes 1000)."""
import concurrent.futures
import os
import pathlib
import subprocess
import threading
import time

import pytest

from faultkit import APPS, drain, left_in
from test_outage import environment, receiver  # noqa: F401  (a fixture)

RUNS = int(os.environ.get('WEIR_CRASH_RUNS', 30))
LIFE = {'OTEL_SERVICE_NAME': 'life'}
SMALL_RING = {'WEIR_RING_BYTES': 64 << 10, 'WEIR_SPOOL_WHEN_FULL': 'block'}


def play(tmp_path, receiver, scene, n, timeout=60, copies=False, **settings):  # noqa: F811
    """Runs a scene of life_app; what it is sure to have emitted arrives, and nothing twice: but for `copies`, where processes
    die while they send, and nobody knows whether they had. Returns what it said."""
    spool = tmp_path / 'spool'
    r = subprocess.run([APPS / 'life_app', scene, str(n)], env=environment(spool, receiver, **LIFE, **settings), stdin=subprocess.DEVNULL,
                       capture_output=True, text=True, timeout=timeout)
    assert r.returncode == 0, f'{r.returncode}: {r.stdout[-1000:]}{r.stderr[-4000:]}'
    drain(spool, environment(spool, receiver, **LIFE))
    emitted = {}
    for line in r.stdout.splitlines():
        if line.startswith('emitted '):
            name, returned, began = map(int, line.split()[1:])
            emitted[name] = (returned, began)
    assert emitted
    unknown = set(receiver.numbers) - set(emitted)
    assert not unknown, f'never emitted: {unknown}'
    for name, (returned, began) in emitted.items():
        numbers = receiver.numbers.get(name, [])
        assert copies or len(numbers) == len(set(numbers)), f'{name}: {len(numbers) - len(set(numbers))} came twice'
        assert set(numbers) <= set(range(began)), name
        if 'dropping' not in r.stdout:
            missing = set(range(returned)) - set(numbers)
            assert not missing, f'{name}: {len(missing)} of {returned} are missing, as {sorted(missing)[:10]}; {r.stderr[-500:]}'
        else:
            assert len(numbers) == int(r.stdout.split('delivered ')[1].split()[0])
    return r


def test_threads_that_are_cancelled(tmp_path, receiver):  # noqa: F811
    play(tmp_path, receiver, 'cancel', min(RUNS * 3, 1000), **SMALL_RING)


def test_threads_that_emit_once(tmp_path, receiver):  # noqa: F811
    play(tmp_path, receiver, 'short_threads', min(RUNS * 30, 4000) // 8 * 8)


def test_exit_handlers_that_log(tmp_path, receiver):  # noqa: F811
    play(tmp_path, receiver, 'exit_handlers', 1)


def test_logging_after_the_end(tmp_path, receiver):  # noqa: F811
    play(tmp_path, receiver, 'after_stop', 1)


def test_forks_of_an_app_with_threads(tmp_path, receiver, measured):  # noqa: F811
    began = time.monotonic()
    play(tmp_path, receiver, 'forks', RUNS * 2 if RUNS < 500 else 1000, 600, True, **SMALL_RING)
    measured(f'{receiver.count()} records in {time.monotonic() - began:.1f} s')


def test_spawn_and_vfork(tmp_path, receiver):  # noqa: F811
    play(tmp_path, receiver, 'spawns', min(RUNS * 5, 1000), **SMALL_RING)


def test_daemons(tmp_path, receiver):  # noqa: F811
    play(tmp_path, receiver, 'daemons', min(RUNS // 5, 50), copies=True, **SMALL_RING)


def test_prefork_server_whose_workers_are_killed(tmp_path, receiver, measured):  # noqa: F811
    n = min(RUNS, 300)
    play(tmp_path, receiver, 'prefork', n, 300, True, **SMALL_RING)
    copies = receiver.count() - sum(len(set(numbers)) for numbers in receiver.numbers.values())
    # each death makes a copy of one batch at most, which is what was on its way
    assert copies <= n * 512
    measured(f'{n} workers killed, {receiver.count()} records, {copies} of them sent again by who adopted them')


def test_signal_storm(tmp_path, receiver):  # noqa: F811
    play(tmp_path, receiver, 'storm', 5000, **SMALL_RING)


@pytest.mark.parametrize('kib', [0, 40, 100, 1000])
def test_file_size_limit(tmp_path, receiver, kib, measured):  # noqa: F811
    r = play(tmp_path, receiver, 'file_size', kib, WEIR_RING_BYTES=64 << 10)
    measured(f'{kib} KiB: {next(line for line in r.stdout.splitlines() if "delivered" in line)}')


@pytest.mark.parametrize('when', [0, 1])
def test_no_file_descriptors_left(tmp_path, receiver, when):  # noqa: F811
    play(tmp_path, receiver, 'no_files', when)


@pytest.mark.parametrize('when', [0, 1])
def test_no_memory_left(tmp_path, receiver, when, measured):  # noqa: F811
    r = play(tmp_path, receiver, 'no_memory', when)
    measured(next(line for line in r.stdout.splitlines() if 'delivered' in line))


class Watch(threading.Thread):
    """How large a directory became."""

    def __init__(self, directory):
        super().__init__(daemon=True)
        self.directory = pathlib.Path(directory)
        self.over = threading.Event()
        self.bytes = self.backlogs = 0

    def run(self):
        while not self.over.wait(0.05):
            names = left_in(self.directory)
            size = 0
            for name in names:
                try:
                    size += sum(f.stat().st_blocks * 512 for f in (self.directory / name).rglob('*'))
                except OSError:
                    pass  # gone meanwhile
            self.backlogs, self.bytes = max(self.backlogs, len(names)), max(self.bytes, size)

    def end(self):
        self.over.set()
        self.join()


def test_many_short_processes(tmp_path, receiver, measured):  # noqa: F811
    n = 1000 if RUNS >= 500 else RUNS * 5
    spool = tmp_path / 'spool'
    settings = environment(spool, receiver, OTEL_SERVICE_NAME='short')
    watch = Watch(spool)
    watch.start()
    log = tmp_path / 'app.log'

    def burst(first, count):
        with log.open('ab') as errors:
            children = [subprocess.Popen([APPS / 'short_app', str(i), ('stop', '_exit', 'kill')[i % 3]], env=settings,
                                         stdin=subprocess.DEVNULL, stderr=errors) for i in range(first, first + count)]
            for i, child in enumerate(children, first):
                assert child.wait(120) == (-9 if i % 3 == 2 else 0), f'process {i}: {log.read_text()[-2000:]}'
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(burst, first, min(25, n - first)) for first in range(0, n, 25)]:
            done.result()
    ran = time.monotonic() - began
    drains = drain(spool, settings)
    took = time.monotonic() - began - ran
    watch.end()
    copies = 0
    for i in range(n):
        numbers = receiver.numbers.get(i, [])
        assert set(numbers) == {0, 1, 2}, f'process {i}: {numbers}'
        copies += len(numbers) - 3
    assert set(receiver.numbers) == set(range(n))
    assert left_in(spool) == []
    measured(f'{n} processes in {ran:.1f} s; at most {watch.backlogs} backlogs of {watch.bytes >> 20} MiB in the spool directory; '
             f'{drains} further starts emptied it in {took:.1f} s; {copies} records were sent again')
