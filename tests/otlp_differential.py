"""otlp_differential.py OTLP_DUMP VENV_PYTHON - our OTLP walker against the official protobuf library, on random requests and on
damaged ones: both must accept the same bytes and see the same in them.

The reference is opentelemetry-proto's own schema with three changes, each a decision of ours that is documented in walk.h:
strings are bytes (UTF-8 is not our walker's business), a singular message that comes twice counts with its last occurrence
instead of being merged, and entity references are not looked into. One more difference is allowed: the official library
passes over nonsense inside of unknown groups (a field number 0), which we refuse.
"""
import os
import pathlib
import random
import struct
import subprocess
import sys

DUMP, VENV = sys.argv[1], pathlib.Path(sys.argv[2])
CASES = int(os.environ.get('OTLP_CASES', '4000'))
SEED = int(os.environ.get('OTLP_SEED', '1'))

try:
    from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, unknown_fields
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
except ImportError as e:
    if VENV.exists() and os.environ.get('OTLP_IN_VENV') is None:
        os.environ['OTLP_IN_VENV'] = '1'
        os.execv(VENV, [str(VENV), *sys.argv])
    print(f'1..1\nok 1 - differential # SKIP the official library is not here: {e} (`make clients` installs it)')
    sys.exit(0)

FIELD = descriptor_pb2.FieldDescriptorProto
VALUES = {('AnyValue', 'array_value'), ('AnyValue', 'kvlist_value')}
SKIPPED = {('Resource', 'entity_refs')}


def mirror(for_content):
    """The official descriptors with the changes described above: one schema that decides what is well-formed, and one that
    shows the content, where singular messages are lists and what would be merged is left as bytes."""
    pool, added = descriptor_pool.DescriptorPool(), set()

    def add(file):
        if file.name in added:
            return
        added.add(file.name)
        for dependency in file.dependencies:
            add(dependency)
        proto = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        for m in proto.message_type:
            for f in m.field:
                singular = f.label == FIELD.LABEL_OPTIONAL
                if f.type == FIELD.TYPE_STRING or (m.name, f.name) in (SKIPPED | VALUES if for_content else SKIPPED):
                    f.type = FIELD.TYPE_BYTES
                    f.ClearField('type_name')
                elif for_content and f.type == FIELD.TYPE_MESSAGE and singular and not f.HasField('oneof_index'):
                    f.label = FIELD.LABEL_REPEATED
                f.ClearField('json_name')
        pool.Add(proto)

    add(logs_service_pb2.DESCRIPTOR)
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName('opentelemetry.proto.' + name))


CLASS = mirror(for_content=True)
JUDGE = mirror(for_content=False)('collector.logs.v1.ExportLogsServiceRequest')
REQUEST = CLASS('collector.logs.v1.ExportLogsServiceRequest')
ARRAY, KVLIST = CLASS('common.v1.ArrayValue'), CLASS('common.v1.KeyValueList')


def parse(cls, data):
    m = cls()
    m.ParseFromString(data)
    return m


# ---- the reference dump: as otlp_dump.c ----

def hexed(data):
    return "'" + data.hex() + "'"


def last(items):
    return items[-1] if items else None


def value(v):
    kind = v.WhichOneof('value') if v else None
    if kind == 'string_value':
        return 's' + hexed(v.string_value)
    if kind == 'bytes_value':
        return 'y' + hexed(v.bytes_value)
    if kind == 'bool_value':
        return f'b{int(v.bool_value)}'
    if kind == 'int_value':
        return f'i{v.int_value}'
    if kind == 'double_value':
        return 'd' + struct.pack('>d', v.double_value).hex()
    if kind == 'array_value':
        return '[' + ''.join(value(i) + ',' for i in parse(ARRAY, v.array_value).values) + ']'
    if kind == 'kvlist_value':
        return attrs(parse(KVLIST, v.kvlist_value).values)
    return 'e'  # nothing, and what only profiles use


def attrs(kvs):
    return '{' + ''.join(hexed(kv.key) + '=' + value(last(kv.value)) + ',' for kv in kvs) + '}'


def ident(data, n):
    return hexed(data if len(data) == n and any(data) else b'')


def record(r):
    body = value(last(r.body)) if r.body else '-'
    return (f' L {r.time_unix_nano} {r.observed_time_unix_nano} {r.severity_number} {r.flags} {r.dropped_attributes_count} '
            + hexed(r.severity_text) + hexed(r.event_name) + ident(r.trace_id, 16) + ident(r.span_id, 8) + body + attrs(r.attributes))


def reference(data):
    try:
        parse(JUDGE, data)
    except message.DecodeError:
        return 'bad'
    request = parse(REQUEST, data)
    out = ''
    for rl in request.resource_logs:
        resource = last(rl.resource)
        out += f' R {resource.dropped_attributes_count if resource else 0}' + hexed(rl.schema_url) + attrs(resource.attributes if resource else [])
        for sl in rl.scope_logs:
            scope = last(sl.scope)
            out += f' S {scope.dropped_attributes_count if scope else 0}' + hexed(sl.schema_url)
            out += (hexed(scope.name) + hexed(scope.version) + attrs(scope.attributes)) if scope else "''''{}"
            out += ''.join(record(r) for r in sl.log_records)
    return out


