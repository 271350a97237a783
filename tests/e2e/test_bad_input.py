"""Bad input gets the status and message that the protocols' references give, and costs its sender only.

Every case runs against the same two processes, and after each the records from before are there and new ones get in."""
import gzip
import http.client
import json
import re
import time
import urllib.parse
import zlib

import grpc
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from conftest import House
from weirkit import Loki, logs_request, request, request_bytes, wait_for

EXPORT = '/opentelemetry.proto.collector.logs.v1.LogsService/Export'
PROTOBUF, JSON = 'application/x-protobuf', 'application/json'
GOOD = logs_request('bad_input', ['must not get in'], 1).SerializeToString()
MIB = 1 << 20


@pytest.fixture(scope='module')
def processes(tmp_path_factory):
    house = House(tmp_path_factory.mktemp('bad_input'))
    store = house.store()
    yield house.collector(store.address['api']), store
    house.end()


GUARDED = []  # the lines of the good records so far


@pytest.fixture(autouse=True)
def unharmed(processes):
    collector, store = processes
    pids = [p.child.pid for p in processes]
    yield
    assert [p.child.pid for p in processes if p.alive()] == pids, collector.tail() + store.tail()
    line = f'good record {len(GUARDED)}'
    GUARDED.append(line)
    body = logs_request('guard', [line], time.time_ns()).SerializeToString()
    assert request(collector.address['http'], 'POST', '/v1/logs', body, {'Content-Type': PROTOBUF}).status == 200
    loki = Loki(store.address['api'])
    wait_for('the next good record', lambda: len(loki.entries('{service_name="guard"}')) >= len(GUARDED))
    assert [e.line for e in loki.entries('{service_name="guard"}')] == GUARDED
    assert loki.entries('{service_name="bad_input"}', start=1, end=2) == []
    assert loki.data('/loki/api/v1/label/service_name/values') == ['guard']


def zeros_gzipped(mib):
    """A body that grows a thousandfold when unpacked."""
    z = zlib.compressobj(9, wbits=31)
    return b''.join([z.compress(bytes(MIB)) for _ in range(mib)]) + z.flush()


BOMB = zeros_gzipped(256)
DEEP = '{"resourceLogs":' + '[' * 100_000
VALUE = '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"%s","body":{"stringValue":"%s"}}]}]}]}'

# name, headers, body, status, part of the message; the answer is a google.rpc.Status in the request's encoding
COLLECTOR_BODIES = [
    ('truncated protobuf', {'Content-Type': PROTOBUF}, GOOD[:-3], 400, ''),
    ('protobuf of zeros', {'Content-Type': PROTOBUF}, bytes(1000), 400, ''),
    ('malformed JSON', {'Content-Type': JSON}, b'{"resourceLogs":[{', 400, ''),
    ('JSON array', {'Content-Type': JSON}, b'[]', 400, ''),
    ('empty JSON', {'Content-Type': JSON}, b'', 400, ''),
    ('deep JSON', {'Content-Type': JSON}, DEEP.encode(), 400, ''),
    ('JSON with a bad number', {'Content-Type': JSON}, (VALUE % ('abc', 'x')).encode(), 400, ''),
    ('bad gzip', {'Content-Type': PROTOBUF, 'Content-Encoding': 'gzip'}, b'this is no gzip', 400, ''),
    ('truncated gzip', {'Content-Type': PROTOBUF, 'Content-Encoding': 'gzip'}, gzip.compress(GOOD)[:-6], 400, ''),
    ('unknown encoding', {'Content-Type': PROTOBUF, 'Content-Encoding': 'br'}, GOOD, 400, 'unsupported Content-Encoding: br'),
]


def status_message(reply, content_type):
    """The message of a google.rpc.Status in JSON or protobuf (field 2)."""
    assert reply.headers['content-type'].startswith(content_type), reply.headers
    if content_type == JSON:
        return reply.json()['message']
    return Status.FromString(reply.body).message


@pytest.mark.parametrize('name, headers, body, status, message', COLLECTOR_BODIES, ids=[c[0] for c in COLLECTOR_BODIES])
def test_collector_http_bodies(processes, name, headers, body, status, message):
    r = request(processes[0].address['http'], 'POST', '/v1/logs', body, headers)
    assert r.status == status, r.text
    text = status_message(r, headers['Content-Type'])
    assert text and message in text


