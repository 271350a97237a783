"""Fixtures of the Python package's tests: OTLP receivers in this process, and programs run with the package in the build tree.

(1) The package is build/python/lib, put together by ninja; WEIR_PYTHON_LIB names another.
(2) What the package sends is decoded by the official protobuf classes; the stock SDK beside it is what build/venv has.
(3) Waiting is polling with generous deadlines; a program is ended by who started it, by its id.
"""
import http.server
import os
import pathlib
import subprocess
import sys
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIB = pathlib.Path(os.environ.get('WEIR_PYTHON_LIB', ROOT / 'build/python/lib')).resolve()
APPS = pathlib.Path(__file__).resolve().parent / 'apps'
sys.path.insert(0, str(LIB))

for name in [n for n in os.environ if n.startswith(('OTEL_', 'WEIR_')) or n.lower().endswith('_proxy')]:
    del os.environ[name]

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse  # noqa: E402


def pytest_sessionstart(session):
    if not (LIB / 'weir').exists():
        pytest.exit(f'{LIB} is not there: build with Python.h installed (python3-dev)', 3)


def value_of(any_value):
    """An AnyValue as a Python value; an int and a double stay apart."""
    kind = any_value.WhichOneof('value')
    if kind is None:
        return None
    value = getattr(any_value, kind)
    if kind == 'array_value':
        return [value_of(v) for v in value.values]
    if kind == 'kvlist_value':
        return {kv.key: value_of(kv.value) for kv in value.values}
    return value


class Record:
    """One received record, with its resource and scope."""

    def __init__(self, pb, resource, scope):
        self.pb = pb
        self.resource = resource
        self.scope = scope
        self.body = value_of(pb.body)
        self.attributes = {kv.key: value_of(kv.value) for kv in pb.attributes}

    def __repr__(self):
        return f'Record({self.body!r}, {self.attributes!r})'


class Requests:
    """What a receiver got."""

    def __init__(self):
        self.got, self.lock, self.seen_headers = [], threading.Lock(), []
        self.gate = threading.Event()
        self.gate.set()

    def add(self, request, headers):
        with self.lock:
            self.got.append(request)
            self.seen_headers.append(headers)

    def records(self):
        with self.lock:
            requests = list(self.got)
        return [Record(r, {kv.key: value_of(kv.value) for kv in rl.resource.attributes}, sl.scope)
                for request in requests for rl in request.resource_logs for sl in rl.scope_logs for r in sl.log_records]

    def clear(self):
        with self.lock:
            self.got.clear()

    def wait(self, count, seconds=30):
        """The records, when there are `count` of them."""
        deadline = time.monotonic() + seconds
        while len(self.records()) < count:
            assert time.monotonic() < deadline, f'{len(self.records())} of {count} records came: {self.records()[:20]}'
            time.sleep(0.02)
        return self.records()


class HttpReceiver(Requests):
    def __init__(self):
        super().__init__()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_POST(self):
                body = self.rfile.read(int(self.headers['Content-Length']))
                outer.gate.wait(60)
                outer.add(ExportLogsServiceRequest.FromString(body), dict(self.headers))
                answer = ExportLogsServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header('Content-Type', 'application/x-protobuf')
                self.send_header('Content-Length', str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # clients are killed here
        self.endpoint = f'http://127.0.0.1:{self.server.server_port}/v1/logs'
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()


class GrpcReceiver(Requests):
    def __init__(self):
        import concurrent.futures
        import grpc
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import (LogsServiceServicer,
                                                                                 add_LogsServiceServicer_to_server)
        super().__init__()
        outer = self

        class Servicer(LogsServiceServicer):
            def Export(self, request, context):
                outer.gate.wait(60)
                outer.add(request, dict(context.invocation_metadata()))
                return ExportLogsServiceResponse()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        add_LogsServiceServicer_to_server(Servicer(), self.server)
        self.endpoint = f'http://127.0.0.1:{self.server.add_insecure_port("127.0.0.1:0")}'
        self.server.start()

    def close(self):
        self.gate.set()
        self.server.stop(0)


@pytest.fixture(autouse=True)
def spool(tmp_path, monkeypatch):
    """Rings and what they leave behind: each test has its own, so that none adopts another's records."""
    monkeypatch.setenv('WEIR_SPOOL_DIR', str(tmp_path / 'spool'))
    return tmp_path / 'spool'


@pytest.fixture(params=['accelerated', 'as logging is'])
def both_modes(request, monkeypatch):
    """The test runs with Logger._log() in C, in the programs it starts too, and without."""
    import weir
    on = request.param == 'accelerated'
    monkeypatch.setenv('WEIR_ACCELERATE_LOGGING', 'true' if on else 'false')
    weir.accelerate_logging(on)
    yield on
    weir.accelerate_logging(False)


@pytest.fixture
def receiver():
    r = HttpReceiver()
    yield r
    r.close()


@pytest.fixture
def programs():
    """run(name, *args, env, wait): a program of apps/, with the package on its path; what still runs is killed at the end."""
    children = []

    def run(*command, env=None, wait=True, stdin=None, timeout=120):
        command = [str(APPS / command[0]), *map(str, command[1:])]
        child = subprocess.Popen([sys.executable, *command], env=environment(env), stdin=stdin or subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=APPS)
        children.append(child)
        if not wait:
            return child
        out, err = child.communicate(timeout=timeout)
        assert child.returncode == 0, f'{command}: {child.returncode}\n{out}\n{err}'
        child.out, child.err = out, err
        return child
    yield run
    for child in children:
        if child.poll() is None:
            child.kill()
            child.communicate()


def environment(more=None):
    return {**os.environ, 'PYTHONPATH': f'{LIB}:{APPS}', **(more or {})}