def has_group(m):
    """An unknown group anywhere in a parsed message."""
    if any(u.wire_type == 3 for u in unknown_fields.UnknownFieldSet(m)):
        return True
    for f, v in m.ListFields():
        if f.name in ('array_value', 'kvlist_value'):
            v = [parse(ARRAY if f.name == 'array_value' else KVLIST, v)]
        elif f.message_type is None:
            continue
        if any(has_group(i) for i in v):
            return True
    return False


# ---- random requests, made with the official classes ----

rng = random.Random(SEED)


def text():
    return ''.join(rng.choice('abcxyz 0\n"é😀') for _ in range(rng.choice((0, 1, 3, 8, 40, 200))))


def fill_any(v, depth=0):
    kind = rng.randrange(6 if depth > 4 else 8)
    if kind == 0:
        v.string_value = text()
    elif kind == 1:
        v.bool_value = rng.random() < 0.5
    elif kind == 2:
        v.int_value = rng.choice((0, 1, -1, 2**63 - 1, -2**63, rng.randrange(-10**6, 10**6)))
    elif kind == 3:
        v.double_value = rng.choice((0.0, -0.0, 1.5, float('nan'), float('inf'), rng.random()))
    elif kind == 4:
        v.bytes_value = rng.randbytes(rng.randrange(20))
    elif kind == 6:
        v.array_value.SetInParent()
        for _ in range(rng.randrange(4)):
            fill_any(v.array_value.values.add(), depth + 1)
    elif kind == 7:
        v.kvlist_value.SetInParent()
        fill_attrs(v.kvlist_value.values, depth + 1)


def fill_attrs(kvs, depth=0):
    for _ in range(rng.randrange(5)):
        kv = kvs.add()
        kv.key = text()
        if rng.random() < 0.95:
            fill_any(kv.value, depth)


def some(n):
    return rng.choice((0, 1, rng.randrange(2**n), 2**n - 1))


def fill_record(r):
    r.time_unix_nano, r.observed_time_unix_nano = some(64), some(64)
    r.severity_number = rng.randrange(25)
    r.severity_text, r.event_name = text(), text()
    r.flags, r.dropped_attributes_count = some(32), some(32)
    r.trace_id = rng.choice((b'', bytes(16), rng.randbytes(16), rng.randbytes(3)))
    r.span_id = rng.choice((b'', bytes(8), rng.randbytes(8), rng.randbytes(9)))
    if rng.random() < 0.9:
        fill_any(r.body)
        r.body.SetInParent()
    fill_attrs(r.attributes)


def make_request():
    request = logs_service_pb2.ExportLogsServiceRequest()
    for _ in range(rng.randrange(3)):
        rl = request.resource_logs.add()
        rl.schema_url = text()
        if rng.random() < 0.8:
            fill_attrs(rl.resource.attributes)
            rl.resource.dropped_attributes_count = some(32)
        for _ in range(rng.randrange(3)):
            sl = rl.scope_logs.add()
            sl.schema_url = text()
            if rng.random() < 0.8:
                sl.scope.name, sl.scope.version = text(), text()
                fill_attrs(sl.scope.attributes)
                sl.scope.dropped_attributes_count = some(32)
            for _ in range(rng.randrange(4)):
                fill_record(sl.log_records.add())
    return request.SerializeToString()


def damage(data):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(data) + 1)
        how = rng.randrange(5)
        if how == 0:
            del data[at:at + rng.randrange(1, 9)]
        elif how == 1:
            data[at:at] = rng.randbytes(rng.randrange(1, 5))
        elif how == 2:
            data[at:at] = rng.choice((b'\xa3\x06\x08\x01\xa4\x06', b'\xa0\x06\x05', b'\xa2\x06\x01x', b'\x0b', b'\x80', b'\xff' * 10))
        elif at < len(data):
            data[at] = rng.randrange(256) if how == 3 else data[at] ^ 1 << rng.randrange(8)
    return bytes(data)


def compare(name, cases):
    out = subprocess.run([DUMP], input=b''.join(struct.pack('<I', len(c)) + c for c in cases), stdout=subprocess.PIPE, check=True)
    ours = out.stdout.decode().split('\n')
    wrong = accepted = 0
    for case, mine in zip(cases, ours, strict=False):
        theirs = reference(case)
        accepted += theirs != 'bad'
        mine, why = ('bad', mine) if mine.startswith('bad') else (mine, mine)
        if mine != theirs and not (mine == 'bad' and has_group(parse(REQUEST, case))):
            wrong += 1
            if wrong < 4:
                print(f'# {case.hex()}\n#  ours   {why[:300]}\n#  theirs {theirs[:300]}')
    ok = not wrong and len(ours) == len(cases) + 1
    print('ok' if ok else 'not ok', name, f'({len(cases)} requests, {accepted} good, {wrong} seen differently)')
    return accepted


print('1..4')
good = [make_request() for _ in range(CASES // 2)]
compare('1 - requests of the official library', good)
compare('2 - two requests joined are one', [a + b for a, b in zip(good[::2], good[1::2])])
accepted = compare('3 - damaged requests', [damage(g) for g in good for _ in (0, 1)])
print('ok' if CASES // 20 < accepted else 'not ok', '4 - enough of the damaged ones are still good to say something')
