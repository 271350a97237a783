"""`weir run`: programs as they are, their output as records in `weir up`."""
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from weirkit import WEIR, Loki, wait_for

SECONDS = 60


@pytest.fixture
def receiver(house):
    return house.up()


class Run:
    """A `weir run` with its environment; what it shipped is looked for by the service's name."""

    def __init__(self, up):
        self.up = up
        self.loki = Loki(up.address['api'])
        self.environment = {**os.environ, 'OTEL_EXPORTER_OTLP_ENDPOINT': up.address['grpc']}
        self.children = []

    def arguments(self, options, command):
        return [str(WEIR), 'run', '--service', 'it', *options, '--', *map(str, command)]

    def __call__(self, *command, options=(), stdin=b'', code=0):
        r = subprocess.run(self.arguments(options, command), env=self.environment, input=stdin, capture_output=True, timeout=SECONDS)
        assert r.returncode == code, r.stderr
        return r

    def start(self, *command, options=(), **more):
        child = subprocess.Popen(self.arguments(options, command), env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, **more)
        self.children.append(child)
        return child

    def entries(self, selector='{service_name="it"}', n=None):
        """All of them, once there are n: the records of a run that has ended have been delivered."""
        return wait_for(f'{n} entries', lambda: (e := self.loki.all_entries(selector)) and (n is None or len(e) >= n) and e)


@pytest.fixture
def run(receiver):
    r = Run(receiver)
    yield r
    for child in r.children:
        if child.poll() is None:
            child.kill()
        child.communicate()


def read_until(stream, want):
    """Reads a pipe or terminal until `want` is there."""
    fd = stream if isinstance(stream, int) else stream.fileno()
    text, deadline = b'', time.monotonic() + SECONDS
    while want not in text:
        assert select.select([fd], [], [], max(deadline - time.monotonic(), 0))[0], f'{want} did not come: {text}'
        piece = os.read(fd, 4096)
        assert piece, f'it ended without {want}: {text}'
        text += piece
    return text


def python(code):
    return sys.executable, '-u', '-c', code


def test_lines_become_records(run):
    r = run('sh', '-c', 'echo started; echo "WARN low water" >&2; echo', options=['--attr', 'deployment.environment.name=test'])
    assert (r.stdout, r.stderr) == (b'started\n\n', b'WARN low water\n')
    by_line = {e.line: e for e in run.entries(n=3)}
    assert set(by_line) == {'started', 'WARN low water', 'sh ended with code 0'}
    out, err, end = (by_line[line] for line in ('started', 'WARN low water', 'sh ended with code 0'))
    assert (out.labels['level'], err.labels['level'], end.labels['level']) == ('INFO', 'WARN', 'INFO')
    assert (out.metadata['log_iostream'], err.metadata['log_iostream']) == ('stdout', 'stderr')
    assert out.metadata['scope_name'] == 'sh' and end.metadata['process_exit_code'] == '0'
    every = {**out.labels, **out.metadata}
    assert every['process_executable_name'] == 'sh' and int(every['process_pid']) > 0
    assert json.loads(every['process_command_args'])[:2] == ['sh', '-c']
    assert every['deployment_environment_name'] == 'test'


def test_the_service_is_the_program_unless_named(run):
    plain = [str(WEIR), 'run', '--no-exit-record']
    subprocess.run([*plain, 'echo', 'one'], env=run.environment, check=True, timeout=SECONDS)
    subprocess.run([*plain, 'echo', 'two'], env={**run.environment, 'OTEL_SERVICE_NAME': 'named'}, check=True, timeout=SECONDS)
    assert [e.line for e in run.entries('{service_name="echo"}')] == ['one']
    assert [e.line for e in run.entries('{service_name="named"}')] == ['two']


def test_a_traceback_is_one_record(run):
    run(*python('print("begin")\ndef f(): 1/0\nf()'), code=1)
    (trace,) = [e for e in run.entries(n=3) if e.line.startswith('Traceback')]
    assert trace.line.endswith('ZeroDivisionError: division by zero') and trace.line.count('\n') >= 3
    assert trace.labels['level'] == 'ERROR'


def test_a_json_line_is_a_record_with_attributes(run):
    line = {'level': 'warn', 'msg': 'low', 'time': time.time() - 60, 'plant': {'name': 'monstera', 'ml': [1, 2]}, 'n': 7,
            'trace_id': '0123456789abcdef0123456789abcdef', 'span_id': '0123456789abcdef'}
    r = run('echo', json.dumps(line), options=['--no-exit-record'])
    assert r.stdout == json.dumps(line).encode() + b'\n'
    (entry,) = run.entries()
    assert entry.line == 'low' and entry.labels['level'] == 'warn' and entry.metadata['n'] == '7'
    assert abs(entry.ts / 1e9 - line['time']) < 0.001
    assert entry.metadata['plant_name'] == 'monstera' and json.loads(entry.metadata['plant_ml']) == [1, 2]
    assert entry.metadata['trace_id'] == line['trace_id'] and entry.metadata['span_id'] == line['span_id']


