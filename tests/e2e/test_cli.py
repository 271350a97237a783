"""The program on the command line: what it prints, and how it ends: 0 done, 1 failed, 2 bad usage or configuration."""
import json
import re
import resource
import socket
import subprocess
import time

import pytest

from conftest import COLLECTOR_YAML
from weirkit import WEIR, logs_request, metric, request


def weir(*args, cwd=None):
    return subprocess.run([WEIR, *map(str, args)], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)


def test_version_and_help():
    r = weir('--version')
    assert r.returncode == 0 and re.fullmatch(r'weir \d+\.\d+\.\d+\S*\n', r.stdout)
    r = weir('--help')
    assert r.returncode == 0 and all(f'\n  {command}' in r.stdout for command in ('up', 'collector', 'store', 'query', 'check', 'demo'))
    for command in ('up', 'collector', 'store', 'query', 'labels', 'series', 'check', 'recover', 'inspect', 'demo'):
        r = weir(command, '--help')
        assert r.returncode == 0 and f'weir {command}' in r.stdout, command


@pytest.mark.parametrize('args, hint', [([], 'Usage'), (['qeury'], "did you mean 'query'"), (['up', '--dta-dir', 'x'], 'data-dir'),
                                        (['store', 'word'], "unexpected 'word'"), (['collector'], '--config'), (['check'], 'FILE'),
                                        (['store', '--log-level', 'loud'], 'debug, info, warn')])
def test_bad_usage(args, hint, tmp_path):
    r = weir(*args, cwd=tmp_path)
    assert r.returncode == 2 and hint in r.stderr, (r.returncode, r.stderr)
    assert not list(tmp_path.iterdir())  # nothing was begun


GOOD = COLLECTOR_YAML.format(grpc=4317, http=4318, store='http://127.0.0.1:3100')


@pytest.mark.parametrize('old, new, hint', [
    ('endpoint: "', 'endpiont: "', 'endpoint'),
    ('otlphttp/logs:', 'otlphtp/logs:', 'otlphttp'),
    ('exporters: [otlphttp/logs]', 'exporters: [otlphttp/log]', 'otlphttp/logs'),
    ('batch: {}', 'batch: {timeout: soon}', 'timeout'),
    ('processors:\n', 'processors: [\n', ''),
])
def test_check_names_the_place(tmp_path, old, new, hint):
    file = tmp_path / 'c.yaml'
    line = GOOD[:GOOD.index(old)].count('\n') + 1 if hint else ''  # where the YAML itself is broken, it is found later
    file.write_text(GOOD.replace(old, new, 1))
    for command in (['check', file], ['collector', '--config', file, '--data-dir', tmp_path / 'data']):
        r = weir(*command)
        assert r.returncode == 2, r.stdout + r.stderr
        assert re.search(rf'c\.yaml:{line}', r.stderr) and hint in r.stderr, r.stderr
        said = [text.rpartition('c.yaml:')[2] for text in r.stderr.splitlines()]
        assert len(said) == len(set(said)), f'said twice: {r.stderr}'
    file.write_text(GOOD)
    r = weir('check', file)
    assert r.returncode == 0 and 'good' in r.stdout, r.stderr


@pytest.mark.parametrize('args, hint', [(['--api', 'nonsense'], 'host:port'), (['--durability', 'sometimes'], 'none of always'),
                                        (['--max-concurrent-queries', '0'], 'at least 1'), (['--cert-file', 'x'], 'key_file is not')])
def test_a_bad_setting_is_bad_usage(args, hint, tmp_path):
    """Also where only the part that uses the setting finds it: a supervisor need not try again."""
    r = weir('store', '--api', '127.0.0.1:0', '--data-dir', tmp_path, *args)
    assert r.returncode == 2 and hint in r.stderr, (r.returncode, r.stderr)


def test_a_taken_port_is_named(house):
    store = house.store()
    taken = f'127.0.0.1:{store.port("api")}'
    r = weir('store', '--api', taken, '--data-dir', house.directory / 'other')
    assert r.returncode == 1 and taken in r.stderr, r.stderr


def test_a_stop_is_in_time_whatever_clients_hold_open(house):
    """Requests that never end, on every listener: all of them together may take the time of one."""
    up = house.up()
    held = []
    for name, path in (('http', '/v1/logs'), ('api', '/loki/api/v1/push'), ('ui', '/loki/api/v1/push')):
        s = socket.create_connection(('127.0.0.1', up.port(name)))
        s.sendall(f'POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{{'.encode())
        held.append(s)
    time.sleep(0.2)  # they are read
    up.stop()
    for s in held:
        s.close()


def test_data_of_a_running_store_is_not_taken(house):
    house.store()
    r = weir('store', '--api', '127.0.0.1:0', '--data-dir', house.directory / 'store-data')
    assert r.returncode == 1 and 'store-data' in r.stderr, r.stderr


@pytest.mark.parametrize('mode', ['always', 'interval=50ms', 'off'])
def test_durability_is_said_at_start_and_in_metrics(house, mode):
    args = [] if mode == 'always' else ['--durability', mode]
    store = house.store('store', 0, *args)
    assert f'durability: {mode}' in store.log.read_text()
    assert metric(store.address['api'], 'weir_store_durability_info', mode=mode) == 1


