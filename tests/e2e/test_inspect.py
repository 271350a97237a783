"""`weir inspect` on what real processes left, sound and damaged, and while they are at it."""
import hashlib
import json
import struct
import subprocess

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from test_adoption import orphan  # noqa: F401  (fixtures)
from test_c_sdk import compiled, installed  # noqa: F401
from weirkit import WEIR, logs_request, request, wait_for

COUNT = 60_000  # more than the ring has room for: some are in its spool


def inspect(*args):
    return subprocess.run([WEIR, 'inspect', *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def bodies(output):
    """Of the records in the lines that are no comment, in order."""
    return [record['body']['stringValue'] for line in output.splitlines() if not line.startswith('#')
            for r in json.loads(line)['resourceLogs'] for s in r['scopeLogs'] for record in s['logRecords']]


def files(directory):
    return {p: (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns) for p in directory.rglob('*') if p.is_file()}


def test_a_backlog(house, orphan, tmp_path):  # noqa: F811
    orphan('shop/orders', COUNT)
    (backlog,) = (tmp_path / 'spool').iterdir()
    before = files(backlog)
    r = inspect(backlog)
    assert r.returncode == 0, r.stderr
    assert 'of service shop/orders' in r.stdout and f'backlog: {COUNT} records wait' in r.stdout
    r = inspect('--records', f'{backlog}/')
    assert bodies(r.stdout) == [f'order {n:06d} accepted' for n in range(COUNT)]
    (segment,) = (backlog / 'spool').glob('*.seg')
    parts = [inspect('--records', p) for p in (segment, backlog / 'ring')]
    assert set(bodies(parts[0].stdout) + bodies(parts[1].stdout)) == set(bodies(r.stdout))  # it may have died while moving some
    assert files(backlog) == before


def flip(path, offset):
    with path.open('r+b') as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ 1]))


def test_damage_is_named_by_its_place(house, orphan, tmp_path):  # noqa: F811
    orphan('shop', COUNT)
    (backlog,) = (tmp_path / 'spool').iterdir()
    (segment,) = (backlog / 'spool').glob('*.seg')
    flip(segment, 200)
    damaged = inspect(backlog)
    assert damaged.returncode == 0
    assert '  offset 64, ' in damaged.stdout and '1 frames lost' in damaged.stdout and 'places are damaged' in damaged.stdout
    flip(segment, 8)  # of the header: the frames are found without
    damaged = inspect(segment)
    assert 'segment header fails its checksum' in damaged.stdout and 'places are damaged' in damaged.stdout
    assert len(bodies(inspect('--records', segment).stdout)) > COUNT // 4
    ring = backlog / 'ring'
    flip(ring, 20)
    r = inspect(ring)
    assert r.returncode == 1 and 'checksum' in r.stderr


def test_the_logs_of_a_store_that_runs(house):
    store = house.store()
    lines = [f'line {n}' for n in range(50)]
    r = request(store.address['api'], 'POST', '/otlp/v1/logs', logs_request('web', lines, 10**18).SerializeToString(),
                {'Content-Type': 'application/x-protobuf'})
    assert r.status // 100 == 2, r.text
    wal = house.directory / 'store-data' / 'store' / 'wal'
    found = wait_for('the log', lambda: (i := inspect('--records', wal)) and bodies(i.stdout) and i)
    assert bodies(found.stdout) == lines
    assert 'of a write-ahead log, 50 records' in found.stdout


# A reader of rings, written from docs/formats.md alone.

def crc_table():
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82f63b78 if n & 1 else 0)
        yield n


TABLE = list(crc_table())


def register(crc, data):
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc


def crc32c(data):
    return register(0xffffffff, data) ^ 0xffffffff


def step(crc, word):
    return register(crc, struct.pack('<Q', word))


def checksum(position, n, scope, m, padded):
    lanes = [step(0, position ^ n << 36), step(0, scope << 32 | m), 0x9e3779b9]
    for i in range(len(padded) // 8):
        lanes[i % 3] = step(lanes[i % 3], struct.unpack_from('<Q', padded, 8 * i)[0])
    return step(lanes[0], lanes[1] << 32 | lanes[2])


def read_ring(ring):
    """The resource, and scope and record of each frame that waits."""
    assert ring[:8] == b'WEIRRING' and struct.unpack_from('<HHII', ring, 8) == (1, 1, 0, 0x01020304)
    size, dict_size = struct.unpack_from('<QQ', ring, 24)
    (chunk,) = struct.unpack_from('<I', ring, 48)
    assert struct.unpack_from('<I', ring, 52)[0] == crc32c(ring[:52])
    assert len(ring) == 4096 + dict_size + size
    (head,), (tail,) = struct.unpack_from('<Q', ring, 64), struct.unpack_from('<Q', ring, 128)
    dictionary, data = ring[4096:4096 + dict_size], ring[4096 + dict_size:]

    def entry(reference):
        n, complement = struct.unpack_from('<II', dictionary, reference)
        text = dictionary[reference + 8:reference + 8 + n]
        assert crc32c(text) ^ 0xffffffff == complement
        return text

    found, position = [], tail
    while position < head & ~(1 << 63):
        at = position % size
        word, scope, m = struct.unpack_from('<QII', data, at)
        n, state = word & (1 << 28) - 1, word >> 28 & 15
        padded = data[at + 16:at + 16 + (n + 15) // 16 * 16]
        if not word:  # the rest of a chunk was not used
            assert position % chunk
            position += -position % chunk
            continue
        if state == 2:
            assert word >> 32 == checksum(position, n, scope, m, padded)
            found.append((entry(scope) if scope else padded[:m], padded[m:n]))
        else:
            assert state == 3 and at + 16 + n <= size and word >> 32 == checksum(position, 0, 0xffffffff, n, b'')
            padded = bytes(n)
        position += 16 + len(padded)
    return entry(8), found


def test_the_ring_is_as_it_is_documented(house, orphan, tmp_path):  # noqa: F811
    orphan('shop', 3000)
    (ring,) = (tmp_path / 'spool').glob('*/ring')
    resource, frames = read_ring(ring.read_bytes())
    assert any(a.key == 'service.name' and a.value.string_value == 'shop'
               for a in ResourceLogs.FromString(resource).resource.attributes)
    assert [LogRecord.FromString(record).body.string_value for _, record in frames] == [f'order {n:06d} accepted' for n in range(3000)]
    assert {ScopeLogs.FromString(scope).scope.name for scope, _ in frames} == {'orders'}


def test_what_it_does_not_know(tmp_path):
    (tmp_path / 'text').write_text('some text')
    for path, why in ((tmp_path / 'text', 'neither a ring nor a segment'), (tmp_path, 'neither a backlog'),
                      (tmp_path / 'gone', 'No such file'), ('/dev/null', 'neither a file nor a directory')):
        r = inspect(path)
        assert r.returncode == 1 and why in r.stderr
    assert inspect().returncode == 2 and inspect('a', 'b').returncode == 2
