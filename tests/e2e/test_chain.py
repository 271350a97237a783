"""From a stock SDK through collector and store, two processes, to a query."""
import re
import subprocess
import sys
import time

import pytest

from conftest import HERE, run_js
from weirkit import Loki, logs_request, metric, request, wait_for

BUG = 'Bug triggered in http://user_service:5001'


class App:
    """apps/bug_service.py, the stock Python SDK."""

    def __init__(self, endpoint, *commands):
        self.child = subprocess.Popen([sys.executable, HERE / 'apps' / 'bug_service.py', endpoint, *map(str, commands)],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def said(self, word):
        """The time at which the app did what `word` says."""
        line = self.child.stdout.readline().split()
        assert line and line[0] == word, f'{line}: {self.child.stderr.read() if not line else ""}'
        return int(line[1])

    def end(self):
        _, errors = self.child.communicate('\n\n', timeout=60)
        assert self.child.returncode == 0, errors
        return errors


@pytest.fixture
def app():
    apps = []

    def start(*arguments):
        apps.append(App(*arguments))
        return apps[-1]
    yield start
    for a in apps:
        if a.child.poll() is None:
            a.child.kill()
            a.child.communicate()


def shown(loki, query, count=1, seconds=20):
    found = wait_for(f'{count} entries of {query}', lambda: (e := loki.entries(query)) and len(e) >= count and e, seconds)
    assert len(found) == count, found
    return found


def test_stock_python_sdk_over_grpc(chain, app, measured):
    collector, store = chain
    loki = Loki(store.address['api'])
    a = app(collector.address['grpc'], 'log', 'INFO', BUG, 'wait', 'log', 'ERROR', BUG + ' again')
    logged = a.said('logged')
    (entry,) = shown(loki, '{service_name="bug_service"} |= "triggered"')
    seconds = (time.time_ns() - logged) / 1e9
    measured(f'shown {seconds:.2f} s after the log call, no flush')
    assert seconds < 6

    assert entry.line == BUG
    assert entry.labels == {'service_name': 'bug_service', 'service_instance_id': '1', 'level': 'INFO'}
    assert entry.metadata['code_file_path'].endswith('bug_service.py')
    assert re.fullmatch(r'\d+', entry.metadata['code_line_number'])
    assert entry.metadata['code_function_name'] == 'main'
    assert entry.metadata['severity_text'] == 'INFO' and entry.metadata['severity_number'] == '9'
    assert entry.metadata['scope_name'] == 'bug_service'
    assert entry.metadata['detected_level'] == 'info'
    assert abs(entry.ts - logged) < 1e9

    errors = a.end()  # logs once more, then shuts down
    assert 'Exception' not in errors and 'Failed' not in errors, errors
    (entry,) = shown(loki, '{service_name="bug_service", level="ERROR"}')
    assert entry.line == BUG + ' again'
    assert loki.count('{service_name="bug_service"}') == 2

    flat = loki.data('/loki/api/v1/query_range', query='{service_name="bug_service", level="INFO"}')['result']
    assert len(flat) == 1 and len(flat[0]['values']) == 1
    assert {'service_name', 'service_instance_id', 'level', 'code_file_path'} <= set(flat[0]['stream'])


def test_flush_is_seen_soon(chain, app, measured):
    collector, store = chain
    loki = Loki(store.address['api'])
    a = app(collector.address['grpc'], 'log', 'INFO', 'warm up', 'flush', 'wait', 'log', 'WARNING', BUG, 'flush', 'wait')
    a.said('logged')
    a.said('flushed')
    shown(loki, '{service_name="bug_service"}')  # connections and code are warm, as in an app that runs
    a.child.stdin.write('\n')
    a.child.stdin.flush()
    a.said('logged')
    flushed = a.said('flushed')
    (entry,) = shown(loki, '{service_name="bug_service"} |= "triggered"')
    measured(f'shown {(time.time_ns() - flushed) / 1e6:.0f} ms after force_flush() returned')
    assert time.time_ns() - flushed < 3e9
    assert entry.labels['level'] == 'WARN'
    a.end()


@pytest.mark.parametrize('way', ['collector', 'store'])
def test_stock_javascript_sdk_over_http_json(chain, way):
    collector, store = chain
    loki = Loki(store.address['api'])
    run_js('otel.mjs', collector.address['http'] if way == 'collector' else store.address['api'] + '/otlp', 3)
    found = shown(loki, '{service_name="js_service"} |= "slow"', 3)
    assert sorted(e.line for e in found) == [f'order {n} was slow: “grüße” 🌊' for n in range(3)]
    for e in found:
        assert e.labels == {'service_name': 'js_service', 'service_instance_id': 'a', 'level': 'WARN'}
        assert e.metadata['order_total'] == '12.5' and e.metadata['tags'] == '["a","b"]'
        assert e.metadata['scope_name'] == 'orders' and e.metadata['scope_version'] == '1.2.3'
    assert {(e.metadata['order_id'], e.metadata['express']) for e in found} == {('0', 'false'), ('1', 'true'), ('2', 'false')}


def test_the_same_record_by_two_ways_is_shown_once(chain):
    collector, store = chain
    loki = Loki(store.address['api'])
    body = logs_request('twice', ['one', 'two'], time.time_ns()).SerializeToString()
    headers = {'Content-Type': 'application/x-protobuf'}
    for _ in range(3):
        assert request(collector.address['http'], 'POST', '/v1/logs', body, headers).status == 200
        assert request(store.address['api'], 'POST', '/otlp/v1/logs', body, headers).status == 204
    shown(loki, '{service_name="twice"}', 2)
    wait_for('the collector has delivered',
             lambda: request(collector.address['http'], 'POST', '/v1/logs',
                             logs_request('marker', ['end'], time.time_ns()).SerializeToString(), headers).status == 200)
    shown(loki, '{service_name="marker"}')
    assert [e.line for e in loki.entries('{service_name="twice"}')] == ['one', 'two']
    assert loki.count('{service_name="twice"}') == 2


def test_the_collector_counts(chain):
    collector, store = chain
    headers = {'Content-Type': 'application/x-protobuf'}
    body = logs_request('counted', [f'line {n}' for n in range(50)], time.time_ns()).SerializeToString()
    for _ in range(2):
        assert request(collector.address['http'], 'POST', '/v1/logs', body, headers).status == 200
    shown(Loki(store.address['api']), '{service_name="counted"}', 50)
    metrics = collector.address['metrics']
    assert metric(metrics, 'otelcol_receiver_accepted_log_records', receiver='otlp', transport='http') == 100
    wait_for('all are delivered', lambda: metric(metrics, 'otelcol_exporter_sent_log_records', exporter='otlphttp/logs') == 100)
    assert metric(metrics, 'otelcol_exporter_queue_size') == 0
    assert metric(metrics, 'otelcol_exporter_send_failed_log_records') == 0


def test_all_in_one_process(house, app):
    up = house.up()
    loki = Loki(up.address['api'])
    app(up.address['grpc'], 'log', 'INFO', BUG).end()
    (entry,) = shown(loki, '{service_name="bug_service"} |= "triggered"')
    assert entry.labels == {'service_name': 'bug_service', 'service_instance_id': '1', 'level': 'INFO'}
    run_js('otel.mjs', up.address['http'], 2)
    shown(loki, '{service_name="js_service"}', 2)

    page = request(up.address['ui'], 'GET', '/')
    assert page.status == 200 and page.headers['content-type'].startswith('text/html')
    (entry,) = shown(Loki(up.address['ui']), '{service_name="bug_service"}')  # the page's origin answers queries
    assert entry.line == BUG
