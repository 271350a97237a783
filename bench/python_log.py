"""What one logging.info("order %s accepted", n) costs the thread that calls it: weir's handler beside the stock one.

usage: PYTHONPATH=build/python/lib build/venv/bin/python bench/python_log.py [ROUNDS] [CALLS]

Rounds alternate between the handlers, in one process, over one collector in another process; a call is timed on its own. `nothing`
is a handler that does nothing: what logging itself costs, and nobody's handler can save. Prints median and 99th percentile, and
ratios: of whole calls, and of what the handlers add to logging's own.
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
    handlers = {'nothing': (Nothing(), None)}
    import weir
    handlers['weir'] = weir_handler(endpoint)
    alone = []  # before the stock SDK, and with it the OpenTelemetry API, is loaded
    log = logging.getLogger('bench')
    log.propagate = False
    log.setLevel(logging.INFO)
    log.handlers = [handlers['weir'][0]]
    for _ in range(rounds):
        alone += one_round(log, calls)
        handlers['weir'][1].force_flush()
    handlers['stock'] = stock_handler(endpoint)
    took, accelerated = {name: [] for name in handlers}, []
    for number in range(rounds + 1):
        for name, (handler, provider) in handlers.items():
            log.handlers = [handler]
            measured = one_round(log, calls)
            if number:  # the first warms up
                took[name] += measured
            if provider is not None:
                provider.force_flush()
        weir.accelerate_logging()
        log.handlers = [handlers['weir'][0]]
        measured = one_round(log, calls)
        accelerated += measured if number else []
        weir.accelerate_logging(False)
        handlers['weir'][1].force_flush()
    took['weir, no OpenTelemetry API loaded'] = alone
    took['weir, accelerate_logging()'] = accelerated
    for name, values in took.items():
        values.sort()
        print(f'{name:36} median {values[len(values) // 2] / 1000:7.2f} µs   p99 {values[len(values) * 99 // 100] / 1000:7.2f} µs')
    median = {name: values[len(values) // 2] for name, values in took.items()}
    print(f'stock / weir, whole call: {median["stock"] / median["weir"]:.1f}')
    print(f'stock / weir, whole call, accelerated: {median["stock"] / median["weir, accelerate_logging()"]:.1f}')
    print(f'stock / weir, what the handler adds: {(median["stock"] - median["nothing"]) / (median["weir"] - median["nothing"]):.1f}')
    print('weir:', handlers['weir'][1].stats())
    for _, provider in handlers.values():
        if provider is not None:
            provider.shutdown()
    sink.stdin.close()
    sink.wait()


if __name__ == '__main__':
    collector() if sys.argv[1:] == ['collector'] else main()
