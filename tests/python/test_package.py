"""Names and constructors as an app uses them, exporters and processors written in Python, dictConfig, the one-call set-ups."""
import importlib
import inspect
import io
import json
import logging
import logging.config
import re

import grpc
import pytest

import weir
import weir._logs as api
from conftest import GrpcReceiver
from weir.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcExporter
from weir.exporter.otlp.proto.http import Compression
from weir.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpExporter
from weir.instrumentation.logging import LoggingInstrumentor
from weir.loggingfw import CustomLogFW
from weir.sdk._logs import (ConcurrentMultiLogRecordProcessor, LoggerProvider, LoggingHandler, LogRecordLimits, LogRecordProcessor,
                            SynchronousMultiLogRecordProcessor)
from weir.sdk._logs.export import (BatchLogRecordProcessor, ConsoleLogExporter, ConsoleLogRecordExporter, InMemoryLogExporter,
                                   InMemoryLogRecordExporter, LogRecordExporter, LogRecordExportResult, SimpleLogRecordProcessor)
from weir.sdk.resources import SERVICE_NAME, Resource, get_aggregated_resources


@pytest.fixture(autouse=True)
def as_found():
    """What a test leaves on the root logger and the global provider does not reach the next."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    for handler in [h for h in root.handlers if h not in before]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    api._provider = None


def logger_to(provider, name='package'):
    logger = logging.getLogger(name)
    logger.handlers, logger.propagate = [LoggingHandler(logger_provider=provider)], False
    logger.setLevel(1)
    return logger


MODULES = {
    'opentelemetry._logs': 'SeverityNumber LogRecord Logger LoggerProvider NoOpLogger NoOpLoggerProvider get_logger get_logger_provider set_logger_provider',
    'opentelemetry._logs.severity': 'SeverityNumber',
    'opentelemetry.sdk._logs': 'Logger LoggerProvider LoggingHandler LogRecordProcessor LogRecordLimits LogLimits ReadableLogRecord '
                               'ReadWriteLogRecord SynchronousMultiLogRecordProcessor ConcurrentMultiLogRecordProcessor',
    'opentelemetry.sdk._logs.export': 'BatchLogRecordProcessor SimpleLogRecordProcessor ConsoleLogRecordExporter ConsoleLogExporter LogExporter '
                                      'LogRecordExporter LogExportResult LogRecordExportResult InMemoryLogRecordExporter InMemoryLogExporter',
    'opentelemetry.exporter.otlp.proto.grpc._log_exporter': 'OTLPLogExporter',
    'opentelemetry.exporter.otlp.proto.http._log_exporter': 'OTLPLogExporter',
    'opentelemetry.exporter.otlp.proto.http': 'Compression',
    'opentelemetry.sdk.resources': 'Resource ResourceDetector OTELResourceDetector ProcessResourceDetector OsResourceDetector '
                                   'SERVICE_NAME SERVICE_INSTANCE_ID SERVICE_VERSION SERVICE_NAMESPACE get_aggregated_resources',
    'opentelemetry.sdk.util.instrumentation': 'InstrumentationScope',
    'opentelemetry.instrumentation.logging': 'LoggingInstrumentor DEFAULT_LOGGING_FORMAT',
    'opentelemetry.instrumentation.logging.handler': 'LoggingHandler',
    'opentelemetry.sdk.environment_variables': 'OTEL_SERVICE_NAME OTEL_EXPORTER_OTLP_ENDPOINT OTEL_BLRP_SCHEDULE_DELAY',
}


@pytest.mark.parametrize('module', MODULES)
def test_names_and_parameters(module):
    """What ours are called, and that each takes the stock one's arguments: by name, and in the same places."""
    stock, ours = importlib.import_module(module), importlib.import_module(module.replace('opentelemetry', 'weir'))
    for name in MODULES[module].split():
        one, other = getattr(stock, name), getattr(ours, name)
        if not callable(one) or name in ('SeverityNumber', 'LogRecordExportResult', 'LogExportResult', 'Compression', 'Logger'):
            continue
        if 'kwargs' in inspect.signature(one).parameters:
            continue  # the stock one does not say
        theirs = {n: p for n, p in inspect.signature(one).parameters.items() if not n.startswith('_')}
        mine = inspect.signature(other).parameters
        assert set(theirs) <= set(mine), name
        places = [n for n, p in theirs.items() if p.kind == p.POSITIONAL_OR_KEYWORD]
        assert [n for n, p in mine.items() if p.kind == p.POSITIONAL_OR_KEYWORD][:len(places)] == places, name
        for n in places:
            assert (theirs[n].default is inspect.Parameter.empty) == (mine[n].default is inspect.Parameter.empty), (name, n)


