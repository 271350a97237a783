// An app that logs through the stock OpenTelemetry JavaScript SDK over OTLP/HTTP JSON.
// usage: otel.mjs BASE_URL COUNT
import { SeverityNumber } from '@opentelemetry/api-logs';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';

const [base, count] = process.argv.slice(2);
const exporter = new OTLPLogExporter({ url: `${base}/v1/logs` });
const provider = new LoggerProvider({
  resource: resourceFromAttributes({ 'service.name': 'js_service', 'service.instance.id': 'a' }),
  processors: [new BatchLogRecordProcessor({ exporter })],
});
const logger = provider.getLogger('orders', '1.2.3');
for (let n = 0; n < Number(count); n++) {
  logger.emit({
    severityNumber: SeverityNumber.WARN,
    severityText: 'WARN',
    body: `order ${n} was slow: “grüße” 🌊`,
    attributes: { 'order.id': n, 'order.total': 12.5, express: n % 2 === 1, tags: ['a', 'b'] },
  });
}
await provider.shutdown();