def test_json_and_joining_can_be_switched_off(run):
    run('printf', '{"msg":"x"}\n  more\n', options=['--json', 'off', '--multiline', 'off', '--no-exit-record'])
    assert [e.line for e in run.entries(n=2)] == ['{"msg":"x"}', '  more']


def test_a_regular_expression_joins(run):
    run('printf', '#1 a\nb\n#2 c\n', options=['--multiline', '^#', '--no-exit-record'])
    assert [e.line for e in run.entries(n=2)] == ['#1 a\nb', '#2 c']


def test_exit_codes(run):
    assert run('sh', '-c', 'exit 3', code=3).stderr == b''
    run('sh', '-c', 'kill -9 $$', code=137)
    assert b"cannot run 'no-such-program': No such file" in run('no-such-program', code=127).stderr
    assert b"cannot run '/': Permission denied" in run('/', code=126).stderr
    ends = {e.line: e for e in run.entries(n=4)}
    assert ends['sh ended with code 3'].labels['level'] == 'ERROR'
    killed = ends['sh was ended by signal 9 (Killed)']
    assert killed.metadata['process_exit_code'] == '137' and killed.metadata['weir_exit_signal'] == '9'


def test_a_bad_setting_starts_nothing(run, tmp_path):
    mark = tmp_path / 'was-started'
    for options, why in ((['--endpoint', 'gopher://x'], b'gopher'), (['--multiline', '('], b'--multiline'), (['--json', 'on'], b'--json'),
                         (['--attr', 'x'], b'--attr'), (['--record-bytes', '1'], b'--record-bytes'), (['--sevrice', 'x'], b'--service'),
                         (['--stderr-severity', 'loud'], b'--stderr-severity'), (['--protocol', 'udp'], b'--protocol'),
                         (['--spool-dir', '/dev/null/x'], b'--spool-dir')):
        assert why in run('touch', mark, options=options, code=2).stderr
    assert not mark.exists()


def test_signals_reach_the_program(run):
    code = '''import signal, sys
def got(n, _):
    print(signal.Signals(n).name, flush=True)
    if n == signal.SIGTERM: sys.exit(7)
for n in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGTERM):
    signal.signal(n, got)
print('ready', flush=True)
while True: signal.pause()'''
    child = run.start(*python(code))
    read_until(child.stdout, b'ready\n')
    for n in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGTERM):
        child.send_signal(n)
        assert read_until(child.stdout, b'\n') == n.name.encode() + b'\n'
    assert child.wait(SECONDS) == 7


def test_ctrl_c_on_a_terminal_arrives_once(run):
    code = '''import signal, sys, time
def got(n, _): print('got', n, flush=True)
signal.signal(signal.SIGINT, got)
print('ready', flush=True)
print('bye', sys.stdin.readline().strip(), flush=True)'''
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(WEIR, run.arguments([], python(code)), run.environment)
    try:
        read_until(terminal, b'ready')
        os.write(terminal, b'\x03')
        text = read_until(terminal, b'got 2')
        os.write(terminal, b'now\n')  # a second SIGINT would have been handled before this is read
        text += read_until(terminal, b'bye now')
        assert text.count(b'got 2') == 1
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(terminal)


def test_the_program_does_not_outlive_us(run):
    child = run.start(*python('import os, time; print(os.getpid(), flush=True); time.sleep(600)'))
    program = int(read_until(child.stdout, b'\n'))
    child.kill()
    child.wait(SECONDS)

    def gone():
        try:
            with open(f'/proc/{program}/stat') as f:
                return f.read().rsplit(')', 1)[1].split()[0] == 'Z'
        except FileNotFoundError:
            return True
    wait_for('the end of the program', gone)


def test_a_prompt_passes_at_once(run):
    child = run.start('sh', '-c', 'printf "Name: "; read name; echo "hello $name"')
    read_until(child.stdout, b'Name: ')  # not a line yet, and it waits for us
    child.stdin.write(b'weir\n')
    child.stdin.flush()
    read_until(child.stdout, b'hello weir\n')
    assert child.wait(SECONDS) == 0
    assert 'Name: hello weir' in [e.line for e in run.entries(n=2)]


def test_records_come_while_the_program_runs(run):
    child = run.start('sh', '-c', 'echo waiting; read x')
    assert [e.line for e in run.entries()] == ['waiting']
    child.stdin.close()
    child.stdin = None
    assert child.wait(SECONDS) == 1


def test_quiet_and_bytes_unchanged(run):
    every = bytes(range(256)) * 3
    code = f'import sys; sys.stdout.buffer.write(bytes.fromhex("{every.hex()}")); sys.stderr.buffer.write(b"no end")'
    r = run(*python(code))
    assert (r.stdout, r.stderr) == (every, b'no end')
    r = run(*python(code), options=['--quiet'])
    assert (r.stdout, r.stderr) == (b'', b'')
    assert len([e for e in run.entries(n=6) if e.line == 'no end']) == 2