def test_severity_numbers():
    from opentelemetry._logs import SeverityNumber
    assert {s.name: s.value for s in SeverityNumber} == {s.name: s.value for s in weir.SeverityNumber}


def test_short_names():
    assert set(weir.__all__) <= set(dir(weir)) and weir.LoggingHandler is LoggingHandler


def test_the_global_provider(receiver):
    early = weir.get_logger('early')
    early.emit(body='lost, as there is no provider yet')
    handler_logger = logging.getLogger('early.handler')
    handler_logger.handlers, handler_logger.propagate = [LoggingHandler()], False
    handler_logger.error('lost, too')
    assert not early.enabled()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(HttpExporter(receiver.endpoint)))
    api.set_logger_provider(provider)
    api.set_logger_provider(LoggerProvider(shutdown_on_exit=False))
    assert api.get_logger_provider() is provider and early.enabled()
    early.emit(api.LogRecord(body='kept', severity_number=weir.SeverityNumber.INFO))
    handler_logger.error('kept, too')
    assert [r.body for r in receiver.wait(2)] == ['kept', 'kept, too']
    provider.shutdown()


def test_disabled(receiver, monkeypatch):
    monkeypatch.setenv('OTEL_SDK_DISABLED', 'TRUE')
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(HttpExporter(receiver.endpoint)))
    logger_to(provider).error('x')
    provider.get_logger('x').emit(body='x')
    assert isinstance(provider.get_logger('x'), weir.NoOpLogger) and provider.force_flush() and receiver.records() == []


# ---- exporters ----

def test_grpc_exporter():
    receiver = GrpcReceiver()
    host = receiver.endpoint[len('http://'):]
    makers = [dict(endpoint=receiver.endpoint), dict(endpoint=host, insecure=True), dict(endpoint=receiver.endpoint, headers='a=b,c=d%20e'),
              dict(endpoint=receiver.endpoint, headers={'Authorization': 'Bearer x,y'}), dict(endpoint=receiver.endpoint, headers=(('k', 'v'),)),
              dict(endpoint=receiver.endpoint, timeout=2.5, compression=grpc.Compression.NoCompression, channel_options=()),
              dict(endpoint=receiver.endpoint, compression=grpc.Compression.Gzip)]
    for n, arguments in enumerate(makers):
        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(BatchLogRecordProcessor(GrpcExporter(**arguments)))
        provider.get_logger('x').emit(body=n)
        assert provider.force_flush(), arguments
        provider.shutdown()
    assert [r.body for r in receiver.records()] == list(range(len(makers)))
    headers = receiver.seen_headers
    assert headers[2]['a'] == 'b' and headers[2]['c'] == 'd e' and headers[3]['authorization'] == 'Bearer x,y' and headers[4]['k'] == 'v'
    receiver.close()


def test_http_exporter(receiver, monkeypatch):
    monkeypatch.setenv('OTEL_EXPORTER_OTLP_HEADERS', 'from=env,both=env')
    monkeypatch.setenv('OTEL_EXPORTER_OTLP_LOGS_ENDPOINT', receiver.endpoint)
    for exporter in (HttpExporter(headers={'both': 'code', 'x': 'ü&,'}), HttpExporter(compression=Compression.NoCompression),
                     weir.OTLPLogExporter(protocol='http/protobuf')):
        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        provider.get_logger('x').emit(body='x')
        provider.shutdown()
    assert len(receiver.wait(3)) == 3
    headers = {k.lower(): v for k, v in receiver.seen_headers[0].items()}
    assert headers['from'] == 'env' and headers['both'] == 'code' and headers['x'].encode('latin-1').decode() == 'ü&,'
    assert re.search('python|weir', headers['user-agent'], re.I)


def test_wrong_options():
    for arguments in (dict(endpoint='ftp://x'), dict(endpoint='http://'), dict(headers='no equals sign')):
        with pytest.raises(ValueError):
            GrpcExporter(**arguments)
    with pytest.raises(ValueError, match='grpc'):
        weir.OTLPLogExporter(protocol='carrier/pigeon')
    with pytest.raises(ValueError, match='drop_oldest'):
        BatchLogRecordProcessor(GrpcExporter(), when_full='drop_all')
    with pytest.raises(ValueError, match='max_export_batch_size'):
        BatchLogRecordProcessor(GrpcExporter(), max_export_batch_size=10, max_queue_size=5)
    for name in ('schedule_delay_millis', 'max_export_batch_size', 'max_queue_size'):
        with pytest.raises(ValueError, match=name):
            BatchLogRecordProcessor(GrpcExporter(), **{name: -1})


