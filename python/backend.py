"""The build backend: meson-python, and the wheel's name says what is true. It is built with one CPython and works with every later
one from 3.9 on (limited API), so its tag is cp39-abi3, whichever Python built it."""
import base64
import csv
import hashlib
import io
import pathlib
import re
import zipfile

from mesonpy import *  # noqa: F401,F403
import mesonpy

TAG = 'cp39'


def _retagged(text):
    return re.sub(r'^(Tag: )cp\d+-abi3', rf'\g<1>{TAG}-abi3', text, flags=re.M)


def _record(entries):
    """RECORD, with the hash of what was changed made anew."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator='\n')
    for name, data in entries:
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()
        rows.writerow([name, f'sha256={digest}', len(data)])
    return out.getvalue()


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = mesonpy.build_wheel(wheel_directory, config_settings, metadata_directory)
    built = pathlib.Path(wheel_directory, name)
    renamed = built.with_name(re.sub(r'-cp\d+-abi3-', f'-{TAG}-abi3-', name))
    entries = []
    with zipfile.ZipFile(built) as old:
        infos = old.infolist()
        (record,) = [i.filename for i in infos if i.filename.endswith('.dist-info/RECORD')]
        for info in infos:
            data = old.read(info)
            if info.filename.endswith('.dist-info/WHEEL'):
                data = _retagged(data.decode()).encode()
            if info.filename != record:
                entries.append((info, data))
    built.unlink()
    with zipfile.ZipFile(renamed, 'w', zipfile.ZIP_DEFLATED) as new:
        for info, data in entries:
            new.writestr(info, data, zipfile.ZIP_DEFLATED)
        listing = _record((info.filename, data) for info, data in entries) + f'{record},,\n'
        new.writestr(record, listing)
    return renamed.name
