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


@pytest.fixture(scope='module')
def compiled(installed, tmp_path_factory):
    """Compiles an app of apps/ against what is installed; gives it back with the environment it runs in."""
    (pc,) = installed.rglob('weir.pc')
    environment = {**os.environ, 'PKG_CONFIG_PATH': str(pc.parent), 'PKG_CONFIG_SYSROOT_DIR': str(installed)}
    flags = subprocess.run(['pkg-config', '--cflags', '--libs', 'weir'], env=environment, check=True, capture_output=True,
                           text=True).stdout.split()

    def compile_app(name, *options):
        program = tmp_path_factory.mktemp(name) / name
        subprocess.run(['cc', '-std=c11', '-Wall', '-Wextra', '-Werror', *options, HERE / f'apps/{name}.c', '-o', program, *flags],
                       check=True)
        return program, {**os.environ, 'LD_LIBRARY_PATH': str(pc.parent.parent)}

    return compile_app


def test_an_app_in_c(house, compiled):
    program, environment = compiled('bug_service')
    up = house.up()
    environment |= {'OTEL_EXPORTER_OTLP_ENDPOINT': up.address['grpc'], 'OTEL_RESOURCE_ATTRIBUTES': 'service.instance.id=1',
                    'OTEL_BLRP_MAX_QUEUE_SIZE': '5000'}
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


def test_an_unchanged_syslog_program(house, compiled):
    program, environment = compiled('old_daemon', '-include', 'weir/syslog.h')
    up = house.up()
    environment |= {'OTEL_EXPORTER_OTLP_ENDPOINT': up.address['grpc'], 'OTEL_SERVICE_NAME': 'old',
                    'OTEL_EXPERIMENTAL_RESOURCE_DETECTORS': 'process,host,os'}
    r = subprocess.run([program], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert (r.returncode, r.stdout, r.stderr) == (0, '', '')
    entries = wait_for('both lines', lambda: (e := Loki(up.address['api']).entries('{service_name="old"}')) and len(e) == 2 and e)
    first, second = sorted(entries, key=lambda e: e.line)
    assert (first.line, first.labels['level']) == ('cannot open /etc/daemon.conf: No such file or directory', 'err')
    assert (second.line, second.labels['level']) == ('using defaults', 'notice')
    assert (first.metadata['severity_number'], second.metadata['severity_number']) == ('17', '10')
    assert (first.metadata['syslog_facility_name'], second.metadata['syslog_facility_name']) == ('daemon', 'mail')
    assert first.metadata['scope_name'] == 'old_daemon'
    everything = first.labels | first.metadata
    assert everything['syslog_procid'] == everything['process_pid']
    assert everything['process_executable_path'] == str(program)
    assert everything['host_name'] == os.uname().nodename and everything['os_type'] == 'linux'
