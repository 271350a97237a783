"""The receiver is away, does not answer, or says no, while an app goes on logging.

WEIR_OUTAGE_SECONDS sets how long it is away (2; the full test takes 120)."""
import os
import signal
import time

import pytest

from faultkit import Receiver, app_environment, app_running, assert_in_order, left_in
from weirkit import Loki, wait_for

SECONDS = float(os.environ.get('WEIR_OUTAGE_SECONDS', 2))
RATE = 5000
LOSSES = ('dropped_queue_full', 'dropped_too_large', 'dropped_no_memory', 'dropped_after_shutdown', 'dropped_at_shutdown',
          'dropped_export_failed', 'dropped_rejected', 'dropped_ring_full', 'torn')


@pytest.fixture
def receiver():
    r = Receiver()
    yield r
    r.end()


def environment(spool, receiver, **more):
    return app_environment(spool, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, OTEL_EXPORTER_OTLP_PROTOCOL='http/protobuf', **more)


def lost(stats):
    return sum(stats[name] for name in LOSSES)


def through_an_outage(app, receiver, mode, seconds):
    """Runs before, during and after; returns how long it took until what had piled up was delivered."""
    app.ask('phase before')
    wait_for('first records', lambda: receiver.count() > 500)
    time.sleep(min(1, seconds / 4))
    app.ask('phase outage')
    receiver.become(mode)
    time.sleep(seconds)
    assert app.child.poll() is None
    app.ask('phase recovery')
    piled_up = app.stats()['emitted']
    receiver.become('ok')
    began = time.monotonic()
    wait_for('what piled up is delivered', lambda: done_with(app) >= piled_up, 120)
    return time.monotonic() - began


def done_with(app):
    stats = app.stats()
    return stats['exported'] + lost(stats)


def report(measured, app, what):
    measured(what)
    for phase in app.phases[1:]:
        measured(f'emit took (us) {phase}')


def test_outage_with_room_for_all(tmp_path, receiver, measured):
    spool = tmp_path / 'spool'
    with app_running(environment(spool, receiver), RATE, 4, tmp_path / 'app.log') as app:
        took = through_an_outage(app, receiver, 'down', SECONDS)
        stats = app.stop()
    report(measured, app, f'{stats["emitted"]} records, {SECONDS:.0f} s without a receiver, {stats["spilled"]} of them over disk; '
                          f'caught up in {took:.1f} s; cpu {app.cpu:.2f} s; 0 lost')
    assert lost(stats) == 0 and stats['exported'] == stats['emitted']
    assert stats['spilled'] > 0 or SECONDS < 5
    assert_in_order(receiver, app.emitted)
    assert left_in(spool) == []


def test_outage_with_too_little_room(tmp_path, receiver, measured):
    spool = tmp_path / 'spool'
    cap, ring = (16 << 20, 4 << 20) if SECONDS >= 60 else (256 << 10, 1 << 20)  # the ring has room while a machine is busy
    with app_running(environment(spool, receiver, WEIR_SPOOL_MAX_BYTES=cap, WEIR_RING_BYTES=ring), RATE, 2, tmp_path / 'app.log') as app:
        through_an_outage(app, receiver, 'down', SECONDS)
        stats = app.stop()
    report(measured, app, f'{stats["emitted"]} records, {cap >> 10} KiB of disk: {stats["dropped_queue_full"]} oldest dropped, counted exactly')
    assert stats['dropped_queue_full'] > 0
    assert stats['exported'] + lost(stats) == stats['emitted'], stats
    assert lost(stats) == stats['dropped_queue_full'], stats
    assert receiver.count() == stats['exported']
    batch = 512
    for thread, numbers in receiver.numbers.items():
        gaps = [i for i in range(1, len(numbers)) if numbers[i] != numbers[i - 1] + 1]
        assert numbers[0] == 0 and numbers[-1] == app.emitted[thread] - 1 and numbers == sorted(set(numbers))
        # from before the outage; then the one batch that was being sent when the oldest had to go; then the newest without a gap
        assert len(gaps) in (1, 2), [(numbers[i - 1], numbers[i]) for i in gaps]
        assert gaps[-1] - gaps[0] <= batch
    assert 'dropped' in app.errors() and 'WEIR_SPOOL_MAX_BYTES' in app.errors()
    assert left_in(spool) == []


@pytest.mark.parametrize('mode', ['hang', 'frozen', 'deaf', 'unavailable'])
def test_receiver_that_does_not_take_it(tmp_path, receiver, measured, mode):
    spool = tmp_path / 'spool'
    with app_running(environment(spool, receiver, OTEL_EXPORTER_OTLP_TIMEOUT=500), RATE // 5, 2, tmp_path / 'app.log') as app:
        took = through_an_outage(app, receiver, mode, min(SECONDS * 0.6, 20))
        stats = app.stop()
    report(measured, app, f'{mode}: {receiver.requests}; caught up in {took:.1f} s')
    assert lost(stats) == 0 and stats['exported'] == stats['emitted']
    assert_in_order(receiver, app.emitted)
    assert left_in(spool) == []


def test_stopped_collector(house, measured):
    """SIGSTOP: the kernel still takes connections and bytes, and no answer comes."""
    up = house.up()
    spool = house.directory / 'spool'
    environment = app_environment(spool, OTEL_EXPORTER_OTLP_ENDPOINT=up.address['grpc'], OTEL_SERVICE_NAME='stopped',
                                  OTEL_EXPORTER_OTLP_TIMEOUT=500)
    loki = Loki(up.address['api'])
    with app_running(environment, RATE // 5, 2, house.directory / 'app.log') as app:
        app.ask('phase before')
        wait_for('first records', lambda: loki.count('{service_name="stopped"}') > 100)
        up.child.send_signal(signal.SIGSTOP)
        app.ask('phase stopped')
        time.sleep(min(SECONDS * 0.6, 20))
        piled_up = app.stats()['emitted']
        app.ask('phase recovery')
        up.child.send_signal(signal.SIGCONT)
        wait_for('what piled up is delivered', lambda: done_with(app) >= piled_up, 60)
        stats = app.stop()
    report(measured, app, f'{stats["emitted"]} records')
    assert lost(stats) == 0 and stats['exported'] == stats['emitted']
    # a batch whose answer did not come in time was sent again; the store shows each record once
    entries = loki.all_entries('{service_name="stopped"}')
    for thread, n in app.emitted.items():
        assert [int(e.line.split('#')[1].split('.')[1]) for e in entries if e.line.startswith(f'#{thread}.')] == list(range(n))
    assert left_in(spool) == []
