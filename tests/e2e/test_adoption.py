"""Apps are killed with no collector there; what they had logged is adopted: by `weir recover`, by a collector, by `weir up`.

Each record is in the store once, also when the adopter is killed in the middle, and when several adopt at the same time."""
import re
import subprocess

import pytest

from test_c_sdk import compiled, installed  # noqa: F401  (fixtures)
from weirkit import WEIR, Loki, metric, wait_for

FEW, MANY = 2_000, 60_000  # many: enough to be killed in the middle of it

COLLECTOR_YAML = '''\
receivers:
  weirspool: {{directory: "{spool}", poll_interval: 100ms}}
processors:
  batch: {{}}
exporters:
  otlphttp/logs:
    endpoint: "{store}/otlp"
    tls: {{insecure: true}}
service:
  telemetry: {{metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: 0}}}}}}}}]}}}}
  pipelines:
    logs: {{receivers: [weirspool], processors: [batch], exporters: [otlphttp/logs]}}
'''


@pytest.fixture
def orphan(house, compiled, tmp_path):  # noqa: F811
    """Runs an app that logs with nobody there, and kills it."""
    program, environment = compiled('orphan')
    environment |= {'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://127.0.0.1:1', 'WEIR_SPOOL_DIR': str(tmp_path / 'spool'),
                    'WEIR_SPOOL_WHEN_FULL': 'block'}

    def run(service, count):
        with (tmp_path / 'orphan.log').open('ab') as log:
            child = subprocess.Popen([program, service, str(count)], env=environment, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=log)
        line = child.stdout.readline()
        child.kill()
        child.wait()
        child.stdout.close()
        assert line == b'logged\n', (tmp_path / 'orphan.log').read_text()
    return run


@pytest.fixture
def weirspool(house, tmp_path):
    """A collector that adopts, in front of a store."""
    def run(store, name='adopter'):
        config = tmp_path / f'{name}.yaml'
        config.write_text(COLLECTOR_YAML.format(spool=tmp_path / 'spool', store=store.address['api']))
        return house.run(name, 'collector', '--config', config, '--data-dir', tmp_path / f'{name}-data')
    return run


def recover_args(up, *args):
    return [WEIR, 'recover', '--endpoint', up.address['grpc'], *args]


