"""What one logging.info("order %s accepted", n) costs the thread that calls it: weir's handler beside the stock one.

usage: PYTHONPATH=build/python/lib build/venv/bin/python bench/python_log.py [ROUNDS] [CALLS]

Rounds alternate between the ways, in one process, over one collector in another process; a call is timed on its own. `logging alone`
has a handler that does nothing: what logging itself costs, and no handler can save. `weir` is as its handler sets it up; `weir,
logging as it is` has WEIR_ACCELERATE_LOGGING=false in force. Prints the median of the rounds' medians with their range, the 99th
percentile, and how many times as long the stock handler takes.
"""
import concurrent.futures
import logging
import subprocess
import sys
import time
import warnings


def collector():
    import grpc
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceServicer, add_LogsServiceServicer_to_server

    class Sink(LogsServiceServicer):
        def Export(self, request, context):
            return ExportLogsServiceResponse()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    add_LogsServiceServicer_to_server(Sink(), server)
    print(server.add_insecure_port('127.0.0.1:0'), flush=True)
    server.start()
    sys.stdin.read()


class Nothing(logging.Handler):
    def handle(self, record):
        return True


def weir_handler(endpoint):
    from weir.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from weir.sdk._logs import LoggerProvider, LoggingHandler
    from weir.sdk._logs.export import BatchLogRecordProcessor
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint, insecure=True)))
    return LoggingHandler(logger_provider=provider), provider


def stock_handler(endpoint):
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=endpoint, insecure=True)))
    return LoggingHandler(logger_provider=provider), provider


def one_round(log, calls):
    clock, took = time.perf_counter_ns, []
    for n in range(calls):
        start = clock()
        log.info('order %s accepted', n)
        took.append(clock() - start)
    return took


def main():
    rounds, calls = (int(a) for a in (sys.argv[1:] + ['30', '2000'][len(sys.argv) - 1:]))
    sink = subprocess.Popen([sys.executable, __file__, 'collector'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    endpoint = f'http://127.0.0.1:{sink.stdout.readline().strip()}'
    warnings.simplefilter('ignore', DeprecationWarning)
    import weir
    log = logging.getLogger('bench')
    log.propagate = False
    log.setLevel(logging.INFO)
    ours = weir_handler(endpoint)
    took = {}

    def measure(name, handler, provider, accelerated):
        log.handlers = [handler]
        weir.accelerate_logging(accelerated)
        one = sorted(one_round(log, calls))
        if provider is not None:
            provider.force_flush()
        took.setdefault(name, []).append(one)
    for _ in range(rounds):  # before the stock SDK, and with it the OpenTelemetry API, is there
        measure('weir, no OpenTelemetry API loaded', *ours, True)
    stock = stock_handler(endpoint)
    ways = {'logging alone': (Nothing(), None, False), 'weir, logging as it is': (*ours, False), 'weir': (*ours, True),
            'stock': (*stock, False)}
    for _ in range(rounds):
        for name, way in ways.items():
            measure(name, *way)
    median = {}
    for name, each in took.items():
        del each[0]  # it warmed up
        middles = sorted(values[len(values) // 2] / 1000 for values in each)
        p99 = sorted(value for values in each for value in values)[len(each) * calls * 99 // 100] / 1000
        median[name] = middles[len(middles) // 2]
        print(f'{name:36} median {median[name]:7.2f} µs ({middles[0]:.2f} to {middles[-1]:.2f})   p99 {p99:7.2f} µs')
    for name in ('weir', 'weir, logging as it is'):
        print(f'stock / {name}: {median["stock"] / median[name]:.1f}')
    print('weir:', ours[1].stats())
    for _, provider in (ours, stock):
        provider.shutdown()
    sink.stdin.close()
    sink.wait()


if __name__ == '__main__':
    collector() if sys.argv[1:] == ['collector'] else main()
