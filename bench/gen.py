#!/usr/bin/env python3
"""Writes OTLP log requests for benchmarks: a plant shop of eight services, plain, logfmt and JSON lines.

usage: gen.py OUT RECORDS [--batch 512] [--seed 1]
OUT: per request a u32 LE length and the serialized ExportLogsServiceRequest; OUT.json: records, line_bytes.
"""
import argparse, json, random, struct, time


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def nested(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def attribute(key, value):
    encoded = varint(3 << 3) + varint(value) if isinstance(value, int) else nested(1, value.encode())
    return nested(1, key.encode()) + nested(2, encoded)


SERVICES = ["user_service", "plant_service", "simulation_service", "websocket_service", "bug_service", "gateway", "billing", "mailer"]
LEVELS = [(9, "INFO")] * 16 + [(5, "DEBUG")] * 2 + [(13, "WARN"), (17, "ERROR")]
PLANTS = ["monstera", "ficus", "cactus", "orchid", "fern", "basil"]


def line(rnd, level):
    shape = rnd.randrange(4)
    if shape == 0:
        return f"watered {rnd.choice(PLANTS)} {rnd.randrange(10000)} with {rnd.randrange(50, 900)} ml, soil at {rnd.random() * 100:.1f} %"
    if shape == 1:
        return f"user {rnd.randrange(100000)} from 10.{rnd.randrange(256)}.{rnd.randrange(256)}.{rnd.randrange(256)} opened /plants/{rnd.randrange(10000)}"
    if shape == 2:
        return (f'level={level.lower()} caller=worker.go:{rnd.randrange(40, 400)} msg="job finished" '
                f'queue={rnd.choice(["mail", "bill", "sync"])} took={rnd.randrange(1, 900)}ms')
    return json.dumps({"level": level.lower(), "msg": "request served", "path": f"/api/v1/{rnd.choice(PLANTS)}",
                       "status": rnd.choice([200, 200, 200, 201, 404, 500]), "duration_ms": round(rnd.expovariate(0.05), 3)})


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("out")
    ap.add_argument("records", type=int)
    ap.add_argument("--batch", type=int, default=512)
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    rnd = random.Random(a.seed)
    step = 3600 * 10**9 // a.records
    ts = time.time_ns() - step * a.records
    done = line_bytes = 0
    with open(a.out, "wb") as out:
        while done < a.records:
            records = []
            for _ in range(min(a.batch, a.records - done)):
                number, text = rnd.choice(LEVELS)
                body = line(rnd, text)
                line_bytes += len(body)
                record = (varint(1 << 3 | 1) + struct.pack("<Q", ts) + varint(2 << 3) + varint(number) + nested(3, text.encode())
                          + nested(5, nested(1, body.encode())) + nested(6, attribute("code.line.number", rnd.randrange(1, 500)))
                          + nested(6, attribute("code.function.name", rnd.choice(["handle", "run", "main"]))))
                if rnd.random() < 0.2:
                    record += nested(9, rnd.randbytes(16)) + nested(10, rnd.randbytes(8))
                records.append(nested(2, record + varint(11 << 3 | 1) + struct.pack("<Q", ts + 1000)))
                ts += step
            resource = nested(1, attribute("service.name", rnd.choice(SERVICES))) + nested(1, attribute("service.instance.id", str(rnd.randrange(1, 4))))
            request = nested(1, nested(1, resource) + nested(2, nested(1, nested(1, b"root")) + b"".join(records)))
            out.write(struct.pack("<I", len(request)) + request)
            done += len(records)
    json.dump({"records": a.records, "line_bytes": line_bytes}, open(a.out + ".json", "w"))


main()
