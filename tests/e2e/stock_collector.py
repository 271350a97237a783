"""Weir's processes beside the stock OpenTelemetry Collector. Not part of `make check`: `make interop` builds the peer.

The stock Collector in the place of ours, before ours, and behind ours."""
import gzip
import socket
import subprocess
import time

import pytest

from test_chain import app, shown  # noqa: F401  (app is a fixture)
from weirkit import ROOT, Loki, logs_request, request, wait_for

OTELCOL = ROOT / 'build' / 'otelcol'
BUG = 'Bug triggered in http://user_service:5001'
CONFIG = '''\
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{grpc}"}}, http: {{endpoint: "127.0.0.1:{http}"}}}}}}}}
processors: {{batch: {{}}}}
exporters:
  {exporter}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{logs: {{receivers: [otlp], processors: [batch], exporters: [{name}]}}}}
'''


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


@pytest.fixture
def stock(tmp_path):
    """Starts stock Collectors: stock(exporter id, its YAML) -> (grpc URL, http URL, log file)."""
    children = []

    def start(name, exporter):
        grpc, http_ = free_port(), free_port()
        n = len(children)
        config, log = tmp_path / f'otelcol{n}.yaml', tmp_path / f'otelcol{n}.log'
        config.write_text(CONFIG.format(grpc=grpc, http=http_, exporter=f'{name}: {exporter}', name=name))
        with log.open('wb') as out:
            children.append(subprocess.Popen([OTELCOL, '--config', config], stdin=subprocess.DEVNULL, stdout=out, stderr=out))
        wait_for('the stock Collector', lambda: 'Everything is ready' in log.read_text())
        return f'http://127.0.0.1:{grpc}', f'http://127.0.0.1:{http_}', log
    yield start
    for c in children:
        c.terminate()
        c.wait(20)


@pytest.mark.parametrize('options', ['', ', encoding: json', ', compression: none', ', compression: zstd'])
def test_stock_collector_feeds_the_store(house, stock, app, options):  # noqa: F811
    store = house.store()
    grpc, _, log = stock('otlphttp/logs', f'{{endpoint: "{store.address["api"]}/otlp", tls: {{insecure: true}}{options}}}')
    app(grpc, 'log', 'INFO', BUG).end()
    (entry,) = shown(Loki(store.address['api']), '{service_name="bug_service"} |= "triggered"')
    assert entry.line == BUG and entry.labels['level'] == 'INFO' and entry.metadata['code_function_name'] == 'main'
    assert 'error' not in log.read_text()


@pytest.mark.parametrize('way', ['otlp', 'otlphttp'])
def test_stock_collector_feeds_ours(chain, stock, app, way):  # noqa: F811
    collector, store = chain
    target = collector.address['grpc'] if way == 'otlp' else collector.address['http']
    grpc, _, log = stock(way, f'{{endpoint: "{target}", tls: {{insecure: true}}}}')
    app(grpc, 'log', 'ERROR', BUG).end()
    (entry,) = shown(Loki(store.address['api']), '{service_name="bug_service", level="ERROR"}')
    assert entry.line == BUG
    assert 'error' not in log.read_text()


def test_ours_feeds_the_stock_collector(house, stock):
    _, http_, log = stock('debug', '{verbosity: detailed}')
    ours = house.collector(http_.removesuffix('/'))
    # the configuration of the chain appends /otlp for the store: a stock Collector answers that path with 404
    config = house.directory / 'collector.yaml'
    config.write_text(config.read_text().replace(f'"{http_}/otlp"', f'"{http_}"'))
    ours.stop()
    ours.start()
    count = 5000
    body = logs_request('load', [f'record {n}' for n in range(count)], time.time_ns()).SerializeToString()
    headers = {'Content-Type': 'application/x-protobuf', 'Content-Encoding': 'gzip'}
    assert request(ours.address['http'], 'POST', '/v1/logs', gzip.compress(body), headers).status == 200
    wait_for('all records', lambda: log.read_text().count('Body: Str(record ') == count)
