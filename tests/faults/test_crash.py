"""An app is killed in the middle of emitting, again and again, while what it sends to is killed too. What emit took is stored once.

WEIR_CRASH_RUNS sets how many times in all (30; the full campaign takes 1000), WEIR_FAULT_SEED repeats the choices of a run."""
import concurrent.futures
import os
import pathlib
import random
import shutil
import struct
import subprocess
import tempfile
import threading
import time

import pytest

from faultkit import APPS, SEED, Chaos, app_environment, drain, fix_ports, left_in, stored_ids

RUNS = int(os.environ.get('WEIR_CRASH_RUNS', 30))
SETTINGS = ('OTEL_BLRP_SCHEDULE_DELAY', 'WEIR_RING_BYTES', 'WEIR_SPOOL_WHEN_FULL', 'OTEL_BLRP_MAX_EXPORT_BATCH_SIZE')
LANES = 2  # apps at a time
WAYS = ['kill'] * 4 + ['segv', 'abort'] * 2 + ['term', '_exit', 'exec', 'exit', 'stop']
SIGNALS = {'kill': 'signal 9', 'segv': 'signal 11', 'abort': 'signal 6', 'term': 'signal 15', '_exit': 'exit 0', 'exec': 'exit 0',
           'exit': 'exit 0', 'stop': 'exit 0'}


class Campaign:
    """Many deaths of one service, one spool directory."""

    def __init__(self, directory, spool, endpoint, service, rng):
        self.books = directory / f'{service}-books'
        self.books.mkdir()
        self.spool, self.endpoint, self.service, self.rng = spool, endpoint, service, rng
        self.lock = threading.Lock()
        self.log = directory / f'{service}.log'
        self.run_no, self.lives = 0, []
        self.start_ns = time.time_ns()

    def environment(self, rng):
        # no record is to be lost for want of room: emitting waits, or goes slowly enough
        ring, full = rng.choice([(1 << 16, 'block'), (1 << 18, 'block'), (1 << 22, 'drop_oldest')])
        return app_environment(self.spool, OTEL_EXPORTER_OTLP_ENDPOINT=self.endpoint, OTEL_SERVICE_NAME=self.service,
                               OTEL_BLRP_SCHEDULE_DELAY=rng.choice([1, 10, 100, 5000]), WEIR_RING_BYTES=ring,
                               WEIR_SPOOL_WHEN_FULL=full, OTEL_BLRP_MAX_EXPORT_BATCH_SIZE=rng.choice([16, 512]))

    def run(self, forks=0):
        """One life of the app."""
        with self.lock:
            self.run_no += 1
            run, rng = self.run_no, random.Random(self.rng.random())
        how = rng.choice(WAYS)
        after_us = int(rng.choice([rng.uniform(0, 5_000), rng.uniform(5_000, 60_000), rng.uniform(20_000, 200_000)]))
        command = [APPS / 'crash_app', str(run), self.books, how, str(after_us), *([str(forks)] if forks else [])]
        environment = self.environment(rng)
        settings = ' '.join(f'{k}={v}' for k, v in environment.items() if k in SETTINGS)
        with self.log.open('ab') as log:
            r = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                               text=True, timeout=120)
        with self.lock:
            self.lives.append(f'{run}: {how} after {after_us} us, {settings}')
        assert (r.returncode, r.stdout.strip()) == (0, SIGNALS[how]), f'run {run} ({how}): {r.returncode} {r.stdout}'

    def runs(self, n, forks=0):
        with concurrent.futures.ThreadPoolExecutor(LANES) as pool:
            for done in [pool.submit(self.run, forks) for _ in range(n)]:
                done.result()

    def book(self):
        """What was emitted for sure, and what perhaps was."""
        sure, maybe = set(), set()
        for f in self.books.iterdir():
            began, returned = struct.unpack('<QQ', f.read_bytes().ljust(16, b'\0'))
            assert began - returned in (0, 1)
            sure |= {f'{f.name}.{n}' for n in range(returned)}
            maybe |= {f'{f.name}.{n}' for n in range(returned, began)}
        return sure, maybe

    def lives_of(self, ids):
        """What is missing, by thread, and how the process was to live and die."""
        by_thread = {}
        for name in ids:
            by_thread.setdefault(name.rpartition('.')[0], []).append(int(name.rpartition('.')[2]))
        lines = [f'  {thread}: {len(n)} of {min(n)}..{max(n)}' for thread, n in sorted(by_thread.items())]
        runs = {name.partition('.')[0] for name in ids}
        return '\n'.join(lines + [life for life in self.lives if life.partition(':')[0] in runs])

    def check(self, store_url, measured, what):
        sure, maybe = self.book()
        drained = time.monotonic()
        drains = drain(self.spool, self.environment(random.Random(1)) | {'OTEL_BLRP_SCHEDULE_DELAY': '20'})
        drained = time.monotonic() - drained
        selector = f'{{service_name="{self.service}"}} !~ "^drain$"'
        deadline = time.monotonic() + 30  # what a collector has taken is not in the store at once
        while sure - (stored := set(ids := stored_ids(store_url, selector, self.start_ns))) and time.monotonic() < deadline:
            time.sleep(1)
        lost, invented = sure - stored, stored - sure - maybe
        assert not lost, f'{len(lost)} of {len(sure)} emitted records are not there (seed {SEED}):\n{self.lives_of(lost)}'
        assert not invented, f'{len(invented)} records were never emitted: {sorted(invented)[:20]}'
        assert len(ids) == len(stored), f'{len(ids) - len(stored)} records are there twice (seed {SEED})'
        assert left_in(self.spool) == []
        measured(f'{what}: {len(sure)} records known to be emitted, {len(stored & maybe)} of {len(maybe)} that were under way, 0 lost; '
                 f'{drains} further starts emptied the spool in {drained:.1f} s')


@pytest.fixture
def disk(tmp_path):
    return tmp_path / 'spool'


@pytest.fixture
def shm():
    if not os.access('/dev/shm', os.W_OK):
        pytest.skip('no /dev/shm here')
    directory = tempfile.mkdtemp(prefix='weir-faults-', dir='/dev/shm')
    yield pathlib.Path(directory, 'spool')
    shutil.rmtree(directory)


def campaign(house, spool, processes, endpoint, store_url, measured, n, forks=0):
    rng = random.Random(SEED)
    c = Campaign(house.directory, spool, endpoint, 'crash', rng)
    chaos = Chaos(processes, random.Random(SEED + 1))
    chaos.start()
    began = time.monotonic()
    try:
        c.runs(n, forks)
    finally:
        chaos.end()
    took = time.monotonic() - began
    c.check(store_url, measured, f'{n} deaths in {took:.1f} s, {chaos.kills} kills of the receiver')


def test_killed_apps_and_a_killed_collector(house, disk, measured):
    up = fix_ports(house.up('up', '--max-query-memory', '0'), 'grpc', 'http', 'api', 'ui')
    campaign(house, disk, [up], up.address['grpc'], up.address['api'], measured, (RUNS + 2) // 3)


def test_killed_apps_collector_and_store_spool_in_memory(chain, house, shm, measured):
    collector, store = chain
    campaign(house, shm, [collector, store], collector.address['grpc'], store.address['api'], measured, (RUNS + 2) // 3)


def test_killed_apps_that_fork(house, disk, measured):
    up = fix_ports(house.up('up', '--max-query-memory', '0'), 'grpc', 'http', 'api', 'ui')
    campaign(house, disk, [up], up.address['grpc'], up.address['api'], measured, RUNS // 3, forks=3)
