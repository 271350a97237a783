"""The store is killed in the middle of everything it does, again and again: taking pushes, writing parts, merging, removing what is
past its period and what was asked to be deleted. What it acknowledged is there once, and what was deleted stays away.

WEIR_CRASH_RUNS sets how many kills (30), WEIR_FAULT_SEED repeats the times of a run's kills."""
import os
import random
import threading
import time
import urllib.parse

from faultkit import SEED, Chaos, stored_ids
from weirkit import Sender, logs_request, metric, request, wait_for

RUNS = int(os.environ.get('WEIR_CRASH_RUNS', 30))
SENDERS = 3
SECOND = 10**9
DAY = 86400 * SECOND
PERIOD_DAYS = 3
SETTINGS = ('--head-max-rows', '1000', '--head-max-age', '1s', '--merge-idle', '1s', '--merge-min-free-bytes', '0', '--min-free-bytes', '0',
            '--retention-period', f'{PERIOD_DAYS * 24}h', '--retention-delete-delay', '1s', '--delete-request-cancel-period', '1s',
            '--max-delete-requests', '0', '--max-query-memory', '0')
SELECTOR = '{service_name="crash"}'


class Load:
    """Requests of one sender until `over`, each of today's records, yesterday's, some past their period, and some that a delete will
    mean: those of a round, and a round ends with each kill."""

    def __init__(self, number, chaos, over):
        self.number, self.chaos, self.over = number, chaos, over
        self.round = 0  # of the request under way; no later one is of an earlier round
        self.kept, self.doomed = set(), {}  # ids; the latter by round

    def records(self, request_no, at, count, kind):
        ids = [f'{self.number}.{request_no}.{at + n}' for n in range(count)]
        return ids, [f'{kind} order {i} of {hash(i) & 0xffffffff:08x} took {n} ms' for n, i in enumerate(ids)]

    def bodies(self):
        request_no = 0
        while not self.over.is_set():
            self.round = self.chaos.kills
            now, instance = time.time_ns(), str(self.number)
            body = logs_request('crash', [], now, instance=instance)
            for at, count, kind, age in ((0, 12, 'kept', 0), (100, 6, 'kept', DAY), (200, 6, f'doomed r{self.round}', 600 * SECOND),
                                         (300, 3, 'past', (PERIOD_DAYS + 1) * DAY)):
                ids, lines = self.records(request_no, at, count, kind)
                body.MergeFrom(logs_request('crash', lines, now - age, instance=instance, attributes=[('request', str(request_no))]))
                if kind == 'kept':
                    self.kept.update(ids)
                elif kind != 'past':
                    self.doomed.setdefault(self.round, set()).update(ids)
            yield body.SerializeToString()
            self.over.wait(0.005)  # what is sent is read back, several times
            request_no += 1


def ask(store, path):
    """A POST that is repeated until the store, which may be away, takes it."""
    def taken():
        try:
            return request(store.address['api'], 'POST', path).status in (202, 204)
        except OSError:
            return False
        except Exception as e:  # the answer was cut off
            assert type(e).__module__ == 'http.client', e
            return False
    wait_for(path, taken, 60)


def delete(store, round_no):
    now = time.time_ns()
    ask(store, '/loki/api/v1/delete?' + urllib.parse.urlencode(
        {'query': f'{SELECTOR} |= "doomed r{round_no} "', 'start': (now - 3600 * SECOND) // SECOND, 'end': now // SECOND}))


def peek(store, name):
    try:
        return metric(store.address['api'], name)
    except Exception:  # it is being killed
        return 0


def assert_once(store, expected, what):
    """Exactly these ids are stored, each once."""
    ids = stored_ids(store.address['api'], SELECTOR, time.time_ns() - 2 * PERIOD_DAYS * DAY, 5000, DAY)
    stored = set(ids)
    lost, more = expected - stored, stored - expected
    assert not lost, f'{what}: {len(lost)} of {len(expected)} are not there (seed {SEED}): {sorted(lost)[:20]}'
    assert not more, f'{what}: {len(more)} are there that were deleted, past or never sent (seed {SEED}): {sorted(more)[:20]}'
    assert len(ids) == len(stored), f'{what}: {len(ids) - len(stored)} are there twice (seed {SEED})'


def test_killed_in_the_middle_of_everything(house, measured):
    store = house.store('store', 0, *SETTINGS)
    chaos = Chaos([store], random.Random(SEED), up_seconds=(0.05, 1.0), down_seconds=(0.0, 0.05))
    over = threading.Event()
    loads = [Load(n, chaos, over) for n in range(SENDERS)]
    senders = [Sender(store.address['api'] + '/otlp', load.bodies()) for load in loads]
    deleted, merges, removed = set(), 0, 0
    for s in senders:
        s.start()
    chaos.start()
    began = time.monotonic()
    try:
        while chaos.kills < RUNS:
            assert chaos.error is None, chaos.error
            for round_no in range(0, min(load.round for load in loads), 2):  # nothing more of these is sent
                if round_no not in deleted:
                    delete(store, round_no)
                    deleted.add(round_no)
            merges = max(merges, peek(store, 'weir_store_merges'))
            removed = max(removed, peek(store, 'weir_store_deleted_rows') + peek(store, 'weir_store_retention_rows'))
            time.sleep(0.05)
    finally:
        chaos.end()
        over.set()
        for s in senders:
            s.join(120)
    took = time.monotonic() - began
    assert [s.error for s in senders] == [None] * SENDERS
    expected = set().union(*(load.kept for load in loads),
                           *(ids for load in loads for r, ids in load.doomed.items() if r not in deleted))
    gone = sum(len(ids) for load in loads for r, ids in load.doomed.items() if r in deleted)
    measured(f'{chaos.kills} kills in {took:.0f} s, {sum(s.acknowledged for s in senders)} requests acknowledged, '
             f'{sum(s.resent for s in senders)} sent again; {len(expected)} records to be there, {gone} deleted by {len(deleted)} '
             f'requests; in one life up to {merges:.0f} merges and {removed:.0f} rows removed')
    assert_once(store, expected, 'after the last kill')
    ask(store, '/flush')
    ask(store, '/merge')
    wait_for('all is merged', lambda: metric(store.address['api'], 'weir_store_merge_asked') == 0, 120)
    assert metric(store.address['api'], 'weir_store_merges') > 0
    assert_once(store, expected, 'merged')
    store.kill()
    store.start()
    assert_once(store, expected, 'started again')
    for name in ('weir_store_quarantined', 'weir_store_damaged_blocks', 'weir_store_wal_damaged_bytes', 'weir_store_wal_skipped_frames'):
        assert metric(store.address['api'], name) == 0, name
    assert 'quarantine' not in store.log.read_text(errors='replace')
