// An app that logs with pino, shipped by the stock pino-loki transport.
// usage: pino_loki.mjs BASE_URL
import pino from 'pino';

const logger = pino(
  { level: 'info' },
  pino.transport({
    target: 'pino-loki',
    options: { host: process.argv[2], interval: 1, labels: { app: 'pino_app', env: 'test' }, silenceErrors: false },
  }),
);
logger.info({ order: 7 }, 'paid by pino');
logger.error('refused by pino');
await new Promise((done, failed) => logger.flush((e) => (e ? failed(e) : done())));