def test_timeouts_are_seconds(monkeypatch):
    from weir.exporter.otlp import timeout_millis
    assert timeout_millis(None) == 0 and timeout_millis(2.5) == 2500 and timeout_millis(0.0001) == 1
    for text, millis in (('5', 5000), ('0.5', 500), ('10000', 10000), ('no', 10000), ('-1', 10000), ('', 0)):
        monkeypatch.setenv('OTEL_EXPORTER_OTLP_TIMEOUT', text)
        assert timeout_millis(None) == millis, text


def test_an_exporter_called_from_python(receiver):
    """As by exporters that wrap ours."""
    class Wrapping(LogRecordExporter):
        def __init__(self):
            self.inner = HttpExporter(receiver.endpoint)

        def export(self, batch):
            for record in batch:
                record.log_record.attributes['wrapped'] = True
            return self.inner.export(batch)

        def shutdown(self):
            self.inner.shutdown()

    class Derived(HttpExporter):
        seen = 0

        def export(self, batch):
            Derived.seen += len(batch)
            return super().export(batch)
    for exporter in (Wrapping(), Derived(receiver.endpoint)):
        provider = LoggerProvider(Resource.create({'service.name': 'wrapped'}), shutdown_on_exit=False)
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
        log = logger_to(provider)
        for n in range(1100):
            log.info('n %d', n)
        assert provider.force_flush()
        records = receiver.records()
        assert [r.body for r in records] == [f'n {n}' for n in range(1100)] and records[0].resource['service.name'] == 'wrapped'
        assert records[0].scope.name == 'package' and (exporter.__class__ is Derived or records[0].attributes['wrapped'] is True)
        receiver.clear()
        provider.shutdown()
        assert exporter.export(()) == LogRecordExportResult.FAILURE
    assert Derived.seen == 1100


def test_console_and_memory():
    out, memory = io.StringIO(), InMemoryLogExporter()
    provider = LoggerProvider(Resource.create({'service.name': 'c'}), shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(ConsoleLogExporter(out)))
    provider.add_log_record_processor(BatchLogRecordProcessor(memory))
    logger_to(provider).error('x %s', 1, extra={'k': b'\x00', 'l': [1]})
    shown = json.loads(out.getvalue())
    assert shown['body'] == 'x 1' and shown['severity_text'] == 'ERROR' and shown['severity_number'] == 17
    assert shown['attributes']['l'] == [1] and shown['resource']['attributes']['service.name'] == 'c'
    assert provider.force_flush()
    (record,) = memory.get_finished_logs()
    assert record.log_record.body == 'x 1' and record.log_record.attributes['k'] == b'\x00' and record.instrumentation_scope.name == 'package'
    memory.clear()
    assert memory.get_finished_logs() == ()
    provider.shutdown()
    assert ConsoleLogRecordExporter is ConsoleLogExporter and InMemoryLogRecordExporter is InMemoryLogExporter


def test_a_python_batch_drops_its_oldest_and_survives_its_exporter():
    class Bad(InMemoryLogExporter):
        calls = 0

        def export(self, batch):
            self.calls += 1
            if self.calls == 1:
                raise RuntimeError('the first time')
            return super().export(batch)
    exporter = Bad()
    processor = BatchLogRecordProcessor(exporter, schedule_delay_millis=60000, max_queue_size=4, max_export_batch_size=4)
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(processor)
    log = logger_to(provider)
    log.error('lost with the exception')
    assert provider.force_flush() is True and processor._python.dropped == 1
    processor._python._batch = 100  # so that nothing but the flush exports
    for n in range(10):
        log.error('n %d', n)
    assert provider.force_flush() is True and processor._python.dropped == 7
    assert [r.log_record.body for r in exporter.get_finished_logs()] == ['n 6', 'n 7', 'n 8', 'n 9']
    provider.shutdown()


# ---- processors ----

class Adding(LogRecordProcessor):
    def __init__(self, **attributes):
        self.attributes, self.calls = attributes, []

    def on_emit(self, log_record):
        log_record.log_record.attributes.update(self.attributes)
        log_record.log_record.body = f'<{log_record.log_record.body}>'

    def shutdown(self):
        self.calls.append('shutdown')

    def force_flush(self, timeout_millis=30000):
        self.calls.append('force_flush')
        return True


class Filtering(LogRecordProcessor):
    """Hands on what it lets pass, to a native processor that no provider knows."""

    def __init__(self, inner):
        self.inner = inner

    def on_emit(self, log_record):
        if 'secret' not in str(log_record.log_record.body):
            self.inner.on_emit(log_record)

    def shutdown(self):
        self.inner.shutdown()

    def force_flush(self, timeout_millis=30000):
        return self.inner.force_flush(timeout_millis)


