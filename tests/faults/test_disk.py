"""Trouble with the directory of the spool: it cannot be had, it is full, it fills up, it goes away. The app goes on, nothing
blocks, and what is lost is counted."""
import os
import shutil
import subprocess

import pytest

from faultkit import APPS, app_running, left_in
from test_outage import environment, lost, receiver  # noqa: F401  (a fixture)
from weirkit import wait_for

RATE = 2000
IN_MEMORY = 'records will not survive a crash of this process'


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a file system of so many bytes; it is gone after the test."""
    mounted = []

    def mount(size, options='rw'):
        where = tmp_path / f'disk{len(mounted)}'
        where.mkdir()
        r = subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size},{options}', 'none', where], capture_output=True, text=True)
        if r.returncode != 0:
            pytest.skip(f'no file system can be mounted here: {r.stderr.strip()}')
        mounted.append(where)
        return where
    yield mount
    for where in mounted:
        subprocess.run(['umount', '-l', where], check=True)


def fill(disk):
    """Somebody else takes all that is left. The file was made before: not even that takes room."""
    with open(disk / 'filler', 'r+b', buffering=0) as f:
        try:
            while f.write(bytes(4096)) == 4096:
                pass
        except OSError:
            pass
    return disk / 'filler'


def runs_in_memory(tmp_path, receiver, spool, measured, **popen):  # noqa: F811
    """First with a receiver, then without: what is over the queue's size is dropped, and counted."""
    with app_running(environment(spool, receiver), RATE, 2, tmp_path / 'app.log', **popen) as app:
        wait_for('first records', lambda: receiver.count() > 500)
        assert app.stats()['exported'] > 0
        receiver.become('down')
        wait_for('the queue is full', lambda: app.stats()['dropped_queue_full'] > 0)
        receiver.become('ok')
        stats = app.stop()
    assert stats['exported'] + stats['dropped_queue_full'] == stats['emitted'] and stats['exported'] == receiver.count()
    for thread, numbers in receiver.numbers.items():
        assert numbers == sorted(set(numbers)) and numbers[-1] == app.emitted[thread] - 1
    assert app.errors().count(IN_MEMORY) == 1, app.errors()
    measured(f'{stats["exported"]} of {stats["emitted"]} delivered, the others counted')


def test_no_directory_can_be_made(tmp_path, receiver, measured):  # noqa: F811
    (tmp_path / 'file').write_text('no directory')
    runs_in_memory(tmp_path, receiver, tmp_path / 'file' / 'spool', measured)


def test_directory_of_somebody_else(tmp_path, receiver, measured):  # noqa: F811
    if os.geteuid() != 0:
        runs_in_memory(tmp_path, receiver, '/proc/weir', measured)
        return
    spool = tmp_path / 'spool'
    spool.mkdir(mode=0o700)
    nobody = 65534
    if subprocess.run(['test', '-x', APPS / 'outage_app'], user=nobody, cwd='/').returncode != 0:
        pytest.skip('another user cannot run the programs of this directory')
    runs_in_memory(tmp_path, receiver, spool, measured, user=nobody, cwd='/')


def test_read_only_file_system(tmp_path, receiver, small_disk, measured):  # noqa: F811
    runs_in_memory(tmp_path, receiver, small_disk('1m', 'ro') / 'spool', measured)


def test_full_from_the_start(tmp_path, receiver, small_disk, measured):  # noqa: F811
    disk = small_disk('1m')  # smaller than a ring
    runs_in_memory(tmp_path, receiver, disk / 'spool', measured)
    assert left_in(disk / 'spool') == []


@pytest.mark.parametrize('when_full', ['drop_oldest', 'drop_newest'])
def test_fills_up_in_an_outage(tmp_path, receiver, small_disk, measured, when_full):  # noqa: F811
    disk = small_disk('3m')
    (disk / 'filler').touch()
    settings = environment(disk / 'spool', receiver, WEIR_RING_BYTES=256 << 10, WEIR_SPOOL_WHEN_FULL=when_full)
    with app_running(settings, RATE, 2, tmp_path / 'app.log') as app:
        wait_for('first records', lambda: receiver.count() > 500)
        receiver.become('down')
        wait_for('some are on disk', lambda: app.stats()['spilled'] > 500)
        filler = fill(disk)  # not all of it: somebody else did that
        wait_for('some had to go', lambda: lost(app.stats()) > 2000, 30)
        assert app.child.poll() is None
        if when_full == 'drop_newest':
            filler.unlink()  # and now there is room again
        receiver.become('ok')
        stats = app.stop()
    measured(f'{stats["emitted"]} emitted, {stats["exported"]} delivered, {stats["dropped_queue_full"]} gave way, '
             f'{stats["dropped_ring_full"]} found no room')
    assert stats['exported'] + lost(stats) == stats['emitted']
    assert lost(stats) == stats['dropped_queue_full'] + stats['dropped_ring_full']
    assert receiver.count() == stats['exported']
    for numbers in receiver.numbers.values():
        assert numbers == sorted(set(numbers))
    assert 'No space left' in app.errors(), app.errors()
    assert left_in(disk / 'spool') == []


def test_directory_is_removed_under_a_running_app(tmp_path, receiver, measured):  # noqa: F811
    spool = tmp_path / 'spool'
    settings = environment(spool, receiver, WEIR_RING_BYTES=256 << 10)
    with app_running(settings, RATE, 2, tmp_path / 'app.log') as app:
        wait_for('first records', lambda: receiver.count() > 500)
        receiver.become('down')
        wait_for('some are on disk', lambda: app.stats()['spilled'] > 500)
        shutil.rmtree(spool)
        emitted = app.stats()['emitted']
        wait_for('it goes on', lambda: app.stats()['emitted'] > emitted + 3 * RATE)
        receiver.become('ok')
        stats = app.stop()
    measured(f'{stats["emitted"]} emitted, {stats["exported"]} delivered, {lost(stats)} counted as lost')
    assert stats['exported'] + lost(stats) == stats['emitted'] and stats['exported'] == receiver.count()
    assert 'was removed while it was in use' in app.errors(), app.errors()
    for numbers in receiver.numbers.values():
        assert numbers == sorted(set(numbers))
