"""Fixtures of the end-to-end tests; weirkit.py says how they work."""
import os
import pathlib
import shutil
import subprocess

import pytest

import weirkit

HERE = pathlib.Path(__file__).resolve().parent
NPM = weirkit.ROOT / 'build' / 'npm'
MEASURED = []

# What this machine says to every SDK and client is not part of a test; what it says to the tests is.
OURS = {'WEIR', 'WEIR_OUTAGE_SECONDS', 'WEIR_CRASH_RUNS', 'WEIR_FAULT_SEED'}
for name in [n for n in os.environ if n.startswith(('OTEL_', 'WEIR_', 'LOKI_')) and n not in OURS or n.lower().endswith('_proxy')]:
    del os.environ[name]

# The collector's configuration as its users write it; only the addresses are of the test.
COLLECTOR_YAML = '''\
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: 127.0.0.1:{grpc}}}
      http: {{endpoint: 127.0.0.1:{http}}}
processors:
  batch: {{}}
exporters:
  otlphttp/logs:
    endpoint: "{store}/otlp"
    tls: {{insecure: true}}
service:
  telemetry: {{metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: 0}}}}}}}}]}}}}
  pipelines:
    logs: {{receivers: [otlp], processors: [batch], exporters: [otlphttp/logs]}}
'''


def pytest_runtest_setup(item):
    if not weirkit.WEIR.exists():
        pytest.exit(f'{weirkit.WEIR} is not there: run make first', 3)


def pytest_terminal_summary(terminalreporter):
    for line in MEASURED:
        terminalreporter.write_line(f'measured  {line}')


@pytest.fixture
def measured(request):
    """Reports a figure at the end of the run; it is for people, so no test fails by it."""
    def note(text):
        MEASURED.append(f'{request.node.name}: {text}')
        request.node.user_properties.append(('measured', text))
    return note


class House:
    """The processes of one test."""

    def __init__(self, directory):
        self.directory = directory
        self.processes = []

    def run(self, name, *args):
        p = weirkit.Process(self.directory, name, *args)
        self.processes.append(p)
        return p.start()

    def store(self, name='store', port=0, *args):
        p = self.run(name, 'store', '--data-dir', self.directory / f'{name}-data', '--api', f'127.0.0.1:{port}', *args)
        fix_port(p, '--api', 'api')
        return p

    def collector(self, store_url, name='collector'):
        config = self.directory / f'{name}.yaml'
        config.write_text(COLLECTOR_YAML.format(grpc=0, http=0, store=store_url))
        p = self.run(name, 'collector', '--config', config, '--data-dir', self.directory / f'{name}-data')
        # a restart comes back where its clients look for it
        config.write_text(COLLECTOR_YAML.format(grpc=p.port('grpc'), http=p.port('http'), store=store_url))
        return p

    def up(self, name='up', *args):
        return self.run(name, 'up', '--data-dir', self.directory / f'{name}-data', '--grpc', '127.0.0.1:0', '--http',
                        '127.0.0.1:0', '--api', '127.0.0.1:0', '--ui', '127.0.0.1:0', *args)

    def end(self):
        troubles = []
        for p in reversed(self.processes):
            if p.alive():
                try:
                    p.stop()
                except AssertionError as e:
                    troubles.append(str(e))
            elif p.child is not None and p.child.returncode not in (0, -9):
                troubles.append(f'{p.name} had ended with {p.child.returncode}:\n{p.tail()}')
        assert not troubles, '\n'.join(troubles)


def fix_port(p, option, name):
    """A restart of `p` takes the port it got the first time."""
    at = p.args.index(option) + 1
    p.args[at] = f'127.0.0.1:{p.port(name)}'


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.setenv('WEIR_SPOOL_DIR', str(tmp_path / 'spool'))  # of every libweir in it
    h = House(tmp_path)
    yield h
    h.end()


@pytest.fixture
def chain(house):
    """Collector and store as two processes, the collector exporting to the store."""
    store = house.store()
    return house.collector(store.address['api']), store


def node():
    return shutil.which('node') or pytest.skip('no node on this machine')


def run_js(script, *args, timeout=60):
    """Runs a program of js/ with the stock clients of build/npm; skips when they could not be installed."""
    missing = NPM / 'missing'
    if missing.exists():
        pytest.skip(f'npm clients could not be installed: {missing.read_text().strip()}')
    if not (NPM / 'node_modules').exists():
        pytest.skip('npm clients are not installed: run tools/clients')
    target = NPM / script
    shutil.copy(HERE / 'js' / script, target)  # a module finds its packages from where it lies
    r = subprocess.run([node(), target, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                       timeout=timeout)
    assert r.returncode == 0, f'{script}: {r.stdout}{r.stderr}'
    return r.stdout
