"""`weir inspect` on what a store keeps: parts, manifests, data directories, sound and damaged, and while the store runs."""
import re
import shutil
import struct
import time
from pathlib import Path

from test_inspect import crc32c, files, flip, inspect
from weirkit import Loki, logs_request, request, wait_for

SECOND = 10**9
ROWS = 400
GOLDEN = Path(__file__).parents[1] / 'data/store/v1'


def push(base, service, lines, start):
    body = logs_request(service, lines, start, attributes=(('trace_id', 'a' * 32),)).SerializeToString()
    assert request(base, 'POST', '/otlp/v1/logs', body, {'Content-Type': 'application/x-protobuf'}).status // 100 == 2


def filled(house, *args):
    """A store with two parts and rows that are only in its log."""
    store = house.store('store', 0, '--merge=false', *args)
    base = store.address['api']
    start = time.time_ns() - 600 * SECOND
    for i in range(2):
        push(base, 'shop', [f'order {n} of user {n * 7919 % 1000} took {n % 13}ms ref {n * 2654435761 % 2**32:08x}{n:04x}' for n in range(ROWS)], start + i * SECOND)
        assert request(base, 'POST', '/flush').status == 204
    push(base, 'shop', ['waits in the log'], start + 5 * SECOND)
    return store, house.directory / 'store-data' / 'store'


def parts_of(data):
    return sorted((data / 'parts').glob('*.part'))


def pages_of(output):
    """Bytes by kind of column."""
    return {m[1]: int(m[2]) for m in re.finditer(r'^    (\S.*?) +(\d+) +[\d.]+ a row$', output, re.M)}


def test_a_part_and_what_its_bytes_are_spent_on(house):
    _, data = filled(house)
    before = files(data / 'parts')
    part = parts_of(data)[0]
    r = inspect(part)
    assert r.returncode == 0, r.stdout + r.stderr
    assert 'version 1.1, features 1 (columns), made by weir ' in r.stdout and 'all pages are sound' in r.stdout
    assert f'{ROWS} rows of 1 streams in 1 blocks' in r.stdout and 'part 1 of 1 of its flush' in r.stdout
    assert re.search(r'lines: [1-9]\d* templates, counted in each block; 0 rows kept whole', r.stdout)
    spent = pages_of(r.stdout)
    assert spent.pop('all') == part.stat().st_size == sum(spent.values())
    assert spent['lines: slots'] > ROWS // 2 and spent['content filter'] and spent['metadata: keys']
    assert files(data / 'parts') == before


def test_an_old_part_under_another_name(tmp_path):
    copy = tmp_path / 'from a colleague'
    shutil.copy(GOLDEN / '0000000000000001.part', copy)
    (tmp_path / 'link').symlink_to(copy)
    for path in (copy, tmp_path / 'link'):
        r = inspect(path)
        assert r.returncode == 0 and 'version 1.0, features 0' in r.stdout and '5 rows of 3 streams' in r.stdout, r.stderr
        spent = pages_of(r.stdout)
        assert spent['lines'] and spent.pop('all') == sum(spent.values()) == copy.stat().st_size


def test_damage_is_named_by_offset_and_page(house, tmp_path):
    store, data = filled(house)
    store.stop()
    part = parts_of(data)[0]
    sound = part.read_bytes()
    spent = pages_of(inspect(part).stdout)
    names = [n for n in spent if n not in ('all', 'tables', 'headers and footers')]
    at = 64
    for name in names:  # in the order in which they lie in the file
        flip(part, at + spent[name] - 1)
        r = inspect(part)
        assert r.returncode == 1 and f'offset {at}, {spent[name]} bytes: block 0, {name}: page fails its checksum' in r.stdout
        assert r.stdout.count('offset ') == 1 and '1 places are damaged' in r.stdout
        part.write_bytes(sound)
        at += spent[name]
    for offset, what in ((at + 30, f'stream table at {at}'), (3, 'header is damaged'), (len(sound) - 40, 'footer checksum'), (20, 'header is damaged')):
        flip(part, offset)
        r = inspect(part)
        assert r.returncode == 1 and what in r.stdout, r.stdout + r.stderr
        part.write_bytes(sound)
    part.write_bytes(sound[:-7])
    r = inspect(part)
    assert r.returncode == 1 and 'the file was cut' in r.stdout
    part.write_bytes(b'')
    assert inspect(part).returncode == 1
    part.write_bytes(sound)
    assert inspect(part).returncode == 0


