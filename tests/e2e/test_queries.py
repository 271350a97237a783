"""Queries as the stock readers make them: Grafana's data source, logcli's pages."""
import time

import pytest

from conftest import House
from weirkit import Loki, logs_request, metric, request

PROTOBUF = {'Content-Type': 'application/x-protobuf'}
MINUTE = 60 * 10**9
LEVELS = [(9, 'INFO'), (17, 'ERROR'), (13, 'WARN')]


@pytest.fixture(scope='module')
def filled(tmp_path_factory):
    """A store with 900 records of each of two services, ten minutes of them; three to a timestamp."""
    house = House(tmp_path_factory.mktemp('queries'))
    store = house.store()
    start = (time.time_ns() - 20 * MINUTE) // MINUTE * MINUTE
    for service in ('cart', 'stock'):
        for k, level in enumerate(LEVELS):
            lines = [f'{service} step {n} took={n % 50}ms status={200 if n % 3 else 500}' for n in range(k, 900, 3)]
            body = logs_request(service, lines, start, 2 * 10**9, severity=level).SerializeToString()
            assert request(store.address['api'], 'POST', '/otlp/v1/logs', body, PROTOBUF).status == 204
    yield Loki(store.address['api']), start, start + 10 * MINUTE
    house.end()


def test_grafana_health_check(filled):
    loki, _, _ = filled
    data = loki.data('/loki/api/v1/query', query='vector(1)+vector(1)', direction='backward', time='4000000000')
    assert data['resultType'] == 'vector' and [s['value'][1] for s in data['result']] == ['2']
    r = loki.get('/loki/api/v1/query', query='vector(1)+vector(1)', time='4000000000')
    assert r.headers['content-type'] == 'application/json; charset=UTF-8'


def test_grafana_label_browser(filled):
    loki, start, end = filled
    assert loki.data('/loki/api/v1/labels', start=start, end=end) == ['level', 'service_instance_id', 'service_name']
    assert loki.data('/loki/api/v1/label/service_name/values', start=start, end=end) == ['cart', 'stock']
    assert loki.data('/loki/api/v1/label/level/values', query='{service_name="cart"}') == ['ERROR', 'INFO', 'WARN']
    series = loki.data('/loki/api/v1/series', **{'match[]': ['{service_name="cart"}', '{level="INFO"}']}, start=start, end=end)
    assert sorted((s['service_name'], s['level']) for s in series) == [
        ('cart', 'ERROR'), ('cart', 'INFO'), ('cart', 'WARN'), ('stock', 'INFO')]


def test_grafana_explore(filled):
    loki, start, end = filled
    headers = {'X-Loki-Response-Encoding-Flags': 'categorize-labels', 'X-Query-Tags': 'Source=logsample'}
    data = loki.data('/loki/api/v1/query_range', headers, query='{service_name="cart"} |= "status=500"', start=start, end=end,
                     step='2000ms', direction='backward', limit=1000)
    assert list(data).index('encodingFlags') < list(data).index('result')
    values = [v for s in data['result'] for v in s['values']]
    assert len(values) == 300 and all('status=500' in v[1] and v[2]['structuredMetadata']['detected_level'] for v in values)
    for s in data['result']:
        times = [int(v[0]) for v in s['values']]
        assert times == sorted(times, reverse=True)
    assert {'summary', 'querier', 'ingester'} <= set(data['stats'])


def test_grafana_histogram(filled):
    loki, start, end = filled
    data = loki.data('/loki/api/v1/query_range', query='sum by (level) (count_over_time({service_name="cart"}[1m]))',
                     start=start, end=end, step='60s')
    assert data['resultType'] == 'matrix'
    counts = {s['metric']['level']: sum(int(v[1]) for v in s['values']) for s in data['result']}
    assert counts == {'INFO': 300, 'ERROR': 300, 'WARN': 300}
    assert all(v[0] % 60 == 0 for s in data['result'] for v in s['values'])