@pytest.mark.parametrize('content_type', [None, 'text/plain', 'application/protobuf', 'application/jsonx', ';;;'])
def test_collector_http_content_type(processes, content_type):
    r = request(processes[0].address['http'], 'POST', '/v1/logs', GOOD, {'Content-Type': content_type} if content_type else {})
    assert (r.status, r.text.strip()) == (415, '415 unsupported media type, supported: [application/json, application/x-protobuf]')


def test_collector_http_methods_and_paths(processes):
    base = processes[0].address['http']
    for method in ('GET', 'PUT', 'DELETE'):
        r = request(base, method, '/v1/logs')
        assert (r.status, r.text.strip()) == (405, '405 method not allowed, supported: [POST]')
    for path in ('/', '/v1/log', '/v1/logs/more', '/v1/traces', '/%2e%2e/etc/passwd'):
        r = request(base, 'POST', path, GOOD, {'Content-Type': PROTOBUF})
        assert (r.status, r.text.strip()) == (404, '404 page not found')


@pytest.mark.parametrize('headers, body', [({'Content-Type': PROTOBUF}, b''), ({'Content-Type': JSON}, b'{}'),
                                           ({'Content-Type': JSON + '; charset=utf-8'}, b'{"resourceLogs":[]}'),
                                           ({'Content-Type': JSON}, b'{"resourceLogs":[{}],"from":"the future"}')])
def test_collector_http_nothing_to_log_is_fine(processes, headers, body):
    assert request(processes[0].address['http'], 'POST', '/v1/logs', body, headers).status == 200


def head(path, host, length, *more):
    lines = [f'POST {path} HTTP/1.1', f'Host: {host}', f'Content-Type: {PROTOBUF}', f'Content-Length: {length}', *more, '', '']
    return '\r\n'.join(lines).encode()


def big_body(mib):
    return [b'\x0a' + bytes([0x80, 0x80, 0x80, 0x80, 1])] + [bytes(MIB)] * mib


@pytest.mark.parametrize('target', ['collector', 'store'])
def test_a_body_beyond_the_limit(processes, target):
    base = processes[0].address['http'] if target == 'collector' else processes[1].address['api']
    path = '/v1/logs' if target == 'collector' else '/otlp/v1/logs'
    mib = 101
    pieces = big_body(mib)
    r = request_bytes(base, head(path, 'weir', sum(map(len, pieces))), *pieces)
    assert r.status in (400, 413) and 'too large' in r.text, (r.status, r.text)
    # without a length beforehand
    chunks = [b'%x\r\n%s\r\n' % (len(p), p) for p in pieces] + [b'0\r\n\r\n']
    chunked = head(path, 'weir', 0).replace(b'Content-Length: 0', b'Transfer-Encoding: chunked')
    r = request_bytes(base, chunked, *chunks)
    assert r.status in (400, 413) and 'too large' in r.text, (r.status, r.text)


@pytest.mark.parametrize('target', ['collector', 'store'])
def test_gzip_bomb(processes, target):
    base = processes[0].address['http'] if target == 'collector' else processes[1].address['api'] + '/otlp'
    r = request(base, 'POST', '/v1/logs', BOMB, {'Content-Type': PROTOBUF, 'Content-Encoding': 'gzip'})
    assert r.status in (400, 413) and re.search('too large|after decompression', r.text), (r.status, r.text)
    status = open(f'/proc/{processes[0 if target == "collector" else 1].child.pid}/status').read()
    peak_mib = int(status.split('VmHWM:')[1].split()[0]) / 1024
    assert peak_mib < 600, f'peak RSS {peak_mib:.0f} MiB'


def status_or_close(send, *args):
    try:
        return send(*args).status
    except (OSError, http.client.HTTPException):
        return 'closed'


@pytest.mark.parametrize('target', ['collector', 'store'])
@pytest.mark.parametrize('noise', [b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', b'\0' * 5000, b'GET\r\n\r\n',
                                   b'POST /v1/logs HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!',
                                   b'POST /v1/logs HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n'],
                         ids=['tls hello', 'zeros', 'no version', 'two lengths', 'negative length'])
def test_no_http(processes, target, noise):
    base = processes[0].address['http'] if target == 'collector' else processes[1].address['api']
    assert status_or_close(request_bytes, base, noise) in (400, 'closed')


def test_huge_headers(processes):
    r = request_bytes(processes[0].address['http'], head('/v1/logs', 'weir', 0, *[f'X-{n}: {"y" * 1000}' for n in range(200)]))
    assert r.status == 431


# gRPC

