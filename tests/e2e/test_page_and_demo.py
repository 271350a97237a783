"""The demo's services show up, and the page works in a real browser."""
import os
import shutil
import subprocess

import pytest

from conftest import node
from weirkit import ROOT, WEIR, Loki, wait_for

SERVICES = {'user_service', 'plant_service', 'simulation_service', 'websocket_service', 'bug_service'}


@pytest.fixture
def demo(house):
    """`weir up` with the demo's services logging into it."""
    up = house.up()
    log = (house.directory / 'demo.log').open('wb')
    child = subprocess.Popen([WEIR, 'demo', '--endpoint', up.address['grpc']], cwd=house.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    yield up
    child.terminate()
    try:
        code = child.wait(15)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        raise AssertionError('the demo still ran 15 s after SIGTERM') from None
    finally:
        log.close()
    assert code == 0, (house.directory / 'demo.log').read_text()


def test_all_five_services_log(demo):
    loki = Loki(demo.address['api'])
    wait_for('all services', lambda: set(loki.data('/loki/api/v1/label/service_name/values') or []) >= SERVICES, 40)
    assert set(loki.data('/loki/api/v1/label/service_name/values')) == SERVICES
    for service in SERVICES:
        wait_for(f'lines of {service}', lambda s=service: loki.count(f'{{service_name="{s}"}}') > 0)


def test_the_page_in_a_browser(demo):
    browser = next((b for b in map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome')) if b), None)
    script = ROOT / 'build/src/ui/web/e2e/page.test.mjs'  # beside the packages it needs
    if not browser:
        pytest.skip('no Chromium on this machine')
    if not script.exists():
        pytest.skip('this build has no page')
    loki = Loki(demo.address['api'])
    wait_for('lines to show', lambda: loki.count('{service_name=~".+"}') > 50, 40)
    r = subprocess.run([node(), '--test', script], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240,
                       env={**os.environ, 'WEIR_URL': demo.address['ui'], 'WEIR_CHROMIUM': browser})
    broken = [block for block in r.stdout.split('# Subtest: ') if '\nnot ok' in block]
    assert r.returncode == 0, '\n'.join(broken) or r.stdout + r.stderr
