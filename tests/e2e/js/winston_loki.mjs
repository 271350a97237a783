// An app that logs with winston, shipped by the stock winston-loki transport.
// usage: winston_loki.mjs BASE_URL json|protobuf
import winston from 'winston';
import LokiTransport from 'winston-loki';

const [host, encoding] = process.argv.slice(2);
let failure = null;
const transport = new LokiTransport({
  host,
  json: encoding === 'json',
  labels: { app: 'winston_app', encoding },
  interval: 1,
  onConnectionError: (e) => (failure = e),
});
const logger = winston.createLogger({ level: 'info', format: winston.format.simple(), transports: [transport] });
logger.info('paid by winston');
logger.error('refused by winston');
await new Promise((done) => logger.on('finish', done).end());
await transport.flush();
if (failure) {
  console.error(failure);
  process.exit(1);
}
process.exit(0);
