#!/usr/bin/env python3
"""What the store costs: starts `weir store` on an empty directory, sends OTLP/HTTP protobuf requests over a few keep-alive
connections, waits until everything is flushed and quiet, and asks a fixed set of queries. Another server may be measured in
turn with it, on the same requests.

usage: store_bench.py WEIR [--payload FILE (or BENCH_PAYLOAD)] [--records N] [--runs 3] [--conns 4] [-n 7] [--peer FILE]
                      [--json FILE] [--dir DIR] [--keep] [--option=--durability=off]

The payload holds, per request, a u32 LE length and a serialized ExportLogsServiceRequest; FILE.json describes it (see
bench/gen.py). Without one it is generated: deterministic but for the time of day, no other files needed.

A peer's FILE is JSON in the form of WEIR below: its command ({dir} and {port} are filled in), where to push, what to ask
for a flush, and under our names the queries, each [path, {parameter: value}]. @start@, @end@ (ns, whole minutes),
@needle@ and @trace@ are filled in from the payload's description.

CPU is the process's own clock and its children's, from before the first request until nothing moves any more, so that it
includes flushing and merging in the background. Peak RSS includes mapped files; `anonymous` does not (sampled).
Answers are compared by one figure each: lines of a log query, the sum of all values of a metric query. Machines are noisy:
medians of the runs are printed, for queries also the least; and what a fixed piece of work cost beside each run.
"""
import argparse, concurrent.futures, http.client, json, mmap, os, shutil, signal, socket, statistics, struct, subprocess, sys, tempfile
import threading, time, urllib.parse, zlib

HERE = os.path.dirname(os.path.abspath(__file__))
ALL, GATEWAY, WORKER = '{service_name=~".+"}', '{service_name="gateway"}', '{service_name="worker"}'


def logql(query, limit=100):
    return ["/loki/api/v1/query_range", {"query": query, "start": "@start@", "end": "@end@", "step": "60", "limit": limit}]


WEIR = {
    "name": "weir",
    "command": ["WEIR", "store", "--data-dir", "{dir}", "--api", "127.0.0.1:{port}"],
    "ready": "/ready",
    "push": "/otlp/v1/logs",
    "flush": ["/flush"],
    "log": ["store/wal"],  # directories of the write-ahead log, counted apart
    "queries": {
        "needle": logql(f'{ALL} |= "@needle@"'),
        "needle, as a word": logql(f'{ALL} |= "@needle@"'),  # the same to us, for servers with an index of words
        "absent word": logql(f'{ALL} |= "zzqqxx-absent"'),
        "absent substring": logql(f'{ALL} |= "zzqq"'),
        "substring, first 100": logql(f'{ALL} |= "error"'),
        "inner substring count": logql(f'sum(count_over_time({ALL} |= "nnectio" [1m]))'),
        "substring by service": logql(f'sum by (service_name) (count_over_time({ALL} |= "error" [1m]))'),
        "with and without": logql(f'sum(count_over_time({ALL} |= "error" != "state" [1m]))'),
        "regex count": logql(rf'sum(count_over_time({ALL} |~ "user=\\w+ .*port \\d+" [1m]))'),
        "regex, dense": logql(rf'sum(count_over_time({ALL} |~ "from [0-9.]+ port \\d+" [1m]))'),
        "regex, any case": logql(f'sum(count_over_time({ALL} |~ "(?i)exception" [1m]))'),
        "json status>=500": logql(f"sum(count_over_time({GATEWAY} | json | status >= 500 [1m]))"),
        "json avg by path": logql(f"avg_over_time({GATEWAY} | json | unwrap duration_ms [1m]) by (path)"),
        "logfmt p99 by queue": logql(f"quantile_over_time(0.99, {WORKER} | logfmt | unwrap duration(took) [1m]) by (queue)"),
        "rate by level": logql(f"sum by (detected_level) (rate({ALL}[1m]))"),
        "count by service": logql(f"sum by (service_name) (count_over_time({ALL}[1m]))"),
        "bytes by service": logql(f"sum by (service_name) (bytes_over_time({ALL}[1m]))"),
        "trace id": logql(f'{ALL} | trace_id="@trace@"'),
        "last 1000": logql(ALL, 1000),
        "label values": ["/loki/api/v1/label/service_name/values", {"start": "@start@", "end": "@end@"}],
        "volume": ["/loki/api/v1/index/volume_range", {"query": ALL, "start": "@start@", "end": "@end@", "step": "60"}],
    },
}
FIGURES = {
    "cpu_s_per_M": "CPU s per million records, settled",
    "cpu_s_per_M_sending": "… of it until the last answer",
    "rec_s": "records/s while sending",
    "peak_MB": "peak RSS, MB",
    "anonymous_MB": "… anonymous, MB",
    "disk_B_per_rec": "bytes on disk per record",
    "log_B_per_rec": "… and write-ahead log",
    "files": "files",
    "speed_ms": "this machine: deflating 8 MB, CPU ms",
    "settle_s": "s until nothing moved any more",
    "peak_MB_queries": "peak RSS after the queries, MB",
    "sender_cpu_s": "the sender's own CPU s",
    "refused": "answers other than 2xx",
}
QUIET_S, SETTLE_MAX_S = 15, 300  # some servers write what they got only 10 s later


