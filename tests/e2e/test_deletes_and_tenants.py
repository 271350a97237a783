"""Deletes and tenants' limits, as scripts and Loki's clients use them."""
import json
import time
import urllib.parse

from weirkit import Loki, logs_request, metric, request, wait_for

PROTOBUF = {'Content-Type': 'application/x-protobuf'}
SECOND = 10**9
TENANTS = ('red', 'blue')


def as_tenant(tenant):
    return {'X-Scope-OrgID': tenant}


def push_otlp(base, service, lines, start, tenant=None):
    body = logs_request(service, lines, start, SECOND).SerializeToString()
    return request(base, 'POST', '/otlp/v1/logs', body, PROTOBUF | (as_tenant(tenant) if tenant else {}))


def push_loki(base, labels, lines, start, tenant):
    values = [[str(start + n * SECOND), line] for n, line in enumerate(lines)]
    body = json.dumps({'streams': [{'stream': labels, 'values': values}]}).encode()
    return request(base, 'POST', '/loki/api/v1/push', body, {'Content-Type': 'application/json'} | as_tenant(tenant))


def delete(base, headers=None, **params):
    return request(base, 'POST', '/loki/api/v1/delete?' + urllib.parse.urlencode(params), headers=headers or {})


def replace(path, text):
    """In one step, as an editor or a config map does: half a file would be read as one."""
    new = path.with_suffix('.new')
    new.write_text(text)
    new.rename(path)


def listed(base, headers=None):
    return request(base, 'GET', '/loki/api/v1/delete', headers=headers or {}).json()


def cancel(base, request_id, headers=None):
    return request(base, 'DELETE', f'/loki/api/v1/delete?request_id={request_id}', headers=headers or {}).status