def test_processors_see_what_those_before_changed(receiver):
    provider, memory, adding = LoggerProvider(shutdown_on_exit=False), InMemoryLogExporter(), Adding(user='u', n=1)
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    provider.add_log_record_processor(adding)
    provider.add_log_record_processor(BatchLogRecordProcessor(HttpExporter(receiver.endpoint)))
    logger_to(provider).info('x', extra={'k': 1})
    assert provider.force_flush()
    (before,), (after,) = memory.get_finished_logs(), receiver.records()
    assert before.log_record.body == 'x' and 'user' not in before.log_record.attributes
    assert after.body == '<x>' and after.attributes['user'] == 'u' and after.attributes['k'] == 1
    provider.shutdown()
    assert adding.calls == ['force_flush', 'shutdown']


def test_a_processor_that_filters(receiver):
    provider = LoggerProvider(Resource.create({'service.name': 'f'}), shutdown_on_exit=False)
    provider.add_log_record_processor(Filtering(BatchLogRecordProcessor(HttpExporter(receiver.endpoint))))
    log = logger_to(provider)
    log.info('a secret')
    log.info('seen')
    assert provider.force_flush()
    (record,) = receiver.records()
    assert record.body == 'seen' and record.resource['service.name'] == 'f'
    provider.shutdown()


def test_a_batch_processor_derived_from(receiver):
    class Derived(BatchLogRecordProcessor):
        def on_emit(self, log_record):
            log_record.log_record.attributes['derived'] = 'yes'
            super().on_emit(log_record)
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(Derived(HttpExporter(receiver.endpoint)))
    logger_to(provider).info('x')
    assert provider.force_flush()
    assert receiver.records()[0].attributes['derived'] == 'yes'
    provider.shutdown()


@pytest.mark.parametrize('multi', [SynchronousMultiLogRecordProcessor, ConcurrentMultiLogRecordProcessor])
def test_multi_processors(receiver, multi):
    provider, memory = LoggerProvider(multi_log_record_processor=multi(), shutdown_on_exit=False), InMemoryLogExporter()
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    provider.add_log_record_processor(BatchLogRecordProcessor(HttpExporter(receiver.endpoint)))
    logger_to(provider).info('x')
    assert provider.force_flush()
    assert len(memory.get_finished_logs()) == 1 and [r.body for r in receiver.records()] == ['x']
    provider.shutdown()


def test_several_native_processors(receiver):
    from conftest import HttpReceiver
    second = HttpReceiver()
    provider = LoggerProvider(shutdown_on_exit=False)
    for to in (receiver, second):
        provider.add_log_record_processor(BatchLogRecordProcessor(HttpExporter(to.endpoint)))
    logger_to(provider).info('x %s', 1)
    assert provider.force_flush() and provider.stats()['exported'] == 2
    (one,), (other,) = receiver.records(), second.records()
    assert one.body == other.body == 'x 1' and one.resource == other.resource
    provider.shutdown()
    second.close()


def test_python_limits():
    memory = InMemoryLogExporter()
    provider = LoggerProvider(shutdown_on_exit=False, log_record_limits=LogRecordLimits(max_attributes=2, max_attribute_length=3))
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    provider.get_logger('x').emit(body='long body', attributes={'a': 'abcdef', 'b': ['xyzzy'], 'c': 1})
    (record,) = memory.get_finished_logs()
    assert dict(record.log_record.attributes) == {'a': 'abc', 'b': ('xyz',)} and record.dropped_attributes == 1
    with pytest.raises(ValueError):
        LogRecordLimits(max_attributes=-5)


# ---- set-ups ----

