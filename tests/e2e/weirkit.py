"""What the end-to-end tests drive Weir with: processes, queries, requests as bytes, and a sender of many records.

(1) A test talks to the real program over real sockets, as its users' programs do; nothing here knows its insides.
(2) Every process is ended by the one that started it, by its id.
(3) Waiting is polling with a deadline far beyond what is expected: a slow machine makes a test slow, not red.
"""
import http.client
import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

ROOT = pathlib.Path(__file__).resolve().parents[2]
WEIR = pathlib.Path(os.environ.get('WEIR', ROOT / 'build' / 'weir'))
START_SECONDS = 30  # far more than a start takes
STOP_SECONDS = 12  # a stop takes 10 s at most


def wait_for(what, check, seconds=20, pause=0.02):
    """The first true value of check(); fails naming `what`."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f'after {seconds} s still not: {what}')
        time.sleep(pause)


class Process:
    """A `weir` that runs until it is stopped or killed; start() again continues with the same arguments and data."""

    def __init__(self, directory, name, *args):
        self.args = [str(WEIR), *map(str, args)]
        self.directory, self.name = directory, name
        self.log = directory / f'{name}.log'
        self.address = {}
        self.child = None

    def start(self):
        with self.log.open('ab') as log:
            self.child = subprocess.Popen(self.args, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                          stderr=log)
        began = time.monotonic()
        text = b''
        while b'\nready\n' not in b'\n' + text:
            left = began + START_SECONDS - time.monotonic()
            piece = os.read(self.child.stdout.fileno(), 4096) if select.select([self.child.stdout], [], [], max(left, 0))[0] else b''
            if not piece:
                raise AssertionError(f'{self.name} did not become ready (exit code {self.child.poll()}):\n{self.tail()}')
            text += piece
        self.ready_seconds = time.monotonic() - began
        self.address = dict(line.split(': ', 1) for line in text.decode().splitlines() if ': ' in line)
        return self

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def port(self, name):
        return urllib.parse.urlsplit(self.address[name]).port

    def stop(self):
        """SIGTERM; in time and with exit code 0 is part of the contract."""
        self.child.send_signal(signal.SIGTERM)
        try:
            code = self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f'{self.name} still ran {STOP_SECONDS} s after SIGTERM:\n{self.tail()}') from None
        self.child.stdout.close()
        assert code == 0, f'{self.name} ended with {code}:\n{self.tail()}'

    def kill(self):
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()

    def tail(self):
        return self.log.read_text(errors='replace')[-4000:] if self.log.exists() else ''


# Requests

class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode('utf-8', 'replace')

    def json(self):
        return json.loads(self.body)


def request(base, method, path, body=None, headers=None):
    url = urllib.parse.urlsplit(base)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
    try:
        connection.request(method, url.path + path, body, headers or {})
        r = connection.getresponse()
        return Reply(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
    finally:
        connection.close()


def request_bytes(base, *pieces):
    """Sends raw pieces until the peer answers or closes; for requests that are refused before they are whole."""
    url = urllib.parse.urlsplit(base)
    with socket.create_connection((url.hostname, url.port), timeout=60) as s:
        try:
            for piece in pieces:
                for at in range(0, len(piece), 1 << 16):
                    if select.select([s], [], [], 0)[0]:
                        raise BrokenPipeError
                    s.sendall(piece[at:at + (1 << 16)])
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has answered already
        r = http.client.HTTPResponse(s)
        r.begin()
        return Reply(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())


class Entry:
    """A shown record: its stream's labels, and what is attached to this one."""

    def __init__(self, ts, line, labels, metadata):
        self.ts, self.line, self.labels, self.metadata = ts, line, labels, metadata

    def __repr__(self):
        return f'Entry({self.ts}, {self.line!r}, {self.labels}, {self.metadata})'


