"""An app that logs through the stock OpenTelemetry SDK: nothing in it knows Weir.

usage: bug_service.py GRPC_ENDPOINT COMMAND...     says what it has done on stdout, a word and nanoseconds a line
  log LEVEL TEXT    logs one record            flush          force_flush()
  many COUNT MS     logs COUNT records, MS apart               wait    goes on when a line comes on stdin
"""
import logging
import sys
import time

from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource


def said(word, at):
    print(word, at, flush=True)


def main():
    provider = LoggerProvider(resource=Resource.create({'service.name': 'bug_service', 'service.instance.id': '1'}))
    set_logger_provider(provider)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=sys.argv[1], insecure=True)))
    root = logging.getLogger()
    root.setLevel(logging.DEBUG)
    root.addHandler(LoggingHandler(level=logging.NOTSET, logger_provider=provider))
    logger = logging.getLogger('bug_service')
    for noisy in ('grpc', 'opentelemetry', 'urllib3'):
        logging.getLogger(noisy).propagate = False

    words = iter(sys.argv[2:])
    for word in words:
        if word == 'log':
            level, text = logging.getLevelName(next(words)), next(words)
            at = time.time_ns()
            logger.log(level, text)
            said('logged', at)
        elif word == 'flush':
            done = provider.force_flush()
            said('flushed' if done else 'not-flushed', time.time_ns())
        elif word == 'many':
            count, pause = int(next(words)), int(next(words)) / 1000
            for n in range(count):
                logger.info('order %06d accepted', n)
                time.sleep(pause)
            said('logged', time.time_ns())
        elif word == 'wait':
            sys.stdin.readline()
    provider.shutdown()


main()
