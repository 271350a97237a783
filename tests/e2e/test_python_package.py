"""The Python package weir in the place of the stock SDK: the app's import lines change, its records do not."""
import os
import re
import subprocess
import sys

import pytest

from conftest import HERE
from weirkit import ROOT, Loki, wait_for

LIB = ROOT / 'build/python/lib'


def run(program, endpoint, *commands):
    if not (LIB / 'weir').exists():
        pytest.skip('the Python package is not built (no Python.h)')
    environment = {**os.environ, 'PYTHONPATH': str(LIB), 'OTEL_RESOURCE_ATTRIBUTES': 'deployment.environment=test,team=a'}
    r = subprocess.run([sys.executable, program, endpoint, *map(str, commands)], env=environment, stdin=subprocess.DEVNULL,
                       capture_output=True, text=True, timeout=60)
    assert r.returncode == 0 and 'rror' not in r.stderr, r.stderr
    return r.stdout


def test_only_the_import_lines_change(house):
    source = (HERE / 'apps/bug_service.py').read_text()
    ours, changed = re.subn(r'^from opentelemetry', 'from weir', source, flags=re.M)
    assert changed == 5 and 'from opentelemetry' not in ours
    commands = ['log', 'INFO', 'Bug triggered in http://user_service:5001', 'log', 'ERROR', 'grüße 🌊', 'log', 'CRITICAL', '', 'flush', 'many', 50, 0]
    found = []
    for name, text in (('stock', source), ('ours', ours)):
        program = house.directory / name / 'bug_service.py'
        program.parent.mkdir()
        program.write_text(text)
        up = house.up(name + '-up')
        said = run(program, up.address['grpc'], *commands)
        assert 'flushed' in said and 'not-flushed' not in said
        loki = Loki(up.address['api'])
        entries = wait_for('all records', lambda: len(e := loki.entries('{service_name="bug_service"}')) == 53 and e)
        found.append([(e.line, e.labels, {k: v for k, v in e.metadata.items() if not k.startswith('telemetry_sdk')
                                          and k not in ('observed_timestamp', 'code_file_path')}) for e in entries])
        assert {e.metadata.get('telemetry_sdk_name') for e in entries} == {'opentelemetry' if name == 'stock' else 'weir'}
        assert {e.metadata['code_file_path'] for e in entries} == {str(program)}
        assert all(e.metadata['telemetry_sdk_language'] == 'python' for e in entries)
    assert found[0] == found[1]
