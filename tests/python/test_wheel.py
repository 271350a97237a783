"""Wheel and sdist, from this checkout into fresh environments: what pip makes of pyproject.toml."""
import subprocess
import sys
import zipfile

import pytest

from conftest import ROOT, environment

LOG_ONE = '''
import logging, sys, weir
logging.getLogger().addHandler(weir.LoggingHandler(service_name='wheel', endpoint=sys.argv[1], protocol='http/protobuf'))
logging.error('from the wheel')
print(weir._weir.__file__)
'''


def pip(python, *arguments):
    r = subprocess.run([python, '-m', 'pip', '--disable-pip-version-check', *map(str, arguments)], capture_output=True, text=True, timeout=900)
    if r.returncode and any(text in r.stdout + r.stderr for text in ('No matching distribution', 'NewConnectionError', 'Could not fetch URL')):
        pytest.skip('the build backend cannot be had: ' + (r.stderr.strip().splitlines() or ['?'])[-1][:200])
    assert r.returncode == 0, r.stdout[-4000:] + r.stderr[-4000:]
    return r.stdout


def fresh(path):
    subprocess.run([sys.executable, '-m', 'venv', path], check=True)
    return path / 'bin/python'


def test_wheel_and_sdist(tmp_path, receiver):
    if not (ROOT / '.git').exists():
        pytest.skip('an sdist is made of a git checkout, and this is none')
    tools = fresh(tmp_path / 'tools')
    pip(tools, 'install', '-q', 'build')
    made = subprocess.run([tools, '-m', 'build', '--sdist', '--outdir', tmp_path / 'out', ROOT], capture_output=True, text=True, timeout=900)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    (sdist,) = (tmp_path / 'out').glob('weir-*.tar.gz')
    app = fresh(tmp_path / 'app')
    pip(app, 'wheel', '-q', '--no-deps', '-w', tmp_path / 'out', sdist)
    (wheel,) = (tmp_path / 'out').glob('*.whl')
    assert '-cp39-abi3-linux_' in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    assert {'weir/_weir.abi3.so', 'weir/py.typed', 'weir/_weir.pyi', 'weir/sdk/_logs/__init__.py'} <= set(names)
    assert not [n for n in names if '__pycache__' in n or not n.startswith('weir')]
    pip(app, 'install', '-q', wheel)
    env = environment()
    env.pop('PYTHONPATH')
    where = subprocess.run([app, '-c', LOG_ONE, receiver.endpoint], env=env, capture_output=True, text=True, timeout=60)
    assert where.returncode == 0, where.stderr
    assert receiver.records()[0].body == 'from the wheel' and str(tmp_path) in where.stdout
    symbols = subprocess.run(['nm', '-D', '--defined-only', where.stdout.strip()], check=True, capture_output=True, text=True).stdout
    assert [line.split()[-1] for line in symbols.splitlines()] == ['PyInit__weir']