class Loki:
    """A Loki client: what Grafana and logcli ask, in their forms."""

    def __init__(self, base):
        self.base = base

    def get(self, path, headers=None, **params):
        query = '?' + urllib.parse.urlencode(params, doseq=True) if params else ''
        return request(self.base, 'GET', path + query, headers=headers)

    def data(self, path, headers=None, **params):
        r = self.get(path, headers, **params)
        assert r.status == 200, f'{path} {params}: {r.status} {r.text}'
        return r.json().get('data')

    def entries(self, query, limit=1000, direction='forward', start=None, end=None):
        now = time.time_ns()
        data = self.data('/loki/api/v1/query_range', {'X-Loki-Response-Encoding-Flags': 'categorize-labels'}, query=query,
                         limit=limit, direction=direction, start=start or now - 3600 * 10**9, end=end or now + 60 * 10**9)
        assert data['resultType'] == 'streams' and 'categorize-labels' in data['encodingFlags']
        found = [Entry(int(v[0]), v[1], s['stream'], v[2].get('structuredMetadata', {}))
                 for s in data['result'] for v in s['values']]
        return sorted(found, key=lambda e: e.ts, reverse=direction == 'backward')

    def all_entries(self, query, page=5000, start=None, end=None):
        """Pages forward as logcli does: each page begins at the last timestamp seen, inclusively."""
        found, seen_at_last = [], set()
        start, end = start or time.time_ns() - 3600 * 10**9, end or time.time_ns() + 60 * 10**9
        while True:
            batch = self.entries(query, page, start=start, end=end)
            fresh = [e for e in batch if e.ts != start or (e.line, str(e.labels), str(e.metadata)) not in seen_at_last]
            found += fresh
            if len(batch) < page or not fresh:
                return found
            start = batch[-1].ts
            seen_at_last = {(e.line, str(e.labels), str(e.metadata)) for e in batch if e.ts == start}

    def count(self, selector, span='1h'):
        data = self.data('/loki/api/v1/query', query=f'sum(count_over_time({selector}[{span}]))', time=time.time_ns())
        assert data['resultType'] == 'vector'
        return int(float(data['result'][0]['value'][1])) if data['result'] else 0


def metric(base, name, **labels):
    """The sum of the samples of a Prometheus metric (with or without _total) whose labels include `labels`."""
    total = 0.0
    for line in request(base, 'GET', '/metrics').text.splitlines():
        m = re.match(r'([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$', line)
        if m and m[1] in (name, name + '_total') and all(f'{k}="{v}"' in (m[2] or '') for k, v in labels.items()):
            total += float(m[3])
    return total


# Records as bytes, by the official protobuf library

def logs_request(service, lines, start_ns, step_ns=1000, instance='1', severity=(9, 'INFO'), attributes=()):
    """An ExportLogsServiceRequest with one record a line, step_ns apart."""
    r = ExportLogsServiceRequest()
    resource_logs = r.resource_logs.add()
    for key, value in (('service.name', service), ('service.instance.id', instance)):
        resource_logs.resource.attributes.add(key=key).value.string_value = value
    records = resource_logs.scope_logs.add().log_records
    for n, line in enumerate(lines):
        record = records.add(time_unix_nano=start_ns + n * step_ns, severity_number=severity[0], severity_text=severity[1])
        record.body.string_value = line
        for key, value in attributes:
            record.attributes.add(key=key).value.string_value = value
    return r


class Sender(threading.Thread):
    """Sends prepared bodies over one kept connection, each until it is acknowledged, and remembers which were when.
    A body that is not acknowledged is sent again as it is, so copies are on the wire whenever a process dies."""

    def __init__(self, base, bodies, path='/v1/logs', give_up_seconds=60):
        super().__init__(daemon=True)
        self.base, self.bodies, self.path, self.give_up_seconds = base, bodies, path, give_up_seconds
        self.acknowledged, self.resent = 0, 0
        self.error = None

    def run(self):
        url = urllib.parse.urlsplit(self.base)
        headers = {'Content-Type': 'application/x-protobuf'}
        connection = None
        for body in self.bodies:
            deadline = time.monotonic() + self.give_up_seconds
            while True:
                try:
                    if connection is None:
                        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
                    connection.request('POST', url.path + self.path, body, headers)
                    r = connection.getresponse()
                    text = r.read()
                    if r.status // 100 == 2:
                        break
                    if r.status not in (429, 502, 503, 504):
                        self.error = f'{r.status} {text[:200]}'
                        return
                except (OSError, http.client.HTTPException):
                    if connection:
                        connection.close()
                    connection = None
                if time.monotonic() > deadline:
                    self.error = f'request {self.acknowledged} not acknowledged in {self.give_up_seconds} s'
                    return
                self.resent += 1
                time.sleep(0.05)
            self.acknowledged += 1
