"""Somebody sets the clock, to and fro, by hours, all the time."""
import time

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from faultkit import APPS, app_running, assert_in_order, left_in
from test_outage import SECONDS, environment, lost, receiver, through_an_outage  # noqa: F401  (a fixture)


def times(bodies):
    for body in bodies:
        for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
            for scope in resource.scope_logs:
                yield from (r.observed_time_unix_nano / 1e9 for r in scope.log_records)


def test_wall_clock_jumps(tmp_path, receiver, measured):  # noqa: F811
    spool = tmp_path / 'spool'
    began = time.monotonic()
    with app_running(environment(spool, receiver, LD_PRELOAD=APPS / 'clock.so'), 2000, 2, tmp_path / 'app.log') as app:
        through_an_outage(app, receiver, 'unavailable', min(SECONDS * 0.6, 20))
        stats = app.stop()
    wall = time.monotonic() - began
    seen = list(times(receiver.samples))
    assert max(seen) - min(seen) > 3600, 'the clock did not jump'
    assert lost(stats) == 0 and stats['exported'] == stats['emitted']
    assert_in_order(receiver, app.emitted)
    # a loop that does not sleep takes a second of it every second
    assert app.cpu < wall * 0.6 + 0.5, f'{app.cpu} s of CPU in {wall:.1f} s'
    assert left_in(spool) == []
    measured(f'{stats["emitted"]} records in {wall:.1f} s, times over {(max(seen) - min(seen)) / 3600:.1f} h, cpu {app.cpu:.2f} s')
