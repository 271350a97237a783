"""Helpers of the fault tests: the apps, a receiver that counts what it is sent, and reading back what was stored."""
import contextlib
import os
import pathlib
import random
import re
import socket
import subprocess
import threading
import time

import weirkit
from weirkit import Loki, wait_for

APPS = weirkit.WEIR.resolve().parents[2] / 'tests' / 'faults'
SEED = int(os.environ.get('WEIR_FAULT_SEED', 0)) or random.SystemRandom().randrange(1, 1 << 30)


def app_environment(spool, **more):
    """Of an app: sends soon, and finds its spool."""
    return {**os.environ, 'WEIR_SPOOL_DIR': str(spool), 'OTEL_BLRP_SCHEDULE_DELAY': '20', **{k: str(v) for k, v in more.items()}}


def left_in(spool):
    """What lies in a spool directory; nothing, when it was never made."""
    return sorted(p.name for p in pathlib.Path(spool).iterdir()) if pathlib.Path(spool).exists() else []


def drain(spool, environment, seconds=120):
    """Starts the service until nothing is left in its spool directory; what died while it was made is swept when it is old.
    Returns how many starts that took."""
    deadline = time.monotonic() + seconds
    starts = 0
    while left_in(spool):
        assert time.monotonic() < deadline, f'still in the spool: {left_in(spool)[:20]}'
        for name in pathlib.Path(spool).glob('.new-*'):
            os.utime(name, (1, 1))
        subprocess.run([APPS / 'crash_app', 'drain', spool, '10'], env=environment, stdin=subprocess.DEVNULL, timeout=120)
        starts += 1
    return starts


class Chaos(threading.Thread):
    """Kills processes and starts them again, until it is told to stop; then all of them run."""

    def __init__(self, processes, rng, up_seconds=(0.02, 0.25), down_seconds=(0.0, 0.1)):
        super().__init__(daemon=True)
        self.processes, self.rng, self.up, self.down = processes, rng, up_seconds, down_seconds
        self.over = threading.Event()
        self.kills = 0
        self.error = None

    def run(self):
        try:
            while not self.over.wait(self.rng.uniform(*self.up)):
                p = self.rng.choice(self.processes)
                p.kill()
                self.kills += 1
                time.sleep(self.rng.uniform(*self.down))
                p.start()
        except BaseException as e:  # the test's thread raises it
            self.error = e

    def end(self):
        self.over.set()
        self.join()
        if self.error:
            raise self.error


def fix_ports(p, *names):
    """A restart of `p` listens where it did the first time."""
    for name in names:
        p.args[p.args.index(f'--{name}') + 1] = f'127.0.0.1:{p.port(name)}'
    return p


ID = re.compile(r'\d+\.\d+\.\d+')


def stored_ids(base, selector, start_ns, page=2000, window_ns=10 * 10**9):
    """The ids in all lines of the store, in order of time. A page begins at the last time of the one before: what was at that
    time is in both, and counts once, as often as it is in one page. Windows of time keep what one query looks at small."""
    loki = Loki(base)
    found, now = [], time.time_ns() + 10**9
    for first in range(start_ns, now, window_ns):
        at_last, start = set(), first
        while True:
            data = loki.data('/loki/api/v1/query_range', query=selector, limit=page, direction='forward', start=start,
                             end=min(first + window_ns, now))
            rows = sorted((int(v[0]), ID.search(v[1])[0]) for s in data['result'] for v in s['values'])
            fresh = [row for row in rows if row not in at_last]
            found += [name for _, name in fresh]
            if len(rows) < page:
                break
            assert fresh, f'more than {page} records at {start}'
            start = rows[-1][0]
            at_last = {row for row in rows if row[0] == start}
    return found