def recover(*args):
    return subprocess.run([WEIR, 'recover', *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)


def nothing_left(tmp_path):
    return not list((tmp_path / 'spool').glob('[!.]*'))


def check_each_once(api, service, count):
    loki = Loki(api)
    wait_for(f'all records of {service}', lambda: loki.count(f'{{service_name="{service}"}}') >= count, 120)
    assert [e.line for e in loki.all_entries(f'{{service_name="{service}"}}')] == [f'order {n:06d} accepted' for n in range(count)]


def wait_for_some(api, service):
    loki = Loki(api)
    wait_for('first records', lambda: loki.count(f'{{service_name="{service}"}}') > 0, 60, pause=0.002)


def test_weir_recover(house, orphan, tmp_path):
    orphan('shop', FEW)
    orphan('till', 5)
    listed = recover('--list')
    assert listed.returncode == 0, listed.stderr
    rows = [line.split() for line in listed.stdout.splitlines()[1:]]
    assert sorted((r[0], r[3], r[4]) for r in rows) == [('shop', 'dead', str(FEW)), ('till', 'dead', '5')]
    nobody = recover('--endpoint', 'http://127.0.0.1:1', '--timeout', '100ms')
    assert nobody.returncode == 1 and f'{FEW + 5} left' in nobody.stdout and '2 of 2 backlogs are left' in nobody.stderr
    up = house.up('up', '--spool-dir', 'none')
    one = recover('--endpoint', up.address['http'], '--protocol', 'http/protobuf', '--service', 'till', tmp_path / 'spool')
    assert (one.returncode, one.stdout) == (0, '5 records delivered from 1 backlogs\n'), one.stderr
    all_ = recover('--endpoint', up.address['grpc'])
    assert (all_.returncode, all_.stdout) == (0, f'{FEW} records delivered from 1 backlogs\n'), all_.stderr
    check_each_once(up.address['api'], 'shop', FEW)
    check_each_once(up.address['api'], 'till', 5)
    assert nothing_left(tmp_path) and 'nothing is there' in recover('--list').stdout


def test_weir_recover_is_killed_in_the_middle(house, orphan, tmp_path):
    orphan('shop', MANY)
    up = house.up('up', '--spool-dir', 'none')
    for _ in range(2):
        child = subprocess.Popen(recover_args(up), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_for_some(up.address['api'], 'shop')
        child.kill()
        child.wait()
    assert not nothing_left(tmp_path), 'too fast to be killed in the middle'
    r = recover('--endpoint', up.address['grpc'])
    assert r.returncode == 0, r.stderr
    check_each_once(up.address['api'], 'shop', MANY)
    assert nothing_left(tmp_path)


def test_recover_refuses_what_it_does_not_know(house):
    assert recover('--protocol', 'smoke').returncode == 2
    assert recover('a', 'b').returncode == 2
    missing = recover('/nonexistent/spool')
    assert missing.returncode == 1 and 'No such file' in missing.stderr


def test_a_collector_adopts(house, orphan, weirspool, tmp_path):
    store = house.store()
    collector = weirspool(store)
    orphan('shop', FEW)  # while it runs
    check_each_once(store.address['api'], 'shop', FEW)
    wait_for('nothing left', lambda: nothing_left(tmp_path))
    assert metric(collector.address['metrics'], 'otelcol_receiver_accepted_log_records', receiver='weirspool') == FEW
    assert metric(collector.address['metrics'], 'otelcol_receiver_weirspool_torn_log_records') == 0


def test_a_collector_is_killed_in_the_middle(house, orphan, weirspool, tmp_path):
    orphan('shop', MANY)
    store = house.store()
    collector = weirspool(store)
    for _ in range(2):
        wait_for('first records', lambda: metric(collector.address['metrics'], 'otelcol_receiver_accepted_log_records') > 0, 60, 0.001)
        collector.kill()
        collector.start()
    check_each_once(store.address['api'], 'shop', MANY)
    wait_for('nothing left', lambda: nothing_left(tmp_path))


def test_weir_up_adopts_what_dies_while_it_runs(house, orphan, tmp_path):
    up = house.up()
    orphan('shop', FEW)
    check_each_once(up.address['api'], 'shop', FEW)
    wait_for('nothing left', lambda: nothing_left(tmp_path))


def test_weir_up_is_killed_in_the_middle(house, orphan, tmp_path):
    orphan('shop', MANY)
    up = house.up('up', '--spool-dir', tmp_path / 'spool')
    wait_for_some(up.address['api'], 'shop')
    up.kill()
    assert not nothing_left(tmp_path), 'too fast to be killed in the middle'
    up.start()
    check_each_once(up.address['api'], 'shop', MANY)
    wait_for('nothing left', lambda: nothing_left(tmp_path))


def test_two_that_recover_at_once_share_the_work(house, orphan, tmp_path):
    for service in 'abcdefgh':
        orphan(service, 500)
    up = house.up('up', '--spool-dir', 'none')
    children = [subprocess.Popen(recover_args(up), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0], outputs
    assert sum(int(re.match(r'\d+', text)[0]) for text in outputs) == 8 * 500
    for service in 'abcdefgh':
        check_each_once(up.address['api'], service, 500)
    assert nothing_left(tmp_path)


def test_several_adopters_of_different_kinds(house, orphan, weirspool, tmp_path):
    for service in 'abcdefgh':
        orphan(service, 500)
    store = house.store()
    first, second = weirspool(store, 'first'), weirspool(store, 'second')
    r = recover('--endpoint', store.address['api'] + '/otlp', '--protocol', 'http/protobuf')
    assert r.returncode == 0, r.stderr
    for service in 'abcdefgh':
        check_each_once(store.address['api'], service, 500)
    wait_for('nothing left', lambda: nothing_left(tmp_path))
    taken = [metric(c.address['metrics'], 'otelcol_receiver_accepted_log_records') for c in (first, second)]
    assert sum(taken) + int(re.match(r'\d+', r.stdout)[0]) == 8 * 500
