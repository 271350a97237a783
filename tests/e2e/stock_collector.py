"""Weir's processes beside the stock OpenTelemetry Collector. Not part of `make check`: `make interop` builds the peer.

The stock Collector in the place of ours, before ours, behind ours, and as what libweir sends to."""
import gzip
import os
import re
import socket
import subprocess
import time
import urllib.request

import pytest

from conftest import HERE
from test_c_sdk import installed  # noqa: F401  (a fixture)
from test_chain import app, shown  # noqa: F401  (app is a fixture)
from weirkit import ROOT, Loki, logs_request, request, wait_for

OTELCOL = ROOT / 'build' / 'otelcol'
BUG = 'Bug triggered in http://user_service:5001'
CONFIG = '''\
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{grpc}"{tls}}}, http: {{endpoint: "127.0.0.1:{http}"{tls}}}}}}}}}
processors: {{batch: {{}}}}
exporters:
  {exporter}
service:
  telemetry: {{metrics: {metrics}}}
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

    def start(name, exporter, tls='', metrics='{level: none}'):
        grpc, http_ = free_port(), free_port()
        n = len(children)
        config, log = tmp_path / f'otelcol{n}.yaml', tmp_path / f'otelcol{n}.log'
        config.write_text(CONFIG.format(grpc=grpc, http=http_, exporter=f'{name}: {exporter}', name=name, tls=tls, metrics=metrics))
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


@pytest.fixture(scope='module')
def sender(installed, tmp_path_factory):  # noqa: F811
    """send_records.c, built against the installed library: sender(count, OTEL_* variables) -> what it prints."""
    (pc,) = installed.rglob('weir.pc')
    environment = {**os.environ, 'PKG_CONFIG_PATH': str(pc.parent), 'PKG_CONFIG_SYSROOT_DIR': str(installed)}
    flags = subprocess.run(['pkg-config', '--cflags', '--libs', 'weir'], env=environment, check=True, capture_output=True,
                           text=True).stdout.split()
    directory = tmp_path_factory.mktemp('sender')
    program = directory / 'send_records'
    subprocess.run(['cc', '-std=c11', '-Wall', '-Wextra', '-Werror', HERE / 'apps/send_records.c', '-o', program, *flags], check=True)

    def run(count, *args, **variables):
        environment = {**os.environ, **variables, 'LD_LIBRARY_PATH': str(pc.parent.parent)}
        environment['WEIR_SPOOL_DIR'] = str(directory / f'spool{time.monotonic_ns()}')  # what is left undelivered is nobody else's
        r = subprocess.run([program, str(count), *args], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=90)
        assert r.returncode == 0, r.stdout + r.stderr
        return r.stdout
    return run


@pytest.fixture(scope='module')
def certificates(tmp_path_factory):
    """A CA, and a server and a client that it vouches for: the directory with ca.pem, server.pem, server.key, client.pem, client.key."""
    d = tmp_path_factory.mktemp('certificates')

    def openssl(*args):
        subprocess.run(['openssl', *args], cwd=d, check=True, capture_output=True)
    key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    openssl('req', '-x509', *key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=test CA', '-days', '2')
    for name, use in ('server', 'serverAuth'), ('client', 'clientAuth'):
        (d / f'{name}.ext').write_text(f'subjectAltName=IP:127.0.0.1\nextendedKeyUsage={use}\n')
        openssl('req', *key, '-keyout', f'{name}.key', '-out', f'{name}.csr', '-subj', f'/CN={name}')
        openssl('x509', '-req', '-in', f'{name}.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2',
                '-extfile', f'{name}.ext', '-out', f'{name}.pem')
    return d


def total(metrics, name):
    """The sum of a counter of the stock Collector over its labels; None where there is none."""
    text = urllib.request.urlopen(metrics, timeout=10).read().decode()
    found = re.findall(rf'^otelcol_{name}\w*\{{[^}}]*\}} (\S+)$', text, re.M)
    return sum(map(float, found)) if found else None


@pytest.mark.parametrize('security', ['plain', 'TLS', 'mTLS'])
@pytest.mark.parametrize('compression', ['none', 'gzip'])
@pytest.mark.parametrize('protocol', ['grpc', 'http/protobuf', 'http/json'])
def test_libweir_feeds_the_stock_collector(stock, sender, certificates, protocol, compression, security):
    count, port, at = 5000, free_port(), certificates
    variables = {'OTEL_EXPORTER_OTLP_PROTOCOL': protocol, 'OTEL_EXPORTER_OTLP_COMPRESSION': compression}
    tls = {'plain': '', 'TLS': f', tls: {{cert_file: {at}/server.pem, key_file: {at}/server.key}}',
           'mTLS': f', tls: {{cert_file: {at}/server.pem, key_file: {at}/server.key, client_ca_file: {at}/ca.pem}}'}[security]
    reader = f'{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {port}}}}}}}}}'
    grpc, http_, log = stock('debug', '{verbosity: detailed}', tls, f'{{level: detailed, readers: [{reader}]}}')
    endpoint = grpc if protocol == 'grpc' else http_
    if security != 'plain':
        endpoint = endpoint.replace('http:', 'https:')
        variables['OTEL_EXPORTER_OTLP_CERTIFICATE'] = str(at / 'ca.pem')
    if security == 'mTLS':
        variables['OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE'] = str(at / 'client.pem')
        variables['OTEL_EXPORTER_OTLP_CLIENT_KEY'] = str(at / 'client.key')
    sender(count, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **variables)
    metrics = f'http://127.0.0.1:{port}/metrics'
    wait_for('all records accepted', lambda: total(metrics, 'receiver_accepted_log_records') == count)
    assert not total(metrics, 'receiver_refused_log_records') and not total(metrics, 'receiver_failed_log_records')
    wait_for('all records shown', lambda: log.read_text().count('Body: Str(record ') == count)
    shown_ = log.read_text()
    assert len(set(re.findall(r'Body: Str\(record (\d+)\)', shown_))) == count
    assert shown_.count('-> text: Str(gr\u00fc\u00dfe "quoted")') == count and '-> half: Double(2499.5)' in shown_
    assert '\terror\t' not in shown_


def test_the_stock_collector_without_our_certificate_gets_nothing(stock, sender, certificates):
    at = certificates
    tls = f', tls: {{cert_file: {at}/server.pem, key_file: {at}/server.key, client_ca_file: {at}/ca.pem}}'
    _, http_, log = stock('debug', '{verbosity: detailed}', tls)
    with pytest.raises(AssertionError, match='0 exported'):
        sender(10, '2000', OTEL_EXPORTER_OTLP_ENDPOINT=http_.replace('http:', 'https:'), OTEL_EXPORTER_OTLP_PROTOCOL='http/protobuf',
               OTEL_EXPORTER_OTLP_CERTIFICATE=str(at / 'ca.pem'))
    assert 'Body: ' not in log.read_text()


@pytest.mark.parametrize('balance', ['failover', 'round_robin'])
def test_libweir_passes_over_a_dead_collector(stock, sender, balance):
    count = 5000
    (grpc, _, log), (grpc2, _, log2) = stock('debug', '{verbosity: detailed}'), stock('debug', '{verbosity: detailed}')
    sender(count, OTEL_EXPORTER_OTLP_ENDPOINT=f'http://127.0.0.1:{free_port()},{grpc},{grpc2}', WEIR_EXPORTER_OTLP_BALANCE=balance)

    def shown_by(file):
        return file.read_text().count('Body: Str(record ')
    wait_for('all records', lambda: shown_by(log) + shown_by(log2) == count)
    assert shown_by(log) and bool(shown_by(log2)) == (balance == 'round_robin')
