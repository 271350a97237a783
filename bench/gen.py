#!/usr/bin/env python3
"""Writes OTLP log requests for benchmarks: a plant shop of eight services, plain, logfmt and JSON lines.

usage: gen.py OUT RECORDS [--batch 2048] [--seed 1] [--span SECONDS]
OUT: per request a u32 LE length and the serialized ExportLogsServiceRequest. OUT.json says what is in it: records, line_bytes,
start and end (ns), needles (words that one line has) and traces ([[trace id, service], ...]).
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


LEVELS = [(9, "INFO")] * 16 + [(5, "DEBUG")] * 2 + [(13, "WARN"), (17, "ERROR")]
PLANTS = ["monstera", "ficus", "cactus", "orchid", "fern", "basil"]
USERS = ["ada", "grace", "linus", "root", "admin", "guest"]
CITIES = ["Oslo", "Lima", "Accra", "Hanoi"]


def ip(rnd):
    return f"10.{rnd.randrange(256)}.{rnd.randrange(256)}.{rnd.randrange(256)}"


def json_line(rnd, level):
    return json.dumps({"level": level.lower(), "msg": "request served", "path": f"/api/v1/{rnd.choice(PLANTS)}", "user_id": rnd.randrange(100000),
                       "status": rnd.choice([200, 200, 200, 200, 200, 201, 404, 500]), "duration_ms": round(rnd.expovariate(0.05), 3)})


def logfmt_line(rnd, level):
    return (f'level={level.lower()} caller=worker.go:{rnd.randrange(40, 400)} msg="job finished" '
            f'queue={rnd.choice(["mail", "bill", "sync"])} took={rnd.randrange(1, 900)}ms attempts={rnd.randrange(1, 5)}')


PLAIN = [
    lambda r: f"watered {r.choice(PLANTS)} {r.randrange(10000)} with {r.randrange(50, 900)} ml, soil at {r.random() * 100:.1f} %",
    lambda r: f"session opened, user={r.choice(USERS)} from {ip(r)} port {r.randrange(1024, 65536)}",
    lambda r: f"order {r.randrange(10**8)}: {r.randrange(1, 9)} x {r.choice(PLANTS)} to {r.choice(CITIES)}, {r.randrange(100, 90000) / 100:.2f} EUR",
    lambda r: f"Connection reset by peer {ip(r)}:{r.randrange(1024, 65536)}, retry {r.randrange(1, 6)} in {r.randrange(10, 5000)} ms",
    lambda r: f"gc pause {r.randrange(1, 900)} us, heap {r.randrange(10, 900)} MiB of 1024 MiB, {r.randrange(10**6)} objects",
    lambda r: f"error reading sensor {r.randrange(4000)}: timeout after {r.randrange(100, 3000)} ms (block blk_{r.randrange(10**17, 10**18)})",
]


def plain_line(rnd, level):
    return rnd.choice(PLAIN)(rnd)


SERVICES = {"gateway": json_line, "worker": logfmt_line, **{s: plain_line for s in ["users", "plants", "sensors", "billing", "mailer", "simulation"]}}


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("out")
    ap.add_argument("records", type=int)
    ap.add_argument("--batch", type=int, default=2048)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--span", type=float, default=3600)
    a = ap.parse_args()
    rnd = random.Random(a.seed)
    step = int(a.span * 1e9) // a.records
    end = time.time_ns()
    ts = start = end - step * a.records
    done = line_bytes = 0
    needles, traces = {}, []
    with open(a.out, "wb") as out:
        while done < a.records:
            service, records = rnd.choice(list(SERVICES)), []
            for i in range(done, min(done + a.batch, a.records)):
                number, level = rnd.choice(LEVELS)
                line = SERVICES[service](rnd, level)
                if i == a.records // 2:
                    needle = f"needle-{rnd.getrandbits(48):012x}"
                    line += " " + needle
                    needles[needle] = [service, ts]
                line_bytes += len(line)
                record = (varint(1 << 3 | 1) + struct.pack("<Q", ts) + varint(2 << 3) + varint(number) + nested(3, level.encode())
                          + nested(5, nested(1, line.encode())) + nested(6, attribute("code.line.number", rnd.randrange(1, 500)))
                          + nested(6, attribute("code.function.name", rnd.choice(["handle", "run", "main"]))))
                if rnd.random() < 0.2:
                    trace = rnd.randbytes(16)
                    record += nested(9, trace) + nested(10, rnd.randbytes(8))
                    if not traces and i > a.records // 3:
                        traces.append([trace.hex(), service])
                records.append(nested(2, record + varint(11 << 3 | 1) + struct.pack("<Q", ts + 1000)))
                ts += step
            resource = nested(1, attribute("service.name", service)) + nested(1, attribute("service.instance.id", str(rnd.randrange(1, 4))))
            request = nested(1, nested(1, resource) + nested(2, nested(1, nested(1, b"root")) + b"".join(records)))
            out.write(struct.pack("<I", len(request)) + request)
            done += len(records)
    json.dump({"records": a.records, "line_bytes": line_bytes, "start": start, "end": end, "needles": needles, "traces": traces},
              open(a.out + ".json", "w"), indent=1)


main()
