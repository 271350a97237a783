"""Outages and kills: what was acknowledged is there afterwards, and each record is shown once.

WEIR_OUTAGE_SECONDS sets how long the store is away in the outage test (8; the full test takes 30)."""
import os
import time

from test_chain import app  # noqa: F401  (a fixture)
from weirkit import Loki, Sender, logs_request, metric, wait_for

OUTAGE_SECONDS = float(os.environ.get('WEIR_OUTAGE_SECONDS', 8))
RECORDS = int(os.environ.get('WEIR_KILL_RECORDS', 200_000))
PER_REQUEST = 1000
SENDERS = 2


def test_store_away_for_a_while(chain, app, measured):  # noqa: F811
    collector, store = chain
    loki = Loki(store.address['api'])
    pause_ms = 20
    count = int((OUTAGE_SECONDS + 4) * 1000 / pause_ms)
    a = app(collector.address['grpc'], 'many', count, pause_ms)
    wait_for('first records', lambda: loki.count('{service_name="bug_service"}') > 0)
    store.stop()
    time.sleep(OUTAGE_SECONDS)
    assert a.child.poll() is None, 'the app must go on while the store is away'
    assert metric(collector.address['metrics'], 'otelcol_exporter_queue_size') > 0
    store.start()
    errors = a.end()
    assert 'Failed' not in errors and 'dropped' not in errors.lower(), errors
    began = time.monotonic()
    wait_for('all records', lambda: loki.count('{service_name="bug_service"}') >= count, 60)
    measured(f'all {count} records there {time.monotonic() - began:.1f} s after the app ended, {OUTAGE_SECONDS:.0f} s outage')
    assert [e.line for e in loki.all_entries('{service_name="bug_service"}')] == [f'order {n:06d} accepted' for n in range(count)]


def bodies_of(sender, count, start_ns):
    """The requests of one sender: records numbered through, 1 µs apart, each with a line of its own."""
    for first in range(0, count, PER_REQUEST):
        lines = [f'record {sender}-{n:07d} of a long day at the plant shop, nothing to see here' for n in range(first, first + PER_REQUEST)]
        yield logs_request('load', lines, start_ns + first * 1000, 1000, instance=str(sender),
                           attributes=[('code.function.name', 'sell')]).SerializeToString()


def send_through_a_kill(base, victim, path='/v1/logs'):
    """RECORDS records to `base`, `victim` killed and started again in the middle. Returns the start time of the records,
    how many requests were acknowledged before the kill, and how many attempts had to be repeated."""
    start_ns = time.time_ns() - 600 * 10**9
    senders = [Sender(base, list(bodies_of(n, RECORDS // SENDERS, start_ns)), path) for n in range(SENDERS)]
    for s in senders:
        s.start()
    total = RECORDS // PER_REQUEST
    wait_for('a third is acknowledged', lambda: sum(s.acknowledged for s in senders) * 3 >= total or not all(s.is_alive() for s in senders),
             60, pause=0.002)
    at_kill = sum(s.acknowledged for s in senders)
    assert at_kill < total, 'too fast to be killed in the middle'
    victim.kill()
    time.sleep(0.3)
    victim.start()
    for s in senders:
        s.join(120)
        assert s.error is None and not s.is_alive(), s.error
    assert sum(s.acknowledged for s in senders) == total
    return start_ns, at_kill, sum(s.resent for s in senders)


def assert_all_once(loki, start_ns, seconds=60):
    def arrived():
        return loki.count('{service_name="load"}') >= RECORDS
    wait_for(f'{RECORDS} records', arrived, seconds, pause=0.1)
    assert loki.count('{service_name="load"}') == RECORDS
    for sender in range(SENDERS):
        entries = loki.all_entries(f'{{service_name="load", service_instance_id="{sender}"}}', start=start_ns)
        lines = [e.line.split(' of ')[0] for e in entries]
        assert lines == [f'record {sender}-{n:07d}' for n in range(RECORDS // SENDERS)]


def test_kill_the_collector_in_the_middle(chain, measured):
    collector, store = chain
    start_ns, at_kill, resent = send_through_a_kill(collector.address['http'], collector)
    measured(f'killed after {at_kill} acknowledged requests, {resent} attempts repeated, ready again in {collector.ready_seconds * 1000:.0f} ms')
    assert_all_once(Loki(store.address['api']), start_ns)


def test_kill_the_store_in_the_middle(chain, measured):
    collector, store = chain
    start_ns, at_kill, _ = send_through_a_kill(collector.address['http'], store)
    measured(f'killed after the collector acknowledged {at_kill} requests, ready again in {store.ready_seconds * 1000:.0f} ms')
    assert_all_once(Loki(store.address['api']), start_ns)
    assert store.ready_seconds < 5


def test_kill_the_store_it_is_sent_to(house, measured):
    store = house.store()
    start_ns, at_kill, resent = send_through_a_kill(store.address['api'] + '/otlp', store)
    measured(f'killed after {at_kill} acknowledged requests, {resent} attempts repeated, ready again in {store.ready_seconds * 1000:.0f} ms')
    assert_all_once(Loki(store.address['api']), start_ns)
    assert store.ready_seconds < 5

    store.kill()  # at rest, with all of it on disk
    store.start()
    measured(f'with {RECORDS} records on disk ready again in {store.ready_seconds * 1000:.0f} ms')
    assert_all_once(Loki(store.address['api']), start_ns)
    store.stop()
    store.start()
    assert_all_once(Loki(store.address['api']), start_ns)


def test_everything_in_one_process_is_killed(house, measured):
    up = house.up()
    for option in ('grpc', 'http', 'api', 'ui'):
        at = up.args.index(f'--{option}') + 1
        up.args[at] = f'127.0.0.1:{up.port(option)}'
    start_ns, at_kill, resent = send_through_a_kill(up.address['http'], up)
    measured(f'killed after {at_kill} acknowledged requests, {resent} attempts repeated, ready again in {up.ready_seconds * 1000:.0f} ms')
    assert_all_once(Loki(up.address['api']), start_ns)