def test_dict_config(receiver):
    config = {
        'version': 1, 'disable_existing_loggers': False,
        'formatters': {'short': {'format': '%(name)s: %(message)s'}},
        'filters': {'no_secrets': {'()': lambda: lambda record: 'secret' not in record.msg}},
        'handlers': {
            'a': {'class': 'weir.LoggingHandler', 'level': 'WARNING', 'service_name': 'configured', 'endpoint': receiver.endpoint,
                  'protocol': 'http/protobuf', 'resource_attributes': {'team': 'a'}, 'filters': ['no_secrets']},
            'b': {'()': 'weir.LoggingHandler', 'service_name': 'second', 'endpoint': receiver.endpoint, 'protocol': 'http/protobuf',
                  'headers': {'k': 'v'}, 'formatter': 'short'},
        },
        'loggers': {'dc': {'handlers': ['a', 'b'], 'level': 'DEBUG', 'propagate': False}},
    }
    logging.config.dictConfig(config)
    log = logging.getLogger('dc')
    log.info('low')
    log.warning('secret %d', 1)
    log.error('seen %d', 2)
    logging.config.dictConfig(config)  # flushes and closes the handlers of before
    got = sorted((r.resource['service.name'], r.body) for r in receiver.wait(4))
    assert got == [('configured', 'seen 2'), ('second', 'dc: low'), ('second', 'dc: secret 1'), ('second', 'dc: seen 2')]
    assert {r.resource.get('team') for r in receiver.records()} == {'a', None}
    assert all(r.resource['telemetry.sdk.language'] == 'python' for r in receiver.records())
    log.handlers[1].flush()
    for handler in log.handlers:
        handler.close()


def test_custom_log_fw(monkeypatch):
    receiver = GrpcReceiver()
    monkeypatch.setenv('OTEL_EXPORTER_OTLP_ENDPOINT', receiver.endpoint)
    fw = CustomLogFW(service_name='shop', instance_id=7)
    handler = fw.setup_logging()
    logging.getLogger().addHandler(handler)
    logging.getLogger('orders').warning('order %d', 5)
    assert fw.logger_provider.force_flush() and api.get_logger_provider() is fw.logger_provider
    (record,) = receiver.records()
    assert record.body == 'order 5' and record.resource['service.name'] == 'shop' and record.resource['service.instance.id'] == '7'
    assert record.scope.name == 'orders'
    fw.logger_provider.shutdown()
    receiver.close()


def test_instrumentor(receiver):
    from opentelemetry.sdk.trace import TracerProvider
    provider = LoggerProvider(Resource.create({SERVICE_NAME: 'inst'}), shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(HttpExporter(receiver.endpoint)))
    api.set_logger_provider(provider)
    instrumentor = LoggingInstrumentor()
    assert instrumentor is LoggingInstrumentor()
    factory = logging.getLogRecordFactory()
    hooked = []
    instrumentor.instrument(inject_trace_context=True, log_hook=lambda span, record: hooked.append(record) or 1 / 0)
    try:
        logging.config.dictConfig({'version': 1, 'root': {'level': 'INFO', 'handlers': []}, 'disable_existing_loggers': False})
        log = logging.getLogger('instrumented')
        log.warning('outside')
        with TracerProvider(shutdown_on_exit=False).get_tracer('t').start_as_current_span('s') as span:
            log.warning('inside', extra={'event.name': 'e'})
    finally:
        instrumentor.uninstrument()
    assert logging.getLogRecordFactory() is factory and not any(isinstance(h, LoggingHandler) for h in logging.getLogger().handlers)
    outside, inside = receiver.records()
    context = span.get_span_context()
    assert outside.attributes['otelTraceID'] == '0' and inside.attributes['otelTraceID'] == format(context.trace_id, '032x')
    assert inside.pb.trace_id == context.trace_id.to_bytes(16, 'big') and inside.pb.event_name == 'e' and len(hooked) == 1
    assert 'code.file.path' not in inside.attributes and isinstance(inside.attributes['otelServiceName'], str)
    provider.shutdown()


def test_somebody_elses_provider():
    """Our handler over a provider of the stock SDK."""
    from opentelemetry.sdk._logs import LoggerProvider as StockProvider
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter as StockMemory
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor as StockSimple
    memory, stock = StockMemory(), StockProvider(shutdown_on_exit=False)
    stock.add_log_record_processor(StockSimple(memory))
    logger_to(stock, 'abroad').error('x %d', 1)
    (record,) = memory.get_finished_logs()
    assert record.log_record.body == 'x 1' and record.instrumentation_scope.name == 'abroad'


def test_detectors(monkeypatch):
    from weir.sdk.resources import OsResourceDetector, OTELResourceDetector, ProcessResourceDetector, ServiceInstanceIdResourceDetector
    monkeypatch.setenv('OTEL_RESOURCE_ATTRIBUTES', 'a=b%20c')
    assert dict(OTELResourceDetector().detect().attributes) == {'a': 'b c'}
    every = get_aggregated_resources([OTELResourceDetector(), ProcessResourceDetector(), OsResourceDetector(),
                                      ServiceInstanceIdResourceDetector()], Resource({'first': 1}))
    assert {'first', 'a', 'process.pid', 'process.runtime.version', 'os.type', 'service.instance.id'} <= set(every.attributes)
    assert every._made_up_id == every.attributes['service.instance.id']
