"""libweir as it is installed: built against with pkg-config, logging into `weir up`."""
import os
import subprocess

import pytest

from conftest import HERE
from weirkit import ROOT, Loki, wait_for


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """What `make install` would put under /usr/local, under a directory of its own."""
    root = tmp_path_factory.mktemp('installed')
    subprocess.run(['meson', 'install', '-C', ROOT / 'build', '--no-rebuild', '--quiet', '--destdir', root], check=True,
                   stdout=subprocess.DEVNULL)
    return root


def test_an_app_in_c(house, installed):
    (pc,) = installed.rglob('weir.pc')
    environment = {**os.environ, 'PKG_CONFIG_PATH': str(pc.parent), 'PKG_CONFIG_SYSROOT_DIR': str(installed)}
    flags = subprocess.run(['pkg-config', '--cflags', '--libs', 'weir'], env=environment, check=True, capture_output=True,
                           text=True).stdout.split()
    program = house.directory / 'bug_service'
    subprocess.run(['cc', '-std=c11', '-Wall', '-Wextra', '-Werror', HERE / 'apps/bug_service.c', '-o', program, *flags], check=True)

    up = house.up()
    environment = {**os.environ, 'OTEL_EXPORTER_OTLP_ENDPOINT': up.address['grpc'], 'OTEL_RESOURCE_ATTRIBUTES': 'service.instance.id=1',
                   'OTEL_BLRP_MAX_QUEUE_SIZE': '5000', 'LD_LIBRARY_PATH': str(pc.parent.parent)}
    r = subprocess.run([program], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stderr
    loki = Loki(up.address['api'])
    (entry,) = wait_for('the line', lambda: loki.entries('{service_name="c_service"} |= "triggered"'))
    assert entry.line == 'Bug triggered in http://user_service:5001'
    assert entry.labels == {'service_name': 'c_service', 'service_instance_id': '1', 'level': 'INFO'}
    assert entry.metadata['code_file_path'].endswith('bug_service.c') and entry.metadata['code_function_name'] == 'main'
    assert entry.metadata['retries'] == '3' and entry.metadata['scope_name'] == 'orders'
    debug = loki.all_entries('{service_name="c_service", level="DEBUG"}')
    assert [e.line for e in debug] == [f'order {n:04d} accepted' for n in range(3000)]