def test_colours_are_stripped(run):
    r = run('printf', '\033[31mERROR\033[0m: red\n', options=['--no-exit-record'])
    assert r.stdout == b'\033[31mERROR\033[0m: red\n'
    assert [(e.line, e.labels['level']) for e in run.entries()] == [('ERROR: red', 'ERROR')]


def test_many_lines_are_all_there_once(run, measured):
    began = time.monotonic()
    r = run('seq', '-f', 'line %06g', '1', '100000', options=['--no-exit-record'])
    measured(f'100000 lines in {time.monotonic() - began:.2f} s, delivered')
    assert r.stdout.count(b'\n') == 100000
    wait_for('all lines', lambda: run.loki.count('{service_name="it"}') >= 100000)
    assert run.loki.count('{service_name="it"}') == 100000
    assert {e.line for e in run.entries(n=100000)} == {f'line {n:06d}' for n in range(1, 100001)}


def test_equal_lines_are_as_many_records(run):
    run(*python('print("tick\\n" * 1000, end="")'), options=['--no-exit-record'])
    wait_for('all lines', lambda: run.loki.count('{service_name="it"}') >= 1000)
    assert run.loki.count('{service_name="it"}') == 1000


def test_a_long_line_comes_in_parts(run):
    run(*python('print("x" * 1000000 + "end")'), options=['--record-bytes', '100KiB', '--no-exit-record'])
    parts = sorted(run.entries(n=10), key=lambda e: int(e.metadata['weir_line_part']))
    assert ''.join(e.line for e in parts) == 'x' * 1000000 + 'end'
    assert [e.metadata['weir_line_last'] for e in parts] == ['false'] * 9 + ['true']


def test_a_closed_stdout_does_not_stop_shipping(run):
    child = run.start(*python('import sys\nsys.stdin.readline()\nfor n in range(50000): print("after", n)\nsys.exit(4)'))
    child.stdout.close()
    child.stdin.write(b'go\n')
    child.stdin.flush()
    assert child.wait(SECONDS) == 4
    wait_for('all lines', lambda: run.loki.count('{service_name="it"} |= "after"') >= 50000)
    child.stdout = None


def test_a_slow_reader_gets_everything(run):
    child = run.start('seq', '1', '600000')
    time.sleep(0.5)  # more than pipes and buffers hold is waiting by now, or soon
    assert child.stdout.read() == b''.join(b'%d\n' % n for n in range(1, 600001))
    assert child.wait(SECONDS) == 0


def test_a_receiver_that_is_gone_does_not_hold_the_program_up(run):
    run.up.kill()
    r = run('sh', '-c', 'seq 1 200000; exit 5', options=['--shutdown-timeout', '10ms'], code=5)
    assert r.stdout.count(b'\n') == 200000


def test_a_grandchild_that_holds_the_pipe(run):
    child = run.start('sh', '-c', 'sleep 600 & echo $!; exit 6', options=['--drain-timeout', '200ms'])
    sleeper = int(child.stdout.readline())
    try:
        assert child.wait(SECONDS) == 6
        assert b'--drain-timeout' in child.stderr.read()
    finally:
        os.kill(sleeper, signal.SIGKILL)
    child = run.start('sh', '-c', 'sleep 600 & echo $!; exit 6', options=['--drain-timeout', '600s'])
    sleeper = int(child.stdout.readline())
    os.kill(sleeper, signal.SIGKILL)  # the last one that held it
    assert child.wait(SECONDS) == 6


def test_options_of_the_program_are_its_own(run):
    r = subprocess.run([str(WEIR), 'run', '--quiet', '--no-exit-record', 'echo', '--help', '--attr', 'x'], env=run.environment,
                       capture_output=True, timeout=SECONDS)
    assert (r.returncode, r.stdout) == (0, b'')
    assert [e.line for e in run.entries('{service_name="echo"}')] == ['--help --attr x']
    r = subprocess.run([str(WEIR), 'run', '--quiet', '--help'], capture_output=True, timeout=SECONDS)
    assert r.returncode == 0 and b'--drain-timeout' in r.stdout


def test_closed_descriptors_are_not_mixed_up(run):
    """Pipes of ours must not become somebody's stdin or stdout because these were closed."""
    command = ' '.join(run.arguments(['--no-exit-record'], ['sh', '-c', '"echo out; cat; echo err >&2"']))
    r = subprocess.run(['sh', '-c', f'{command} <&- >&- 2>&-'], env=run.environment, timeout=SECONDS)
    assert r.returncode == 0
    assert sorted(e.line for e in run.entries(n=2)) == ['err', 'out']


def test_switched_off_it_only_runs_the_program(run):
    run.environment['OTEL_SDK_DISABLED'] = 'true'
    assert run('echo', 'x').stdout == b'x\n'