def test_a_delete_outlives_a_crash_and_can_be_taken_back(house):
    store = house.store()
    base = store.address['api']
    start = time.time_ns() - 600 * SECOND
    lines = [f'order {n} card={"4111" if n % 10 == 0 else "none"}' for n in range(100)]
    assert push_otlp(base, 'shop', lines[:50], start).status == 204
    assert request(base, 'POST', '/flush').status == 204
    assert push_otlp(base, 'shop', lines[50:], start + 50 * SECOND).status == 204
    query = '{service_name="shop"} |= "card=4111"'
    assert delete(base, query=query, start=start // SECOND - 1).status == 204
    left = [line for line in lines if '4111' not in line]

    def shown():
        return [e.line for e in Loki(store.address['api']).entries('{service_name="shop"}', start=start - SECOND)]

    assert shown() == left
    store.kill()
    store.start()
    base = store.address['api']
    assert shown() == left
    assert Loki(base).count('{service_name="shop"}') == 90
    [entry] = listed(base)
    assert entry['query'] == query and entry['status'] == 'received' and entry['start_time'] == start // SECOND - 1
    assert push_otlp(base, 'shop', ['order 40 again card=4111'], start + 40 * SECOND).status == 204  # a late copy of what is deleted
    assert shown() == left
    assert cancel(base, entry['request_id']) == 204
    assert listed(base) == [] and len(shown()) == 100 + 1
    assert cancel(base, entry['request_id']) == 404
    store.stop()


def test_deleted_rows_leave_the_parts(house):
    store = house.store('store', 0, '--delete-request-cancel-period', '0')
    base = store.address['api']
    start = time.time_ns() - 600 * SECOND
    assert push_otlp(base, 'shop', [f'secret {n}' for n in range(50)], start).status == 204
    assert push_otlp(base, 'other', ['stays'], start).status == 204
    assert delete(base, query='{service_name="shop"}', start=start // SECOND - 1).status == 204
    assert request(base, 'POST', '/flush').status == 204
    store.stop()
    store.start()  # the merger looks at once, then every minute
    base = store.address['api']
    wait_for('the removal', lambda: [d['status'] for d in listed(base)] == ['processed'])
    assert metric(base, 'weir_store_deleted_rows_total') == 50
    wait_for('one row in parts', lambda: metric(base, 'weir_store_part_rows') == 1)
    assert push_otlp(base, 'shop', ['a new one'], start + SECOND).status == 204  # what is processed means nothing any more
    assert Loki(base).count('{service_name="shop"}') == 1
    store.stop()
    store.start()
    assert [e.line for e in Loki(store.address['api']).entries('{service_name=~".+"}', start=start - SECOND)] == ['stays', 'a new one']
    store.stop()


def test_tenants_are_apart(house):
    store = house.store('store', 0, '--auth-enabled')
    base = store.address['api']
    loki = Loki(base)
    start = time.time_ns() - 600 * SECOND
    for tenant in TENANTS:
        assert push_otlp(base, f'otlp-{tenant}', [f'{tenant} over OTLP'], start, tenant).status == 204
        assert push_loki(base, {'app': f'loki-{tenant}'}, [f'{tenant} over Loki'], start, tenant).status == 204
    assert push_otlp(base, 'nobody', ['x'], start).status == 401
    span = {'start': start - SECOND, 'end': start + 10 * SECOND}
    everything = '{service_name=~".+"}'
    for tenant in TENANTS:
        headers = as_tenant(tenant)
        names = sorted([f'otlp-{tenant}', f'loki-{tenant}'])
        assert loki.data('/loki/api/v1/label/service_name/values', headers, **span) == names
        assert sorted(s['service_name'] for s in loki.data('/loki/api/v1/series', headers, **span)) == names
        result = loki.data('/loki/api/v1/query_range', headers, query=everything, **span)['result']
        assert sorted(v[1] for s in result for v in s['values']) == [f'{tenant} over Loki', f'{tenant} over OTLP']
        assert loki.get('/loki/api/v1/index/stats', headers, query=everything, **span).json()['entries'] == 2
    assert loki.get('/loki/api/v1/query_range', query=everything, **span).status == 401
    assert delete(base, as_tenant('red'), query=everything, start=start // SECOND - 1).status == 204
    assert loki.data('/loki/api/v1/series', as_tenant('red'), **span) == []
    assert len(loki.data('/loki/api/v1/series', as_tenant('blue'), **span)) == 2
    assert listed(base, as_tenant('blue')) == []
    [entry] = listed(base, as_tenant('red'))
    assert cancel(base, entry['request_id'], as_tenant('blue')) == 404
    assert cancel(base, entry['request_id'], as_tenant('red')) == 204
    assert len(loki.data('/loki/api/v1/series', as_tenant('red'), **span)) == 2
    store.stop()


def test_limits_of_a_tenant_change_while_the_store_runs(house, tmp_path):
    limits = tmp_path / 'limits.yaml'
    replace(limits, 'overrides:\n  red:\n    max_line_size: 10\n    deletion_mode: disabled\n')
    store = house.store('store', 0, '--auth-enabled', '--per-tenant-override-config', limits,
                        '--per-tenant-override-period', '20ms')
    base = store.address['api']
    start = time.time_ns() - 600 * SECOND
    long = ['a line of more than ten bytes']
    r = push_loki(base, {'app': 'a'}, long, start, 'red')
    assert r.status == 400 and "max entry size '10' bytes exceeded for stream" in r.text.lower()
    assert push_loki(base, {'app': 'a'}, long, start, 'blue').status == 204
    assert delete(base, as_tenant('red'), query='{app="a"}', start=start // SECOND).status == 403
    replace(limits, 'overrides:\n  red:\n    max_line_size: ten\n')  # nobody's limits change
    wait_for('the complaint', lambda: 'not a size' in store.log.read_text())
    assert push_loki(base, {'app': 'a'}, long, start, 'red').status == 400
    replace(limits, 'overrides:\n  red:\n    ingestion_rate_mb: 0.00001\n')
    wait_for('the rate limit', lambda: push_loki(base, {'app': 'a'}, long, start, 'red').status == 429)
    r = push_loki(base, {'app': 'a'}, long, start, 'red')
    assert r.text.startswith('Ingestion rate limit exceeded for user red (limit: 10 bytes/sec)') and r.headers['retry-after']
    assert push_otlp(base, 'a', long, start, 'red').status == 429
    text = request(base, 'GET', '/metrics').text
    assert 'loki_discarded_samples_total{reason="line_too_long",tenant="red"}' in text
    assert 'loki_discarded_samples_total{reason="rate_limited",tenant="red"}' in text
    assert 'reason="rate_limited",tenant="blue"' not in text and 'reason="line_too_long",tenant="blue"' not in text
    replace(limits, 'overrides: {}\n')
    wait_for('no limit', lambda: push_loki(base, {'app': 'a'}, long, start, 'red').status == 204)
    store.stop()