class Receiver:
    """An OTLP/HTTP receiver that notes the numbers in what it takes, in order, copies included, and behaves as `mode` says:
      ok           takes it
      unavailable  503, Retry-After: 1
      hang         reads requests and never answers
      frozen       connections that are there when the mode is set are never answered again; later ones work
      deaf         the port is open, and nobody accepts
      down         nobody listens, and all connections are gone
    A request is noted if and only if it is answered with 200."""

    def __init__(self):
        self.mode = 'ok'
        self.numbers = {}  # by thread
        self.requests = {}  # by what became of them
        self.samples = []  # some of the bodies it took
        self.lock = threading.Lock()
        self.connections = set()
        self.frozen = set()
        self.socket = None
        self.port = 0
        self.listen(128)

    def listen(self, backlog):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(('127.0.0.1', self.port))
        self.port = s.getsockname()[1]
        s.listen(backlog)
        self.socket = s
        if self.mode != 'deaf':
            threading.Thread(target=self.accept, args=(s,), daemon=True).start()

    @property
    def url(self):
        return f'http://127.0.0.1:{self.port}'

    def accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # closed
            with self.lock:
                if self.mode in ('down', 'deaf'):
                    connection.close()
                    return
                self.connections.add(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            stream = connection.makefile('rb')
            while line := stream.readline():
                assert line.startswith(b'POST /v1/logs '), line
                length = 0
                while (header := stream.readline()) not in (b'\r\n', b''):
                    name, _, value = header.partition(b':')
                    length = int(value) if name.lower() == b'content-length' else length
                body = stream.read(length)
                if len(body) < length or not self.answer(connection, body):
                    return
        except OSError:
            pass
        finally:
            with self.lock:
                self.connections.discard(connection)
                if connection not in self.frozen:
                    connection.close()

    def answer(self, connection, body):
        with self.lock:
            mode = 'hang' if connection in self.frozen else self.mode
            self.requests[mode] = self.requests.get(mode, 0) + 1
            if mode in ('ok', 'frozen'):
                self.samples += [body] if len(self.samples) < 200 else []
                for thread, number in NUMBER.findall(body):
                    self.numbers.setdefault(int(thread), []).append(int(number))
                connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n')
            elif mode == 'unavailable':
                connection.sendall(b'HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n')
            elif mode == 'hang':
                self.frozen.add(connection)  # stays open, and silent
            return mode in ('ok', 'frozen', 'unavailable')

    def become(self, mode):
        with self.lock:
            before, self.mode = self.mode, mode
            if mode == 'frozen':
                self.frozen |= self.connections
            if mode in ('down', 'deaf'):
                self.shut(self.socket)
                for connection in self.connections | self.frozen:
                    self.shut(connection)
                self.frozen.clear()
            if mode == 'deaf' or before in ('down', 'deaf'):
                if before == 'deaf':
                    self.shut(self.socket)
                self.listen(0 if mode == 'deaf' else 128)

    @staticmethod
    def shut(s):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        s.close()

    def end(self):
        self.become('down')

    def count(self):
        with self.lock:
            return sum(map(len, self.numbers.values()))


NUMBER = re.compile(rb'#(\d+)\.(\d+)#')


class App:
    """outage_app."""

    def __init__(self, environment, rate=1000, threads=2, log=None, **popen):
        self.log = log
        with open(log, 'ab') if log else open(os.devnull, 'wb') as errors:
            self.child = subprocess.Popen([APPS / 'outage_app', str(rate), str(threads)], env=environment, stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE, stderr=errors, text=True, bufsize=1, **popen)

    def ask(self, command):
        self.child.stdin.write(command + '\n')
        line = self.child.stdout.readline()
        assert line, f'the app ended with {self.child.wait()}: {self.errors()}'
        return line

    @staticmethod
    def numbers(line):
        return {k: int(v) for k, v in (pair.split('=') for pair in line.split()[1:])}

    def stats(self):
        return self.numbers(self.ask('stats'))

    def errors(self):
        return pathlib.Path(self.log).read_text(errors='replace')[-4000:] if self.log else ''

    def stop(self, wait_ms=60000):
        self.child.stdin.write(f'stop {wait_ms}\n')
        out, _ = self.child.communicate(timeout=wait_ms / 1000 + 60)
        assert self.child.returncode == 0, f'{self.child.returncode}: {self.errors()}'
        lines = out.splitlines()
        self.emitted = {int(x.split()[1]): int(x.split()[2]) for x in lines if x.startswith('emitted ')}
        self.phases = [x.removeprefix('phase ') for x in lines if x.startswith('phase ')]
        self.cpu = float(next(x for x in lines if x.startswith('cpu ')).split()[1])
        self.last = self.numbers(next(x for x in lines if x.startswith('stats ')))
        self.result = int(lines[-1].split()[1])
        assert self.last['emitted'] == sum(self.emitted.values())
        return self.last


@contextlib.contextmanager
def app_running(*args, **kwargs):
    """An App that does not outlive the test."""
    app = App(*args, **kwargs)
    try:
        yield app
    finally:
        if app.child.poll() is None:
            app.child.kill()
        app.child.wait()
        app.child.stdin.close()
        app.child.stdout.close()


def assert_in_order(receiver, emitted):
    """Everything, once, and per logger in the order it was emitted."""
    assert {t: len(n) for t, n in receiver.numbers.items()} == emitted
    for thread, numbers in receiver.numbers.items():
        assert numbers == list(range(emitted[thread])), f'thread {thread}'
