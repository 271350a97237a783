"""Stock Loki clients over the push API."""
import json

import pytest

from conftest import run_js
from weirkit import Loki, wait_for


def by_line(loki, query, count):
    found = wait_for(f'{count} entries of {query}', lambda: (e := loki.entries(query)) and len(e) >= count and e)
    assert len(found) == count
    return found


def test_pino_loki(house):
    store = house.store()
    run_js('pino_loki.mjs', store.address['api'])
    found = by_line(Loki(store.address['api']), '{app="pino_app"}', 2)
    assert {(e.labels['level'], json.loads(e.line)['msg']) for e in found} == {('info', 'paid by pino'), ('error', 'refused by pino')}
    for e in found:
        assert e.labels['env'] == 'test' and e.labels['service_name'] == 'pino_app'
        assert e.metadata['detected_level'] == e.labels['level']


@pytest.mark.parametrize('encoding', ['json', 'protobuf'])
def test_winston_loki(house, encoding):
    store = house.store()
    run_js('winston_loki.mjs', store.address['api'], encoding)
    found = by_line(Loki(store.address['api']), '{app="winston_app"}', 2)
    assert {(e.labels['level'], e.line.split(' {')[0]) for e in found} == {('info', 'paid by winston'), ('error', 'refused by winston')}
    assert all(e.labels['encoding'] == encoding for e in found)
