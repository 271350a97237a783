"""Servers that fork: gunicorn, uWSGI, Celery. Children's records arrive, the parent's once."""
import http.client
import importlib.util
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from conftest import APPS, GrpcReceiver, environment

BIN = pathlib.Path(sys.executable).parent


def need(module, program):
    if importlib.util.find_spec(module) is None or not (BIN / program).exists():
        pytest.skip(f'{program} is not installed')


def get(port, path):
    deadline = time.monotonic() + 60
    while True:
        connection = http.client.HTTPConnection('127.0.0.1', port, timeout=30)
        try:
            connection.request('GET', path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            assert time.monotonic() < deadline, 'the server does not answer'
            time.sleep(0.05)
        finally:
            connection.close()


def free_port():
    with socket.create_server(('127.0.0.1', 0)) as s:
        return s.getsockname()[1]


class Server:
    def __init__(self, command, env, log):
        self.log = log
        with log.open('wb') as out:
            self.child = subprocess.Popen(command, env=environment(env), cwd=APPS, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def stop(self, number=signal.SIGTERM):
        self.child.send_signal(number)
        return self.child.wait(60)


@pytest.fixture
def server(tmp_path):
    started = []

    def start(command, env):
        started.append(Server(command, env, tmp_path / 'server.log'))
        return started[-1]
    yield start
    for s in started:
        if s.child.poll() is None:
            s.child.kill()
            s.child.wait()


def drive(port, count=60):
    """Requests until more than one worker has answered; (name, pid) of each."""
    seen, n = [], 0
    while n < count or (len({pid for _, pid in seen}) < 2 and n < 2000):
        status, pid = get(port, f'/hello/{n}')
        assert status == 200
        seen.append((f'hello {n}', int(pid)))
        n += 1
    return seen


def run(server, port, receiver, preloaded):
    """All the way: every worker is up, some have answered, all end; nothing was flushed before."""
    workers = 1 if preloaded else 4
    deadline = time.monotonic() + 60
    while server.log.read_text().count('app loaded') < workers:
        assert time.monotonic() < deadline, server.log.read_text()
        time.sleep(0.05)
    seen = drive(port)
    assert get(port, '/boom')[0] == 500
    assert server.stop() == 0, server.log.read_text()
    records = receiver.records()
    hellos = [(r.body, r.attributes['pid']) for r in records if r.body.startswith('hello')]
    assert sorted(hellos) == sorted(seen)
    ids = {}
    for r in records:
        if r.body.startswith('hello'):
            ids.setdefault(r.attributes['pid'], set()).add(r.resource['service.instance.id'])
    assert all(len(i) == 1 for i in ids.values()) and len(set.union(*ids.values())) == len(ids) > 1
    loaded = [int(r.body.split()[-1]) for r in records if r.body.startswith('loaded')]
    assert len(loaded) == len(set(loaded)) == workers
    (error,) = [r for r in records if 'exception.type' in r.attributes]
    assert error.attributes['exception.message'] == 'in a view' and error.pb.severity_text == 'ERROR'


@pytest.mark.parametrize('preload', [False, True])
def test_flask_under_gunicorn(server, receiver, preload):
    need('gunicorn', 'gunicorn'), need('flask', 'flask')
    port = free_port()
    s = server([BIN / 'gunicorn', '-w', '4', '-b', f'127.0.0.1:{port}', *(['--preload'] if preload else []), 'flask_app:app'],
               {'ENDPOINT': receiver.endpoint})
    run(s, port, receiver, preload)


@pytest.mark.parametrize('lazy', [False, True])
def test_flask_under_uwsgi(server, receiver, lazy):
    if not (BIN / 'uwsgi').exists():
        pytest.skip('uWSGI is not installed')
    port = free_port()
    s = server([BIN / 'uwsgi', '--http-socket', f'127.0.0.1:{port}', '--master', '--processes', '4', '--need-app', '--die-on-term',
                '--enable-threads', *(['--lazy-apps'] if lazy else []), '--module', 'flask_app:app'],
               {'ENDPOINT': receiver.endpoint})
    run(s, port, receiver, not lazy)


def test_celery_prefork(server, tmp_path):
    need('celery', 'celery')
    for name in ('queue', 'control', 'results'):
        (tmp_path / name).mkdir()
    receiver = GrpcReceiver()
    env = {'BROKER': str(tmp_path), 'OTEL_EXPORTER_OTLP_ENDPOINT': receiver.endpoint, 'OTEL_BLRP_SCHEDULE_DELAY': '200'}
    s = server([BIN / 'celery', '-A', 'celery_app', 'worker', '-P', 'prefork', '-c', '3', '-l', 'INFO', '--without-gossip', '--without-mingle'], env)
    send = 'import celery_app\nr = [celery_app.work.delay(n) for n in range(20)]\nassert [x.get(timeout=60) for x in r] == list(range(20))'
    done = subprocess.run([sys.executable, '-c', send], env=environment(env), cwd=APPS, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + s.log.read_text()
    s.stop()
    work = [r for r in receiver.records() if r.scope.name == 'work']
    assert sorted(r.body for r in work) == sorted(f'work {n}' for n in range(20))
    assert all(r.resource['service.name'] == 'celery' for r in work)
    ids = {r.attributes['pid']: r.resource['service.instance.id'] for r in work}
    assert len(set(ids.values())) == len(ids)
    assert any(re.match('celery@.* ready', str(r.body)) for r in receiver.records())
    receiver.close()
