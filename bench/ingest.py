#!/usr/bin/env python3
"""What ingest costs: starts `weir store` on an empty directory, sends OTLP/HTTP protobuf requests over a few
keep-alive connections, and reports the server's CPU seconds per million records, peak memory and bytes on disk.

usage: ingest.py WEIR [--payload FILE (or BENCH_PAYLOAD)] [--records N] [--runs 3] [--conns 4]

FILE holds, per request, a u32 LE length and a serialized ExportLogsServiceRequest; FILE.json (optional) gives
"records" and "line_bytes". Without it a payload is generated (bench/gen.py): deterministic, no other files needed.
Machines are noisy: the median of the runs is printed, with all runs beside it.
"""
import argparse, json, os, re, shutil, signal, socket, statistics, struct, subprocess, sys, tempfile, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))


def read_payload(path):
    bodies, data, at = [], open(path, "rb").read(), 0
    while at < len(data):
        (n,) = struct.unpack_from("<I", data, at)
        bodies.append(data[at + 4 : at + 4 + n])
        at += 4 + n
    return bodies


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid, key):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    return 0


def disk_bytes(path):
    total = {}
    for root, _, files in os.walk(os.path.join(path, "store")):
        for name in files:
            kind = os.path.relpath(root, os.path.join(path, "store")).split(os.sep)[0]
            total[kind] = total.get(kind, 0) + os.stat(os.path.join(root, name)).st_blocks * 512
    return total


class Store:
    def __init__(self, weir, directory, extra):
        self.process = subprocess.Popen(
            [weir, "store", "--data-dir", directory, "--api", "127.0.0.1:0", *extra],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            found = re.match(r"api: http://([^:]+):(\d+)", line)
            if found:
                self.address = (found[1], int(found[2]))
            if line.strip() == "ready":
                return
        raise SystemExit("weir store did not start")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def post(sock, reader, path, body, kind="application/x-protobuf"):
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    sock.sendall(head.encode() + body)
    status, length = int(reader.readline().split()[1]), 0
    while (line := reader.readline()) not in (b"\r\n", b""):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return status, reader.read(length)


def send_all(address, bodies, conns):
    todo, lock, refused = iter(range(len(bodies))), threading.Lock(), []

    def work():
        sock = socket.create_connection(address)
        reader = sock.makefile("rb")
        while True:
            with lock:
                k = next(todo, None)
            if k is None:
                return
            while True:
                status, text = post(sock, reader, "/otlp/v1/logs", bodies[k])
                if status // 100 == 2:
                    break
                refused.append((status, text[:80]))
                if status not in (429, 503):
                    return
                time.sleep(0.05)

    threads = [threading.Thread(target=work) for _ in range(conns)]
    started = time.time()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return time.time() - started, refused


def run(args, bodies, records):
    directory = tempfile.mkdtemp(prefix="weir-bench-")
    store = Store(args.weir, directory, args.option)
    pid = store.process.pid
    try:
        before = cpu_seconds(pid)
        wall, refused = send_all(store.address, bodies, args.conns)
        sock = socket.create_connection(store.address)
        status, text = post(sock, sock.makefile("rb"), "/flush", b"")
        if status // 100 != 2:
            print(f"/flush answered {status}: {text[:100]}", file=sys.stderr)
        result = {"cpu_s_per_M": (cpu_seconds(pid) - before) / records * 1e6, "rec_s": records / wall,
                  "peak_MB": memory_mb(pid, "VmHWM"), "refused": len(refused)}
        sizes = disk_bytes(directory)
        result["disk_B_per_rec"] = sum(sizes.values()) / records
        result["disk"] = {k: round(v / records, 1) for k, v in sorted(sizes.items())}
        return result
    finally:
        store.stop()
        shutil.rmtree(directory, ignore_errors=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("weir")
    ap.add_argument("--payload", default=os.environ.get("BENCH_PAYLOAD"))
    ap.add_argument("--records", type=int, default=200_000)
    ap.add_argument("--runs", type=int, default=3)
    ap.add_argument("--conns", type=int, default=4)
    ap.add_argument("--option", action="append", default=[], help="passed on to weir store, e.g. --option=--durability=off")
    args = ap.parse_args()
    if not args.payload:
        args.payload = os.path.join(tempfile.gettempdir(), f"weir-bench-payload-{args.records}")
        if not os.path.exists(args.payload + ".json"):
            subprocess.run([sys.executable, os.path.join(HERE, "gen.py"), args.payload, str(args.records)], check=True)
    bodies = read_payload(args.payload)
    meta = json.load(open(args.payload + ".json"))
    results = [run(args, bodies, meta["records"]) for _ in range(args.runs)]
    print(f"ingest: {meta['records']:,} records, {meta['line_bytes'] / 1e6:.0f} MB of lines, "
          f"{len(bodies)} requests, {args.conns} connections, median of {args.runs}")
    for key, text in [("cpu_s_per_M", "CPU s per million records"), ("rec_s", "records/s"), ("peak_MB", "peak RSS, MB"),
                      ("disk_B_per_rec", "bytes on disk per record"), ("refused", "answers other than 2xx")]:
        values = [r[key] for r in results]
        print(f"  {text:28} {statistics.median(values):12.2f}   ({', '.join(f'{v:.2f}' for v in values)})")
    print(f"  {'by directory':28} {results[-1]['disk']}")


main()