@pytest.fixture
def call(processes):
    channels = []

    def make(method, body, **channel):
        c = grpc.insecure_channel(processes[0].address['grpc'].removeprefix('http://'), **channel)
        channels.append(c)
        return c.unary_unary(method)(body, timeout=20)
    yield make
    for c in channels:
        c.close()


def grpc_error(f, *args, **kwargs):
    with pytest.raises(grpc.RpcError) as e:
        f(*args, **kwargs)
    return e.value.code(), e.value.details()


def test_grpc_undecodable(call):
    code, details = grpc_error(call, EXPORT, GOOD[:-3])
    assert code == grpc.StatusCode.INTERNAL and details


def test_grpc_too_large(call):
    code, details = grpc_error(call, EXPORT, bytes(5 * MIB))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert 'received message larger than max' in details and str(4 * MIB) in details


def test_grpc_bomb(call):
    code, details = grpc_error(call, EXPORT, bytes(256 * MIB), compression=grpc.Compression.Gzip,
                               options=[('grpc.max_send_message_length', -1)])
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED, details


@pytest.mark.parametrize('method', ['/opentelemetry.proto.collector.logs.v1.LogsService/Import',
                                    '/opentelemetry.proto.collector.trace.v1.TraceService/Export', '/a/b'])
def test_grpc_unknown_method(call, method):
    assert grpc_error(call, method, GOOD)[0] == grpc.StatusCode.UNIMPLEMENTED


def test_grpc_nothing_to_log_is_fine(call):
    answer = ExportLogsServiceResponse.FromString(call(EXPORT, b''))
    assert answer.partial_success.rejected_log_records == 0 and not answer.partial_success.error_message


def test_http1_on_the_grpc_port(processes):
    base = processes[0].address['grpc']
    answer = status_or_close(request, base, 'POST', '/v1/logs', GOOD, {'Content-Type': PROTOBUF})
    assert answer == 'closed' or answer >= 400


# The store's doors

STORE_BODIES = [
    ('truncated protobuf', {'Content-Type': PROTOBUF}, GOOD[:-3], 400, ''),
    ('malformed JSON', {'Content-Type': JSON}, b'{"resourceLogs":[{', 400, ''),
    ('deep JSON', {'Content-Type': JSON}, DEEP.encode(), 400, ''),
    ('no record', {'Content-Type': JSON}, b'{}', 422, 'error at least one valid stream is required for ingestion'),
    ('no record in protobuf', {'Content-Type': PROTOBUF}, b'', 422, 'error at least one valid stream is required for ingestion'),
    ('wrong type', {'Content-Type': 'text/plain'}, GOOD, 400, 'content type: text/plain is not supported'),
    ('bad gzip', {'Content-Type': PROTOBUF, 'Content-Encoding': 'gzip'}, b'this is no gzip', 400, ''),
    ('unknown encoding', {'Content-Type': PROTOBUF, 'Content-Encoding': 'br'}, GOOD, 400, 'unsupported content encoding br'),
]


@pytest.mark.parametrize('name, headers, body, status, message', STORE_BODIES, ids=[c[0] for c in STORE_BODIES])
def test_store_otlp(processes, name, headers, body, status, message):
    r = request(processes[1].address['api'], 'POST', '/otlp/v1/logs', body, headers)
    assert r.status == status, r.text
    assert r.body and message in r.text


def pushed(stream, *values):
    return json.dumps({'streams': [{'stream': stream, 'values': list(values)}]}).encode()


NOW = str(time.time_ns())
STORE_PUSHES = [
    ('bad snappy', {'Content-Type': PROTOBUF}, b'\xff\xff\xff\xff\xffnonsense', 400, 'snappy: corrupt input'),
    ('malformed JSON', {'Content-Type': JSON}, b'{"streams":[', 400, ''),
    ('empty JSON', {'Content-Type': JSON}, b'', 400, ''),
    ('no streams', {'Content-Type': JSON}, b'{"streams":[]}', 422, 'error at least one valid stream is required for ingestion'),
    ('number for a time', {'Content-Type': JSON}, pushed({'app': 'x'}, [int(NOW), 'line']), 400, ''),
    ('word for a time', {'Content-Type': JSON}, pushed({'app': 'x'}, ['now', 'line']), 400, ''),
    ('number for a line', {'Content-Type': JSON}, pushed({'app': 'x'}, [NOW, 7]), 400, ''),
    ('nested metadata', {'Content-Type': JSON}, pushed({'app': 'x'}, [NOW, 'line', {'a': {'b': 'c'}}]), 400, ''),
    ('no content type', {}, b'{"streams":[]}', 400, 'mime: no media type'),
    ('unknown encoding', {'Content-Type': JSON, 'Content-Encoding': 'br'}, b'{}', 400, 'Content-Encoding "br" not supported'),
    ('bad gzip', {'Content-Type': JSON, 'Content-Encoding': 'gzip'}, b'no gzip', 400, ''),
]