def test_a_store_that_runs(house):
    store, data = filled(house)
    before = files(data / 'parts')
    r = inspect(house.directory / 'store-data')
    assert r.returncode == 0, r.stdout + r.stderr
    spent = pages_of(r.stdout)
    assert spent.pop('all') == sum(p.stat().st_size for p in parts_of(data)) == sum(spent.values())
    assert f'store: 2 parts, {2 * ROWS} rows' in r.stdout and '1 frames not in parts' in r.stdout and 'quarantine: 0 files' in r.stdout
    assert 'no edit lists' not in r.stdout
    assert files(data / 'parts') == before
    assert len(Loki(store.address['api']).entries('{service_name="shop"}', limit=5000)) == 2 * ROWS + 1
    r = inspect('--records', data)
    assert r.returncode == 1 and 'weir query' in r.stderr


def test_a_store_beside_its_merges(house):
    """Whatever it lists and removes meanwhile is no damage."""
    store, data = filled(house)
    base = store.address['api']
    start = time.time_ns() - 60 * SECOND
    for i in range(12):
        push(base, 'shop', [f'more {n} {i}' for n in range(50)], start + i * SECOND)
        assert request(base, 'POST', '/flush').status == 204
        if i % 4 == 3:
            request(base, 'POST', '/merge')
        r = inspect(data)
        assert r.returncode == 0, r.stdout + r.stderr


def test_what_is_wrong_with_a_store_at_rest(house):
    store, data = filled(house)
    store.stop()
    first, second = parts_of(data)[:2]
    flip(first, 100)
    gone = second.read_bytes()
    second.unlink()
    (data / 'parts' / 'ffffffffffffff00.part').write_bytes(gone)
    (data / 'parts' / 'half.tmp').write_bytes(b'x')
    (data / 'parts' / 'mine').write_bytes(b'x')
    r = inspect(data)
    assert r.returncode == 1 and '2 places are damaged' in r.stdout, r.stdout
    assert re.search(rf'{first.name} offset 64, \d+ bytes: block 0, times: page fails its checksum', r.stdout)
    assert f'{second.name}: listed and missing' in r.stdout
    assert 'no edit lists parts/ffffffffffffff00.part' in r.stdout and 'no edit lists parts/half.tmp' in r.stdout
    assert 'no edit lists parts/mine, 1 bytes: no file of the store' in r.stdout
    shutil.rmtree(data / 'parts')
    r = inspect(data)
    assert r.returncode == 1 and r.stdout.count('listed and missing') == 2 and 'store: 0 parts' in r.stdout
    (data / 'parts').mkdir()
    first.write_bytes(gone[:8] + struct.pack('<HHI', 9, 0, 1) + gone[16:60] + struct.pack('<I', crc32c(gone[:8] + struct.pack('<HHI', 9, 0, 1) + gone[16:60])))
    r = inspect(first)
    assert r.returncode == 1 and 'version 9.0' in r.stdout and 'part format 9' in r.stderr


def test_a_damaged_catalog_is_said_and_made_anew_by_a_start(house):
    store, data = filled(house)
    base = store.address['api']
    assert request(base, 'POST', f'/loki/api/v1/delete?query=%7Bservice_name%3D%22nobody%22%7D&start={int(time.time()) - 60}').status == 204
    store.stop()
    (manifest,) = data.glob('MANIFEST-*')
    r = inspect(manifest)
    assert r.returncode == 0 and 'tenant fake, query {service_name="nobody"}' in r.stdout and '1 requests to delete' in r.stdout
    listed = re.findall(r'^  part ([0-9a-f]{16}): (\d+) bytes, (\d+) rows', r.stdout, re.M)
    assert {f'{p}.part' for p, _, _ in listed} == {p.name for p in parts_of(data)}
    whole = manifest.read_bytes()
    manifest.write_bytes(whole + struct.pack('<I', 99) + b'torn')
    r = inspect(manifest)
    assert r.returncode == 0 and f'offset {len(whole)}, 8 bytes: no whole edit' in r.stdout
    manifest.write_bytes(whole)
    flip(manifest, 25)  # of the first edit
    r = inspect(manifest)
    assert r.returncode == 1 and 'manifest is damaged at offset 16' in r.stdout
    r = inspect(data)
    assert r.returncode == 1 and 'the next start makes it anew' in r.stdout and '1 places are damaged' in r.stdout
    assert all(p.name in r.stdout for p in parts_of(data))
    store.start()
    wait_for('the rows', lambda: len(Loki(store.address['api']).entries('{service_name="shop"}', limit=5000)) == 2 * ROWS + 1)
    r = inspect(data)
    assert r.returncode == 0 and 'quarantine: 2 files' in r.stdout, r.stdout