@pytest.mark.parametrize('direction', ['forward', 'backward'])
@pytest.mark.parametrize('page', [7, 100])
def test_logcli_pages(filled, direction, page):
    """Three records share each timestamp; a page starts at the last one seen, and what was seen there is left out."""
    loki, start, end = filled
    found, edge = [], []
    lo, hi = start, end
    while True:
        batch = loki.entries('{service_name="cart"}', page, direction.upper(), lo, hi)
        if direction == 'backward':
            batch = sorted(batch, key=lambda e: -e.ts)
        fresh = [e.line for e in batch if e.line not in edge]
        found += fresh
        if len(batch) < page:
            break
        assert fresh, 'a page must bring something new'
        last = batch[-1].ts
        edge = [e.line for e in batch if e.ts == last]
        lo, hi = (last, hi) if direction == 'forward' else (lo, last + 1)
    assert len(found) == len(set(found)) == 900


def test_start_is_inclusive_and_end_exclusive(filled):
    loki, start, _ = filled
    step = 2 * 10**9
    assert {e.ts for e in loki.entries('{service_name="cart"}', start=start, end=start + step)} == {start}
    assert loki.entries('{service_name="cart"}', start=start + 1, end=start + step) == []


def test_parsers_and_filters(filled):
    loki, start, end = filled
    query = '{service_name="stock"} | logfmt | status = 500 | took > 40ms != "step 141 "'
    assert sorted(int(e.line.split()[2]) for e in loki.entries(query, start=start, end=end)) == \
        [n for n in range(900) if n % 3 == 0 and n % 50 > 40 and n != 141]
    entries = loki.entries('{service_name="stock"} |~ "step [12] "', start=start, end=end)
    assert sorted(e.line.split()[2] for e in entries) == ['1', '2']
    assert len(loki.entries('{service_name="stock"} !~ "took=[1-9]"', start=start, end=end)) == 18


def test_form_encoded_post(filled):
    loki, start, end = filled
    body = f'query=%7Bservice_name%3D%22cart%22%7D&start={start}&end={end}&limit=3'
    r = request(loki.base, 'POST', '/loki/api/v1/query_range', body, {'Content-Type': 'application/x-www-form-urlencoded'})
    assert r.status == 200 and sum(len(s['values']) for s in r.json()['data']['result']) == 3


def test_operations_routes(filled):
    loki, _, _ = filled
    assert loki.get('/ready').status == 200
    assert 'version' in loki.get('/loki/api/v1/status/buildinfo').json()
    text = loki.get('/metrics').text
    assert '# TYPE' in text and metric(loki.base, 'process_resident_memory_bytes') > 0


@pytest.mark.parametrize('query', ['quantile_over_time(0.9, {service_name="cart"} | logfmt | unwrap duration(took) [1m])',
                                   'sum(rate({service_name="cart"}[1m])) / sum(rate({service_name="stock"}[1m]))',
                                   'label_replace(rate({service_name="cart"}[1m]), "a", "$1", "level", "(.*)")',
                                   'absent_over_time({service_name="none"}[1m])', '{service_name="cart"} |> "<_> step <_>"',
                                   '{service_name="cart"} | pattern "<service> step <n> <_>" | n > 5',
                                   '{service_name="cart"} | regexp "took=(?P<ms>[0-9]+)ms" | ms > 5',
                                   '{service_name="cart"} | logfmt | label_format took="{{.took}}!" | drop status'])
def test_an_answer_or_a_clear_no(filled, query):
    """What LogQL there is and is not yet evaluated here: never an empty answer for a full one."""
    loki, start, end = filled
    r = loki.get('/loki/api/v1/query_range', query=query, start=start, end=end, step='60')
    if r.status == 200:
        assert r.json()['data']['result'], 'an empty answer'
    else:
        assert r.status == 400 and 'not supported yet' in r.text, (r.status, r.text)


def test_readable_at_the_acknowledgement(filled):
    loki, _, _ = filled
    for n in range(20):
        body = logs_request('tail', [f'tick {n}'], time.time_ns()).SerializeToString()
        assert request(loki.base, 'POST', '/otlp/v1/logs', body, PROTOBUF).status == 204
        assert loki.count('{service_name="tail"}') == n + 1
    assert loki.entries('{service_name="tail"}', 1, 'backward')[0].line == 'tick 19'