def read_payload(path):
    with open(path, "rb") as f:
        data = memoryview(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ))
    bodies, at = [], 0
    while at < len(data):
        (n,) = struct.unpack_from("<I", data, at)
        bodies.append(data[at + 4 : at + 4 + n])
        at += 4 + n
    return bodies


def family(pid):
    """The process and all below it."""
    out = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as f:
            for child in f.read().split():
                out += family(int(child))
    return out


def status_mb(pid, key):
    with open(f"/proc/{pid}/status") as f:
        return next((int(line.split()[1]) / 1024 for line in f if line.startswith(key + ":")), 0)


class Server:
    def __init__(self, spec, directory):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.spec, self.directory, self.anonymous = spec, directory, 0
        command = [part.replace("{dir}", directory).replace("{port}", str(self.port)) for part in spec["command"]]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = self.process.pid
        deadline = time.time() + 60
        while True:
            try:
                if self.get(spec["ready"])[0] == 200:
                    break
            except OSError:
                pass
            if self.process.poll() is not None or time.time() > deadline:
                raise SystemExit(f"{spec['name']} did not start: {command}")
            time.sleep(0.02)
        threading.Thread(target=self.sample, daemon=True).start()

    def sample(self):
        try:
            while True:
                self.anonymous = max(self.anonymous, status_mb(self.pid, "RssAnon"))
                time.sleep(0.02)
        except (OSError, ProcessLookupError):
            pass  # it has ended

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)

    def get(self, path, connection=None):
        c = connection or self.connect()
        c.request("GET", path)
        r = c.getresponse()
        return r.status, r.read()

    def cpu(self):
        """Seconds. The clock of a process is numbered ~pid << 3 | 2 (clock_getcpuclockid)."""
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in family(self.pid))

    def disk(self):
        """Allocated bytes of the data, of the write-ahead log, and the number of files."""
        data = log = files = 0
        for root, _, names in os.walk(self.directory):
            kind = os.path.relpath(root, self.directory)
            for name in names:
                try:
                    size = os.stat(os.path.join(root, name)).st_blocks * 512
                except FileNotFoundError:
                    continue  # merged away meanwhile
                if any(kind == d or kind.startswith(d + "/") for d in self.spec.get("log", [])):
                    log += size
                else:
                    data += size
                    files += 1
        return data, log, files

    def settle(self):
        """Asks for a flush, then waits until the process is idle and its files stay as they are."""
        began = time.time()
        for path in self.spec["flush"]:
            status, text = self.get(path)
            if status // 100 != 2:
                print(f"{path} answered {status}: {text[:100]}", file=sys.stderr)
        last = time.time()
        cpu, disk = self.cpu(), self.disk()
        while time.time() < last + QUIET_S and time.time() < began + SETTLE_MAX_S:
            time.sleep(0.5)
            if self.disk() != disk or self.cpu() - cpu > 0.02 * (time.time() - last) + 0.05:
                last, cpu, disk = time.time(), self.cpu(), self.disk()
        if time.time() >= began + SETTLE_MAX_S:
            print(f"{self.spec['name']} did not settle within {SETTLE_MAX_S} s", file=sys.stderr)
        return last - began

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def speed(bodies):
    """CPU ms of a fixed piece of work: a virtual machine's cores are not the same all day."""
    sample, began = b"".join(bodies[: 8_000_000 // len(bodies[0]) + 1])[:8_000_000], time.thread_time()
    zlib.compress(sample, 1)
    return (time.thread_time() - began) * 1e3


def send_all(server, bodies, conns):
    todo, lock, refused = iter(range(len(bodies))), threading.Lock(), []

    def work():
        connection = server.connect()
        while True:
            with lock:
                k = next(todo, None)
            if k is None:
                return
            while True:
                connection.request("POST", server.spec["push"], bodies[k], {"Content-Type": "application/x-protobuf"})
                r = connection.getresponse()
                text = r.read()
                if r.status // 100 == 2:
                    break
                refused.append((r.status, text[:80]))
                if r.status not in (429, 503):
                    print(f"{server.spec['name']} refused a request: {r.status} {text[:100]}", file=sys.stderr)
                    break
                time.sleep(0.05)

    began = time.time()
    with concurrent.futures.ThreadPoolExecutor(conns) as pool:
        for done in [pool.submit(work) for _ in range(conns)]:
            done.result()
    return time.time() - began, len(refused)


def number(text):
    """A value; some servers answer a duration with its unit."""
    for unit, seconds in [("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9), ("s", 1)]:
        if text.endswith(unit):
            return float(text[: -len(unit)]) * seconds
    return float(text)


def answer(body):
    """One figure of an answer: how many lines or names, or the sum of a metric's values."""
    try:
        d = json.loads(body)
    except ValueError:
        return body.count(b"\n")  # a JSON object a line
    if "data" not in d:
        return len(d["values"]) if "values" in d else 1 if body.strip() else 0
    if isinstance(d["data"], list):
        return len(d["data"])
    result = d["data"]["result"] or []
    return sum(len(r["values"]) if "stream" in r else sum(number(v) for _, v in r.get("values") or [r["value"]]) for r in result)


def ask(server, path, parameters, meta, repeat):
    minute = 60 * 10**9
    known = {"@start@": str(meta["start"] // minute * minute), "@end@": str(-(-meta["end"] // minute) * minute),
             "@needle@": next(iter(meta["needles"]), ""), "@trace@": meta["traces"][0][0] if meta["traces"] else ""}
    filled = {}
    for key, value in parameters.items():
        value = str(value)
        for name, text in known.items():
            value = value.replace(name, text)
        filled[key] = value
    url, connection, times = f"{path}?{urllib.parse.urlencode(filled)}", server.connect(), []
    status, body = server.get(url, connection)  # warms
    if status != 200:
        return {"error": f"{status} {body[:100].decode('utf-8', 'replace')}"}
    cpu = server.cpu()
    for _ in range(repeat):
        began = time.perf_counter()
        server.get(url, connection)
        times.append((time.perf_counter() - began) * 1e3)
    return {"min": min(times), "median": statistics.median(times), "cpu": (server.cpu() - cpu) * 1e3 / repeat, "answer": answer(body)}


def run(args, spec, bodies, meta):
    directory = tempfile.mkdtemp(prefix=f"store-bench-{spec['name'].split()[0].lower()}-", dir=args.dir)
    server, records = Server(spec, directory), meta["records"]
    try:
        fast = speed(bodies)
        before, sender = server.cpu(), time.process_time()
        wall, refused = send_all(server, bodies, args.conns)
        sender, sent = time.process_time() - sender, server.cpu()
        result = {"load": os.getloadavg()[0], "speed_ms": (fast + speed(bodies)) / 2, "settle_s": server.settle()}
        data, log, files = server.disk()
        result |= {"cpu_s_per_M": (server.cpu() - before) / records * 1e6, "cpu_s_per_M_sending": (sent - before) / records * 1e6,
                   "rec_s": records / wall, "peak_MB": status_mb(server.pid, "VmHWM"), "anonymous_MB": server.anonymous,
                   "disk_B_per_rec": data / records, "log_B_per_rec": log / records, "files": files, "sender_cpu_s": sender, "refused": refused}
        result["queries"] = {name: ask(server, *spec["queries"][name], meta, args.n) for name in WEIR["queries"] if name in spec["queries"]}
        result["peak_MB_queries"] = status_mb(server.pid, "VmHWM")
        return result
    finally:
        server.stop()
        if args.keep:
            print(f"{spec['name']}: kept {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)


def print_tables(names, results):
    print(f"  {'':38}" + "".join(f"{name:>22}" for name in names))
    for key, text in FIGURES.items():
        print(f"  {text:38}" + "".join(f"{statistics.median(r[key] for r in results[name]):22,.2f}" for name in names))
    head = "".join(f"{name[:15] + ', least':>22} {'median':>8} {'CPU':>8} {'answer':>13}" for name in names)
    print(f"\n  {'query, ms':24}{head}")
    for query in WEIR["queries"]:
        cells, answers = "", []
        for name in names:
            runs = [r["queries"].get(query, {"error": "-"}) for r in results[name]]
            bad = next((q["error"] for q in runs if "error" in q), None)
            if bad:
                cells += f"{bad[:53]:>54}"
                continue
            value = runs[-1]["answer"]
            answers.append(value)
            cells += (f"{min(q['min'] for q in runs):22.2f} {statistics.median(q['median'] for q in runs):8.2f} "
                      f"{statistics.median(q['cpu'] for q in runs):8.2f} {value:13,.1f}")
        differ = len(answers) > 1 and abs(answers[0] - answers[1]) > 1e-3 * max(abs(a) for a in answers)
        print(f"  {query:24}{cells}{'  differ' if differ else ''}")


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("weir")
    ap.add_argument("--payload", default=os.environ.get("BENCH_PAYLOAD"))
    ap.add_argument("--records", type=int, default=200_000, help="how many to generate without a payload")
    ap.add_argument("--runs", type=int, default=3)
    ap.add_argument("--conns", type=int, default=4)
    ap.add_argument("-n", type=int, default=7, help="how often each query is asked, after once to warm")
    ap.add_argument("--peer", action="append", default=[], help="JSON file of another server; several are possible")
    ap.add_argument("--json", help="write every figure of every run here")
    ap.add_argument("--dir", help="where data directories are made (default: the system's temporary directory)")
    ap.add_argument("--keep", action="store_true", help="leave the data directories")
    ap.add_argument("--option", action="append", default=[], help="passed on to weir store, e.g. --option=--durability=off")
    args = ap.parse_args()
    if not args.payload:
        args.payload = os.path.join(tempfile.gettempdir(), f"weir-store-bench-{args.records}")
        if not os.path.exists(args.payload + ".json"):
            subprocess.run([sys.executable, os.path.join(HERE, "gen.py"), args.payload, str(args.records)], check=True)
    bodies, meta = read_payload(args.payload), json.load(open(args.payload + ".json"))
    specs = [WEIR | {"command": [args.weir, *WEIR["command"][1:], *args.option]}] + [json.load(open(p)) for p in args.peer]
    names = [s["name"] for s in specs]
    results = {name: [] for name in names}
    for _ in range(args.runs):
        for spec in specs:
            results[spec["name"]].append(run(args, spec, bodies, meta))
    print(f"store: {meta['records']:,} records, {meta['line_bytes'] / 1e6:.0f} MB of lines, {len(bodies)} requests, "
          f"{args.conns} connections, {args.runs} runs; load average " + ", ".join(f"{r['load']:.1f}" for n in names for r in results[n]))
    print_tables(names, results)
    if args.json:
        json.dump({"meta": meta, "results": results}, open(args.json, "w"), indent=1)


main()