@pytest.fixture
def filled(house):
    store = house.store()
    now = time.time_ns()
    for level in ('INFO', 'ERROR'):
        body = logs_request('till', [f'{level.lower()} {n}' for n in range(3)], now - 10**9, 10**6, severity=(9, level)).SerializeToString()
        assert request(store.address['api'], 'POST', '/otlp/v1/logs', body, {'Content-Type': 'application/x-protobuf'}).status == 204
    return store.address['api']


def test_query_explains_itself(filled):
    r = weir('query', '--addr', filled, '--explain', '{service_name="till"} |= "error"')
    assert r.returncode == 0, r.stderr
    words = dict(line.split(None, 1) for line in r.stdout.splitlines() if not line.startswith(' '))
    assert list(words) == ['streams', 'sources', 'blocks', 'rows', 'bytes', 'time'], r.stdout
    considered, passed = (int(words['rows'].split(',')[i].split()[0]) for i in (0, 1))
    lines = weir('query', '--addr', filled, '--output', 'raw', '{service_name="till"}', '--limit', 1000).stdout.splitlines()
    assert considered == len(lines) and passed == sum('error' in line for line in lines) and 0 < passed < considered


def test_query_prints_lines(filled):
    r = weir('query', '--addr', filled, '{service_name="till"} |= "error"')
    assert r.returncode == 0 and r.stdout.count('error ') == 3, r.stdout + r.stderr
    r = weir('query', '--addr', filled, '--output', 'raw', '--forward', '{service_name="till", level="INFO"}')
    assert r.stdout.splitlines() == ['info 0', 'info 1', 'info 2'], r.stdout + r.stderr
    r = weir('query', '--addr', filled, '--output', 'jsonl', '--limit', 2, '{service_name="till"}')
    rows = [json.loads(line) for line in r.stdout.splitlines()]
    assert len(rows) == 2 and all('info' in str(row) or 'error' in str(row) for row in rows)
    r = weir('query', '{service_name="till"}', '--addr', filled, '--output=raw', '--limit', 1)  # options may follow the query
    assert r.returncode == 0 and len(r.stdout.splitlines()) == 1, r.stdout + r.stderr
    r = weir('query', '--addr', filled, '--instant', 'sum(count_over_time({service_name="till"}[1h]))')
    assert r.returncode == 0 and re.search(r'\b6\b', r.stdout), r.stdout + r.stderr


def test_points_are_printed_to_the_millisecond(filled):
    r = weir('query', '--addr', filled, '--instant', '--to', '1700000000.123', 'vector(1)')
    assert r.returncode == 0 and '20.123  1\n' in r.stdout, r.stdout + r.stderr


def test_labels_are_printed_as_they_can_be_asked_for(house):
    store = house.store()
    text = 'C:\\tmp "x"\nend'
    push = {'streams': [{'stream': {'path': text}, 'values': [[str(time.time_ns()), 'line']]}]}
    r = request(store.address['api'], 'POST', '/loki/api/v1/push', json.dumps(push), {'Content-Type': 'application/json'})
    assert r.status == 204, r.text
    r = weir('series', '--addr', store.address['api'])
    assert len(r.stdout.splitlines()) == 1, r.stdout
    r = weir('query', '--addr', store.address['api'], '--output', 'raw', r.stdout.strip())
    assert r.stdout == 'line\n', r.stdout + r.stderr


def test_output_that_cannot_be_written_is_a_failure(filled):
    with open('/dev/full', 'w', encoding='utf-8') as full:
        r = subprocess.run([WEIR, 'query', '--addr', filled, '{service_name="till"}'], stdin=subprocess.DEVNULL, stdout=full,
                           stderr=subprocess.PIPE, text=True, timeout=30)
    assert r.returncode == 1 and 'No space left' in r.stderr, r.stderr


def test_a_demo_at_rest_costs_nothing(filled):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    r = weir('demo', '--endpoint', 'http://127.0.0.1:1', '--rate', 0, '--bugs', 0, '--seconds', 2)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert r.returncode == 0, r.stderr
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1, 'it was busy with nothing'


def test_labels_and_series(filled):
    assert weir('labels', '--addr', filled).stdout.split() == ['level', 'service_instance_id', 'service_name']
    assert weir('labels', '--addr', filled, 'service_name').stdout.split() == ['till']
    r = weir('series', '--addr', filled, '{service_name="till"}')
    assert len(r.stdout.splitlines()) == 2 and 'level="ERROR"' in r.stdout, r.stdout


def test_client_errors(filled):
    r = weir('query', '--addr', filled, '{service_name="till"')
    assert r.returncode == 1 and 'parse error at line 1, col 21' in r.stderr, r.stderr
    r = weir('query', '--addr', 'http://127.0.0.1:1', '{service_name="till"}')
    assert r.returncode == 1 and '127.0.0.1:1' in r.stderr, r.stderr