@pytest.mark.parametrize('name, headers, body, status, message', STORE_PUSHES, ids=[c[0] for c in STORE_PUSHES])
def test_store_push(processes, name, headers, body, status, message):
    r = request(processes[1].address['api'], 'POST', '/loki/api/v1/push', body, headers)
    assert r.status == status, r.text
    assert r.body and message in r.text


def test_store_methods_and_paths(processes):
    base = processes[1].address['api']
    for method, path in [('GET', '/otlp/v1/logs'), ('GET', '/loki/api/v1/push'), ('DELETE', '/loki/api/v1/query_range'), ('PUT', '/loki/api/v1/labels')]:
        assert request(base, method, path).status == 405, (method, path)
    for path in ('/loki/api/v1/nothing', '/loki', '/otlp', '/loki/api/v1/label/a/b/values'):
        r = request(base, 'GET', path)
        assert (r.status, r.text) == (404, '404 page not found\n')


# query, exact text
BAD_QUERIES = [
    ('', 'parse error : syntax error: unexpected $end'),
    ('{', 'parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }'),
    ('{a="b"', 'parse error at line 1, col 7: syntax error: unexpected $end, expecting } or ,'),
    ('foo', 'parse error at line 1, col 1: syntax error: unexpected IDENTIFIER'),
    ('{a="b"} |= "abc', 'parse error at line 1, col 12: literal not terminated'),
    ('{a="\\q"}', 'parse error at line 1, col 4: invalid char escape'),
    ('{a="b"} |= foo', 'parse error at line 1, col 12: syntax error: unexpected IDENTIFIER, expecting STRING or ip'),
    ('{a="b"} | jsonx', 'parse error at line 1, col 16: syntax error: unexpected $end'),
    ('rate({a="b"}[5x])', 'parse error at line 0, col 13: unknown unit "x" in duration "5x"'),
    ('rate({a="b"}[5m]', 'parse error at line 1, col 17: syntax error: unexpected $end, expecting )'),
    ('{a=~"*"}', 'parse error : error parsing regexp: missing argument to repetition operator: `*`'),
    ('{a=~".*"}', 'parse error : queries require at least one regexp or equality matcher that does not have an empty-compatible '
                   'value. For instance, app=~".*" does not meet this requirement, but app=~".+" will'),
    ('{a="b"} |= "' + 'x' * 131072 + '"', 'parse error : input size too long'),
]


@pytest.mark.parametrize('query, message', BAD_QUERIES, ids=[q[0][:20] or 'empty' for q in BAD_QUERIES])
def test_bad_logql(processes, query, message):
    body = 'query=' + urllib.parse.quote(query)
    r = request(processes[1].address['api'], 'POST', '/loki/api/v1/query_range', body, {'Content-Type': 'application/x-www-form-urlencoded'})
    assert r.status == 400 and r.headers['content-type'].startswith('text/plain'), (r.status, r.text)
    assert r.text.startswith(message) if 'too long' in message else r.text == message


S = '{service_name="guard"}'
BAD_PARAMETERS = [
    ('query_range', dict(query=S, limit=0), 'limit must be a positive value'),
    ('query_range', dict(query=S, limit='x'), 'strconv.Atoi: parsing "x": invalid syntax'),
    ('query_range', dict(query=S, limit=5001), 'max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)'),
    ('query_range', dict(query=S, start='zzz'), 'could not parse \'start\' parameter: strconv.ParseInt: parsing "zzz": invalid syntax'),
    ('query_range', dict(query=S, direction='x'), "invalid direction 'x'"),
    ('query_range', dict(query=S, start=200, end=100), 'end timestamp must not be before or equal to start time'),
    ('query_range', dict(query=S, start=0, end=10**18, step='1'), 'exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter'),
    ('query', dict(query=S), 'log queries are not supported as an instant query type, please change your query to a range query type'),
]


@pytest.mark.parametrize('path, params, message', BAD_PARAMETERS, ids=[c[2][:30] for c in BAD_PARAMETERS])
def test_bad_parameters(processes, path, params, message):
    r = Loki(processes[1].address['api']).get(f'/loki/api/v1/{path}', **params)
    assert r.status == 400 and r.text.strip() == message, (r.status, r.text)
